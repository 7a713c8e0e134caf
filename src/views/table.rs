//! The rows of one view, sorted by key, as a value: a change makes a new table that shares with
//! the old one all that did not change.
//!
//! Rows lie in chunks of some dozens, and a table is the list of its chunks. A reader keeps the
//! table it got for as long as it likes; the writer copies only the chunks it changes. Keys are
//! not stored: they are read off the rows, which are in the cache anyway when compared.

use std::cmp::Ordering;
use std::sync::Arc;

use dataflows::views::{Key, Row};

use super::Change;

/// Rows a chunk holds at most. Smaller costs memory and a longer list, larger costs the writer
/// more copying per change.
const CHUNK_ROWS_MAX: usize = 64;

type Chunk = Arc<Vec<Arc<Row>>>;

/// The rows of one view; a copy costs one counter.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// None of them empty.
    chunks: Arc<Vec<Chunk>>,
    rows: usize,
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
    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows
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
    pub fn next(&self, place: &mut Place) -> Option<&Arc<Row>> {
        loop {
            let chunk = self.chunks.get(place.chunk)?;
            if let Some(row) = chunk.get(place.row) {
                place.row += 1;
                return Some(row);
            }
            *place = Place {
                chunk: place.chunk + 1,
                row: 0,
            };
        }
    }

    /// All rows in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The table after `updates`, which are sorted by key, each key once; what changed is added to
    /// `changes`.
    ///
    /// # Panics
    /// If a row that went is not the one held, or one came beside a held one: then the worker and
    /// this table are not of the same history, and nothing served from here would be true.
    pub fn updated(&self, updates: Vec<Update>, changes: &mut Vec<Change>) -> Table {
        let mut built = Builder {
            chunks: Vec::with_capacity(self.chunks.len() + 1),
            rows: 0,
        };
        let mut updates = updates.into_iter().peekable();
        let mut chunk = 0;
        while let Some(next) = updates.peek() {
            let touched = self.chunk_of(&next.key);
            built.share(&self.chunks[chunk..touched]);
            chunk = touched + 1;
            let until = self.chunks.get(chunk).map(first_key);
            let held = self
                .chunks
                .get(touched)
                .map_or(&[][..], |chunk| chunk.as_slice());
            let mut rows = Vec::with_capacity(held.len() + 1);
            let mut at = 0;
            while let Some(update) = updates.next_if(|u| until.is_none_or(|until| u.key < until)) {
                let found = at + held[at..].partition_point(|row| row.key() < update.key);
                rows.extend_from_slice(&held[at..found]);
                at = found;
                let before = held
                    .get(found)
                    .filter(|row| row.key().cmp(&update.key).is_eq());
                assert!(
                    before.map(|row| &**row) == update.gone.as_ref(),
                    "the worker takes away {:?} where {before:?} is held",
                    update.gone
                );
                at += usize::from(before.is_some());
                let after = update.came.map(Arc::new);
                rows.extend(after.clone());
                changes.push(Change {
                    before: before.cloned(),
                    after,
                });
            }
            rows.extend_from_slice(&held[at..]);
            built.add(rows);
        }
        built.share(self.chunks.get(chunk..).unwrap_or_default());
        Table {
            chunks: Arc::new(built.chunks),
            rows: built.rows,
        }
    }

    /// What must be updated so that the table holds `rows` and nothing else; `rows` are sorted by
    /// key, each key once.
    pub fn difference(&self, rows: Vec<Row>) -> Vec<Update> {
        let gone = |row: &Arc<Row>| Update {
            key: row.key(),
            gone: Some((**row).clone()),
            came: None,
        };
        let mut held = self.iter().peekable();
        let mut updates = Vec::new();
        for row in rows {
            let key = row.key();
            while let Some(row) = held.next_if(|held| held.key() < key) {
                updates.push(gone(row));
            }
            match held.next_if(|held| held.key().cmp(&key) == Ordering::Equal) {
                Some(same) if **same == row => {}
                other => {
                    updates.push(Update {
                        key,
                        gone: other.map(|r| (**r).clone()),
                        came: Some(row),
                    });
                }
            }
        }
        updates.extend(held.map(gone));
        updates
    }

    /// The chunk in which the key is, or would be put.
    fn chunk_of(&self, key: &Key) -> usize {
        self.chunks
            .partition_point(|chunk| first_key(chunk) <= *key)
            .saturating_sub(1)
    }
}

fn first_key(chunk: &Chunk) -> Key {
    chunk.first().expect("no chunk is empty").key()
}

struct Builder {
    chunks: Vec<Chunk>,
    rows: usize,
}

impl Builder {
    fn share(&mut self, chunks: &[Chunk]) {
        self.rows += chunks.iter().map(|chunk| chunk.len()).sum::<usize>();
        self.chunks.extend_from_slice(chunks);
    }

    /// Cuts what grew too large in even parts and joins what became small to its neighbour.
    fn add(&mut self, mut rows: Vec<Arc<Row>>) {
        self.rows += rows.len();
        if (1..CHUNK_ROWS_MAX / 4).contains(&rows.len())
            && let Some(last) = self
                .chunks
                .pop_if(|c| c.len() + rows.len() <= CHUNK_ROWS_MAX)
        {
            rows.splice(0..0, last.iter().cloned());
        }
        let parts = rows.len().div_ceil(CHUNK_ROWS_MAX).max(1);
        let size = rows.len().div_ceil(parts).max(1);
        self.chunks
            .extend(rows.chunks(size).map(|part| Arc::new(part.to_vec())));
    }
}
