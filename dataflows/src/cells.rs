//! The hinge: the ratings of a place, added up by date and side. Below it, state is per record;
//! above it, work is per cell that changes.

use std::collections::BTreeMap;

use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use serde::{Deserialize, Serialize};

use crate::calendar::Day;
use crate::records::Ratings;
use crate::tally::{Detail, Messages, Replaced};

/// What is kept of the ratings of a place: none of it says which record they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rated {
    /// The ratings by date and side.
    pub cells: Cells,
    /// What surveys replaced, on the days on which they did.
    pub replaced: BTreeMap<Day, Replaced>,
    /// The messages behind the cells, by side.
    pub messages: [Messages; 2],
}

impl Rated {
    /// Adds what some records gave on one day, on one side, each so many times; yields their sum.
    pub fn add<'a>(
        &mut self,
        day: Day,
        electronic: bool,
        ratings: impl Iterator<Item = (&'a Ratings, isize)>,
    ) -> (Detail, Messages) {
        let (mut detail, mut messages) = (Detail::default(), Messages::default());
        for (ratings, times) in ratings {
            detail.plus_equals(&ratings.detail().multiply(&times));
            messages.plus_equals(&Messages::of(ratings.channels()).multiply(&times));
            if let Some(replaced) = ratings.replaced() {
                let sum = self.replaced.entry(day).or_default();
                sum.plus_equals(&replaced.multiply(&times));
                if sum.is_zero() {
                    self.replaced.remove(&day);
                }
            }
        }
        self.cells.add(day, electronic, &detail);
        self.messages[usize::from(electronic)].plus_equals(&messages);
        (detail, messages)
    }
}

/// The ratings of one place, by date and side: electronic (ЕПГУ) or not.
///
/// 40 bytes a cell and a third as much to grow into; a cell without ratings is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cells(Vec<Cell>);

/// A cell: packed while no count passes 255, as hardly any of a place's day does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Cell {
    Plain {
        day: Day,
        #[serde(with = "serde_bytes")]
        packed: [u8; 35],
    },
    Electronic {
        day: Day,
        #[serde(with = "serde_bytes")]
        packed: [u8; 19],
    },
    Wide {
        day: Day,
        electronic: bool,
        detail: Box<Detail>,
    },
}

impl Cell {
    fn new((day, electronic): (Day, bool), detail: &Detail) -> Cell {
        let packed = if electronic {
            detail.pack().map(|packed| Cell::Electronic { day, packed })
        } else {
            detail.pack().map(|packed| Cell::Plain { day, packed })
        };
        packed.unwrap_or_else(|| Cell::Wide { day, electronic, detail: Box::new(*detail) })
    }

    fn at(&self) -> (Day, bool) {
        match *self {
            Cell::Plain { day, .. } => (day, false),
            Cell::Electronic { day, .. } => (day, true),
            Cell::Wide { day, electronic, .. } => (day, electronic),
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Cell::Plain { packed, .. } => Detail::unpack(packed),
            Cell::Electronic { packed, .. } => Detail::unpack(packed),
            Cell::Wide { detail, .. } => **detail,
        }
    }
}

impl Cells {
    /// Adds to a cell. Costs little at the last day, and a move of the later ones elsewhere.
    pub fn add(&mut self, day: Day, electronic: bool, change: &Detail) {
        let at = (day, electronic);
        let is_later = self.0.last().is_none_or(|last| last.at() < at);
        let found =
            if is_later { Err(self.0.len()) } else { self.0.binary_search_by_key(&at, Cell::at) };
        match found {
            Ok(place) => {
                let mut detail = self.0[place].detail();
                detail.plus_equals(change);
                if detail.is_zero() {
                    self.0.remove(place);
                } else {
                    self.0[place] = Cell::new(at, &detail);
                }
            }
            Err(_) if change.is_zero() => {}
            Err(place) => {
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(2.max(self.0.len() / 3));
                }
                self.0.insert(place, Cell::new(at, change));
            }
        }
    }

    /// `(day, electronic, ratings)` of the cells with `from <= day < until`, in order.
    pub fn range(&self, from: Day, until: Day) -> impl Iterator<Item = (Day, bool, Detail)> {
        let first = self.0.partition_point(|cell| cell.at().0 < from);
        let within = self.0[first..].iter().take_while(move |cell| cell.at().0 < until);
        within.map(|cell| (cell.at().0, cell.at().1, cell.detail()))
    }

    /// The last day there is.
    pub fn last_day(&self) -> Option<Day> {
        self.0.last().map(|cell| cell.at().0)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Day, bool, Detail)> {
        self.range(Day::BEFORE_ALL, Day::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Channel, Criterion, Score, Scores};
    use crate::tally::Aspect;
    use differential_dataflow::difference::Multiply;

    /// What a record gave, taken back, leaves nothing.
    #[test]
    fn what_is_rated_adds_up() {
        let five = Score::new(5).expect("1..5");
        let survey = Scores::NONE.with(Criterion::COMMON[2], five);
        let kiosk = Scores::NONE.with(Criterion::COMMON[0], five);
        let reply = Ratings::Reply { digit: Score::new(1), survey, integral: true };
        let all = [(&reply, 2), (&Ratings::Kiosk(kiosk), 1)];
        let mut rated = Rated::default();
        let (detail, messages) = rated.add(Day(7), false, all.into_iter());
        assert_eq!(rated.cells.iter().collect::<Vec<_>>(), [(Day(7), false, detail)]);
        assert_eq!((detail.value().k, detail.value().n), (3, 2 * 6 + 1));
        let counts = [(Channel::Sms, 2), (Channel::Survey, 2), (Channel::Kiosk, 1)];
        assert_eq!(messages.channels().collect::<Vec<_>>(), counts);
        assert_eq!((rated.messages[0], rated.replaced[&Day(7)].values), (messages, [2]));
        rated.add(Day(7), false, all.into_iter().map(|(ratings, times)| (ratings, -times)));
        assert_eq!(rated, Rated::default());
    }

    #[test]
    fn cells_are_in_order_and_gone_when_empty() {
        let mut detail = Detail::default();
        let five = Score::new(5).expect("1..5");
        detail.rate(Channel::Sms, Aspect::Criterion(Criterion::COMMON[0]), five);
        assert_eq!(size_of::<Cell>(), 40);
        let mut cells = Cells::default();
        for (day, electronic) in [(7, false), (3, true), (7, true), (3, false), (5, false)] {
            cells.add(Day(day), electronic, &detail);
        }
        cells.add(Day(3), true, &detail);
        let days = |cells: &Cells, from, until| -> Vec<_> {
            cells.range(Day(from), Day(until)).map(|(d, e, t)| (d.0, e, t.value().n)).collect()
        };
        let all = [(3, false, 1), (3, true, 2), (5, false, 1), (7, false, 1), (7, true, 1)];
        assert_eq!(days(&cells, 0, 8), all);
        assert_eq!(days(&cells, 4, 7), all[2..3]);
        cells.add(Day(5), false, &detail.multiply(&-1));
        assert_eq!(days(&cells, 4, 7), []);
        assert_eq!(cells.iter().count(), 4);
        // More than a byte holds, and then again less.
        cells.add(Day(7), false, &detail.multiply(&300));
        assert_eq!(days(&cells, 7, 8), [(7, false, 301), (7, true, 1)]);
        cells.add(Day(7), false, &detail.multiply(&-300));
        assert_eq!(days(&cells, 7, 8), [(7, false, 1), (7, true, 1)]);
    }
}
