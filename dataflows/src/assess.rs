//! The values of managers and agencies, and whether targets were met (order-120 §§ 4, 5).

use std::collections::hash_map::Entry;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use differential_dataflow::{AsCollection, Hashable};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;

use crate::attribute::{PeriodKey, PeriodTally, Role, Span, period_of};
use crate::calendar::{Day, Quarter};
use crate::domain::{Epoch, Target, Tenure, UnitKind};
use crate::epochs::{Keeper, Output, Rows, exchange, in_parts, renew, sums};
use crate::id::{Id, Table, drain};
use crate::reference::{Location, left_join};
use crate::tally::{Mean, Value};
use crate::views::{ManagerPeriod, Row, Status};

/// A tenure with all that its periods' rows say besides counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Office {
    tenure: Tenure,
    location: Location,
    /// Targets of the unit, by the start of the period they are for.
    targets: Vec<(Day, i64)>,
    phase: Phase,
}

/// Where a tenure stands today. It says no more of the day than rows depend on, so that a new day
/// is no news to most tenures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Phase {
    /// Whether the manager holds the post (D7).
    serving: bool,
    /// Whether the manager has left office.
    over: bool,
    /// p. 17: how many periods are complete, their twelve months having passed in office.
    complete: i32,
    /// The period that today lies in; negative before the first.
    current: i32,
}

impl Phase {
    fn of(tenure: &Tenure, serving: bool, today: Day) -> Phase {
        let current = period_of(tenure.from, today);
        let passed = tenure.until.min(today);
        let complete = if passed < tenure.from { 0 } else { period_of(tenure.from, passed) };
        Phase { serving, over: tenure.until <= today, complete, current }
    }
}

/// `(tenure, office)` of the tenures at known units.
pub fn offices<'s>(
    tenures: Rows<'s, Tenure>,
    locations: Rows<'s, (Id, Location)>,
    targets: Rows<'s, Target>,
    spans: Rows<'s, (Id, Span)>,
    today: Rows<'s, Day>,
) -> Rows<'s, (Id, Office)> {
    let targets = targets.map(|target| (target.unit, (target.from, target.micropercent))).reduce(
        |_, targets, output| {
            output.push((targets.iter().map(|(target, _)| **target).collect::<Vec<_>>(), 1));
        },
    );
    let serving = spans
        .filter(|(_, span)| span.role == Role::Own)
        .map(|(_, span)| ((), (span.tenure, span.from, span.until)))
        .join_map(today.clone().map(|day| ((), day)), |(), (tenure, from, until), today| {
            (*tenure, *from <= *today && *today < *until)
        })
        .filter(|(_, serving)| *serving);
    let placed = tenures
        .filter(|tenure| tenure.from < tenure.until)
        .map(|tenure| (tenure.unit, tenure))
        .join_map(locations, |unit, tenure, location| (*unit, (tenure.clone(), *location)));
    let targeted = left_join(placed, targets).map(|(_, (tenure, location), targets)| {
        (tenure.id, (tenure, location, targets.unwrap_or_default()))
    });
    left_join(targeted, serving)
        .map(|(_, office, serving)| ((), (office, serving.is_some())))
        .join_map(today.map(|day| ((), day)), |(), (office, serving), today| {
            let (tenure, location, targets) = office.clone();
            let phase = Phase::of(&tenure, *serving, *today);
            (tenure.id, Office { tenure, location, targets, phase })
        })
}

impl Office {
    /// The twelve months of a period, before they are cut: [start, end). D8.
    fn months(&self, period: i32) -> (Day, Day) {
        let from = self.tenure.from;
        (from.plus_months(12 * period), from.plus_months(12 * (period + 1)))
    }

    /// The row of a period; `None` where it has neither ratings nor twelve months passed.
    fn row(&self, period: i32, tally: &PeriodTally) -> Option<ManagerPeriod> {
        let (from, end) = self.months(period);
        let value = tally.own.value();
        let cut = self.tenure.until < end;
        let complete = period < self.phase.complete;
        let number = u32::try_from(period).ok()?;
        if value.n == 0 && !complete {
            return None;
        }
        let previous = Some(tally.previous()).filter(|previous| previous.n > 0);
        let target = self.targets.iter().find(|(start, _)| *start == from).map(|(_, t)| *t);
        let status = if complete {
            status(value, previous, target)
        } else if cut && self.phase.over {
            Status::CutShort
        } else {
            Status::InProgress
        };
        Some(ManagerPeriod {
            tenure: self.tenure.id,
            period: number,
            manager: self.tenure.manager,
            unit: self.tenure.unit,
            agency: self.location.agency,
            region: self.location.subject,
            from,
            until: end.min(self.tenure.until),
            complete,
            own: tally.own.shares,
            previous,
            target,
            status,
        })
    }

    /// p. 14: an МФЦ is of no agency, and its head in no agency's mean.
    fn agency(&self) -> Option<Id> {
        self.location.agency.filter(|_| self.location.kind != UnitKind::Mfc)
    }
}

/// Order 120 p. 6.1 "в", footnotes 5 and 12, for a complete period; comparisons are exact.
fn status(value: Value, previous: Option<Value>, target: Option<i64>) -> Status {
    const NINETY: i64 = 90_000_000;
    const SEVENTY_FIVE: i64 = 75_000_000;
    let judged = |met: bool, otherwise: Status| if met { Status::Met } else { otherwise };
    match (target, previous) {
        _ if value.n == 0 => Status::NoValue,
        (Some(target), _) => judged(value.reaches(target), Status::NotMet),
        (None, None) => judged(value.reaches(SEVENTY_FIVE), Status::BelowFirst),
        (None, Some(previous)) => {
            judged(value.reaches(NINETY) || value.exceeds_by_five_points(previous), Status::NotMet)
        }
    }
}

/// What periods come to.
pub struct Assessed<'s> {
    /// The rows of `manager_periods` (p. 12, 13, 17; § 5).
    pub rows: Rows<'s, Row>,
    /// By agency the values that its running Rf is the mean of: of the period each serving head is in
    /// today (p. 14, D9).
    pub running: Rows<'s, Id, Mean>,
    /// By agency and quarter those of its formed Rf: of the periods that became complete in the quarter
    /// (p. 11 footnote 4, p. 14, D9).
    pub formed: Rows<'s, (Id, Quarter), Mean>,
}

/// What the operator hears.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Heard {
    Ratings(PeriodKey, Box<PeriodTally>),
    Office(Box<Office>),
}

/// What the operator says.
#[derive(Clone, Debug, PartialEq)]
enum Found {
    Row(Box<ManagerPeriod>),
    Running(Id, i64),
    Formed(Id, Quarter, i64),
}

/// Assesses the periods of every tenure.
///
/// - in: what changes in the ratings of periods; the offices
/// - out: the rows and values of the periods that change
/// - state: by tenure its office, and a tally for each period that has ratings
pub fn periods<'s>(
    attributed: Rows<'s, (PeriodKey, Box<PeriodTally>)>,
    offices: Rows<'s, (Id, Office)>,
) -> Assessed<'s> {
    let ratings = attributed.map(|(period, tally)| Heard::Ratings(period, tally));
    let heard = ratings.concat(offices.map(|(_, office)| Heard::Office(Box::new(office))));
    let heard = exchange(heard, |heard| match heard {
        Heard::Ratings((tenure, _), _) => tenure.hashed(),
        Heard::Office(office) => office.tenure.id.hashed(),
    });
    let [rows, running, formed] =
        in_parts(heard, "Periods", Periods::default(), |found| match found {
            Found::Row(_) => 0,
            Found::Running(..) => 1,
            Found::Formed(..) => 2,
        });
    let rows = rows.inner.flat_map(|(found, epoch, diff)| match found {
        Found::Row(row) => Some((Row::ManagerPeriod(row), epoch, diff)),
        _ => None,
    });
    let running = running.inner.flat_map(|(found, epoch, diff)| match found {
        Found::Running(agency, value) => Some((agency, epoch, Mean::of(value).multiply(&diff))),
        _ => None,
    });
    let formed = formed.inner.flat_map(|(found, epoch, diff)| match found {
        Found::Formed(agency, quarter, value) => {
            Some(((agency, quarter), epoch, Mean::of(value).multiply(&diff)))
        }
        _ => None,
    });
    Assessed {
        rows: rows.as_collection(),
        running: running.as_collection(),
        formed: formed.as_collection(),
    }
}

#[derive(Default)]
struct Periods {
    tenures: Table<Id, OfTenure>,
    /// The tallies that changed in this epoch, as they were before it.
    before: Table<PeriodKey, PeriodTally>,
    /// Offices that came or went in it, some perhaps for nothing.
    offices: Vec<(Box<Office>, isize)>,
}

/// What is known of a tenure.
#[derive(Default)]
struct OfTenure {
    office: Option<Box<Office>>,
    /// By period, in their order.
    tallies: Vec<(i32, PeriodTally)>,
}

impl Keeper<Heard, isize, Found, isize> for Periods {
    fn take(&mut self, _: Epoch, heard: &mut Heard, diff: &isize, _: &mut Output<Found, isize>) {
        match heard {
            Heard::Ratings(period, tally) => {
                let sum = self.tenures.entry(period.0).or_default().tally_mut(period.1);
                self.before.entry(*period).or_insert(*sum);
                sum.plus_equals(&tally.multiply(diff));
            }
            Heard::Office(office) => self.offices.push((office.clone(), *diff)),
        }
    }

    fn close(&mut self, epoch: Epoch, output: &mut Output<Found, isize>) {
        let replaced = self.replace_offices();
        let mut shrunk: Vec<Id> = replaced.keys().copied().collect();
        for ((tenure, period), before) in drain(&mut self.before) {
            let known = self.tenures.get_mut(&tenure).expect("known since it changed");
            let after = known.tally(period);
            let office = known.office.as_deref();
            let office_before = replaced.get(&tenure).map_or(office, |before| before.as_deref());
            let gone = found(office_before, period, &before);
            renew(gone, found(office, period, &after), epoch, output);
            if after.is_zero() {
                known.tallies.retain(|(held, _)| *held != period);
                shrunk.push(tenure);
            }
        }
        for tenure in shrunk {
            if let Entry::Occupied(entry) = self.tenures.entry(tenure)
                && entry.get().office.is_none()
                && entry.get().tallies.is_empty()
            {
                entry.remove();
            }
        }
    }
}

impl Periods {
    /// Puts offices in the place of those before them, which it returns where they are others; all periods
    /// of their tenures may have other rows then.
    fn replace_offices(&mut self) -> Table<Id, Option<Box<Office>>> {
        let mut replaced: Table<Id, Option<Box<Office>>> = Table::default();
        let mut offices = std::mem::take(&mut self.offices);
        consolidate(&mut offices);
        offices.sort_by_key(|(_, diff)| *diff);
        for (office, diff) in offices {
            let id = office.tenure.id;
            let tenure = self.tenures.entry(id).or_default();
            let before = std::mem::replace(&mut tenure.office, (diff > 0).then_some(office));
            replaced.entry(id).or_insert(before);
        }
        for (id, before) in &replaced {
            let tenure = &self.tenures[id];
            let offices = [before, &tenure.office].into_iter().flatten();
            let complete = offices.map(|office| office.phase.complete).max().unwrap_or(0);
            let end = tenure.tallies.last().map_or(0, |(period, _)| period + 1).max(complete);
            for period in 0..end {
                self.before.entry((*id, period)).or_insert_with(|| tenure.tally(period));
            }
        }
        replaced
    }
}

impl OfTenure {
    fn tally(&self, period: i32) -> PeriodTally {
        let place = self.tallies.binary_search_by_key(&period, |(held, _)| *held);
        place.map_or_else(|_| PeriodTally::default(), |place| self.tallies[place].1)
    }

    fn tally_mut(&mut self, period: i32) -> &mut PeriodTally {
        let place = self.tallies.binary_search_by_key(&period, |(held, _)| *held);
        let place = place.unwrap_or_else(|place| {
            self.tallies.insert(place, (period, PeriodTally::default()));
            place
        });
        &mut self.tallies[place].1
    }
}

/// The row of a period, and what it is part of.
fn found(office: Option<&Office>, period: i32, tally: &PeriodTally) -> [Option<Found>; 3] {
    let found = office.and_then(|office| {
        let row = office.row(period, tally)?;
        let value = row.own.value().millionths();
        let current = office.phase.serving && period == office.phase.current;
        let running = office.agency().filter(|_| current).zip(value);
        let formed = row.agency.filter(|_| row.complete).zip(value);
        Some([
            running.map(|(agency, value)| Found::Running(agency, value)),
            formed.map(|(agency, value)| Found::Formed(agency, Quarter::of(row.until), value)),
            Some(Found::Row(Box::new(row))),
        ])
    });
    found.unwrap_or([const { None }; 3])
}

/// The rows of `agency_quarters`.
pub fn agency_quarters<'s>(formed: Rows<'s, (Id, Quarter), Mean>) -> Rows<'s, Row> {
    sums(formed, "Agency quarters", |&(agency, quarter), mean| {
        let managers = mean.managers();
        [mean.millionths().map(|mean| Row::AgencyQuarter { agency, quarter, mean, managers })]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// § 5, boundary values first.
    #[test]
    fn a_target_is_met_or_not() {
        let value = |k, n| Value { k, n };
        let previous = Some(value(80, 100));
        let cases = [
            (value(0, 0), None, None, Status::NoValue),
            (value(75, 100), None, None, Status::Met),
            (value(74, 100), None, None, Status::BelowFirst),
            (value(90, 100), previous, None, Status::Met),
            (value(85, 100), previous, None, Status::NotMet),
            (value(86, 100), previous, None, Status::Met),
            (value(85, 100), previous, Some(85_000_000), Status::Met),
            (value(95, 100), previous, Some(95_000_001), Status::NotMet),
            (value(60, 100), None, Some(60_000_000), Status::Met),
        ];
        for (value, previous, target, expected) in cases {
            assert_eq!(
                status(value, previous, target),
                expected,
                "{value:?} {previous:?} {target:?}"
            );
        }
    }
}
