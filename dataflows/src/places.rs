//! What is known of each place, in one keyed operator: its cells, the messages behind them, and all
//! that changes above when they do, or when the reference data say otherwise.

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use differential_dataflow::AsCollection;
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::{Broadcast, Map};

use crate::attribute::{PeriodKey, PeriodSums, PeriodTally, Posts, Span};
use crate::calendar::{Day, Month};
use crate::cells::Rated;
use crate::conservation::{Verdict, verdict};
use crate::domain::{Channel, Epoch, Place, Record, Service, Tenure};
use crate::epochs::{Keeper, Output, Rows, exchange, gather, in_parts, make_room};
use crate::id::{Id, Table, drain};
use crate::records::{Outcome, Ratings};
use crate::reference::{Offices, Placing, Seat, Standing, replace};
use crate::rollup::{Group, GroupSums, groups_of, months_of, territories};
use crate::shelf::Shelf;
use crate::survey::Candidate;
use crate::tally::{Messages, Spread, Tally};
use crate::views::{RefusalCode, Scope};

/// What the operator hears.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Heard {
    /// What closed records came to at a place, before all else that is said of it.
    Settled(Place, Box<Rated>),
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
    pub periods: Rows<'s, (PeriodKey, Box<PeriodTally>)>,
    /// Counted ratings, rated records and standing facts by group (p. 12–16), in the parts of
    /// [`Group::part`].
    pub groups: [Rows<'s, Group, Spread>; 4],
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
/// - in: the outcomes that are at a place or unit; what a past begins with, each place once and in the
///   epoch in which it is put in; the reference data
/// - out: sums of an epoch's changes, each key once a worker
/// - state: by place its cells, messages, negative replies, what surveys replaced, what was refused,
///   and records rated elsewhere too; by unit its facts. A rating costs its cell; a correction the
///   cells of the places it touches
pub fn places<'s>(
    outcomes: Rows<'s, Outcome>,
    settled: Rows<'s, (Place, Box<Rated>)>,
    given: Given<'s>,
) -> Findings<'s> {
    let at_place = outcomes.flat_map(|outcome| match outcome {
        Outcome::Rated(place, day, ratings) => Some(Heard::Rated(place, day, ratings)),
        Outcome::Fact(unit) => Some(Heard::Fact(unit)),
        Outcome::Twice(first, second) => Some(Heard::Twice(first, second)),
        Outcome::Negative(place, day, record) => Some(Heard::Negative(place, day, record)),
        Outcome::Lost(place, day, code, channel) => Some(Heard::Lost(place, day, code, channel)),
        _ => None,
    });
    let settled = settled.map(|(place, rated)| Heard::Settled(place, rated));
    let at_place = exchange(at_place.concat(settled), Heard::route);
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
    let following = Following { brought: Brought::default(), places };
    let heard = at_place.concat(reference);
    Findings::of(in_parts(heard, "Places", following, Found::part), known)
}

/// The places of so many ratings are fetched from memory together.
const FORESEEN: usize = 256;

/// What an epoch brings, until it is closed.
#[derive(Default)]
struct Brought {
    /// What closed records came to at places.
    settled: Vec<(Place, Box<Rated>)>,
    rated: Vec<(Place, Day, Ratings, isize)>,
    facts: Table<Id, isize>,
    /// The reference data.
    reference: Vec<(Heard, isize)>,
    others: Vec<(Heard, isize)>,
}

struct Following {
    brought: Brought,
    places: Rc<RefCell<Places>>,
}

impl Keeper<Heard, isize, Found, isize> for Following {
    fn take(&mut self, _: Epoch, heard: &mut Heard, diff: &isize, _: &mut Output<Found, isize>) {
        let diff = *diff;
        let Brought { settled, rated, facts, reference, others } = &mut self.brought;
        match heard {
            Heard::Settled(place, of_place) => settled.push((*place, std::mem::take(of_place))),
            Heard::Rated(place, day, ratings) => gather(rated, (*place, *day, *ratings, diff)),
            Heard::Fact(unit) => *facts.entry(*unit).or_default() += diff,
            Heard::Twice(..) | Heard::Negative(..) | Heard::Lost(..) => {
                gather(others, (heard.clone(), diff));
            }
            Heard::Standing(..)
            | Heard::Service(..)
            | Heard::Span(..)
            | Heard::Tenure(_)
            | Heard::Today(_) => reference.push((heard.clone(), diff)),
        }
    }

    fn close(&mut self, epoch: Epoch, output: &mut Output<Found, isize>) {
        let mut brought = std::mem::take(&mut self.brought);
        self.places.borrow_mut().take(&mut brought, epoch, output);
        make_room(&mut brought.rated);
        make_room(&mut brought.others);
        self.brought = brought;
    }
}

impl Heard {
    /// Everything at a unit is with one worker.
    fn route(&self) -> u64 {
        use differential_dataflow::Hashable;
        match self {
            Heard::Settled(place, _)
            | Heard::Rated(place, ..)
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
    fn of(found: [Rows<'s, Found>; 7], known: Rc<RefCell<Places>>) -> Findings<'s> {
        let [periods, verdicts, candidates, groups @ ..] = found;
        let periods = periods.flat_map(|found| match found {
            Found::Period(period, tally) => Some((period, tally)),
            _ => None,
        });
        let groups = groups.map(|groups| {
            let groups = groups.inner.flat_map(|(found, epoch, _)| match found {
                Found::Group(group, spread) => Some((group, epoch, spread)),
                _ => None,
            });
            groups.as_collection()
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
            periods,
            groups,
            verdicts: verdicts.as_collection(),
            candidates: candidates.as_collection(),
            known,
        }
    }
}

impl Found {
    fn part(&self) -> usize {
        match self {
            Found::Period(..) => 0,
            Found::Verdict(..) => 1,
            Found::Candidate(..) => 2,
            Found::Group(group, _) => 3 + group.part(),
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
    pub(crate) places: Shelf<AtPlace>,
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
    pub(crate) rated: Rated,
    /// Messages that were refused.
    pub(crate) lost: BTreeMap<(Day, RefusalCode, Channel), isize>,
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
    /// The ratings of one side at the places at hand, which are of one unit and МФЦ, by month. Likewise.
    months: Vec<(Month, Spread)>,
}

impl Places {
    /// Takes in all that an epoch brought: corrections first, then what places begin with, then what came
    /// at them.
    fn take(&mut self, brought: &mut Brought, epoch: Epoch, output: &mut Output<Found, isize>) {
        let Brought { settled, rated, facts, reference, others } = brought;
        let mut changes = std::mem::take(&mut self.changes);
        consolidate(reference);
        if !reference.is_empty() {
            self.correct(std::mem::take(reference), &mut changes);
        }
        self.settle(std::mem::take(settled), &mut changes);
        // As few numbers as say it: they are compared some twenty times.
        let unit = |(place, _, ratings, _): &(Place, Day, Ratings, isize)| {
            let mfc = place.mfc.map_or(0, Id::number);
            let unit = u64::from(place.unit.number()) << 32 | u64::from(mfc);
            (unit, ratings.electronic())
        };
        rated.sort_unstable_by_key(|rating| {
            let (unit, electronic) = unit(rating);
            let service = u64::from(electronic) << 32 | u64::from(rating.0.service.number());
            (unit, service, rating.1)
        });
        let (mut begun, mut foreseen) = (0, 0);
        for of_unit in rated.chunk_by(|one, other| unit(one) == unit(other)) {
            begun += of_unit.len();
            if begun > foreseen {
                let next = rated.len().min(begun + FORESEEN);
                self.foresee(&rated[foreseen..next]);
                foreseen = next;
            }
            self.rate(of_unit, &mut changes);
        }
        for (unit, facts) in drain(facts) {
            *self.facts.entry(unit).or_default() += facts;
            self.facts_at(unit, facts, &mut changes);
        }
        for (heard, diff) in others.iter() {
            let diff = *diff;
            match *heard {
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
        let number = self.places.len();
        match self.known.entry(place) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(unknown) => _ = unknown.insert(number),
        }
        self.places.push(AtPlace::new(place));
        for id in [Some(place.unit), Some(place.service), place.mfc].into_iter().flatten() {
            self.naming.entry(id).or_default().push(number);
        }
        number
    }

    /// Fetches from memory what ratings will be added to: first the numbers of their places, then these, then
    /// their last cells, so that no step has to wait for the one before it.
    fn foresee(&self, ratings: &[(Place, Day, Ratings, isize)]) {
        let places = ratings.chunk_by(|one, other| one.0 == other.0).map(|of_place| of_place[0].0);
        let numbers: Vec<usize> =
            places.filter_map(|place| self.known.get(&place).copied()).collect();
        let sizes = numbers.iter().map(|number| self.places[*number].rated.cells.len());
        std::hint::black_box(sizes.sum::<usize>());
        let days = numbers.iter().filter_map(|number| self.places[*number].rated.cells.last_day());
        std::hint::black_box(days.max());
    }

    /// Ratings of one side at places of one unit and МФЦ, by service and day.
    fn rate(&mut self, ratings: &[(Place, Day, Ratings, isize)], changes: &mut Changes) {
        let electronic = ratings[0].2.electronic();
        let mut counted = None;
        for of_place in ratings.chunk_by(|one, other| one.0.service == other.0.service) {
            let place = of_place[0].0;
            let number = self.number(place);
            let placing = self.offices.placing(&place);
            let at = &mut self.places[number];
            let mut messages = Messages::default();
            let cells = of_place.chunk_by(|one, other| one.1 == other.1).map(|of_day| {
                let day = of_day[0].1;
                let ratings = of_day.iter().map(|(_, _, ratings, diff)| (ratings, *diff));
                let (detail, of_these) = at.rated.add(day, electronic, ratings);
                messages.plus_equals(&of_these);
                (day, detail.tally(electronic))
            });
            match placing.counted(electronic) {
                Some(seat) => {
                    changes.ratings(&place, seat, &self.posts, electronic, cells);
                    counted = Some(place);
                }
                None => cells.for_each(drop),
            }
            changes.messages(&placing, electronic, &messages);
        }
        let Some(place) = counted else { return };
        if let Some(seat) = self.offices.placing(&place).counted(electronic) {
            changes.of_unit(place.unit, seat, electronic);
        }
    }

    /// What closed records came to at places of which nothing else was said before.
    fn settle(&mut self, mut settled: Vec<(Place, Box<Rated>)>, changes: &mut Changes) {
        let unit = |(place, _): &(Place, _)| (place.unit, place.mfc);
        settled.sort_unstable_by_key(|of_place| (unit(of_place), of_place.0.service));
        for of_unit in settled.chunk_by_mut(|one, other| unit(one) == unit(other)) {
            let first = self.places.len();
            for (place, rated) in of_unit {
                let next = self.places.len();
                let number = self.number(*place);
                assert!(number == next, "a past puts in {place:?} once, and first");
                self.places[number].rated = std::mem::take(rated);
            }
            self.give_ratings(self.places.from(first), 1, changes);
        }
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
            self.give_ratings(std::iter::once(at), factor, changes);
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

    /// Likewise the ratings at some places of one unit and МФЦ, and the messages they are of.
    fn give_ratings<'a>(
        &self,
        places: impl Iterator<Item = &'a AtPlace> + Clone,
        factor: isize,
        changes: &mut Changes,
    ) {
        for electronic in [false, true] {
            let mut counted = None;
            for AtPlace { place, rated, .. } in places.clone() {
                let placing = self.offices.placing(place);
                if let Some(seat) = placing.counted(electronic) {
                    let cells = rated.cells.iter().filter(|(_, side, _)| *side == electronic);
                    let cells = cells
                        .map(|(day, _, detail)| (day, detail.tally(electronic).multiply(&factor)));
                    changes.ratings(place, seat, &self.posts, electronic, cells);
                    counted = Some((place.unit, *seat));
                }
                let messages = rated.messages[usize::from(electronic)].multiply(&factor);
                changes.messages(&placing, electronic, &messages);
            }
            if let Some((unit, seat)) = counted {
                changes.of_unit(unit, &seat, electronic);
            }
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
            let cells = at.rated.cells.range(span.from, span.until);
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
            rated: Rated::default(),
            lost: BTreeMap::new(),
            negative: BTreeMap::new(),
            twice: BTreeMap::new(),
            twice_of: BTreeSet::new(),
        }
    }
}

impl Changes {
    /// Ratings of one side come or go at a place where they count, by day, in their order. From all places
    /// at hand, which are of one unit and МФЦ, they go on by [`Changes::of_unit`].
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
                        self.of_month(place.service, month, sum);
                    }
                }
            }
        }
        if let Some((month, sum)) = of_month {
            self.of_month(place.service, month, sum);
        }
        self.add([Group::Service(seat.location.agency, place.service)].into_iter(), &total);
        self.days = days;
    }

    fn of_month(&mut self, service: Id, month: Month, sum: Spread) {
        self.add([Group::Month(Scope::Service, service, month)].into_iter(), &sum);
        match self.months.binary_search_by_key(&month, |(month, _)| *month) {
            Ok(same) => self.months[same].1.plus_equals(&sum),
            Err(place) => self.months.insert(place, (month, sum)),
        }
    }

    /// The ratings of one side at the places at hand, whose seats differ in nothing but their service.
    fn of_unit(&mut self, unit: Id, seat: &Seat<'_>, electronic: bool) {
        let mut months = std::mem::take(&mut self.months);
        let mut total = Spread::default();
        for (month, sum) in months.drain(..) {
            total.plus_equals(&sum);
            self.add(months_of(unit, seat, electronic, month), &sum);
        }
        self.add(groups_of(unit, seat, electronic), &total);
        self.months = months;
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
        let periods = self.periods.drain().filter(|(_, tally)| !tally.is_zero());
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
