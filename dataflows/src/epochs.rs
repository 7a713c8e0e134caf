//! The shape of time: collections over [`Epoch`]s, and one way to write an operator with state of
//! its own, [`as_it_comes`], or [`in_parts`] where what it says has several readers. Those of records,
//! places, periods and clocks are [`Keeper`]s; others that say what differential's do not (upserts,
//! draws) are [`per_epoch`] with a closure.
//! What is summed by key on the way to a row is in [`sums`]: a total that changes in every epoch is a
//! number in a table there, where an arrangement would keep a batch of them an epoch and merge it for ever.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use differential_dataflow::difference::Semigroup;
use differential_dataflow::{AsCollection, Data, ExchangeData, Hashable, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{OutputBuilder, OutputBuilderSession};
use timely::dataflow::operators::{Capability, Exchange};

use crate::domain::Epoch;
use crate::id::{Table, drain};

/// A changing collection of `D`; the difference `R` says how many, or how much.
pub type Rows<'s, D, R = isize> = VecCollection<'s, Epoch, D, R>;

/// Updates that an operator puts out, at the epoch it was called with, by stream.
pub struct Output<D, R> {
    streams: Vec<Pieces<D, R>>,
    part: fn(&D) -> usize,
}

/// What goes to a stream: in pieces, so that what a large epoch puts out is neither moved as it grows nor
/// copied as it goes on.
struct Pieces<D, R> {
    full: Vec<Vec<(D, Epoch, R)>>,
    last: Vec<(D, Epoch, R)>,
}

/// So many updates are a piece: about as large as timely's own.
const PIECE: usize = 1 << 7;

type Builder<D, R> = CapacityContainerBuilder<Vec<(D, Epoch, R)>>;

impl<D, R> Output<D, R> {
    fn new(streams: usize, part: fn(&D) -> usize) -> Output<D, R> {
        let none = || Pieces { full: Vec::new(), last: Vec::new() };
        Output { streams: std::iter::repeat_with(none).take(streams).collect(), part }
    }

    /// Puts one out.
    pub fn push(&mut self, update: (D, Epoch, R)) {
        let Pieces { full, last } = &mut self.streams[(self.part)(&update.0)];
        if last.len() == PIECE {
            full.push(std::mem::replace(last, Vec::with_capacity(PIECE)));
        }
        last.push(update);
    }

    /// Passes on what was put out, with a right for each stream.
    fn pass_on(
        &mut self,
        rights: &[Capability<Epoch>],
        ports: &mut [OutputBuilderSession<'_, Epoch, Builder<D, R>>],
    ) where
        D: Clone + 'static,
        R: Clone + 'static,
    {
        for ((Pieces { full, last }, right), port) in self.streams.iter_mut().zip(rights).zip(ports)
        {
            if !last.is_empty() {
                let mut session = port.session(right);
                session.give_containers(full.iter_mut());
                full.clear();
                session.give_iterator(last.drain(..));
            }
        }
    }
}

impl<D, R> Extend<(D, Epoch, R)> for Output<D, R> {
    fn extend<I: IntoIterator<Item = (D, Epoch, R)>>(&mut self, updates: I) {
        updates.into_iter().for_each(|update| self.push(update));
    }
}

/// Adds to what is gathered in an epoch. Room is taken eightfold: until it is written to it is addresses and no
/// memory, while all that moves is written once more, to memory that was not touched before.
pub(crate) fn gather<T>(gathered: &mut Vec<T>, item: T) {
    if gathered.len() == gathered.capacity() {
        gathered.reserve(7 * gathered.len());
    }
    gathered.push(item);
}

/// Empties what was gathered in an epoch. Its room stays for the next, but for what is far beyond
/// what this one needed: a first one may be a million times as large as the next.
pub(crate) fn make_room<T>(gathered: &mut Vec<T>) {
    let needed = gathered.len();
    gathered.clear();
    if gathered.capacity() / 16 > needed.max(ROOM) {
        gathered.shrink_to(needed.max(ROOM));
    }
}

/// Room that is kept in any case.
const ROOM: usize = 1 << 12;

/// What waits of epochs that are open still, with the rights to answer at them.
type Open<D, R> = BTreeMap<Epoch, (Vec<Capability<Epoch>>, Vec<(D, R)>)>;

/// State that is changed by updates one after the other, in any order within an epoch.
pub trait Keeper<D, R, D2, R2> {
    /// What comes next, though perhaps of an epoch that has to wait. Where each is looked up in memory that is
    /// far away, this may look up all of them at once: a processor waits for many as long as for one.
    fn foresee(&self, _: &[(D, Epoch, R)]) {}

    /// Some of what an epoch brings; every epoch before it is closed. It is read where it lies: what
    /// has just been copied is not there to be read before all that was written earlier is.
    fn take(&mut self, epoch: Epoch, update: &mut D, diff: &R, output: &mut Output<D2, R2>);

    /// The epoch, which brought something, is closed.
    fn close(&mut self, epoch: Epoch, output: &mut Output<D2, R2>);
}

/// Lets `keeper` take updates as they come, in the order of epochs: what comes for an epoch while
/// one before it is open waits. Each worker has a keeper of its own.
pub fn as_it_comes<'s, D, R, D2, R2, K>(
    input: Rows<'s, D, R>,
    name: &str,
    keeper: K,
) -> Rows<'s, D2, R2>
where
    D: Data,
    R: Clone + 'static,
    D2: Clone + 'static,
    R2: Clone + 'static,
    K: Keeper<D, R, D2, R2> + 'static,
{
    let [rows] = in_parts(input, name, keeper, |_| 0);
    rows
}

/// Likewise; what the keeper puts out comes in as many streams as are asked for, each update in the one
/// that `part` says.
pub fn in_parts<'s, D, R, D2, R2, K, const N: usize>(
    input: Rows<'s, D, R>,
    name: &str,
    keeper: K,
    part: fn(&D2) -> usize,
) -> [Rows<'s, D2, R2>; N]
where
    D: Data,
    R: Clone + 'static,
    D2: Clone + 'static,
    R2: Clone + 'static,
    K: Keeper<D, R, D2, R2> + 'static,
{
    let mut keeper = keeper;
    let mut operator = OperatorBuilder::new(name.to_owned(), input.inner.scope());
    let mut input = operator.new_input(input.inner, Pipeline);
    let mut outputs = Vec::new();
    let rows = std::array::from_fn(|_| {
        let (output, stream) = operator.new_output();
        outputs.push(OutputBuilder::<Epoch, Builder<D2, R2>>::from(output));
        stream.as_collection()
    });
    let mut open: Open<D, R> = BTreeMap::new();
    let mut results = Output::new(N, part);
    operator.build(move |_| {
        move |frontiers| {
            let frontier = frontiers[0].frontier();
            let mut ports: Vec<_> = outputs.iter_mut().map(OutputBuilder::activate).collect();
            // Whether all before an epoch are closed.
            let is_reached = |epoch: &Epoch| !frontier.less_than(epoch);
            input.for_each(|stamp, updates| {
                keeper.foresee(updates);
                let mut current: Option<Epoch> = None;
                for (data, epoch, diff) in updates.iter_mut() {
                    let epoch = *epoch;
                    if current != Some(epoch) {
                        if let Some((rights, _)) = current.and_then(|epoch| open.get(&epoch)) {
                            results.pass_on(rights, &mut ports);
                        }
                        open.entry(epoch).or_insert_with(|| {
                            ((0..N).map(|port| stamp.delayed(&epoch, port)).collect(), Vec::new())
                        });
                        let first = open.first_key_value().map(|(first, _)| *first);
                        let is_next = first == Some(epoch) && is_reached(&epoch);
                        current = is_next.then_some(epoch);
                    }
                    if current.is_some() {
                        keeper.take(epoch, data, diff, &mut results);
                    } else if let Some((_, waiting)) = open.get_mut(&epoch) {
                        waiting.push((data.clone(), diff.clone()));
                    }
                }
                updates.clear();
                if let Some((rights, _)) = current.and_then(|epoch| open.get(&epoch)) {
                    results.pass_on(rights, &mut ports);
                }
            });
            while let Some(mut entry) = open.first_entry() {
                let epoch = *entry.key();
                if !is_reached(&epoch) {
                    break;
                }
                let (rights, waiting) = entry.get_mut();
                for (mut data, diff) in std::mem::take(waiting) {
                    keeper.take(epoch, &mut data, &diff, &mut results);
                }
                let is_open = frontier.less_equal(&epoch);
                if !is_open {
                    keeper.close(epoch, &mut results);
                }
                results.pass_on(rights, &mut ports);
                if is_open {
                    break;
                }
                entry.remove();
            }
        }
    });
    rows
}

/// Calls `logic` once for each epoch that is closed and brought something, in the order of epochs,
/// with all that it brought (in no particular order), on this worker.
pub fn per_epoch<'s, D, R, D2, R2, L>(
    input: Rows<'s, D, R>,
    name: &str,
    logic: L,
) -> Rows<'s, D2, R2>
where
    D: Data,
    R: Clone + 'static,
    D2: Clone + 'static,
    R2: Clone + 'static,
    L: FnMut(Epoch, Vec<(D, R)>, &mut Output<D2, R2>) + 'static,
{
    as_it_comes(input, name, Gathered { updates: Vec::new(), logic })
}

/// Keeps what an epoch brings until it is closed.
struct Gathered<D, R, L> {
    updates: Vec<(D, R)>,
    logic: L,
}

impl<D, R, D2, R2, L> Keeper<D, R, D2, R2> for Gathered<D, R, L>
where
    D: Clone,
    R: Clone,
    L: FnMut(Epoch, Vec<(D, R)>, &mut Output<D2, R2>),
{
    fn take(&mut self, _: Epoch, update: &mut D, diff: &R, _: &mut Output<D2, R2>) {
        gather(&mut self.updates, (update.clone(), diff.clone()));
    }

    fn close(&mut self, epoch: Epoch, output: &mut Output<D2, R2>) {
        let room = Vec::with_capacity(self.updates.len().min(ROOM));
        (self.logic)(epoch, std::mem::replace(&mut self.updates, room), output);
    }
}

/// Keeps the sum of each key, and what it comes to by `rows`: in an epoch in which a sum changes, those
/// it came to go, and those it comes to now come. A sum that is nothing comes to none. What stays the same
/// at its place in the array is not put out.
///
/// - state: a key and its sum each, on the worker of the key
pub fn sums<'s, K, R, D, F, const N: usize>(
    changes: Rows<'s, K, R>,
    name: &str,
    rows: F,
) -> Rows<'s, D>
where
    K: ExchangeData + Hash,
    R: ExchangeData + Semigroup + Default,
    D: Data,
    F: Fn(&K, &R) -> [Option<D>; N] + 'static,
{
    let changes = exchange(changes, Hashable::hashed);
    as_it_comes(changes, name, Sums { sums: Table::default(), before: Table::default(), rows })
}

struct Sums<K, R, F> {
    sums: Table<K, R>,
    /// Of the keys that changed in this epoch.
    before: Table<K, R>,
    rows: F,
}

impl<K, R, D, F, const N: usize> Keeper<K, R, D, isize> for Sums<K, R, F>
where
    K: Clone + Eq + Hash,
    R: Clone + Semigroup + Default + PartialEq,
    D: PartialEq,
    F: Fn(&K, &R) -> [Option<D>; N],
{
    fn take(&mut self, _: Epoch, key: &mut K, change: &R, _: &mut Output<D, isize>) {
        let sum = self.sums.entry(key.clone()).or_default();
        self.before.entry(key.clone()).or_insert_with(|| sum.clone());
        sum.plus_equals(change);
    }

    fn close(&mut self, epoch: Epoch, output: &mut Output<D, isize>) {
        let Sums { sums, before, rows } = self;
        let rows = |key: &K, sum: &R| {
            if sum.is_zero() { [const { None }; N] } else { rows(key, sum) }
        };
        for (key, before) in drain(before) {
            let Entry::Occupied(entry) = sums.entry(key) else { continue };
            if *entry.get() != before {
                let (gone, came) = (rows(entry.key(), &before), rows(entry.key(), entry.get()));
                renew(gone, came, epoch, output);
            }
            if entry.get().is_zero() {
                entry.remove();
            }
        }
    }
}

/// Puts out that rows went and others came, where they differ.
pub fn renew<D: PartialEq>(
    gone: impl IntoIterator<Item = Option<D>>,
    came: impl IntoIterator<Item = Option<D>>,
    epoch: Epoch,
    output: &mut Output<D, isize>,
) {
    for (gone, came) in gone.into_iter().zip(came).filter(|(gone, came)| gone != came) {
        output.extend(gone.map(|row| (row, epoch, -1)));
        output.extend(came.map(|row| (row, epoch, 1)));
    }
}

/// The same rows, each on the worker its `route` says.
pub fn exchange<'s, D, R>(
    rows: Rows<'s, D, R>,
    route: impl Fn(&D) -> u64 + 'static,
) -> Rows<'s, D, R>
where
    D: differential_dataflow::ExchangeData,
    R: differential_dataflow::ExchangeData,
{
    rows.inner.exchange(move |(data, _, _)| route(data)).as_collection()
}
