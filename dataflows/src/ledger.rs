//! The messages of the records that are open, and the ids of those that are closed.
//!
//! With a horizon a record *retires* once its last message is older: what it has come to stays in
//! every figure, its messages go, and whatever comes later for it is refused as `closed`. So state
//! depends on the records that can still change, not on history; of a retired one its id is left,
//! in a compressed bitmap, because only that tells a late message from a new record.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use roaring::RoaringTreemap;

use crate::calendar::Hour;
use crate::domain::{Message, Record};
use crate::packed::{pack, unpack};
use crate::slots::{Slot, Slots};

/// Microseconds in a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// The table of records is in so many parts: each grows by itself, so that no message waits until
/// all records have moved to a table twice as large, nor is there room for both at once. The last is
/// twice as large as the first, and those between lie between, so that they do not all grow at once.
const PARTS: usize = 256;
/// Hashes lie in so many places, and a part has some that follow each other.
const PLACES: usize = 1 << 16;

/// The messages of each open record: distinct, in their order. One record costs 6 to 12 bytes of
/// the table, 8 for its id, and what its messages pack into: 21 bytes a fact, 17 an SMS. Where
/// records retire there are some 11 bytes more, for its place in `due`.
pub struct Ledger {
    parts: Vec<HashTable<Slot>>,
    /// The id of each open record, and its messages.
    slots: Slots,
    /// From the first cut on, every open record once: by a day, since 1970, on or before that of
    /// its last message. Messages do not move it, a cut that comes to it does.
    due: Option<BTreeMap<i64, Vec<Record>>>,
    /// Empty between calls.
    bytes: Vec<u8>,
    /// Closed before this ledger began: shared by all workers, of all records.
    closed_before: Arc<RoaringTreemap>,
    closed_since: RoaringTreemap,
}

impl Ledger {
    /// Without open records, but with room for some; `closed` are the ids of retired ones.
    pub fn new(room: usize, closed: Arc<RoaringTreemap>) -> Ledger {
        let mut shares = [0; PARTS];
        (0..=u16::MAX).for_each(|at| shares[part(at)] += 1);
        let table = |share| HashTable::with_capacity(room * share / PLACES);
        Ledger {
            parts: shares.into_iter().map(table).collect(),
            slots: Slots::default(),
            due: None,
            bytes: Vec::new(),
            closed_before: closed,
            closed_since: RoaringTreemap::new(),
        }
    }

    /// Fetches from memory what [`Ledger::messages`] will be asked for, and of new records where [`Ledger::keep`]
    /// will put them. First the tables and then the slots, so that no step has to wait for the one before it.
    pub fn foresee(&self, records: impl Iterator<Item = Record>) {
        let slots: Vec<Slot> = records
            .filter_map(|record| {
                let (part, hash) = place(record);
                let part = &self.parts[part];
                let slot = part.find(hash, |_| true).copied();
                if slot.is_none() {
                    std::hint::black_box(beside(part, hash).copied());
                }
                slot
            })
            .collect();
        let first = |slot: &Slot| self.slots.get(*slot)[0];
        std::hint::black_box(slots.iter().map(first).fold(0, u8::wrapping_add));
    }

    /// Puts the messages of a record into `messages`, none if it is new; false if it is closed.
    pub fn messages(&self, record: Record, messages: &mut Vec<Message>) -> bool {
        messages.clear();
        let (part, hash) = place(record);
        match self.parts[part].find(hash, |slot| id(&self.slots, *slot) == record) {
            Some(slot) => unpack(packed(&self.slots, *slot), messages),
            None => {
                let is_closed = |closed: &RoaringTreemap| closed.contains(record);
                return !is_closed(&self.closed_before) && !is_closed(&self.closed_since);
            }
        }
        true
    }

    /// Keeps these messages for a record that is not closed, instead of those it had.
    pub fn keep(&mut self, record: Record, messages: &[Message]) {
        self.bytes.clear();
        self.bytes.extend(record.to_le_bytes());
        messages.iter().for_each(|message| pack(message, &mut self.bytes));
        let (part, hash) = place(record);
        let slots = &self.slots;
        let is_it = |slot: &Slot| id(slots, *slot) == record;
        match self.parts[part].entry(hash, is_it, |slot| place(id(slots, *slot)).1) {
            Entry::Occupied(mut entry) => {
                *entry.get_mut() = self.slots.replace(*entry.get(), &self.bytes);
            }
            Entry::Vacant(entry) => {
                entry.insert(self.slots.insert(&self.bytes));
                if let Some(due) = &mut self.due {
                    due.entry(last_day(messages)).or_default().push(record);
                }
            }
        }
    }

    /// Closes every record whose last message was received before `cut` (microseconds since
    /// 1970), and gives each away with its messages. The first cut looks at every open record, a
    /// later one at those that retire and those that had their first message as long ago.
    pub fn retire(&mut self, cut: i64, mut gone: impl FnMut(Record, &[Message])) {
        let mut messages = Vec::new();
        let due = self.due.get_or_insert_with(|| {
            let mut due: BTreeMap<i64, Vec<Record>> = BTreeMap::new();
            for slot in self.parts.iter().flatten() {
                messages.clear();
                unpack(packed(&self.slots, *slot), &mut messages);
                due.entry(last_day(&messages)).or_default().push(id(&self.slots, *slot));
            }
            due
        });
        // The day of the cut too, for a cut within it.
        let later = due.split_off(&(cut.div_euclid(DAY_MICROS) + 1));
        for record in std::mem::replace(due, later).into_values().flatten() {
            let (part, hash) = place(record);
            let is_it = |slot: &Slot| id(&self.slots, *slot) == record;
            let Ok(entry) = self.parts[part].find_entry(hash, is_it) else {
                unreachable!("what is due is open")
            };
            messages.clear();
            unpack(packed(&self.slots, *entry.get()), &mut messages);
            if messages.iter().any(|message| message.received.micros() >= cut) {
                due.entry(last_day(&messages)).or_default().push(record);
            } else {
                self.slots.remove(entry.remove().0);
                self.closed_since.insert(record);
                gone(record, &messages);
            }
        }
    }

    /// The open records, in no particular order.
    pub fn open(&self) -> impl Iterator<Item = (Record, Vec<Message>)> {
        self.parts.iter().flatten().map(|slot| {
            let mut messages = Vec::new();
            unpack(packed(&self.slots, *slot), &mut messages);
            (id(&self.slots, *slot), messages)
        })
    }

    /// How many those are.
    pub fn count(&self) -> usize {
        self.parts.iter().map(HashTable::len).sum()
    }

    /// The ids of all closed records.
    pub fn closed(&self) -> RoaringTreemap {
        &*self.closed_before | &self.closed_since
    }
}

/// The record whose slot it is.
fn id(slots: &Slots, slot: Slot) -> Record {
    let id = slots.get(slot).first_chunk().expect("a slot begins with its record");
    Record::from_le_bytes(*id)
}

/// The messages of the record whose slot it is.
fn packed(slots: &Slots, slot: Slot) -> &[u8] {
    &slots.get(slot)[size_of::<Record>()..]
}

/// One that lies, most likely, in the line of memory where one of this hash would be put: a table searches
/// from the place that the low bits of the hash say.
fn beside<T>(table: &HashTable<T>, hash: u64) -> Option<&T> {
    let from = hash as usize & table.num_buckets().saturating_sub(1);
    (from..from + 8).find_map(|at| table.get_bucket(at))
}

/// The part that a record is in, and its hash there.
fn place(record: Record) -> (usize, u64) {
    // Not `route` again: the workers' share of records would all hash alike. Four records whose ids follow
    // each other are searched from one place, since they come at about the same time, and lie in the same lines
    // of memory; their highest bits, which the table keeps of each, differ.
    let hash = (record >> 2).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(32) ^ record << 62;
    (part((hash >> 16) as u16), hash)
}

/// The part that a place is in: [`PARTS`] log2(1 + place / [`PLACES`]), nearly.
fn part(place: u16) -> usize {
    let place = usize::from(place);
    let bulge = place * (PLACES - place) / PLACES;
    (place + bulge * 11 / 32) * PARTS / PLACES
}

/// The day since 1970 on which the last of these messages was received.
fn last_day(messages: &[Message]) -> i64 {
    let last = messages.iter().map(|message| message.received.micros()).max();
    last.unwrap_or(i64::MIN).div_euclid(DAY_MICROS)
}

/// Adds a message to those of its record; false if it is a copy of one that is there.
pub fn add(messages: &mut Vec<Message>, message: &Message) -> bool {
    let place = messages.binary_search(message);
    if let Err(place) = place {
        messages.insert(place, *message);
    }
    place.is_err()
}

/// How far back records may still change.
///
/// The age of a record counts from the present as clock *and* messages show it: from the earlier
/// of the hour told last and the latest time of receipt. So neither a clock set forward nor one
/// message from the future closes anything, and an old log replayed retires as it did live.
/// Records retire by whole days (of UTC), at the first hour told in which a day more is too old.
#[derive(Clone, Copy, Debug)]
pub struct Horizon {
    /// 0 where records never retire.
    days: u32,
    hour: Hour,
    latest: i64,
    /// Where the last cut was made.
    cut: i64,
}

impl Horizon {
    /// Of so many days, 0 for none.
    pub fn new(days: u32) -> Horizon {
        Horizon { days, hour: Hour::UNKNOWN, latest: i64::MIN, cut: i64::MIN }
    }

    /// The last cut was made there already.
    pub fn cut_before(&mut self, cut: i64) {
        self.cut = cut;
    }

    /// It is this hour now; hours never fall.
    pub fn strike(&mut self, hour: Hour) {
        self.hour = self.hour.max(hour);
    }

    /// A message was received at this moment, microseconds since 1970.
    pub fn see(&mut self, received: i64) {
        self.latest = self.latest.max(received);
    }

    /// The latest time of receipt seen.
    pub fn latest(&self) -> i64 {
        self.latest
    }

    /// The cut that is due at an hour that has just struck: records without a message at or after
    /// this moment retire. `None` where no day more is too old.
    pub fn cut(&mut self) -> Option<i64> {
        if self.days == 0 || self.latest == i64::MIN {
            return None;
        }
        let present = self.hour.micros().min(self.latest);
        let cut = (present.div_euclid(DAY_MICROS) - i64::from(self.days)) * DAY_MICROS;
        let is_later = cut > self.cut;
        self.cut = self.cut.max(cut);
        is_later.then_some(cut)
    }

    /// Where the last cut was made, `i64::MIN` where none was.
    pub fn last_cut(&self) -> i64 {
        self.cut
    }
}

/// A well-mixed route for a record id.
pub fn route(record: Record) -> u64 {
    let mixed = record.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Moment;
    use crate::domain::Body;

    /// A table doubles where its records pass seven eighths of a power of two.
    #[test]
    fn parts_do_not_grow_at_once() {
        let mut shares = [0_u64; PARTS];
        (0..=u16::MAX).for_each(|at| shares[part(at)] += 1);
        let rooms =
            |records: u64| shares.map(|share| (share * records * 8 / 7 / PLACES as u64).ilog2());
        let mut records = 1_000_000;
        while records < 100_000_000 {
            let later = records * 101 / 100;
            let grown = rooms(records).into_iter().zip(rooms(later)).filter(|(a, b)| a != b);
            let grown = grown.count();
            assert!((1..=PARTS / 20).contains(&grown), "{grown} on the way to {later} records");
            records = later;
        }
    }

    fn at(micros: i64) -> Message {
        let received = Moment::new(micros, 180).expect("fits");
        Message { received, body: Body::Answer }
    }

    #[test]
    fn a_record_retires_with_its_last_message_and_stays_closed() {
        let mut ledger = Ledger::new(0, Arc::new([7].into_iter().collect()));
        let mut held = Vec::new();
        assert!(!ledger.messages(7, &mut held), "closed before");
        assert!(ledger.messages(1, &mut held) && held.is_empty(), "open");
        assert!(add(&mut held, &at(10)) && add(&mut held, &at(5)) && !add(&mut held, &at(10)));
        ledger.keep(1, &held);
        ledger.keep(2, &[at(9)]);
        assert!(ledger.messages(1, &mut held) && held == [at(5), at(10)]);
        let mut gone = Vec::new();
        ledger.retire(10, |record, messages| gone.push((record, messages.to_vec())));
        assert_eq!(gone, [(2, vec![at(9)])]);
        assert!(!ledger.messages(2, &mut held));
        assert_eq!(ledger.open().collect::<Vec<_>>(), [(1, vec![at(5), at(10)])]);
        assert_eq!(ledger.closed().iter().collect::<Vec<_>>(), [2, 7]);
    }

    /// Cut after cut, whatever came between, as if each had looked at every record.
    #[test]
    fn a_cut_takes_all_that_are_too_old_and_no_other() {
        let mut ledger = Ledger::new(0, Arc::default());
        let mut all: BTreeMap<Record, Vec<Message>> = BTreeMap::new();
        let (mut held, mut random) = (Vec::new(), 7_u64);
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let (mut retired, mut moved) = (0, 0);
        for day in 0..60_i64 {
            for _ in 0..40 {
                // Some days late or early, before 1970 at first.
                let at_day = day - 20 + next(9).cast_signed() - 6;
                let message = at(at_day * DAY_MICROS + next(86_400_000_000).cast_signed());
                let record = next(400);
                if ledger.messages(record, &mut held) {
                    add(&mut held, &message);
                    ledger.keep(record, &held);
                    add(all.entry(record).or_default(), &message);
                }
            }
            // At midnights, but for some within a day, and days without a cut.
            let within = if day % 5 == 0 { next(86_400_000_000).cast_signed() } else { 0 };
            let cut = (day - 30) * DAY_MICROS + within;
            if day % 7 == 3 {
                continue;
            }
            let mut gone = Vec::new();
            ledger.retire(cut, |record, messages| gone.push((record, messages.to_vec())));
            gone.sort_unstable();
            let last = |messages: &[Message]| messages.iter().map(|m| m.received.micros()).max();
            let is_old = |_: &Record, messages: &mut Vec<Message>| last(messages) < Some(cut);
            let expected: Vec<_> = all.extract_if(.., is_old).collect();
            assert_eq!(gone, expected, "day {day}");
            retired += gone.len();
            moved += all.values().filter(|m| m.len() > 1).count();
            let due: usize = ledger.due.iter().flat_map(BTreeMap::values).map(Vec::len).sum();
            assert_eq!((due, ledger.count()), (all.len(), all.len()), "each is due once");
        }
        assert!(retired > 100 && moved > 100, "{retired} retired, {moved} have several messages");
    }

    /// Neither the clock nor the messages alone make anything old.
    #[test]
    fn the_present_is_what_clock_and_messages_agree_on() {
        let mut horizon = Horizon::new(1);
        assert_eq!(horizon.cut(), None);
        horizon.see(5 * DAY_MICROS + 7);
        horizon.strike(Hour(2 * 24 + 3));
        assert_eq!(horizon.cut(), Some(DAY_MICROS));
        horizon.strike(Hour(2 * 24 + 5));
        assert_eq!(horizon.cut(), None, "no day more");
        horizon.strike(Hour(24 * 3650));
        assert_eq!(horizon.cut(), Some(4 * DAY_MICROS));
        assert_eq!(horizon.last_cut(), 4 * DAY_MICROS);
        let mut off = Horizon { days: 0, ..Horizon::new(1) };
        off.see(9 * DAY_MICROS);
        assert_eq!(off.cut(), None);
    }
}
