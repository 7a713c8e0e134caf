//! The phone centre's sample (7.8, D10) and the clocks of its calls (7.9).
//!
//! A list is drawn at a full hour and only ever grows, so here, and only here, a row depends on
//! what was known *when*: on the epochs in which the log says which hour it was.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Broadcast;

use differential_dataflow::AsCollection;
use differential_dataflow::Hashable;

use crate::calendar::{Day, Hour, Moment};
use crate::domain::Record;
use crate::epochs::{Output, Rows, exchange, per_epoch};
use crate::graph::Base;
use crate::id::Id;
use crate::records::Calls;
use crate::reference::{Location, left_join};
use crate::views::{DeadlineKind, DeadlineState, Row};
use crate::world::{Switches, World, ZoneIndex};

/// A list of the survey: the replies of one working day to one unit and all below it.
pub type ListKey = (Id, Day);

/// What the draw hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Heard {
    /// A counted negative reply.
    Candidate(ListKey, ZoneIndex, Record),
    /// Called twice without an answer.
    Exhausted(Record),
    /// It is this hour now.
    Hour(Hour),
}

/// `(unit at the top, its zone, day, record)` of a counted negative SMS reply.
pub type Candidate = (Id, ZoneIndex, Day, Record);

/// What the draw puts out: the rows of `survey_sample` and `survey_lists`.
///
/// All lists are kept by one worker: negative replies are one message in a hundred.
///
/// - rule: Order 120 p. 7.8; D10: at least 5 % of a working day's negative replies, ⌈n/20⌉; drawn
///   by a keyed hash, lowest first; formed once, when the day is over in the unit's zone; later
///   corrections add and never take back; who does not answer twice is replaced by the next
pub fn draw<'s>(
    candidates: Rows<'s, Candidate>,
    calls: Rows<'s, (Record, Calls)>,
    hours: Rows<'s, Hour>,
    switches: &Switches,
    world: &World,
    base: &Base,
) -> Rows<'s, Row> {
    let days = world.working_days.clone();
    let heard = candidates
        .map(move |(unit, zone, day, record)| {
            Heard::Candidate((unit, days.on_or_after(day)), zone, record)
        })
        .concat(calls.filter(|(_, calls)| calls.exhausted).map(|(r, _)| Heard::Exhausted(r)))
        .concat(hours.map(Heard::Hour));
    let mut lists = Lists::new(switches.clone(), world.clone());
    lists.restore(&base.drawn);
    let base = base.clone();
    per_epoch(exchange(heard, |_| 0), "Draw", move |epoch, updates, output| {
        let mut now = None;
        for (heard, diff) in updates {
            match heard {
                Heard::Candidate(list, zone, record) => lists.candidate(list, zone, record, diff),
                Heard::Exhausted(record) => lists.exhausted(record, diff),
                Heard::Hour(hour) if diff > 0 => now = Some(hour),
                Heard::Hour(_) => {}
            }
        }
        if base.epoch == Some(epoch) {
            output.extend(base.drawn.iter().map(|row| (row.clone(), epoch, 1)));
        } else if let Some(now) = now {
            lists.tick(now, epoch, output);
        }
    })
}

struct Lists {
    switches: Switches,
    world: World,
    lists: BTreeMap<ListKey, List>,
    drawn_on: HashMap<Record, Vec<ListKey>>,
    /// How often each is: while an epoch is taken in, twice or less than once.
    exhausted: HashMap<Record, isize>,
    /// Lists that may come out differently at the next tick.
    dirty: BTreeSet<ListKey>,
    /// Lists whose day is not over, by when it is or was thought to be, µs.
    waiting: BTreeSet<(i64, ListKey)>,
}

#[derive(Default)]
struct List {
    formed: bool,
    /// The unit's, as its last candidate said.
    zone: ZoneIndex,
    /// How often each is there, by ticket: while an epoch is taken in, twice or less than once.
    candidates: BTreeMap<(u64, Record), isize>,
    drawn: Vec<Record>,
    shown: Option<Row>,
}

impl Lists {
    fn new(switches: Switches, world: World) -> Lists {
        Lists {
            switches,
            world,
            lists: BTreeMap::new(),
            drawn_on: HashMap::new(),
            exhausted: HashMap::new(),
            dirty: BTreeSet::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Takes over what was drawn before; the candidates come again by themselves.
    fn restore(&mut self, rows: &[Row]) {
        let mut drawn: BTreeMap<ListKey, BTreeMap<u32, Record>> = BTreeMap::new();
        for row in rows {
            match row {
                Row::SurveyList { unit, day, .. } => {
                    let list = self.lists.entry((*unit, *day)).or_default();
                    (list.formed, list.shown) = (true, Some(row.clone()));
                }
                Row::SurveySample { unit, day, record, order } => {
                    drawn.entry((*unit, *day)).or_default().insert(*order, *record);
                    self.drawn_on.entry(*record).or_default().push((*unit, *day));
                }
                _ => {}
            }
        }
        for (key, records) in drawn {
            let list = self.lists.entry(key).or_default();
            (list.formed, list.drawn) = (true, records.into_values().collect());
        }
    }

    fn candidate(&mut self, key: ListKey, zone: ZoneIndex, record: Record, diff: isize) {
        let ticket = (self.ticket(key.1, record), record);
        let list = self.lists.entry(key).or_default();
        if diff > 0 {
            list.zone = zone;
        }
        let count = list.candidates.entry(ticket).or_default();
        *count += diff;
        if *count == 0 {
            list.candidates.remove(&ticket);
        }
        if list.formed {
            self.dirty.insert(key);
        } else {
            self.waiting.insert((day_over(&self.world, list.zone, key), key));
        }
    }

    fn exhausted(&mut self, record: Record, diff: isize) {
        let times = self.exhausted.entry(record).or_default();
        *times += diff;
        if *times == 0 {
            self.exhausted.remove(&record);
        }
        self.dirty.extend(self.drawn_on.get(&record).into_iter().flatten().copied());
    }

    /// D10: random to an outsider, the same on every replay.
    fn ticket(&self, day: Day, record: Record) -> u64 {
        let (k0, k1) = self.switches.sample_key;
        let mut hasher = siphasher::sip::SipHasher24::new_with_keys(k0, k1);
        hasher.write(&day.0.to_le_bytes());
        hasher.write(&record.to_le_bytes());
        hasher.finish()
    }

    fn tick(&mut self, now: Hour, epoch: u64, output: &mut Output<Row, isize>) {
        while let Some(&(over, key)) = self.waiting.first()
            && over <= now.micros()
        {
            self.waiting.pop_first();
            let Some(list) = self.lists.get_mut(&key) else { continue };
            // Where its unit has moved to another zone, it waits for the end of its day there too.
            if !list.formed && day_over(&self.world, list.zone, key) <= now.micros() {
                list.formed = true;
                self.dirty.insert(key);
            }
        }
        for key in std::mem::take(&mut self.dirty) {
            self.extend(key, epoch, output);
        }
    }

    /// Draws until the list is as long as its replies ask for.
    fn extend(&mut self, key: ListKey, epoch: u64, output: &mut Output<Row, isize>) {
        let Some(list) = self.lists.get_mut(&key) else { return };
        let count = |n: usize| u32::try_from(n).expect("a day's replies fit");
        let replies = count(list.candidates.len());
        let wanted = replies.div_ceil(20);
        let cap = self.switches.survey_cap;
        let asked = if cap == 0 { wanted } else { wanted.min(cap) };
        let exhausted = &self.exhausted;
        let mut reachable = count(list.drawn.iter().filter(|r| !exhausted.contains_key(r)).count());
        let undrawn = list.candidates.keys().map(|(_, record)| *record);
        let undrawn: Vec<Record> = undrawn.filter(|record| !list.drawn.contains(record)).collect();
        for record in undrawn {
            if reachable >= asked {
                break;
            }
            list.drawn.push(record);
            reachable += u32::from(!exhausted.contains_key(&record));
            self.drawn_on.entry(record).or_default().push(key);
            let (unit, day) = key;
            let order = count(list.drawn.len());
            output.push((Row::SurveySample { unit, day, record, order }, epoch, 1));
        }
        let (unit, day) = key;
        let row = Row::SurveyList { unit, day, replies, wanted, drawn: reachable };
        let shown = (replies > 0 || !list.drawn.is_empty()).then_some(row);
        if list.shown != shown {
            output.extend(list.shown.take().map(|row| (row, epoch, -1)));
            output.extend(shown.clone().map(|row| (row, epoch, 1)));
            list.shown = shown;
        }
    }
}

/// When the day of a list is over at its unit, µs.
fn day_over(world: &World, zone: ZoneIndex, (_, day): ListKey) -> i64 {
    world.zone(zone).at(Day(day.0 + 1), 0).micros()
}

/// A clock that runs: what is due when, and when it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Clock {
    /// Of which rule.
    pub kind: DeadlineKind,
    /// Whose.
    pub record: Record,
    /// Where, if that is known.
    pub unit: Option<Id>,
    /// When it runs out.
    pub due: Moment,
    /// When it was done, µs.
    pub done: Option<i64>,
}

/// The clocks of calls.
///
/// - in: the rows of `survey_sample`; the calls made
/// - rule: 7.9, a call within 2 working days of the list; a second within 1 working day of the
///   first, where that settled nothing
pub fn call_clocks<'s>(
    sample: Rows<'s, Row>,
    calls: Rows<'s, (Record, Calls)>,
    locations: Rows<'s, (Id, Location)>,
    world: &World,
) -> Rows<'s, Clock> {
    let drawn = sample
        .flat_map(|row| match row {
            Row::SurveySample { unit, day, record, .. } => Some((record, (day, unit))),
            _ => None,
        })
        .reduce(|_, lists, output| {
            let first =
                lists.iter().map(|(list, _)| **list).min_by_key(|(day, u)| (*day, u.text()));
            output.extend(first.map(|list| (list, 1)));
        });
    let zones = locations.map(|(unit, at)| (unit, at.zone));
    let called =
        left_join(drawn, calls).map(|(record, (day, unit), calls)| (unit, (record, day, calls)));
    let world = world.clone();
    left_join(called, zones).map(move |(unit, (record, day, calls), zone)| {
        let (from, days, done) = match calls {
            None => (day, 2, None),
            Some(Calls { first: (at, true), .. }) => (day, 2, Some(at.micros())),
            Some(Calls { first: (at, false), second, .. }) => {
                (local_day(&world, zone, at.micros()), 1, second)
            }
        };
        let due = closing(&world, zone, from, days);
        Clock { kind: DeadlineKind::Call, record, unit: Some(unit), due, done }
    })
}

/// § 6: 19:00, when offices close, of the n-th working day after `day`.
pub(crate) fn closing(world: &World, zone: Option<ZoneIndex>, day: Day, days: u32) -> Moment {
    world.zone(zone.unwrap_or(0)).at(world.working_days.after(day, days), 19)
}

/// The date in a zone at a moment, microseconds since 1970.
pub(crate) fn local_day(world: &World, zone: Option<ZoneIndex>, at: i64) -> Day {
    world.zone(zone.unwrap_or(0)).day(at)
}

/// What the hands of the clocks hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Hand {
    Clock(Clock),
    Hour(Hour),
}

/// The rows of `deadlines` for calls: each clock's state at the present hour.
///
/// - state: the clocks still open; an hour costs those that run out in it
pub fn deadlines<'s>(clocks: Rows<'s, Clock>, hours: Rows<'s, Hour>, base: &Base) -> Rows<'s, Row> {
    let clocks = exchange(clocks, |clock| clock.record.hashed()).map(Hand::Clock);
    let hours = hours.map(Hand::Hour).inner.broadcast().as_collection();
    let mut now = base.hour.map_or(i64::MIN, Hour::micros);
    let mut open: BTreeMap<(i64, Clock), isize> = BTreeMap::new();
    per_epoch(clocks.concat(hours), "Deadlines", move |epoch, updates, output| {
        let hours = updates.iter().filter_map(|(hand, diff)| match hand {
            Hand::Hour(hour) if *diff > 0 => Some(hour.micros()),
            _ => None,
        });
        now = hours.max().map_or(now, |hour| hour.max(now));
        while let Some(entry) = open.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((_, clock), count) = entry.remove_entry();
            output.push((clock.row(DeadlineState::Open), epoch, -count));
            output.push((clock.row(DeadlineState::Overdue), epoch, count));
        }
        for (hand, diff) in updates {
            let Hand::Clock(clock) = hand else { continue };
            let state = clock.state(now);
            output.push((clock.row(state), epoch, diff));
            if state == DeadlineState::Open {
                let count = open.entry((clock.due.micros(), clock)).or_default();
                *count += diff;
                if *count == 0 {
                    open.remove(&(clock.due.micros(), clock));
                }
            }
        }
    })
}

impl Clock {
    /// At a moment, µs.
    pub fn state(&self, now: i64) -> DeadlineState {
        match self.done {
            Some(done) if done <= self.due.micros() => DeadlineState::Met,
            Some(_) => DeadlineState::Missed,
            None if now < self.due.micros() => DeadlineState::Open,
            None => DeadlineState::Overdue,
        }
    }

    /// Its row in `deadlines`.
    pub fn row(&self, state: DeadlineState) -> Row {
        let Clock { kind, record, unit, due, .. } = *self;
        Row::Deadline { kind, record, due, state, unit }
    }
}
