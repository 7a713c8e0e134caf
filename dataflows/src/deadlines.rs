//! The clocks of offers and reviews (7.4, 9.5): one a fact with a phone number, so the most rows of
//! all; in one keyed operator, which keeps 16 bytes for each, and in a table 17 to 34.

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::AsCollection;
use differential_dataflow::consolidation::consolidate;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Broadcast;

use crate::calendar::{Hour, Moment};
use crate::domain::{Epoch, Record};
use crate::epochs::{Output, Rows, exchange, per_epoch};
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
    /// A clock runs at a unit: of which kind and record, since when, and when it was done.
    Due(Option<Id>, DeadlineKind, Record, Moment, Option<i64>),
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
            Some(Heard::Due(unit, kind, record, from, done))
        }
        _ => None,
    });
    let due = exchange(due, |heard| match heard {
        Heard::Due(_, _, record, ..) => route(*record),
        Heard::Zone(..) | Heard::Hour(_) => 0,
    });
    let told =
        locations.map(|(unit, at)| Heard::Zone(unit, at.zone)).concat(hours.map(Heard::Hour));
    let heard = due.concat(told.inner.broadcast().as_collection());
    let mut clocks = Clocks::new(world.clone(), base.hour);
    per_epoch(heard, "Offers and reviews", move |epoch, heard, output| {
        clocks.take(heard, epoch, output);
    })
}

/// A clock by its record, twice that, and one more for a review.
type ClockKey = u64;

/// When a clock started, and when it was done: whole minutes since 1970, which fit (a [`Moment`]
/// has 2^52 µs). They tell no less than the moments do: days begin, and clocks run out, on full
/// minutes, so a start is rounded down and an end up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// Of a clock that runs still.
const NOT_DONE: i32 = i32::MIN;

const MINUTE_MICROS: i64 = 60_000_000;

struct Clocks {
    world: World,
    /// Now, µs.
    now: i64,
    zones: Table<Id, ZoneIndex>,
    runs: Table<Option<Id>, Table<ClockKey, Run>>,
    /// The clocks that are open, by when they run out, µs; and some that were.
    open: BTreeMap<i64, Vec<(Option<Id>, ClockKey)>>,
}

impl Clocks {
    fn new(world: World, hour: Option<Hour>) -> Clocks {
        let (zones, runs, open) = (Table::default(), Table::default(), BTreeMap::new());
        Clocks { world, now: hour.map_or(i64::MIN, Hour::micros), zones, runs, open }
    }

    fn take(&mut self, heard: Vec<(Heard, isize)>, epoch: Epoch, output: &mut Output<Row, isize>) {
        let mut moved = Vec::new();
        let mut changed = Vec::new();
        let mut now = self.now;
        for (heard, diff) in heard {
            match heard {
                Heard::Hour(hour) if diff > 0 => now = now.max(hour.micros()),
                Heard::Hour(_) => {}
                Heard::Zone(unit, zone) => moved.push(((unit, zone), diff)),
                Heard::Due(unit, kind, record, from, done) => {
                    let key = record << 1 | u64::from(kind == DeadlineKind::Review);
                    changed.push(((unit, key, Run::new(from, done)), diff));
                }
            }
        }
        self.run_out(now, epoch, output);
        consolidate(&mut moved);
        self.move_units(moved, epoch, output);
        self.change(changed, epoch, output);
    }

    /// Clocks stop and start; one that changes does both. What starts and stops in one epoch, as
    /// of a record whose reply came at once, has never been.
    fn change(
        &mut self,
        mut clocks: Vec<(Held, isize)>,
        epoch: Epoch,
        output: &mut Output<Row, isize>,
    ) {
        consolidate(&mut clocks);
        for &((unit, key, run), _) in clocks.iter().filter(|(_, diff)| *diff < 0) {
            self.runs.entry(unit).or_default().remove(&key);
            output.extend(self.row(unit, key, run).map(|row| (row, epoch, -1)));
        }
        for &((unit, key, run), _) in clocks.iter().filter(|(_, diff)| *diff > 0) {
            self.runs.entry(unit).or_default().insert(key, run);
            self.show(unit, key, run, epoch, output);
        }
    }

    /// The hour strikes: what is open and due by now is overdue.
    fn run_out(&mut self, now: i64, epoch: Epoch, output: &mut Output<Row, isize>) {
        let later = self.open.split_off(&(now.saturating_add(1)));
        for (due, mut clocks) in std::mem::replace(&mut self.open, later) {
            clocks.sort_unstable();
            clocks.dedup();
            for (unit, key) in clocks {
                let Some(run) = self.runs.get(&unit).and_then(|runs| runs.get(&key)) else {
                    continue;
                };
                let Some(clock) = self.clock(unit, key, *run) else { continue };
                if run.done == NOT_DONE && clock.due.micros() == due {
                    output.push((clock.row(DeadlineState::Open), epoch, -1));
                    output.push((clock.row(DeadlineState::Overdue), epoch, 1));
                }
            }
        }
        self.now = now;
    }

    /// Units are in another zone, or known only now.
    fn move_units(
        &mut self,
        moved: Vec<((Id, ZoneIndex), isize)>,
        epoch: Epoch,
        output: &mut Output<Row, isize>,
    ) {
        let units: BTreeSet<Id> = moved.iter().map(|((unit, _), _)| *unit).collect();
        let runs = |clocks: &Clocks, unit: Id| -> Vec<(ClockKey, Run)> {
            let runs = clocks.runs.get(&Some(unit)).into_iter().flatten();
            runs.map(|(key, run)| (*key, *run)).collect()
        };
        for &unit in &units {
            for (key, run) in runs(self, unit) {
                output.extend(self.row(Some(unit), key, run).map(|row| (row, epoch, -1)));
            }
        }
        for &((unit, zone), diff) in &moved {
            if diff < 0 && self.zones.get(&unit) == Some(&zone) {
                self.zones.remove(&unit);
            }
        }
        for &((unit, zone), _) in moved.iter().filter(|(_, diff)| *diff > 0) {
            self.zones.insert(unit, zone);
        }
        for &unit in &units {
            for (key, run) in runs(self, unit) {
                self.show(Some(unit), key, run, epoch, output);
            }
        }
    }

    /// Puts out a clock's row, and waits for the hour it runs out.
    fn show(
        &mut self,
        unit: Option<Id>,
        key: ClockKey,
        run: Run,
        epoch: Epoch,
        output: &mut Output<Row, isize>,
    ) {
        let Some(clock) = self.clock(unit, key, run) else { return };
        let state = clock.state(self.now);
        output.push((clock.row(state), epoch, 1));
        if state == DeadlineState::Open {
            self.open.entry(clock.due.micros()).or_default().push((unit, key));
        }
    }

    fn row(&self, unit: Option<Id>, key: ClockKey, run: Run) -> Option<Row> {
        self.clock(unit, key, run).map(|clock| clock.row(clock.state(self.now)))
    }

    /// The clock; none while nobody is to make the offer.
    fn clock(&self, unit: Option<Id>, key: ClockKey, run: Run) -> Option<Clock> {
        let zone = unit.and_then(|unit| self.zones.get(&unit).copied());
        let (kind, days) = match key & 1 {
            0 => (DeadlineKind::Sms, 1),
            _ => (DeadlineKind::Review, 10),
        };
        if kind == DeadlineKind::Sms && zone.is_none() {
            return None;
        }
        let day = crate::survey::local_day(&self.world, zone, run.started());
        let due = crate::survey::closing(&self.world, zone, day, days);
        Some(Clock { kind, record: key >> 1, unit, due, done: run.done() })
    }
}
