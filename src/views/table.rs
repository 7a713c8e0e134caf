//! The rows of one view, sorted by key, such that a copy is cheap and stays as it is.
//!
//! Rows lie in chunks of some dozens, and a table is the list of its chunks, all of them counted.
//! A reader keeps the copy it got for as long as it likes; meanwhile the writer copies the chunks
//! it changes, once each, and works in place on all others. Keys are not stored: they are read off
//! the rows.

use std::cmp::Ordering;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use dataflows::views::{Key, Row};

use super::Change;
use super::digest::Digest;

/// Rows a chunk holds at most. Smaller makes a longer list to copy for a reader's sake, larger
/// makes longer chunks to copy.
const CHUNK_ROWS_MAX: usize = 64;
/// With fewer, a chunk is joined to its neighbour.
const CHUNK_ROWS_MIN: usize = CHUNK_ROWS_MAX / 4;

type Chunk = Arc<Vec<Arc<Held>>>;

/// A row and its digest, which is reckoned once: when the row comes.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    row: Row,
    digest: Digest,
}

impl From<Row> for Held {
    fn from(row: Row) -> Held {
        let digest = Digest::of_row(&row);
        Held { row, digest }
    }
}

impl Held {
    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The row itself.
    pub fn row(&self) -> &Row {
        &self.row
    }
}

impl Deref for Held {
    type Target = Row;

    fn deref(&self) -> &Row {
        &self.row
    }
}

/// The rows of one view; a copy costs one counter.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// None of them empty.
    chunks: Arc<Vec<Chunk>>,
    rows: usize,
    digest: Digest,
}

/// A place in a table: which chunk, and which row of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    chunk: usize,
    row: usize,
}

/// What becomes of one key: the row that went and the row that came.
#[derive(Debug)]
pub struct Update {
    /// The key of both.
    pub key: Key,
    /// The row held until now.
    pub gone: Option<Row>,
    /// The row to hold from now.
    pub came: Option<Row>,
}

impl Table {
    /// These rows, which are sorted by key, each key once.
    pub(super) fn of(rows: Vec<Row>) -> Table {
        let mut table = Table::default();
        table.update(Table::default().difference(rows), &mut Vec::new());
        table
    }

    /// The row of a key.
    pub fn get(&self, key: &Key) -> Option<&Arc<Held>> {
        let mut place = self.seek(|other| other < key);
        self.next(&mut place).filter(|row| row.key().cmp(key).is_eq())
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// The digest of all of them.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The place of the first row whose key is not `before`; all rows before it must be. Binary search.
    pub fn seek(&self, before: impl Fn(&Key) -> bool) -> Place {
        let starts_before = |chunk: &Chunk| before(&first_key(chunk));
        let chunk = self.chunks.partition_point(starts_before).saturating_sub(1);
        let row = self
            .chunks
            .get(chunk)
            .map_or(0, |chunk| chunk.partition_point(|row| before(&row.key())));
        Place { chunk, row }
    }

    /// The row at a place and moves it on; `None` at the end.
    pub fn next(&self, place: &mut Place) -> Option<&Arc<Held>> {
        loop {
            let chunk = self.chunks.get(place.chunk)?;
            if let Some(row) = chunk.get(place.row) {
                place.row += 1;
                return Some(row);
            }
            *place = Place { chunk: place.chunk + 1, row: 0 };
        }
    }

    /// All rows in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// Makes `updates`, which are sorted by key, each key once; what changed is added to `changes`.
    ///
    /// # Panics
    /// If a row that went is not the one held, or one came beside a held one: then the worker and
    /// this table are not of the same history, and nothing served from here would be true.
    pub(super) fn update(&mut self, updates: Vec<Update>, changes: &mut Vec<Change>) {
        if updates.is_empty() {
            return;
        }
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.is_empty() {
            chunks.push(Chunk::default());
        }
        let mut at = 0;
        let mut misshapen = false;
        for Update { key, gone, came } in updates {
            // The chunk at hand may be empty by now; those after it are as they were.
            at += chunks[at + 1..].partition_point(|chunk| first_key(chunk) <= key);
            let rows = Arc::make_mut(&mut chunks[at]);
            let place = rows.partition_point(|row| row.key() < key);
            let held = rows.get(place).filter(|row| row.key().cmp(&key).is_eq());
            assert!(
                held.map(|held| &held.row) == gone.as_ref(),
                "the worker takes away {gone:?} where {held:?} is held"
            );
            let after = came.map(|row| Arc::new(Held::from(row)));
            let before = match (held.is_some(), after.clone()) {
                (true, Some(row)) => Some(mem::replace(&mut rows[place], row)),
                (true, None) => Some(rows.remove(place)),
                (false, row) => {
                    rows.splice(place..place, row);
                    None
                }
            };
            self.digest -= before.as_ref().map_or(Digest::default(), |held| held.digest);
            self.digest += after.as_ref().map_or(Digest::default(), |held| held.digest);
            self.rows = self.rows + usize::from(after.is_some()) - usize::from(before.is_some());
            misshapen |= !(CHUNK_ROWS_MIN..=CHUNK_ROWS_MAX).contains(&rows.len());
            changes.push(Change { before, after });
        }
        if misshapen {
            let old = mem::take(chunks);
            reshape(old, chunks);
        }
    }

    /// What must be updated so that the table holds `rows` and nothing else; `rows` are sorted by
    /// key, each key once.
    pub(super) fn difference(&self, rows: Vec<Row>) -> Vec<Update> {
        let gone =
            |held: &Arc<Held>| Update { key: held.key(), gone: Some(held.row.clone()), came: None };
        let mut held = self.iter().peekable();
        let mut updates = Vec::new();
        for row in rows {
            let key = row.key();
            while let Some(row) = held.next_if(|held| held.key() < key) {
                updates.push(gone(row));
            }
            match held.next_if(|held| held.key().cmp(&key) == Ordering::Equal) {
                Some(same) if same.row == row => {}
                other => {
                    updates.push(Update {
                        key,
                        gone: other.map(|held| held.row.clone()),
                        came: Some(row),
                    });
                }
            }
        }
        updates.extend(held.map(gone));
        updates
    }
}

fn first_key(chunk: &Chunk) -> Key {
    chunk.first().expect("no chunk is empty").key()
}

/// Cuts what grew too large in even parts, joins what became small to the one before if they fit,
/// and drops what is empty.
fn reshape(old: Vec<Chunk>, chunks: &mut Vec<Chunk>) {
    for chunk in old {
        if chunk.len() > CHUNK_ROWS_MAX {
            let parts = chunk.len().div_ceil(CHUNK_ROWS_MAX);
            let rows = chunk.chunks(chunk.len().div_ceil(parts));
            chunks.extend(rows.map(|part| Arc::new(part.to_vec())));
        } else if chunk.len() >= CHUNK_ROWS_MIN {
            chunks.push(chunk);
        } else if let Some(last) = chunks.last_mut()
            && last.len() + chunk.len() <= CHUNK_ROWS_MAX
        {
            Arc::make_mut(last).extend_from_slice(&chunk);
        } else if !chunk.is_empty() {
            chunks.push(chunk);
        }
    }
}
