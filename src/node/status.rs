//! How the node stands: shared by the parts that know and the pages that tell.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dataflows::domain::Epoch;

use crate::chain::Chain;
use crate::clock;
use crate::node::metrics::Metrics;

/// Seconds for which the rate of accepted events is kept.
const RATE_SECONDS: usize = 60;

/// How the node stands, and its metrics.
#[derive(Debug, Default)]
pub struct Status {
    /// What it counts.
    pub metrics: Metrics,
    standing: Mutex<Standing>,
}

/// A copy of how things stand.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The log.
    pub log: LogStage,
    /// The worker.
    pub worker: WorkerStage,
    /// Its process.
    pub worker_pid: Option<u32>,
    /// The epoch that is served; none until the first is complete.
    pub served: Option<Closing>,
    /// Its digests.
    pub chain: Chain,
    /// The newest checkpoint.
    pub checkpoint: Option<Kept>,
    /// Whether the node has been asked to stop.
    pub stopping: bool,
    /// Events that were in the log when it was opened.
    pub found: u64,
    /// Events accepted since.
    pub accepted: u64,
    rate: Rate,
}

/// Where the log stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStage {
    /// Its frames are being checked.
    Recovering {
        /// Bytes checked.
        checked: u64,
        /// Of how many, 0 while that is not known.
        of: u64,
    },
    /// Events can be appended.
    Open,
    /// There was no room when that was tried last.
    Full,
    /// It is closed.
    #[default]
    Closed,
}

/// Where the worker stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkerStage {
    /// There is none yet, or none any more.
    #[default]
    Down,
    /// It puts in the past that a checkpoint holds.
    Restoring {
        /// The epoch of the checkpoint.
        epoch: Epoch,
        /// Bytes of it read.
        bytes: u64,
        /// Of how many.
        of: u64,
    },
    /// It reads what was in the log before it started.
    Replaying {
        /// Events read.
        events: u64,
    },
    /// It follows the log.
    Running,
}

impl LogStage {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            LogStage::Recovering { .. } => "recovering",
            LogStage::Open => "open",
            LogStage::Full => "full",
            LogStage::Closed => "closed",
        }
    }
}

impl WorkerStage {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            WorkerStage::Down => "down",
            WorkerStage::Restoring { .. } => "restoring",
            WorkerStage::Replaying { .. } => "replaying",
            WorkerStage::Running => "running",
        }
    }
}

/// The newest checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Kept {
    /// The epoch it is of.
    pub epoch: Epoch,
    /// Events of the log it stands for.
    pub events: u64,
}

/// The end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The first epoch that is still open.
    pub upper: Epoch,
    /// When that was so, by the wall clock: milliseconds since 1970.
    pub wall_ms: u64,
    /// The same by the clock that nobody sets.
    pub at: Instant,
}

impl Closing {
    /// That `upper` is the first open epoch from now on.
    pub fn now(upper: Epoch) -> Closing {
        Closing { upper, wall_ms: clock::wall_ms(), at: Instant::now() }
    }

    /// That `upper` was the first open epoch at that time by the wall clock.
    pub fn past(upper: Epoch, wall_ms: u64) -> Closing {
        let ago = Duration::from_millis(clock::wall_ms().saturating_sub(wall_ms));
        let now = Instant::now();
        Closing { upper, wall_ms, at: now.checked_sub(ago).unwrap_or(now) }
    }

    /// The last epoch that is closed.
    pub fn epoch(&self) -> Epoch {
        self.upper.saturating_sub(1)
    }

    /// How long ago it was.
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

impl Status {
    /// A copy of how things stand now.
    pub fn standing(&self) -> Standing {
        self.lock().clone()
    }

    /// Whether batches can be accepted: what a full disk does not change, since it may be no more.
    pub fn is_accepting(&self) -> bool {
        let standing = self.lock();
        !standing.stopping && matches!(standing.log, LogStage::Open | LogStage::Full)
    }

    /// The log is at this stage from now on.
    pub fn log(&self, stage: LogStage) {
        self.lock().log = stage;
        self.metrics.log_full.set(i64::from(stage == LogStage::Full));
    }

    /// The log was found with so many events.
    pub fn found(&self, events: u64) {
        self.lock().found = events;
    }

    /// So many events more are durable.
    pub fn accepted(&self, events: u64) {
        let mut standing = self.lock();
        standing.accepted += events;
        standing.rate.add(events, Instant::now());
    }

    /// There is a worker from now on, which reads the log.
    pub fn worker_started(&self, pid: u32) {
        self.lock().worker_pid = Some(pid);
        self.worker(WorkerStage::Replaying { events: 0 });
        self.metrics.worker_up.set(1);
    }

    /// The worker is at this stage from now on.
    pub fn worker(&self, stage: WorkerStage) {
        self.lock().worker = stage;
    }

    /// There is no worker any more.
    pub fn worker_ended(&self) {
        self.lock().worker_pid = None;
        self.worker(WorkerStage::Down);
        self.metrics.worker_up.set(0);
    }

    /// The figures of all epochs below this end are served.
    pub fn served(&self, closing: Closing, chain: Chain) {
        let mut standing = self.lock();
        (standing.served, standing.chain) = (Some(closing), chain);
    }

    /// There is a checkpoint from now on, newer than those before.
    pub fn checkpoint(&self, kept: Kept) {
        self.lock().checkpoint = Some(kept);
        self.metrics.checkpoint_epoch.set(kept.epoch as i64);
        self.metrics.checkpoint_events.set(kept.events as i64);
    }

    /// The node is about to stop: nothing is accepted any more.
    pub fn stopping(&self) {
        self.lock().stopping = true;
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// Events accepted in each of the last whole seconds, oldest first.
    pub fn per_second(mut self) -> Vec<u64> {
        self.rate.add(0, Instant::now());
        self.rate.whole_seconds()
    }
}

/// Events by second.
#[derive(Clone, Debug)]
struct Rate {
    start: Instant,
    /// The latest second that has a count, since `start`.
    second: u64,
    /// By second, modulo their number: the current one and [`RATE_SECONDS`] before.
    counts: [u64; RATE_SECONDS + 1],
}

impl Default for Rate {
    fn default() -> Rate {
        Rate { start: Instant::now(), second: 0, counts: [0; RATE_SECONDS + 1] }
    }
}

impl Rate {
    fn add(&mut self, events: u64, now: Instant) {
        let second = now.saturating_duration_since(self.start).as_secs().max(self.second);
        let length = self.counts.len() as u64;
        let passed = (second - self.second).min(length);
        for newer in second + 1 - passed..=second {
            self.counts[(newer % length) as usize] = 0;
        }
        self.second = second;
        self.counts[(second % length) as usize] += events;
    }

    fn whole_seconds(&self) -> Vec<u64> {
        let length = self.counts.len() as u64;
        // The second after the current one is, modulo their number, the oldest.
        (1..length).map(|n| self.counts[((self.second + n) % length) as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_forgets_what_is_older_than_a_minute() {
        let mut rate = Rate::default();
        let at = |seconds| rate.start + Duration::from_secs(seconds);
        let (first, next, last, later) = (at(3), at(4), at(63), at(500));
        rate.add(5, first);
        rate.add(2, first);
        rate.add(1, next);
        rate.add(9, last);
        let seconds = rate.whole_seconds();
        assert_eq!((seconds.len(), seconds[0], seconds[1], seconds[59]), (60, 7, 1, 0));
        rate.add(0, later);
        assert_eq!(rate.whole_seconds(), vec![0; 60]);
    }
}
