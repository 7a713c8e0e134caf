//! How far a start has come, on a terminal: a bar while the log is checked, a checkpoint put in, and
//! the rest of the log replayed. Elsewhere `/readyz` says the same.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::status::{LogStage, Standing, Status, WorkerStage};

const REDRAW: Duration = Duration::from_millis(100);

/// Shows a bar on a terminal until the figures are current or the node stops.
pub async fn show(status: Arc<Status>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("  {msg:32} {bar:40} {percent:>3}% {eta}");
    bar.set_style(style.expect("the template is right"));
    loop {
        let standing = status.standing();
        if standing.served.is_some() || standing.stopping {
            break;
        }
        if let Some((what, done, of)) = stage(&standing) {
            if bar.message() != what {
                bar.reset();
                bar.set_message(what);
            }
            bar.set_length(of);
            bar.set_position(done);
        }
        tokio::time::sleep(REDRAW).await;
    }
    bar.finish_and_clear();
}

/// `(what is being done, how much of it, of how much)`.
fn stage(standing: &Standing) -> Option<(&'static str, u64, u64)> {
    match (standing.log, standing.worker) {
        (LogStage::Recovering { checked, of }, _) => Some(("checking the log", checked, of)),
        (_, WorkerStage::Restoring { bytes, of, .. }) => {
            Some(("restoring the checkpoint", bytes, of))
        }
        (_, WorkerStage::Replaying { events }) => {
            Some(("replaying the log", events, standing.found))
        }
        _ => None,
    }
}
