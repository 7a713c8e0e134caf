//! Events: one JSON object a line in, checked values out (contract § 1).
//!
//! [`Event`] is also what the log keeps, so its shape is the log's format 1: a field added,
//! moved or removed here is a new format, and the golden file in `tests/` says so.

mod quick;

use std::borrow::Cow;

use dataflows::calendar::{Day, Hour, Moment};
use dataflows::domain::{
    self as domain, Body, Channel, Criterion, Form, Input, Message, Outcome, Place, Record,
    Reference, ReferenceKey, Score, Scores, UnitKind,
};
use dataflows::id::Id;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A text of an event: borrowed from the line or frame it came in wherever it stands there as it is.
///
/// Not a bare `Cow`, because serde borrows into one only by an attribute on the very field.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Text<'a>(Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Text<'a> {
        Text(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text(Cow::Owned(text))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(text.into())
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(text.to_owned().into())
            }
            fn visit_string<E>(self, text: String) -> Result<Text<'de>, E> {
                Ok(text.into())
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

/// An event that the door has checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub enum Event<'a> {
    #[serde(borrow)]
    Agency(Agency<'a>),
    Unit(Unit<'a>),
    Service(Service<'a>),
    Tenure(Tenure<'a>),
    Target(Target<'a>),
    Remove(Key<'a>),
    Fact(Fact<'a>),
    Sms(Sms<'a>),
    Survey(Survey),
    Form(FormEvent<'a>),
    Answer(Answer),
    Retract(Retract<'a>),
    /// It is this hour now: written by the node, never taken from a sender.
    Clock(Hour),
}

/// An upsert of an agency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub struct Agency<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    pub name: Text<'a>,
    pub kind: Option<AgencyKind>,
}

/// The kinds of agencies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the kinds of contract § 1")]
pub enum AgencyKind {
    Federal,
    Fund,
    Regional,
    Municipal,
}

/// An upsert of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub struct Unit<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    pub kind: UnitKind,
    pub agency: Option<Text<'a>>,
    pub parent: Option<Text<'a>>,
    pub region: Text<'a>,
    pub name: Text<'a>,
}

/// An upsert of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub struct Service<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    pub agency: Text<'a>,
    pub name: Text<'a>,
    pub listed: bool,
}

/// An upsert of a tenure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub struct Tenure<'a> {
    #[serde(borrow)]
    pub id: Text<'a>,
    pub manager: Text<'a>,
    pub unit: Text<'a>,
    pub from: Day,
    pub until: Option<Day>,
    pub name: Option<Text<'a>>,
}

/// An upsert of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub struct Target<'a> {
    #[serde(borrow)]
    pub unit: Text<'a>,
    pub from: Day,
    /// Millionths of a per cent.
    pub micropercent: i64,
}

/// What a `remove` names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the things of contract § 1")]
pub enum Key<'a> {
    #[serde(borrow)]
    Agency(Text<'a>),
    Unit(Text<'a>),
    Service(Text<'a>),
    Tenure(Text<'a>),
    Target(Text<'a>, Day),
}

/// A service was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub struct Fact<'a> {
    pub record: Record,
    #[serde(borrow)]
    pub unit: Text<'a>,
    pub service: Text<'a>,
    pub mfc: Option<Text<'a>>,
    pub provided_on: Day,
    pub received_at: Moment,
    pub vendor: Option<Text<'a>>,
    pub foreign_id: Option<Text<'a>>,
    pub phone: bool,
}

/// An SMS reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub struct Sms<'a> {
    pub record: Record,
    #[serde(borrow)]
    pub text: Text<'a>,
    pub received_at: Moment,
}

/// A phone survey: completed with scores, or the outcome without.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub struct Survey {
    pub record: Record,
    pub result: Result<Scores, Outcome>,
    pub received_at: Moment,
}

/// A kiosk, ЕПГУ or site message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub struct FormEvent<'a> {
    pub kind: Form,
    pub record: Record,
    pub scores: Scores,
    #[serde(borrow)]
    pub unit: Option<Text<'a>>,
    pub service: Option<Text<'a>>,
    pub mfc: Option<Text<'a>>,
    pub provided_on: Option<Day>,
    pub received_at: Moment,
    pub vendor: Option<Text<'a>>,
    pub foreign_id: Option<Text<'a>>,
    pub text: Option<Text<'a>>,
}

/// The answer to a `site` review.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub struct Answer {
    pub record: Record,
    pub answered_at: Moment,
}

/// The withdrawal of what was sent wrongly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of contract § 1")]
pub struct Retract<'a> {
    pub record: Record,
    pub channel: Channel,
    #[serde(borrow)]
    pub reason: Text<'a>,
    pub received_at: Moment,
}

/// The door's "no": a stable code, and a sentence for the sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// One of contract § 1's codes at the door.
    pub code: Code,
    /// What is wrong, and with which field.
    pub detail: String,
}

/// The refusal codes of the door (contract § 1), stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the codes of contract § 1")]
pub enum Code {
    Malformed,
    UnknownType,
    BadId,
    BadDate,
    BadScore,
    BadCriterion,
    Empty,
    TooLarge,
}

impl Code {
    /// As it is written to clients.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Malformed => "malformed",
            Code::UnknownType => "unknown_type",
            Code::BadId => "bad_id",
            Code::BadDate => "bad_date",
            Code::BadScore => "bad_score",
            Code::BadCriterion => "bad_criterion",
            Code::Empty => "empty",
            Code::TooLarge => "too_large",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn refuse<T>(code: Code, detail: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, detail: detail.into() })
}

impl<'a> Event<'a> {
    /// Reads one line of NDJSON (without its line break). Unknown fields are ignored.
    ///
    /// # Errors
    /// The [`Refusal`] that the sender gets.
    pub fn parse(line: &'a [u8]) -> Result<Event<'a>, Refusal> {
        let line = std::str::from_utf8(line)
            .or_else(|error| refuse(Code::Malformed, format!("not UTF-8: {error}")))?;
        quick::message(line).map_or_else(|| Event::parse_fully(line), Ok)
    }

    /// Reads any line.
    fn parse_fully(line: &'a str) -> Result<Event<'a>, Refusal> {
        let fields: Fields<'a> = serde_json::from_str(line)
            .or_else(|error| refuse(Code::Malformed, format!("not an event: {error}")))?;
        fields.event()
    }

    /// Its `type`, as the contract writes it; `clock` where it is none of a sender's.
    pub fn type_name(&self) -> &'static str {
        match self {
            Event::Agency(_) => "agency",
            Event::Unit(_) => "unit",
            Event::Service(_) => "service",
            Event::Tenure(_) => "tenure",
            Event::Target(_) => "target",
            Event::Remove(_) => "remove",
            Event::Fact(_) => "fact",
            Event::Sms(_) => "sms",
            Event::Survey(_) => "survey",
            Event::Form(form) => form.kind.channel().of_message(),
            Event::Answer(_) => "answer",
            Event::Retract(_) => "retract",
            Event::Clock(_) => "clock",
        }
    }

    /// Whose system sent it, where it says so.
    pub fn vendor(&self) -> Option<&str> {
        match self {
            Event::Fact(fact) => fact.vendor.as_deref(),
            Event::Form(form) => form.vendor.as_deref(),
            _ => None,
        }
    }

    /// The event as the dataflow takes it.
    pub fn input(&self) -> Input {
        match self {
            Event::Agency(a) => reference(Reference::Agency(domain::Agency {
                id: Id::of(&a.id),
                name: Id::of(&a.name),
            })),
            Event::Unit(u) => reference(Reference::Unit(domain::Unit {
                id: Id::of(&u.id),
                kind: u.kind,
                agency: id(&u.agency),
                parent: id(&u.parent),
                okato: Id::of(&u.region),
                name: Id::of(&u.name),
            })),
            Event::Service(s) => reference(Reference::Service(domain::Service {
                id: Id::of(&s.id),
                agency: Id::of(&s.agency),
                listed: s.listed,
                name: Id::of(&s.name),
            })),
            Event::Tenure(t) => reference(Reference::Tenure(domain::Tenure {
                id: Id::of(&t.id),
                manager: Id::of(&t.manager),
                unit: Id::of(&t.unit),
                from: t.from,
                until: t.until.unwrap_or(Day::NEVER),
                name: id(&t.name),
            })),
            Event::Target(t) => reference(Reference::Target(domain::Target {
                unit: Id::of(&t.unit),
                from: t.from,
                micropercent: t.micropercent,
            })),
            Event::Remove(key) => Input::Reference(key.reference_key(), None),
            Event::Clock(hour) => Input::Clock(*hour),
            Event::Fact(f) => Input::Message(
                f.record,
                Message {
                    received: f.received_at,
                    body: Body::Fact {
                        place: Place {
                            unit: Id::of(&f.unit),
                            service: Id::of(&f.service),
                            mfc: id(&f.mfc),
                        },
                        provided: f.provided_on,
                        phone: f.phone,
                    },
                },
            ),
            Event::Sms(s) => Input::Message(
                s.record,
                Message {
                    received: s.received_at,
                    body: Body::Sms {
                        digit: digit(&s.text),
                        text: domain::fingerprint(s.text.as_bytes()),
                    },
                },
            ),
            Event::Survey(s) => Input::Message(
                s.record,
                Message {
                    received: s.received_at,
                    body: match s.result {
                        Ok(scores) => Body::Survey { scores },
                        Err(outcome) => Body::Call(outcome),
                    },
                },
            ),
            Event::Form(f) => Input::Message(
                f.record,
                Message {
                    received: f.received_at,
                    body: Body::Form {
                        kind: f.kind,
                        scores: f.scores,
                        unit: id(&f.unit),
                        service: id(&f.service),
                        mfc: id(&f.mfc),
                        provided: f.provided_on,
                        text: f
                            .text
                            .as_deref()
                            .map_or(0, |t| domain::fingerprint(t.as_bytes()) as u32),
                    },
                },
            ),
            Event::Answer(a) => {
                Input::Message(a.record, Message { received: a.answered_at, body: Body::Answer })
            }
            Event::Retract(r) => Input::Message(
                r.record,
                Message { received: r.received_at, body: Body::Retract(r.channel) },
            ),
        }
    }
}

/// 7.6: the reply counts if, after trimming white space, it is exactly one digit 1..5.
fn digit(text: &str) -> Option<Score> {
    match text.trim().as_bytes() {
        [digit @ b'1'..=b'5'] => Score::new(digit - b'0'),
        _ => None,
    }
}

fn id(text: &Option<Text<'_>>) -> Option<Id> {
    text.as_deref().map(Id::of)
}

fn reference(row: Reference) -> Input {
    Input::Reference(row.key(), Some(row))
}

impl Key<'_> {
    fn reference_key(&self) -> ReferenceKey {
        match self {
            Key::Agency(id) => ReferenceKey::Agency(Id::of(id)),
            Key::Unit(id) => ReferenceKey::Unit(Id::of(id)),
            Key::Service(id) => ReferenceKey::Service(Id::of(id)),
            Key::Tenure(id) => ReferenceKey::Tenure(Id::of(id)),
            Key::Target(unit, from) => ReferenceKey::Target(Id::of(unit), *from),
        }
    }
}

/// Every field any event has; which of them an event needs, its constructor says.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow, rename = "kind")]
    of_kind: Option<Text<'a>>,
    #[serde(borrow)]
    agency: Option<Text<'a>>,
    #[serde(borrow)]
    parent: Option<Text<'a>>,
    #[serde(borrow)]
    region: Option<Text<'a>>,
    listed: Option<bool>,
    #[serde(borrow)]
    manager: Option<Text<'a>>,
    #[serde(borrow)]
    unit: Option<Text<'a>>,
    #[serde(borrow)]
    from: Option<Text<'a>>,
    #[serde(borrow)]
    until: Option<Text<'a>>,
    #[serde(borrow)]
    percent: Option<&'a RawValue>,
    #[serde(borrow)]
    of: Option<Text<'a>>,
    #[serde(default, deserialize_with = "record")]
    record: Option<Result<Record, String>>,
    #[serde(borrow)]
    service: Option<Text<'a>>,
    #[serde(borrow)]
    mfc: Option<Text<'a>>,
    #[serde(borrow)]
    provided_on: Option<Text<'a>>,
    #[serde(borrow)]
    received_at: Option<Text<'a>>,
    #[serde(borrow)]
    answered_at: Option<Text<'a>>,
    #[serde(borrow)]
    vendor: Option<Text<'a>>,
    #[serde(borrow)]
    foreign_id: Option<Text<'a>>,
    phone: Option<bool>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    outcome: Option<Text<'a>>,
    #[serde(borrow)]
    channel: Option<Text<'a>>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    #[serde(default, deserialize_with = "scores")]
    scores: Option<Result<Scores, Refusal>>,
}

impl<'a> Fields<'a> {
    fn event(mut self) -> Result<Event<'a>, Refusal> {
        let Some(kind) = self.kind.take() else {
            return refuse(Code::Malformed, "type is missing");
        };
        Ok(match &*kind {
            "agency" => Event::Agency(self.agency_row()?),
            "unit" => Event::Unit(self.unit_row()?),
            "service" => Event::Service(Service {
                id: required_id("id", self.id)?,
                agency: required_id("agency", self.agency)?,
                name: required("name", self.name)?,
                listed: required("listed", self.listed)?,
            }),
            "tenure" => Event::Tenure(Tenure {
                id: required_id("id", self.id)?,
                manager: required_id("manager", self.manager)?,
                unit: required_id("unit", self.unit)?,
                from: day("from", &required("from", self.from)?)?,
                until: self.until.map(|until| day("until", &until)).transpose()?,
                name: self.name,
            }),
            "target" => Event::Target(Target {
                unit: required_id("unit", self.unit)?,
                from: day("from", &required("from", self.from)?)?,
                micropercent: micropercent(required("percent", self.percent)?.get())?,
            }),
            "remove" => Event::Remove(self.key()?),
            "fact" => Event::Fact(Fact {
                record: self.record()?,
                unit: required_id("unit", self.unit)?,
                service: required_id("service", self.service)?,
                mfc: optional_id("mfc", self.mfc)?,
                provided_on: day("provided_on", &required("provided_on", self.provided_on)?)?,
                received_at: moment("received_at", self.received_at)?,
                vendor: optional_id("vendor", self.vendor)?,
                foreign_id: self.foreign_id,
                phone: self.phone.unwrap_or(false),
            }),
            "sms" => Event::Sms(Sms {
                record: self.record()?,
                text: required("text", self.text)?,
                received_at: moment("received_at", self.received_at)?,
            }),
            "survey" => Event::Survey(self.survey()?),
            "kiosk" => Event::Form(self.form(Form::Kiosk)?),
            "epgu" => Event::Form(self.form(Form::Epgu)?),
            "site" => Event::Form(self.form(Form::Site)?),
            "answer" => Event::Answer(Answer {
                record: self.record()?,
                answered_at: moment("answered_at", self.answered_at)?,
            }),
            "retract" => Event::Retract(Retract {
                record: self.record()?,
                channel: channel(&required("channel", self.channel)?)?,
                reason: required("reason", self.reason)?,
                received_at: moment("received_at", self.received_at)?,
            }),
            other => return refuse(Code::UnknownType, format!("type {other:?} is not known")),
        })
    }

    fn agency_row(self) -> Result<Agency<'a>, Refusal> {
        let kind = match self.of_kind.as_deref() {
            None => None,
            Some("federal") => Some(AgencyKind::Federal),
            Some("fund") => Some(AgencyKind::Fund),
            Some("regional") => Some(AgencyKind::Regional),
            Some("municipal") => Some(AgencyKind::Municipal),
            Some(other) => {
                return refuse(
                    Code::Malformed,
                    format!("kind {other:?} is none of federal, fund, regional, municipal"),
                );
            }
        };
        let id = required_id("id", self.id)?;
        Ok(Agency { id, name: required("name", self.name)?, kind })
    }

    fn unit_row(self) -> Result<Unit<'a>, Refusal> {
        let kind = match &*required("kind", self.of_kind)? {
            "territorial" => UnitKind::Territorial,
            "subdivision" => UnitKind::Subdivision,
            "mfc" => UnitKind::Mfc,
            other => {
                return refuse(
                    Code::Malformed,
                    format!("kind {other:?} is none of territorial, subdivision, mfc"),
                );
            }
        };
        let region = required("region", self.region)?;
        if !(2..=11).contains(&region.len()) || !region.bytes().all(|b| b.is_ascii_digit()) {
            return refuse(
                Code::BadId,
                format!("region {region:?} is not an ОКАТО of 2..11 digits"),
            );
        }
        Ok(Unit {
            id: required_id("id", self.id)?,
            kind,
            agency: optional_id("agency", self.agency)?,
            parent: optional_id("parent", self.parent)?,
            region,
            name: required("name", self.name)?,
        })
    }

    fn key(self) -> Result<Key<'a>, Refusal> {
        let of = required("of", self.of)?;
        if &*of == "target" {
            let unit = required_id("unit", self.unit)?;
            return Ok(Key::Target(unit, day("from", &required("from", self.from)?)?));
        }
        let id = required_id("id", self.id)?;
        match &*of {
            "agency" => Ok(Key::Agency(id)),
            "unit" => Ok(Key::Unit(id)),
            "service" => Ok(Key::Service(id)),
            "tenure" => Ok(Key::Tenure(id)),
            other => refuse(
                Code::Malformed,
                format!("of {other:?} is none of agency, unit, service, tenure, target"),
            ),
        }
    }

    fn survey(mut self) -> Result<Survey, Refusal> {
        let result = match &*required("outcome", self.outcome.take())? {
            "completed" => Ok(self.common_scores()?),
            "no_answer" => Err(Outcome::NoAnswer),
            "call_back" => Err(Outcome::CallBack),
            "refused" => Err(Outcome::Refused),
            other => {
                return refuse(
                    Code::Malformed,
                    format!(
                        "outcome {other:?} is none of completed, no_answer, call_back, refused"
                    ),
                );
            }
        };
        let record = self.record()?;
        Ok(Survey { record, result, received_at: moment("received_at", self.received_at)? })
    }

    fn form(mut self, kind: Form) -> Result<FormEvent<'a>, Refusal> {
        let scores = if kind == Form::Epgu { self.scores()? } else { self.common_scores()? };
        Ok(FormEvent {
            kind,
            record: self.record()?,
            scores,
            unit: optional_id("unit", self.unit)?,
            service: optional_id("service", self.service)?,
            mfc: optional_id("mfc", self.mfc)?,
            provided_on: self.provided_on.map(|d| day("provided_on", &d)).transpose()?,
            received_at: moment("received_at", self.received_at)?,
            vendor: optional_id("vendor", self.vendor)?,
            foreign_id: self.foreign_id,
            text: if kind == Form::Site { self.text } else { None },
        })
    }

    fn record(&mut self) -> Result<Record, Refusal> {
        match required("record", self.record.take())? {
            Ok(record) => Ok(record),
            Err(found) => {
                refuse(Code::BadId, format!("record {found} is not an unsigned 63-bit integer"))
            }
        }
    }

    fn scores(&mut self) -> Result<Scores, Refusal> {
        let scores = required("scores", self.scores.take())??;
        if scores.is_empty() {
            return refuse(Code::Empty, "scores is empty");
        }
        Ok(scores)
    }

    /// 8.3: a message with a criterion that its questionnaire does not have is refused whole.
    fn common_scores(&mut self) -> Result<Scores, Refusal> {
        let scores = self.scores()?;
        match scores.iter().find(|(criterion, _)| criterion.get() > 5) {
            Some((criterion, _)) => refuse(
                Code::BadCriterion,
                format!("criterion {} is known to the ЕПГУ form only", criterion.get()),
            ),
            None => Ok(scores),
        }
    }
}

fn required<T>(name: &str, value: Option<T>) -> Result<T, Refusal> {
    value.map_or_else(|| refuse(Code::Malformed, format!("{name} is missing")), Ok)
}

fn required_id<'a>(name: &str, value: Option<Text<'a>>) -> Result<Text<'a>, Refusal> {
    let text = required(name, value)?;
    if Id::is_valid(&text) {
        Ok(text)
    } else {
        refuse(Code::BadId, format!("{name} is not 1..64 visible characters"))
    }
}

fn optional_id<'a>(name: &str, value: Option<Text<'a>>) -> Result<Option<Text<'a>>, Refusal> {
    value.map(|text| required_id(name, Some(text))).transpose()
}

fn channel(text: &str) -> Result<Channel, Refusal> {
    Channel::ALL.into_iter().find(|c| c.of_message() == text).map_or_else(
        || {
            let detail = format!("channel {text:?} is none of sms, survey, kiosk, epgu, site");
            refuse(Code::Malformed, detail)
        },
        Ok,
    )
}

/// `YYYY-MM-DD`, a day that exists.
pub(crate) fn day(name: &str, text: &str) -> Result<Day, Refusal> {
    parse_day(text.as_bytes()).map_or_else(
        || refuse(Code::BadDate, format!("{name} {text:?} is not a date YYYY-MM-DD")),
        Ok,
    )
}

/// `YYYY-MM-DD`, or `None`.
pub fn parse_day(text: &[u8]) -> Option<Day> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return None };
    let digits = [y1, y2, y3, y4, m1, m2, d1, d2].map(|byte| u32::from(byte.wrapping_sub(b'0')));
    let [y1, y2, y3, y4, m1, m2, d1, d2] = digits;
    let year = ((y1 * 10 + y2) * 10 + y3) * 10 + y4;
    let valid = digits.iter().all(|digit| *digit < 10);
    valid.then(|| Day::new(year as i32, m1 * 10 + m2, d1 * 10 + d2))?
}

/// RFC 3339 with an offset, to the microsecond.
fn moment(name: &str, text: Option<Text<'_>>) -> Result<Moment, Refusal> {
    let text = required(name, text)?;
    parse_moment(&text).map_or_else(
        || {
            let detail = format!("{name} {text:?} is not a time of RFC 3339 with an offset");
            refuse(Code::BadDate, detail)
        },
        Ok,
    )
}

/// RFC 3339 with an offset, or `None`; what is finer than a microsecond is cut off.
pub fn parse_moment(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    if let Some(moment) = parse_whole_seconds(bytes) {
        return Some(moment);
    }
    let shaped = bytes.len() >= 20
        && bytes.len() <= 35
        && matches!(bytes[10], b'T' | b't' | b' ')
        && bytes[13] == b':'
        && bytes[16] == b':'
        && !bytes.contains(&b'[');
    if !shaped {
        return None;
    }
    let day = parse_day(&bytes[..10])?;
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    let time = pieces.time()?;
    let offset = pieces.to_numeric_offset()?.seconds();
    if offset % 60 != 0 {
        return None;
    }
    let seconds = i64::from(day.0) * 86_400
        + i64::from(time.hour()) * 3600
        + i64::from(time.minute()) * 60
        + i64::from(time.second())
        - i64::from(offset);
    Moment::new(seconds * 1_000_000 + i64::from(time.subsec_nanosecond()) / 1000, offset / 60)
}

/// `YYYY-MM-DDTHH:MM:SS+HH:MM`, the form nearly all times come in.
fn parse_whole_seconds(text: &[u8]) -> Option<Moment> {
    let [date @ .., b'T', h1, h2, b':', m1, m2, b':', s1, s2, sign, a1, a2, b':', b1, b2] = text
    else {
        return None;
    };
    let number = |tens: &u8, ones: &u8, below: i64| {
        let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
        Some(digit(tens)? * 10 + digit(ones)?).filter(|number| *number < below)
    };
    let seconds = number(h1, h2, 24)? * 3600 + number(m1, m2, 60)? * 60 + number(s1, s2, 60)?;
    let offset = number(a1, a2, 15)? * 60 + number(b1, b2, 60)?;
    let offset = match sign {
        b'+' => offset,
        b'-' if offset > 0 => -offset,
        _ => return None,
    };
    let micros = (i64::from(parse_day(date)?.0) * 86_400 + seconds - offset * 60) * 1_000_000;
    Moment::new(micros, i32::try_from(offset).ok()?)
}

/// A JSON number of 0..100 with at most six decimals, exactly.
fn micropercent(text: &str) -> Result<i64, Refusal> {
    let wrong = || Refusal {
        code: Code::Malformed,
        detail: format!("percent {text} is not a number of 0..100 with at most six decimals"),
    };
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let decimals = decimals.trim_end_matches('0');
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 3
        || decimals.len() > 6
        || !digits(whole)
        || !digits(decimals)
    {
        return Err(wrong());
    }
    let value = format!("{whole}{decimals:0<6}").parse::<i64>().map_err(|_| wrong())?;
    if value > 100_000_000 { Err(wrong()) } else { Ok(value) }
}

/// A record id; `Err` holds the number that is none.
fn record<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Result<Record, String>>, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = Option<Result<Record, String>>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an unsigned 63-bit integer")
        }
        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(if number >> 63 == 0 { Ok(number) } else { Err(number.to_string()) }))
        }
        fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(Err(number.to_string())))
        }
        fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
            Ok(Some(Err(number.to_string())))
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    deserializer.deserialize_any(Number)
}

/// A map of criteria to scores; what is wrong with it is a refusal of its own, not a syntax error.
fn scores<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Result<Scores, Refusal>>, D::Error> {
    struct Map;
    impl<'de> Visitor<'de> for Map {
        type Value = Option<Result<Scores, Refusal>>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("scores by criterion")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut scores = Scores::NONE;
            while let Some(key) = map.next_key::<Text<'de>>()? {
                let criterion = match key.as_bytes() {
                    [digit @ b'1'..=b'8'] => Criterion::new(digit - b'0'),
                    _ => None,
                };
                let value = map.next_value::<Option<ScoreNumber>>()?.map(|number| number.0);
                let refusal = match (criterion, value.flatten().and_then(Score::new)) {
                    (Some(criterion), Some(score)) if scores.get(criterion).is_none() => {
                        scores = scores.with(criterion, score);
                        continue;
                    }
                    (None, _) => {
                        refuse(Code::BadCriterion, format!("criterion {key:?} is not 1..8"))
                    }
                    (Some(_), Some(_)) => {
                        refuse(Code::Malformed, format!("criterion {key:?} is there twice"))
                    }
                    (Some(_), None) => refuse(
                        Code::BadScore,
                        format!("the score of criterion {key:?} is not 1..5"),
                    ),
                };
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(Some(refusal));
            }
            Ok(Some(Ok(scores)))
        }
    }
    deserializer.deserialize_any(Map)
}

/// Any number as a score candidate: `None` unless it is an integer of one byte.
struct ScoreNumber(Option<u8>);

impl<'de> Deserialize<'de> for ScoreNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ScoreNumber, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = ScoreNumber;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a score of 1..5")
            }
            fn visit_u64<E>(self, number: u64) -> Result<ScoreNumber, E> {
                Ok(ScoreNumber(u8::try_from(number).ok()))
            }
            fn visit_i64<E>(self, _: i64) -> Result<ScoreNumber, E> {
                Ok(ScoreNumber(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<ScoreNumber, E> {
                Ok(ScoreNumber(None))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> Result<(), &'static str> {
        Event::parse(line.as_bytes()).map(|_| ()).map_err(|refusal| refusal.code.as_str())
    }

    #[test]
    fn each_wrong_line_has_its_code() {
        let at = r#""received_at":"2018-03-01T10:00:00+03:00""#;
        let fact = r#""unit":"U","service":"S","provided_on":"2018-03-01""#;
        let deep = "[".repeat(100_000);
        let cases = [
            ("", "malformed"),
            ("{", "malformed"),
            ("[]", "malformed"),
            (deep.as_str(), "malformed"),
            (r#"{"id":"A"}"#, "malformed"),
            (r#"{"type":"nonsense"}"#, "unknown_type"),
            (r#"{"type":"agency","id":"A"}"#, "malformed"),
            (r#"{"type":"agency","id":"","name":"n"}"#, "bad_id"),
            (r#"{"type":"agency","id":"a\u0000b","name":"n"}"#, "bad_id"),
            ("{\"type\":\"agency\",\"id\":\"a\0b\",\"name\":\"n\"}", "malformed"),
            (r#"{"type":"unit","id":"U","kind":"mfc","region":"x","name":"n"}"#, "bad_id"),
            (r#"{"type":"target","unit":"U","from":"2018-01-01","percent":101}"#, "malformed"),
            (r#"{"type":"target","unit":"U","from":"2018-02-30","percent":90}"#, "bad_date"),
        ];
        for (line, expected) in cases {
            assert_eq!(code(line), Err(expected), "{line:.60}");
        }
        let rating = |kind: &str, rest: &str| {
            code(&format!(r#"{{"type":"{kind}","record":1,{at},{rest}}}"#))
        };
        assert_eq!(rating("fact", fact), Ok(()));
        assert_eq!(rating("kiosk", r#""scores":{"1":5}"#), Ok(()));
        assert_eq!(rating("kiosk", r#""scores":{}"#), Err("empty"));
        assert_eq!(rating("kiosk", r#""scores":{"1":0}"#), Err("bad_score"));
        assert_eq!(rating("kiosk", r#""scores":{"1":6}"#), Err("bad_score"));
        assert_eq!(rating("kiosk", r#""scores":{"1":4.5}"#), Err("bad_score"));
        assert_eq!(rating("kiosk", r#""scores":{"1":"4"}"#), Err("malformed"));
        assert_eq!(rating("kiosk", r#""scores":{"9":5}"#), Err("bad_criterion"));
        assert_eq!(rating("kiosk", r#""scores":{"6":5}"#), Err("bad_criterion"));
        assert_eq!(rating("epgu", r#""scores":{"6":5}"#), Ok(()));
        assert_eq!(rating("sms", r#""text":5"#), Err("malformed"));
        assert_eq!(rating("survey", r#""outcome":"completed","scores":{}"#), Err("empty"));
        assert_eq!(rating("survey", r#""outcome":"no_answer""#), Ok(()));
        for record in ["-1", "9223372036854775808", "1e30", "1.5", "99999999999999999999999"] {
            let line = format!(r#"{{"type":"sms","record":{record},"text":"5",{at}}}"#);
            assert_eq!(code(&line), Err("bad_id"), "{record}");
        }
        for time in ["2018-02-30T10:00:00Z", "2018-03-01", "2018-03-01T10:00:00", "x"] {
            let line = format!(r#"{{"type":"sms","record":1,"text":"5","received_at":"{time}"}}"#);
            assert_eq!(code(&line), Err("bad_date"), "{time}");
        }
    }

    /// 7.6: exactly one digit 1..5, after trimming white space, in ASCII.
    #[test]
    fn a_reply_is_one_digit() {
        for (text, expected) in
            [("5", Some(5)), (" 4\t", Some(4)), ("\n1", Some(1)), ("６", None), ("４", None)]
        {
            assert_eq!(digit(text).map(Score::get), expected, "{text:?}");
        }
        for text in ["", "0", "6", "55", "5.0", "5!", "пять", "-1", "4 5"] {
            assert_eq!(digit(text), None, "{text:?}");
        }
    }

    #[test]
    fn moments_and_percents_are_exact() {
        let moment = parse_moment("2018-03-01T00:30:00.000001+03:00").expect("valid");
        assert_eq!(
            (moment.day().to_string().as_str(), moment.offset_minutes()),
            ("2018-03-01", 180)
        );
        assert_eq!(moment.micros() % 1_000_000, 1);
        assert_eq!(parse_moment("2018-03-01T10:00:00Z").map(Moment::offset_minutes), Some(0));
        for whole in ["2018-03-01T23:59:59-09:30", "1900-12-31T00:00:00+14:59"] {
            let finer = format!("{}.0{}", &whole[..19], &whole[19..]);
            assert_eq!(parse_moment(whole), parse_moment(&finer), "{whole}");
        }
        assert_eq!(micropercent("87.5"), Ok(87_500_000));
        assert_eq!(micropercent("70"), Ok(70_000_000));
        assert!(micropercent("1e2").is_err() && micropercent("-1").is_err());
    }
}
