//! The served state: the rows of every view at the last complete epoch, and the changes that led
//! there.
//!
//! One writer publishes epoch after epoch; any number of readers take what they need and keep it as
//! long as they like. A reader holds a lock only while it copies a pointer: a [`Snapshot`] is a list
//! of counted chunks of rows, of which the writer copies those it changes while somebody still
//! reads them, and changes the others in place. So the writer never waits while rows are being
//! written as JSON, and all rows of an answer are of one epoch. Who follows a view needs the rows
//! once and then only the history, which has a lock of its own. (Always publishing a fresh copy
//! instead, so that readers never wait for the writer either, was measured: 7 microseconds a change
//! against 3, at ten thousand changes of a million rows.)
//!
//! Knows nothing of HTTP, of the log, or of who computes the rows.

mod cell;
pub mod columns;
pub mod digest;
mod filter;
mod history;
mod journal;
mod order;
mod published;
pub mod row_json;
pub mod rows;
mod subscription;
mod table;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use dataflows::domain::Epoch;
use dataflows::views::View;
use tokio::sync::watch;
use tracing::info;

pub use filter::{Filter, FilterError, unknown_column};
pub use history::{Bounds, Change, ChangeSet, Digests};
pub use order::{Order, Page};
pub use published::{Keeping, Published};
pub use rows::Rows;
pub use subscription::{Lost, Position, Step, Subscription};
pub use table::{Held, Table, Update, Updates};

use history::{Ahead, History, merge};
use journal::Journal;

/// The rows of every view at one epoch; a copy costs one counter.
#[derive(Clone, Debug, Default)]
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

    /// Where a reader is that has been given all rows of a view.
    pub fn position(&self, view: View) -> Position {
        Position { epoch: self.epoch, digest: self.table(view).digest() }
    }

    fn digests(&self) -> Digests {
        View::ALL.map(|view| self.table(view).digest())
    }

    /// What must be updated so that there are the rows that come with `rows`, and no others.
    fn difference(&self, rows: Updates) -> Updates {
        let mut differences = Updates::default();
        for (table, mut rows) in self.tables.iter().zip(rows.by_view()) {
            table::sort(&mut rows);
            differences.add(table.difference(rows.into_iter().filter_map(Update::came)));
        }
        differences
    }
}

/// What readers see, and where the writer puts it.
#[derive(Debug)]
pub struct Served {
    /// None until the first epoch is complete. Locked while an epoch is being made.
    rows: Mutex<Option<Snapshot>>,
    /// Likewise; locked, after `rows`, for moments only.
    history: Mutex<Option<History>>,
    closed: watch::Sender<Option<Epoch>>,
    bounds: Bounds,
    /// Where the history is kept; locked by the writer only.
    journal: Option<Mutex<Journal>>,
    /// What was kept by the node before, until the first epoch shows whether it goes on from there.
    kept: Mutex<Option<History>>,
    /// What was published, for longer; locked for moments.
    published: Option<Mutex<Published>>,
}

/// Why rows are not there as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// The view is kept no further back than the history of changes, which begins after this epoch.
    Changes(Epoch),
    /// What was published is kept from this epoch on; none where nothing is kept.
    Published(Option<Epoch>),
}

impl Served {
    /// Empty, until the first batch; the history is in memory only. `bounds` is of the changes kept
    /// for those who fall behind; their rows are shared with the tables where they still stand.
    pub fn new(bounds: Bounds) -> Served {
        Served {
            rows: Mutex::new(None),
            history: Mutex::new(None),
            closed: watch::Sender::new(None),
            bounds,
            journal: None,
            kept: Mutex::new(None),
            published: None,
        }
    }

    /// And with what is published kept for longer.
    pub fn and(self, published: Published) -> Served {
        Served { published: Some(Mutex::new(published)), ..self }
    }

    /// With the history kept in `directory`, in `bytes_max` bytes. What is there is read, and goes
    /// on if the first batch of the first worker has the rows of its last epoch.
    pub fn keep(directory: &Path, bytes_max: u64, bounds: Bounds) -> Served {
        let (journal, history) = Journal::open(directory, bytes_max, bounds);
        let journal = Some(Mutex::new(journal));
        Served { journal, kept: Mutex::new(history), ..Served::new(bounds) }
    }

    /// The epoch of which the first worker's first batch should be, so that the history that was
    /// kept goes on; none where there is no such epoch.
    pub fn goes_on_from(&self) -> Option<Epoch> {
        lock(&self.kept).as_ref().map(History::last)
    }

    /// The changes of a worker's next batch, since the batch before of the same worker, of all epochs
    /// below `upper`. They are published as one set of epoch `upper - 1`, which is returned. Costs some
    /// microseconds a change; there is one writer.
    ///
    /// # Panics
    /// If the epoch does not rise, a key gets two rows, or a row goes that is not held.
    pub fn apply(&self, upper: Epoch, changes: impl Into<Updates>) -> Epoch {
        self.rise(upper);
        self.apply_after(0, upper, changes)
    }

    /// The same where they are of later epochs than `after`: up to that the rows are those of the batch
    /// before, and readers may be at any of its epochs. Where nothing has changed at all, the epoch may
    /// be the one served.
    ///
    /// # Panics
    /// As [`Served::apply`].
    pub fn apply_after(&self, after: Epoch, upper: Epoch, changes: impl Into<Updates>) -> Epoch {
        let changes = changes.into();
        if self.epoch() == upper.checked_sub(1) && changes.is_empty() {
            return last_of(upper);
        }
        let (served, epoch) = self.rise(upper);
        self.publish(after.clamp(served, epoch), epoch, changes);
        epoch
    }

    /// The epoch served, and the one that follows it.
    fn rise(&self, upper: Epoch) -> (Epoch, Epoch) {
        let epoch = last_of(upper);
        let served = self.epoch().expect("the first batch of a worker goes to replace");
        assert!(epoch > served, "epoch {epoch} comes after epoch {served}");
        (served, epoch)
    }

    /// The first batch of a worker, which holds every row there is: what differs from the rows held
    /// is published as the changes of epoch `upper - 1`, which is returned. Subscribers see only
    /// what really changed, and nothing where a worker was merely started again.
    ///
    /// # Panics
    /// If the epoch is before the one served, or is the same with other rows; if a key has two rows.
    pub fn replace(&self, upper: Epoch, rows: impl Into<Updates>) -> Epoch {
        let epoch = last_of(upper);
        let mut updates = rows.into();
        if let Some(before) = self.snapshot() {
            updates = before.difference(updates);
            assert!(
                epoch > before.epoch || (epoch == before.epoch && updates.is_empty()),
                "a worker computes epoch {epoch} where {} is served, with {} rows that differ",
                before.epoch,
                updates.len(),
            );
        }
        let complete = self.epoch().unwrap_or(epoch);
        self.publish(complete, epoch, updates);
        epoch
    }

    /// `updates` are of the epochs after `complete`.
    fn publish(&self, complete: Epoch, epoch: Epoch, updates: Updates) {
        let mut changes = Vec::with_capacity(updates.len());
        let mut rows = lock(&self.rows);
        let snapshot = rows.get_or_insert_with(Snapshot::default);
        snapshot.epoch = epoch;
        let tables = Arc::make_mut(&mut snapshot.tables);
        for (table, of_view) in tables.iter_mut().zip(updates.by_view()) {
            table.update(of_view, &mut changes);
        }
        let digests = snapshot.digests();
        let published = self.published.as_ref().map(|published| (published, snapshot.clone()));
        // Before the rows can be read: who begins with them goes on with the history.
        let (news, forgotten, floor) = match &mut *lock(&self.history) {
            Some(history) => {
                let set = ChangeSet::new(epoch, changes, digests);
                let set = (!set.changes.is_empty()).then(|| Arc::new(set));
                history.pass(complete);
                let forgotten = history.push(epoch, set.clone());
                (set, forgotten, history.floor())
            }
            // The first rows are no news to anyone.
            none => {
                *none = Some(self.first_history(epoch, digests));
                (None, Vec::new(), epoch)
            }
        };
        drop(rows);
        // Before anybody is told: who has seen an epoch shall find it after a restart.
        if let Some(journal) = &self.journal {
            let mut journal = lock(journal);
            match &news {
                Some(set) => {
                    journal.pass(complete, floor);
                    journal.append(set, floor);
                }
                None => journal.pass(epoch, floor),
            }
        }
        self.closed.send_replace(Some(epoch));
        // Nobody waits for what follows: who asks for figures as old as these has the history.
        if let Some((published, snapshot)) = published {
            let changes = news.as_ref().map_or(&[][..], |set| &set.changes);
            lock(published).follow(&snapshot, changes);
        }
        drop(forgotten);
    }

    /// What goes on from the first epoch: the history that was kept, if it ends here.
    fn first_history(&self, epoch: Epoch, digests: Digests) -> History {
        // Equal digests after its last epoch: nothing has changed in between.
        let goes_on =
            |held: &History| held.last() <= epoch && held.digests(held.last()) == Some(&digests);
        if let Some(mut history) = lock(&self.kept).take().filter(goes_on) {
            history.push(epoch, None);
            let (floor, changes) = (history.floor(), history.changes());
            info!("the history goes on from epoch {epoch}: {changes} changes since {floor}");
            return history;
        }
        if let Some(journal) = &self.journal {
            lock(journal).begin(epoch, digests);
        }
        History::new(epoch, digests, self.bounds)
    }

    /// All rows at the last complete epoch; `None` until there is one. Waits while an epoch is being
    /// made, which takes milliseconds: not for threads that must not wait.
    pub fn snapshot(&self) -> Option<Snapshot> {
        lock(&self.rows).clone()
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
        let waited = epochs.wait_for(|closed| closed.is_some_and(|closed| closed >= epoch)).await;
        drop(waited.expect("self holds the sender"));
    }

    /// Changes held for those who fell behind.
    pub fn history_changes(&self) -> usize {
        lock(&self.history).as_ref().map_or(0, History::changes)
    }

    /// The digest of each view at an epoch that the history reaches back to.
    pub fn digests(&self, epoch: Epoch) -> Option<Digests> {
        lock(&self.history).as_ref()?.digests(epoch).copied()
    }

    /// The rows of a view at an epoch that the history reaches back to. Waits as
    /// [`Served::snapshot`] does; costs what has changed since.
    pub fn table_at(&self, view: View, epoch: Epoch) -> Option<Table> {
        let snapshot = self.snapshot()?;
        let mut table = snapshot.table(view).clone();
        let ahead = self.since(epoch, usize::MAX)?;
        let sets = ahead.sets.iter().filter(|set| set.epoch <= snapshot.epoch);
        let of_view = sets.flat_map(|set| set.of_view(view));
        table.update(merge(of_view).iter().filter_map(Table::back).collect(), &mut Vec::new());
        Some(table)
    }

    /// The rows of a view as they were published at an epoch, and the epoch they are of: the same
    /// within the history of changes, else that of the last frame kept which is not later. Costs
    /// what has changed since, or reading a file.
    ///
    /// # Errors
    /// [`Forgotten`].
    pub fn published_at(&self, view: View, epoch: Epoch) -> Result<(Epoch, Table), Forgotten> {
        if let Some(table) = self.table_at(view, epoch) {
            return Ok((epoch, table));
        }
        let floor = || lock(&self.history).as_ref().map_or(0, History::floor);
        let published = self.published.as_ref().filter(|_| published::VIEWS.contains(&view));
        let Some(published) = published else { return Err(Forgotten::Changes(floor())) };
        let finder = lock(published).finder();
        let (place, first) = finder.find(epoch);
        // What is to come is not kept either.
        let place = place.filter(|_| epoch <= floor());
        let forgotten = Forgotten::Published(first);
        place.ok_or(forgotten)?.table(view).map_err(|error| {
            tracing::warn!("a published figure cannot be read: {error}");
            forgotten
        })
    }

    /// The first sets after `position`, as many as there are or `sets_max`; `None` where the history
    /// does not reach from there to here.
    fn since(&self, position: Epoch, sets_max: usize) -> Option<Ahead> {
        lock(&self.history).as_ref()?.since(position, sets_max)
    }

    fn behind(&self, position: Epoch) -> Option<usize> {
        lock(&self.history).as_ref()?.behind(position)
    }
}

/// A panic under one of these locks is a bug, and in the program the end of the process.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panicked")
}

fn last_of(upper: Epoch) -> Epoch {
    upper.checked_sub(1).expect("a closed batch has an epoch")
}

#[cfg(test)]
mod tests;
