//! The rows that people see (contract § 4), their keys and their columns.
//!
//! A row is typed and exact: values are pairs of integers, means are millionths of a per cent.
//! How it is written as JSON is the business of whoever serves it.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};

use crate::calendar::{Day, Moment, Month, Quarter};
use crate::domain::{Channel, Record};
use crate::id::{Id, Mixing, short};
use crate::tally::{Shares, Spread, Value};

/// The views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names of contract § 4; `directory` and `survey_lists` beside")]
pub enum View {
    ManagerPeriods,
    Agencies,
    AgencyQuarters,
    Territories,
    Units,
    Services,
    Mfcs,
    Months,
    Rankings,
    SurveySample,
    SurveyLists,
    Deadlines,
    Pending,
    Refused,
    Conservation,
    Directory,
}

impl View {
    /// All of them, in the order of the contract.
    pub const ALL: [View; 16] = [
        View::ManagerPeriods,
        View::Agencies,
        View::AgencyQuarters,
        View::Territories,
        View::Units,
        View::Services,
        View::Mfcs,
        View::Months,
        View::Rankings,
        View::SurveySample,
        View::SurveyLists,
        View::Deadlines,
        View::Pending,
        View::Refused,
        View::Conservation,
        View::Directory,
    ];

    /// Its name in paths and files.
    pub fn name(self) -> &'static str {
        self.describe().0
    }

    /// The columns that identify a row.
    pub fn key(self) -> &'static [&'static str] {
        self.describe().1
    }

    /// All other columns.
    pub fn columns(self) -> &'static [&'static str] {
        self.describe().2
    }

    /// The view of a name.
    pub fn named(name: &str) -> Option<View> {
        View::ALL.into_iter().find(|view| view.name() == name)
    }

    fn describe(self) -> (&'static str, &'static [&'static str], &'static [&'static str]) {
        match self {
            View::ManagerPeriods => (
                "manager_periods",
                &["tenure", "period"],
                &[
                    "manager", "unit", "agency", "region", "from", "until", "complete", "k", "n",
                    "percent", "criteria", "channels", "previous", "target", "status",
                ],
            ),
            View::Agencies => ("agencies", &["agency"], &["k", "n", "percent", "mean", "managers"]),
            View::AgencyQuarters => {
                ("agency_quarters", &["agency", "quarter"], &["mean", "managers"])
            }
            View::Territories => (
                "territories",
                &["region", "agency"],
                &["k", "n", "percent", "facts", "records", "average", "scores"],
            ),
            View::Units => (
                "units",
                &["unit"],
                &["k", "n", "percent", "pooled_k", "pooled_n", "pooled_percent", "average"],
            ),
            View::Services => {
                ("services", &["agency", "service"], &["k", "n", "percent", "average"])
            }
            View::Mfcs => ("mfcs", &["unit"], &["k", "n", "percent"]),
            View::Months => {
                ("months", &["scope", "id", "month"], &["k", "n", "percent", "average"])
            }
            View::Rankings => ("rankings", &["scope", "month", "id"], &["rank", "percent", "n"]),
            View::SurveySample => ("survey_sample", &["unit", "day", "record"], &["order"]),
            View::SurveyLists => {
                ("survey_lists", &["unit", "day"], &["replies", "wanted", "drawn"])
            }
            View::Deadlines => ("deadlines", &["kind", "record"], &["due_at", "state", "unit"]),
            View::Pending => ("pending", &["reason"], &["count"]),
            View::Refused => ("refused", &["code", "channel"], &["count"]),
            View::Conservation => (
                "conservation",
                &[],
                &["accepted", "counted", "apart", "pending", "refused", "duplicate", "retracted"],
            ),
            View::Directory => (
                "directory",
                &["of", "id"],
                &["name", "kind", "agency", "parent", "region", "listed"],
            ),
        }
    }
}

/// A row of a view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant is the view of its name")]
pub enum Row {
    ManagerPeriod(Box<ManagerPeriod>),
    Agency(Box<AgencyRow>),
    AgencyQuarter {
        agency: Id,
        quarter: Quarter,
        mean: i64,
        managers: i64,
    },
    /// `agency` is none for the row of all agencies.
    Territory {
        region: Id,
        agency: Option<Id>,
        spread: Box<Spread>,
    },
    Unit {
        unit: Id,
        own: Box<Spread>,
        pooled: Value,
    },
    /// `agency` is none where the rated unit has none.
    Service {
        agency: Option<Id>,
        service: Id,
        spread: Box<Spread>,
    },
    Mfc {
        unit: Id,
        value: Value,
    },
    Month {
        scope: Scope,
        id: Id,
        month: Month,
        spread: Box<Spread>,
    },
    Ranking {
        scope: Scope,
        month: Month,
        id: Id,
        rank: u32,
        value: Value,
    },
    SurveySample {
        unit: Id,
        day: Day,
        record: Record,
        order: u32,
    },
    SurveyList {
        unit: Id,
        day: Day,
        replies: u32,
        wanted: u32,
        drawn: u32,
    },
    Deadline {
        kind: DeadlineKind,
        record: Record,
        due: Moment,
        state: DeadlineState,
        unit: Option<Id>,
    },
    Pending {
        reason: PendingReason,
        count: i64,
    },
    Refused {
        code: RefusalCode,
        channel: Subject,
        count: i64,
    },
    Conservation(Box<Conservation>),
    Directory(Box<DirectoryRow>),
}

/// A row of `manager_periods`: one accounting period (расчетный период) of one tenure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ManagerPeriod {
    /// The tenure.
    pub tenure: Id,
    /// 0, 1, …: which twelve months of it.
    pub period: u32,
    /// The person in office.
    pub manager: Id,
    /// The unit headed.
    pub unit: Id,
    /// Its agency; none for an МФЦ.
    pub agency: Option<Id>,
    /// The subject of the federation it lies in.
    pub region: Id,
    /// First day of the period.
    pub from: Day,
    /// First day after it, cut at the end of the tenure.
    pub until: Day,
    /// Whether its 12 months have passed in office (p. 17).
    pub complete: bool,
    /// The ratings, whose value is the satisfaction value (p. 12, 13); by criterion and by channel. Nothing
    /// that grows, because it is the row that changes most often.
    pub own: Shares,
    /// The unit's value over the 12 months before; none without ratings.
    pub previous: Option<Value>,
    /// The target set for the period, millionths of a per cent.
    pub target: Option<i64>,
    /// § 5.
    pub status: Status,
}

/// A row of `agencies`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AgencyRow {
    /// The agency.
    pub agency: Id,
    /// All its ratings, pooled.
    pub value: Value,
    /// Running Rf, millionths of a per cent (p. 14).
    pub mean: Option<i64>,
    /// Sn.
    pub managers: i64,
}

/// A row of `conservation`: nothing disappears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of contract § 4: counts of rating messages")]
pub struct Conservation {
    pub accepted: i64,
    pub counted: i64,
    pub apart: i64,
    pub pending: i64,
    pub refused: i64,
    pub duplicate: i64,
    pub retracted: i64,
}

/// A row of `directory`: the reference data as they stand, for names beside ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DirectoryRow {
    /// `agency`, `unit`, `service` or `manager`.
    pub of: Thing,
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: Id,
    /// The kind of a unit.
    pub kind: Option<crate::domain::UnitKind>,
    /// The agency of a unit or service.
    pub agency: Option<Id>,
    /// The parent of a unit.
    pub parent: Option<Id>,
    /// The subject of the federation a unit lies in.
    pub region: Option<Id>,
    /// Whether a service is listed.
    pub listed: Option<bool>,
}

/// A word of a fixed set, as the contract writes it.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "each variant is the word it is written as")]
        pub enum $name { $($variant),* }
        impl $name {
            /// All of the set.
            pub const WORDS: &'static [&'static str] = &[$($word),*];
            /// As it is written.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }
    };
}

words! {
    /// Was the target met (order-120 § 5).
    Status {
        Met = "met", NotMet = "not_met", BelowFirst = "below_first", NoValue = "no_value",
        InProgress = "in_progress", CutShort = "cut_short",
    }
}
words! {
    /// What `months` and `rankings` are of.
    Scope { Unit = "unit", Agency = "agency", Region = "region", Service = "service" }
}
words! {
    /// Why a rating waits.
    PendingReason { NoRecord = "no_record", NoUnit = "no_unit", NoService = "no_service" }
}
words! {
    /// Why the dataflow refuses a rating (contract § 1, "judged by the dataflow").
    RefusalCode {
        BadText = "bad_text", LateReply = "late_reply", Superseded = "superseded",
        Conflict = "conflict", NotListed = "not_listed", Cycle = "cycle", Closed = "closed",
    }
}
words! {
    /// What is refused: a rating message of a channel, a unit whose parents run in a circle, or
    /// what else came for a closed record.
    Subject {
        Sms = "sms", Survey = "survey", Kiosk = "kiosk", Epgu = "epgu", Site = "site",
        Unit = "unit", Record = "record",
    }
}
words! {
    /// The clocks of 7.9, 9.5 and 7.4. They are in the order of their words, so the rows of `deadlines`, the
    /// most there are, are in that of their keys.
    DeadlineKind { Call = "call", Review = "review", Sms = "sms" }
}
words! {
    /// Where a deadline stands.
    DeadlineState { Open = "open", Overdue = "overdue", Met = "met", Missed = "missed" }
}
words! {
    /// What a name in the directory is of.
    Thing { Agency = "agency", Unit = "unit", Service = "service", Manager = "manager" }
}

impl From<Channel> for Subject {
    fn from(channel: Channel) -> Subject {
        match channel {
            Channel::Sms => Subject::Sms,
            Channel::Survey => Subject::Survey,
            Channel::Kiosk => Subject::Kiosk,
            Channel::Epgu => Subject::Epgu,
            Channel::Site => Subject::Site,
        }
    }
}

/// One column of a key; ordered by what it reads as: texts by their letters, numbers by size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The key has no such column.
    Absent,
    /// An id.
    Id(Id),
    /// A fixed word.
    Word(&'static str),
    /// A number, a day, a month or a quarter, in the order of its written form.
    Number(i64),
}

impl Part {
    fn text(self) -> &'static str {
        match self {
            Part::Id(id) => id.text(),
            Part::Word(word) => word,
            Part::Absent | Part::Number(_) => "",
        }
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Part) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Part {
    fn cmp(&self, other: &Part) -> std::cmp::Ordering {
        match (self, other) {
            (Part::Number(a), Part::Number(b)) => a.cmp(b),
            (Part::Id(a), Part::Id(b)) => a.by_text(*b),
            (a, b) => a.text().cmp(b.text()),
        }
    }
}

/// What identifies a row among all views; its order is the order in which rows are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The view.
    pub view: View,
    /// Its key columns, in the order of [`View::key`].
    pub parts: [Part; 3],
}

impl Key {
    /// A number that is the same for equal keys, and hardly ever for others; of this process.
    pub fn mark(&self) -> u64 {
        let mut mark = Mixing::default();
        mark.write_u8(self.view as u8);
        for part in self.parts {
            match part {
                Part::Absent => {}
                Part::Id(id) => mark.write_u32(id.number()),
                Part::Word(word) => mark.write(word.as_bytes()),
                Part::Number(number) => mark.write_u64(number.cast_unsigned()),
            }
        }
        mark.finish()
    }

    /// Its columns as numbers of the same order, among keys of a view: for whoever sorts some, since they
    /// compare where they are, and texts in the table of ids. None where a text has more than sixteen bytes.
    pub fn ordinals(&self) -> Option<[u128; 3]> {
        let mut ordinals = [0; 3];
        for (ordinal, part) in ordinals.iter_mut().zip(self.parts) {
            *ordinal = match part {
                Part::Absent => 0,
                Part::Id(id) => id.short()?,
                Part::Word(word) => short(word)?,
                Part::Number(number) => u128::from(number.cast_unsigned() ^ 1 << 63),
            };
        }
        Some(ordinals)
    }
}

/// Keys as numbers of the same order, which compare in a step where texts are looked up and walked:
/// for whoever sorts many.
pub struct Ranks(Vec<u32>);

impl Ranks {
    /// To sort more keys than this pays for ranking all ids first.
    pub const PAY: usize = 1 << 16;

    /// For the keys of all rows there are so far.
    pub fn of_all() -> Ranks {
        let words = [
            Scope::WORDS,
            PendingReason::WORDS,
            RefusalCode::WORDS,
            Subject::WORDS,
            DeadlineKind::WORDS,
            Thing::WORDS,
        ];
        words.into_iter().flatten().for_each(|word| _ = Id::of(word));
        Ranks(Id::ranks())
    }

    /// The order of a key: by view, then as its parts are ordered.
    ///
    /// # Panics
    /// The key is of an id that came after these ranks.
    pub fn of(&self, key: &Key) -> (View, [u64; 3]) {
        let id = |id: Id| u64::from(self.0[id.number() as usize]);
        let parts = key.parts.map(|part| match part {
            Part::Absent | Part::Word("") => 0,
            Part::Id(part) => id(part),
            Part::Word(word) => id(Id::of(word)),
            Part::Number(number) => number.cast_unsigned() ^ 1 << 63,
        });
        (key.view, parts)
    }
}

impl AsRef<Row> for Row {
    fn as_ref(&self) -> &Row {
        self
    }
}

impl Row {
    /// The view it is of.
    pub fn view(&self) -> View {
        match self {
            Row::ManagerPeriod(_) => View::ManagerPeriods,
            Row::Agency(_) => View::Agencies,
            Row::AgencyQuarter { .. } => View::AgencyQuarters,
            Row::Territory { .. } => View::Territories,
            Row::Unit { .. } => View::Units,
            Row::Service { .. } => View::Services,
            Row::Mfc { .. } => View::Mfcs,
            Row::Month { .. } => View::Months,
            Row::Ranking { .. } => View::Rankings,
            Row::SurveySample { .. } => View::SurveySample,
            Row::SurveyList { .. } => View::SurveyLists,
            Row::Deadline { .. } => View::Deadlines,
            Row::Pending { .. } => View::Pending,
            Row::Refused { .. } => View::Refused,
            Row::Conservation(_) => View::Conservation,
            Row::Directory(_) => View::Directory,
        }
    }

    /// What identifies it.
    pub fn key(&self) -> Key {
        use Part::{Absent, Id as I, Number as N, Word as W};
        let id = |id: Option<Id>| id.map_or(W(""), I);
        let parts = match self {
            Row::ManagerPeriod(p) => [I(p.tenure), N(i64::from(p.period)), Absent],
            Row::Agency(a) => [I(a.agency), Absent, Absent],
            Row::AgencyQuarter { agency, quarter, .. } => {
                [I(*agency), N(i64::from(quarter.0)), Absent]
            }
            Row::Territory { region, agency, .. } => [I(*region), id(*agency), Absent],
            Row::Unit { unit, .. } => [I(*unit), Absent, Absent],
            Row::Service { agency, service, .. } => [id(*agency), I(*service), Absent],
            Row::Mfc { unit, .. } => [I(*unit), Absent, Absent],
            Row::Month { scope, id, month, .. } => {
                [W(scope.as_str()), I(*id), N(i64::from(month.0))]
            }
            Row::Ranking { scope, month, id, .. } => {
                [W(scope.as_str()), N(i64::from(month.0)), I(*id)]
            }
            Row::SurveySample { unit, day, record, .. } => {
                [I(*unit), N(i64::from(day.0)), N(*record as i64)]
            }
            Row::SurveyList { unit, day, .. } => [I(*unit), N(i64::from(day.0)), Absent],
            Row::Deadline { kind, record, .. } => [W(kind.as_str()), N(*record as i64), Absent],
            Row::Pending { reason, .. } => [W(reason.as_str()), Absent, Absent],
            Row::Refused { code, channel, .. } => [W(code.as_str()), W(channel.as_str()), Absent],
            Row::Conservation(_) => [Absent, Absent, Absent],
            Row::Directory(d) => [W(d.of.as_str()), I(d.id), Absent],
        };
        Key { view: self.view(), parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_ordinals_are_in_the_order_of_keys() {
        let [z, a, long] = ["Z", "A", "AA"].map(Id::of);
        let month = |scope, id, month| {
            let spread = Box::default();
            Row::Month { scope, id, month: Month(month), spread }
        };
        let service = |agency, service| Row::Service { agency, service, spread: Box::default() };
        let rows = [
            month(Scope::Unit, z, 3),
            month(Scope::Unit, long, -3),
            month(Scope::Agency, long, 2),
            month(Scope::Unit, long, 2),
            service(Some(a), z),
            service(None, z),
            service(Some(a), long),
            Row::Pending { reason: PendingReason::NoUnit, count: 1 },
            Row::Pending { reason: PendingReason::NoRecord, count: 1 },
        ];
        let ranks = Ranks::of_all();
        for (one, other) in rows.iter().flat_map(|one| rows.iter().map(move |other| (one, other))) {
            let [one, other] = [one, other].map(Row::key);
            assert_eq!(ranks.of(&one).cmp(&ranks.of(&other)), one.cmp(&other), "{one:?} {other:?}");
            if one.view == other.view {
                assert_eq!(one.ordinals().cmp(&other.ordinals()), one.cmp(&other));
            }
        }
        let longer = Id::of("ABCDEFGHIJKLMNOPQ");
        assert!(rows.iter().all(|row| row.key().ordinals().is_some()));
        assert_eq!(month(Scope::Unit, longer, 1).key().ordinals(), None);
    }
}
