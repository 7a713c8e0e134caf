//! The rows of one view, sorted by key, such that a copy is cheap and stays as it is.
//!
//! Rows lie in chunks of some dozens, chunks in blocks of some hundreds, and a table is the list of its
//! blocks, all of them counted. A reader keeps the copy it got for as long as it likes; meanwhile the
//! writer copies the list, and the blocks and chunks it changes, once each, and works in place on all
//! others: with a hundred times the rows a change costs the same. Keys are read off the rows, and kept
//! of the first of each chunk and block only.

use std::cmp::Ordering;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use dataflows::views::{Key, Row, View};
use serde::{Deserialize, Serialize};

use super::Change;
use super::digest::Digest;

/// Rows a chunk holds at most. Smaller makes a longer list to copy for a reader's sake, larger
/// makes longer chunks to copy.
const CHUNK_ROWS_MAX: usize = 64;
/// Chunks a block holds at most; likewise.
const BLOCK_CHUNKS_MAX: usize = 256;

/// Some rows that follow each other. A search looks at no other rows than those it finds: it compares
/// the keys of chunks' first rows, and then the marks of one chunk.
#[derive(Clone, Debug)]
struct Chunk {
    first: Key,
    rows: Vec<Arc<Held>>,
    /// Half of the [`Key::mark`] of each.
    marks: Vec<u32>,
}

/// Some chunks that follow each other.
#[derive(Clone, Debug)]
struct Block {
    /// All rows of the blocks before are before it, and none of its own but in the first block.
    first: Key,
    chunks: Vec<Arc<Chunk>>,
}

fn mark(key: &Key) -> u32 {
    (key.mark() >> 32) as u32
}

/// What a list is cut into.
trait Part: Sized {
    type Item: Clone;
    /// Items it has at most. With less than a fourth it is joined to its neighbour.
    const MAX: usize;
    const MIN: usize = Self::MAX / 4;

    /// Of some items, if there are any.
    fn of(items: Vec<Self::Item>) -> Option<Arc<Self>>;

    fn items(&self) -> &[Self::Item];

    fn is_shapely(&self) -> bool {
        (Self::MIN..=Self::MAX).contains(&self.items().len())
    }
}

impl Part for Chunk {
    type Item = Arc<Held>;
    const MAX: usize = CHUNK_ROWS_MAX;

    fn of(rows: Vec<Arc<Held>>) -> Option<Arc<Chunk>> {
        let first = rows.first()?.key();
        let marks = rows.iter().map(|row| mark(&row.key())).collect();
        Some(Arc::new(Chunk { first, rows, marks }))
    }

    fn items(&self) -> &[Arc<Held>] {
        &self.rows
    }
}

impl Part for Block {
    type Item = Arc<Chunk>;
    const MAX: usize = BLOCK_CHUNKS_MAX;

    fn of(chunks: Vec<Arc<Chunk>>) -> Option<Arc<Block>> {
        let first = chunks.first()?.first;
        Some(Arc::new(Block { first, chunks }))
    }

    fn items(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }
}

/// Cuts what grew too large in even parts, joins what became small to the one before if they fit,
/// and drops what is empty.
fn reshape<P: Part>(parts: &mut Vec<Arc<P>>) {
    for part in mem::take(parts) {
        let items = part.items();
        if items.len() > P::MAX {
            cut(items, parts);
        } else if items.len() >= P::MIN {
            parts.push(part);
        } else if let Some(last) = parts.last_mut()
            && last.items().len() + items.len() <= P::MAX
        {
            if let Some(joined) = P::of([last.items(), items].concat()) {
                *last = joined;
            }
        } else if !items.is_empty() {
            parts.push(part);
        }
    }
}

/// Adds items in parts, as few and as even as they can be.
fn cut<P: Part>(items: &[P::Item], parts: &mut Vec<Arc<P>>) {
    let count = items.len().div_ceil(P::MAX).max(1);
    let each = items.len().div_ceil(count).max(1);
    parts.extend(items.chunks(each).filter_map(|items| P::of(items.to_vec())));
}

impl Chunk {
    /// The place of a key, or where it would be; `gone` is the digest of what should be there, which a
    /// row is known by without being looked into.
    fn find(&self, key: &Key, gone: Option<Digest>) -> Result<usize, usize> {
        if self.rows.len() > CHUNK_ROWS_MAX {
            // It grows while it is updated, by a whole state perhaps, at its end.
            let is_last = self.rows.last().is_some_and(|row| row.key() < *key);
            let search = || self.rows.binary_search_by(|row| row.key().cmp(key));
            return if is_last { Err(self.rows.len()) } else { search() };
        }
        let mark = mark(key);
        let same = self.marks.iter().enumerate().filter(|(_, other)| **other == mark);
        let mut found = same.filter(|(place, _)| {
            let row = &self.rows[*place];
            gone == Some(row.digest) || row.key() == *key
        });
        let place = found.next().map(|(place, _)| place);
        place.ok_or_else(|| self.rows.partition_point(|row| row.key() < *key))
    }

    /// Puts a row, or none, in the place of what [`Chunk::find`] has found; returns what was there.
    fn put(
        &mut self,
        key: Key,
        place: Result<usize, usize>,
        row: Option<Arc<Held>>,
    ) -> Option<Arc<Held>> {
        let before = match (place, row) {
            (Ok(place), Some(row)) => Some(mem::replace(&mut self.rows[place], row)),
            (Ok(place), None) => {
                self.marks.remove(place);
                Some(self.rows.remove(place))
            }
            (Err(place), row) => {
                self.marks.splice(place..place, row.as_ref().map(|_| mark(&key)));
                self.rows.splice(place..place, row);
                None
            }
        };
        if let Ok(0) | Err(0) = place {
            // One that is empty is dropped soon.
            self.first = self.rows.first().map_or(key, |row| row.key());
        }
        before
    }
}

/// A row and its digest, which is reckoned once: when the dataflow puts the row out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Held {
    /// First, because it tells rows apart sooner.
    digest: Digest,
    row: Row,
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

impl AsRef<Row> for Held {
    fn as_ref(&self) -> &Row {
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
    /// None of them empty, and none of their chunks.
    blocks: Arc<Vec<Arc<Block>>>,
    rows: usize,
    digest: Digest,
}

/// A place in a table: which block, which chunk of it, and which row of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    block: usize,
    chunk: usize,
    row: usize,
}

/// What becomes of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Update {
    /// There was no row, and now there is this one.
    Comes(Held),
    /// There was the row of this digest, and now there is this one instead.
    Instead(Digest, Held),
    /// There was this row, and now there is none.
    Goes(Held),
}

impl Update {
    /// What takes one row away and puts another in its place, if that is a change.
    fn between(gone: Option<&Held>, came: Option<&Held>) -> Option<Update> {
        match (gone, came) {
            (Some(gone), Some(came)) if gone.digest == came.digest => None,
            (Some(gone), Some(came)) => Some(Update::Instead(gone.digest, came.clone())),
            (None, Some(came)) => Some(Update::Comes(came.clone())),
            (Some(gone), None) => Some(Update::Goes(gone.clone())),
            (None, None) => None,
        }
    }

    /// Whose.
    pub fn key(&self) -> Key {
        self.row().key()
    }

    /// The row that has its key.
    fn row(&self) -> &Held {
        let (Update::Comes(row) | Update::Instead(_, row) | Update::Goes(row)) = self;
        row
    }

    /// The digest of the row held until now.
    fn gone(&self) -> Option<Digest> {
        match self {
            Update::Comes(_) => None,
            Update::Instead(gone, _) => Some(*gone),
            Update::Goes(gone) => Some(gone.digest),
        }
    }

    /// The row to hold from now on.
    pub(super) fn came(self) -> Option<Held> {
        match self {
            Update::Comes(came) | Update::Instead(_, came) => Some(came),
            Update::Goes(_) => None,
        }
    }
}

/// What becomes of keys, each key once: view by view, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates([Vec<Update>; View::ALL.len()]);

/// Sorts updates of one view by key.
///
/// # Panics
/// If there are two of one key.
pub(super) fn sort(updates: &mut [Update]) {
    if updates.is_sorted_by(|one, other| one.key() < other.key()) {
        return;
    }
    let mut all_short = true;
    updates.sort_by_cached_key(|update| {
        let ordinals = update.key().ordinals();
        all_short &= ordinals.is_some();
        ordinals.unwrap_or_default()
    });
    if !all_short {
        updates.sort_by_cached_key(Update::key);
    }
    for two in updates.windows(2) {
        assert!(two[0].key() != two[1].key(), "{:?} beside {:?}", two[0], two[1]);
    }
}

impl Updates {
    /// And these, of other keys.
    pub fn add(&mut self, updates: impl IntoIterator<Item = Update>) {
        for update in updates {
            self.0[update.row().view() as usize].push(update);
        }
    }

    /// Of rows that went (-1) and came (+1), consolidated and such that those of one key are beside each
    /// other; in their order, whatever that is.
    ///
    /// # Panics
    /// If a row comes or goes twice, or a key gets two rows.
    pub fn paired(
        changes: impl IntoIterator<Item = (Held, isize)>,
    ) -> impl Iterator<Item = Update> {
        let mut changes = changes.into_iter().peekable();
        std::iter::from_fn(move || {
            let (row, diff) = changes.next()?;
            let other = changes.next_if(|(other, _)| other.key() == row.key());
            Some(match (diff, other) {
                (1, None) => Update::Comes(row),
                (-1, None) => Update::Goes(row),
                (1, Some((gone, -1))) => Update::Instead(gone.digest, row),
                (-1, Some((came, 1))) => Update::Instead(row.digest, came),
                (diff, other) => panic!("{row:?} comes {diff} times beside {other:?}"),
            })
        })
    }

    /// Those of each view, in the order of [`View::ALL`].
    pub(super) fn by_view(self) -> [Vec<Update>; View::ALL.len()] {
        self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

impl From<Vec<(Row, i64)>> for Updates {
    /// Of rows that went (-1) or came (+1), consolidated.
    ///
    /// # Panics
    /// As [`Updates::paired`].
    fn from(mut changes: Vec<(Row, i64)>) -> Updates {
        changes.sort_by_cached_key(|(row, _)| row.key());
        let changes = changes.into_iter().map(|(row, diff)| (Held::from(row), diff as isize));
        let mut updates = Updates::default();
        updates.add(Updates::paired(changes));
        updates
    }
}

impl Table {
    /// These rows, which are sorted by key, each key once.
    pub(super) fn of(rows: Vec<Row>) -> Table {
        let mut table = Table::default();
        let rows = rows.into_iter().map(|row| Update::Comes(Held::from(row)));
        table.update(rows.collect(), &mut Vec::new());
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
        let block = self.blocks.partition_point(|block| before(&block.first));
        let block = block.saturating_sub(1);
        let chunks = self.blocks.get(block).map_or(&[][..], |block| &block.chunks);
        let chunk = chunks.partition_point(|chunk| before(&chunk.first)).saturating_sub(1);
        let rows = chunks.get(chunk).map_or(&[][..], |chunk| &chunk.rows);
        Place { block, chunk, row: rows.partition_point(|row| before(&row.key())) }
    }

    /// The row at a place and moves it on; `None` at the end.
    pub fn next(&self, place: &mut Place) -> Option<&Arc<Held>> {
        loop {
            let block = self.blocks.get(place.block)?;
            let Some(chunk) = block.chunks.get(place.chunk) else {
                *place = Place { block: place.block + 1, chunk: 0, row: 0 };
                continue;
            };
            if let Some(row) = chunk.rows.get(place.row) {
                place.row += 1;
                return Some(row);
            }
            *place = Place { chunk: place.chunk + 1, row: 0, ..*place };
        }
    }

    /// All rows in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Held>> {
        let chunks = self.blocks.iter().flat_map(|block| &block.chunks);
        chunks.flat_map(|chunk| &chunk.rows)
    }

    /// Makes `updates`, each key once; what changed is added to `changes`, by key.
    ///
    /// # Panics
    /// If there are two of one key. If a row that went is not the one held, or one came beside a held
    /// one: then the worker and this table are not of the same history, and nothing served from here
    /// would be true.
    pub(super) fn update(&mut self, mut updates: Vec<Update>, changes: &mut Vec<Change>) {
        if updates.is_empty() {
            // Else the list of chunks would be copied for the sake of who reads it.
            return;
        }
        sort(&mut updates);
        if self.is_empty() {
            return self.fill(updates, changes);
        }
        let blocks = Arc::make_mut(&mut self.blocks);
        let (mut block_at, mut chunk_at) = (0, 0);
        // Blocks with chunks that are too large or too small now.
        let mut misshapen: Vec<usize> = Vec::new();
        for update in updates {
            let (key, gone) = (update.key(), update.gone());
            // What is at hand may be empty by now; what comes after it is as it was.
            let ahead = before(&blocks[block_at + 1..], |block| block.first <= key);
            if ahead > 0 {
                (block_at, chunk_at) = (block_at + ahead, 0);
            }
            let chunks = &mut Arc::make_mut(&mut blocks[block_at]).chunks;
            chunk_at += before(&chunks[chunk_at + 1..], |chunk| chunk.first <= key);
            let chunk = Arc::make_mut(&mut chunks[chunk_at]);
            let place = chunk.find(&key, gone);
            let held = place.ok().map(|place| &chunk.rows[place]);
            assert!(
                held.map(|held| held.digest) == gone,
                "the worker says {update:?} where {held:?} is held"
            );
            let after = update.came().map(Arc::new);
            let before = chunk.put(key, place, after.clone());
            self.digest -= before.as_ref().map_or(Digest::default(), |held| held.digest);
            self.digest += after.as_ref().map_or(Digest::default(), |held| held.digest);
            self.rows = self.rows + usize::from(after.is_some()) - usize::from(before.is_some());
            if !chunk.is_shapely() && misshapen.last() != Some(&block_at) {
                misshapen.push(block_at);
            }
            changes.push(Change { before, after });
        }
        for block in &misshapen {
            let block = Arc::make_mut(&mut blocks[*block]);
            reshape(&mut block.chunks);
            block.first = block.chunks.first().map_or(block.first, |chunk| chunk.first);
        }
        if misshapen.iter().any(|block| !blocks[*block].is_shapely()) {
            reshape(blocks);
        }
    }

    /// Likewise of some sorted ones, where there is no row yet: chunks are made whole.
    fn fill(&mut self, updates: Vec<Update>, changes: &mut Vec<Change>) {
        let mut rows = Vec::with_capacity(updates.len());
        for update in updates {
            assert!(
                matches!(update, Update::Comes(_)),
                "the worker says {update:?} where no row is held"
            );
            rows.extend(update.came().map(Arc::new));
        }
        rows.iter().for_each(|row: &Arc<Held>| self.digest += row.digest);
        self.rows = rows.len();
        let (mut chunks, mut blocks) = (Vec::new(), Vec::new());
        cut(&rows, &mut chunks);
        cut(&chunks, &mut blocks);
        self.blocks = Arc::new(blocks);
        changes.extend(rows.into_iter().map(|row| Change { before: None, after: Some(row) }));
    }

    /// What must be updated so that the table holds `rows` and nothing else; `rows` are sorted by
    /// key, each key once.
    pub(super) fn difference(&self, rows: impl IntoIterator<Item = Held>) -> Vec<Update> {
        let mut held = self.iter().map(|held| &**held).peekable();
        let mut updates = Vec::new();
        for row in rows {
            let key = row.key();
            while let Some(gone) = held.next_if(|held| held.key() < key) {
                updates.extend(Update::between(Some(gone), None));
            }
            let same = held.next_if(|held| held.key().cmp(&key) == Ordering::Equal);
            updates.extend(Update::between(same, Some(&row)));
        }
        updates.extend(held.filter_map(|gone| Update::between(Some(gone), None)));
        updates
    }

    /// What takes a change back.
    pub(super) fn back(change: &Change) -> Option<Update> {
        Update::between(change.after.as_deref(), change.before.as_deref())
    }
}

/// How many of the first are so: as [`slice::partition_point`], in steps that double, since the next one
/// is not far.
fn before<T>(all: &[T], is_so: impl Fn(&T) -> bool) -> usize {
    let mut end = 1;
    while all.get(end - 1).is_some_and(&is_so) {
        end *= 2;
    }
    end / 2 + all[end / 2..end.min(all.len())].partition_point(is_so)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::id::Id;
    use dataflows::tally::Value;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn mfc(unit: &str) -> Row {
        Row::Mfc { unit: Id::of(unit), value: Value { k: 1, n: 2 } }
    }

    /// However long the texts of their keys, and where only some are long.
    #[test]
    fn updates_are_sorted_by_key() {
        let long = "ABCDEFGHIJKLMNOP";
        for units in
            [&["B", "A", long][..], &["B", "ABCDEFGHIJKLMNOPR", "A", "ABCDEFGHIJKLMNOPQ", long]]
        {
            let mut updates: Vec<Update> =
                units.iter().map(|unit| Update::Comes(Held::from(mfc(unit)))).collect();
            sort(&mut updates);
            let mut expected: Vec<Key> = units.iter().map(|unit| mfc(unit).key()).collect();
            expected.sort();
            assert_eq!(updates.iter().map(Update::key).collect::<Vec<_>>(), expected);
        }
    }

    /// An epoch has updates of some views: the tables of the others stay what their readers have.
    #[test]
    fn a_table_without_updates_is_not_copied() {
        let mut table = Table::of(vec![mfc("A"), mfc("B")]);
        let read = table.clone();
        table.update(Vec::new(), &mut Vec::new());
        assert!(Arc::ptr_eq(&table.blocks, &read.blocks));
        table.update(vec![Update::Comes(mfc("C").into())], &mut Vec::new());
        assert!(!Arc::ptr_eq(&table.blocks, &read.blocks));
        assert_eq!((table.len(), read.len()), (3, 2));
    }

    #[test]
    fn what_comes_before_is_found_in_doubling_steps() {
        let all: Vec<usize> = (0..20).collect();
        for length in 0..=all.len() {
            for end in 0..=length {
                assert_eq!(before(&all[..length], |n| *n < end), end, "of {length}");
            }
        }
    }

    /// Tens of thousands of rows, so that there are some hundreds of chunks in several blocks: they come
    /// and go where a generator says, often beside each other, and in the end most of them go.
    #[test]
    fn blocks_and_chunks_grow_and_shrink() {
        let names: Vec<String> = (0..40_000).map(|n| format!("{n:05}")).collect();
        let mut held = vec![false; names.len()];
        let mut table = Table::default();
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for round in 0..300 {
            let from = random.random_range(0..names.len());
            let run = [1, 40, 3000][random.random_range(0..3)];
            let comes = random.random_bool(if round < 200 { 0.7 } else { 0.1 });
            let apart: Vec<usize> = (0..50).map(|_| random.random_range(0..names.len())).collect();
            let mut updates = Vec::new();
            for n in (from..names.len()).take(run).chain(apart) {
                if mem::replace(&mut held[n], comes) != comes {
                    let row = Held::from(mfc(&names[n]));
                    updates.push(if comes { Update::Comes(row) } else { Update::Goes(row) });
                }
            }
            table.update(updates, &mut Vec::new());
            for block in table.blocks.iter() {
                assert!((1..=BLOCK_CHUNKS_MAX).contains(&block.chunks.len()));
                assert!(block.chunks.iter().all(|c| (1..=CHUNK_ROWS_MAX).contains(&c.rows.len())));
            }
            if round % 20 == 19 {
                let there = names.iter().zip(&held).filter(|(_, held)| **held);
                let expected: Vec<Row> = there.map(|(name, _)| mfc(name)).collect();
                assert!(table.iter().map(|held| held.row()).eq(&expected), "round {round}");
                let whole = Table::of(expected);
                assert_eq!((table.len(), table.digest()), (whole.len(), whole.digest()));
            }
            let key = mfc(&names[from]).key();
            let mut place = table.seek(|other| *other < key);
            let found = table.next(&mut place).map(|row| row.key());
            let expected = (from..names.len()).find(|n| held[*n]);
            assert_eq!(found, expected.map(|n| mfc(&names[n]).key()));
            assert_eq!(table.get(&key).is_some(), held[from]);
        }
    }

    /// In any order; and all of them may go and come again.
    #[test]
    fn a_table_is_filled_in_the_order_of_keys() {
        let names: Vec<String> = (0..150).map(|n| format!("{n:03}")).collect();
        let comes = |name: &String| Update::Comes(mfc(name).into());
        let goes = |name: &String| Update::Goes(mfc(name).into());
        let (mut table, mut changes) = (Table::default(), Vec::new());
        for _ in 0..2 {
            table.update(names.iter().rev().map(comes).collect(), &mut changes);
            let expected: Vec<Row> = names.iter().map(|name| mfc(name)).collect();
            assert!(table.iter().map(|held| held.row()).eq(&expected));
            assert_eq!(table.digest(), Table::of(expected).digest());
            table.update(names.iter().map(goes).collect(), &mut changes);
            assert_eq!((table.len(), table.digest()), (0, Digest::default()));
        }
        assert_eq!(changes.len(), 4 * names.len());
    }
}
