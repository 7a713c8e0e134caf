//! Who sends: what came in by type and vendor, how often, and when last (`GET /v1/sources`).
//!
//! It counts what this process has accepted, in memory: after a start it begins anew, and every
//! answer says since when. No figure depends on it. How many vendors it tells apart is bounded, for
//! a vendor is whatever a sender writes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::clock;
use crate::event::Event;

/// Vendors told apart for each type of message; those of more are counted together.
pub const VENDORS_MAX: usize = 100;

const SECOND_MS: u64 = 1000;
const HOUR_MS: u64 = 3_600_000;
/// Whole seconds of `last_minute`.
const SECONDS: usize = 60;
/// Hours that can be asked for, the current one among them: those of the longest day.
const HOURS: usize = 25;

/// Whose messages they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// Of nobody: the type of message has no vendor, or this one named none.
    Unnamed,
    /// Of a vendor.
    Vendor(String),
    /// Of vendors beyond [`VENDORS_MAX`].
    Others,
}

impl Sender {
    /// For a label: `""` where there is none. An id has no spaces, so that no vendor is taken for
    /// the others.
    pub fn label(&self) -> &str {
        match self {
            Sender::Unnamed => "",
            Sender::Vendor(vendor) => vendor,
            Sender::Others => "and others",
        }
    }
}

/// How many messages of each type came from each vendor; of no more than [`VENDORS_MAX`] a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    types: BTreeMap<&'static str, OfType>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfType {
    unnamed: u64,
    vendors: BTreeMap<String, u64>,
    others: u64,
}

impl Accepted {
    /// Counts an event.
    pub fn add(&mut self, event: &Event<'_>) {
        let of_type = self.types.entry(event.type_name()).or_default();
        let count = match event.vendor() {
            None => &mut of_type.unnamed,
            // Not by `entry`, which would want a text of its own for each event.
            Some(vendor) if of_type.vendors.contains_key(vendor) => {
                of_type.vendors.get_mut(vendor).expect("it is there")
            }
            Some(vendor) if of_type.vendors.len() < VENDORS_MAX => {
                of_type.vendors.entry(vendor.to_owned()).or_default()
            }
            Some(_) => &mut of_type.others,
        };
        *count += 1;
    }

    /// `(type, messages)`, by type.
    pub fn types(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.types.iter().map(|(name, of_type)| {
            let named: u64 = of_type.vendors.values().sum();
            (*name, of_type.unnamed + named + of_type.others)
        })
    }

    /// `(type, sender, messages)`; of senders of any.
    fn senders(self) -> impl Iterator<Item = (&'static str, Sender, u64)> {
        self.types.into_iter().flat_map(|(name, of_type)| {
            let vendors = of_type.vendors.into_iter();
            vendors
                .map(|(vendor, count)| (Sender::Vendor(vendor), count))
                .chain([(Sender::Unnamed, of_type.unnamed), (Sender::Others, of_type.others)])
                .filter(|(_, count)| *count > 0)
                .map(move |(sender, count)| (name, sender, count))
        })
    }
}

/// All senders since the start.
#[derive(Debug)]
pub struct Sources {
    since_ms: u64,
    types: Mutex<BTreeMap<&'static str, BTreeMap<Sender, Count>>>,
}

/// What came from one sender.
#[derive(Debug)]
struct Count {
    total: u64,
    last_at_ms: u64,
    seconds: Recent<{ SECONDS + 1 }>,
    hours: Recent<HOURS>,
}

/// What is told of the senders.
#[derive(Debug, PartialEq, Serialize)]
pub struct Told {
    /// From when on `count` counts, in milliseconds since 1970.
    pub since_ms: u64,
    /// What time it is here, in milliseconds since 1970.
    pub now_ms: u64,
    /// By type and vendor.
    pub sources: Vec<Source>,
}

/// What is told of one.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Of the messages.
    #[serde(rename = "type")]
    pub type_name: &'static str,
    /// Null where there is none.
    pub vendor: Option<String>,
    /// Whether it is all vendors that are not told apart.
    pub others: bool,
    /// Messages accepted since `since_ms`.
    pub count: u64,
    /// Of these, in the last 60 whole seconds.
    pub last_minute: u64,
    /// When the last came, in milliseconds since 1970.
    pub last_at_ms: u64,
}

impl Default for Sources {
    /// From now on.
    fn default() -> Sources {
        Sources { since_ms: clock::wall_ms(), types: Mutex::default() }
    }
}

impl Sources {
    /// Counts the messages of a batch that is durable. Yields whom they were counted as.
    pub fn taken(&self, accepted: Accepted) -> Vec<(&'static str, Sender, u64)> {
        self.taken_at(accepted, clock::wall_ms())
    }

    /// What came since the start or, where that is later, since the hour of `from`, as far as hours
    /// are kept: a day and an hour.
    pub fn told(&self, from: Option<Timestamp>) -> Told {
        let from_ms = from.map(|from| u64::try_from(from.as_millisecond()).unwrap_or_default());
        self.told_at(from_ms, clock::wall_ms())
    }

    fn taken_at(&self, accepted: Accepted, now_ms: u64) -> Vec<(&'static str, Sender, u64)> {
        let mut types = self.lock();
        let counted = accepted.senders().map(|(name, sender, messages)| {
            let senders = types.entry(name).or_default();
            let is_known = senders.contains_key(&sender) || sender == Sender::Unnamed;
            let sender =
                if is_known || senders.len() < VENDORS_MAX { sender } else { Sender::Others };
            let count = senders.entry(sender.clone()).or_insert_with(|| Count::new(now_ms));
            count.add(messages, now_ms);
            (name, sender, messages)
        });
        counted.collect()
    }

    fn told_at(&self, from_ms: Option<u64>, now_ms: u64) -> Told {
        let hour = now_ms / HOUR_MS;
        // The oldest hour that is kept is asked for by who asks for an older one.
        let from_hour = from_ms.map(|from| (from / HOUR_MS).max(hour + 1 - HOURS as u64));
        let types = self.lock();
        let sources = types.iter().flat_map(|(name, senders)| {
            senders.iter().map(|(sender, count)| Source {
                type_name: name,
                vendor: match sender {
                    Sender::Vendor(vendor) => Some(vendor.clone()),
                    Sender::Unnamed | Sender::Others => None,
                },
                others: *sender == Sender::Others,
                count: from_hour.map_or(count.total, |from| count.hours.sum(from, hour + 1)),
                last_minute: {
                    let second = now_ms / SECOND_MS;
                    count.seconds.sum(second.saturating_sub(SECONDS as u64), second)
                },
                last_at_ms: count.last_at_ms,
            })
        });
        let since_ms = from_hour.map_or(0, |hour| hour * HOUR_MS).max(self.since_ms);
        Told { since_ms, now_ms, sources: sources.collect() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, BTreeMap<Sender, Count>>> {
        self.types.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    fn new(now_ms: u64) -> Count {
        let seconds = Recent { newest: now_ms / SECOND_MS, counts: [0; _] };
        let hours = Recent { newest: now_ms / HOUR_MS, counts: [0; _] };
        Count { total: 0, last_at_ms: now_ms, seconds, hours }
    }

    fn add(&mut self, messages: u64, now_ms: u64) {
        self.total += messages;
        self.last_at_ms = now_ms;
        self.seconds.add(messages, now_ms / SECOND_MS);
        self.hours.add(messages, now_ms / HOUR_MS);
    }
}

/// Counts of the last `N` slots of time, by slot modulo `N`.
#[derive(Debug)]
struct Recent<const N: usize> {
    newest: u64,
    counts: [u64; N],
}

impl<const N: usize> Recent<N> {
    /// Counts in a slot; in the newest where the clock was set back.
    fn add(&mut self, messages: u64, slot: u64) {
        let slot = slot.max(self.newest);
        let passed = (slot - self.newest).min(N as u64);
        for newer in slot + 1 - passed..=slot {
            self.counts[(newer % N as u64) as usize] = 0;
        }
        self.newest = slot;
        self.counts[(slot % N as u64) as usize] += messages;
    }

    /// Of the slots `from..until` that are kept.
    fn sum(&self, from: u64, until: u64) -> u64 {
        let from = from.max((self.newest + 1).saturating_sub(N as u64));
        let until = until.min(self.newest + 1);
        (from..until).map(|slot| self.counts[(slot % N as u64) as usize]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: impl IntoIterator<Item = String>) -> Accepted {
        let mut accepted = Accepted::default();
        for line in lines {
            accepted.add(&Event::parse(line.as_bytes()).expect("an event"));
        }
        accepted
    }

    fn fact(record: u64, vendor: &str) -> String {
        format!(
            r#"{{"type":"fact","record":{record},"unit":"U","service":"S","vendor":"{vendor}",
                "provided_on":"2018-03-01","received_at":"2018-03-01T10:00:00Z"}}"#
        )
    }

    fn sms(record: u64) -> String {
        format!(
            r#"{{"type":"sms","record":{record},"text":"5","received_at":"2018-03-01T10:00:00Z"}}"#
        )
    }

    /// `(type, vendor, count, last minute)` of those told.
    fn told(told: &Told) -> Vec<(&str, Option<&str>, u64, u64)> {
        let of = |source: &'_ Source| (source.count, source.last_minute);
        let sources = told.sources.iter();
        sources
            .map(|source| {
                let (count, last_minute) = of(source);
                (source.type_name, source.vendor.as_deref(), count, last_minute)
            })
            .collect()
    }

    #[test]
    fn senders_are_counted_since_the_start_and_since_an_hour() {
        let hour = |n: u64| n * HOUR_MS;
        let sources = Sources { since_ms: hour(100) + 1, types: Mutex::default() };
        sources.taken_at(of([fact(1, "V1"), fact(2, "V1"), fact(3, "V2")]), hour(100) + 5);
        sources.taken_at(of([sms(1)]), hour(101));
        sources.taken_at(of([fact(4, "V1")]), hour(101) + 59_999);
        let now = hour(101) + 61_000;
        let all = sources.told_at(None, now);
        assert_eq!((all.since_ms, all.now_ms), (hour(100) + 1, now));
        let expected =
            [("fact", Some("V1"), 3, 1), ("fact", Some("V2"), 1, 0), ("sms", None, 1, 0)];
        assert_eq!(told(&all), expected);
        assert_eq!(all.sources[0].last_at_ms, hour(101) + 59_999);

        let from_then = sources.told_at(Some(hour(101) + 30_000), now);
        assert_eq!(from_then.since_ms, hour(101), "whole hours");
        let counts: Vec<u64> = from_then.sources.iter().map(|source| source.count).collect();
        assert_eq!(counts, [1, 0, 1]);
        let before = sources.told_at(Some(hour(3)), now);
        assert_eq!(before.since_ms, hour(100) + 1, "it was not there before");

        // A day later nothing of it is within the hours that are kept.
        let late = hour(101 + HOURS as u64);
        let day_before = sources.told_at(Some(0), late);
        assert_eq!(day_before.since_ms, late - hour(HOURS as u64 - 1));
        assert!(day_before.sources.iter().all(|source| source.count == 0));
        assert_eq!(sources.told_at(None, late).sources[0].count, 3);
    }

    #[test]
    fn vendors_beyond_the_bound_are_counted_together() {
        let many = VENDORS_MAX as u64 + 20;
        let accepted = of((0..many).map(|n| fact(n, &format!("V{n}"))));
        assert_eq!(accepted.types().collect::<Vec<_>>(), [("fact", many)]);
        let sources = Sources::default();
        sources.taken_at(accepted, 5);
        // And over several batches.
        let counted = sources.taken_at(of([fact(1, "W1"), fact(2, "V1"), sms(3)]), 6);
        assert_eq!(counted[0], ("fact", Sender::Vendor("V1".into()), 1));
        assert_eq!(counted[1], ("fact", Sender::Others, 1));
        assert_eq!(counted[2], ("sms", Sender::Unnamed, 1));
        let told = sources.told_at(None, 7);
        assert!(told.sources.len() <= VENDORS_MAX + 2);
        let others = told.sources.iter().find(|source| source.others).expect("others");
        assert_eq!((others.vendor.as_deref(), others.count), (None, 21));
    }

    #[test]
    fn a_clock_that_is_set_back_loses_nothing() {
        let mut recent = Recent::<3> { newest: 10, counts: [0; 3] };
        recent.add(5, 10);
        recent.add(1, 8);
        assert_eq!((recent.sum(0, 11), recent.sum(10, 11)), (6, 6));
        recent.add(2, 12);
        assert_eq!((recent.sum(0, 13), recent.sum(11, 13), recent.sum(12, 13)), (8, 2, 2));
        recent.add(3, 99);
        assert_eq!(recent.sum(0, 100), 3);
    }
}
