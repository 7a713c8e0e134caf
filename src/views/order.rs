//! In which order a reader wants the rows, and a page of them.
//!
//! Rows are sorted by the columns asked for and then by key, so that the order is total and a page
//! can go on after any row. What is null comes last, whichever way a column is sorted.

use std::cmp::Ordering;
use std::sync::Arc;

use dataflows::views::{Row, View};

use super::FilterError;
use super::cell::cells;
use super::columns::{Column, columns};
use super::filter::{Wanted, compare, parse_value, unknown_column};
use super::rows::{Rows, cursor_of};
use super::table::Held;

/// The columns to sort by, before the key.
#[derive(Clone, Debug)]
pub struct Order {
    view: View,
    by: Vec<By>,
}

#[derive(Clone, Copy, Debug)]
struct By {
    place: usize,
    column: Column,
    descending: bool,
}

/// Some rows, and the cursor of those that are left if there are any.
#[derive(Debug)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Arc<Held>>,
    /// What to give as `after` for the next page.
    pub next: Option<String>,
}

impl Order {
    /// By key only.
    pub fn by_key(view: View) -> Order {
        Order { view, by: Vec::new() }
    }

    /// From names of columns with commas between; one with a `-` before it descends.
    ///
    /// # Errors
    /// An unknown column, or one of several values.
    pub fn parse(view: View, text: &str) -> Result<Order, FilterError> {
        let mut by = Vec::new();
        for name in text.split(',') {
            let (name, descending) = name.strip_prefix('-').map_or((name, false), |n| (n, true));
            let found = columns(view).enumerate().find(|(_, column)| column.name == name);
            let (place, column) = found.ok_or_else(|| unknown_column(view, name))?;
            if !column.kind.is_single() {
                return Err(FilterError::Compound { column: column.name });
            }
            by.push(By { place, column, descending });
        }
        Ok(Order { view, by })
    }

    /// The first `rows_max` of the rows, or of those after a cursor. Looks at all of them where they
    /// are sorted by anything but their key.
    ///
    /// # Errors
    /// [`FilterError::BadCursor`].
    pub fn page(
        &self,
        mut rows: Rows,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Page, FilterError> {
        if self.by.is_empty() {
            if let Some(after) = after {
                rows = rows.after(after)?;
            }
            let mut found = Vec::new();
            while let Some(more) = rows.page(rows_max.saturating_add(1) - found.len()) {
                found.extend(more);
                if found.len() > rows_max {
                    break;
                }
            }
            return Ok(self.cut(found, rows_max));
        }
        let after = after.map(|after| self.place_after(after)).transpose()?;
        let mut found = Vec::new();
        while let Some(more) = rows.page(usize::MAX) {
            found.extend(more.into_iter().map(|row| (self.values(&row), row)));
        }
        if let Some((values, key)) = after {
            found.retain(|(other, row)| {
                self.compare(other, &values).then_with(|| compare(&row.key(), &key)).is_gt()
            });
        }
        found.sort_by(|(a, row), (b, other)| {
            self.compare(a, b).then_with(|| row.key().cmp(&other.key()))
        });
        Ok(self.cut(found.into_iter().map(|(_, row)| row).collect(), rows_max))
    }

    fn cut(&self, mut rows: Vec<Arc<Held>>, rows_max: usize) -> Page {
        let is_cut = rows.len() > rows_max;
        rows.truncate(rows_max);
        let last = rows.last().filter(|_| is_cut);
        let places: Vec<usize> = self.by.iter().map(|by| by.place).collect();
        let next = last.map(|row| cursor_of(row, &places));
        Page { rows, next }
    }

    /// The values sorted by and the key that a cursor is of.
    fn place_after(&self, cursor: &str) -> Result<(Vec<Wanted>, Vec<Wanted>), FilterError> {
        let key = columns(self.view).take(self.view.key().len());
        let all: Vec<Column> = self.by.iter().map(|by| by.column).chain(key).collect();
        let parts: Vec<&str> = cursor.split(',').collect();
        let unescape = |part: &str| part.replace("%2C", ",").replace("%25", "%");
        let values: Result<Vec<Wanted>, FilterError> = all
            .iter()
            .zip(&parts)
            .map(|(column, part)| parse_value(column, &unescape(part)))
            .collect();
        match values {
            Ok(mut values) if parts.len() == all.len() => {
                let key = values.split_off(self.by.len());
                Ok((values, key))
            }
            _ => Err(FilterError::BadCursor {
                view: self.view.name(),
                cursor: cursor.chars().take(256).collect(),
                key: all.iter().map(|column| column.name).collect::<Vec<_>>().join(","),
            }),
        }
    }

    /// What a row is sorted by.
    fn values(&self, row: &Row) -> Vec<Wanted> {
        let mut values = vec![Wanted::Nothing; self.by.len()];
        let mut place = 0;
        cells(row, &mut |cell| {
            for (by, value) in self.by.iter().zip(&mut values) {
                if by.place == place {
                    *value = Wanted::of(cell);
                }
            }
            place += 1;
        });
        values
    }

    fn compare(&self, a: &[Wanted], b: &[Wanted]) -> Ordering {
        self.by.iter().zip(a.iter().zip(b)).fold(Ordering::Equal, |so_far, (by, (a, b))| {
            so_far.then_with(|| match (a, b) {
                (Wanted::Nothing, Wanted::Nothing) => Ordering::Equal,
                (Wanted::Nothing, _) => Ordering::Greater,
                (_, Wanted::Nothing) => Ordering::Less,
                (a, b) if by.descending => b.cmp(a),
                (a, b) => a.cmp(b),
            })
        })
    }
}
