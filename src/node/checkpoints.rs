//! When checkpoints are made: a thread that waits until one is due, and has a process make it.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::status::{Kept, Status};
use super::supervise::{Moment, Supervisor};
use crate::checkpoint::{Order, Written};
use crate::config::Config;
use crate::protocol;

/// How often it is looked whether one is due, and how soon after a failure another is tried.
const LOOK: Duration = Duration::from_secs(1);
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// The process that makes one, for who must end it.
#[derive(Clone, Debug, Default)]
pub struct Maker(Arc<Mutex<Option<Child>>>);

impl Maker {
    /// Ends the process, if there is one: what it leaves means nothing.
    pub fn kill(&self) {
        if let Some(child) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // It can only fail where the process has just ended.
            let _ = child.kill();
        }
    }
}

/// Makes checkpoints until the node stops.
pub fn run(
    config: &Config,
    program: &std::path::Path,
    status: &Status,
    supervisor: &Supervisor,
    maker: &Maker,
) {
    let due = &config.checkpoint;
    if due.events == 0 {
        return;
    }
    let mut since = Instant::now();
    let mut wait = LOOK;
    while supervisor.pause(std::mem::replace(&mut wait, LOOK)) {
        let standing = status.standing();
        let covered = standing.checkpoint.map_or(0, |kept| kept.events);
        let new = (standing.found + standing.accepted).saturating_sub(covered);
        let is_late = since.elapsed() >= Duration::from_secs(due.seconds) && new > 0;
        if standing.served.is_none() || !(new >= due.events || is_late) {
            continue;
        }
        let Some(moment) = supervisor.moment() else { return };
        let (epoch, started) = (moment.epoch, Instant::now());
        match make(config, program, moment, maker) {
            Ok(Written { bytes, events, open, closed, cells, archived, .. }) => {
                since = started;
                status.checkpoint(Kept { epoch, events });
                info!(
                    "checkpoint of epoch {epoch} after {:.1} s: {bytes} bytes for {events} events, \
                     {open} open records, {closed} closed in {cells} cells, {archived} \
                     segments archived",
                    started.elapsed().as_secs_f64()
                );
            }
            Err(_) if !supervisor.pause(Duration::ZERO) => return,
            Err(error) => {
                status.metrics.checkpoints_failed.inc();
                warn!("no checkpoint of epoch {epoch}, the one before holds: {error}");
                wait = AFTER_FAILURE;
            }
        }
    }
}

fn make(
    config: &Config,
    program: &std::path::Path,
    moment: Moment,
    maker: &Maker,
) -> io::Result<Written> {
    let Moment { epoch, position, drawn, chain } = moment;
    let mut child = Command::new(program)
        .arg("checkpoint")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (mut input, mut output) = input.zip(output).expect("both are piped");
    *maker.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
    let order = Order {
        data: config.data.clone(),
        rules: config.rules.clone(),
        workers: config.workers,
        epoch,
        position,
        drawn,
        chain,
    };
    let written = protocol::send(&mut input, &order).and_then(|()| {
        drop(input);
        protocol::receive(&mut output)
    });
    let child = maker.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let status = child.expect("only this thread takes it").wait()?;
    written?.ok_or_else(|| io::Error::other(format!("its process ended without one ({status})")))
}
