//! Answers to questions about figures, as JSON: values over any span of dates, and how a row of
//! `manager_periods` or `agencies` comes about. The shapes are described in docs/explain.md.
//!
//! Pure: from an answer of the dataflow and the row of the same epoch to what a client gets.
//! Rounding happens here and is for showing; each list adds up exactly to the K and N above it.

use std::collections::BTreeMap;

use dataflows::ask::{Answer, Reason};
use dataflows::domain::Channel;
use dataflows::id::Id;
use dataflows::tally::{Mean, Replaced, Tally, Value};
use dataflows::views::{AgencyRow, ManagerPeriod, Row};
use differential_dataflow::difference::Semigroup;
use serde_json::{Map, Value as Json, json};

use crate::views::row_json::write_row;

/// Millionths of a per cent.
const HUNDRED: i128 = 100_000_000;
const NINETY: i64 = 90_000_000;
const SEVENTY_FIVE: i64 = 75_000_000;

/// An explanation that does not come to its row: a bug, of which the client is told rather than
/// given wrong sums.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the parts of the figure do not add up to it: {0}")]
pub struct NotTheRow(String);

/// `k`, `n`, `percent` and all breakdowns of an answer, as the fields of an object.
pub fn values(answer: &Answer) -> Map<String, Json> {
    let total = total(answer);
    let mut fields = share(total.value());
    let mut put = |name: &str, value: Json| drop(fields.insert(name.to_owned(), value));
    put("average", hundredths(total.spread().average()));
    put("criteria", list(total.shares.criteria().collect(), criterion));
    put("channels", list(total.shares.channels().collect(), channel));
    put("crossed", crossed(answer));
    put("units", by_id("unit", answer.units.iter().map(|(id, value)| (Some(*id), *value))));
    put("mfcs", by_id("mfc", answer.mfcs.iter().map(|(id, value)| (*id, *value))));
    let services = answer.services.iter().map(|(id, value)| (Some(*id), *value));
    put("services", by_id("service", services));
    let months = answer.months.iter().map(|(month, value)| (*month, *value)).collect();
    put("months", list(months, |month, fields| set(fields, "month", month.to_string())));
    put("replaced", replaced(&answer.replaced, total.value()));
    fields
}

/// How a row of `manager_periods` comes about; `answer` is of its tenure and period.
///
/// # Errors
/// [`NotTheRow`].
pub fn manager_period(
    row: &ManagerPeriod,
    answer: &Answer,
) -> Result<Map<String, Json>, NotTheRow> {
    let found = total(answer).shares;
    if found != row.own {
        return Err(NotTheRow(format!("{found:?} where the row has {:?}", row.own)));
    }
    let mut fields = Map::new();
    set(&mut fields, "row", json(&Row::ManagerPeriod(Box::new(row.clone()))));
    set(&mut fields, "rule", rule(answer));
    fields.append(&mut values(answer));
    fields.append(&mut beside(answer));
    let others = answer.others.iter().map(|(tenure, value)| (*tenure, *value));
    set(&mut fields, "others", by_id("tenure", others));
    set(&mut fields, "target", goal(row));
    set(
        &mut fields,
        "previous",
        row.previous.map_or(Json::Null, |previous| {
            let mut fields = share(previous);
            set(&mut fields, "from", row.from.plus_months(-12).to_string());
            set(&mut fields, "until", row.from.to_string());
            fields.into()
        }),
    );
    Ok(fields)
}

/// How a row of `agencies` comes about; `answer` is of the agency and all days.
///
/// # Errors
/// [`NotTheRow`].
pub fn agency(row: &AgencyRow, answer: &Answer) -> Result<Map<String, Json>, NotTheRow> {
    let mut mean = Mean::default();
    let values_of = answer.serving.values().filter_map(|value| value.millionths());
    values_of.for_each(|millionths| mean.plus_equals(&Mean::of(millionths)));
    let own = (row.value, row.mean, row.managers);
    let found = (total(answer).value(), mean.millionths(), mean.managers());
    if own != found {
        return Err(NotTheRow(format!("{found:?} where the row has {own:?}")));
    }
    let mut fields = Map::new();
    set(&mut fields, "row", json(&Row::Agency(Box::new(row.clone()))));
    set(&mut fields, "rule", rule(answer));
    fields.append(&mut values(answer));
    fields.append(&mut beside(answer));
    let mut serving: Vec<_> = answer.serving.iter().collect();
    serving.sort_by_key(|((unit, tenure, _), _)| (unit.text(), tenure.text()));
    let serving: Vec<Json> = serving
        .into_iter()
        .map(|((unit, tenure, period), value)| {
            let mut fields = share(*value);
            set(&mut fields, "unit", unit.text());
            set(&mut fields, "tenure", tenure.text());
            set(&mut fields, "period", *period);
            // D9: as it enters the mean.
            set(&mut fields, "value", decimal(value.millionths(), 1_000_000));
            fields.into()
        })
        .collect();
    set(
        &mut fields,
        "mean",
        json!({
            "paragraph": "14",
            "formula": "Rf = (R1 + R2 + … + RSn) / Sn",
            "mean": decimal(row.mean, 1_000_000),
            "managers": row.managers,
            "of": serving,
        }),
    );
    Ok(fields)
}

/// What a row of `manager_periods` or `agencies` was, and by how much it has changed since; both
/// where it is there.
pub fn since(then: Option<&Row>, now: Option<&Row>) -> Map<String, Json> {
    let (before, after) = (counts(then), counts(now));
    let mut fields = Map::new();
    set(&mut fields, "row", then.map_or(Json::Null, json));
    set(&mut fields, "k", after.value.k - before.value.k);
    set(&mut fields, "n", after.value.n - before.value.n);
    let criteria = differences(before.criteria, after.criteria);
    set(&mut fields, "criteria", changed(criteria, criterion));
    let channels = differences(before.channels, after.channels);
    set(&mut fields, "channels", changed(channels, channel));
    fields
}

#[derive(Default)]
struct RowCounts {
    value: Value,
    criteria: Vec<(u8, Value)>,
    channels: Vec<(Channel, Value)>,
}

fn counts(row: Option<&Row>) -> RowCounts {
    match row {
        Some(Row::ManagerPeriod(row)) => RowCounts {
            value: row.own.value(),
            criteria: row.own.criteria().collect(),
            channels: row.own.channels().collect(),
        },
        Some(Row::Agency(row)) => RowCounts { value: row.value, ..RowCounts::default() },
        _ => RowCounts::default(),
    }
}

fn differences<K: Ord>(before: Vec<(K, Value)>, after: Vec<(K, Value)>) -> Vec<(K, Value)> {
    let mut sums: BTreeMap<K, Value> = after.into_iter().collect();
    for (key, value) in before {
        let sum = sums.entry(key).or_default();
        (sum.k, sum.n) = (sum.k - value.k, sum.n - value.n);
    }
    sums.into_iter().filter(|(_, value)| *value != Value::default()).collect()
}

/// Differences have no per cent.
fn changed<K>(all: Vec<(K, Value)>, name: impl Fn(K, &mut Map<String, Json>)) -> Json {
    let named = all.into_iter().map(|(key, value)| {
        let mut fields = Map::new();
        name(key, &mut fields);
        set(&mut fields, "k", value.k);
        set(&mut fields, "n", value.n);
        Json::Object(fields)
    });
    named.collect()
}

/// All ratings of an answer.
fn total(answer: &Answer) -> Tally {
    let mut total = Tally::default();
    for (electronic, detail) in [false, true].into_iter().zip(&answer.ratings) {
        total.plus_equals(&detail.tally(electronic));
    }
    total
}

/// p. 12, or p. 13 where there are ratings of ЕПГУ: the formula, and each of its terms.
fn rule(answer: &Answer) -> Json {
    let [plain, electronic] = [false, true].map(|side| {
        let tally = answer.ratings[usize::from(side)].tally(side);
        tally.shares.criteria().collect::<BTreeMap<u8, Value>>()
    });
    let positive = |of: &BTreeMap<u8, Value>, number| of.get(&number).map_or(0, |value| value.k);
    let integral = plain.get(&9).copied().unwrap_or_default();
    let all: i64 = plain.values().map(|value| value.n).sum();
    let of_portal: i64 = electronic.values().map(|value| value.n).sum();
    let mut terms = Map::new();
    for number in 1..=5 {
        set(&mut terms, &format!("K{number}"), positive(&plain, number));
    }
    set(&mut terms, "K6", integral.k);
    set(&mut terms, "N1", all - integral.n);
    set(&mut terms, "N2", integral.n);
    let (paragraph, formula) = if of_portal == 0 {
        ("12", "R = (K1 + K2 + K3 + K4 + K5 + K6) / (N1 + N2) · 100")
    } else {
        for number in 1..=8 {
            set(&mut terms, &format!("E{number}"), positive(&electronic, number));
        }
        set(&mut terms, "E9", of_portal);
        ("13", "R = (K1 + … + K6 + E1 + … + E8) / (N1 + N2 + E9) · 100")
    };
    json!({"paragraph": paragraph, "formula": formula, "terms": terms})
}

/// What a period has to reach, and how many positive ratings are missing: the least x with which
/// K + x of N + x would. Exact, as the target is judged.
///
/// - rule: Order 120 p. 6.1 "в", footnotes 5 and 12; order-120 § 5
fn goal(row: &ManagerPeriod) -> Json {
    let Value { k, n } = row.own.value();
    let at_least = |micropercent: i64| reach(k, n, i128::from(micropercent), HUNDRED, false);
    let (rule, percent, missing) = match (row.target, row.previous) {
        (Some(target), _) => ("target", decimal(Some(target), 1_000_000), at_least(target)),
        (None, None) => ("first", json!(75), at_least(SEVENTY_FIVE)),
        (None, Some(previous)) => {
            let enough = at_least(NINETY);
            // More than 5 points above k/n is more than (20 k + n) of 20 n.
            let [before, of] = [previous.k, previous.n].map(i128::from);
            match reach(k, n, 20 * before + of, 20 * of, true) {
                Some(gain) if enough.is_none_or(|enough| gain < enough) => {
                    let percent = previous.hundredths().map(|hundredths| hundredths + 500);
                    ("gain", hundredths(percent), Some(gain))
                }
                _ => ("enough", json!(90), enough),
            }
        }
    };
    json!({"rule": rule, "percent": percent, "missing": missing})
}

/// The least x with (k + x) / (n + x) at least `part / whole`, or more where it must exceed it;
/// `None` where none is enough. A value without ratings reaches nothing.
fn reach(k: i64, n: i64, part: i128, whole: i128, exceed: bool) -> Option<i64> {
    let missing = part * i128::from(n) - whole * i128::from(k);
    let is_there = if exceed { missing < 0 } else { missing <= 0 };
    if is_there && n > 0 {
        return Some(0);
    }
    let gain = whole - part;
    if gain <= 0 {
        // With none but positive ratings it is 100 %.
        return (n == k && gain == 0 && !exceed).then_some(1);
    }
    let x = if exceed { missing.div_euclid(gain) + 1 } else { (missing + gain - 1) / gain };
    i64::try_from(x.max(1)).ok()
}

/// 7.10: what surveys replaced, and the value as it would be with the SMS values in their place.
/// The integral ratings stay as they are.
fn replaced(replaced: &Replaced, value: Value) -> Json {
    let [records, values, before, after] =
        [replaced.records, replaced.values, replaced.before, replaced.after]
            .map(|[count]| i64::from(count));
    let without = Value { k: value.k - after + before, n: value.n };
    json!({
        "records": records,
        "values": values,
        "positive_before": before,
        "positive_after": after,
        "without": share(without),
    })
}

/// What is not counted, and for which ratings there is no head.
fn beside(answer: &Answer) -> Map<String, Json> {
    let items = answer.beside.iter().filter(|(_, count)| **count != 0);
    let items = items.map(|((reason, channel), count)| {
        let (state, reason, unit) = match reason {
            Reason::Pending(reason) => ("pending", reason.as_str(), "ratings"),
            Reason::NotListed => ("refused", "not_listed", "ratings"),
            Reason::Lost(code) => ("refused", code.as_str(), "messages"),
        };
        json!({"state": state, "reason": reason, "channel": channel.of_message(), unit: count})
    });
    let mut fields = Map::new();
    set(&mut fields, "beside", items.collect::<Vec<Json>>());
    let vacant = answer.vacant.iter().map(|(unit, value)| (Some(*unit), *value));
    let mut sum = Value::default();
    for value in answer.vacant.values() {
        (sum.k, sum.n) = (sum.k + value.k, sum.n + value.n);
    }
    let mut vacancies = share(sum);
    set(&mut vacancies, "units", by_id("unit", vacant));
    set(&mut vacancies, "nobodys", share(answer.nobodys));
    set(&mut fields, "vacancies", vacancies);
    fields
}

fn crossed(answer: &Answer) -> Json {
    let sides = [false, true].into_iter().zip(&answer.ratings);
    let mut all: Vec<_> = sides.flat_map(|(side, detail)| detail.crossed(side)).collect();
    all.sort_by_key(|(number, channel, _)| (*number, *channel));
    let named = all.into_iter().map(|(number, of, value)| {
        let mut fields = share(value);
        criterion(number, &mut fields);
        channel(of, &mut fields);
        Json::Object(fields)
    });
    named.collect()
}

/// Sorted by the text of the id; none is null and comes first.
fn by_id(name: &str, all: impl Iterator<Item = (Option<Id>, Value)>) -> Json {
    let mut all: Vec<(Option<Id>, Value)> = all.collect();
    all.sort_by_key(|(id, _)| id.map(Id::text));
    list(all, |id, fields| set(fields, name, id.map(Id::text)))
}

fn list<K>(all: Vec<(K, Value)>, name: impl Fn(K, &mut Map<String, Json>)) -> Json {
    let named = all.into_iter().map(|(key, value)| {
        let mut fields = share(value);
        name(key, &mut fields);
        Json::Object(fields)
    });
    named.collect()
}

fn criterion(number: u8, fields: &mut Map<String, Json>) {
    set(fields, "criterion", if number == 9 { json!("integral") } else { json!(number) });
}

fn channel(channel: Channel, fields: &mut Map<String, Json>) {
    set(fields, "channel", channel.of_rating());
}

fn set(fields: &mut Map<String, Json>, name: &str, value: impl Into<Json>) {
    fields.insert(name.to_owned(), value.into());
}

/// `k`, `n`, `percent`.
fn share(value: Value) -> Map<String, Json> {
    let mut fields = Map::new();
    set(&mut fields, "k", value.k);
    set(&mut fields, "n", value.n);
    set(&mut fields, "percent", hundredths(value.hundredths()));
    fields
}

fn hundredths(hundredths: Option<i64>) -> Json {
    decimal(hundredths, 100)
}

/// The number nearest to the decimal of so many parts, which is written like it.
fn decimal(parts: Option<i64>, of: u32) -> Json {
    parts.map_or(Json::Null, |parts| json!(parts as f64 / f64::from(of)))
}

/// A row as it is served.
fn json(row: &Row) -> Json {
    let mut json = Vec::new();
    write_row(row, &mut json);
    serde_json::from_slice(&json).expect("a row is written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Boundary values first; each is also found by trying.
    #[test]
    fn the_missing_positive_ratings_are_the_least_that_do() {
        let least = |k: i64, n: i64, part: i128, whole: i128, exceed: bool| {
            (0..10_000).find(|x| {
                let (k, n) = (i128::from(k + x), i128::from(n + x));
                let (left, right) = (k * whole, part * n);
                n > 0 && if exceed { left > right } else { left >= right }
            })
        };
        let ratings = [(0, 0), (0, 1), (1, 1), (3, 4), (74, 100), (75, 100), (89, 100), (90, 100)];
        let parts = [(0, 100), (75, 100), (90, 100), (99, 100), (100, 100), (105, 100), (1, 3)];
        for (k, n) in ratings {
            for (part, whole) in parts {
                for exceed in [false, true] {
                    let expected = least(k, n, part, whole, exceed);
                    let case = format!("{k} of {n}, {part}/{whole}, exceed: {exceed}");
                    assert_eq!(reach(k, n, part, whole, exceed), expected, "{case}");
                }
            }
        }
    }

    #[test]
    fn a_replaced_value_is_put_back() {
        let counts = Replaced { records: [1], values: [5], before: [5], after: [2] };
        let json = replaced(&counts, Value { k: 8, n: 12 });
        assert_eq!(json["without"], json!({"k": 11, "n": 12, "percent": 91.67}));
    }
}
