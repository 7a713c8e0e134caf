//! The clocks: SMS offered within one working day (7.4), calls within two and one (7.8), reviews
//! answered within ten (9.5).

use dataflows::calendar::Hour;
use dataflows::domain::{Channel, Record};
use dataflows::id::Id;
use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::judge::{Judgement, withdrawn};
use super::message::{Body, Message};
use super::reference::Reference;
use super::sample::{calls, is_settled};
use super::time;

/// A record, as its deadlines see it.
pub struct About<'a> {
    pub record: Record,
    pub messages: &'a [Message],
    pub judgement: &'a Judgement,
    /// The list of the survey it is drawn in.
    pub drawn: Option<(Date, Id)>,
    /// Whether it is beyond the horizon: its own clocks are gone then, the list's stays.
    pub is_closed: bool,
}

/// Gives the rows of `deadlines` about one record.
pub fn give(
    about: &About<'_>,
    reference: &Reference,
    now: Option<Hour>,
    sink: &mut impl FnMut(&'static str, Value),
) {
    let About { record, messages, judgement, drawn, is_closed } = *about;
    let own = [sms(messages, judgement, reference), review(messages, judgement, reference)];
    let own = own.into_iter().flatten().filter(|_| !is_closed);
    let call = drawn.map(|list| call(messages, list, reference));
    for deadline in own.chain(call) {
        let row = json!({
            "kind": deadline.kind,
            "record": record,
            "due_at": deadline.due.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            "state": deadline.state(now),
            "unit": deadline.unit,
        });
        sink("deadlines", row);
    }
}

/// What is to be done by when, and when it was done, microseconds since 1970 UTC.
struct Deadline {
    kind: &'static str,
    unit: Option<Id>,
    due: Zoned,
    done: Option<i64>,
}

impl Deadline {
    fn state(&self, now: Option<Hour>) -> &'static str {
        let due = self.due.timestamp().as_microsecond();
        match self.done {
            Some(done) if done <= due => "met",
            Some(_) => "missed",
            None if now.is_some_and(|now| now.micros() >= due) => "overdue",
            None => "open",
        }
    }
}

/// 7.4: a number that was left is to be asked within one working day of the fact's arrival; that it
/// was is known by the reply, whatever the reply says.
fn sms(messages: &[Message], judgement: &Judgement, reference: &Reference) -> Option<Deadline> {
    let (received, fact) = judgement.fact?;
    if !fact.phone || !reference.units.contains_key(&fact.unit) {
        return None;
    }
    let zone = reference.zone(Some(fact.unit));
    let withdrawn = withdrawn(messages, Channel::Sms);
    let replies = messages.iter().filter(|message| message.channel() == Some(Channel::Sms));
    Some(Deadline {
        kind: "sms",
        unit: Some(fact.unit),
        due: time::closing(time::date_in(zone, received.micros()), 1, zone),
        done: replies.map(Message::instant).filter(|&at| at > withdrawn).min(),
    })
}

/// 7.8: a call within two working days of the list, and after one that did not reach the citizen a
/// second within one working day.
fn call(messages: &[Message], (day, unit): (Date, Id), reference: &Reference) -> Deadline {
    let zone: &TimeZone = reference.zone(Some(unit));
    let calls = calls(messages);
    let first_due = time::closing(day, 2, zone);
    let (due, done) = match calls.as_slice() {
        [] => (first_due, None),
        [first, ..] if is_settled(first) => (first_due, Some(first.instant())),
        [first, rest @ ..] => {
            let called_on = time::date_in(zone, first.instant());
            (time::closing(called_on, 1, zone), rest.first().map(Message::instant))
        }
    };
    Deadline { kind: "call", unit: Some(unit), due, done }
}

/// 9.5: a review of the site is to be answered within ten working days.
fn review(messages: &[Message], judgement: &Judgement, reference: &Reference) -> Option<Deadline> {
    let (received, review) = judgement.review?;
    let unit = review.unit.or(judgement.fact.map(|(_, fact)| fact.unit));
    let zone = reference.zone(unit);
    let answers = messages.iter().filter(|message| message.body == Body::Answer);
    Some(Deadline {
        kind: "review",
        unit,
        due: time::closing(time::date_in(zone, received.micros()), 10, zone),
        done: answers.map(Message::instant).min(),
    })
}
