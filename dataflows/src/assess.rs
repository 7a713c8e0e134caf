//! The values of managers and agencies, and whether targets were met (order-120 §§ 4, 5).

use differential_dataflow::operators::CountTotal;
use serde::{Deserialize, Serialize};

use crate::attribute::{PeriodKey, PeriodTally, Role, Span, period_of};
use crate::calendar::{Day, Quarter};
use crate::domain::{Target, Tenure, UnitKind};
use crate::epochs::Rows;
use crate::id::Id;
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

    /// p. 17: the periods whose twelve months have passed in office.
    pub fn complete_periods(&self) -> impl Iterator<Item = PeriodKey> + use<> {
        let tenure = self.tenure.id;
        (0..self.phase.complete).map(move |period| (tenure, period))
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
            value,
            criteria: tally.own.criteria(),
            channels: tally.own.channels(),
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

/// A row of `manager_periods`, and whether its manager's running value is this one.
type Assessed = (Box<ManagerPeriod>, bool);

/// The rows of `manager_periods` (p. 12, 13, 17; § 5).
pub fn manager_periods<'s>(
    attributed: Rows<'s, PeriodKey, PeriodTally>,
    offices: Rows<'s, (Id, Office)>,
) -> Rows<'s, Assessed> {
    let due = offices.clone().flat_map(|(_, office)| office.complete_periods());
    let due = due.explode(|period| [(period, PeriodTally::due())]);
    attributed
        .concat(due)
        .count_total()
        .map(|((tenure, period), tally)| (tenure, (period, tally)))
        .join_map(offices, |_, (period, tally), office| {
            let row = office.row(*period, tally)?;
            let running = office.phase.serving && *period == office.phase.current;
            Some((Box::new(row), running && office.agency().is_some()))
        })
        .flat_map(|row| row)
}

/// `(agency, running Rf)`: over the period each serving head is in today (p. 14, D9).
pub fn running_means<'s>(periods: Rows<'s, Assessed>) -> Rows<'s, (Id, Mean)> {
    periods
        .filter(|(_, running)| *running)
        .explode(|(row, _)| {
            row.agency.zip(row.value.millionths()).map(|(agency, r)| (agency, Mean::of(r)))
        })
        .count_total()
}

/// The rows of `agency_quarters`: formed Rf, over the periods that became complete in the quarter
/// (p. 11 footnote 4, p. 14, D9).
pub fn agency_quarters<'s>(periods: Rows<'s, Assessed>) -> Rows<'s, Row> {
    periods
        .filter(|(row, _)| row.complete)
        .explode(|(row, _)| {
            let r = row.agency.zip(row.value.millionths());
            r.map(|(agency, r)| ((agency, Quarter::of(row.until)), Mean::of(r)))
        })
        .count_total()
        .flat_map(|((agency, quarter), mean)| {
            let managers = mean.managers();
            mean.millionths().map(|mean| Row::AgencyQuarter { agency, quarter, mean, managers })
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
