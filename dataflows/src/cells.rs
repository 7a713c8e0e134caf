//! The hinge: the ratings of a place, added up by date and side. Below it, state is per record;
//! above it, work is per cell that changes.

use differential_dataflow::difference::{IsZero, Semigroup};

use crate::calendar::Day;
use crate::tally::{Kept, Tally};

/// The ratings of one place, by date and side: electronic (ЕПГУ) or not.
///
/// 40 bytes a cell and a third as much to grow into; a cell without ratings is not kept.
#[derive(Debug, Default)]
pub struct Cells(Vec<Cell>);

#[derive(Debug)]
struct Cell {
    at: (Day, bool),
    kept: Kept,
}

impl Cells {
    /// Adds to a cell. Costs little at the last day, and a move of the later ones elsewhere.
    pub fn add(&mut self, day: Day, electronic: bool, change: &Tally) {
        let at = (day, electronic);
        let is_later = self.0.last().is_none_or(|last| last.at < at);
        let found =
            if is_later { Err(self.0.len()) } else { self.0.binary_search_by_key(&at, |c| c.at) };
        match found {
            Ok(place) => {
                let mut tally = self.0[place].kept.tally();
                tally.plus_equals(change);
                if tally.is_zero() {
                    self.0.remove(place);
                } else {
                    self.0[place].kept = Kept::of(&tally);
                }
            }
            Err(_) if change.is_zero() => {}
            Err(place) => {
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(2.max(self.0.len() / 3));
                }
                self.0.insert(place, Cell { at, kept: Kept::of(change) });
            }
        }
    }

    /// `(day, electronic, tally)` of the cells with `from <= day < until`, in order.
    pub fn range(&self, from: Day, until: Day) -> impl Iterator<Item = (Day, bool, Tally)> {
        let first = self.0.partition_point(|cell| cell.at.0 < from);
        let within = self.0[first..].iter().take_while(move |cell| cell.at.0 < until);
        within.map(|cell| (cell.at.0, cell.at.1, cell.kept.tally()))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Day, bool, Tally)> {
        self.range(Day::BEFORE_ALL, Day::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Channel, Criterion, Score};
    use crate::tally::Aspect;
    use differential_dataflow::difference::Multiply;

    #[test]
    fn cells_are_in_order_and_gone_when_empty() {
        let mut tally = Tally::default();
        let five = Score::new(5).expect("1..5");
        tally.rate(Channel::Sms, Aspect::Criterion(Criterion::COMMON[0]), five);
        let mut cells = Cells::default();
        for (day, electronic) in [(7, false), (3, true), (7, true), (3, false), (5, false)] {
            cells.add(Day(day), electronic, &tally);
        }
        cells.add(Day(3), true, &tally);
        let days = |cells: &Cells, from, until| -> Vec<_> {
            cells.range(Day(from), Day(until)).map(|(d, e, t)| (d.0, e, t.value().n)).collect()
        };
        let all = [(3, false, 1), (3, true, 2), (5, false, 1), (7, false, 1), (7, true, 1)];
        assert_eq!(days(&cells, 0, 8), all);
        assert_eq!(days(&cells, 4, 7), all[2..3]);
        cells.add(Day(5), false, &tally.multiply(&-1));
        assert_eq!(days(&cells, 4, 7), []);
        assert_eq!(cells.iter().count(), 4);
    }
}
