//! The log's thread: the one place that appends, and the one that says which epoch it is.
//!
//! Everything that waits is written as one frame and made durable with one `fdatasync` while the
//! next batches gather (group commit). A full disk turns batches away and nothing else; any other
//! failure of a write ends the node, because what the disk holds is then unknown.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use dataflows::calendar::Hour;
use dataflows::domain::Epoch;
use tracing::{info, warn};

use super::status::{Closing, Kept, LogStage, Status};
use super::supervise::Supervisor;
use crate::checkpoint::{self, Head};
use crate::clock::{self, Clock, Told};
use crate::config::Config;
use crate::door::{NotWritten, Submission};
use crate::event::Event;
use crate::log::{
    self, AppendError, FrameBuilder, OpenError, Opened, Options, ReadError, Torn, Writer,
};
use crate::mesh::lead::Leader;
use crate::mesh::{Found, Mesh};

/// How often epochs are closed where nothing comes in, so that progress can be seen.
const IDLE: Duration = Duration::from_secs(1);

/// What the log's thread is asked to do.
#[derive(Debug)]
pub enum Work {
    /// Append these events.
    Write(Submission),
    /// Close the epochs that the first node has told.
    Pace,
    /// Close the log: nothing comes after.
    Finish,
}

/// The log failed, and with it the node.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be written any more.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log of a node that is no more cannot be taken over.
    #[error("cannot adopt {}", data.display())]
    Adopted {
        /// Its data directory.
        data: PathBuf,
        /// Why not.
        source: Box<OpenError>,
    },
    /// Nobody can say whether there are checkpoints.
    #[error("cannot list {}", directory.display())]
    Checkpoints {
        /// Where they would be.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What the log's thread works with.
#[derive(Debug)]
pub struct Post<'a> {
    /// The configuration of the node.
    pub config: &'a Config,
    /// What is told how the log stands.
    pub status: &'a Status,
    /// What is told what there is to compute.
    pub supervisor: &'a Supervisor,
    /// What others say of the epoch.
    pub told: Arc<Told>,
    /// The cluster, if this node is one of several.
    pub mesh: Option<&'a Mesh>,
}

/// Opens the log, and appends what comes until it is told to finish.
///
/// # Errors
/// [`LogError`]; nothing unanswered is then known to be durable.
pub fn run(post: &Post<'_>, queue: &Receiver<Work>) -> Result<(), LogError> {
    let Post { config, status, supervisor, told, mesh } = post;
    status.log(LogStage::Recovering { checked: 0, of: 0 });
    let options = Options { segment_bytes: config.log.segment_bytes };
    let progress = |checked, of| status.log(LogStage::Recovering { checked, of });
    // What others have sent in is in no checkpoint of this node.
    let from = if mesh.is_some() { None } else { vouched(config)? };
    let position = from.as_ref().map(|head| head.position);
    let (writer, opened) = Writer::open(&config.data, options, position, progress)?;
    let mut events = from.as_ref().map_or(0, |head| head.events) + opened.events;
    let mut hours = opened.hours.clone();
    let mut logs = vec![writer.log()];
    let mut adopted = Vec::new();
    for data in &config.cluster.adopt {
        let adopting = |source| LogError::Adopted { data: data.clone(), source: Box::new(source) };
        // Opening is recovery, and nobody else may write there as long as this node runs.
        let (writer, found) = Writer::open(data, options, None, progress).map_err(adopting)?;
        info!("{} is read too: {} events", data.display(), found.events);
        told.at_least(found.epoch);
        events += found.events;
        hours.extend(found.hours);
        logs.push(writer.log());
        adopted.push((data.clone(), found.position, writer));
    }
    report(&opened, events);
    if let Some(head) = &from {
        status.checkpoint(Kept { epoch: head.epoch, events: head.events });
    }
    status.found(events);
    status.metrics.log_events.set(events as i64);
    status.metrics.log_bytes.set(opened.bytes as i64);
    status.metrics.log_segments.set(i64::from(opened.segments));
    supervisor.hours(&hours);
    supervisor.adopt(adopted.iter().map(|(data, end, _)| (data.clone(), *end)).collect());
    status.log(LogStage::Open);
    if let Some(mesh) = mesh {
        mesh.found(Found { hours, logs });
    }
    let mut thread = LogThread {
        clock: Clock::new(config.epoch_ms, opened.epoch, Arc::clone(told)),
        writer,
        post,
        frame: FrameBuilder::new(),
        hour: None,
        latest: opened.epoch,
        open: 0,
        closed_at: Instant::now(),
        dirty: true,
        full: false,
    };
    let outcome = thread.work(queue);
    status.log(LogStage::Closed);
    outcome?;
    if let Err(error) = thread.writer.close() {
        // All that was answered is durable; only a later damage may be noticed less exactly.
        warn!("the log was not closed cleanly: {error}");
    }
    Ok(())
}

/// The newest checkpoint: it vouches for the log before it, which then need not be checked again.
fn vouched(config: &Config) -> Result<Option<Head>, LogError> {
    let log = match log::id(&config.data) {
        Ok(log) => log,
        Err(ReadError::NoLog { .. }) => return Ok(None),
        Err(error) => return Err(OpenError::from(error).into()),
    };
    let chosen = checkpoint::choose(&config.data, log, &config.rules);
    let chosen = chosen.map_err(|source| LogError::Checkpoints {
        directory: checkpoint::directory(&config.data),
        source,
    })?;
    Ok(chosen.map(|(_, head)| head))
}

fn report(opened: &Opened, events: u64) {
    let Opened { bytes, segments, .. } = opened;
    info!("the log has {events} events, {bytes} bytes, {segments} segments");
    if let Some(Torn { position, bytes, fault }) = &opened.torn {
        warn!("cut {bytes} bytes at {position}, the write of which broke off: {fault}");
    }
    if events > 0 && !opened.watermark {
        warn!("the log has no watermark: damage to its last frame could pass for a broken write");
    }
}

struct LogThread<'a> {
    clock: Clock,
    writer: Writer,
    post: &'a Post<'a>,
    /// The frame that is being made.
    frame: FrameBuilder,
    /// The hour that was logged last.
    hour: Option<Hour>,
    /// The epoch of the last frame.
    latest: Epoch,
    /// The first epoch that is not closed.
    open: Epoch,
    closed_at: Instant,
    /// Whether there are frames in epochs that are not closed.
    dirty: bool,
    /// Whether there was no room the last time.
    full: bool,
}

impl LogThread<'_> {
    fn work(&mut self, queue: &Receiver<Work>) -> Result<(), LogError> {
        let mut next = None;
        loop {
            self.tick()?;
            let work = match next.take() {
                Some(work) => Ok(work),
                None => queue.recv_timeout(self.clock.until_next()),
            };
            match work {
                Ok(Work::Write(first)) => next = self.commit(first, queue)?,
                // What there is to do for it, every round does.
                Ok(Work::Pace) => {}
                Ok(Work::Finish) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Logs the hour when it is another one, and closes epochs when they are over: by this node's
    /// clock, or where another leads, by what that has told.
    fn tick(&mut self) -> Result<(), LogError> {
        let epoch = match self.post.mesh {
            None => self.clock.epoch(),
            Some(mesh) if mesh.leader().is_some() => self.clock.epoch(),
            Some(_) => {
                let told = self.post.told.epoch();
                if told > self.open {
                    self.close(told);
                }
                return Ok(());
            }
        };
        let hour = clock::hour();
        if self.hour.is_none_or(|logged| logged < hour) {
            self.frame.clear();
            self.frame.push(&Event::Clock(hour)).expect("an empty frame has room");
            if let Ok(epoch) = self.append()? {
                self.hour = Some(hour);
                self.post.supervisor.hours(&[(epoch, hour)]);
                if let Some(leader) = self.leader() {
                    leader.hour(epoch, hour);
                }
            }
        }
        // In a cluster others may have something where this one has nothing.
        let idle = if self.post.mesh.is_some() { Duration::ZERO } else { IDLE };
        let due = self.dirty || self.closed_at.elapsed() >= idle;
        if due && epoch > self.latest.max(self.open) {
            let questions = self.leader().map(Leader::questions).unwrap_or_default();
            for (asker, ask) in &questions {
                self.post.supervisor.asked_by(*asker, epoch, ask.clone());
            }
            self.close(epoch);
            if let Some(leader) = self.leader() {
                leader.pace(epoch, questions);
            }
        }
        Ok(())
    }

    /// Closes every epoch below `epoch`: no frame of one will come.
    fn close(&mut self, epoch: Epoch) {
        self.open = epoch;
        self.dirty = false;
        self.closed_at = Instant::now();
        self.post.status.metrics.epoch_closed.set(epoch as i64);
        self.post.supervisor.close(self.writer.position(), Closing::now(epoch));
    }

    fn leader(&self) -> Option<&Leader> {
        self.post.mesh.and_then(Mesh::leader)
    }

    /// Appends `first` and all that waits behind it as one frame, and answers. Returns what was
    /// found in the queue and does not belong to it.
    fn commit(
        &mut self,
        first: Submission,
        queue: &Receiver<Work>,
    ) -> Result<Option<Work>, LogError> {
        self.frame.clear();
        self.frame.extend(&first.frame).expect("an empty frame has room for a whole one");
        let mut group = vec![first];
        let mut next = None;
        for work in queue.try_iter() {
            match work {
                Work::Write(more) if self.frame.extend(&more.frame).is_ok() => group.push(more),
                other => {
                    next = Some(other);
                    break;
                }
            }
        }
        let written = self.append()?;
        if written.is_ok() {
            self.post.status.accepted(u64::from(self.frame.events()));
        }
        for submission in group {
            // A sender that went away does not hear of it, and will send the same again.
            let _ = submission.reply.send(written);
        }
        Ok(next)
    }

    /// Appends the frame, which may have no events; returns the epoch they are in.
    fn append(&mut self) -> Result<Result<Epoch, NotWritten>, LogError> {
        let epoch = self.clock.epoch();
        if self.frame.is_empty() {
            return Ok(Ok(epoch));
        }
        let started = Instant::now();
        let appended = self.writer.append(epoch, &mut self.frame);
        let full = matches!(appended, Err(AppendError::Full(_)));
        if full != self.full {
            self.full = full;
            self.post.status.log(if full { LogStage::Full } else { LogStage::Open });
            match full {
                true => warn!("the disk is full: batches are turned away until there is room"),
                false => info!("there is room on the disk again: batches are accepted"),
            }
        }
        match appended {
            Ok(position) => {
                self.latest = epoch;
                self.dirty = true;
                let metrics = &self.post.status.metrics;
                metrics.committed(self.frame.events(), started.elapsed());
                metrics.log_events.inc_by(i64::from(self.frame.events()));
                metrics.log_bytes.set(self.writer.bytes() as i64);
                metrics.log_segments.set(i64::from(position.segment));
                Ok(Ok(epoch))
            }
            Err(AppendError::Full(_)) => Ok(Err(NotWritten::Full)),
            Err(error) => Err(error.into()),
        }
    }
}
