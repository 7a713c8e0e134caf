//! The changes of the last epochs, so that who fell behind or was cut off gets what it missed and
//! nothing else.
//!
//! Bounded by the number of changes, not of epochs: an epoch in which nothing changed costs
//! nothing. Readers keep no state here, only their position: the last epoch they have seen.

use std::collections::VecDeque;
use std::sync::Arc;

use dataflows::domain::Epoch;
use dataflows::views::{Key, Row};

/// What became of one key: the row before, the row after. Never both absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The row until then; none where the key is new.
    pub before: Option<Arc<Row>>,
    /// The row from then on; none where the key went.
    pub after: Option<Arc<Row>>,
}

impl Change {
    /// The key of the row that changed.
    pub fn key(&self) -> Key {
        self.any_row().key()
    }

    /// The row after or, where it went, before: both have the key.
    pub fn any_row(&self) -> &Row {
        self.after.as_deref().or(self.before.as_deref()).expect("a change has one row at least")
    }
}

/// All changes of one epoch, sorted by key, each key once; at least one.
#[derive(Debug)]
pub struct ChangeSet {
    /// The epoch.
    pub epoch: Epoch,
    /// Its changes.
    pub changes: Vec<Change>,
}

/// The change sets of the last epochs, without gap.
#[derive(Debug)]
pub struct History {
    /// All changes of the epochs above this one are here.
    floor: Epoch,
    /// The last complete epoch.
    last: Epoch,
    sets: VecDeque<Arc<ChangeSet>>,
    changes: usize,
    changes_max: usize,
}

impl History {
    /// Empty; it begins after `floor`. It keeps at most `changes_max` changes, and the newest epoch
    /// that had any, however many.
    pub fn new(floor: Epoch, changes_max: usize) -> History {
        History { floor, last: floor, sets: VecDeque::new(), changes: 0, changes_max }
    }

    /// Adds the changes of a later epoch, if there are any; returns the sets it forgets for them.
    pub fn push(&mut self, epoch: Epoch, changes: Vec<Change>) -> Vec<Arc<ChangeSet>> {
        let mut forgotten = Vec::new();
        self.last = epoch;
        if changes.is_empty() {
            return forgotten;
        }
        self.changes += changes.len();
        self.sets.push_back(Arc::new(ChangeSet { epoch, changes }));
        while self.changes > self.changes_max && self.sets.len() > 1 {
            let set = self.sets.pop_front().expect("there are two");
            self.floor = set.epoch;
            self.changes -= set.changes.len();
            forgotten.push(set);
        }
        forgotten
    }

    /// The last complete epoch and the sets after `position`, oldest first; `None` where some of
    /// them are forgotten, or `position` is in the future.
    pub fn since(&self, position: Epoch) -> Option<(Epoch, Vec<Arc<ChangeSet>>)> {
        let known = (self.floor..=self.last).contains(&position);
        let first = self.sets.partition_point(|set| set.epoch <= position);
        known.then(|| (self.last, self.sets.range(first..).cloned().collect()))
    }

    /// How many changes it holds.
    pub fn changes(&self) -> usize {
        self.changes
    }
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
