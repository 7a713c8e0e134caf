//! Rows that come and go, until all is computed: what `compute` writes and `verify` compares.

use std::iter::repeat_n;

use dataflows::domain::Epoch;
use dataflows::views::{Row, View};

use crate::engine::Results;

/// The rows that are there when all is computed, each view's in their order.
pub fn collect(results: Results) -> ByView {
    let mut rows = Gathered::default();
    results.for_all(|changes| rows.take(changes));
    rows.done()
}

/// Rows by view.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ByView([Vec<Row>; View::ALL.len()]);

impl ByView {
    /// All of them, view after view.
    pub fn iter(&self) -> impl Iterator<Item = &Row> {
        self.0.iter().flatten()
    }

    /// Each view with its rows.
    pub fn into_views(self) -> impl Iterator<Item = (View, Vec<Row>)> {
        View::ALL.into_iter().zip(self.0)
    }

    fn of(&mut self, view: View) -> &mut Vec<Row> {
        &mut self.0[view as usize]
    }
}

impl FromIterator<Row> for ByView {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> ByView {
        let mut views = ByView::default();
        rows.into_iter().for_each(|row| views.of(row.view()).push(row));
        views
    }
}

/// Rows as they come and go, in hardly more memory than those that are there: 32 bytes each, and
/// 40 for each change that waits.
#[derive(Default)]
struct Gathered {
    /// Those that were there when changes were last settled, in their order.
    settled: ByView,
    /// What has changed since, in no order, in room that stays: for an eighth as many, so that all that
    /// is ever moved to make place is some nine times the rows.
    changes: Vec<(Row, isize)>,
}

/// So many changes may wait in any case.
const CHANGES: usize = 1 << 19;

impl Gathered {
    fn take(&mut self, changes: Vec<(Row, Epoch, isize)>) {
        if self.changes.len() + changes.len() > self.changes.capacity() {
            self.settle();
            let settled: usize = self.settled.0.iter().map(Vec::len).sum();
            let room = CHANGES.max(settled / 8) + self.changes.len() + changes.len();
            if room > self.changes.capacity() / 4 * 5 {
                let waiting = std::mem::replace(&mut self.changes, Vec::with_capacity(room));
                self.changes.extend(waiting);
            }
        }
        self.changes.extend(changes.into_iter().map(|(row, _, count)| (row, count)));
    }

    fn settle(&mut self) {
        let Gathered { settled, changes } = self;
        // Not unstably: clocks, most of the rows, come in their order.
        changes.sort_by(|(one, _), (other, _)| one.cmp(other));
        changes.dedup_by(|(row, count), (before, sum)| {
            let same = row == before;
            *sum += if same { *count } else { 0 };
            same
        });
        changes.retain(|(_, count)| *count != 0);
        for of_view in changes.chunk_by_mut(|(one, _), (other, _)| one.view() == other.view()) {
            let come = of_view.iter().map(|(_, count)| usize::try_from(*count).unwrap_or(0));
            let come: usize = come.sum();
            let settled = settled.of(of_view[0].0.view());
            take_out(settled, of_view);
            // Much room to grow into: it is addresses until it is written to, and to move is to write again.
            if settled.len() + come > settled.capacity() {
                settled.reserve_exact(come.max(3 * settled.len()));
            }
        }
        let mut come = changes.extract_if(.., |(_, count)| *count > 0).peekable();
        while let Some((first, _)) = come.peek() {
            let view = first.view();
            let settled = settled.of(view);
            // What is before the first of them stays where it is: of clocks, hardly any old ones change.
            let from = settled.partition_point(|row| row < first);
            while let Some((row, count)) = come.next_if(|(row, _)| row.view() == view) {
                settled.extend(repeat_n(row, count as usize));
            }
            // Two runs that are in order are merged by this sort, in room for the shorter.
            settled[from..].sort();
        }
        drop(come);
        changes.retain(|(_, count)| *count != 0);
    }

    fn done(mut self) -> ByView {
        self.settle();
        assert!(self.changes.is_empty(), "a row that goes was there: {:?}", self.changes);
        for rows in &self.settled.0 {
            let twice = rows.windows(2).find(|rows| rows[0] == rows[1]);
            assert!(twice.is_none(), "a row is there once: {twice:?}");
        }
        self.settled
    }
}

/// Takes those rows out that go, both lists in their order, and counts them off. What goes before it has
/// come, as rows of several workers may, waits.
fn take_out(rows: &mut Vec<Row>, changes: &mut [(Row, isize)]) {
    let mut gone = changes.iter_mut().filter(|(_, count)| *count < 0).peekable();
    let Some((first, _)) = gone.peek() else { return };
    let from = rows.partition_point(|row| row < first);
    let goes = |row: &mut Row| {
        while gone.next_if(|(gone, _)| gone < row).is_some() {}
        let Some((_, count)) = gone.peek_mut().filter(|(gone, _)| gone == row) else {
            return false;
        };
        *count += 1;
        if *count == 0 {
            gone.next();
        }
        true
    };
    rows.extract_if(from.., goes).for_each(drop);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dataflows::calendar::Day;
    use dataflows::id::Id;

    use super::*;

    /// Epoch after epoch of rows that come, change and go, settled now and then.
    #[test]
    fn rows_are_gathered() {
        let (mut gathered, mut late) = (Gathered::default(), Vec::new());
        let (mut rows, mut random) = (BTreeMap::new(), 7_u64);
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let unit = Id::of("a");
        let row = |record: u64, order| match record % 3 {
            0 => Row::SurveyList {
                unit,
                day: Day(record as i32),
                replies: order,
                wanted: 0,
                drawn: 0,
            },
            _ => Row::SurveySample { unit, day: Day(0), record, order },
        };
        for epoch in 0..100_u32 {
            let mut changes = Vec::new();
            for _ in 0..next(3000) {
                let record = next(100_000);
                let before =
                    if next(3) == 0 { rows.remove(&record) } else { rows.insert(record, epoch) };
                changes.extend(before.map(|order| (row(record, order), 1, -1)));
                changes.extend(rows.get(&record).map(|order| (row(record, *order), 1, 1)));
            }
            // Some late, so that what goes may come first.
            let later = changes.split_off(changes.len() - changes.len() / 3);
            gathered.take(std::mem::replace(&mut late, later));
            gathered.take(changes);
            if next(10) == 0 {
                gathered.settle();
            }
        }
        gathered.take(late);
        let expected: ByView = rows.iter().map(|(record, order)| row(*record, *order)).collect();
        assert!(rows.len() > 10_000 && gathered.done() == expected);
    }
}
