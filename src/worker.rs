//! The worker process: tails the log up to what the node says is closed, and reports how rows change.
//!
//! It holds nothing that cannot be computed again, so it may die at any moment; it learns of the
//! node's death by the end of the stream, and ends too. It reads the log, and never writes it.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use dataflows::domain::{Epoch, Input};
use dataflows::graph::Base;
use dataflows::views::Row;
use differential_dataflow::consolidation::consolidate;

use crate::engine::{self, Batch, Feed, Results};
use crate::event::Event;
use crate::log::{Position, Reader};
use crate::protocol::{self, Command, Report};

/// Events handed to a timely worker at once.
const BATCH_EVENTS: usize = 4096;
/// While catching up, so many events are taken as one epoch: few rounds, bounded memory.
const GROUP_EVENTS: u64 = 1 << 18;
/// Rows in one message, so that neither side holds a whole state twice.
const PART_ROWS: usize = 1 << 16;
/// How often a reading worker says how far it is, in events.
const READING_EVENTS: u64 = 1 << 17;

/// How often it is looked whether the first epoch is reported.
const FIRST_WAIT: Duration = Duration::from_millis(2);

/// Epochs the node waits for, oldest first.
type Owed = Arc<Mutex<VecDeque<Epoch>>>;

/// Runs the hidden command `otklik worker`: standard input is the node's end of a socket pair.
///
/// # Errors
/// A log that cannot be read; a node that speaks otherwise than [`protocol`].
pub fn run() -> anyhow::Result<()> {
    let stdin =
        std::io::stdin().as_fd().try_clone_to_owned().context("cannot use standard input")?;
    let mut node = UnixStream::from(stdin);
    let first = protocol::receive(&mut node).context("standard input is no socket of a node")?;
    let Some(Command::Start { log, workers, rules, first }) = first else {
        bail!("the worker is started by a node, not by hand: otklik serve");
    };
    let reports = Arc::new(Mutex::new(node.try_clone().context("cannot share the socket")?));
    let (feed, results) = engine::start(workers, &rules, Base::default());
    let owed = Owed::default();
    let reporter = {
        let (owed, reports) = (owed.clone(), reports.clone());
        thread::spawn(move || report(results, &owed, &reports))
    };
    let commands = commands(node);
    let tail = Tail { reader: None, feed, sequence: 0, group: Group::default(), first, owed };
    let fed = tail.follow(&log, &commands, &reports);
    // A node that is gone is no error: there is nobody left to tell.
    let reported = reporter.join().expect("a panic ends the process");
    fed.and(reported.or(Ok(())))
}

/// Receives on a thread of its own, so that commands that came meanwhile are taken together.
fn commands(mut node: UnixStream) -> Receiver<Command> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        while let Ok(Some(command)) = protocol::receive(&mut node) {
            if sender.send(command).is_err() {
                return;
            }
        }
    });
    receiver
}

struct Tail {
    reader: Option<Reader>,
    feed: Feed,
    /// Events read so far: what orders upserts.
    sequence: u64,
    group: Group,
    /// What is to be reported before all else.
    first: Option<Epoch>,
    owed: Owed,
}

/// Epochs of the log that the dataflow takes as one. What it computes at the end is the same: only
/// the draw of the survey depends on when, and it happens in epochs that tell the time, which end
/// a group.
#[derive(Default)]
struct Group {
    epoch: Epoch,
    events: u64,
    tells_time: bool,
}

impl Tail {
    /// Feeds the log to the dataflow as the node closes epochs, until the node says stop or is gone.
    fn follow(
        mut self,
        log: &Path,
        commands: &Receiver<Command>,
        reports: &Mutex<UnixStream>,
    ) -> anyhow::Result<()> {
        while let Ok(command) = commands.recv() {
            let mut last = command;
            last = commands.try_iter().last().unwrap_or(last);
            let Command::Advance { end, epoch } = last else { break };
            let reader = match self.reader.take() {
                Some(reader) => reader,
                None => Reader::open(log)?,
            };
            self.read(reader, end, reports)?;
            self.close_first(epoch);
            self.close(epoch);
        }
        Ok(())
    }

    /// Closes every epoch below `epoch`, which the node waits for.
    fn close(&mut self, epoch: Epoch) {
        self.owed.lock().expect("no panic").push_back(epoch);
        self.feed.close(epoch);
        self.group = Group { epoch, ..Group::default() };
    }

    /// Closes what is to be reported first, if `reached` is not below it, and waits until it is
    /// reported: later epochs would otherwise be taken together with it.
    fn close_first(&mut self, reached: Epoch) {
        if let Some(first) = self.first.take_if(|first| *first <= reached) {
            self.close(first);
            while self.owed.lock().expect("no panic").contains(&first) {
                thread::park_timeout(FIRST_WAIT);
            }
        }
    }

    fn read(
        &mut self,
        mut reader: Reader,
        end: Position,
        reports: &Mutex<UnixStream>,
    ) -> anyhow::Result<()> {
        let mut inputs = Vec::with_capacity(BATCH_EVENTS);
        while let Some(frame) = reader.next_frame(end)? {
            if self.first.is_some_and(|first| first <= frame.epoch) {
                self.give(&mut inputs);
                self.close_first(frame.epoch);
            }
            let full = self.group.tells_time || self.group.events >= GROUP_EVENTS;
            if frame.epoch > self.group.epoch && full {
                self.give(&mut inputs);
                self.feed.close(frame.epoch);
                self.group = Group::default();
            }
            self.group.epoch = frame.epoch;
            for event in frame.events() {
                let event = event?;
                self.group.events += 1;
                if let Event::Clock(hour) = event {
                    self.give(&mut inputs);
                    self.feed.tell(self.sequence, Input::Clock(hour));
                    self.group.tells_time = true;
                    self.sequence += 1;
                    continue;
                }
                inputs.push(event.input());
                if inputs.len() == BATCH_EVENTS {
                    self.give(&mut inputs);
                }
                let read = self.sequence + inputs.len() as u64;
                if read.is_multiple_of(READING_EVENTS) {
                    let _ = say(reports, &Report::Reading { events: read });
                }
            }
        }
        self.give(&mut inputs);
        self.reader = Some(reader);
        Ok(())
    }

    fn give(&mut self, inputs: &mut Vec<Input>) {
        if inputs.is_empty() {
            return;
        }
        let given = std::mem::replace(inputs, Vec::with_capacity(BATCH_EVENTS));
        let count = given.len() as u64;
        self.feed.batch(self.sequence, Batch::Inputs(given));
        self.sequence += count;
    }
}

/// Reports the epochs that are owed, each with all changes since the one before.
fn report(mut results: Results, owed: &Owed, reports: &Mutex<UnixStream>) -> anyhow::Result<()> {
    let mut pending: Vec<(Row, isize)> = Vec::new();
    let mut consolidated = 0;
    while let Some(closed) = results.next_closed() {
        let upper = closed.upper;
        pending.append(&mut closed.changes());
        let due = {
            let mut owed = owed.lock().expect("no panic");
            let mut due = None;
            while owed.front().is_some_and(|epoch| *epoch <= upper) {
                due = owed.pop_front();
            }
            due
        };
        if due.is_none() && pending.len() < 2 * consolidated + PART_ROWS {
            continue;
        }
        consolidate(&mut pending);
        consolidated = pending.len();
        if let Some(upper) = due {
            publish(upper, &mut pending, reports)?;
            consolidated = 0;
        }
    }
    Ok(())
}

fn publish(
    upper: Epoch,
    pending: &mut Vec<(Row, isize)>,
    reports: &Mutex<UnixStream>,
) -> std::io::Result<()> {
    let mut changes = pending.drain(..).map(|(row, diff)| (row, diff as i64));
    loop {
        let part: Vec<_> = changes.by_ref().take(PART_ROWS).collect();
        if part.len() < PART_ROWS {
            return say(reports, &Report::Closed { upper, changes: part });
        }
        say(reports, &Report::Part { changes: part })?;
    }
}

fn say(reports: &Mutex<UnixStream>, report: &Report) -> std::io::Result<()> {
    protocol::send(&mut *reports.lock().expect("no panic"), report)
}
