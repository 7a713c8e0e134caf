//! The comparison: what another computation says, row by row and column by column, against the
//! recomputation.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde_json::Value;

use super::recompute::{Row, VIEWS, Views, key};
use crate::views::digest::Digest;

/// How many differences are kept to be shown.
const SHOWN_MAX: usize = 20;

/// What differs, and how much was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// The first of them, one line each.
    pub first: Vec<String>,
    /// By view, of those compared.
    pub views: BTreeMap<&'static str, Counts>,
}

/// What was compared of a view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows recomputed.
    pub rows: u64,
    /// Rows that are missing, unexpected or have another value in a column.
    pub different: u64,
    /// Of the rows compared with, as they were given.
    pub digest: Digest,
}

impl Differences {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many rows differ.
    pub fn count(&self) -> u64 {
        self.views.values().map(|counts| counts.different).sum()
    }

    /// Adds those of other views.
    pub fn add(&mut self, other: Differences) {
        self.first.extend(other.first);
        self.first.truncate(SHOWN_MAX);
        self.views.extend(other.views);
    }

    /// Notes a row by what is recomputed and what the other side says, `None` where it has no such
    /// row. Columns that are not recomputed may say anything.
    fn note(&mut self, view: &'static str, expected: Option<&Row>, actual: Option<&Row>) {
        let counts = self.views.entry(view).or_default();
        counts.rows += u64::from(expected.is_some());
        let what = match (expected, actual) {
            (Some(expected), Some(actual)) => columns(expected, actual),
            (Some(expected), None) => format!("missing, recomputed {}", json(expected)),
            (None, Some(actual)) => format!("not recomputed, is {}", json(actual)),
            (None, None) => String::new(),
        };
        if what.is_empty() {
            return;
        }
        counts.different += 1;
        if self.first.len() < SHOWN_MAX
            && let Some(row) = expected.or(actual)
        {
            self.first.push(format!("{}: {what}", name(view, row)));
        }
    }
}

impl fmt::Display for Differences {
    /// A line for each difference shown, then a line for each view.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.first {
            writeln!(f, "{difference}")?;
        }
        let unshown = self.count() - self.first.len() as u64;
        if unshown > 0 {
            writeln!(f, "… and {unshown} more")?;
        }
        for (view, Counts { rows, different, digest }) in &self.views {
            writeln!(f, "{view:>16} {rows:>10} rows, {different} different, digest {digest}")?;
        }
        Ok(())
    }
}

/// Compares all rows of all views; a view that is not on the actual side has no rows there.
pub fn compare(expected: &Views, actual: &Views) -> Differences {
    let mut differences = Differences::default();
    let none = BTreeMap::new();
    for (view, _) in VIEWS {
        let [expected, actual] = [expected, actual].map(|views| views.get(view).unwrap_or(&none));
        differences.views.insert(view, Counts::default());
        for (key, row) in expected {
            differences.note(view, Some(row), actual.get(key));
        }
        for (_, row) in actual.iter().filter(|(key, _)| !expected.contains_key(*key)) {
            differences.note(view, None, Some(row));
        }
    }
    differences
}

/// A comparison that holds one side only, as text, for views of millions of rows.
#[derive(Default)]
pub struct Comparison {
    actual: HashMap<&'static str, HashMap<String, Box<str>>>,
    differences: Differences,
}

impl Comparison {
    /// Takes a row of the actual side, as JSON. Only views that are named here are compared.
    ///
    /// # Errors
    /// Where it is not a JSON object, or a second row of its key.
    pub fn actual(&mut self, view: &'static str, json: &str) -> Result<(), ActualError> {
        let row: Row =
            serde_json::from_str(json).map_err(|cause| ActualError::NoRow { view, cause })?;
        let counts = self.differences.views.entry(view).or_default();
        counts.digest += Digest::of_json(json.as_bytes());
        let rows = self.actual.entry(view).or_default();
        match rows.insert(key(view, &row), json.into()) {
            None => Ok(()),
            Some(_) => Err(ActualError::Twice { row: name(view, &row) }),
        }
    }

    /// Whoever gave the rows of a view says that they have this digest.
    pub fn claimed(&mut self, view: &'static str, claimed: Digest) {
        let counts = self.differences.views.entry(view).or_default();
        if counts.digest != claimed {
            counts.different += 1;
            let found = counts.digest;
            self.differences
                .first
                .push(format!("{view}: digest {found} of rows said to have {claimed}"));
        }
    }

    /// Names a view to be compared even if it has no row on the actual side.
    pub fn expect_view(&mut self, view: &'static str) {
        self.actual.entry(view).or_default();
        self.differences.views.entry(view).or_default();
    }

    /// Whether the view is compared.
    pub fn expects(&self, view: &str) -> bool {
        self.actual.contains_key(view)
    }

    /// Takes a row of the recomputation.
    pub fn expected(&mut self, view: &'static str, row: &Row) {
        let Some(rows) = self.actual.get_mut(view) else {
            return;
        };
        let actual = rows.remove(&key(view, row));
        let actual = actual.map(|json| parsed(&json));
        self.differences.note(view, Some(row), actual.as_ref());
    }

    /// What differs; what is left of the actual side was not recomputed.
    pub fn finish(mut self) -> Differences {
        for (view, rows) in std::mem::take(&mut self.actual) {
            let rows: BTreeMap<String, Box<str>> = rows.into_iter().collect();
            for json in rows.values() {
                self.differences.note(view, None, Some(&parsed(json)));
            }
        }
        self.differences
    }
}

/// Why a row of the actual side cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ActualError {
    /// With the parser's reason.
    #[error("row of {view} is not a JSON object")]
    NoRow {
        /// Of which view.
        view: &'static str,
        /// Why not.
        #[source]
        cause: serde_json::Error,
    },
    /// Two rows of one key.
    #[error("{row} is there twice")]
    Twice {
        /// View and key.
        row: String,
    },
}

fn parsed(json: &str) -> Row {
    serde_json::from_str(json).expect("it was parsed when it was taken")
}

/// `manager_periods tenure=T005 period=1`.
fn name(view: &str, row: &Row) -> String {
    let columns = VIEWS.iter().find(|(name, _)| *name == view).map_or(&[][..], |view| view.1);
    let parts = columns.iter().map(|column| match row.get(*column) {
        Some(Value::String(text)) => format!(" {column}={text}"),
        other => format!(" {column}={}", other.unwrap_or(&Value::Null)),
    });
    std::iter::once(view.to_owned()).chain(parts).collect()
}

/// `k is 12, recomputed 13; status is "met", recomputed "not_met"`, or nothing.
fn columns(expected: &Row, actual: &Row) -> String {
    let different = expected.iter().filter_map(|(column, value)| {
        let found = actual.get(column);
        let is_same = found.is_some_and(|found| same(value, found));
        (!is_same).then(|| match found {
            Some(found) => format!("{column} is {found}, recomputed {value}"),
            None => format!("{column} is missing, recomputed {value}"),
        })
    });
    different.collect::<Vec<_>>().join("; ")
}

/// Whether two values are equal; numbers by value (70 is 70.0), objects by the recomputed columns.
fn same(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => columns(a, b).is_empty(),
        (a, b) => a == b,
    }
}

fn json(row: &Row) -> String {
    serde_json::to_string(row).expect("a row is JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn views(rows: &[Value]) -> Views {
        let rows = rows.iter().map(|row| match row {
            Value::Object(row) => (key("units", row), row.clone()),
            _ => panic!("a row is an object"),
        });
        Views::from([("units", rows.collect())])
    }

    #[test]
    fn a_difference_names_the_row_and_the_column() {
        let expected =
            views(&[json!({"unit": "U1", "k": 13, "n": 20}), json!({"unit": "U2", "k": 1})]);
        let actual = views(&[
            json!({"unit": "U1", "k": 12, "n": 20, "more": true}),
            json!({"unit": "U3", "k": 0}),
        ]);
        let differences = compare(&expected, &actual);
        assert_eq!(
            differences.first,
            [
                "units unit=U1: k is 12, recomputed 13",
                r#"units unit=U2: missing, recomputed {"k":1,"unit":"U2"}"#,
                r#"units unit=U3: not recomputed, is {"k":0,"unit":"U3"}"#,
            ]
        );
        assert_eq!(
            differences.views["units"],
            Counts { rows: 2, different: 3, ..Counts::default() }
        );
        assert!(!differences.is_empty());
        assert!(compare(&expected, &expected).is_empty());
    }

    #[test]
    fn one_side_as_text_gives_the_same() {
        let expected = views(&[json!({"unit": "U1", "k": 1}), json!({"unit": "U2", "k": 1})]);
        let actual = views(&[json!({"unit": "U1", "k": 1.0}), json!({"unit": "U3", "k": 1})]);
        let mut comparison = Comparison::default();
        comparison.expect_view("units");
        for row in actual["units"].values() {
            let json = serde_json::to_string(row).expect("a row");
            comparison.actual("units", &json).expect("a row");
            comparison.actual("units", &json).expect_err("a second one");
        }
        for row in expected["units"].values() {
            comparison.expected("units", row);
            comparison.expected("mfcs", row);
        }
        assert_eq!(comparison.finish().first, compare(&expected, &actual).first);
    }

    #[test]
    fn values_are_compared_by_what_is_recomputed() {
        let pairs = [
            (json!(70), json!(70.0), true),
            (json!(92.08), json!(92.080), true),
            (json!(92.08), json!(92.09), false),
            (json!(null), json!(0), false),
            (json!([1, 2]), json!([1, 2, 3]), false),
            (json!({"k": 1}), json!({"k": 1, "n": 2}), true),
            (json!({"k": 1, "n": 2}), json!({"k": 1}), false),
        ];
        for (expected, actual, is_same) in pairs {
            assert_eq!(same(&expected, &actual), is_same, "{expected} {actual}");
        }
    }
}
