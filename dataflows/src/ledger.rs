//! The messages of the records that are open, and the ids of those that are closed.
//!
//! With a horizon a record *retires* once its last message is older: what it has come to stays in
//! every figure, its messages go, and whatever comes later for it is refused as `closed`. So state
//! depends on the records that can still change, not on history; of a retired one its id is left,
//! in a compressed bitmap, because only that tells a late message from a new record.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use roaring::RoaringTreemap;

use crate::calendar::Hour;
use crate::domain::{Message, Record};
use crate::packed::{pack, unpack};

/// Microseconds in a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// The messages of each open record: distinct, in their order. One record costs 25 bytes of the
/// table, of which an eighth to a half is empty, and what its messages pack into: 21 bytes a fact,
/// 17 an SMS.
#[derive(Default)]
pub struct Ledger {
    open: HashMap<Record, Box<[u8]>, BuildHasherDefault<RecordHasher>>,
    /// Empty between calls.
    bytes: Vec<u8>,
    /// Closed before this ledger began: shared by all workers, of all records.
    closed_before: Arc<RoaringTreemap>,
    closed_since: RoaringTreemap,
}

impl Ledger {
    /// Without open records; `closed` are the ids of retired ones.
    pub fn new(closed: Arc<RoaringTreemap>) -> Ledger {
        Ledger { closed_before: closed, ..Ledger::default() }
    }

    /// Puts the messages of a record into `messages`, none if it is new; false if it is closed.
    pub fn messages(&self, record: Record, messages: &mut Vec<Message>) -> bool {
        messages.clear();
        match self.open.get(&record) {
            Some(packed) => unpack(packed, messages),
            None => {
                let is_closed = |closed: &RoaringTreemap| closed.contains(record);
                return !is_closed(&self.closed_before) && !is_closed(&self.closed_since);
            }
        }
        true
    }

    /// Keeps these messages for a record that is not closed, instead of those it had.
    pub fn keep(&mut self, record: Record, messages: &[Message]) {
        messages.iter().for_each(|message| pack(message, &mut self.bytes));
        self.open.insert(record, self.bytes.as_slice().into());
        self.bytes.clear();
    }

    /// Closes every record whose last message was received before `cut` (microseconds since
    /// 1970), and gives each away with its messages. Costs a look at every open record.
    pub fn retire(&mut self, cut: i64, mut gone: impl FnMut(Record, &[Message])) {
        let closed = &mut self.closed_since;
        let mut messages = Vec::new();
        self.open.retain(|record, packed| {
            messages.clear();
            unpack(packed, &mut messages);
            let stays = messages.iter().any(|message| message.received.micros() >= cut);
            if !stays {
                gone(*record, &messages);
                closed.insert(*record);
            }
            stays
        });
    }

    /// The open records, in no particular order.
    pub fn open(&self) -> impl ExactSizeIterator<Item = (Record, Vec<Message>)> {
        self.open.iter().map(|(record, packed)| {
            let mut messages = Vec::new();
            unpack(packed, &mut messages);
            (*record, messages)
        })
    }

    /// The ids of all closed records.
    pub fn closed(&self) -> RoaringTreemap {
        &*self.closed_before | &self.closed_since
    }
}

/// Adds a message to those of its record; false if it is a copy of one that is there.
pub fn add(messages: &mut Vec<Message>, message: Message) -> bool {
    let place = messages.binary_search(&message);
    if let Err(place) = place {
        messages.insert(place, message);
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

#[derive(Default)]
struct RecordHasher(u64);

impl Hasher for RecordHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = crate::id::fnv(bytes);
    }
    fn write_u64(&mut self, record: u64) {
        // Not `route` again: the workers' share of records would all hash alike.
        self.0 = record.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(32);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Moment;
    use crate::domain::Body;

    fn at(micros: i64) -> Message {
        let received = Moment::new(micros, 180).expect("fits");
        Message { received, body: Body::Answer }
    }

    #[test]
    fn a_record_retires_with_its_last_message_and_stays_closed() {
        let mut ledger = Ledger::new(Arc::new([7].into_iter().collect()));
        let mut held = Vec::new();
        assert!(!ledger.messages(7, &mut held), "closed before");
        assert!(ledger.messages(1, &mut held) && held.is_empty(), "open");
        assert!(add(&mut held, at(10)) && add(&mut held, at(5)) && !add(&mut held, at(10)));
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
