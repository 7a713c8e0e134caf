//! The timely workers of this process: events in, closed epochs of row changes out.
//!
//! The only place that drives timely. `compute`, `verify` and the node's worker differ in where
//! their events come from and what they do with the rows; between the two, all three are this.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZero;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use std::{io, iter};

use dataflows::ask::{Answer, Ask};
use dataflows::calendar::Hour;
use dataflows::cells::Rated;
use dataflows::domain::{Epoch, Input, Place, Turn};
use dataflows::epochs::{Rows, per_epoch};
use dataflows::graph::{self, Base, Inputs};
use dataflows::places::Places;
use dataflows::records::Outcome;
use dataflows::views::{Ranks, Row};
use differential_dataflow::AsCollection;
use differential_dataflow::consolidation::consolidate;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::zero_copy::stream::Stream;
use timely::communication::{AllocatorBuilder, Hooks};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::ProbeHandle;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::probe::Probe;
use timely::dataflow::operators::vec::Map;

use crate::rules::Rules;
use crate::world::{switches, world};

/// How many batches wait at each worker before [`Feed::batch`] waits too.
const QUEUE_BATCHES: usize = 4;
/// How many closed epochs a worker lets the dataflow be behind before it takes in more.
const EPOCHS_IN_FLIGHT: usize = 4;

/// Events of one epoch, for one worker to take in.
pub enum Batch {
    /// As the dataflow takes them.
    Inputs(Vec<Input>),
    /// What closed records came to, and how often.
    Settled(Vec<(Outcome, isize)>),
    /// What the ratings of closed records come to, place by place.
    Rated(Vec<(Place, Rated)>),
    /// Messages were received up to this moment, microseconds since 1970.
    Seen(i64),
}

enum Message {
    /// The turn of its first event, and events for the open epoch.
    Batch(Turn, Batch),
    /// Every epoch below is closed.
    Close(Epoch),
    /// A question about what is closed so far, and its number.
    Ask(u64, Arc<Ask>),
}

/// What a worker says.
enum Said {
    /// How rows change; of epochs that are not closed yet.
    Rows(Vec<(Row, Epoch, isize)>),
    Upper(usize, Epoch),
    Answer(u64, Box<Answer>),
}

/// The way in. Dropping it lets the workers finish.
pub struct Feed {
    workers: Vec<SyncSender<Message>>,
    next: usize,
}

/// The way out. A row becomes what is wanted of it, `R`, as soon as it comes, while the workers go on
/// with its epoch.
pub struct Results<R = Row> {
    said: Receiver<Said>,
    uppers: Vec<Epoch>,
    upper: Epoch,
    open: BTreeMap<Epoch, Vec<(R, isize)>>,
    /// Answers that not all workers have given yet: how many have, and their sum.
    answers: BTreeMap<u64, (usize, Answer)>,
    workers: Vec<thread::JoinHandle<()>>,
}

/// What the workers have come to.
pub enum News<R = Row> {
    /// Epochs are closed.
    Closed(Closed<R>),
    /// A question is answered: its number, and the answer of all workers as of the `upper` of the
    /// [`Closed`] before.
    Answer(u64, Box<Answer>),
}

/// All epochs below `upper` are computed.
pub struct Closed<R = Row> {
    /// The first epoch not included.
    pub upper: Epoch,
    /// How rows changed since the one before, epoch by epoch, each consolidated; those of a key are
    /// beside each other.
    pub epochs: BTreeMap<Epoch, Vec<(R, isize)>>,
}

impl<R: Ord> Closed<R> {
    /// How rows changed since the one before, consolidated.
    pub fn changes(self) -> Vec<(R, isize)> {
        let mut epochs = self.epochs.into_values();
        let mut changes = epochs.next().unwrap_or_default();
        if epochs.len() > 0 {
            changes.extend(epochs.flatten());
            consolidate(&mut changes);
        }
        changes
    }
}

/// Starts `workers` timely workers, with the past that is not part of `base` still to be fed.
pub fn start<R>(workers: usize, rules: &Rules, base: Base) -> (Feed, Results<R>) {
    start_ahead(workers, rules, base, QUEUE_BATCHES)
}

/// Likewise, for who has much to give at once: so many batches may wait at each worker. They are given while
/// the workers close an epoch, which may take long, and taken while a new one is read.
pub fn start_ahead<R>(
    workers: usize,
    rules: &Rules,
    base: Base,
    ahead: usize,
) -> (Feed, Results<R>) {
    let built = timely::CommunicationConfig::Process(workers).try_build();
    let (builders, others) = built.expect("workers of one process need nothing");
    run(builders, others, Seat { process: 0, processes: 1, workers }, rules, base, ahead)
}

/// Starts `workers` timely workers as one of the processes of a cluster, all of which start as many.
///
/// `sockets` has a connection to every other process, in their order, and none at `process`. When
/// one of them breaks, a thread of timely panics, and this process ends with it. Every process
/// gets the rows of all; the one who tells the time is process 0.
///
/// # Errors
/// A socket cannot be shared by threads.
pub fn join<R>(
    process: usize,
    sockets: Vec<Option<impl Stream + 'static>>,
    workers: usize,
    rules: &Rules,
) -> io::Result<(Feed, Results<R>)> {
    let seat = Seat { process, processes: sockets.len(), workers };
    let hooks = Hooks::default();
    let within = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), None);
    let (builders, guard) =
        initialize_networking_from_sockets(within, sockets, process, workers, hooks)?;
    let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
    Ok(run(builders, Box::new(guard), seat, rules, Base::default(), QUEUE_BATCHES))
}

/// Where a process is among those that compute together.
#[derive(Clone, Copy)]
struct Seat {
    process: usize,
    processes: usize,
    /// Of each process.
    workers: usize,
}

fn run<R>(
    builders: Vec<AllocatorBuilder>,
    others: Box<dyn Any + Send>,
    seat: Seat,
    rules: &Rules,
    base: Base,
    ahead: usize,
) -> (Feed, Results<R>) {
    let (said, heard) = mpsc::channel();
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..seat.workers).map(|_| mpsc::sync_channel(ahead)).unzip();
    let receivers: Vec<_> = receivers.into_iter().map(|r| Mutex::new(Some(r))).collect();
    let parts = Arc::new((receivers, Mutex::new(said), switches(rules), world(), base));
    let main = thread::Builder::new()
        .name("dataflow".to_owned())
        .spawn(move || {
            let config = timely::WorkerConfig::default();
            let guards = timely::execute::execute_from(builders, others, config, move |worker| {
                let (receivers, said, switches, world, base) = &*parts;
                let index = worker.index() - seat.process * seat.workers;
                let messages = receivers[index].lock().expect("no panic").take();
                let said = said.lock().expect("no panic").clone();
                let (inputs, probe, places) = worker.dataflow(|scope| {
                    let (inputs, rows, places) = graph::build(scope, switches, world, base);
                    let rows = if seat.processes > 1 { to_all(rows, seat) } else { rows };
                    let said = said.clone();
                    // As they come: whoever hears them consolidates, beside this thread.
                    let sink = rows.inner.unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(
                        Pipeline,
                        "Publish",
                        |_, _| {
                            move |input, _| {
                                input.for_each(|_, rows| {
                                    // The receiver is gone only when nobody wants the rows any more.
                                    let _ = said.send(Said::Rows(std::mem::take(rows)));
                                });
                            }
                        },
                    );
                    (inputs, sink.probe().0, places)
                });
                let messages = messages.expect("each worker starts once");
                let alone = seat.processes == 1;
                Driver { index, alone, inputs, probe, places, said: &said }
                    .drive(worker, &messages);
            });
            drop(guards.expect("timely starts threads"));
        })
        .expect("the system starts a thread");
    let results = Results {
        said: heard,
        uppers: vec![0; seat.workers],
        upper: 0,
        open: BTreeMap::new(),
        answers: BTreeMap::new(),
        workers: vec![main],
    };
    (Feed { workers: senders, next: 0 }, results)
}

/// The rows of all processes at the first worker of each.
fn to_all<'s>(rows: Rows<'s, Row>, seat: Seat) -> Rows<'s, Row> {
    let consolidated = per_epoch(rows, "Consolidate", |epoch, mut rows, output| {
        consolidate(&mut rows);
        output.extend(rows.into_iter().map(|(row, diff)| (row, epoch, diff)));
    });
    let copies = consolidated.inner.flat_map(move |(row, epoch, diff)| {
        (0..seat.processes).map(move |process| ((process, row.clone()), epoch, diff))
    });
    copies
        .exchange(move |((process, _), ..)| (process * seat.workers) as u64)
        .map(|((_, row), epoch, diff)| (row, epoch, diff))
        .as_collection()
}

/// What a worker works with.
struct Driver<'a> {
    index: usize,
    /// Whether there is no other process.
    alone: bool,
    inputs: Inputs,
    probe: ProbeHandle<Epoch>,
    places: Rc<RefCell<Places>>,
    said: &'a Sender<Said>,
}

impl Driver<'_> {
    /// One worker's life: takes in what is fed, steps the dataflow, says how far it is.
    fn drive(mut self, worker: &mut timely::worker::Worker, messages: &Receiver<Message>) {
        let mut closed: VecDeque<Epoch> = VecDeque::new();
        let mut asked: Option<(u64, Arc<Ask>)> = None;
        loop {
            // What is closed is computed, and a later epoch can be applied nowhere while this worker
            // has not closed it: all workers answer as of the same epoch.
            if let Some((number, ask)) = asked.take_if(|_| closed.is_empty()) {
                let answer = Box::new(self.places.borrow().answer(&ask));
                let _ = self.said.send(Said::Answer(number, answer));
            }
            let message = if closed.is_empty() && self.alone {
                // Nothing is under way on any worker: wait without spinning.
                messages.recv().map_err(|_| mpsc::TryRecvError::Disconnected)
            } else if asked.is_none() && closed.len() < EPOCHS_IN_FLIGHT {
                messages.try_recv()
            } else {
                Err(mpsc::TryRecvError::Empty)
            };
            match message {
                Ok(Message::Batch(turn, batch)) => self.push(turn, batch),
                Ok(Message::Close(epoch)) => {
                    self.inputs.advance_to(epoch);
                    closed.push_back(epoch);
                }
                Ok(Message::Ask(number, ask)) => asked = Some((number, ask)),
                Err(mpsc::TryRecvError::Disconnected) if closed.is_empty() => return,
                // What others are at may concern this one too.
                Err(_) => {
                    worker.step_or_park(Some(Duration::from_millis(1)));
                }
            }
            worker.step();
            let mut upper = None;
            while closed.front().is_some_and(|epoch| !self.probe.less_than(epoch)) {
                upper = closed.pop_front();
            }
            if let Some(upper) = upper {
                let _ = self.said.send(Said::Upper(self.index, upper));
            }
        }
    }

    fn push(&mut self, mut turn: Turn, batch: Batch) {
        let Driver { inputs, .. } = self;
        match batch {
            Batch::Inputs(events) => {
                for event in events {
                    inputs.push(turn, event);
                    turn = turn.after(1);
                }
            }
            Batch::Settled(outcomes) => {
                for (outcome, count) in outcomes {
                    inputs.settle(outcome, count);
                }
            }
            Batch::Rated(places) => {
                for (place, rated) in places {
                    inputs.settle_at(place, rated);
                }
            }
            Batch::Seen(received) => inputs.saw(received),
        }
    }
}

impl Feed {
    /// Gives events of the open epoch to the workers, one after the other; `turn` is that of the
    /// first of them, and the others' follow.
    /// Waits while the workers are busy.
    pub fn batch(&mut self, turn: Turn, batch: Batch) {
        self.send(self.next, Message::Batch(turn, batch));
        self.next = (self.next + 1) % self.workers.len();
    }

    /// Says which hour it is in the open epoch: in a cluster, the first process does.
    pub fn tell(&mut self, hour: Hour) {
        let batch = Batch::Inputs(vec![Input::Clock(hour)]);
        self.send(0, Message::Batch(Turn::default(), batch));
    }

    /// Closes every epoch below `epoch`.
    pub fn close(&mut self, epoch: Epoch) {
        (0..self.workers.len()).for_each(|worker| self.send(worker, Message::Close(epoch)));
    }

    /// Asks all workers about what is closed so far.
    pub fn ask(&self, number: u64, ask: Ask) {
        let ask = Arc::new(ask);
        for worker in 0..self.workers.len() {
            self.send(worker, Message::Ask(number, Arc::clone(&ask)));
        }
    }

    fn send(&self, worker: usize, message: Message) {
        // A worker that is gone has panicked, and a panic ends the process.
        let _ = self.workers[worker].send(message);
    }
}

impl<R: From<Row> + AsRef<Row> + Ord + Send> Results<R> {
    /// Waits for the next closed epochs; `None` when the feed is dropped and all is computed.
    /// For who asks nothing.
    pub fn next_closed(&mut self) -> Option<Closed<R>> {
        loop {
            match self.next_news()? {
                News::Closed(closed) => return Some(closed),
                News::Answer(..) => {}
            }
        }
    }

    /// Gives away all rows that come and go, of whatever epoch, as they do; until the feed is dropped and all is
    /// computed. For who wants to know only what there is in the end.
    pub fn for_all(mut self, mut take: impl FnMut(Vec<(Row, Epoch, isize)>)) {
        while let Ok(said) = self.said.recv() {
            if let Said::Rows(rows) = said {
                take(rows);
            }
        }
        self.join();
    }

    fn join(&mut self) {
        for worker in self.workers.drain(..) {
            worker.join().expect("a panic ends the process");
        }
    }

    /// Waits for the next closed epochs or answer; `None` when the feed is dropped and all is
    /// computed.
    pub fn next_news(&mut self) -> Option<News<R>> {
        while let Ok(said) = self.said.recv() {
            match said {
                Said::Rows(rows) => {
                    let mut rows = rows.into_iter().peekable();
                    while let Some(epoch) = rows.peek().map(|(_, epoch, _)| *epoch) {
                        let of_epoch = iter::from_fn(|| rows.next_if(|(_, of, _)| *of == epoch));
                        let of_epoch = of_epoch.map(|(row, _, diff)| (R::from(row), diff));
                        self.open.entry(epoch).or_default().extend(of_epoch);
                    }
                }
                Said::Upper(worker, upper) => {
                    self.uppers[worker] = upper;
                    let upper = self.uppers.iter().copied().min().unwrap_or(upper);
                    if upper > self.upper {
                        self.upper = upper;
                        return Some(News::Closed(self.take_closed()));
                    }
                }
                Said::Answer(number, part) => {
                    let (parts, sum) = self.answers.entry(number).or_default();
                    *parts += 1;
                    sum.add(*part);
                    if *parts == self.uppers.len() {
                        let (_, sum) = self.answers.remove(&number).expect("entered above");
                        return Some(News::Answer(number, Box::new(sum)));
                    }
                }
            }
        }
        self.join();
        None
    }

    fn take_closed(&mut self) -> Closed<R> {
        let later = self.open.split_off(&self.upper);
        let mut epochs = std::mem::replace(&mut self.open, later);
        epochs.values_mut().for_each(consolidate_by_key);
        Closed { upper: self.upper, epochs }
    }
}

/// Consolidates rows of which a key has few, such that those of a key are beside each other; of more than
/// [`Ranks::PAY`] rows, in the order of their keys. They are brought together by a number for each key,
/// which costs a fraction of comparing whole rows.
pub fn consolidate_by_key<R: AsRef<Row> + Ord + Send>(rows: &mut Vec<(R, isize)>) {
    if rows.len() > Ranks::PAY {
        let ranks = Ranks::of_all();
        consolidate_by_number(rows, |row| ranks.of(&row.as_ref().key()));
    } else {
        consolidate_by_number(rows, |row| row.as_ref().key().mark());
    }
}

fn consolidate_by_number<R: Ord + Send, N: Copy + Ord + Send>(
    rows: &mut Vec<(R, isize)>,
    number: impl Fn(&R) -> N,
) {
    let numbered = rows.drain(..).map(|(row, diff)| (number(&row), (row, diff)));
    let mut numbered: Vec<(N, (R, isize))> = numbered.collect();
    if numbered.len() > Ranks::PAY {
        // The cores sort a share each; what is left is to merge those.
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let share = numbered.len().div_ceil(cores);
        thread::scope(|scope| {
            for share in numbered.chunks_mut(share) {
                scope.spawn(|| share.sort_unstable_by_key(|(number, _)| *number));
            }
        });
        numbered.sort_by_key(|(number, _)| *number);
    } else {
        numbered.sort_unstable_by_key(|(number, _)| *number);
    }
    let mut numbered = numbered.into_iter().peekable();
    let mut of_key = Vec::new();
    while let Some((number, row)) = numbered.next() {
        of_key.push(row);
        while let Some((_, row)) = numbered.next_if(|(next, _)| *next == number) {
            of_key.push(row);
        }
        consolidate(&mut of_key);
        rows.append(&mut of_key);
    }
}
