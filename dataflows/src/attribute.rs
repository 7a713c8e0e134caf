//! To whom a rating belongs: dates against tenures (order-120 § 3).

use serde::{Deserialize, Serialize};

use crate::calendar::Day;
use crate::domain::Tenure;
use crate::epochs::Rows;
use crate::id::{Id, Table, drain};
use crate::tally::{Tally, Value};
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};

/// An accounting period: which twelve months of a tenure.
pub type PeriodKey = (Id, i32);

/// What a period's value and its comparison are made of: the period's own ratings, and the unit's
/// of the twelve months before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeriodTally {
    /// The ratings that belong to the manager.
    pub own: Tally,
    previous: [i32; 2],
}

impl PeriodTally {
    /// The value of the unit over the twelve months before.
    pub fn previous(&self) -> Value {
        Value { k: i64::from(self.previous[0]), n: i64::from(self.previous[1]) }
    }
}

impl IsZero for PeriodTally {
    fn is_zero(&self) -> bool {
        *self == PeriodTally::default()
    }
}

impl Semigroup for PeriodTally {
    fn plus_equals(&mut self, rhs: &PeriodTally) {
        self.own.plus_equals(&rhs.own);
        self.previous[0] += rhs.previous[0];
        self.previous[1] += rhs.previous[1];
    }
}

impl Multiply<isize> for PeriodTally {
    type Output = PeriodTally;
    fn multiply(self, rhs: &isize) -> PeriodTally {
        let factor = i32::try_from(*rhs).expect("a few copies of a row");
        PeriodTally {
            own: self.own.multiply(rhs),
            previous: self.previous.map(|count| count * factor),
        }
    }
}

/// A stretch of days at a unit, and what the ratings in it are to a tenure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// First day.
    pub from: Day,
    /// First day after it.
    pub until: Day,
    /// The tenure.
    pub tenure: Id,
    /// Its first day, from which periods are counted.
    pub start: Day,
    /// Its own ratings, or those before a period of it.
    pub role: Role,
}

/// What the ratings of a span are to a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The manager's own.
    Own,
    /// Of the unit, in the twelve months before the period.
    Previous,
}

/// Which twelve months counted from `start` a day lies in; negative before it.
///
/// p. 17, D8: period n is [start + 12n months, start + 12(n+1) months).
pub fn period_of(start: Day, day: Day) -> i32 {
    day.years_since(start)
}

/// `(unit, span)`: who holds the post on which days, disjoint; and, for the comparison of § 5, the
/// days before each tenure's periods, whoever held the post then.
///
/// - rule: Order 120 p. 17; D7: of overlapping tenures the one with the later `from` holds, then
///   the one with the greater id
pub fn spans<'s>(tenures: Rows<'s, Tenure>) -> Rows<'s, (Id, Span)> {
    let in_office = tenures.filter(|tenure| tenure.from < tenure.until);
    let previous = in_office.clone().map(|tenure| (tenure.unit, before_periods(&tenure)));
    let own = in_office.map(|tenure| (tenure.unit, tenure)).reduce(|_, tenures, output| {
        let tenures: Vec<&Tenure> = tenures.iter().map(|(tenure, _)| *tenure).collect();
        output.extend(holders(&tenures).into_iter().map(|span| (span, 1)));
    });
    own.concat(previous)
}

/// D7: the days of a post, each given to the tenure that holds it.
fn holders(tenures: &[&Tenure]) -> Vec<Span> {
    let mut edges: Vec<Day> = tenures.iter().flat_map(|t| [t.from, t.until]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut held: Vec<Span> = Vec::new();
    for stretch in edges.windows(2) {
        let (from, until) = (stretch[0], stretch[1]);
        let covering = tenures.iter().filter(|t| t.from <= from && until <= t.until);
        let Some(holder) = covering.max_by_key(|t| (t.from, t.id.text())) else { continue };
        match held.last_mut() {
            Some(last) if last.tenure == holder.id && last.until == from => last.until = until,
            _ => held.push(Span {
                from,
                until,
                tenure: holder.id,
                start: holder.from,
                role: Role::Own,
            }),
        }
    }
    held
}

/// The days that lie in the twelve months before some period of the tenure.
fn before_periods(tenure: &Tenure) -> Span {
    let last_day = Day(tenure.until.0.saturating_sub(1));
    let until = if tenure.until == Day::NEVER {
        Day::NEVER
    } else {
        tenure.from.plus_months(12 * period_of(tenure.from, last_day))
    };
    Span {
        from: tenure.from.plus_months(-12),
        until,
        tenure: tenure.id,
        start: tenure.from,
        role: Role::Previous,
    }
}

/// Who holds which post when: the spans of [`spans`], by unit.
#[derive(Debug, Default)]
pub struct Posts(Table<Id, Vec<Span>>);

/// What changes in periods, summed.
#[derive(Debug, Default)]
pub struct PeriodSums {
    sums: Table<PeriodKey, PeriodTally>,
    /// Those looked for last, by the last bits of their start: most places of a unit have the same, and the
    /// calendar is slow beside what is to be added.
    known: [Twelve; 16],
}

/// Twelve months counted from a start: that period of it, from `begins` until `ends`.
#[derive(Clone, Copy, Debug)]
struct Twelve {
    start: Day,
    period: i32,
    begins: Day,
    ends: Day,
}

impl Default for Twelve {
    /// No day lies in it.
    fn default() -> Twelve {
        Twelve { start: Day::NEVER, period: 0, begins: Day::NEVER, ends: Day::NEVER }
    }
}

impl PeriodSums {
    /// Gives away all sums.
    pub fn drain(&mut self) -> impl Iterator<Item = (PeriodKey, PeriodTally)> {
        drain(&mut self.sums)
    }

    fn twelve(&mut self, start: Day, day: Day) -> Twelve {
        let known = &mut self.known[start.0 as usize % 16];
        if known.start != start || day < known.begins || known.ends <= day {
            let period = period_of(start, day);
            let [begins, ends] = [period, period + 1].map(|n| start.plus_months(12 * n));
            *known = Twelve { start, period, begins, ends };
        }
        *known
    }
}

impl Posts {
    /// A span came or went.
    pub fn change(&mut self, unit: Id, span: Span, diff: isize) {
        let spans = self.0.entry(unit).or_default();
        if diff > 0 {
            spans.push(span);
        } else if let Some(place) = spans.iter().position(|held| *held == span) {
            spans.swap_remove(place);
        }
    }

    /// The spans at a unit.
    pub fn at(&self, unit: Id) -> &[Span] {
        self.0.get(&unit).map_or(&[], Vec::as_slice)
    }
}

impl Span {
    /// Whether the day lies in it.
    pub fn covers(&self, day: Day) -> bool {
        self.from <= day && day < self.until
    }

    /// Adds the ratings of the days it covers to the periods they belong to; `days` are in their order.
    ///
    /// - rule: Order 120 p. 12, 15, 17; § 5 `previous`
    pub fn attribute(&self, days: &[(Day, Tally)], sums: &mut PeriodSums) {
        let first = days.partition_point(|(day, _)| *day < self.from);
        let end = days.partition_point(|(day, _)| *day < self.until);
        let mut rest = days.get(first..end).unwrap_or_default();
        while let Some((day, _)) = rest.first() {
            let Twelve { period, ends, .. } = sums.twelve(self.start, *day);
            // Of many days one period has most: it is looked up once.
            let next = match rest {
                [_] => 1,
                _ => rest.partition_point(|(day, _)| *day < ends),
            };
            let of_period = rest[..next].iter().map(|(_, tally)| tally);
            match self.role {
                Role::Own => {
                    let sum = sums.sums.entry((self.tenure, period)).or_default();
                    of_period.for_each(|tally| sum.own.plus_equals(tally));
                }
                Role::Previous => {
                    let sum = sums.sums.entry((self.tenure, period + 1)).or_default();
                    for value in of_period.map(Tally::value) {
                        let count = |n: i64| i32::try_from(n).expect("a day's ratings fit");
                        sum.previous[0] += count(value.k);
                        sum.previous[1] += count(value.n);
                    }
                }
            }
            rest = &rest[next..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Channel, Score};
    use crate::tally::{Aspect, Detail};

    fn day(year: i32, month: u32, day: u32) -> Day {
        Day::new(year, month, day).expect("a date")
    }

    fn tenure(id: &str, from: Day, until: Day) -> Tenure {
        let id = Id::of(id);
        Tenure { id, manager: id, unit: Id::of("U"), from, until, name: None }
    }

    /// p. 17, D8.
    #[test]
    fn periods_are_counted_from_the_appointment() {
        let start = day(2016, 2, 29);
        let cases = [
            (day(2016, 2, 28), -1),
            (day(2016, 2, 29), 0),
            (day(2017, 2, 27), 0),
            (day(2017, 2, 28), 1),
            (day(2020, 2, 28), 3),
            (day(2020, 2, 29), 4),
        ];
        for (day, period) in cases {
            assert_eq!(period_of(start, day), period, "{day}");
        }
    }

    /// Wherever a tenure begins, its periods end where the next begins.
    #[test]
    fn many_days_are_attributed_as_each_by_itself() {
        for start in [day(2016, 2, 29), day(2017, 3, 1), day(2015, 12, 31)] {
            let span = Span {
                from: start,
                until: day(2021, 3, 2),
                tenure: Id::of("T"),
                start,
                role: Role::Own,
            };
            let mut detail = Detail::default();
            detail.rate(Channel::Sms, Aspect::Integral, Score::new(5).expect("a score"));
            let tally = detail.tally(false);
            let days: Vec<(Day, Tally)> =
                (start.0 - 40..start.0 + 2300).map(|day| (Day(day), tally)).collect();
            for role in [Role::Own, Role::Previous] {
                let span = Span { role, ..span };
                let (mut all, mut each) = (PeriodSums::default(), PeriodSums::default());
                span.attribute(&days, &mut all);
                days.iter().for_each(|day| span.attribute(&[*day], &mut each));
                assert!(all.sums.len() >= 5 && all.sums == each.sums, "{start} {role:?}");
                // Whatever was looked for before: other starts have the same place.
                for (day, _) in days.iter().rev().step_by(7).filter(|(day, _)| *day >= start) {
                    for start in [start, Day(start.0 - 16), Day(start.0 - 1600)] {
                        let Twelve { period, begins, ends, .. } = all.twelve(start, *day);
                        assert_eq!(period, period_of(start, *day));
                        assert!(begins <= *day && *day < ends, "{start} {day}");
                    }
                }
            }
        }
    }

    /// D7: the later `from` holds, then the greater id.
    #[test]
    fn overlapping_tenures_are_resolved() {
        let [a, b, c] = [day(2017, 1, 1), day(2017, 6, 1), day(2018, 1, 1)];
        let (old, new) = (tenure("T1", a, c), tenure("T2", b, Day::NEVER));
        let held = |tenures: &[&Tenure]| -> Vec<_> {
            holders(tenures).iter().map(|s| (s.tenure.text(), s.from, s.until)).collect()
        };
        assert_eq!(held(&[&old, &new]), [("T1", a, b), ("T2", b, Day::NEVER)]);
        let same = tenure("T0", a, c);
        assert_eq!(held(&[&same, &old]), [("T1", a, c)]);
        let inner = tenure("T3", b, day(2017, 7, 1));
        assert_eq!(held(&[&old, &inner]).len(), 3);
    }
}
