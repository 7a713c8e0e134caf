//! A month of a scope, its units, agencies, regions or services in the order of their values: the
//! rows of `months` and `rankings`, in one keyed operator. A rating moves one of them past others, and
//! only the rows of those are looked at.

use std::cmp::Ordering;

use differential_dataflow::difference::{IsZero, Semigroup};
use differential_dataflow::{AsCollection, Hashable};
use timely::dataflow::operators::vec::Map;

use crate::calendar::Month;
use crate::domain::Epoch;
use crate::epochs::{Keeper, Output, Rows, as_it_comes, exchange, renew};
use crate::id::{Id, Table, drain};
use crate::rollup::Group;
use crate::tally::{Spread, Value};
use crate::views::{Row, Scope};

/// Whose and which month.
type Sheet = (Scope, Month);

/// The rows of `months`, and of `rankings`: 1 for the highest exact value of the month; equal values
/// share a rank and the next is skipped.
///
/// - in: what changes in the groups of months; others are passed over
/// - out: the rows that change
/// - state: the sum of each, and the order; a change costs the ranks between where it was and is, or
///   all below where the number of those that have a value changes
pub fn months<'s>(groups: Rows<'s, Group, Spread>) -> Rows<'s, Row> {
    let months = groups.inner.flat_map(|(group, epoch, spread)| match group {
        Group::Month(scope, id, month) => Some((((scope, month), id), epoch, spread)),
        _ => None,
    });
    let months = exchange(months.as_collection(), |(sheet, _)| sheet.hashed());
    as_it_comes(months, "Months and rankings", Months::default())
}

#[derive(Default)]
struct Months {
    sheets: Table<Sheet, Standings>,
    /// What changed in this epoch, as it was before it.
    before: Table<(Sheet, Id), Spread>,
    /// Empty between epochs.
    moves: Table<Sheet, Moves>,
}

/// A sheet.
#[derive(Default)]
struct Standings {
    sums: Table<Id, Spread>,
    /// Of those that have a value, in the order of [`Placed::before`].
    placed: Vec<Placed>,
}

#[derive(Clone, Copy)]
struct Placed {
    id: Id,
    value: Value,
    rank: u32,
}

/// Who leaves a place, and who comes to one.
#[derive(Default)]
struct Moves {
    gone: Vec<Placed>,
    came: Vec<Placed>,
}

impl Keeper<(Sheet, Id), Spread, Row, isize> for Months {
    fn take(
        &mut self,
        _: Epoch,
        &mut (sheet, id): &mut (Sheet, Id),
        change: &Spread,
        _: &mut Output<Row, isize>,
    ) {
        let sum = self.sheets.entry(sheet).or_default().sums.entry(id).or_default();
        self.before.entry((sheet, id)).or_insert(*sum);
        sum.plus_equals(change);
    }

    fn close(&mut self, epoch: Epoch, output: &mut Output<Row, isize>) {
        for ((sheet, id), before) in drain(&mut self.before) {
            let sums = &mut self.sheets.get_mut(&sheet).expect("entered by what changed").sums;
            let after = sums.get(&id).copied().unwrap_or_default();
            if after.is_zero() {
                sums.remove(&id);
            }
            let row = |spread: Spread| {
                let spread = Some(Box::new(spread)).filter(|spread| spread.value().n > 0)?;
                Some(Row::Month { scope: sheet.0, id, month: sheet.1, spread })
            };
            renew([row(before)], [row(after)], epoch, output);
            let placed = |spread: Spread| {
                let value = Some(spread.value()).filter(|value| value.n > 0)?;
                Some(Placed { id, value, rank: 0 })
            };
            if before.value() != after.value() {
                let moves = self.moves.entry(sheet).or_default();
                moves.gone.extend(placed(before));
                moves.came.extend(placed(after));
            }
        }
        for (sheet, moves) in drain(&mut self.moves) {
            let standings = self.sheets.get_mut(&sheet).expect("entered by what changed");
            standings.place(moves, |was, is| {
                let row = |Placed { id, value, rank }| Row::Ranking {
                    scope: sheet.0,
                    month: sheet.1,
                    id,
                    rank,
                    value,
                };
                output.extend(was.map(|was| (row(was), epoch, -1)));
                output.extend(is.map(|is| (row(is), epoch, 1)));
            });
            if standings.sums.is_empty() {
                self.sheets.remove(&sheet);
            }
        }
    }
}

impl Placed {
    /// The higher value first; of equal ones whoever was heard of first, which nobody sees.
    fn before(&self, other: &Placed) -> Ordering {
        other.value.compare(self.value).then(self.id.cmp(&other.id))
    }
}

impl Standings {
    /// Makes the moves; `tell` is told who was placed and how it now is, where that is not the same.
    fn place(&mut self, moves: Moves, mut tell: impl FnMut(Option<Placed>, Option<Placed>)) {
        let Moves { mut gone, mut came } = moves;
        gone.sort_unstable_by(Placed::before);
        came.sort_unstable_by(Placed::before);
        let Some(first) = gone.first().into_iter().chain(came.first()).min_by(|a, b| a.before(b))
        else {
            return;
        };
        let from = self.placed.partition_point(|placed| placed.before(first).is_lt());
        let (mut gone, mut came) = (gone.into_iter().peekable(), came.into_iter().peekable());
        // How it is from there on, and up to where it was otherwise.
        let mut anew: Vec<Placed> = Vec::new();
        let mut until = from;
        let mut above = from.checked_sub(1).map(|above| self.placed[above]);
        loop {
            let next = self.placed.get(until).copied();
            if let Some(was) = next
                && gone.next_if(|gone| gone.id == was.id).is_some()
            {
                tell(Some(was), None);
                until += 1;
                continue;
            }
            let comes = came.next_if(|came| next.is_none_or(|next| came.before(&next).is_lt()));
            let Some(mut is) = comes.or(next) else { break };
            is.rank = match above {
                Some(above) if above.value.compare(is.value).is_eq() => above.rank,
                _ => u32::try_from(from + anew.len() + 1).expect("fewer than 2^32 places"),
            };
            match (comes, next) {
                (None, Some(was)) if was.rank == is.rank => {
                    let moved = anew.len() != until - from;
                    if !moved && gone.peek().is_none() && came.peek().is_none() {
                        break;
                    }
                    until += 1;
                }
                (None, was) => {
                    tell(was, Some(is));
                    until += 1;
                }
                (Some(_), _) => tell(None, Some(is)),
            }
            anew.push(is);
            above = Some(is);
        }
        self.placed.splice(from..until, anew);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// By id: rank and value, as the definition says it.
    fn ranks(values: &BTreeMap<Id, Value>) -> BTreeMap<Id, (u32, Value)> {
        let above = |value: Value| values.values().filter(|v| v.compare(value).is_gt()).count();
        values.iter().map(|(id, value)| (*id, (above(*value) as u32 + 1, *value))).collect()
    }

    proptest! {
        /// Whoever is told of each move has the ranks that counting those above gives.
        #[test]
        fn ranks_are_how_many_are_above(
            epochs in prop::collection::vec(
                prop::collection::btree_map(0..12_u32, (0..4_i64, 0..4_i64), 0..5),
                1..12,
            ),
        ) {
            let ids: Vec<Id> = (0..12).map(|n| Id::of(&format!("ranked {n}"))).collect();
            let (mut values, mut told) = (BTreeMap::new(), BTreeMap::new());
            let mut standings = Standings::default();
            for epoch in epochs {
                let mut moves = Moves::default();
                for (number, (k, n)) in epoch {
                    let id = ids[number as usize];
                    let was: Option<Value> = values.remove(&id);
                    let is = (n > 0).then_some(Value { k: k.min(n), n });
                    values.extend(is.map(|value| (id, value)));
                    if was != is {
                        moves.gone.extend(was.map(|value| Placed { id, value, rank: 0 }));
                        moves.came.extend(is.map(|value| Placed { id, value, rank: 0 }));
                    }
                }
                let mut now = Vec::new();
                standings.place(moves, |was, is| {
                    if let Some(Placed { id, value, rank }) = was {
                        assert_eq!(told.remove(&id), Some((rank, value)));
                    }
                    now.extend(is);
                });
                for Placed { id, value, rank } in now {
                    prop_assert_eq!(told.insert(id, (rank, value)), None);
                }
                prop_assert_eq!(&told, &ranks(&values));
            }
        }
    }
}
