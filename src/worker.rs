//! The worker process: tails the log up to what the node says is closed, and reports how rows change.
//!
//! It holds nothing that cannot be computed again, so it may die at any moment; it learns of the
//! node's death by the end of the stream, and ends too. It reads the log, and never writes it.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use std::{io, iter};

use anyhow::{Context, bail};
use dataflows::calendar::Hour;
use dataflows::domain::{Epoch, Input, Turn};
use dataflows::graph::Base;
use dataflows::views::{Ranks, View};
use differential_dataflow::consolidation::consolidate;

use crate::chain::Chain;
use crate::checkpoint::{self, Head, Restored};
use crate::engine::{self, Batch, Closed, Feed, News, Results, consolidate_by_key};
use crate::log::{self, Position, Reader};
use crate::mesh::hand;
use crate::protocol::{self, Command, Report, Seat, Teller};
use crate::rules::Rules;
use crate::tether;
use crate::views::{Held, Updates};

/// Events handed to a timely worker at once.
const BATCH_EVENTS: usize = 4096;
/// While catching up, so many events are taken as one epoch: few rounds, bounded memory. Once the node has
/// what was there, such an epoch is reported if none was for so long: whoever looks at the figures sees them
/// go on, however far they are behind.
const GROUPING: Grouping = Grouping { events: 1 << 18, late: Duration::from_millis(500) };
/// Rows in one message, so that neither side holds a whole state twice.
const PART_ROWS: usize = 1 << 16;
/// One change for so many rows is few: it is looked for among them, where else all are sorted.
const FEW: usize = 64;
/// How often a reading worker says how far it is: whoever watches it must see it go on.
const READING: Duration = Duration::from_millis(500);

/// How often a worker says that it is alive.
const BEAT: Duration = Duration::from_secs(1);
/// How often a restoring worker says how far it is, in bytes.
const RESTORING_BYTES: u64 = 8 << 20;

/// The node, to be told.
type Node = Teller<UnixStream>;

/// Runs the hidden command `otklik worker`: standard input is the node's end of a socket pair.
///
/// # Errors
/// A log that cannot be read; a checkpoint that comes to other figures than it should, which is
/// set aside; a node that speaks otherwise than [`protocol`].
pub fn run() -> anyhow::Result<()> {
    let stdin =
        std::io::stdin().as_fd().try_clone_to_owned().context("cannot use standard input")?;
    let mut node = UnixStream::from(stdin);
    let start = protocol::receive(&mut node).context("standard input is no socket of a node")?;
    let Some(Command::Start { data, adopted, workers, rules, first, seat }) = start else {
        bail!("the worker is started by a node, not by hand: otklik serve");
    };
    let others = seat.as_ref().map_or(0, |seat| seat.processes - 1);
    let sockets = exchange(others).context("cannot take over the sockets of the node")?;
    let to_node = node.try_clone().context("cannot share the socket")?;
    let reports = Arc::new(Mutex::new(Teller::new(to_node)));
    beat(Arc::clone(&reports));
    let apart_from = seat.as_ref().map_or(Epoch::MAX, |seat| seat.until);
    let breaks = seat.as_ref().map_or(&[][..], |seat| &seat.breaks);
    let breaks =
        breaks.iter().copied().filter(|at| first.is_none_or(|first| *at >= first)).collect();
    let begun = match seat {
        None => begin(&data, workers, &rules, &reports)?,
        Some(seat) => join(seat, sockets, &data, adopted, workers, &rules)?,
    };
    // A checkpoint may be of a later epoch; then it is that one that is reported first.
    let open = begun.checkpoint.as_ref().map_or(0, |(_, head)| head.epoch);
    let begins_at = begun.checkpoint.as_ref().map_or(0, |(_, head)| head.epoch + 1);
    let first = first.map(|first| first.max(begins_at));
    let told = Arc::new(Mutex::new(Told::default()));
    let reporter = Reporter {
        chain: Chain::default(),
        expected: begun.checkpoint,
        first,
        breaks,
        apart_from,
        known: 0,
        pending: Vec::new(),
        consolidated: 0,
        told: Arc::clone(&told),
        reports: Arc::clone(&reports),
    };
    let Begun { logs, feed, results, seat, breaks, .. } = begun;
    let reporter = thread::spawn(move || reporter.report(results));
    let commands = commands(node);
    let tail = Tail {
        logs,
        feed,
        shared: seat.is_some(),
        apart_from,
        tells: seat.is_none_or(|process| process == 0),
        open,
        begins_at,
        taken: 0,
        read: 0,
        said_at: Instant::now(),
        hours: VecDeque::new(),
        breaks: breaks.into(),
        first,
        owed_at: None,
        grouping: GROUPING,
        inputs: Vec::with_capacity(BATCH_EVENTS),
        told,
        reports,
    };
    let fed = tail.follow(&commands);
    if seat.is_some() {
        // The others compute on until they notice that this process has ended.
        return fed;
    }
    // A node that is gone is no error: there is nobody left to tell.
    let reported = reporter.join().expect("a panic ends the process");
    fed.and(reported)
}

/// Says every second that the process is not stopped, and ends it where nobody is told any more: a
/// log that is being read may be long, and the next node starts a worker of its own.
fn beat(reports: Arc<Mutex<Node>>) {
    thread::spawn(move || {
        while say(&reports, &Report::Alive).is_ok() {
            thread::sleep(BEAT);
        }
        std::process::exit(0);
    });
}

/// Gives the node what it notices the worker's end by, and takes what the node gives: connections to
/// so many others, and what tells of its own end.
fn exchange(others: usize) -> anyhow::Result<Vec<TcpStream>> {
    let stdout = UnixStream::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    hand::send(&stdout, tether::tie())?;
    let mut given = hand::receive(&stdout)?;
    if given.len() < others {
        bail!("{} sockets came, not {others}", given.len());
    }
    let ends = given.split_off(others);
    let sockets: Vec<_> = given.into_iter().map(TcpStream::from).collect();
    let to_others = sockets.iter().map(TcpStream::try_clone).collect::<io::Result<Vec<_>>>()?;
    thread::spawn(move || share_fate(&ends, &to_others));
    Ok(sockets)
}

/// Where the node or a worker of another node is no more, nothing is computed any more: ends, and
/// lets the others know before its memory is free.
fn share_fate(ends: &[OwnedFd], to_others: &[TcpStream]) {
    let connections = to_others.iter().map(AsFd::as_fd);
    let closed = tether::wait(&ends.iter().map(AsFd::as_fd).chain(connections).collect::<Vec<_>>());
    for socket in to_others {
        // One that is closed already says so too.
        let _ = socket.shutdown(Shutdown::Both);
    }
    if closed < ends.len() {
        std::process::exit(0);
    }
    eprintln!(
        "otklik: the connection to another node's worker is closed, and this one ends with it"
    );
    std::process::exit(1);
}

/// A dataflow, and where the logs go on after what it holds.
struct Begun {
    logs: Vec<Log>,
    feed: Feed,
    results: Results<Held>,
    /// The file it began with, and what it must come to.
    checkpoint: Option<(PathBuf, Head)>,
    /// The number of the process in a cluster.
    seat: Option<usize>,
    /// Epochs to be closed by themselves.
    breaks: Vec<Epoch>,
}

/// Begins with the newest checkpoint that is whole, or else with nothing.
fn begin(
    data: &Path,
    workers: usize,
    rules: &Rules,
    reports: &Arc<Mutex<Node>>,
) -> anyhow::Result<Begun> {
    let chosen = checkpoint::choose(data, log::id(data)?, rules)?;
    let Some((path, _)) = chosen else {
        let (feed, results) = engine::start(workers, rules, Base::default());
        let logs = vec![Log::open(data, None)?];
        return Ok(Begun { logs, feed, results, checkpoint: None, seat: None, breaks: vec![] });
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
    let reader = Reader::open_at(data, head.position)?;
    let logs = vec![Log { reader, data: data.to_owned(), events: head.events, end: None }];
    // Nothing of the log belongs to the epoch in which the past was put in.
    let breaks = vec![head.epoch + 1];
    Ok(Begun { logs, feed, results, checkpoint: Some((path, head)), seat: None, breaks })
}

/// Begins with nothing, as one of the workers of a cluster.
fn join(
    seat: Seat,
    sockets: Vec<TcpStream>,
    data: &Path,
    adopted: Vec<(PathBuf, Position)>,
    workers: usize,
    rules: &Rules,
) -> anyhow::Result<Begun> {
    let mut sockets: Vec<_> = sockets.into_iter().map(Some).collect();
    sockets.insert(seat.process, None);
    let (feed, results) = engine::join(seat.process, sockets, workers, rules)?;
    let mut logs = vec![Log::open(data, None)?];
    for (data, end) in adopted {
        logs.push(Log::open(&data, Some(end))?);
    }
    let Seat { process, breaks, .. } = seat;
    Ok(Begun { logs, feed, results, checkpoint: None, seat: Some(process), breaks })
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

/// How epochs of the log are taken together.
struct Grouping {
    events: u64,
    late: Duration,
}

/// What the reporter must know of what was fed, oldest first.
#[derive(Default)]
struct Told {
    /// Epochs the node waits for.
    owed: VecDeque<Epoch>,
    /// Epochs that tell the time.
    hours: VecDeque<Epoch>,
}

/// A log that is read.
struct Log {
    data: PathBuf,
    reader: Reader,
    /// Events read so far.
    events: u64,
    /// Where it ends, if nobody writes it any more.
    end: Option<Position>,
}

impl Log {
    fn open(data: &Path, end: Option<Position>) -> anyhow::Result<Log> {
        Ok(Log { data: data.to_owned(), reader: Reader::open(data)?, events: 0, end })
    }
}

/// Feeds the logs to the dataflow.
///
/// While it catches up, the epochs of the log are taken together as far as that makes no difference
/// to what is computed: the draw of the survey and the horizon depend on when, and act in epochs
/// that tell the time. So up to each of those, and at each epoch that somebody waits for, whatever
/// is below is read from all logs, and the epoch closed by itself.
struct Tail {
    logs: Vec<Log>,
    feed: Feed,
    /// Whether other processes compute with this one, and close the same epochs.
    shared: bool,
    /// From this epoch on each is fed by itself: other processes may report any of them.
    apart_from: Epoch,
    /// Whether it is this process that tells the time.
    tells: bool,
    /// The epoch of the dataflow that is open.
    open: Epoch,
    /// What the checkpoint holds is of epochs below.
    begins_at: Epoch,
    /// Events since that was closed.
    taken: u64,
    /// Events read so far, and when that was said last.
    read: u64,
    said_at: Instant,
    /// The hours to be told, by epoch.
    hours: VecDeque<(Epoch, Hour)>,
    /// Epochs to be closed by themselves.
    breaks: VecDeque<Epoch>,
    /// What is to be reported before all else, and so closed by itself.
    first: Option<Epoch>,
    /// When the last epoch was fed that is to be reported; none until all is that was there at the start.
    owed_at: Option<Instant>,
    grouping: Grouping,
    /// Events to be handed over together.
    inputs: Vec<Input>,
    told: Arc<Mutex<Told>>,
    reports: Arc<Mutex<Node>>,
}

impl Tail {
    /// Feeds the logs as the node closes epochs, until it says stop or is gone.
    fn follow(mut self, commands: &Receiver<Command>) -> anyhow::Result<()> {
        while let Ok(command) = commands.recv() {
            // All epochs that are closed by now are taken together, but none beyond a question: it is
            // about the last one that was closed before it.
            let mut last = None;
            for command in iter::once(command).chain(commands.try_iter()) {
                match command {
                    Command::Advance { end, epoch, hours } => {
                        // What a checkpoint holds, it holds with its hours.
                        self.hours
                            .extend(hours.into_iter().filter(|(at, _)| *at >= self.begins_at));
                        last = Some((end, epoch));
                    }
                    Command::Ask { number, ask } => {
                        self.advance(last.take())?;
                        self.feed.ask(number, ask);
                    }
                    Command::Start { .. } | Command::Stop => return Ok(()),
                }
            }
            self.advance(last)?;
        }
        Ok(())
    }

    /// Reads on and closes what the node has closed, if that is more than before.
    fn advance(&mut self, last: Option<(Position, Epoch)>) -> anyhow::Result<()> {
        let Some((end, epoch)) = last else { return Ok(()) };
        self.first.take_if(|first| *first >= epoch);
        self.read_below(epoch, end)?;
        self.told.lock().expect("no panic").owed.push_back(epoch);
        self.owed_at = Some(Instant::now());
        self.close(epoch);
        Ok(())
    }

    /// Reads what is below an epoch, and stops at each that is to be closed by itself.
    fn read_below(&mut self, epoch: Epoch, end: Position) -> anyhow::Result<()> {
        loop {
            let hour = self.hours.front().map(|(at, _)| at + 1);
            let stops = [hour, self.first, self.breaks.front().copied()];
            let stop = stops.into_iter().flatten().min().filter(|stop| *stop <= epoch);
            self.take_below(stop.unwrap_or(epoch), end)?;
            let Some(stop) = stop else { return Ok(()) };
            if hour == Some(stop) {
                self.tell_hour();
            }
            self.first.take_if(|first| *first == stop);
            if stop < epoch {
                self.close(stop);
            }
            while self.breaks.pop_front_if(|at| *at <= stop).is_some() {}
            if stop == epoch && self.hours.front().is_none_or(|(at, _)| *at >= epoch) {
                return Ok(());
            }
        }
    }

    /// All events of its epoch and before are fed: the next hour strikes.
    fn tell_hour(&mut self) {
        let Some((at, hour)) = self.hours.pop_front() else { return };
        if self.shared {
            // Other processes may have fed theirs at any time up to this.
            self.close(at);
        }
        if self.tells {
            self.feed.tell(hour);
        }
        self.told.lock().expect("no panic").hours.push_back(at);
    }

    /// Closes every epoch below `epoch`.
    fn close(&mut self, epoch: Epoch) {
        if epoch > self.open {
            self.feed.close(epoch);
            (self.open, self.taken) = (epoch, 0);
        }
    }

    /// Feeds every event of an epoch below `stop`, log by log.
    fn take_below(&mut self, stop: Epoch, end: Position) -> anyhow::Result<()> {
        // Of several logs, what is below an epoch may be in the next.
        let alone = self.logs.len() == 1 && !self.shared;
        for log in &mut self.logs {
            let number = log.reader.log();
            let mut turn = Turn::default();
            let limit = log.end.unwrap_or(end);
            loop {
                let frame = log.reader.next_frame_below(stop, limit);
                let frame =
                    frame.with_context(|| format!("cannot read on in {}", log.data.display()))?;
                let Some(frame) = frame else { break };
                let is_full = self.taken >= self.grouping.events || frame.epoch >= self.apart_from;
                if is_full && frame.epoch > self.open {
                    give(&mut self.feed, turn, &mut self.inputs);
                    let late = self.grouping.late;
                    if alone && self.owed_at.is_some_and(|owed_at| owed_at.elapsed() >= late) {
                        self.told.lock().expect("no panic").owed.push_back(frame.epoch);
                        self.owed_at = Some(Instant::now());
                    }
                    self.feed.close(frame.epoch);
                    (self.open, self.taken) = (frame.epoch, 0);
                }
                self.taken += u64::from(frame.count);
                for event in frame.events() {
                    let input = event?.input();
                    let now = Turn { epoch: frame.epoch, log: number, number: log.events };
                    log.events += 1;
                    self.read += 1;
                    // Only reference data are asked for their turn.
                    if matches!(input, Input::Reference(..)) && turn.epoch < now.epoch {
                        give(&mut self.feed, turn, &mut self.inputs);
                    }
                    if self.inputs.is_empty() {
                        turn = now;
                    }
                    // Time is told by the node, which knows it of all logs.
                    if !matches!(input, Input::Clock(_)) {
                        self.inputs.push(input);
                    }
                    if self.inputs.len() == BATCH_EVENTS {
                        give(&mut self.feed, turn, &mut self.inputs);
                    }
                }
                if self.said_at.elapsed() >= READING {
                    self.said_at = Instant::now();
                    // A node that is gone is noticed when there is nothing more to receive.
                    let _ = say(&self.reports, &Report::Reading { events: self.read });
                }
            }
            give(&mut self.feed, turn, &mut self.inputs);
        }
        Ok(())
    }
}

/// Hands over events, the first of which has this turn.
fn give(feed: &mut Feed, turn: Turn, inputs: &mut Vec<Input>) {
    if !inputs.is_empty() {
        let given = std::mem::replace(inputs, Vec::with_capacity(BATCH_EVENTS));
        feed.batch(turn, Batch::Inputs(given));
    }
}

/// Says how rows change, and what their digests are.
struct Reporter {
    chain: Chain,
    /// The checkpoint that the first rows come from.
    expected: Option<(PathBuf, Head)>,
    /// What is to be reported before all else.
    first: Option<Epoch>,
    /// Epochs that all processes close by themselves, from the first that is reported on.
    breaks: VecDeque<Epoch>,
    /// From this epoch on each is computed by itself.
    apart_from: Epoch,
    /// The last epoch whose rows the node knows.
    known: Epoch,
    /// How rows have changed since.
    pending: Vec<(Held, isize)>,
    /// So many of them, from the first, are consolidated; if more than [`Ranks::PAY`], in the order of
    /// their keys.
    consolidated: usize,
    told: Arc<Mutex<Told>>,
    reports: Arc<Mutex<Node>>,
}

impl Reporter {
    /// Reports what is owed, and in a cluster every epoch that all processes compute by itself.
    fn report(mut self, mut results: Results<Held>) -> anyhow::Result<()> {
        // Of `pending`, when it was consolidated last.
        let mut before = 0;
        while let Some(news) = results.next_news() {
            let Closed { upper, mut epochs } = match news {
                News::Closed(closed) => closed,
                News::Answer(number, answer) => {
                    if say(&self.reports, &Report::Answer { number, answer }).is_err() {
                        return Ok(());
                    }
                    continue;
                }
            };
            for (point, is_owed) in self.points(upper, &epochs) {
                let later = epochs.split_off(&point);
                self.take(std::mem::replace(&mut epochs, later))?;
                self.link_before(point);
                self.consolidate();
                if is_owed || !self.pending.is_empty() {
                    // A node that is gone is no error: there is nobody left to tell.
                    if self.publish(point).is_err() {
                        return Ok(());
                    }
                    before = 0;
                }
                self.known = point - 1;
            }
            self.take(epochs)?;
            self.link_before(upper);
            if self.pending.len() >= 2 * before + PART_ROWS {
                self.consolidate();
                before = self.pending.len();
            }
        }
        Ok(())
    }

    /// Up to where to report, now that all below `upper` is computed: what is owed, of several only the
    /// last; and where something has changed, each epoch that was computed by itself.
    fn points(
        &mut self,
        upper: Epoch,
        epochs: &BTreeMap<Epoch, Vec<(Held, isize)>>,
    ) -> BTreeMap<Epoch, bool> {
        let mut points = BTreeMap::new();
        while let Some(at) = self.breaks.pop_front_if(|at| *at <= upper) {
            points.insert(at, false);
        }
        for (epoch, _) in epochs.range(self.apart_from..) {
            points.extend([(*epoch, false), (epoch + 1, false)]);
        }
        let owed = &mut self.told.lock().expect("no panic").owed;
        let mut due = None;
        while let Some(epoch) = owed.pop_front_if(|epoch| *epoch <= upper) {
            due = Some(epoch);
        }
        points.extend(due.map(|due| (due, true)));
        // Nothing before the first; which is none where what is owed is not after it.
        self.first.take_if(|first| due.is_some_and(|due| due <= *first));
        points.retain(|at, _| self.first.is_none_or(|first| *at >= first));
        points.extend(self.first.take_if(|first| *first <= upper).map(|first| (first, true)));
        points
    }

    /// Keeps the changes and digests, epoch by epoch, and links those that told the time.
    fn take(&mut self, epochs: BTreeMap<Epoch, Vec<(Held, isize)>>) -> anyhow::Result<()> {
        for (epoch, mut changes) in epochs {
            self.link_before(epoch);
            self.chain.change(&changes);
            if let Some((path, head)) = self.expected.take_if(|(_, head)| head.epoch == epoch) {
                self.begin_from(&path, &head)?;
            }
            // What is consolidated is the greater part.
            if changes.len() > self.pending.len() {
                std::mem::swap(&mut changes, &mut self.pending);
                self.consolidated = self.pending.len();
            }
            self.pending.append(&mut changes);
        }
        Ok(())
    }

    /// Brings together what is of the same keys.
    fn consolidate(&mut self) {
        let later = self.pending.len() - self.consolidated;
        if later > 0 && self.consolidated > Ranks::PAY.max(FEW * later) {
            // A first state, and what followed it.
            let later = self.pending.split_off(self.consolidated);
            self.pending = put_in(std::mem::take(&mut self.pending), later);
        } else if later > 0 {
            consolidate_by_key(&mut self.pending);
        }
        self.consolidated = self.pending.len();
    }

    /// The rows of the hours told before this epoch are all there.
    fn link_before(&mut self, epoch: Epoch) {
        let hours = &mut self.told.lock().expect("no panic").hours;
        while let Some(hour) = hours.pop_front_if(|hour| *hour < epoch) {
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

    fn publish(&mut self, upper: Epoch) -> std::io::Result<()> {
        let (reports, after) = (&self.reports, self.known);
        self.consolidated = 0;
        let mut changes = Updates::paired(self.pending.drain(..));
        loop {
            let changes: Vec<_> = changes.by_ref().take(PART_ROWS).collect();
            if changes.len() < PART_ROWS {
                let chain = Box::new(self.chain.clone());
                return say(reports, &Report::Closed { upper, after, changes, chain });
            }
            say(reports, &Report::Part { changes })?;
        }
    }
}

/// Puts some changes in among others, which are consolidated and in the order of their keys; so is what
/// comes of both.
fn put_in(all: Vec<(Held, isize)>, mut some: Vec<(Held, isize)>) -> Vec<(Held, isize)> {
    some.sort_by_cached_key(|(held, _)| held.key());
    let mut some = some.into_iter().peekable();
    let mut places = Vec::new();
    while let Some((first, diff)) = some.next() {
        let key = first.key();
        let mut same = vec![(first, diff)];
        same.extend(iter::from_fn(|| some.next_if(|(held, _)| held.key() == key)));
        let begin = all.partition_point(|(held, _)| held.key() < key);
        let end = begin + all[begin..].iter().take_while(|(held, _)| held.key() == key).count();
        places.push((begin, end, same));
    }
    let mut together = Vec::with_capacity(all.len() + places.len());
    let (mut all, mut taken) = (all.into_iter(), 0);
    for (begin, end, mut same) in places {
        together.extend(all.by_ref().take(begin - taken));
        same.extend(all.by_ref().take(end - begin));
        consolidate(&mut same);
        together.append(&mut same);
        taken = end;
    }
    together.extend(all);
    together
}

fn say(reports: &Mutex<Node>, report: &Report) -> std::io::Result<()> {
    reports.lock().expect("no panic").say(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::log::{FrameBuilder, Options, Writer};
    use dataflows::id::Id;
    use dataflows::tally::Value;
    use dataflows::views::Row;

    /// What was there at the start is reported as a whole, and of what comes at once later each group.
    #[test]
    fn figures_go_on_while_much_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path();
        let (mut log, _) = Writer::open(data, Options::default(), None, |_, _| ()).expect("empty");
        let line =
            r#"{"type":"sms","record":7,"text":"5","received_at":"2018-03-02T09:15:00+07:00"}"#;
        let mut frame = FrameBuilder::new();
        for _ in 0..5 {
            frame.push(&Event::parse(line.as_bytes()).expect("valid")).expect("room");
        }
        let mut append = |epoch| log.append(epoch, &mut frame).expect("room on the disk");
        let at_start = (0..8).map(&mut append).last().expect("some");
        let end = (8..15).map(&mut append).last().expect("some");
        let (feed, results) = engine::start::<Held>(1, &Rules::default(), Base::default());
        let (ours, _node) = UnixStream::pair().expect("a pair");
        let told = Arc::new(Mutex::new(Told::default()));
        let mut tail = Tail {
            logs: vec![Log::open(data, None).expect("just written")],
            feed,
            shared: false,
            apart_from: Epoch::MAX,
            tells: true,
            open: 0,
            begins_at: 0,
            taken: 0,
            read: 0,
            said_at: Instant::now(),
            hours: VecDeque::new(),
            breaks: VecDeque::new(),
            first: None,
            owed_at: None,
            grouping: Grouping { events: 10, late: Duration::ZERO },
            inputs: Vec::new(),
            told: Arc::clone(&told),
            reports: Arc::new(Mutex::new(Teller::new(ours))),
        };
        tail.advance(Some((at_start, 8))).expect("reads");
        assert_eq!(told.lock().expect("no panic").owed, [8]);
        tail.advance(Some((end, 15))).expect("reads");
        assert_eq!(told.lock().expect("no panic").owed, [8, 10, 12, 14, 15]);
        assert_eq!(tail.read, 75);
        tail.grouping.late = Duration::MAX;
        let end = (15..25).map(&mut append).last().expect("some");
        tail.advance(Some((end, 25))).expect("reads");
        assert_eq!(told.lock().expect("no panic").owed, [8, 10, 12, 14, 15, 25]);
        drop(tail);
        let mut upper = 0;
        results.for_all(|_| upper += 1);
        assert!(upper > 0, "rows of what was fed");
    }

    fn mfc(unit: usize, k: i64) -> Held {
        let unit = Id::of(&format!("{unit:04}"));
        Held::from(Row::Mfc { unit, value: Value { k, n: 9 } })
    }

    /// As if all were sorted together: rows that change, go, come, and come and go.
    #[test]
    fn some_changes_are_put_in_among_many() {
        let all: Vec<_> = (0..100).map(|unit| (mfc(3 * unit, 1), 1)).collect();
        let mut some = Vec::new();
        for unit in [0, 7, 150, 151, 297, 298] {
            let is_there = unit % 3 == 0;
            some.extend(is_there.then(|| (mfc(unit, 1), -1)));
            some.extend([(mfc(unit, 2), 1), (mfc(unit, 2), -1)]);
            some.extend((unit != 150).then(|| (mfc(unit, 3), 1)));
        }
        let mut expected = [all.clone(), some.clone()].concat();
        consolidate(&mut expected);
        expected.sort_by_key(|(held, _)| held.key());
        some.reverse();
        assert_eq!(put_in(all.clone(), some), expected);
        assert_eq!(expected.len(), 100 - 1 + 3);
        assert_eq!(put_in(all.clone(), vec![]), all);
        assert_eq!(put_in(vec![], all.clone()), all);
    }
}
