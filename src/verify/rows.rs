//! The sums as rows of the contract's views (contract § 4): values, rounding, status, means
//! (order-120 § 4, 5; p. 12–15; D9).

use std::collections::{BTreeMap, HashMap};

use dataflows::domain::{Channel, UnitKind};
use dataflows::id::Id;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::reference::{Offices, Reference, Tenure};
use super::sums::{Period, Scope, Sums, Tally};
use super::time;

/// What the rows are made of.
pub struct Figures<'a> {
    pub reference: &'a Reference,
    pub offices: &'a Offices<'a>,
    pub sums: &'a Sums,
    /// The as-of date; without one nothing is complete.
    pub today: Option<Date>,
}

/// Millionths of a per cent of the heads that have a value: the running ones by agency, the formed
/// ones by agency and quarter.
#[derive(Default)]
struct Means {
    running: HashMap<Id, Vec<u64>>,
    formed: HashMap<(Id, String), Vec<u64>>,
}

impl Figures<'_> {
    /// Gives every row of every view but those of the survey sample and the time limits.
    pub fn give(&self, sink: &mut impl FnMut(&'static str, Value)) {
        let means = self.manager_periods(sink);
        self.agencies(&means, sink);
        self.territories(sink);
        self.units(sink);
        self.months(sink);
        self.verdicts(sink);
    }

    /// Rows of `manager_periods`: those with ratings, and the complete ones.
    fn manager_periods(&self, sink: &mut impl FnMut(&'static str, Value)) -> Means {
        let mut means = Means::default();
        for tenure in self.reference.tenures.values() {
            let Some(unit) = self.reference.units.get(&tenure.unit) else {
                continue;
            };
            let agency = self.reference.agency(tenure.unit);
            let rated = self.sums.periods.get(&tenure.id);
            let last_rated = rated.and_then(|periods| periods.keys().last().copied());
            for n in 0.. {
                let span = Span::of(tenure, n, self.today);
                let is_over = tenure.until.is_some_and(|until| span.from >= until);
                if is_over || (last_rated.is_none_or(|last| n > last) && !span.is_past) {
                    break;
                }
                let period = rated.and_then(|p| p.get(&n)).cloned().unwrap_or_default();
                let sum = period.sum();
                if let (Some(agency), true) = (agency, sum.n() > 0) {
                    let value = micropercent(&sum);
                    if span.complete {
                        let key = (agency, time::quarter(span.full_until));
                        means.formed.entry(key).or_default().push(value);
                    }
                    if self.is_served_today(tenure, &span) {
                        means.running.entry(agency).or_default().push(value);
                    }
                }
                if sum.n() > 0 || span.complete {
                    let row = self.manager_period(tenure, n, &span, &period);
                    let place = json!({"agency": agency, "region": unit.region});
                    sink("manager_periods", merged(row, place));
                }
            }
        }
        means
    }

    fn manager_period(&self, tenure: &Tenure, n: i64, span: &Span, period: &Period) -> Value {
        let sum = period.sum();
        let before = time::period_start(tenure.from, n - 1);
        let previous = self.sums.pooled_between(tenure.unit, before, span.from);
        let target = self.reference.targets.get(&(tenure.unit, span.from)).copied();
        let (k, n_before) = previous;
        json!({
            "tenure": tenure.id,
            "period": n,
            "manager": tenure.manager,
            "unit": tenure.unit,
            "from": span.from.to_string(),
            "until": span.until.to_string(),
            "complete": span.complete,
            "k": sum.k(),
            "n": sum.n(),
            "percent": percent(sum.k(), sum.n()),
            "criteria": criteria(period),
            "channels": channels(period),
            "previous": (n_before > 0)
                .then(|| json!({"k": k, "n": n_before, "percent": percent(k, n_before)})),
            "target": target.map(|target| decimal(target.unsigned_abs(), 1_000_000)),
            "status": status(span, &sum, previous, target),
        })
    }

    /// p. 14: whether it is the period that a serving head is in; of overlapping tenures only the
    /// holder's serves (D7).
    fn is_served_today(&self, tenure: &Tenure, span: &Span) -> bool {
        self.today.is_some_and(|today| {
            let holder = self.offices.holder(tenure.unit, today);
            holder.is_some_and(|holder| holder.id == tenure.id)
                && span.from <= today
                && today < span.full_until
        })
    }

    fn agencies(&self, means: &Means, sink: &mut impl FnMut(&'static str, Value)) {
        for (agency, sum) in &self.sums.agencies {
            let running = means.running.get(agency).map_or(&[][..], Vec::as_slice);
            let row = json!({"agency": agency, "mean": mean(running), "managers": running.len()});
            sink("agencies", merged(row, share(sum)));
        }
        for ((agency, quarter), values) in &means.formed {
            let row = json!({
                "agency": agency,
                "quarter": quarter,
                "mean": mean(values),
                "managers": values.len(),
            });
            sink("agency_quarters", row);
        }
    }

    fn territories(&self, sink: &mut impl FnMut(&'static str, Value)) {
        for ((region, agency), territory) in &self.sums.territories {
            let row = json!({
                "region": region,
                "agency": agency.map_or("", Id::text),
                "facts": territory.facts,
                "records": territory.records,
                "average": average(&territory.tally),
                "scores": territory.tally.0,
            });
            sink("territories", merged(row, share(&territory.tally)));
        }
    }

    fn units(&self, sink: &mut impl FnMut(&'static str, Value)) {
        for (&id, unit) in &self.reference.units {
            let own = self.sums.own.get(&id).copied().unwrap_or_default();
            let pooled = self.sums.pooled.get(&id).copied().unwrap_or_default();
            let is_mfc = unit.kind == UnitKind::Mfc;
            if is_mfc && pooled.n() > 0 {
                sink("mfcs", merged(json!({"unit": id}), share(&pooled)));
            }
            if own.n() > 0 || (pooled.n() > 0 && !is_mfc) {
                let row = json!({
                    "unit": id,
                    "pooled_k": pooled.k(),
                    "pooled_n": pooled.n(),
                    "pooled_percent": percent(pooled.k(), pooled.n()),
                    "average": average(&own),
                });
                sink("units", merged(row, share(&own)));
            }
        }
        for ((agency, service), sum) in &self.sums.services {
            let row = json!({"agency": agency, "service": service, "average": average(sum)});
            sink("services", merged(row, share(sum)));
        }
    }

    fn months(&self, sink: &mut impl FnMut(&'static str, Value)) {
        let mut contests: BTreeMap<(Scope, Date), Vec<(Id, &Tally)>> = BTreeMap::new();
        for (&(scope, id, month), sum) in &self.sums.months {
            let row = json!({
                "scope": scope.name(),
                "id": id,
                "month": year_month(month),
                "average": average(sum),
            });
            sink("months", merged(row, share(sum)));
            contests.entry((scope, month)).or_default().push((id, sum));
        }
        for ((scope, month), mut contest) in contests {
            // Exact values, greatest first: a/b > c/d is ad > cb.
            let cross = |a: &Tally, b: &Tally| u128::from(a.k()) * u128::from(b.n());
            contest.sort_by(|(_, a), (_, b)| cross(b, a).cmp(&cross(a, b)));
            let mut rank = 1;
            for (place, &(id, sum)) in contest.iter().enumerate() {
                let before = contest[place.saturating_sub(1)].1;
                if cross(before, sum) != cross(sum, before) {
                    rank = place + 1;
                }
                let row = json!({
                    "scope": scope.name(),
                    "month": year_month(month),
                    "id": id,
                    "rank": rank,
                    "percent": percent(sum.k(), sum.n()),
                    "n": sum.n(),
                });
                sink("rankings", row);
            }
        }
    }

    fn verdicts(&self, sink: &mut impl FnMut(&'static str, Value)) {
        for (reason, count) in &self.sums.pending {
            sink("pending", json!({"reason": reason, "count": count}));
        }
        for ((code, channel), count) in &self.sums.refused {
            let channel = channel.of_message();
            sink("refused", json!({"code": code, "channel": channel, "count": count}));
        }
        if self.sums.late_others > 0 {
            let count = self.sums.late_others;
            sink("refused", json!({"code": "closed", "channel": "record", "count": count}));
        }
        if !self.offices.cyclic.is_empty() {
            let count = self.offices.cyclic.len();
            sink("refused", json!({"code": "cycle", "channel": "unit", "count": count}));
        }
        let total = self.sums.conservation;
        let row = json!({
            "accepted": total.accepted,
            "counted": total.counted,
            "apart": total.apart,
            "pending": total.pending,
            "refused": total.refused,
            "duplicate": total.duplicate,
            "retracted": total.retracted,
        });
        sink("conservation", row);
    }
}

impl Period {
    fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        for tally in &self.questions {
            sum.0.iter_mut().zip(tally.0).for_each(|(sum, count)| *sum += count);
        }
        sum
    }
}

/// Period n of a tenure (p. 17) and how much of it has passed.
struct Span {
    from: Date,
    /// Exclusive, as if nobody left.
    full_until: Date,
    /// Exclusive, cut at the end of the tenure.
    until: Date,
    /// Its 12 months have passed, in office or not.
    is_past: bool,
    /// Its 12 months have passed in office.
    complete: bool,
    /// The manager has left office before its end.
    left: bool,
}

impl Span {
    fn of(tenure: &Tenure, n: i64, today: Option<Date>) -> Span {
        let from = time::period_start(tenure.from, n);
        let full_until = time::period_start(tenure.from, n + 1);
        let cut = tenure.until.filter(|&until| until < full_until);
        let is_past = today.is_some_and(|today| full_until <= today);
        Span {
            from,
            full_until,
            until: cut.unwrap_or(full_until),
            is_past,
            complete: is_past && cut.is_none(),
            left: cut.is_some_and(|until| today.is_some_and(|today| until <= today)),
        }
    }
}

/// § 5: whether the target was met (6.1 «в», footnotes 5 and 12). A target of the period replaces
/// both other measures.
fn status(
    span: &Span,
    sum: &Tally,
    previous: (u64, u64),
    micropercent: Option<i64>,
) -> &'static str {
    let (k, n) = (i128::from(sum.k()), i128::from(sum.n()));
    let (previous_k, previous_n) = (i128::from(previous.0), i128::from(previous.1));
    let judged = |met: bool| if met { "met" } else { "not_met" };
    if span.left {
        "cut_short"
    } else if !span.complete {
        "in_progress"
    } else if n == 0 {
        "no_value"
    } else if let Some(target) = micropercent {
        judged(k * 100_000_000 >= i128::from(target) * n)
    } else if previous_n == 0 {
        if 4 * k < 3 * n { "below_first" } else { "met" }
    } else {
        let rise = k * previous_n - previous_k * n;
        judged(10 * k >= 9 * n || 20 * rise > n * previous_n)
    }
}

/// D9: the value in millionths of a per cent, ⌊10⁸·K/N + ½⌋.
fn micropercent(sum: &Tally) -> u64 {
    (200_000_000 * sum.k() + sum.n()) / (2 * sum.n())
}

/// p. 14, D9: the mean of heads' values, null without any.
fn mean(values: &[u64]) -> Value {
    let count = values.len() as u64;
    if count == 0 {
        return Value::Null;
    }
    decimal((2 * values.iter().sum::<u64>() + count) / (2 * count), 1_000_000)
}

/// Per cent, two decimals, half up; null without ratings.
fn percent(k: u64, n: u64) -> Value {
    if n == 0 { Value::Null } else { decimal((20_000 * k + n) / (2 * n), 100) }
}

/// The mean score, two decimals, half up; null without ratings.
fn average(sum: &Tally) -> Value {
    let n = sum.n();
    if n == 0 { Value::Null } else { decimal((200 * sum.sum() + n) / (2 * n), 100) }
}

/// A number of so many parts; the nearest there is to its decimal notation.
fn decimal(parts: u64, of: u32) -> Value {
    json!(parts as f64 / f64::from(of))
}

fn share(sum: &Tally) -> Value {
    json!({"k": sum.k(), "n": sum.n(), "percent": percent(sum.k(), sum.n())})
}

fn criteria(period: &Period) -> Vec<Value> {
    let names = (1..=8).map(|criterion| json!(criterion)).chain([json!("integral")]);
    let occurred = names.zip(&period.questions).filter(|(_, sum)| sum.n() > 0);
    occurred.map(|(name, sum)| json!({"criterion": name, "k": sum.k(), "n": sum.n()})).collect()
}

fn channels(period: &Period) -> Vec<Value> {
    let names = Channel::ALL.map(Channel::of_rating).into_iter();
    let occurred = names.zip(&period.channels).filter(|(_, sum)| sum.n() > 0);
    occurred.map(|(name, sum)| json!({"channel": name, "k": sum.k(), "n": sum.n()})).collect()
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Scope::Unit => "unit",
            Scope::Agency => "agency",
            Scope::Region => "region",
            Scope::Service => "service",
        }
    }
}

fn year_month(month: Date) -> String {
    format!("{:04}-{:02}", month.year(), month.month())
}

fn merged(mut row: Value, more: Value) -> Value {
    if let (Value::Object(row), Value::Object(more)) = (&mut row, more) {
        row.extend(more);
    }
    row
}
