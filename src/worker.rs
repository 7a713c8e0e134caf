//! The worker process: tails the log up to what the node says is closed, and reports how rows change.
//!
//! It holds nothing that cannot be computed again, so it may die at any moment; it learns of the
//! node's death by the end of the stream, and ends too. It reads the log, and never writes it.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use dataflows::domain::{Epoch, Input};
use dataflows::graph::Base;
use dataflows::views::{Row, View};
use differential_dataflow::consolidation::consolidate;

use crate::chain::Chain;
use crate::checkpoint::{self, Head, Restored};
use crate::engine::{self, Batch, Closed, Feed, News, Results};
use crate::event::Event;
use crate::log::{self, Position, Reader};
use crate::protocol::{self, Command, Report};
use crate::rules::Rules;

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
/// How often a restoring worker says how far it is, in bytes.
const RESTORING_BYTES: u64 = 8 << 20;

/// Runs the hidden command `otklik worker`: standard input is the node's end of a socket pair.
///
/// # Errors
/// A log that cannot be read; a checkpoint that comes to other figures than it should, which is
/// set aside; a node that speaks otherwise than [`protocol`].
pub fn run() -> anyhow::Result<()> {
    let stdin =
        std::io::stdin().as_fd().try_clone_to_owned().context("cannot use standard input")?;
    let mut node = UnixStream::from(stdin);
    let first = protocol::receive(&mut node).context("standard input is no socket of a node")?;
    let Some(Command::Start { log, workers, rules, first }) = first else {
        bail!("the worker is started by a node, not by hand: otklik serve");
    };
    let reports = Arc::new(Mutex::new(node.try_clone().context("cannot share the socket")?));
    let begun = begin(&log, workers, &rules, &reports)?;
    // A checkpoint may be of a later epoch; then it is that one that is reported first.
    let begins_at = begun.checkpoint.as_ref().map_or(0, |(_, head)| head.epoch + 1);
    let first = first.map(|first| first.max(begins_at));
    let told = Arc::new(Mutex::new(Told::default()));
    let reporter = Reporter {
        chain: Chain::default(),
        expected: begun.checkpoint,
        told: Arc::clone(&told),
        reports: Arc::clone(&reports),
    };
    let results = begun.results;
    let reporter = thread::spawn(move || reporter.report(results));
    let commands = commands(node);
    let tail = Tail { told, reports, first, ..begun.tail };
    let fed = tail.follow(&log, &commands);
    // A node that is gone is no error: there is nobody left to tell.
    let reported = reporter.join().expect("a panic ends the process");
    fed.and(reported)
}

/// A dataflow, and where the log goes on after what it holds.
struct Begun {
    tail: Tail,
    results: Results,
    /// The file it began with, and what it must come to.
    checkpoint: Option<(PathBuf, Head)>,
}

/// Begins with the newest checkpoint that is whole, or else with nothing.
fn begin(
    log: &Path,
    workers: usize,
    rules: &Rules,
    reports: &Arc<Mutex<UnixStream>>,
) -> anyhow::Result<Begun> {
    let chosen = checkpoint::choose(log, log::id(log)?, rules)?;
    let tail = |feed, reader, sequence, group: Group| Tail {
        reader,
        feed,
        sequence,
        fed_at: group.epoch,
        group,
        first: None,
        told: Arc::default(),
        reports: Arc::clone(reports),
    };
    let Some((path, _)) = chosen else {
        let (feed, results) = engine::start(workers, rules, Base::default());
        let tail = tail(feed, Reader::open(log)?, 0, Group::default());
        return Ok(Begun { tail, results, checkpoint: None });
    };
    let of = path.metadata()?.len();
    let mut said = 0;
    let restored = checkpoint::restore(&path, workers, rules, |epoch, bytes| {
        if bytes >= said + RESTORING_BYTES {
            said = bytes;
            // Nobody may be left to tell: the tail notices.
            let _ = say(reports, &Report::Restoring { epoch, bytes, of });
        }
    })?;
    let Restored { head, feed, results } = restored;
    // Nothing of the log belongs to the epoch in which the past was put in.
    let group = Group { epoch: head.epoch, events: 0, tells_time: true };
    let tail = tail(feed, Reader::open_at(log, head.position)?, head.events, group);
    Ok(Begun { tail, results, checkpoint: Some((path, head)) })
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

/// What the reporter must know of what was fed, oldest first.
#[derive(Default)]
struct Told {
    /// Epochs the node waits for.
    owed: VecDeque<Epoch>,
    /// Epochs that tell the time, each with the epoch of the dataflow it was fed in.
    hours: VecDeque<(Epoch, Epoch)>,
}

struct Tail {
    reader: Reader,
    feed: Feed,
    /// Events read so far: what orders upserts.
    sequence: u64,
    /// The epoch of the dataflow that is open.
    fed_at: Epoch,
    group: Group,
    /// What is to be reported before all else.
    first: Option<Epoch>,
    told: Arc<Mutex<Told>>,
    reports: Arc<Mutex<UnixStream>>,
}

/// Epochs of the log that the dataflow takes as one. What it computes at the end is the same: only
/// the draw of the survey and the horizon depend on when, and they act in epochs that tell the
/// time, which end a group.
#[derive(Default)]
struct Group {
    epoch: Epoch,
    events: u64,
    tells_time: bool,
}

impl Tail {
    /// Feeds the log to the dataflow as the node closes epochs, until it says stop or is gone.
    fn follow(mut self, log: &Path, commands: &Receiver<Command>) -> anyhow::Result<()> {
        while let Ok(command) = commands.recv() {
            let (mut last, mut asked) = (None, Vec::new());
            for command in std::iter::once(command).chain(commands.try_iter()) {
                match command {
                    Command::Ask { number, ask } => asked.push((number, ask)),
                    other => last = Some(other),
                }
            }
            match last {
                Some(Command::Advance { end, epoch }) => self.advance(log, end, epoch)?,
                Some(_) => break,
                None => {}
            }
            for (number, ask) in asked {
                self.feed.ask(number, ask);
            }
        }
        Ok(())
    }

    /// Reads up to `end`, and closes what is there.
    fn advance(&mut self, log: &Path, end: Position, epoch: Epoch) -> anyhow::Result<()> {
        self.first.take_if(|first| *first >= epoch);
        self.read(end).with_context(|| format!("cannot read on in {}", log.display()))?;
        if let Some(first) = self.first.take() {
            close_first(first, &mut self.feed, &self.told);
        }
        self.close(epoch);
        Ok(())
    }

    /// Closes every epoch below `epoch`, which the node waits for.
    fn close(&mut self, epoch: Epoch) {
        self.told.lock().expect("no panic").owed.push_back(epoch);
        self.feed.close(epoch);
        self.fed_at = epoch;
        self.group = Group { epoch, ..Group::default() };
    }

    fn read(&mut self, end: Position) -> anyhow::Result<()> {
        let mut inputs = Vec::with_capacity(BATCH_EVENTS);
        loop {
            // The frame borrows the reader, and what is done with it needs the rest.
            let Tail { reader, feed, sequence, fed_at, group, first, told, reports } = &mut *self;
            let Some(frame) = reader.next_frame(end)? else { break };
            if let Some(first) = first.take_if(|first| *first <= frame.epoch) {
                give(feed, sequence, &mut inputs);
                close_first(first, feed, told);
                *fed_at = first;
                *group = Group { epoch: first, ..Group::default() };
            }
            let full = group.tells_time || group.events >= GROUP_EVENTS;
            if frame.epoch > group.epoch && full {
                give(feed, sequence, &mut inputs);
                feed.close(frame.epoch);
                *fed_at = frame.epoch;
                *group = Group::default();
            }
            group.epoch = frame.epoch;
            for event in frame.events() {
                let event = event?;
                group.events += 1;
                if let Event::Clock(hour) = event {
                    give(feed, sequence, &mut inputs);
                    feed.tell(*sequence, Input::Clock(hour));
                    *sequence += 1;
                    if !group.tells_time {
                        group.tells_time = true;
                        let hour = (*fed_at, frame.epoch);
                        told.lock().expect("no panic").hours.push_back(hour);
                    }
                    continue;
                }
                inputs.push(event.input());
                if inputs.len() == BATCH_EVENTS {
                    give(feed, sequence, &mut inputs);
                }
                let read = *sequence + inputs.len() as u64;
                if read.is_multiple_of(READING_EVENTS) {
                    // A node that is gone is noticed when there is nothing more to receive.
                    let _ = say(reports, &Report::Reading { events: read });
                }
            }
        }
        give(&mut self.feed, &mut self.sequence, &mut inputs);
        Ok(())
    }
}

/// Closes the epochs below `first`, and waits until that is reported: later epochs would otherwise
/// be taken together with it.
fn close_first(first: Epoch, feed: &mut Feed, told: &Mutex<Told>) {
    told.lock().expect("no panic").owed.push_back(first);
    feed.close(first);
    while told.lock().expect("no panic").owed.contains(&first) {
        thread::park_timeout(FIRST_WAIT);
    }
}

fn give(feed: &mut Feed, sequence: &mut u64, inputs: &mut Vec<Input>) {
    if inputs.is_empty() {
        return;
    }
    let given = std::mem::replace(inputs, Vec::with_capacity(BATCH_EVENTS));
    let count = given.len() as u64;
    feed.batch(*sequence, Batch::Inputs(given));
    *sequence += count;
}

/// Says how rows change, and what their digests are.
struct Reporter {
    chain: Chain,
    /// The checkpoint that the first rows come from.
    expected: Option<(PathBuf, Head)>,
    told: Arc<Mutex<Told>>,
    reports: Arc<Mutex<UnixStream>>,
}

impl Reporter {
    /// Reports the epochs that are owed, each with all changes since the one before.
    fn report(mut self, mut results: Results) -> anyhow::Result<()> {
        let mut pending: Vec<(Row, isize)> = Vec::new();
        let mut consolidated = 0;
        while let Some(news) = results.next_news() {
            let closed = match news {
                News::Closed(closed) => closed,
                News::Answer(number, answer) => {
                    if say(&self.reports, &Report::Answer { number, answer }).is_err() {
                        return Ok(());
                    }
                    continue;
                }
            };
            let upper = closed.upper;
            self.follow(&closed)?;
            pending.append(&mut closed.changes());
            let due = {
                let owed = &mut self.told.lock().expect("no panic").owed;
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
                // A node that is gone is no error: there is nobody left to tell.
                if self.publish(upper, &mut pending).is_err() {
                    return Ok(());
                }
                consolidated = 0;
            }
        }
        Ok(())
    }

    /// Keeps the digests, epoch by epoch, and links those that told the time.
    fn follow(&mut self, closed: &Closed) -> anyhow::Result<()> {
        for (epoch, changes) in &closed.epochs {
            self.link_before(*epoch);
            self.chain.change(changes);
            if let Some((path, head)) = self.expected.take_if(|(_, head)| head.epoch == *epoch) {
                self.begin_from(&path, &head)?;
            }
        }
        self.link_before(closed.upper);
        Ok(())
    }

    /// The rows of the hours fed before this epoch of the dataflow are all there.
    fn link_before(&mut self, epoch: Epoch) {
        let hours = &mut self.told.lock().expect("no panic").hours;
        while let Some((_, hour)) = hours.pop_front_if(|(fed_at, _)| *fed_at < epoch) {
            self.chain.link(hour);
        }
    }

    /// The first rows must be those that the checkpoint was found to come to.
    fn begin_from(&mut self, path: &Path, head: &Head) -> anyhow::Result<()> {
        let differing = self.chain.differing(&head.chain);
        if differing.is_empty() {
            self.chain = head.chain.clone();
            return Ok(());
        }
        let aside = path.with_added_extension("wrong");
        std::fs::rename(path, &aside)
            .with_context(|| format!("cannot set {} aside", path.display()))?;
        let views: Vec<&str> = differing.into_iter().map(View::name).collect();
        bail!(
            "{} comes to other figures than when it was made ({}), and is set aside",
            path.display(),
            views.join(", ")
        )
    }

    fn publish(&self, upper: Epoch, pending: &mut Vec<(Row, isize)>) -> std::io::Result<()> {
        let reports = &self.reports;
        let mut changes = pending.drain(..).map(|(row, diff)| (row, diff as i64));
        loop {
            let changes: Vec<_> = changes.by_ref().take(PART_ROWS).collect();
            if changes.len() < PART_ROWS {
                let chain = Box::new(self.chain.clone());
                return say(reports, &Report::Closed { upper, changes, chain });
            }
            say(reports, &Report::Part { changes })?;
        }
    }
}

fn say(reports: &Mutex<UnixStream>, report: &Report) -> std::io::Result<()> {
    protocol::send(&mut *reports.lock().expect("no panic"), report)
}
