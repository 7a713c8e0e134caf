//! The recomputation: events in, every row of every view out, from scratch.

use std::collections::{BTreeMap, HashMap};

use dataflows::calendar::Hour;
use serde_json::{Map, Value};

use super::horizon::Horizon;
use super::judge::judge;
use super::message::Message;
use super::reference::{Offices, Reference};
use super::rows::Figures;
use super::sample::{Records, Sample};
use super::spans::{self, Span};
use super::sums::Sums;
use super::{deadlines, time};
use crate::event::Event;
use crate::regions::Regions;
use crate::rules::Rules;

/// A row of a view: its columns by name.
pub type Row = Map<String, Value>;

/// Rows by view and by [`key`].
pub type Views = BTreeMap<&'static str, BTreeMap<String, Row>>;

/// The views and their key columns (contract § 4). `survey_lists` says what `survey_sample` is
/// drawn from.
pub const VIEWS: [(&str, &[&str]); 15] = [
    ("manager_periods", &["tenure", "period"]),
    ("agencies", &["agency"]),
    ("agency_quarters", &["agency", "quarter"]),
    ("territories", &["region", "agency"]),
    ("units", &["unit"]),
    ("services", &["agency", "service"]),
    ("mfcs", &["unit"]),
    ("months", &["scope", "id", "month"]),
    ("rankings", &["scope", "month", "id"]),
    ("survey_sample", &["unit", "day", "record"]),
    ("survey_lists", &["unit", "day"]),
    ("deadlines", &["kind", "record"]),
    ("pending", &["reason"]),
    ("refused", &["code", "channel"]),
    ("conservation", &[]),
];

/// A row's key as one text; texts sort as the key columns do.
pub fn key(view: &str, row: &Row) -> String {
    let columns = VIEWS.iter().find(|(name, _)| *name == view).map_or(&[][..], |view| view.1);
    let parts = columns.iter().map(|column| match row.get(*column) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => format!("{:0>20}", number.to_string()),
        _ => String::new(),
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// All that the events said. State: 56 bytes a message, by record.
pub struct Recomputation {
    rules: Rules,
    reference: Reference,
    records: Records,
    horizon: Horizon,
    sample: Sample,
    /// As of the last closed epoch that had one.
    clock: Option<Hour>,
    clock_of_epoch: Option<Hour>,
}

impl Recomputation {
    /// Of no events.
    pub fn new(rules: Rules) -> Recomputation {
        Recomputation {
            sample: Sample::new(&rules),
            horizon: Horizon::new(rules.horizon_days),
            rules,
            reference: Reference::new(Regions::embedded()),
            records: HashMap::new(),
            clock: None,
            clock_of_epoch: None,
        }
    }

    /// Takes the next event of the log.
    pub fn apply(&mut self, event: &Event<'_>) {
        if let Event::Clock(hour) = event {
            self.clock_of_epoch = self.clock_of_epoch.max(Some(*hour));
        } else if self.reference.apply(event) {
            self.sample.touch_all();
        } else if let Some((record, message)) = Message::of(event)
            && self.horizon.admits(record, &message)
        {
            self.sample.touch(record, &message);
            self.records.entry(record).or_default().push(message);
        }
    }

    /// All events of an epoch are applied: if it had a clock, the sample is drawn as of then.
    pub fn close_epoch(&mut self) {
        // The hour that is already known is told again by a node that starts again: no news.
        let told = self.clock_of_epoch.take();
        if let Some(hour) = told.filter(|told| self.clock.is_none_or(|known| *told > known)) {
            self.clock = Some(hour);
            self.sample.tick(hour, &self.records, &self.reference, &self.rules);
            self.horizon.strike(hour, &self.records);
        }
    }

    /// Gives every row of every view as of the last closed epoch, those of a record in the order of
    /// records. Cost: one pass over all messages.
    pub fn give(&self, sink: &mut impl FnMut(&'static str, Row)) {
        let mut sink = |view, row| match row {
            Value::Object(row) => sink(view, row),
            _ => unreachable!("rows are written as objects"),
        };
        let offices = Offices::of(&self.reference);
        let mut sums = Sums::default();
        let mut records: Vec<_> = self.records.iter().collect();
        records.sort_unstable_by_key(|(record, _)| **record);
        for (&record, messages) in records {
            let judgement = judge(messages, &self.reference, &self.rules);
            sums.add(&judgement, &self.reference, &offices);
            let about = deadlines::About {
                record,
                messages,
                judgement: &judgement,
                drawn: self.sample.list_drawing(record),
                is_closed: self.horizon.is_closed(record),
            };
            deadlines::give(&about, &self.reference, self.clock, &mut sink);
        }
        sums.finish(&self.horizon);
        self.sample.give(&mut sink);
        let today = self.clock.map(|hour| time::date_in(self.reference.moscow(), hour.micros()));
        let figures = Figures { reference: &self.reference, offices: &offices, sums: &sums, today };
        figures.give(&mut sink);
    }

    /// What the ratings of a span come to. Cost: one pass over all messages.
    pub fn span(&self, span: &Span) -> spans::Counts {
        let offices = Offices::of(&self.reference);
        let mut counts = spans::Counts::default();
        for messages in self.records.values() {
            let judgement = judge(messages, &self.reference, &self.rules);
            counts.add(span, &judgement, &self.reference, &offices);
        }
        counts
    }

    /// All rows by view and key; a view without rows is there and empty.
    pub fn views(&self) -> Views {
        let mut views: Views = VIEWS.iter().map(|(view, _)| (*view, BTreeMap::new())).collect();
        self.give(&mut |view, row| {
            let rows = views.get_mut(view).expect("all views are listed");
            let before = rows.insert(key(view, &row), row);
            assert!(before.is_none(), "view {view} has a key twice");
        });
        views
    }
}
