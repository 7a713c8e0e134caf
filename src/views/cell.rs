//! Rows taken apart into columns, in the order of the contract: where writing a row and filtering
//! by a column both start from, so that they cannot disagree.
//!
//! No number passes through a float: a decimal is an integer and the place of its point.

use std::hash::{DefaultHasher, Hash, Hasher};

use dataflows::calendar::{Day, Moment, Month, Quarter};
use dataflows::domain::UnitKind;
use dataflows::id::Id;
use dataflows::tally::{Shares, Spread, Value};
use dataflows::views::{AgencyRow, Conservation, DirectoryRow, ManagerPeriod, Row};

/// One column of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// There is none: `null`.
    Null,
    /// An id, a name or a fixed word.
    Text(&'a str),
    /// A count, a number, a record id.
    Integer(i64),
    /// `units` of the last of so many decimals, all of them written: 9000 with 2 is `90.00`.
    Decimal(i64, u32),
    /// The same without the zeros at the end: `90`.
    Shortest(i64, u32),
    /// `true` or `false`.
    Flag(bool),
    /// `"2018-03-01"`.
    Day(Day),
    /// `"2018-03"`.
    Month(Month),
    /// `"2018Q2"`.
    Quarter(Quarter),
    /// RFC 3339 in the offset it came in.
    Time(Moment),
    /// `{"k":…,"n":…,"percent":…}`.
    Value(Value),
    /// `[{"criterion":…,"k":…,"n":…}]`; the 9th is the integral rating.
    Criteria(&'a Shares),
    /// `[{"channel":…,"k":…,"n":…}]`.
    Channels(&'a Shares),
    /// `[n1,n2,n3,n4,n5]`.
    Scores([i32; 5]),
}

impl Cell<'_> {
    /// What it is compared by where that is a number.
    pub fn number(self) -> Option<i64> {
        match self {
            Cell::Integer(number) | Cell::Decimal(number, _) | Cell::Shortest(number, _) => {
                Some(number)
            }
            Cell::Flag(flag) => Some(i64::from(flag)),
            Cell::Day(day) => Some(i64::from(day.0)),
            Cell::Month(Month(number)) | Cell::Quarter(Quarter(number)) => Some(i64::from(number)),
            Cell::Time(moment) => Some(moment.micros()),
            Cell::Null
            | Cell::Text(_)
            | Cell::Value(_)
            | Cell::Criteria(_)
            | Cell::Channels(_)
            | Cell::Scores(_) => None,
        }
    }

    /// The same for all cells that are the same to a filter, for which null is an empty text.
    pub fn mark(self) -> u64 {
        let mut hasher = DefaultHasher::new();
        match self {
            Cell::Text(text) if !text.is_empty() => text.hash(&mut hasher),
            cell => cell.number().hash(&mut hasher),
        }
        hasher.finish()
    }
}

/// The cell at a place among a row's columns, the key's first.
pub fn cell_at(row: &Row, place: usize) -> Cell<'_> {
    let (mut at, mut found) = (0, Cell::Null);
    cells(row, &mut |cell| {
        if at == place {
            found = cell;
        }
        at += 1;
    });
    found
}

/// Takes a row apart: `emit` is called once a column, in the order of [`View::key`] and then
/// [`View::columns`].
///
/// [`View::key`]: dataflows::views::View::key
/// [`View::columns`]: dataflows::views::View::columns
pub fn cells<'a>(row: &'a Row, emit: &mut impl FnMut(Cell<'a>)) {
    use Cell::{Integer, Text};
    let mut each = |cells: &[Cell<'a>]| cells.iter().for_each(|cell| emit(*cell));
    match row {
        Row::ManagerPeriod(period) => each(&manager_period(period)),
        Row::Agency(row) => each(&agency(row)),
        Row::AgencyQuarter { agency, quarter, mean, managers } => {
            each(&[Text(agency.text()), Cell::Quarter(*quarter)]);
            each(&[Cell::Decimal(*mean, 6), Integer(*managers)]);
        }
        Row::Territory { region, agency, spread } => {
            each(&[Text(region.text()), Text(agency.map_or("", Id::text))]);
            each(&rated(spread.value()));
            each(&[spread.facts, spread.records].map(|[count]| Integer(i64::from(count))));
            each(&[average(spread), Cell::Scores(spread.scores)]);
        }
        Row::Unit { unit, own, pooled } => {
            each(&[Text(unit.text())]);
            each(&rated(own.value()));
            each(&rated(*pooled));
            each(&[average(own)]);
        }
        Row::Service { agency, service, spread } => {
            each(&[optional(*agency), Text(service.text())]);
            each(&rated(spread.value()));
            each(&[average(spread)]);
        }
        Row::Mfc { unit, value } => {
            each(&[Text(unit.text())]);
            each(&rated(*value));
        }
        Row::Month { scope, id, month, spread } => {
            each(&[Text(scope.as_str()), Text(id.text()), Cell::Month(*month)]);
            each(&rated(spread.value()));
            each(&[average(spread)]);
        }
        Row::Ranking { scope, month, id, rank, value } => {
            each(&[Text(scope.as_str()), Cell::Month(*month), Text(id.text())]);
            each(&[Integer(i64::from(*rank)), percent(*value), Integer(value.n)]);
        }
        Row::SurveySample { unit, day, record, order } => {
            each(&[Text(unit.text()), Cell::Day(*day), record_id(*record)]);
            each(&[Integer(i64::from(*order))]);
        }
        Row::SurveyList { unit, day, replies, wanted, drawn } => {
            each(&[Text(unit.text()), Cell::Day(*day)]);
            each(&[replies, wanted, drawn].map(|count| Integer(i64::from(*count))));
        }
        Row::Deadline { kind, record, due, state, unit } => {
            each(&[Text(kind.as_str()), record_id(*record)]);
            each(&[Cell::Time(*due), Text(state.as_str()), optional(*unit)]);
        }
        Row::Pending { reason, count } => each(&[Text(reason.as_str()), Integer(*count)]),
        Row::Refused { code, channel, count } => {
            each(&[Text(code.as_str()), Text(channel.as_str()), Integer(*count)]);
        }
        Row::Conservation(counts) => each(&conservation(counts)),
        Row::Directory(row) => each(&directory(row)),
    }
}

fn manager_period(p: &ManagerPeriod) -> [Cell<'_>; 17] {
    let [k, n, percent] = rated(p.own.value());
    [
        Cell::Text(p.tenure.text()),
        Cell::Integer(i64::from(p.period)),
        Cell::Text(p.manager.text()),
        Cell::Text(p.unit.text()),
        optional(p.agency),
        Cell::Text(p.region.text()),
        Cell::Day(p.from),
        Cell::Day(p.until),
        Cell::Flag(p.complete),
        k,
        n,
        percent,
        Cell::Criteria(&p.own),
        Cell::Channels(&p.own),
        p.previous.map_or(Cell::Null, Cell::Value),
        p.target.map_or(Cell::Null, |target| Cell::Shortest(target, 6)),
        Cell::Text(p.status.as_str()),
    ]
}

fn agency(a: &AgencyRow) -> [Cell<'_>; 6] {
    let [k, n, percent] = rated(a.value);
    let mean = a.mean.map_or(Cell::Null, |mean| Cell::Decimal(mean, 6));
    [Cell::Text(a.agency.text()), k, n, percent, mean, Cell::Integer(a.managers)]
}

fn conservation(c: &Conservation) -> [Cell<'_>; 7] {
    [c.accepted, c.counted, c.apart, c.pending, c.refused, c.duplicate, c.retracted]
        .map(Cell::Integer)
}

fn directory(d: &DirectoryRow) -> [Cell<'_>; 8] {
    [
        Cell::Text(d.of.as_str()),
        Cell::Text(d.id.text()),
        Cell::Text(d.name.text()),
        d.kind.map_or(Cell::Null, |kind| Cell::Text(unit_kind(kind))),
        optional(d.agency),
        optional(d.parent),
        optional(d.region),
        d.listed.map_or(Cell::Null, Cell::Flag),
    ]
}

/// `k`, `n`, `percent`.
fn rated(value: Value) -> [Cell<'static>; 3] {
    [Cell::Integer(value.k), Cell::Integer(value.n), percent(value)]
}

/// Two decimals, half up.
pub(super) fn percent(value: Value) -> Cell<'static> {
    value.hundredths().map_or(Cell::Null, |hundredths| Cell::Decimal(hundredths, 2))
}

fn average(spread: &Spread) -> Cell<'static> {
    spread.average().map_or(Cell::Null, |hundredths| Cell::Decimal(hundredths, 2))
}

fn optional(id: Option<Id>) -> Cell<'static> {
    id.map_or(Cell::Null, |id| Cell::Text(id.text()))
}

fn record_id(record: u64) -> Cell<'static> {
    Cell::Integer(i64::try_from(record).expect("the door takes record ids of 63 bits"))
}

fn unit_kind(kind: UnitKind) -> &'static str {
    match kind {
        UnitKind::Territorial => "territorial",
        UnitKind::Subdivision => "subdivision",
        UnitKind::Mfc => "mfc",
    }
}
