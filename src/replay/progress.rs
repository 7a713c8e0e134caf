//! Progress on stderr: a bar on a terminal, else a line every five seconds.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::drive::Progress;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows progress until there is nobody to tell it any more.
pub async fn show(input: Vec<PathBuf>, mut progress: watch::Receiver<Progress>) {
    let terminal = std::io::stderr().is_terminal();
    let bar = if terminal { bar(&input) } else { ProgressBar::hidden() };
    let mut last = Progress::default();
    let every = if terminal { Duration::from_secs(1) } else { LINE_EVERY };
    let mut rate = 0.0;
    while progress.changed().await.is_ok() {
        let now = *progress.borrow_and_update();
        bar.set_position(now.bytes_read);
        let since = now.elapsed.saturating_sub(last.elapsed);
        let is_time = since >= every;
        if is_time {
            rate = (now.acknowledged - last.acknowledged) as f64 / since.as_secs_f64();
            last = now;
        }
        if terminal {
            bar.set_message(line(&now, rate));
        } else if is_time {
            eprintln!("{}: {}", HumanDuration(now.elapsed), line(&now, rate));
        }
    }
    bar.finish_and_clear();
}

fn bar(input: &[PathBuf]) -> ProgressBar {
    let sizes = input.iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len());
    let bar = ProgressBar::new(sizes.sum());
    let style = ProgressStyle::with_template("{bar:20} {percent:>3}% {elapsed} {wide_msg}");
    bar.set_style(style.expect("the template is right"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// In one line: how many, how fast, how late.
fn line(progress: &Progress, rate: f64) -> String {
    let &Progress { sent, acknowledged, refused, retries, behind, views_behind, .. } = progress;
    let [sent, acknowledged, refused] = [sent, acknowledged, refused].map(HumanCount);
    let mut line = format!(
        "{sent} sent, {acknowledged} acknowledged, {refused} refused, {rate:.0}/s, {:.1} s behind, views {:.1} s",
        behind.as_secs_f64(),
        views_behind.as_secs_f64()
    );
    if retries > 0 {
        line.push_str(&format!(", {} sent again", HumanCount(retries)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_how_fast_and_how_late() {
        let progress = Progress {
            sent: 12_345,
            acknowledged: 12_000,
            refused: 3,
            behind: Duration::from_millis(250),
            views_behind: Duration::from_millis(1310),
            ..Progress::default()
        };
        let expected =
            "12,345 sent, 12,000 acknowledged, 3 refused, 4999/s, 0.2 s behind, views 1.3 s";
        assert_eq!(line(&progress, 4999.4), expected);
        let again = line(&Progress { retries: 7, ..progress }, 1.0);
        assert!(again.ends_with(" views 1.3 s, 7 sent again"), "{again}");
    }
}
