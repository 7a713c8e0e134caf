//! The Order's words as types (order-120 § 1): what cannot be said wrongly need not be checked.

use serde::{Deserialize, Serialize};

use crate::calendar::{Day, Hour, Moment};
use crate::id::Id;

/// The order in which we learned things: a tick of the accepting node's clock, stamped into its log.
pub type Epoch = u64;

/// A place in the order in which events were accepted: by epoch, within an epoch by the log that
/// has it (a cluster has several), within a log by number. Of two rows of reference data with the
/// same key the later one holds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Turn {
    /// The epoch it was accepted in.
    pub epoch: Epoch,
    /// The number that the log carries.
    pub log: u64,
    /// Of events before it in its log.
    pub number: u64,
}

impl Turn {
    /// In the only source there is, whose events are in the order of their numbers.
    pub fn only(number: u64) -> Turn {
        Turn { number, ..Turn::default() }
    }

    /// So many events later in the same epoch.
    pub fn after(self, events: u64) -> Turn {
        Turn { number: self.number + events, ..self }
    }
}

/// The identifier of a record of ИАС МКГУ: everything about one service given to one citizen
/// carries it. 63 bits.
pub type Record = u64;

/// A score of 1..5 (балл, p. 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Score(u8);

impl Score {
    /// `None` outside 1..5.
    pub fn new(score: u8) -> Option<Score> {
        (1..=5).contains(&score).then_some(Score(score))
    }

    /// 1..5.
    pub fn get(self) -> u8 {
        self.0
    }

    /// p. 3: 4 and 5 are positive, 1 to 3 negative.
    pub fn is_positive(self) -> bool {
        self.0 >= 4
    }
}

/// A criterion of 1..8 (p. 2; 6..8 only on the ЕПГУ form, p. 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Criterion(u8);

impl Criterion {
    /// Criteria 1..5, which every channel knows.
    pub const COMMON: [Criterion; 5] =
        [Criterion(1), Criterion(2), Criterion(3), Criterion(4), Criterion(5)];
    /// All eight.
    pub const ALL: [Criterion; 8] = [
        Criterion(1),
        Criterion(2),
        Criterion(3),
        Criterion(4),
        Criterion(5),
        Criterion(6),
        Criterion(7),
        Criterion(8),
    ];

    /// `None` outside 1..8.
    pub fn new(criterion: u8) -> Option<Criterion> {
        (1..=8).contains(&criterion).then_some(Criterion(criterion))
    }

    /// 1..8.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// Scores by criterion, each criterion at most once, three bits each.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Scores(u32);

impl Scores {
    /// No criterion answered.
    pub const NONE: Scores = Scores(0);

    /// These, with `criterion` answered by `score`.
    pub fn with(self, criterion: Criterion, score: Score) -> Scores {
        let shift = 3 * u32::from(criterion.0 - 1);
        Scores(self.0 & !(7 << shift) | u32::from(score.0) << shift)
    }

    /// The score of a criterion, if it was answered.
    pub fn get(self, criterion: Criterion) -> Option<Score> {
        Score::new((self.0 >> (3 * u32::from(criterion.0 - 1)) & 7) as u8)
    }

    /// As a number of 24 bits.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// What [`Scores::bits`] gave.
    pub(crate) fn of_bits(bits: u32) -> Scores {
        Scores(bits)
    }

    /// The criteria answered, in their order.
    pub fn iter(self) -> impl Iterator<Item = (Criterion, Score)> {
        Criterion::ALL.into_iter().filter_map(move |c| self.get(c).map(|s| (c, s)))
    }

    /// Whether no criterion is answered.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The sum of the scores: what breaks ties in D3 and D5.
    pub fn sum(self) -> u32 {
        self.iter().map(|(_, score)| u32::from(score.0)).sum()
    }
}

/// The way a rating came (способ); the messages of one record are judged channel by channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Channel {
    /// An SMS reply (7.5–7.7).
    Sms,
    /// A phone survey (7.8–7.10): `survey` as a message, `phone` as the channel of its ratings.
    Survey,
    /// A terminal in the office (8.1–8.3).
    Kiosk,
    /// The form on the ЕПГУ portal (9.3–9.4).
    Epgu,
    /// The site «Ваш контроль» and its widget (9.5): stored apart, never in R.
    Site,
}

impl Channel {
    /// In the order of the contract.
    pub const ALL: [Channel; 5] =
        [Channel::Sms, Channel::Survey, Channel::Kiosk, Channel::Epgu, Channel::Site];

    /// As the channel of a message: `sms`, `survey`, `kiosk`, `epgu`, `site`.
    pub fn of_message(self) -> &'static str {
        match self {
            Channel::Sms => "sms",
            Channel::Survey => "survey",
            Channel::Kiosk => "kiosk",
            Channel::Epgu => "epgu",
            Channel::Site => "site",
        }
    }

    /// As the channel of a rating: a survey's are `phone`.
    pub fn of_rating(self) -> &'static str {
        match self {
            Channel::Survey => "phone",
            other => other.of_message(),
        }
    }
}

/// Where a service was given: what a rating needs besides its date to find whom it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The territorial unit or subdivision.
    pub unit: Id,
    /// The service.
    pub service: Id,
    /// The МФЦ through which it was given, if any.
    pub mfc: Option<Id>,
}

/// A message about a record: a fact, a rating, an answer to a review, or a withdrawal.
///
/// The fields are those that can make a difference to a figure; texts are fingerprints, there to
/// tell an identical copy from another message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Message {
    /// When it was received (or answered, for [`Body::Answer`]).
    pub received: Moment,
    /// What it says.
    pub body: Body,
}

/// What a [`Message`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Body {
    /// A service was given (факт оказания услуги).
    Fact {
        /// Where.
        place: Place,
        /// When.
        provided: Day,
        /// Whether a phone number was left.
        phone: bool,
    },
    /// An SMS reply (7.5): `digit` where the trimmed text is exactly one digit 1..5.
    Sms {
        /// The digit it counts with.
        digit: Option<Score>,
        /// Fingerprint of the raw text.
        text: u64,
    },
    /// A completed phone survey (7.8); the scores are of criteria 1..5.
    Survey {
        /// At least one.
        scores: Scores,
    },
    /// A call that brought no rating.
    Call(Outcome),
    /// A kiosk, ЕПГУ or site message; what it leaves out is the registered fact's.
    Form {
        /// Which of the three.
        kind: Form,
        /// At least one.
        scores: Scores,
        /// As in a fact.
        unit: Option<Id>,
        /// As in a fact.
        service: Option<Id>,
        /// As in a fact.
        mfc: Option<Id>,
        /// As in a fact.
        provided: Option<Day>,
        /// Fingerprint of the text of a review, 0 where there is none.
        text: u32,
    },
    /// The answer to a `site` review.
    Answer,
    /// Withdraws every message of the record and channel received at or before it (D5).
    Retract(Channel),
}

/// The outcome of a call that was not completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Nobody answered.
    NoAnswer,
    /// Asked to be called at another time.
    CallBack,
    /// Declined.
    Refused,
}

/// The messages that carry their own place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Form {
    /// A terminal in the office.
    Kiosk,
    /// The ЕПГУ form.
    Epgu,
    /// A review on the site.
    Site,
}

impl Form {
    /// Its channel.
    pub fn channel(self) -> Channel {
        match self {
            Form::Kiosk => Channel::Kiosk,
            Form::Epgu => Channel::Epgu,
            Form::Site => Channel::Site,
        }
    }
}

/// A fingerprint of a text, the same in every build and process: FNV-1a.
pub fn fingerprint(text: &[u8]) -> u64 {
    crate::id::fnv(text)
}

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum UnitKind {
    /// A territorial body: has no parent.
    Territorial,
    /// A subdivision of one.
    Subdivision,
    /// A multifunctional centre (МФЦ); an authorised one is the parent of those it coordinates.
    Mfc,
}

/// An agency: the body whose units give services.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Agency {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: Id,
}

/// An office.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Unit {
    /// Its id.
    pub id: Id,
    /// What it is.
    pub kind: UnitKind,
    /// None for an МФЦ.
    pub agency: Option<Id>,
    /// The unit whose head answers for this one too (p. 15).
    pub parent: Option<Id>,
    /// ОКАТО of the place, 2 to 11 digits.
    pub okato: Id,
    /// Its name.
    pub name: Id,
}

/// A state service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Service {
    /// Its id.
    pub id: Id,
    /// The agency that gives it, for people to read: a rating belongs to the agency of its unit.
    pub agency: Id,
    /// Whether it is in the Перечень of Decree 1284.
    pub listed: bool,
    /// Its name.
    pub name: Id,
}

/// A manager's time in office: manager × unit × [from, until).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tenure {
    /// Its id.
    pub id: Id,
    /// The person.
    pub manager: Id,
    /// The unit.
    pub unit: Id,
    /// First day in office.
    pub from: Day,
    /// First day no longer in office; [`Day::NEVER`] while there is none.
    pub until: Day,
    /// The manager's name, where it is known.
    pub name: Option<Id>,
}

/// A target set for the period of a unit that starts on `from`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The unit.
    pub unit: Id,
    /// Start of the period it is for.
    pub from: Day,
    /// Millionths of a per cent.
    pub micropercent: i64,
}

/// One event as the dataflow takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The row of this key is now this one, or none.
    Reference(ReferenceKey, Option<Reference>),
    /// A message about a record.
    Message(Record, Message),
    /// It is this hour now.
    Clock(Hour),
}

/// A row of the reference data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reference {
    /// An agency.
    Agency(Agency),
    /// A unit.
    Unit(Unit),
    /// A service.
    Service(Service),
    /// A tenure.
    Tenure(Tenure),
    /// A target.
    Target(Target),
}

/// What a reference row is known by: an upsert replaces the row of the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ReferenceKey {
    /// By id.
    Agency(Id),
    /// By id.
    Unit(Id),
    /// By id.
    Service(Id),
    /// By id.
    Tenure(Id),
    /// By unit and start of the period.
    Target(Id, Day),
}

impl Reference {
    /// What it is known by.
    pub fn key(&self) -> ReferenceKey {
        match self {
            Reference::Agency(agency) => ReferenceKey::Agency(agency.id),
            Reference::Unit(unit) => ReferenceKey::Unit(unit.id),
            Reference::Service(service) => ReferenceKey::Service(service.id),
            Reference::Tenure(tenure) => ReferenceKey::Tenure(tenure.id),
            Reference::Target(target) => ReferenceKey::Target(target.unit, target.from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_keep_each_criterion_once() {
        let [one, two] = [1, 2].map(|c| Criterion::new(c).expect("1..8"));
        let [bad, good] = [1, 5].map(|s| Score::new(s).expect("1..5"));
        let scores = Scores::NONE.with(two, good).with(one, good).with(one, bad);
        assert_eq!(scores.iter().collect::<Vec<_>>(), [(one, bad), (two, good)]);
        assert_eq!(scores.sum(), 6);
        assert!(Scores::NONE.is_empty());
        assert_eq!([0, 6].map(Score::new), [None, None]);
        assert_eq!([0, 9].map(Criterion::new), [None, None]);
    }
}
