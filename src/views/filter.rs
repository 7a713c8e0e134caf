//! Which rows of a view a reader asked for.
//!
//! Conditions on the leading columns of the key are found by search, the others by looking at each
//! row. Texts of readers are compared as texts and never made ids, so no query can grow the table
//! of ids.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use dataflows::views::{Key, Part, Row, View};

use super::cell::{Cell, cells};
use super::columns::{Column, Kind, columns};
use super::history::merge;
use super::table::Held;
use super::{Change, ChangeSet};
use crate::event::{parse_day, parse_moment};

/// Combinations of leading key columns that are searched one by one; with more, fewer columns are
/// used and the rest of the conditions are checked row by row.
const RANGES_MAX: usize = 1000;

/// Why a query cannot be answered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FilterError {
    /// No such column.
    #[error("{view} has no column {column:?}; its columns are {columns}")]
    UnknownColumn {
        /// The view asked.
        view: &'static str,
        /// What was asked for.
        column: String,
        /// What there is.
        columns: String,
    },
    /// A column that holds more than one value.
    #[error("{column} is a list or an object; only columns of single values can be filtered by")]
    Compound {
        /// The column.
        column: &'static str,
    },
    /// A value the column cannot have.
    #[error("{value:?} is no value of {column}, which is {expected}")]
    BadValue {
        /// The column.
        column: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        expected: String,
    },
    /// Not the `next` of an answer.
    #[error("after {cursor:?} is not the `next` of an answer of {view}: it is the key ({key})")]
    BadCursor {
        /// The view asked.
        view: &'static str,
        /// What was given.
        cursor: String,
        /// The names of the key's columns.
        key: String,
    },
}

/// A value to compare a column with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Wanted {
    /// Null, or an empty text.
    Nothing,
    /// A text that is not empty.
    Text(String),
    /// A number, days, months, quarters, microseconds, units of the last decimal; 0 or 1.
    Number(i64),
}

/// The conditions of a reader on the rows of a view: each column one of its values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    view: View,
    /// By place of the column, key columns first; each with one value at least.
    conditions: Vec<(usize, Vec<Wanted>)>,
    /// The values of leading key columns, ascending; one empty range for the whole view.
    ranges: Vec<Vec<Wanted>>,
}

impl Filter {
    /// All rows of a view.
    pub fn all(view: View) -> Filter {
        Filter { view, conditions: Vec::new(), ranges: vec![Vec::new()] }
    }

    /// From `(column, value)` pairs; a column that comes several times may have any of the values.
    /// An empty value stands for null.
    ///
    /// # Errors
    /// An unknown column, one that cannot be compared, a value that is none of the column's.
    pub fn parse<'a>(
        view: View,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Filter, FilterError> {
        let mut conditions: Vec<(usize, Vec<Wanted>)> = Vec::new();
        for (name, text) in pairs {
            let Some((place, column)) = columns(view).enumerate().find(|(_, c)| c.name == name)
            else {
                return Err(unknown_column(view, name));
            };
            let value = parse_value(&column, text)?;
            match conditions.iter_mut().find(|(other, _)| *other == place) {
                Some((_, values)) => values.push(value),
                None => conditions.push((place, vec![value])),
            }
        }
        conditions.sort_unstable();
        for (_, values) in &mut conditions {
            values.sort_unstable();
            values.dedup();
        }
        let ranges = ranges(view, &conditions);
        Ok(Filter { view, conditions, ranges })
    }

    /// The view it is of.
    pub fn view(&self) -> View {
        self.view
    }

    /// Whether every row matches.
    pub fn is_all(&self) -> bool {
        self.conditions.is_empty()
    }

    /// The n-th range of keys to look through, ascending; one without bounds for the whole view.
    pub(super) fn range(&self, n: usize) -> Option<&[Wanted]> {
        self.ranges.get(n).map(Vec::as_slice)
    }

    /// Whether the conditions hold for a row of the view.
    pub fn matches(&self, row: &Row) -> bool {
        let mut place = 0;
        let mut conditions = self.conditions.iter().peekable();
        let mut all = true;
        if conditions.peek().is_some() {
            cells(row, &mut |cell| {
                if let Some((_, values)) = conditions.next_if(|(wanted, _)| *wanted == place) {
                    all &= values.iter().any(|value| value.is(cell));
                }
                place += 1;
            });
        }
        all
    }

    /// The change as a reader of the matching rows sees it: a row that starts or stops to match
    /// comes or goes. `None` where nothing changes for the reader.
    fn change(&self, change: &Change) -> Option<Change> {
        let seen = |row: &Option<Arc<Held>>| row.clone().filter(|row| self.matches(row));
        let change = Change { before: seen(&change.before), after: seen(&change.after) };
        (change.before != change.after).then_some(change)
    }

    /// What the sets of one or several epochs, oldest first, come to for a reader of the matching
    /// rows: sorted by key, each key once.
    pub fn changes(&self, sets: &[Arc<ChangeSet>]) -> Vec<Change> {
        match sets {
            [set] => self.concerning(set).into_iter().filter_map(|c| self.change(c)).collect(),
            sets => {
                // A change of rows that both do not match tells nothing, whatever comes before and
                // after it.
                let seen = |change: &&Change| self.change(change).is_some();
                let sets = sets.iter().flat_map(|set| self.concerning(set));
                merge(sets.filter(seen)).iter().filter_map(|change| self.change(change)).collect()
            }
        }
    }

    /// Whether a reader of the matching rows sees anything of a set.
    pub fn sees(&self, set: &ChangeSet) -> bool {
        self.concerning(set).into_iter().any(|change| self.change(change).is_some())
    }

    /// Whether it has no condition on the key by which its rows are found.
    pub fn looks_at_all(&self) -> bool {
        self.ranges.iter().any(Vec::is_empty)
    }

    /// Those of the changes of a set that can concern the reader, by their keys or else by the first
    /// of the conditions.
    fn concerning<'a>(&self, set: &'a ChangeSet) -> Vec<&'a Change> {
        let changes = set.of_view(self.view);
        match self.conditions.first() {
            None => changes.iter().collect(),
            Some((place, values)) if self.looks_at_all() => {
                let by_value = set.by_value(self.view, *place);
                let marks: BTreeSet<u64> = values.iter().map(Wanted::mark).collect();
                let found = marks.iter().filter_map(|mark| by_value.get(mark)).flatten();
                let found: BTreeSet<u32> = found.copied().collect();
                found.into_iter().map(|n| &changes[n as usize]).collect()
            }
            Some(_) => {
                let found = self.ranges.iter().flat_map(|range| {
                    let from = changes.partition_point(|c| compare(&c.key(), range).is_lt());
                    changes[from..].iter().take_while(|c| compare(&c.key(), range).is_eq())
                });
                found.collect()
            }
        }
    }
}

/// The leading columns of a key against as many values.
pub(super) fn compare(key: &Key, values: &[Wanted]) -> Ordering {
    key.parts.iter().zip(values).fold(Ordering::Equal, |so_far, (part, value)| {
        so_far.then_with(|| match (part, value) {
            (Part::Number(number), Wanted::Number(value)) => number.cmp(value),
            (Part::Id(id), value) => id.text().cmp(value.text()),
            (Part::Word(word), value) => (*word).cmp(value.text()),
            (Part::Absent | Part::Number(_), _) => Ordering::Equal,
        })
    })
}

/// All combinations of the values of leading key columns, ascending, as far as there are
/// conditions on them.
fn ranges(view: View, conditions: &[(usize, Vec<Wanted>)]) -> Vec<Vec<Wanted>> {
    let mut ranges = vec![Vec::new()];
    for ((place, values), key_place) in conditions.iter().zip(0..view.key().len()) {
        if *place != key_place || ranges.len() * values.len() > RANGES_MAX {
            break;
        }
        ranges = ranges
            .iter()
            .flat_map(|range| {
                values
                    .iter()
                    .map(move |value| [range.as_slice(), std::slice::from_ref(value)].concat())
            })
            .collect();
    }
    ranges
}

impl Wanted {
    /// What a condition on a column would have to want of this cell.
    pub(super) fn of(cell: Cell<'_>) -> Wanted {
        match cell {
            Cell::Text(text) if !text.is_empty() => Wanted::Text(text.to_owned()),
            cell => cell.number().map_or(Wanted::Nothing, Wanted::Number),
        }
    }

    fn text(&self) -> &str {
        match self {
            Wanted::Text(text) => text,
            Wanted::Nothing | Wanted::Number(_) => "",
        }
    }

    /// The [`Cell::mark`] of all cells that it [is](Wanted::is).
    fn mark(&self) -> u64 {
        match self {
            Wanted::Nothing => Cell::Null.mark(),
            Wanted::Text(text) => Cell::Text(text).mark(),
            Wanted::Number(number) => Cell::Integer(*number).mark(),
        }
    }

    fn is(&self, cell: Cell<'_>) -> bool {
        match (self, cell) {
            (Wanted::Nothing, cell) => matches!(cell, Cell::Null | Cell::Text("")),
            (Wanted::Text(wanted), Cell::Text(text)) => wanted == text,
            (Wanted::Number(wanted), cell) => cell.number() == Some(*wanted),
            (Wanted::Text(_), _) => false,
        }
    }
}

/// That a view has no such column.
pub fn unknown_column(view: View, column: &str) -> FilterError {
    let columns: Vec<&str> = columns(view).map(|column| column.name).collect();
    FilterError::UnknownColumn {
        view: view.name(),
        column: column.chars().take(64).collect(),
        columns: columns.join(", "),
    }
}

pub(super) fn parse_value(column: &Column, text: &str) -> Result<Wanted, FilterError> {
    let bad = |expected: String| FilterError::BadValue {
        column: column.name,
        value: text.chars().take(64).collect(),
        expected,
    };
    let may_be_empty = column.nullable || column.kind == Kind::Text;
    if text.is_empty() && may_be_empty {
        return Ok(Wanted::Nothing);
    }
    let (number, expected) = match column.kind {
        Kind::Text => return Ok(Wanted::Text(text.to_owned())),
        Kind::Word(words) if words.contains(&text) => return Ok(Wanted::Text(text.to_owned())),
        Kind::Word(words) => return Err(bad(format!("one of {}", words.join(", ")))),
        Kind::Integer => (text.parse().ok(), "an integer".to_owned()),
        Kind::Decimal(places) => {
            (parse_decimal(text, places), format!("a number of at most {places} decimals"))
        }
        Kind::Flag => {
            let number = ["false", "true"].iter().position(|word| *word == text);
            (number.map(|n| n as i64), "true or false".to_owned())
        }
        Kind::Day => {
            let day = parse_day(text.as_bytes());
            (day.map(|day| i64::from(day.0)), "a date YYYY-MM-DD".to_owned())
        }
        Kind::Month => (parse_month(text), "a month YYYY-MM".to_owned()),
        Kind::Quarter => (parse_quarter(text), "a quarter like 2018Q2".to_owned()),
        Kind::Time => {
            (parse_moment(text).map(|m| m.micros()), "a time of RFC 3339 with an offset".to_owned())
        }
        Kind::Value | Kind::Criteria | Kind::Channels | Kind::Scores => {
            return Err(FilterError::Compound { column: column.name });
        }
    };
    number.map(Wanted::Number).ok_or_else(|| bad(expected))
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn parse_decimal(text: &str, places: u32) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let missing = (places as usize).checked_sub(decimals.len())?;
    let decimals = digits(decimals)?.checked_mul(10_i64.pow(missing as u32))?;
    digits(whole)?.checked_mul(10_i64.pow(places))?.checked_add(decimals)?.checked_mul(sign)
}

fn parse_month(text: &str) -> Option<i64> {
    let (year, month) = text.split_once('-')?;
    let (year, month) = (digits(year)?, digits(month)?);
    (text.len() == 7 && (1..=12).contains(&month)).then_some(year * 12 + month - 1)
}

fn parse_quarter(text: &str) -> Option<i64> {
    let (year, quarter) = text.split_once('Q')?;
    let (year, quarter) = (digits(year)?, digits(quarter)?);
    (text.len() == 6 && (1..=4).contains(&quarter)).then_some(year * 4 + quarter - 1)
}
