//! What is known of each place, in one keyed operator: its cells, the messages behind them, and all
//! that changes above when they do, or when the reference data say otherwise.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use differential_dataflow::AsCollection;
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::{Broadcast, Map};

use crate::attribute::{PeriodKey, PeriodSums, PeriodTally, Posts, Span};
use crate::calendar::{Day, Month};
use crate::cells::Cells;
use crate::conservation::{Verdict, verdict};
use crate::domain::{Channel, Epoch, Place, Record, Service, Tenure};
use crate::epochs::{Output, Rows, exchange, per_epoch, split};
use crate::id::{Id, Table, drain};
use crate::records::{Outcome, Ratings};
use crate::reference::{Offices, Placing, Seat, Standing, replace};
use crate::rollup::{Group, GroupSums, groups_of, months_of, territories};
use crate::survey::Candidate;
use crate::tally::{Detail, Messages, Replaced, Spread, Tally};
use crate::views::RefusalCode;

/// What the operator hears.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Heard {
    /// A record's ratings.
    Rated(Place, Day, Ratings),
    /// A standing fact at a unit.
    Fact(Id),
    /// One record, rated at two places.
    Twice(Place, Place),
    /// A negative reply.
    Negative(Place, Day, Record),
    /// A message that was refused.
    Lost(Place, Day, RefusalCode, Channel),
    /// How a unit stands.
    Standing(Id, Box<Standing>),
    /// Whether a service is listed.
    Service(Id, bool),
    /// Who holds a post when.
    Span(Id, Span),
    /// A time in office.
    Tenure(Box<Tenure>),
    /// What day it is.
    Today(Day),
}

/// What the operator says.
#[derive(Clone, Debug)]
enum Found {
    Period(PeriodKey, Box<PeriodTally>),
    Group(Group, Spread),
    Verdict(Verdict, isize),
    Candidate(Candidate, isize),
}

/// What places come to.
pub struct Findings<'s> {
    /// The ratings that belong to managers, by accounting period (p. 12, 15, 17).
    pub periods: Rows<'s, PeriodKey, PeriodTally>,
    /// Counted ratings, rated records and standing facts by group (p. 12–16).
    pub groups: Rows<'s, Group, Spread>,
    /// What became of the messages whose ratings are at a place.
    pub verdicts: Rows<'s, Verdict>,
    /// The counted negative replies (7.8).
    pub candidates: Rows<'s, Candidate>,
    /// What this worker knows, for who asks.
    pub known: Rc<RefCell<Places>>,
}

/// The reference data that every worker keeps whole.
pub struct Given<'s> {
    /// How each unit stands.
    pub standings: Rows<'s, (Id, Standing)>,
    /// The services.
    pub services: Rows<'s, Service>,
    /// Who holds which post when, of [`spans`](crate::attribute::spans).
    pub spans: Rows<'s, (Id, Span)>,
    /// The times in office.
    pub tenures: Rows<'s, Tenure>,
    /// What day it is.
    pub today: Rows<'s, Day>,
}

/// Follows every place through ratings and corrections.
///
/// - in: the outcomes that are at a place or unit; the reference data
/// - out: sums of an epoch's changes, each key once a worker
/// - state: by place its cells, messages, negative replies, what surveys replaced, what was refused,
///   and records rated elsewhere too; by unit its facts. A rating costs its cell; a correction the
///   cells of the places it touches
pub fn places<'s>(outcomes: Rows<'s, Outcome>, given: Given<'s>) -> Findings<'s> {
    let at_place = outcomes.flat_map(|outcome| match outcome {
        Outcome::Rated(place, day, ratings) => Some(Heard::Rated(place, day, ratings)),
        Outcome::Fact(unit) => Some(Heard::Fact(unit)),
        Outcome::Twice(first, second) => Some(Heard::Twice(first, second)),
        Outcome::Negative(place, day, record) => Some(Heard::Negative(place, day, record)),
        Outcome::Lost(place, day, code, channel) => Some(Heard::Lost(place, day, code, channel)),
        _ => None,
    });
    let at_place = exchange(at_place, Heard::route);
    let reference = given
        .standings
        .map(|(unit, standing)| Heard::Standing(unit, Box::new(standing)))
        .concat(given.services.map(|service| Heard::Service(service.id, service.listed)))
        .concat(given.spans.map(|(unit, span)| Heard::Span(unit, span)))
        .concat(given.tenures.map(|tenure| Heard::Tenure(Box::new(tenure))))
        .concat(given.today.map(Heard::Today));
    let reference = reference.inner.broadcast().as_collection();
    let known = Rc::new(RefCell::new(Places::default()));
    let places = Rc::clone(&known);
    let found = per_epoch(at_place.concat(reference), "Places", move |epoch, heard, output| {
        places.borrow_mut().take(heard, epoch, output);
    });
    Findings::of(found, known)
}

impl Heard {
    /// Everything at a unit is with one worker.
    fn route(&self) -> u64 {
        use differential_dataflow::Hashable;
        match self {
            Heard::Rated(place, ..)
            | Heard::Twice(place, _)
            | Heard::Negative(place, ..)
            | Heard::Lost(place, ..) => place.unit.hashed(),
            Heard::Fact(unit) => unit.hashed(),
            Heard::Standing(..)
            | Heard::Service(..)
            | Heard::Span(..)
            | Heard::Tenure(_)
            | Heard::Today(_) => 0,
        }
    }
}

impl<'s> Findings<'s> {
    fn of(found: Rows<'s, Found>, known: Rc<RefCell<Places>>) -> Findings<'s> {
        let [periods, groups, verdicts, candidates] = split(found, |found| match found {
            Found::Period(..) => 0,
            Found::Group(..) => 1,
            Found::Verdict(..) => 2,
            Found::Candidate(..) => 3,
        });
        let periods = periods.inner.flat_map(|(found, epoch, _)| match found {
            Found::Period(period, tally) => Some((period, epoch, *tally)),
            _ => None,
        });
        let groups = groups.inner.flat_map(|(found, epoch, _)| match found {
            Found::Group(group, spread) => Some((group, epoch, spread)),
            _ => None,
        });
        let verdicts = verdicts.inner.flat_map(|(found, epoch, _)| match found {
            Found::Verdict(verdict, count) => Some((verdict, epoch, count)),
            _ => None,
        });
        let candidates = candidates.inner.flat_map(|(found, epoch, _)| match found {
            Found::Candidate(candidate, count) => Some((candidate, epoch, count)),
            _ => None,
        });
        Findings {
            periods: periods.as_collection(),
            groups: groups.as_collection(),
            verdicts: verdicts.as_collection(),
            candidates: candidates.as_collection(),
            known,
        }
    }
}

/// All places of one worker, and the reference data that say what they are.
#[derive(Default)]
pub struct Places {
    pub(crate) offices: Offices,
    pub(crate) posts: Posts,
    pub(crate) tenures: Table<Id, Tenure>,
    /// None until an hour is told.
    pub(crate) today: Option<Day>,
    known: Table<Place, usize>,
    pub(crate) places: Vec<AtPlace>,
    /// The places that name an id as their unit, МФЦ or service.
    pub(crate) naming: Table<Id, Vec<usize>>,
    /// The units that have, or had, a unit among their heads.
    pub(crate) below: Table<Id, BTreeSet<Id>>,
    facts: Table<Id, isize>,
    /// Empty between epochs.
    changes: Changes,
}

/// What is kept of a place.
pub(crate) struct AtPlace {
    pub(crate) place: Place,
    pub(crate) cells: Cells,
    /// What surveys replaced, on the days on which they did.
    pub(crate) replaced: BTreeMap<Day, Replaced>,
    /// Messages that were refused.
    pub(crate) lost: BTreeMap<(Day, RefusalCode, Channel), isize>,
    /// The messages behind the cells, by side.
    messages: [Messages; 2],
    negative: BTreeMap<(Day, Record), isize>,
    /// Records rated here and there, of which they are one (territories count records).
    twice: BTreeMap<Place, isize>,
    /// Places of which this is the other.
    twice_of: BTreeSet<usize>,
}

/// Sums of what changes above in an epoch.
#[derive(Default)]
struct Changes {
    periods: PeriodSums,
    groups: GroupSums,
    verdicts: Table<Verdict, isize>,
    candidates: Vec<(Candidate, isize)>,
    /// Empty, but for its room, between calls.
    days: Vec<(Day, Tally)>,
}

impl Places {
    /// Takes in all that an epoch brought: corrections first, then what came at places.
    fn take(
        &mut self,
        heard: Vec<(Heard, isize)>,
        epoch: Epoch,
        output: &mut Output<Found, isize>,
    ) {
        let mut changes = std::mem::take(&mut self.changes);
        let (mut rated, mut reference, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let mut facts: Table<Id, isize> = Table::default();
        for (heard, diff) in heard {
            match heard {
                Heard::Rated(place, day, ratings) => rated.push((place, day, ratings, diff)),
                Heard::Fact(unit) => *facts.entry(unit).or_default() += diff,
                Heard::Twice(..) | Heard::Negative(..) | Heard::Lost(..) => {
                    others.push((heard, diff));
                }
                Heard::Standing(..)
                | Heard::Service(..)
                | Heard::Span(..)
                | Heard::Tenure(_)
                | Heard::Today(_) => reference.push((heard, diff)),
            }
        }
        consolidate(&mut reference);
        if !reference.is_empty() {
            self.correct(reference, &mut changes);
        }
        let side = |ratings: &Ratings| ratings.electronic();
        // Stable, because that makes use of order: what a checkpoint has settled comes place by place.
        rated.sort_by_key(|(place, day, ratings, _)| (*place, side(ratings), *day));
        for of_place in rated.chunk_by(|a, b| (a.0, side(&a.2)) == (b.0, side(&b.2))) {
            self.rate(of_place, &mut changes);
        }
        for (unit, facts) in facts {
            *self.facts.entry(unit).or_default() += facts;
            self.facts_at(unit, facts, &mut changes);
        }
        for (heard, diff) in others {
            match heard {
                Heard::Twice(first, second) => self.twice(first, second, diff, &mut changes),
                Heard::Negative(place, day, record) => {
                    self.negative(place, (day, record), diff, &mut changes);
                }
                Heard::Lost(place, day, code, channel) => {
                    let number = self.number(place);
                    count(&mut self.places[number].lost, (day, code, channel), diff);
                }
                _ => {}
            }
        }
        changes.put_out(epoch, output);
        self.changes = changes;
    }

    /// The number of a place, from its first mention on.
    fn number(&mut self, place: Place) -> usize {
        if let Some(&number) = self.known.get(&place) {
            return number;
        }
        let number = self.places.len();
        self.known.insert(place, number);
        self.places.push(AtPlace::new(place));
        for id in [Some(place.unit), Some(place.service), place.mfc].into_iter().flatten() {
            self.naming.entry(id).or_default().push(number);
        }
        number
    }

    /// Ratings of one place and side, by day.
    fn rate(&mut self, ratings: &[(Place, Day, Ratings, isize)], changes: &mut Changes) {
        let (place, electronic) = (ratings[0].0, ratings[0].2.electronic());
        let number = self.number(place);
        let placing = self.offices.placing(&place);
        let at = &mut self.places[number];
        let mut messages = Messages::default();
        let cells = ratings.chunk_by(|a, b| a.1 == b.1).map(|of_day| {
            let day = of_day[0].1;
            let mut detail = Detail::default();
            for (_, _, ratings, diff) in of_day {
                detail.plus_equals(&ratings.detail().multiply(diff));
                messages.plus_equals(&Messages::of(ratings.channels()).multiply(diff));
                if let Some(replaced) = ratings.replaced() {
                    add(&mut at.replaced, day, replaced.multiply(diff));
                }
            }
            at.cells.add(day, electronic, &detail);
            (day, detail.tally(electronic))
        });
        match placing.counted(electronic) {
            Some(seat) => changes.ratings(&place, seat, &self.posts, electronic, cells),
            None => cells.for_each(drop),
        }
        at.messages[usize::from(electronic)].plus_equals(&messages);
        changes.messages(&placing, electronic, &messages);
    }

    /// Facts at a unit come or go in its territories, if it is known.
    fn facts_at(&self, unit: Id, facts: isize, changes: &mut Changes) {
        if let Some(location) = self.offices.location(unit) {
            let spread = Spread { facts: [1], ..Spread::default() }.multiply(&facts);
            changes.add(territories(location), &spread);
        }
    }

    fn negative(&mut self, place: Place, reply: (Day, Record), diff: isize, changes: &mut Changes) {
        let number = self.number(place);
        count(&mut self.places[number].negative, reply, diff);
        changes.candidate(&self.offices.placing(&place), reply, diff);
    }

    fn twice(&mut self, first: Place, second: Place, diff: isize, changes: &mut Changes) {
        let [one, other] = [first, second].map(|place| self.number(place));
        count(&mut self.places[one].twice, second, diff);
        self.places[other].twice_of.insert(one);
        self.one_record(first, second, diff, changes);
    }

    /// Where both places count in a territory, a record rated at both is one record.
    fn one_record(&self, first: Place, second: Place, records: isize, changes: &mut Changes) {
        let [first, second] = [first, second].map(|place| self.offices.placing(&place));
        if let (Some(first), Some(second)) = (first.counted(false), second.counted(false)) {
            let spread = Spread { records: [-1], ..Spread::default() }.multiply(&records);
            let others: Vec<Group> = territories(&second.location).collect();
            changes.add(territories(&first.location).filter(|t| others.contains(t)), &spread);
        }
    }

    /// The reference data change: what hangs on them is taken back as it was, and given as it is.
    fn correct(&mut self, reference: Vec<(Heard, isize)>, changes: &mut Changes) {
        let mut units: BTreeSet<Id> = BTreeSet::new();
        let mut touched: BTreeSet<usize> = BTreeSet::new();
        for (heard, _) in &reference {
            if let Heard::Standing(id, _) | Heard::Service(id, _) = heard {
                touched.extend(self.naming.get(id).into_iter().flatten());
            }
            if let Heard::Standing(unit, _) = heard {
                units.insert(*unit);
            }
        }
        self.give(&units, &touched, -1, changes);
        for (heard, diff) in &reference {
            if let Heard::Span(unit, span) = heard {
                self.hold(*unit, span, *diff, &touched, changes);
            }
        }
        for (heard, diff) in reference {
            match heard {
                Heard::Standing(unit, standing) => self.stand(unit, *standing, diff),
                Heard::Service(service, listed) => self.offices.list(service, listed, diff),
                Heard::Span(unit, span) => self.posts.change(unit, span, diff),
                Heard::Tenure(tenure) => replace(&mut self.tenures, tenure.id, *tenure, diff),
                Heard::Today(day) if diff > 0 => self.today = Some(day),
                _ => {}
            }
        }
        self.give(&units, &touched, 1, changes);
    }

    /// Gives (1) or takes back (-1) all that is at some units and places.
    fn give(
        &self,
        units: &BTreeSet<Id>,
        places: &BTreeSet<usize>,
        factor: isize,
        changes: &mut Changes,
    ) {
        for unit in units {
            let facts = self.facts.get(unit).copied().unwrap_or_default();
            self.facts_at(*unit, facts * factor, changes);
        }
        let mut pairs: BTreeSet<(usize, Place)> = BTreeSet::new();
        for &number in places {
            let at = &self.places[number];
            let placing = self.offices.placing(&at.place);
            for electronic in [false, true] {
                if let Some(seat) = placing.counted(electronic) {
                    let cells = at.cells.iter().filter(|(_, side, _)| *side == electronic);
                    let cells = cells
                        .map(|(day, _, detail)| (day, detail.tally(electronic).multiply(&factor)));
                    changes.ratings(&at.place, seat, &self.posts, electronic, cells);
                }
                let messages = at.messages[usize::from(electronic)].multiply(&factor);
                changes.messages(&placing, electronic, &messages);
            }
            for (reply, times) in &at.negative {
                changes.candidate(&placing, *reply, times * factor);
            }
            pairs.extend(at.twice.keys().map(|second| (number, *second)));
            pairs.extend(at.twice_of.iter().map(|first| (*first, at.place)));
        }
        for (first, second) in pairs {
            let at = &self.places[first];
            let records = at.twice.get(&second).copied().unwrap_or_default();
            self.one_record(at.place, second, records * factor, changes);
        }
    }

    /// A tenure's days at a unit come or go: for the places whose seats stay as they are.
    fn hold(
        &self,
        head: Id,
        span: &Span,
        diff: isize,
        except: &BTreeSet<usize>,
        changes: &mut Changes,
    ) {
        let units = self.below.get(&head).into_iter().flatten();
        let naming = units.filter_map(|unit| self.naming.get(unit)).flatten();
        let places: BTreeSet<usize> = naming.copied().filter(|n| !except.contains(n)).collect();
        for at in places.into_iter().map(|number| &self.places[number]) {
            let placing = self.offices.placing(&at.place);
            let answers = [false, true].map(|electronic| {
                let seat = placing.counted(electronic);
                seat.is_some_and(|seat| seat.heads(electronic).any(|h| h.unit == head))
            });
            let cells = at.cells.range(span.from, span.until);
            let answered = cells.filter(|(_, electronic, _)| answers[usize::from(*electronic)]);
            changes.days.extend(
                answered.map(|(day, electronic, detail)| {
                    (day, detail.tally(electronic).multiply(&diff))
                }),
            );
            span.attribute(&changes.days, &mut changes.periods);
            changes.days.clear();
        }
    }

    fn stand(&mut self, unit: Id, standing: Standing, diff: isize) {
        for head in &standing.heads {
            let below = self.below.entry(head.unit).or_default();
            // An index of candidates: what is no longer below is found not to be when asked.
            below.insert(unit);
        }
        self.offices.stand(unit, standing, diff);
    }
}

impl AtPlace {
    fn new(place: Place) -> AtPlace {
        AtPlace {
            place,
            cells: Cells::default(),
            replaced: BTreeMap::new(),
            lost: BTreeMap::new(),
            messages: [Messages::default(); 2],
            negative: BTreeMap::new(),
            twice: BTreeMap::new(),
            twice_of: BTreeSet::new(),
        }
    }
}

impl Changes {
    /// Ratings of one side come or go at a place where they count, by day, in their order.
    fn ratings(
        &mut self,
        place: &Place,
        seat: &Seat<'_>,
        posts: &Posts,
        electronic: bool,
        cells: impl Iterator<Item = (Day, Tally)>,
    ) {
        let mut days = std::mem::take(&mut self.days);
        days.extend(cells);
        for span in seat.heads(electronic).flat_map(|head| posts.at(head.unit)) {
            span.attribute(&days, &mut self.periods);
        }
        let mut total = Spread::default();
        let mut of_month: Option<(Month, Spread)> = None;
        for (day, tally) in days.drain(..) {
            let (month, spread) = (day.month(), tally.spread());
            total.plus_equals(&spread);
            match &mut of_month {
                Some((same, sum)) if *same == month => sum.plus_equals(&spread),
                _ => {
                    if let Some((month, sum)) = of_month.replace((month, spread)) {
                        self.add(months_of(place, seat, electronic, month), &sum);
                    }
                }
            }
        }
        if let Some((month, sum)) = of_month {
            self.add(months_of(place, seat, electronic, month), &sum);
        }
        self.add(groups_of(place, seat, electronic), &total);
        self.days = days;
    }

    /// Messages of one side come or go at a place.
    fn messages(&mut self, placing: &Placing<'_>, electronic: bool, messages: &Messages) {
        for (channel, count) in messages.channels() {
            *self.verdicts.entry(verdict(placing, channel)).or_default() += count;
        }
        if let (Some(seat), false) = (placing.counted(electronic), electronic) {
            self.add(territories(&seat.location), &messages.records());
        }
    }

    /// A negative reply comes or goes.
    ///
    /// - rule: Order 120 p. 7.8: counted, of a territorial unit, its subdivisions included
    fn candidate(&mut self, placing: &Placing<'_>, (day, record): (Day, Record), times: isize) {
        if let Some(top) = placing.counted(false).and_then(Seat::top) {
            self.candidates.push(((top.unit, top.zone, day, record), times));
        }
    }

    fn add(&mut self, groups: impl Iterator<Item = Group>, spread: &Spread) {
        for group in groups {
            self.groups.entry(group).or_default().plus_equals(spread);
        }
    }

    /// Puts out what there is, and is empty again.
    fn put_out(&mut self, epoch: Epoch, output: &mut Output<Found, isize>) {
        let periods = drain(&mut self.periods).filter(|(_, tally)| !tally.is_zero());
        let groups = drain(&mut self.groups).filter(|(_, spread)| !spread.is_zero());
        let verdicts = drain(&mut self.verdicts).filter(|(_, count)| *count != 0);
        let found = periods
            .map(|(period, tally)| Found::Period(period, Box::new(tally)))
            .chain(groups.map(|(group, spread)| Found::Group(group, spread)))
            .chain(verdicts.map(|(verdict, count)| Found::Verdict(verdict, count)))
            .chain(self.candidates.drain(..).map(|(reply, times)| Found::Candidate(reply, times)));
        output.extend(found.map(|found| (found, epoch, 1)));
    }
}

/// Adds to a sum, and forgets it when it is nothing.
fn add(sums: &mut BTreeMap<Day, Replaced>, day: Day, change: Replaced) {
    let sum = sums.entry(day).or_default();
    sum.plus_equals(&change);
    if sum.is_zero() {
        sums.remove(&day);
    }
}

/// Counts a thing, and forgets it when there is none.
fn count<K: Ord>(counts: &mut BTreeMap<K, isize>, key: K, diff: isize) {
    use std::collections::btree_map::Entry;
    match counts.entry(key) {
        Entry::Vacant(entry) => drop(entry.insert(diff)),
        Entry::Occupied(mut entry) => {
            *entry.get_mut() += diff;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
