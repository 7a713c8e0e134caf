//! The clocks of offers and reviews (7.4, 9.5): one a fact with a phone number, so the most rows of
//! all; in one keyed operator, which keeps 16 bytes for each, and of some that have ended.

use std::collections::{BTreeMap, btree_map};

use differential_dataflow::AsCollection;
use differential_dataflow::consolidation::{consolidate, consolidate_slice};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Broadcast;

use crate::calendar::{Hour, Moment};
use crate::domain::Epoch;
use crate::epochs::{Keeper, Output, Rows, as_it_comes, exchange, gather, make_room};
use crate::graph::Base;
use crate::id::{Id, Table};
use crate::ledger::route;
use crate::records::Outcome;
use crate::reference::Location;
use crate::survey::Clock;
use crate::views::{DeadlineKind, DeadlineState, Row};
use crate::world::{World, ZoneIndex};

/// What the operator hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Heard {
    /// A clock runs, or ran, at a unit.
    Clock(Held),
    /// The zone of a unit.
    Zone(Id, ZoneIndex),
    /// It is this hour now.
    Hour(Hour),
}

/// The rows of `deadlines` for offers and reviews.
///
/// - in: the outcomes that are clocks; where units are; the hour. At most one clock a kind and record
/// - out: each clock's state at the present hour
/// - state: the clocks by unit; an hour costs those that run out in it, a unit in another zone its own
/// - rule: 7.4, an SMS within one working day of the fact's arrival (at a known unit); 9.5, a
///   review answered within 10 working days
pub fn offers_and_reviews<'s>(
    outcomes: Rows<'s, Outcome>,
    locations: Rows<'s, (Id, Location)>,
    hours: Rows<'s, Hour>,
    world: &World,
    base: &Base,
) -> Rows<'s, Row> {
    let due = outcomes.flat_map(|outcome| match outcome {
        Outcome::Due(kind, record, unit, from, done) => {
            let key = record << 1 | u64::from(kind == DeadlineKind::Sms);
            Some(Heard::Clock((unit, key, Run::new(from, done))))
        }
        _ => None,
    });
    let due = exchange(due, |heard| match heard {
        Heard::Clock((_, key, _)) => route(key >> 1),
        Heard::Zone(..) | Heard::Hour(_) => 0,
    });
    let told =
        locations.map(|(unit, at)| Heard::Zone(unit, at.zone)).concat(hours.map(Heard::Hour));
    let heard = due.concat(told.inner.broadcast().as_collection());
    as_it_comes(heard, "Offers and reviews", Clocks::new(world.clone(), base.hour))
}

/// A clock by its record, twice that, and one more for an offer.
type ClockKey = u64;

/// When a clock started, and when it was done: whole minutes since 1970, which fit (a [`Moment`]
/// has 2^52 µs). They tell no less than the moments do: days begin, and clocks run out, on full
/// minutes, so a start is rounded down and an end up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Run {
    started: i32,
    done: i32,
}

impl Run {
    fn new(started: Moment, done: Option<i64>) -> Run {
        let started = started.micros().div_euclid(MINUTE_MICROS) as i32;
        let done = done.map_or(NOT_DONE, |done| -(-done).div_euclid(MINUTE_MICROS) as i32);
        Run { started, done }
    }

    /// Microseconds since 1970.
    fn started(self) -> i64 {
        i64::from(self.started) * MINUTE_MICROS
    }

    /// Microseconds since 1970.
    fn done(self) -> Option<i64> {
        (self.done != NOT_DONE).then(|| i64::from(self.done) * MINUTE_MICROS)
    }
}

/// A clock at its unit.
type Held = (Option<Id>, ClockKey, Run);

/// The units of so many clocks are fetched from memory together.
const FORESEEN: usize = 256;

/// Of a clock that runs still.
const NOT_DONE: i32 = i32::MIN;

const MINUTE_MICROS: i64 = 60_000_000;

struct Clocks {
    world: World,
    /// Now, µs.
    now: i64,
    units: Table<Option<Id>, AtUnit>,
    /// The clocks that are open, by when they run out, µs.
    open: BTreeMap<i64, Table<ClockKey, (Option<Id>, Run)>>,
    brought: Brought,
}

/// What an epoch brings, until it is closed.
#[derive(Default)]
struct Brought {
    hour: Option<Hour>,
    moved: Vec<((Id, ZoneIndex), isize)>,
    clocks: Vec<(Held, isize)>,
}

/// What is known of a unit, or of clocks of none.
#[derive(Default)]
struct AtUnit {
    /// None while the unit is not known.
    zone: Option<ZoneIndex>,
    runs: Runs,
}

/// The clocks of a unit. They are asked for only where the unit moves, so one that ends is not looked for
/// before many have.
#[derive(Default)]
struct Runs {
    began: Vec<(ClockKey, Run)>,
    ended: Vec<(ClockKey, Run)>,
}

impl Runs {
    fn end(&mut self, key: ClockKey, run: Run) {
        self.ended.push((key, run));
        if self.ended.len() > 16 + self.began.len() / 4 {
            self.settle();
        }
    }

    /// Those that have not ended.
    fn settle(&mut self) -> &[(ClockKey, Run)] {
        // In order already, but for those since.
        self.began.sort();
        self.ended.sort_unstable();
        let mut ended = self.ended.drain(..).peekable();
        self.began.retain(|began| ended.next_if_eq(began).is_none());
        assert!(ended.next().is_none(), "a clock that ends has begun");
        drop(ended);
        &self.began
    }
}

impl Keeper<Heard, isize, Row, isize> for Clocks {
    fn take(&mut self, _: Epoch, heard: &mut Heard, diff: &isize, _: &mut Output<Row, isize>) {
        let Brought { hour, moved, clocks } = &mut self.brought;
        match *heard {
            Heard::Clock(clock) => gather(clocks, (clock, *diff)),
            Heard::Zone(unit, zone) => moved.push(((unit, zone), *diff)),
            Heard::Hour(told) if *diff > 0 => *hour = (*hour).max(Some(told)),
            Heard::Hour(_) => {}
        }
    }

    fn close(&mut self, epoch: Epoch, output: &mut Output<Row, isize>) {
        let mut brought = std::mem::take(&mut self.brought);
        if let Some(hour) = brought.hour.take() {
            self.run_out(self.now.max(hour.micros()), epoch, output);
        }
        consolidate(&mut brought.moved);
        self.move_units(&brought.moved, epoch, output);
        self.change(&mut brought.clocks, epoch, output);
        brought.moved.clear();
        make_room(&mut brought.clocks);
        self.brought = brought;
    }
}

impl Clocks {
    fn new(world: World, hour: Option<Hour>) -> Clocks {
        let now = hour.map_or(i64::MIN, Hour::micros);
        let (units, open) = (Table::default(), BTreeMap::new());
        Clocks { world, now, units, open, brought: Brought::default() }
    }

    /// Clocks stop and start; one that changes does both, in this order. What starts and stops in one epoch,
    /// as of a record whose reply came at once, has never been.
    fn change(
        &mut self,
        clocks: &mut Vec<(Held, isize)>,
        epoch: Epoch,
        output: &mut Output<Row, isize>,
    ) {
        // In the order of rows, which is what they are brought into.
        let key = |((_, key, _), _): &(Held, isize)| (key & 1, *key);
        clocks.sort_unstable_by_key(key);
        for changes in clocks.chunk_by_mut(|one, other| key(one) == key(other)) {
            let left = consolidate_slice(changes);
            let (left, gone) = changes.split_at_mut(left);
            left.sort_unstable_by_key(|(_, diff)| *diff);
            gone.iter_mut().for_each(|(_, diff)| *diff = 0);
        }
        clocks.retain(|(_, diff)| *diff != 0);
        for together in clocks.chunks(FORESEEN) {
            self.foresee(together);
            for &(clock @ (unit, key, run), diff) in together {
                let AtUnit { zone, runs } = self.units.entry(unit).or_default();
                match diff {
                    ..0 => runs.end(key, run),
                    _ => runs.began.push((key, run)),
                }
                let zone = *zone;
                self.tell(clock, zone, diff, epoch, output);
            }
        }
    }

    /// Fetches from memory where clocks will be put: first their units, then the ends of what these have.
    fn foresee(&self, clocks: &[(Held, isize)]) {
        let units: Vec<&AtUnit> =
            clocks.iter().filter_map(|((unit, ..), _)| self.units.get(unit)).collect();
        let last = units.iter().filter_map(|at| at.runs.began.last());
        std::hint::black_box(last.map(|(key, _)| key).max());
    }

    /// The hour strikes: what is open and due by now is overdue.
    fn run_out(&mut self, now: i64, epoch: Epoch, output: &mut Output<Row, isize>) {
        let later = self.open.split_off(&(now.saturating_add(1)));
        for (key, (unit, run)) in std::mem::replace(&mut self.open, later).into_values().flatten() {
            let zone = self.units.get(&unit).and_then(|at| at.zone);
            let Some(clock) = self.clock((unit, key, run), zone) else { continue };
            output.push((clock.row(DeadlineState::Open), epoch, -1));
            output.push((clock.row(DeadlineState::Overdue), epoch, 1));
        }
        self.now = now;
    }

    /// Units are in another zone, or known only now.
    fn move_units(
        &mut self,
        moved: &[((Id, ZoneIndex), isize)],
        epoch: Epoch,
        output: &mut Output<Row, isize>,
    ) {
        let mut zones: BTreeMap<Id, Option<ZoneIndex>> = BTreeMap::new();
        for ((unit, zone), diff) in moved {
            let zone = Some(*zone).filter(|_| *diff > 0);
            let of_unit = zones.entry(*unit).or_default();
            *of_unit = zone.or(*of_unit);
        }
        for (unit, zone) in zones {
            let at = self.units.entry(Some(unit)).or_default();
            let before = std::mem::replace(&mut at.zone, zone);
            let clocks: Vec<Held> =
                at.runs.settle().iter().map(|(key, run)| (Some(unit), *key, *run)).collect();
            for (zone, diff) in [(before, -1), (zone, 1)] {
                for clock in &clocks {
                    self.tell(*clock, zone, diff, epoch, output);
                }
            }
        }
    }

    /// The row of a clock at a unit of this zone comes, and waits for the hour it runs out (1), or goes (-1).
    fn tell(
        &mut self,
        held @ (unit, key, run): Held,
        zone: Option<ZoneIndex>,
        diff: isize,
        epoch: Epoch,
        output: &mut Output<Row, isize>,
    ) {
        let Some(clock) = self.clock(held, zone) else { return };
        let state = clock.state(self.now);
        output.push((clock.row(state), epoch, diff));
        if state != DeadlineState::Open {
            return;
        }
        match self.open.entry(clock.due.micros()) {
            due if diff > 0 => _ = due.or_default().insert(key, (unit, run)),
            btree_map::Entry::Occupied(mut due) => {
                due.get_mut().remove(&key);
                if due.get().is_empty() {
                    due.remove();
                }
            }
            btree_map::Entry::Vacant(_) => {}
        }
    }

    /// The clock, at a unit of this zone; none while nobody is to make the offer.
    fn clock(&self, (unit, key, run): Held, zone: Option<ZoneIndex>) -> Option<Clock> {
        let (kind, days) = match key & 1 {
            0 => (DeadlineKind::Review, 10),
            _ => (DeadlineKind::Sms, 1),
        };
        if kind == DeadlineKind::Sms && zone.is_none() {
            return None;
        }
        let day = crate::survey::local_day(&self.world, zone, run.started());
        let due = crate::survey::closing(&self.world, zone, day, days);
        Some(Clock { kind, record: key >> 1, unit, due, done: run.done() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many begin, some end, one begins again: those that run are there once, in their order.
    #[test]
    fn clocks_that_ended_are_gone_when_asked_for() {
        let run = |done| Run { started: 7, done };
        let mut runs = Runs::default();
        for key in (0..500_u64).rev() {
            runs.began.push((key, run(NOT_DONE)));
        }
        for key in (0..500).filter(|key| key % 3 == 0) {
            runs.end(key, run(NOT_DONE));
            runs.began.push((key, run(9)));
        }
        for key in (0..500).filter(|key| key % 6 == 0) {
            runs.end(key, run(9));
        }
        runs.began.push((6, run(9)));
        let left: Vec<(ClockKey, Run)> = (0..500)
            .filter(|key| key % 6 != 0 || *key == 6)
            .map(|key| (key, run(if key % 3 == 0 { 9 } else { NOT_DONE })))
            .collect();
        assert_eq!(runs.settle(), left);
        assert!(runs.ended.is_empty());
    }
}
