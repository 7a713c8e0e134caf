//! The rows a reader asked for, page by page, and the cursor with which it comes back for more.

use std::sync::Arc;

use dataflows::views::{Key, Row};

use super::cell::cells;
use super::columns::columns;
use super::filter::{Wanted, compare, parse_value};
use super::row_json::write_plain;
use super::table::{Held, Place};
use super::{Filter, FilterError, Snapshot, Table};

/// Rows looked at for one page, whether they match or not: a fraction of a millisecond.
const PAGE_ROWS_MAX: usize = 1024;

/// The place after a row in its view, as readers write it: the key's columns with commas between,
/// where a comma in a column is written `%2C` and a per cent sign `%25`.
pub fn cursor(row: &Row) -> String {
    cursor_of(row, &[])
}

/// The place after a row among rows that are sorted by the columns at `places` first: as
/// [`cursor`], with those columns before the key.
pub(super) fn cursor_of(row: &Row, places: &[usize]) -> String {
    let mut parts = Vec::new();
    cells(row, &mut |cell| {
        let mut part = Vec::new();
        write_plain(cell, &mut part);
        let part = String::from_utf8(part).expect("columns are texts");
        parts.push(part.replace('%', "%25").replace(',', "%2C"));
    });
    let key = 0..row.view().key().len();
    let places = places.iter().copied().chain(key);
    places.map(|place| parts[place].as_str()).collect::<Vec<_>>().join(",")
}

/// The matching rows of a snapshot in the order of their keys, page by page.
#[derive(Clone, Debug)]
pub struct Rows {
    table: Table,
    filter: Filter,
    after: Option<Vec<Wanted>>,
    /// Ranges begun.
    begun: usize,
    place: Option<Place>,
}

impl Rows {
    /// The rows of `snapshot` that match.
    pub fn new(snapshot: &Snapshot, filter: Filter) -> Rows {
        Rows::of(snapshot.table(filter.view()).clone(), filter)
    }

    /// The rows of a table of the filter's view that match.
    pub fn of(table: Table, filter: Filter) -> Rows {
        Rows { table, filter, after: None, begun: 0, place: None }
    }

    /// Only those after a [`cursor`], whether its row still exists or not.
    ///
    /// # Errors
    /// [`FilterError::BadCursor`].
    pub fn after(mut self, cursor: &str) -> Result<Rows, FilterError> {
        let view = self.filter.view();
        let key = view.key();
        let unescape = |part: &str| part.replace("%2C", ",").replace("%25", "%");
        let values: Result<Vec<Wanted>, FilterError> = columns(view)
            .zip(cursor.split(','))
            .take(key.len())
            .map(|(column, part)| parse_value(&column, &unescape(part)))
            .collect();
        match values {
            Ok(values) if cursor.split(',').count() == key.len() => self.after = Some(values),
            _ => {
                let cursor = cursor.chars().take(256).collect();
                return Err(FilterError::BadCursor {
                    view: view.name(),
                    cursor,
                    key: key.join(","),
                });
            }
        }
        Ok(self)
    }

    /// At most `rows_max` more rows; none if it has looked at many that did not match.
    /// `None` when there are no more.
    pub fn page(&mut self, rows_max: usize) -> Option<Vec<Arc<Held>>> {
        let mut rows = Vec::new();
        for _ in 0..PAGE_ROWS_MAX {
            if rows.len() >= rows_max {
                break;
            }
            match self.look() {
                Some(row) => rows.extend(row),
                None if rows.is_empty() => return None,
                None => break,
            }
        }
        Some(rows)
    }

    /// Looks at one more row: `Some(None)` where it does not match, `None` at the end.
    fn look(&mut self) -> Option<Option<Arc<Held>>> {
        loop {
            let Some(place) = &mut self.place else {
                let range = self.filter.range(self.begun)?;
                let passed = |key: &Key| {
                    self.after.as_ref().is_some_and(|after| compare(key, after).is_le())
                };
                let before = |key: &Key| compare(key, range).is_lt() || passed(key);
                self.place = Some(self.table.seek(before));
                self.begun += 1;
                continue;
            };
            let range = self.filter.range(self.begun - 1).expect("it was begun");
            match self.table.next(place) {
                Some(row) if range.is_empty() || compare(&row.key(), range).is_eq() => {
                    return Some(self.filter.matches(row).then(|| row.clone()));
                }
                _ => self.place = None,
            }
        }
    }
}
