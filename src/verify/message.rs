//! Messages about a record as the recomputation keeps them: what can make a difference to a figure.

use dataflows::calendar::Moment;
use dataflows::domain::{Channel, Form, Outcome, Record, Score, Scores, fingerprint};
use dataflows::id::Id;
use jiff::civil::Date;

use super::time;
use crate::event::Event;

/// A message. Two that are equal are copies of one; the order is good for finding copies only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    pub received: Moment,
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Body {
    Fact(Fact),
    /// `text` is the fingerprint of what the citizen sent.
    Sms {
        digit: Option<Score>,
        text: u64,
    },
    Survey(Scores),
    Call(Outcome),
    Form(Review),
    Answer,
    Retract(Channel),
}

/// A service was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    pub unit: Id,
    pub service: Id,
    pub mfc: Option<Id>,
    pub provided: Date,
    pub phone: bool,
}

/// A kiosk, ЕПГУ or site message with what it says of the place itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Review {
    pub form: Form,
    pub scores: Scores,
    pub unit: Option<Id>,
    pub service: Option<Id>,
    pub mfc: Option<Id>,
    pub provided: Option<Date>,
    /// Fingerprint of the text, if there is one.
    pub text: Option<u64>,
}

impl Message {
    /// The message an event is, and the record it is about.
    pub fn of(event: &Event<'_>) -> Option<(Record, Message)> {
        let id = |text: &Option<crate::event::Text<'_>>| text.as_deref().map(Id::of);
        let (record, received, body) = match event {
            Event::Fact(fact) => {
                let body = Fact {
                    unit: Id::of(&fact.unit),
                    service: Id::of(&fact.service),
                    mfc: id(&fact.mfc),
                    provided: time::date(fact.provided_on),
                    phone: fact.phone,
                };
                (fact.record, fact.received_at, Body::Fact(body))
            }
            Event::Sms(sms) => {
                let body =
                    Body::Sms { digit: digit(&sms.text), text: fingerprint(sms.text.as_bytes()) };
                (sms.record, sms.received_at, body)
            }
            Event::Survey(survey) => (
                survey.record,
                survey.received_at,
                survey.result.map_or_else(Body::Call, Body::Survey),
            ),
            Event::Form(form) => {
                let body = Review {
                    form: form.kind,
                    scores: form.scores,
                    unit: id(&form.unit),
                    service: id(&form.service),
                    mfc: id(&form.mfc),
                    provided: form.provided_on.map(time::date),
                    text: form.text.as_deref().map(|text| fingerprint(text.as_bytes())),
                };
                (form.record, form.received_at, Body::Form(body))
            }
            Event::Answer(answer) => (answer.record, answer.answered_at, Body::Answer),
            Event::Retract(retract) => {
                (retract.record, retract.received_at, Body::Retract(retract.channel))
            }
            _ => return None,
        };
        Some((record, Message { received, body }))
    }

    /// The channel it belongs to, if it is withdrawn by a `retract` of that channel.
    pub fn channel(&self) -> Option<Channel> {
        match self.body {
            Body::Sms { .. } => Some(Channel::Sms),
            Body::Survey(_) | Body::Call(_) => Some(Channel::Survey),
            Body::Form(review) => Some(review.form.channel()),
            Body::Fact(_) | Body::Answer | Body::Retract(_) => None,
        }
    }

    /// Whether it is a rating message: a call that brought no scores is none.
    pub fn is_rating(&self) -> bool {
        matches!(self.body, Body::Sms { .. } | Body::Survey(_) | Body::Form(_))
    }

    /// When it was received, microseconds since 1970 UTC.
    pub fn instant(&self) -> i64 {
        self.received.micros()
    }
}

/// 7.6: a reply counts if, after trimming white space, it is exactly one digit 1..5.
fn digit(text: &str) -> Option<Score> {
    let mut characters = text.trim().chars();
    let digit = match (characters.next(), characters.next()) {
        (Some(only), None) if only.is_ascii() => only.to_digit(10)?,
        _ => return None,
    };
    Score::new(u8::try_from(digit).expect("one decimal digit"))
}
