//! Ids of the Order's things (agencies, units, services, managers, tenures, regions), four bytes each.
//!
//! An [`Id`] stands for its text and nothing else: equal texts are equal ids in one process, and
//! what leaves the process is the text. The table of texts only grows; it is the one piece of
//! shared state in this package, and nothing a rule computes can see it, because a rule that needs
//! the order of ids asks for [`Id::text`].

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Mutex, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text of 1..64 visible characters, as the number under which this process knows it.
///
/// `Ord` is the order of first sight, good for sorting batches and for nothing a person sees;
/// the order of texts is [`Id::by_text`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(NonZeroU32);

struct Entry {
    text: &'static str,
    /// The first bytes of the text, as a number of the same order.
    first: u128,
}

/// Chunk `c` holds the entries `2^c - 1 .. 2^(c+1) - 1`: entries never move, so readers need no lock.
static CHUNKS: [OnceLock<Box<[OnceLock<Entry>]>>; 32] = [const { OnceLock::new() }; 32];
/// Likewise a hash of each text, so that every process sends an id to the same worker. By themselves: every
/// table asks for them, and so they are near.
static HASHES: [OnceLock<Box<[AtomicU64]>>; 32] = [const { OnceLock::new() }; 32];
static INDEX: Mutex<Option<Index>> = Mutex::new(None);

type Index = HashMap<&'static str, Id, foldhash::fast::RandomState>;

thread_local! {
    /// The texts this thread has met: the lock is taken once per thread and text, not per event.
    static SEEN: RefCell<Index> = RefCell::default();
    /// Set while this thread reads or writes ids as numbers: what they stand for where it reads.
    static NUMBERED: RefCell<Option<Vec<Id>>> = const { RefCell::new(None) };
}

impl Id {
    /// Whether a text may be an id: 1..64 visible characters (no space, no control).
    pub fn is_valid(text: &str) -> bool {
        if text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic()) {
            return !text.is_empty();
        }
        let visible = |c: char| !c.is_whitespace() && !c.is_control();
        text.chars().all(visible) && text.chars().nth(64).is_none()
    }

    /// The id of `text`, or `None` unless it is a valid one.
    pub fn new(text: &str) -> Option<Id> {
        Id::is_valid(text).then(|| Id::of(text))
    }

    /// The id of a text that is known to be one, or comes from a table of ours.
    pub fn of(text: &str) -> Id {
        if let Some(id) = SEEN.with_borrow(|seen| seen.get(text).copied()) {
            return id;
        }
        let mut index = INDEX.lock().expect("interning does not panic");
        let (text, id) = intern(index.get_or_insert_default(), text);
        drop(index);
        SEEN.with_borrow_mut(|seen| seen.insert(text, id));
        id
    }

    /// The ids of many such texts, which this thread need not meet again.
    pub fn of_all(texts: &[String]) -> Vec<Id> {
        let mut index = INDEX.lock().expect("interning does not panic");
        let index = index.get_or_insert_default();
        index.reserve(texts.len());
        texts.iter().map(|text| intern(index, text).1).collect()
    }

    /// The id of `text` if somebody has spoken of it before: a question must not make the table
    /// grow.
    pub fn known(text: &str) -> Option<Id> {
        let index = INDEX.lock().expect("interning does not panic");
        index.as_ref()?.get(text).copied()
    }

    /// The text it stands for.
    pub fn text(self) -> &'static str {
        self.entry().text
    }

    /// The order of texts.
    pub fn by_text(self, other: Id) -> Ordering {
        if self == other {
            return Ordering::Equal;
        }
        let (one, other) = (self.entry(), other.entry());
        one.first.cmp(&other.first).then_with(|| one.text.cmp(other.text))
    }

    /// [`short`] of its text.
    pub(crate) fn short(self) -> Option<u128> {
        let entry = self.entry();
        (entry.text.len() <= 16).then_some(entry.first)
    }

    /// Its number in this process, never 0.
    pub(crate) fn number(self) -> u32 {
        self.0.get()
    }

    /// The id of a number that [`Id::number`] gave.
    pub(crate) fn of_number(number: u32) -> Id {
        Id(NonZeroU32::new(number).expect("ids are numbered from one"))
    }

    /// By number: where the text of each id stands among all, from one; nothing at 0.
    pub(crate) fn ranks() -> Vec<u32> {
        let guard = INDEX.lock().expect("interning does not panic");
        let mut all: Vec<(&str, Id)> =
            guard.iter().flatten().map(|(text, id)| (*text, *id)).collect();
        all.sort_unstable();
        let mut ranks = vec![0; all.len() + 1];
        for (rank, (_, id)) in (1..).zip(all) {
            ranks[id.number() as usize] = rank;
        }
        ranks
    }

    /// The texts of all ids there are but the first so many, in the order of the ids.
    pub fn texts(first: usize) -> Vec<&'static str> {
        let count =
            INDEX.lock().expect("interning does not panic").as_ref().map_or(0, HashMap::len);
        (first + 1..=count).map(|number| Id::of_number(number as u32).text()).collect()
    }

    fn entry(self) -> &'static Entry {
        let (chunk, offset) = place(self.0.get());
        CHUNKS[chunk]
            .get()
            .and_then(|entries| entries[offset].get())
            .expect("an id is handed out after its entry is written")
    }
}

/// `(chunk, offset)` of the n-th id, `n >= 1`.
fn place(n: u32) -> (usize, usize) {
    let chunk = n.ilog2();
    (chunk as usize, (n - (1 << chunk)) as usize)
}

fn intern(index: &mut Index, text: &str) -> (&'static str, Id) {
    if let Some((&text, &id)) = index.get_key_value(text) {
        return (text, id);
    }
    let next = u32::try_from(index.len() + 1).expect("fewer than 2^32 ids");
    let id = Id(NonZeroU32::new(next).expect("counted from one"));
    let text: &'static str = Box::leak(text.into());
    let (chunk, offset) = place(next);
    let entries =
        CHUNKS[chunk].get_or_init(|| (0..1_usize << chunk).map(|_| OnceLock::new()).collect());
    let hashes =
        HASHES[chunk].get_or_init(|| (0..1_usize << chunk).map(|_| AtomicU64::new(0)).collect());
    // Whoever has the id has it from here, by a lock or a channel.
    hashes[offset].store(fnv(text.as_bytes()), atomic::Ordering::Relaxed);
    let entry = Entry { text, first: first_of(text) };
    assert!(entries[offset].set(entry).is_ok(), "an entry is written once");
    index.insert(text, id);
    (text, id)
}

/// The first sixteen bytes of a text, as a number of the same order.
fn first_of(text: &str) -> u128 {
    let mut first = [0; 16];
    first.iter_mut().zip(text.bytes()).for_each(|(to, byte)| *to = byte);
    u128::from_be_bytes(first)
}

/// A text of visible characters as a number of the same order; none where it has more than sixteen bytes.
pub(crate) fn short(text: &str) -> Option<u128> {
    (text.len() <= 16).then(|| first_of(text))
}

/// FNV-1a: short, and the same in every build and process.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (chunk, offset) = place(self.0.get());
        let hashes = HASHES[chunk].get().expect("an id is handed out after its hash is written");
        state.write_u64(hashes[offset].load(atomic::Ordering::Relaxed));
    }
}

/// A table that one worker keeps, by ids or what is made of them. Nobody outside chooses its keys'
/// hashes, so it hashes quickly rather than safely.
pub type Table<K, V> = HashMap<K, V, BuildHasherDefault<Mixing>>;

/// Empties a table, whose room stays for the next epoch, unless this one was much smaller than it:
/// a first one is a million times as large.
pub fn drain<K: Eq + Hash, V>(table: &mut Table<K, V>) -> impl Iterator<Item = (K, V)> {
    table.shrink_to(8 * table.len());
    table.drain()
}

/// The hasher of [`Table`]: one multiplication a number.
#[derive(Default)]
pub struct Mixing(u64);

impl Hasher for Mixing {
    fn write(&mut self, bytes: &[u8]) {
        self.write_u64(fnv(bytes));
    }
    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }
    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }
    fn write_i32(&mut self, number: i32) {
        self.write_u64(u64::from(number.cast_unsigned()));
    }
    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.cast_unsigned() as u64);
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Does something during which ids are written, and read, as numbers instead of texts: as the places
/// in `Id::texts(0)` at the time of writing, of which `ids` are what they stand for at that of reading.
pub fn numbered<T>(ids: &mut Vec<Id>, work: impl FnOnce() -> T) -> T {
    NUMBERED.set(Some(std::mem::take(ids)));
    let done = work();
    *ids = NUMBERED.take().expect("set above");
    done
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match NUMBERED.with_borrow(Option::is_some) {
            true => serializer.serialize_u32(self.number() - 1),
            false => serializer.serialize_str(self.text()),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }
            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(Id::of(text))
            }
        }
        if NUMBERED.with_borrow(Option::is_none) {
            return deserializer.deserialize_str(Text);
        }
        let number = u32::deserialize(deserializer)? as usize;
        let id = NUMBERED.with_borrow(|ids| ids.as_ref()?.get(number).copied());
        id.ok_or_else(|| serde::de::Error::custom("there is no id of that number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_text() {
        assert_eq!(Id::new("10000009001").map(Id::text), Some("10000009001"));
        assert_eq!(Id::new("МФЦ-0"), Some(Id::of("МФЦ-0")));
        assert_ne!(Id::of("a"), Id::of("b"));
        assert_eq!((Id::known("b"), Id::known("never said")), (Some(Id::of("b")), None));
        assert_eq!(Id::known("never said"), None);
        for wrong in ["", " ", "a b", "a\u{0}", "\n", &"x".repeat(65)] {
            assert_eq!(Id::new(wrong), None, "{wrong:?}");
        }
        assert!(Id::new(&"я".repeat(64)).is_some());
    }

    #[test]
    fn ids_are_in_the_order_of_their_texts() {
        let long = "0123456789abcdef";
        let texts = ["1", "10", "2", "МФЦ", "Ц", long, &format!("{long}!"), &format!("{long}0")];
        for (one, other) in texts.iter().flat_map(|one| texts.iter().map(move |o| (*one, *o))) {
            assert_eq!(Id::of(one).by_text(Id::of(other)), one.cmp(other), "{one} {other}");
        }
    }

    #[test]
    fn many_ids_from_many_threads() {
        let ids: Vec<Vec<Id>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).map(|n| Id::of(&format!("t{n}"))).collect()))
                .collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect()
        });
        assert!(ids.iter().all(|thread| *thread == ids[0]));
        assert!(ids[0].iter().enumerate().all(|(n, id)| id.text() == format!("t{n}")));
    }
}
