//! The changes of the last epochs, so that who fell behind or was cut off gets what it missed and
//! nothing else.
//!
//! Bounded by the number of changes and by age, not by epochs: an epoch in which nothing changed
//! costs nothing. Readers keep no state here, only their position: the last epoch they have seen.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use dataflows::domain::Epoch;
use dataflows::views::{Key, View};

use super::cell::cell_at;
use super::digest::Digest;
use super::table::Held;

/// What became of one key: the row before, the row after. Never both absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The row until then; none where the key is new.
    pub before: Option<Arc<Held>>,
    /// The row from then on; none where the key went.
    pub after: Option<Arc<Held>>,
}

impl Change {
    /// The key of the row that changed.
    pub fn key(&self) -> Key {
        self.any_row().key()
    }

    /// The row after or, where it went, before: both have the key.
    pub fn any_row(&self) -> &Arc<Held> {
        self.after.as_ref().or(self.before.as_ref()).expect("a change has one row at least")
    }
}

/// The digest of each view, in the order of [`View::ALL`].
pub type Digests = [Digest; View::ALL.len()];

/// All changes of one epoch, sorted by key, each key once; at least one.
#[derive(Debug)]
pub struct ChangeSet {
    /// The epoch.
    pub epoch: Epoch,
    /// Its changes.
    pub changes: Vec<Change>,
    /// Of the views with these changes made.
    pub digests: Digests,
    /// Where the changes of each view end, since every reader looks for those of its own.
    ends: [usize; View::ALL.len()],
    /// By view and place of a column, where readers have asked by it.
    by_column: Mutex<BTreeMap<(View, usize), Arc<ByValue>>>,
}

/// Which of the changes of a view have a value in a column, before or after: by [`Cell::mark`](super::cell::Cell::mark), each
/// ascending. Values may share a mark.
pub type ByValue = HashMap<u64, Vec<u32>>;

impl ChangeSet {
    /// Of changes that are sorted by key.
    pub fn new(epoch: Epoch, changes: Vec<Change>, digests: Digests) -> ChangeSet {
        let end = |view| changes.partition_point(|change| change.any_row().view() <= view);
        let ends = View::ALL.map(end);
        ChangeSet { epoch, changes, digests, ends, by_column: Mutex::default() }
    }

    /// The changes of a view.
    pub fn of_view(&self, view: View) -> &[Change] {
        let begin = (view as usize).checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.changes[begin..self.ends[view as usize]]
    }

    /// The changes of a view by their values in the column at a place. The first who asks has the work,
    /// which is that of looking at them all: else every reader had it.
    pub fn by_value(&self, view: View, place: usize) -> Arc<ByValue> {
        let mut by_column = self.by_column.lock().expect("nobody panicked");
        let by_value = by_column.entry((view, place)).or_insert_with(|| {
            let mut by_value = ByValue::new();
            for (n, change) in self.of_view(view).iter().enumerate() {
                for row in change.before.iter().chain(&change.after) {
                    let places = by_value.entry(cell_at(row, place).mark()).or_default();
                    if places.last() != Some(&(n as u32)) {
                        places.push(n as u32);
                    }
                }
            }
            Arc::new(by_value)
        });
        Arc::clone(by_value)
    }
}

/// How much is kept: what is beyond either bound is forgotten, oldest first, but never the newest
/// epoch that had changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Changes over all views.
    pub changes_max: usize,
    /// Ticks of the clock.
    pub epochs_max: u64,
}

/// The change sets of the last epochs, without gap.
#[derive(Debug)]
pub struct History {
    /// All changes of the epochs above this one are here.
    floor: Epoch,
    /// Of the views at that epoch.
    floor_digests: Digests,
    /// The last complete epoch.
    last: Epoch,
    sets: VecDeque<Arc<ChangeSet>>,
    /// Of each set the epoch that was complete before it: those between were computed together with
    /// its own, because the worker was behind, and what the views were at them is not known.
    after: VecDeque<Epoch>,
    changes: usize,
    bounds: Bounds,
}

impl History {
    /// Empty; it begins after `floor`, at which the views had these digests.
    pub fn new(floor: Epoch, floor_digests: Digests, bounds: Bounds) -> History {
        let (sets, after) = (VecDeque::new(), VecDeque::new());
        History { floor, floor_digests, last: floor, sets, after, changes: 0, bounds }
    }

    /// Adds what a later epoch changed, if anything; returns the sets it forgets for it.
    pub fn push(&mut self, epoch: Epoch, set: Option<Arc<ChangeSet>>) -> Vec<Arc<ChangeSet>> {
        let complete = std::mem::replace(&mut self.last, epoch);
        if let Some(set) = set {
            self.changes += set.changes.len();
            self.sets.push_back(set);
            self.after.push_back(complete);
        }
        let mut forgotten = Vec::new();
        while self.sets.len() > 1 && self.is_beyond() {
            let set = self.sets.pop_front().expect("there are two");
            self.after.pop_front();
            (self.floor, self.floor_digests) = (set.epoch, set.digests);
            self.changes -= set.changes.len();
            forgotten.push(set);
        }
        forgotten
    }

    /// Nothing has changed up to this epoch.
    pub fn pass(&mut self, epoch: Epoch) {
        self.last = self.last.max(epoch);
    }

    fn is_beyond(&self) -> bool {
        let Bounds { changes_max, epochs_max } = self.bounds;
        let age = self.sets.front().map_or(0, |oldest| self.last - oldest.epoch);
        self.changes > changes_max || age > epochs_max
    }

    /// The first `sets_max` sets after `position`, oldest first, and the last complete epoch;
    /// `None` where some of them are forgotten, or `position` is in the future.
    pub fn since(&self, position: Epoch, sets_max: usize) -> Option<Ahead> {
        let range = self.ahead(position)?;
        let sets = self.sets.range(range).take(sets_max).cloned().collect();
        Some(Ahead { last: self.last, sets })
    }

    /// How many sets are after `position`; none where it is not within the history.
    pub fn behind(&self, position: Epoch) -> Option<usize> {
        self.ahead(position).map(|range| range.len())
    }

    fn ahead(&self, position: Epoch) -> Option<std::ops::Range<usize>> {
        let known = (self.floor..=self.last).contains(&position);
        let first = self.sets.partition_point(|set| set.epoch <= position);
        known.then_some(first..self.sets.len())
    }

    /// Of the views at an epoch within the history; `None` too for one that was computed together
    /// with later ones that changed something.
    pub fn digests(&self, epoch: Epoch) -> Option<&Digests> {
        let first = self.ahead(epoch)?.start;
        if self.after.get(first).is_some_and(|complete| epoch > *complete) {
            return None;
        }
        let before = first.checked_sub(1).and_then(|n| self.sets.get(n));
        Some(before.map_or(&self.floor_digests, |set| &set.digests))
    }

    /// The last complete epoch.
    pub fn last(&self) -> Epoch {
        self.last
    }

    /// The epoch it begins after.
    pub fn floor(&self) -> Epoch {
        self.floor
    }

    /// How many changes it holds.
    pub fn changes(&self) -> usize {
        self.changes
    }
}

/// What is ahead of a reader.
#[derive(Clone, Debug)]
pub struct Ahead {
    /// The last complete epoch.
    pub last: Epoch,
    /// The sets after its position, oldest first, as many as it takes.
    pub sets: Vec<Arc<ChangeSet>>,
}

/// The changes of several epochs as if they were one, sorted by key: the first row before and the
/// last row after, which may be equal. `changes` come in the order of their epochs.
pub fn merge<'a>(changes: impl Iterator<Item = &'a Change>) -> Vec<Change> {
    let mut changes: Vec<&Change> = changes.collect();
    // Stable: the changes of one key stay in the order of their epochs.
    changes.sort_by_key(|change| change.key());
    let same_key = changes.chunk_by(|a, b| a.key().cmp(&b.key()).is_eq());
    same_key
        .map(|same| Change {
            before: same[0].before.clone(),
            after: same[same.len() - 1].after.clone(),
        })
        .collect()
}
