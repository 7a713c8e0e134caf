//! The served state: the rows of every view at the last complete epoch, and the changes that led
//! there.
//!
//! One writer publishes epoch after epoch; any number of readers take what they need and keep it as
//! long as they like. Nobody waits for a reader: a [`Snapshot`] is a table of shared chunks that the
//! writer never touches again (it copies the few that an epoch changes), so the lock is held only
//! to exchange or to copy a pointer, and all rows of an answer are of one epoch. Against rows in a
//! map behind a read-write lock this costs the writer about a microsecond a change more, and saves
//! it from waiting while a hundred thousand rows are being written as JSON.
//!
//! Knows nothing of HTTP, of the log, or of who computes the rows.

mod cell;
pub mod columns;
mod filter;
mod history;
pub mod row_json;
pub mod rows;
mod subscription;
mod table;

use std::cmp::Ordering;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use dataflows::domain::Epoch;
use dataflows::views::{Row, View};
use tokio::sync::watch;

pub use filter::{Filter, FilterError};
pub use history::{Change, ChangeSet};
pub use rows::Rows;
pub use subscription::{Step, Subscription};
pub use table::Table;

use history::History;
use table::Update;

/// The rows of every view at one epoch; a copy costs one counter.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The epoch: all of it, and nothing later.
    pub epoch: Epoch,
    tables: Arc<[Table; View::ALL.len()]>,
}

impl Snapshot {
    /// The rows of a view.
    pub fn table(&self, view: View) -> &Table {
        &self.tables[view as usize]
    }
}

#[derive(Debug)]
struct Published {
    snapshot: Snapshot,
    history: History,
}

/// What readers see, and where the writer puts it.
#[derive(Debug)]
pub struct Served {
    /// None until the first epoch is complete.
    published: RwLock<Option<Published>>,
    closed: watch::Sender<Option<Epoch>>,
    /// Held while an epoch is being made, so that two cannot be made of the same one before.
    writing: Mutex<()>,
    history_changes_max: usize,
}

impl Served {
    /// Empty, until the first batch. `history_changes_max` bounds the changes kept for those who
    /// fall behind; their rows are shared with the tables where they still stand.
    pub fn new(history_changes_max: usize) -> Served {
        Served {
            published: RwLock::new(None),
            closed: watch::Sender::new(None),
            writing: Mutex::new(()),
            history_changes_max,
        }
    }

    /// The changes of a worker's next batch: `(row, -1 or +1)`, since the batch before of the same
    /// worker, of all epochs below `upper`. They are published as one set of epoch `upper - 1`,
    /// which is returned. Costs some microseconds a change.
    ///
    /// # Panics
    /// If the epoch does not rise, a key gets two rows, or a row goes that is not held.
    pub fn apply(&self, upper: Epoch, changes: Vec<(Row, i64)>) -> Epoch {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self
            .snapshot()
            .expect("the first batch of a worker goes to replace");
        let epoch = last_of(upper);
        assert!(
            epoch > before.epoch,
            "epoch {epoch} comes after epoch {}",
            before.epoch
        );
        self.publish(epoch, Some(&before), updates(changes));
        epoch
    }

    /// The first batch of a worker, which holds every row there is: what differs from the rows held
    /// is published as the changes of epoch `upper - 1`, which is returned. Subscribers see only
    /// what really changed, and nothing where a worker was merely started again.
    ///
    /// # Panics
    /// If the epoch is before the one served, or is the same with other rows; if a key has two rows.
    pub fn replace(&self, upper: Epoch, rows: Vec<(Row, i64)>) -> Epoch {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = last_of(upper);
        let rows = updates(rows);
        assert!(
            rows.iter().all(|row| row.gone.is_none()),
            "a first batch takes nothing away"
        );
        let Some(before) = self.snapshot() else {
            self.publish(epoch, None, rows);
            return epoch;
        };
        let mut rows = rows.into_iter().peekable();
        let mut updates = Vec::new();
        for view in View::ALL {
            let of_view = std::iter::from_fn(|| rows.next_if(|row| row.key.view == view));
            let rows = of_view.filter_map(|update| update.came).collect();
            updates.extend(before.table(view).difference(rows));
        }
        assert!(
            epoch > before.epoch || (epoch == before.epoch && updates.is_empty()),
            "a worker computes epoch {epoch} where {} is served, with {} rows that differ",
            before.epoch,
            updates.len(),
        );
        self.publish(epoch, Some(&before), updates);
        epoch
    }

    /// `updates` are sorted by key, each key once.
    fn publish(&self, epoch: Epoch, before: Option<&Snapshot>, updates: Vec<Update>) {
        let mut tables = before
            .map(|snapshot| (*snapshot.tables).clone())
            .unwrap_or_default();
        let mut changes = Vec::with_capacity(updates.len());
        let mut updates = updates.into_iter().peekable();
        while let Some(view) = updates.peek().map(|update| update.key.view) {
            let of_view = std::iter::from_fn(|| updates.next_if(|u| u.key.view == view)).collect();
            let table = &mut tables[view as usize];
            *table = table.updated(of_view, &mut changes);
        }
        let snapshot = Snapshot {
            epoch,
            tables: Arc::new(tables),
        };
        // What is not needed any more is freed after the lock.
        let _old = {
            let mut published = self
                .published
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            match &mut *published {
                None => {
                    // The first rows are no news to anyone.
                    let history = History::new(epoch, self.history_changes_max);
                    *published = Some(Published { snapshot, history });
                    None
                }
                Some(published) => {
                    let forgotten = published.history.push(epoch, changes);
                    Some((mem::replace(&mut published.snapshot, snapshot), forgotten))
                }
            }
        };
        self.closed.send_replace(Some(epoch));
    }

    /// All rows at the last complete epoch; `None` until there is one.
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.read(|published| published.snapshot.clone())
    }

    /// The last complete epoch; `None` until there is one.
    pub fn epoch(&self) -> Option<Epoch> {
        *self.closed.borrow()
    }

    /// The last complete epoch, to wait for the next.
    pub fn epochs(&self) -> watch::Receiver<Option<Epoch>> {
        self.closed.subscribe()
    }

    /// Waits until `epoch` is served (who has submitted events knows the epoch they are in).
    pub async fn wait_for(&self, epoch: Epoch) {
        let mut epochs = self.closed.subscribe();
        let waited = epochs
            .wait_for(|closed| closed.is_some_and(|closed| closed >= epoch))
            .await;
        drop(waited.expect("self holds the sender"));
    }

    /// Changes held for those who fell behind.
    pub fn history_changes(&self) -> usize {
        self.read(|published| published.history.changes()).unwrap_or(0)
    }

    /// The last complete epoch and the change sets between `position` and it; `None` where
    /// `position` is not an epoch from which the history reaches there, or is in the future.
    fn since(&self, position: Epoch) -> Option<(Epoch, Vec<Arc<ChangeSet>>)> {
        self.read(|published| {
            let epoch = published.snapshot.epoch;
            let sets = published
                .history
                .since(position)
                .filter(|_| position <= epoch)?;
            Some((epoch, sets))
        })?
    }

    fn read<T>(&self, read: impl FnOnce(&Published) -> T) -> Option<T> {
        self.published
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(read)
    }
}

fn last_of(upper: Epoch) -> Epoch {
    upper.checked_sub(1).expect("a closed batch has an epoch")
}

/// The changes by key, in the order of keys.
fn updates(mut changes: Vec<(Row, i64)>) -> Vec<Update> {
    changes.sort_unstable_by(|(a, down), (b, up)| a.key().cmp(&b.key()).then(down.cmp(up)));
    let mut updates: Vec<Update> = Vec::with_capacity(changes.len());
    for (row, diff) in changes {
        let key = row.key();
        let same = updates
            .last_mut()
            .filter(|last| last.key.cmp(&key) == Ordering::Equal);
        match (diff, same) {
            (-1, None) => updates.push(Update {
                key,
                gone: Some(row),
                came: None,
            }),
            (1, None) => updates.push(Update {
                key,
                gone: None,
                came: Some(row),
            }),
            (
                1,
                Some(Update {
                    came: came @ None, ..
                }),
            ) => *came = Some(row),
            (diff, same) => panic!("{row:?} comes {diff} times beside {same:?}"),
        }
    }
    updates
}

#[cfg(test)]
mod tests;
