//! Random histories that look for trouble: few ids, so that everything collides; dates around the
//! ends of periods, months and days; the same instants in other offsets; copies, near copies and
//! withdrawals; reference data that come late, change, go round in circles and go away.
//!
//! A history is a function of its seed, in every build and on every machine.

#![allow(dead_code, reason = "each test takes of it what it needs")]

use jiff::civil::{Date, DateTime, Time, date};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use otklik::rules::{Attribution, Integral, Rules};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

/// A log to be: its epochs in order, and the rules it is read by.
#[derive(Debug)]
pub struct History {
    pub rules: Rules,
    pub epochs: Vec<Epoch>,
    /// The date the last clock says it is in Moscow, at midnight.
    pub as_of: Date,
}

/// Events of one epoch as lines of NDJSON, and the clock at its end, hours since 1970 UTC.
#[derive(Clone, Debug, Default)]
pub struct Epoch {
    pub lines: Vec<String>,
    pub clock: Option<i64>,
}

impl History {
    /// The history of a seed.
    pub fn new(seed: u64) -> History {
        let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
        let as_of = random.date();
        let rules = Rules {
            integral: random.pick(&[Integral::Surveyed, Integral::All]),
            attribution: random.pick(&[
                Attribution::Received,
                Attribution::Received,
                Attribution::Provided,
            ]),
            sample_seed: format!("seed {}", random.below(3)),
            survey_cap: random.pick(&[0, 0, 1, 2]),
            horizon_days: 0,
        };
        let mut reference = random.reference();
        let mut messages = random.messages();
        if random.one_in(4) {
            messages.extend(random.crowd());
        }
        messages.shuffle(&mut random.0);
        let lines = match random.below(4) {
            0 => [reference, messages].concat(),
            1 => [messages, reference].concat(),
            2 => interleaved(&mut random, &reference, &messages),
            _ => {
                reference.extend(messages);
                reference.shuffle(&mut random.0);
                reference
            }
        };
        let epochs = random.epochs(&lines, as_of);
        History { rules, epochs, as_of }
    }

    /// The history of a seed with a horizon: the clock tells the hour often, and records close.
    pub fn with_horizon(seed: u64) -> History {
        let history = History::new(seed);
        let mut random = Random(ChaCha8Rng::seed_from_u64(!seed));
        let days = random.pick(&[1, 30, 90, 400]);
        let mut epochs = history.epochs;
        let last = epochs.last().and_then(|epoch| epoch.clock).expect("the end tells the time");
        let mut hours: Vec<i64> =
            epochs.iter().map(|_| last - random.below(3 * 365 * 24) as i64).collect();
        hours.sort_unstable();
        for (epoch, hour) in epochs.iter_mut().zip(hours) {
            if epoch.clock.is_none() && random.one_in(2) {
                epoch.clock = Some(hour);
            }
        }
        let rules = Rules { horizon_days: days, ..history.rules };
        History { rules, epochs, as_of: history.as_of }
    }

    /// All lines, in order.
    pub fn lines(&self) -> Vec<String> {
        self.epochs.iter().flat_map(|epoch| epoch.lines.clone()).collect()
    }
}

/// Both in their own order.
fn interleaved(random: &mut Random, one: &[Value], other: &[Value]) -> Vec<Value> {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    let mut lines = Vec::new();
    while one.peek().is_some() || other.peek().is_some() {
        let next = if random.one_in(2) { one.next() } else { other.next() };
        lines.extend(next.cloned());
    }
    lines
}

const AGENCIES: [&str; 2] = ["A0", "A1"];
const UNITS: [&str; 5] = ["U0", "U1", "U2", "U3", "U4"];
const MFCS: [&str; 3] = ["M0", "M1", "M2"];
const SERVICES: [&str; 3] = ["S0", "S1", "S2"];
const TENURES: [&str; 7] = ["T0", "T1", "T10", "T2", "t3", "T4", "T5"];
/// Of four zones; the last two are of no subject.
const REGIONS: [&str; 9] = ["71", "711", "71140000", "7114", "45", "111", "77", "0299", "02"];
const TEXTS: [&str; 15] = [
    "1",
    "2",
    "3",
    "4",
    "5",
    "5",
    " 4 ",
    "\t5\n",
    "",
    "0",
    "6",
    "55",
    "пять",
    "４",
    "\u{2003}5\u{a0}",
];
/// Minutes. One is a quarter of an hour, as nowhere in Russia.
const OFFSETS: [i32; 8] = [-60, 0, 180, 180, 180, 345, 600, 720];
const RECORDS: u64 = 9;

struct Random(ChaCha8Rng);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0.random_range(0..n)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        *values.choose(&mut self.0).expect("one at least")
    }

    /// One of the ids, seldom one that nobody knows.
    fn id(&mut self, ids: &[&str]) -> Value {
        if self.one_in(20) { json!("nobody") } else { json!(self.pick(ids)) }
    }

    /// At or beside a day on which periods, months or years begin or end.
    fn date(&mut self) -> Date {
        let anchor = self.pick(&[
            date(2016, 2, 29),
            date(2016, 12, 31),
            date(2017, 2, 28),
            date(2017, 4, 30),
            date(2018, 2, 28),
            date(2018, 3, 8),
        ]);
        anchor + self.pick(&[-1, 0, 0, 1]).days()
    }

    /// At or beside a midnight in Moscow, Greenwich or where it is written, or at noon.
    fn time(&mut self) -> String {
        let midday = Time::constant(12, 0, 0, 0);
        let time = self.pick(&[
            Time::midnight(),
            Time::constant(21, 0, 0, 0),
            Time::constant(20, 59, 59, 999_999_000),
            Time::constant(9, 0, 0, 1_000),
            midday,
            midday,
            midday,
        ]);
        let moment = self.date().to_datetime(time);
        let utc = Offset::UTC.to_timestamp(moment).expect("in this century");
        let offset = self.pick(&OFFSETS);
        written(utc, offset)
    }

    fn scores(&mut self, criteria: u64) -> Value {
        let mut scores = Map::new();
        for _ in 0..=self.below(criteria) {
            let criterion = 1 + self.below(criteria);
            scores.insert(criterion.to_string(), json!(1 + self.below(5)));
        }
        Value::Object(scores)
    }

    fn record(&mut self) -> u64 {
        1 + self.below(RECORDS)
    }

    /// Upserts of most things, then changes and removals of some.
    fn reference(&mut self) -> Vec<Value> {
        let mut rows: Vec<Value> =
            AGENCIES.iter().map(|id| json!({"type": "agency", "id": id, "name": id})).collect();
        for id in UNITS.into_iter().chain(MFCS) {
            if !self.one_in(12) {
                rows.push(self.unit(id));
            }
        }
        for id in SERVICES {
            rows.push(self.service(id));
        }
        for id in TENURES {
            if !self.one_in(4) {
                let tenure = self.tenure(id);
                rows.extend(self.target(&tenure));
                rows.push(tenure);
            }
        }
        for _ in 0..self.below(5) {
            let changed = match self.below(8) {
                0..=2 => {
                    let id = self.pick(&UNITS);
                    self.unit(id)
                }
                3 => {
                    let id = self.pick(&SERVICES);
                    self.service(id)
                }
                4 | 5 => {
                    let id = self.pick(&TENURES);
                    self.tenure(id)
                }
                _ => {
                    let row = rows.choose(&mut self.0).expect("some are there");
                    removal(row)
                }
            };
            rows.push(changed);
        }
        rows
    }

    fn unit(&mut self, id: &str) -> Value {
        let is_mfc = MFCS.contains(&id);
        let family = if is_mfc { &MFCS[..] } else { &UNITS[..] };
        let mut row = json!({
            "type": "unit",
            "id": id,
            "kind": if is_mfc { "mfc" } else { self.pick(&["territorial", "subdivision"]) },
            "region": self.pick(&REGIONS),
            "name": id,
        });
        // Any unit may be above any other and itself: circles come of it.
        if self.one_in(2) {
            row["parent"] = if self.one_in(9) { json!(self.pick(&MFCS)) } else { self.id(family) };
        }
        if !is_mfc && !self.one_in(9) {
            row["agency"] = self.id(&AGENCIES);
        }
        row
    }

    /// Whatever a message says the service was given through, an МФЦ or not.
    fn through(&mut self) -> Value {
        if self.one_in(12) { self.id(&UNITS) } else { self.id(&MFCS) }
    }

    fn service(&mut self, id: &str) -> Value {
        let listed = if id == "S2" { self.one_in(5) } else { !self.one_in(9) };
        json!({
            "type": "service", "id": id, "agency": self.pick(&AGENCIES), "name": id,
            "listed": listed,
        })
    }

    fn tenure(&mut self, id: &str) -> Value {
        let from = self.date() - (12 * self.pick(&[0_i64, 0, 1, 2])).months();
        let unit = if self.one_in(4) { self.id(&MFCS) } else { self.id(&UNITS) };
        let manager = format!("P{}", self.below(4));
        let mut row = json!({
            "type": "tenure", "id": id, "manager": manager, "unit": unit, "from": from.to_string(),
        });
        if self.one_in(2) {
            // Some end on the day a period ends, some on the day they begin or before.
            let until = if self.one_in(2) { self.date() } else { from + 12.months() };
            row["until"] = json!(until.to_string());
        }
        row
    }

    fn target(&mut self, tenure: &Value) -> Option<Value> {
        if !self.one_in(3) {
            return None;
        }
        let from: Date = tenure["from"].as_str()?.parse().ok()?;
        let from = from + (12 * self.pick(&[0_i64, 0, 1, 2])).months();
        let percent = self.pick(&[0.0, 70.0, 87.5, 100.0]);
        Some(
            json!({"type": "target", "unit": tenure["unit"], "from": from.to_string(), "percent": percent}),
        )
    }

    /// Facts for most records, then messages; of each some are sent again, as they were or not.
    fn messages(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        for record in 1..=RECORDS {
            if !self.one_in(5) {
                messages.push(self.fact(record));
            }
        }
        for _ in 0..8 + self.below(40) {
            let again = messages.choose(&mut self.0).cloned();
            let message = match (self.below(5), again) {
                (0, Some(message)) => message,
                (1, Some(message)) => self.changed(message),
                _ => self.message(),
            };
            messages.push(message);
        }
        messages
    }

    fn message(&mut self) -> Value {
        let record = self.record();
        let received_at = self.time();
        match self.below(12) {
            0 => self.fact(record),
            1..=3 => {
                let text = self.pick(&TEXTS);
                json!({"type": "sms", "record": record, "text": text, "received_at": received_at})
            }
            4 | 5 => json!({
                "type": "survey", "record": record, "outcome": "completed",
                "scores": self.scores(5), "received_at": received_at,
            }),
            6 => {
                let outcome = self.pick(&["no_answer", "no_answer", "call_back", "refused"]);
                json!({
                    "type": "survey", "record": record, "outcome": outcome,
                    "received_at": received_at,
                })
            }
            7 => {
                let channel = self.pick(&["sms", "survey", "kiosk", "epgu", "site"]);
                json!({
                    "type": "retract", "record": record, "channel": channel, "reason": "mistake",
                    "received_at": received_at,
                })
            }
            8 => json!({"type": "answer", "record": record, "answered_at": received_at}),
            _ => self.form(record, &received_at),
        }
    }

    fn fact(&mut self, record: u64) -> Value {
        let mut fact = json!({
            "type": "fact", "record": record, "unit": self.id(&UNITS),
            "service": self.id(&SERVICES), "provided_on": self.date().to_string(), "received_at": self.time(),
        });
        if self.one_in(3) {
            fact["mfc"] = self.through();
        }
        if self.one_in(2) {
            fact["phone"] = json!(self.one_in(2));
        }
        fact
    }

    /// A kiosk, ЕПГУ or site message with some fields of its own, all, or none.
    fn form(&mut self, record: u64, received_at: &str) -> Value {
        let kind = self.pick(&["kiosk", "epgu", "site"]);
        let criteria = if kind == "epgu" { 8 } else { 5 };
        let mut form = json!({
            "type": kind, "record": record, "scores": self.scores(criteria),
            "received_at": received_at,
        });
        let owned = self.pick(&[0, 0, 0b111, 0b111, 0b1111, 0b1001, 0b0110, 0b1000, 0b0001]);
        if owned & 1 > 0 {
            form["unit"] = if self.one_in(9) { self.id(&MFCS) } else { self.id(&UNITS) };
        }
        if owned & 2 > 0 {
            form["service"] = self.id(&SERVICES);
        }
        if owned & 4 > 0 {
            form["provided_on"] = json!(self.date().to_string());
        }
        if owned & 8 > 0 {
            form["mfc"] = self.through();
        }
        if kind == "site" && self.one_in(2) {
            form["text"] = json!(self.pick(&["", "Спасибо", "Долго ждали"]));
        }
        form
    }

    /// A message that is almost the one given: a microsecond later, written in another offset, or
    /// with another content.
    fn changed(&mut self, mut message: Value) -> Value {
        let field = if message["type"] == "answer" { "answered_at" } else { "received_at" };
        let at = message[field].as_str().expect("every message has a time");
        let at: Timestamp = at.parse().expect("written by us");
        let offset = self.pick(&OFFSETS);
        match self.below(4) {
            0 => message[field] = json!(written(at + 1.microseconds(), offset)),
            1 => message[field] = json!(written(at, offset)),
            _ if message["scores"].is_object() => message["scores"] = self.scores(5),
            _ if message["type"] == "sms" => message["text"] = json!(self.pick(&TEXTS)),
            _ if message["type"] == "fact" => message["unit"] = self.id(&UNITS),
            _ => {}
        }
        message
    }

    /// Enough dissatisfied citizens of one unit on one day that more than one is to be called, and
    /// calls that some of them do not answer.
    fn crowd(&mut self) -> Vec<Value> {
        let (unit, day) = (self.id(&UNITS), self.date());
        let at = |hour: i8| {
            written(Offset::UTC.to_timestamp(day.at(hour, 0, 0, 0)).expect("in this century"), 180)
        };
        let called_at = [at(13), at(14)];
        let mut crowd = Vec::new();
        for record in 100..100 + 15 + self.below(30) {
            crowd.push(json!({
                "type": "fact", "record": record, "unit": unit, "service": "S0",
                "provided_on": day.to_string(), "received_at": at(8), "phone": true,
            }));
            crowd.push(json!({
                "type": "sms", "record": record, "text": self.pick(&["1", "2", "3", "4"]),
                "received_at": at(9),
            }));
            for received_at in &called_at {
                if self.one_in(4) {
                    crowd.push(json!({
                        "type": "survey", "record": record, "outcome": "no_answer",
                        "received_at": received_at,
                    }));
                }
            }
        }
        crowd
    }

    /// The lines cut into epochs, some with a clock; the last one says that it is `as_of`.
    fn epochs(&mut self, lines: &[Value], as_of: Date) -> Vec<Epoch> {
        let last = Offset::constant(3).to_timestamp(as_of.at(0, 0, 0, 0)).expect("in this century");
        let last = last.as_second() / 3600;
        let mut ticks: Vec<i64> = (0..self.below(6)).map(|_| last - 1 - self.ago()).collect();
        ticks.sort_unstable();
        let mut epochs: Vec<Epoch> = Vec::new();
        for line in lines {
            if epochs.is_empty() || self.one_in(8) {
                epochs.push(Epoch::default());
            }
            let epoch = epochs.last_mut().expect("just made sure");
            epoch.lines.push(serde_json::to_string(line).expect("JSON"));
        }
        let mut ticks = ticks.into_iter();
        for epoch in &mut epochs {
            if self.one_in(3) {
                epoch.clock = ticks.next();
            }
        }
        epochs.push(Epoch { lines: Vec::new(), clock: Some(last) });
        epochs
    }

    /// Hours before the end: some days, or up to two years.
    fn ago(&mut self) -> i64 {
        let hours = if self.one_in(2) { 72 } else { 2 * 365 * 24 };
        self.0.random_range(0..hours)
    }
}

/// RFC 3339, to the microsecond, in an offset of so many minutes.
fn written(at: Timestamp, offset_minutes: i32) -> String {
    let offset = Offset::from_seconds(offset_minutes * 60).expect("less than a day");
    let local: DateTime = offset.to_datetime(at);
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
    format!("{}{sign}{hours:02}:{minutes:02}", local.strftime("%Y-%m-%dT%H:%M:%S%.6f"))
}

/// The `remove` of a row of the reference data.
fn removal(row: &Value) -> Value {
    let of = &row["type"];
    if of == "remove" {
        row.clone()
    } else if of == "target" {
        json!({"type": "remove", "of": of, "unit": row["unit"], "from": row["from"]})
    } else {
        json!({"type": "remove", "of": of, "id": row["id"]})
    }
}
