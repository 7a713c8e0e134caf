//! Which records can no longer change, and what came for them all the same.
//!
//! A record closes when its last message is older than so many whole days, counted in UTC, and an
//! hour is told that is the first of a day, or the first after messages of a later day.

use std::collections::{HashMap, HashSet};

use dataflows::calendar::Hour;
use dataflows::domain::{Channel, Record};
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

use super::message::Message;
use super::sample::Records;

/// The records that are closed. Empty where there is no horizon.
pub struct Horizon {
    days: i64,
    /// The latest time of receipt in the log so far.
    latest: Timestamp,
    closed: HashSet<Record>,
    /// The first day that was young enough when records were closed last.
    since: Option<Date>,
    /// Rating messages that came too late, by channel.
    pub late_ratings: HashMap<Channel, u64>,
    /// Everything else that did.
    pub late_others: u64,
}

impl Horizon {
    /// Records close so many days after their last message, with 0 never.
    pub fn new(days: u32) -> Horizon {
        Horizon {
            days: i64::from(days),
            latest: Timestamp::MIN,
            closed: HashSet::new(),
            since: None,
            late_ratings: HashMap::new(),
            late_others: 0,
        }
    }

    /// Whether a message is in time; one that is not is counted.
    pub fn admits(&mut self, record: Record, message: &Message) -> bool {
        self.latest = self.latest.max(moment(message.instant()));
        let is_late = self.closed.contains(&record);
        match message.channel() {
            _ if !is_late => {}
            Some(channel) if message.is_rating() => {
                *self.late_ratings.entry(channel).or_default() += 1;
            }
            _ => self.late_others += 1,
        }
        !is_late
    }

    /// Closes what is older than the horizon at this hour. The present is that of the clock, but
    /// no later than the last message received: a wrong clock closes nothing.
    pub fn strike(&mut self, hour: Hour, records: &Records) {
        if self.days == 0 {
            return;
        }
        let present = moment(hour.micros()).min(self.latest);
        let Ok(since) = Offset::UTC.to_datetime(present).date().checked_sub(self.days.days())
        else {
            return;
        };
        if self.since.is_some_and(|before| since <= before) {
            return;
        }
        self.since = Some(since);
        let day = |message: &Message| Offset::UTC.to_datetime(moment(message.instant())).date();
        let is_old = |messages: &[Message]| messages.iter().all(|message| day(message) < since);
        let old = records.iter().filter(|(_, messages)| is_old(messages));
        self.closed.extend(old.map(|(record, _)| *record));
    }

    /// Whether the record is closed.
    pub fn is_closed(&self, record: Record) -> bool {
        self.closed.contains(&record)
    }
}

fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).expect("moments of events lie in 1830..2110")
}
