//! The phone centre's sample as it grew (order-120 § 6: p. 7.8; D10).
//!
//! Of all figures only this one has a history: a list is formed once, and later changes add to it.
//! So it is computed along the log, tick by tick, and only for the records that a tick can move.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hasher;
#[expect(deprecated, reason = "SipHash-2-4, which the standard library keeps under this name")]
use std::hash::SipHasher;

use dataflows::calendar::Hour;
use dataflows::domain::{Channel, Outcome, Record};
use dataflows::id::Id;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Value, json};

use super::judge::{judge, withdrawn};
use super::message::{Body, Message};
use super::reference::{Offices, Reference};
use super::time;
use crate::rules::Rules;

/// The messages of all records.
pub type Records = HashMap<Record, Vec<Message>>;

/// The replies of one working day to a unit without units above it.
type ListKey = (Date, Id);

/// All lists, as of the last tick.
pub struct Sample {
    keys: (u64, u64),
    cap: usize,
    /// Records that ever had a reply of 1..3: no other can be drawn.
    negative: HashSet<Record>,
    /// Of these, what may have changed since the last tick.
    touched: BTreeSet<Record>,
    reference_changed: bool,
    candidate_of: HashMap<Record, ListKey>,
    lists: BTreeMap<ListKey, List>,
    waiting: BTreeSet<ListKey>,
    drawn_in: HashMap<Record, BTreeSet<ListKey>>,
    exhausted: HashSet<Record>,
}

#[derive(Default)]
struct List {
    /// By hash, then record: the order in which they are drawn.
    candidates: BTreeSet<(u64, Record)>,
    drawn: Vec<Record>,
    replies: usize,
    wanted: usize,
    /// Drawn and not exhausted.
    in_hand: usize,
}

impl Sample {
    /// No lists yet.
    pub fn new(rules: &Rules) -> Sample {
        let seed = rules.sample_seed.as_bytes();
        Sample {
            keys: (fnv_1a(seed.iter()), fnv_1a(seed.iter().rev())),
            cap: match rules.survey_cap {
                0 => usize::MAX,
                cap => cap as usize,
            },
            negative: HashSet::new(),
            touched: BTreeSet::new(),
            reference_changed: false,
            candidate_of: HashMap::new(),
            lists: BTreeMap::new(),
            waiting: BTreeSet::new(),
            drawn_in: HashMap::new(),
            exhausted: HashSet::new(),
        }
    }

    /// A message came for a record.
    pub fn touch(&mut self, record: Record, message: &Message) {
        if matches!(message.body, Body::Sms { digit: Some(digit), .. } if !digit.is_positive()) {
            self.negative.insert(record);
        }
        if self.negative.contains(&record) {
            self.touched.insert(record);
        }
    }

    /// The reference data changed: any candidate may be another list's, or none.
    pub fn touch_all(&mut self) {
        self.reference_changed = true;
    }

    /// Brings every list to the state of things at `now`.
    pub fn tick(&mut self, now: Hour, records: &Records, reference: &Reference, rules: &Rules) {
        let mut touched = std::mem::take(&mut self.touched);
        if std::mem::take(&mut self.reference_changed) {
            touched.extend(&self.negative);
        }
        let mut changed = BTreeSet::new();
        if !touched.is_empty() {
            let offices = Offices::of(reference);
            for record in touched {
                let messages = &records[&record];
                let list = list_of(messages, reference, &offices, rules);
                self.move_candidate(record, list, &mut changed);
                self.note_calls(record, messages, &mut changed);
            }
        }
        changed.retain(|list| !self.waiting.contains(list));
        changed.extend(self.take_due(now, reference));
        for key in changed {
            self.draw(key);
        }
    }

    fn move_candidate(
        &mut self,
        record: Record,
        list: Option<ListKey>,
        changed: &mut BTreeSet<ListKey>,
    ) {
        let before = match list {
            Some(list) => self.candidate_of.insert(record, list),
            None => self.candidate_of.remove(&record),
        };
        if before == list {
            return;
        }
        if let Some(key) = before {
            let candidate = (self.hash(key.0, record), record);
            let list = self.lists.get_mut(&key).expect("it holds a candidate");
            list.candidates.remove(&candidate);
            changed.insert(key);
        }
        if let Some(key) = list {
            let candidate = (self.hash(key.0, record), record);
            let list = self.lists.entry(key).or_insert_with(|| {
                self.waiting.insert(key);
                List::default()
            });
            list.candidates.insert(candidate);
            changed.insert(key);
        }
    }

    /// Whether those who called have given up on the record: two calls that nobody answered and no
    /// survey. A list that it is drawn in then draws the next.
    fn note_calls(
        &mut self,
        record: Record,
        messages: &[Message],
        changed: &mut BTreeSet<ListKey>,
    ) {
        let calls = calls(messages);
        let unanswered = |call: &&Message| call.body == Body::Call(Outcome::NoAnswer);
        let is_surveyed = calls.iter().any(|call| matches!(call.body, Body::Survey(_)));
        let is_exhausted = !is_surveyed && calls.iter().filter(unanswered).count() >= 2;
        let was_exhausted = match is_exhausted {
            true => !self.exhausted.insert(record),
            false => self.exhausted.remove(&record),
        };
        if is_exhausted != was_exhausted {
            changed.extend(self.drawn_in.get(&record).into_iter().flatten());
        }
    }

    /// The lists whose day is over in the zone of their unit since the last tick.
    fn take_due(&mut self, now: Hour, reference: &Reference) -> Vec<ListKey> {
        // No zone of ours is further east.
        let east = TimeZone::fixed(Offset::constant(14));
        let latest = time::date_in(&east, now.micros());
        let mut due: Vec<ListKey> =
            self.waiting.iter().take_while(|(day, _)| *day < latest).copied().collect();
        due.retain(|(day, unit)| time::date_in(reference.zone(Some(*unit)), now.micros()) > *day);
        for list in &due {
            self.waiting.remove(list);
        }
        due
    }

    /// Draws what a list wants and does not have: at least 5 % of its replies, lowest hash first.
    fn draw(&mut self, key: ListKey) {
        let list = self.lists.get_mut(&key).expect("only lists there are change");
        list.replies = list.candidates.len();
        list.wanted = list.replies.div_ceil(20);
        list.in_hand = list.drawn.iter().filter(|r| !self.exhausted.contains(r)).count();
        let known: HashSet<Record> = list.drawn.iter().copied().collect();
        let mut next = list.candidates.iter().filter(|(_, record)| !known.contains(record));
        while list.in_hand < list.wanted.min(self.cap) {
            let Some(&(_, record)) = next.next() else {
                break;
            };
            list.drawn.push(record);
            list.in_hand += usize::from(!self.exhausted.contains(&record));
            self.drawn_in.entry(record).or_default().insert(key);
        }
    }

    /// The list that a record is drawn in; of several, the first by day and unit.
    pub fn list_drawing(&self, record: Record) -> Option<ListKey> {
        let lists = self.drawn_in.get(&record)?.iter().copied();
        lists.min_by_key(|(day, unit)| (*day, unit.text()))
    }

    /// Gives the rows of `survey_sample` and `survey_lists`.
    pub fn give(&self, sink: &mut impl FnMut(&'static str, Value)) {
        for ((day, unit), list) in &self.lists {
            if list.replies == 0 && list.drawn.is_empty() {
                continue;
            }
            let day = day.to_string();
            let row = json!({
                "unit": unit,
                "day": day,
                "replies": list.replies,
                "wanted": list.wanted,
                "drawn": list.in_hand,
            });
            sink("survey_lists", row);
            for (record, order) in list.drawn.iter().zip(1..) {
                let row = json!({"unit": unit, "day": day, "record": record, "order": order});
                sink("survey_sample", row);
            }
        }
    }

    fn hash(&self, day: Date, record: Record) -> u64 {
        draw_hash(self.keys, time::day_number(day), record)
    }
}

/// D10: keyed by the seed, so that the draw cannot be foretold and is the same on every replay.
#[expect(deprecated, reason = "SipHash-2-4, which the standard library keeps under this name")]
fn draw_hash(keys: (u64, u64), day: i32, record: Record) -> u64 {
    let mut hasher = SipHasher::new_with_keys(keys.0, keys.1);
    hasher.write(&day.to_le_bytes());
    hasher.write(&record.to_le_bytes());
    hasher.finish()
}

/// The list that a record is a candidate of: negative and counted replies, by the root of the
/// fact's unit and the working day of the reply.
fn list_of(
    messages: &[Message],
    reference: &Reference,
    offices: &Offices<'_>,
    rules: &Rules,
) -> Option<ListKey> {
    let judgement = judge(messages, reference, rules);
    let (received, _) = judgement.reply.filter(|&(_, digit)| digit <= 3)?;
    let (_, fact) = judgement.fact.expect("a counted reply has one");
    let root = offices.root(fact.unit).expect("a counted reply is to a known unit");
    Some((time::working_day(time::written_date(received)), root))
}

/// The calls about a record that are not withdrawn, by time of receipt; of the same moment those
/// first that settled nothing. Copies of one are one.
pub fn calls(messages: &[Message]) -> Vec<Message> {
    let of_survey = |message: &&Message| message.channel() == Some(Channel::Survey);
    let mut calls: Vec<Message> = messages.iter().filter(of_survey).copied().collect();
    let withdrawn = withdrawn(messages, Channel::Survey);
    calls.retain(|call| call.instant() > withdrawn);
    calls.sort_unstable();
    calls.dedup();
    calls.sort_by_key(|call| (call.instant(), is_settled(call)));
    calls
}

/// Whether a call brought the survey, or the citizen's refusal: then nobody calls again.
pub fn is_settled(call: &Message) -> bool {
    matches!(call.body, Body::Survey(_) | Body::Call(Outcome::Refused))
}

fn fnv_1a<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The authors' vector for the twelve bytes 0, 1, …, 11.
    #[test]
    fn the_draw_is_siphash_2_4() {
        let keys = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let hash = draw_hash(keys, 0x0302_0100, 0x0b0a_0908_0706_0504);
        assert_eq!(hash.to_le_bytes(), [0xfb, 0xe5, 0x0e, 0x86, 0xbc, 0x8f, 0x1e, 0x75]);
    }
}
