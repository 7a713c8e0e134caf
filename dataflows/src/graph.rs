//! The whole computation on one screen: from events to the rows of every view.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::input::{Input as _, InputSession};
use roaring::RoaringTreemap;
use timely::dataflow::Scope;

use crate::calendar::Hour;
use crate::cells::Rated;
use crate::domain::{
    Agency, Epoch, Input, Message, Place, Record, Reference, ReferenceKey, Service, Target, Tenure,
    Turn, Unit,
};
use crate::epochs::Rows;
use crate::id::Id;
use crate::places::{Given, Places};
use crate::records::{Calls, Outcome, Part, records};
use crate::reference::{Location, hierarchy, locations, standings, upserts};
use crate::views::{DirectoryRow, Row, Thing};
use crate::world::{Switches, World};
use crate::{assess, attribute, conservation, deadlines, places, rollup, survey};

/// What a dataflow begins with instead of the first event of the log; by default with nothing.
///
/// The rest of a past is put in by [`Inputs`] in one epoch: reference data in force, the messages
/// of open records, what retired ones came to, and the hour. In that epoch no hour strikes: what
/// happens at an hour has happened, and is part of the past.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// The epoch in which the past is put in.
    pub epoch: Option<Epoch>,
    /// Records that are open, about, at each worker.
    pub open: usize,
    /// The records that are closed.
    pub closed: Arc<RoaringTreemap>,
    /// The hour it is at the end of the past, or of all that is put in: clocks stand as at it from
    /// the beginning, and need not all change when it is told.
    pub hour: Option<Hour>,
    /// Where the horizon cut last, microseconds since 1970; none where it has not.
    pub cut: Option<i64>,
    /// The rows of `survey_sample` and `survey_lists`: what was drawn is never taken back.
    pub drawn: Arc<[Row]>,
}

/// The way into the dataflow: every worker has one, and all must be advanced alike.
pub struct Inputs {
    references: InputSession<Epoch, (ReferenceKey, Turn, Option<Reference>), isize>,
    messages: InputSession<Epoch, (Record, Message), isize>,
    hours: InputSession<Epoch, Hour, isize>,
    hour: Hour,
    /// The latest time of receipt, each time it has risen.
    latest: InputSession<Epoch, i64, isize>,
    /// The latest seen here, and the latest put in.
    seen: (i64, i64),
    /// Of closed records: what they came to, and their ratings by place.
    settled: InputSession<Epoch, Outcome, isize>,
    rated: InputSession<Epoch, (Place, Box<Rated>), isize>,
}

impl Inputs {
    /// Takes in one event of the open epoch. Each event enters at one worker, and all that tell
    /// the time at the same. `turn` orders the upserts, whichever worker they enter at.
    pub fn push(&mut self, turn: Turn, input: Input) {
        match input {
            Input::Reference(key, row) => self.references.insert((key, turn, row)),
            Input::Message(record, message) => {
                self.saw(message.received.micros());
                self.messages.insert((record, message));
            }
            Input::Clock(hour) if hour > self.hour => {
                self.hours.remove(self.hour);
                self.hours.insert(hour);
                self.hour = hour;
            }
            Input::Clock(_) => {}
        }
    }

    /// Messages were received up to this moment, microseconds since 1970.
    pub fn saw(&mut self, received: i64) {
        self.seen.0 = self.seen.0.max(received);
    }

    /// Records that are closed came to so many of these, none of them [`Outcome::Rated`].
    pub fn settle(&mut self, outcome: Outcome, count: isize) {
        self.settled.update(outcome, count);
    }

    /// The ratings of records that are closed come to this at a place, said once.
    pub fn settle_at(&mut self, place: Place, rated: Rated) {
        self.rated.insert((place, Box::new(rated)));
    }

    /// Closes every epoch below `epoch`.
    pub fn advance_to(&mut self, epoch: Epoch) {
        if self.seen.0 > self.seen.1 {
            self.seen.1 = self.seen.0;
            self.latest.insert(self.seen.0);
        }
        self.references.advance_to(epoch);
        self.messages.advance_to(epoch);
        self.hours.advance_to(epoch);
        self.latest.advance_to(epoch);
        self.settled.advance_to(epoch);
        self.rated.advance_to(epoch);
        self.references.flush();
        self.messages.flush();
        self.hours.flush();
        self.latest.flush();
        self.settled.flush();
        self.rated.flush();
    }

    /// The first epoch that is open.
    pub fn epoch(&self) -> Epoch {
        *self.messages.time()
    }
}

/// Builds the dataflow: the way in, the rows of all views, and what this worker knows of places, to
/// be asked when nothing is under way.
pub fn build<'s>(
    scope: Scope<'s, Epoch>,
    switches: &Switches,
    world: &World,
    base: &Base,
) -> (Inputs, Rows<'s, Row>, Rc<RefCell<Places>>) {
    let (references, entered) = scope.new_collection();
    let (messages, sent) = scope.new_collection();
    let (mut hours, told) = scope.new_collection();
    let (latest, received) = scope.new_collection();
    let (settled, of_closed) = scope.new_collection();
    let (rated, at_places) = scope.new_collection();
    if scope.index() == 0 {
        hours.insert(Hour::UNKNOWN);
    }
    let seen = (i64::MIN, i64::MIN);
    let hour = Hour::UNKNOWN;
    let inputs = Inputs { references, messages, hours, hour, latest, seen, settled, rated };
    let moscow = world.zone(0).clone();
    let today = told.clone().map(move |hour| hour.day(&moscow)).consolidate();

    // Who is where, and above whom.
    let reference = References::of(upserts(entered));
    let located = locations(reference.units.clone(), world);
    let (parents, circling) = hierarchy(reference.units.clone());
    let standing = standings(located.clone(), parents);

    // What each record's messages come to, and where.
    let of_open = records(sent, told.clone(), received, switches, base);
    let outcomes = Outcomes::of(of_open, of_closed);
    let spans = attribute::spans(reference.tenures.clone());
    let given = Given {
        standings: standing,
        services: reference.services.clone(),
        spans: spans.clone(),
        tenures: reference.tenures.clone(),
        today: today.clone(),
    };
    let places = places::places(outcomes.at_place, at_places, given);

    // To whom the ratings belong, and what they add up to.
    let offices = assess::offices(
        reference.tenures.clone(),
        located.clone(),
        reference.targets.clone(),
        spans,
        today,
    );
    let assessed = assess::periods(places.periods, offices);

    // The phone centre, and the clocks.
    let (replies, called) = (places.candidates, outcomes.called);
    let listed = survey::draw(replies, called.clone(), told.clone(), switches, world, base);
    let calls = survey::call_clocks(listed.clone(), called, located.clone(), world);
    let located_now = located.clone();
    let due = deadlines::offers_and_reviews(outcomes.due, located_now, told.clone(), world, base);

    // Nothing disappears.
    let verdicts = conservation::verdicts(outcomes.plain, circling).concat(places.verdicts);
    let always = told.clone().map(|_| ()).distinct();

    let rows = [
        assessed.rows,
        assess::agency_quarters(assessed.formed),
        rollup::rows(places.groups, assessed.running),
        listed,
        due,
        survey::deadlines(calls, told, base),
        conservation::rows(verdicts, always),
        reference.directory(located),
    ];
    (inputs, differential_dataflow::collection::concatenate(scope, rows), places.known)
}

/// The reference data, each kind by itself.
struct References<'s> {
    agencies: Rows<'s, Agency>,
    units: Rows<'s, Unit>,
    services: Rows<'s, Service>,
    tenures: Rows<'s, Tenure>,
    targets: Rows<'s, Target>,
}

impl<'s> References<'s> {
    fn of(rows: Rows<'s, Reference>) -> References<'s> {
        macro_rules! kind {
            ($variant:ident) => {
                rows.clone().flat_map(|row| match row {
                    Reference::$variant(row) => Some(row),
                    _ => None,
                })
            };
        }
        References {
            agencies: kind!(Agency),
            units: kind!(Unit),
            services: kind!(Service),
            tenures: kind!(Tenure),
            targets: kind!(Target),
        }
    }

    /// The rows of `directory`: names and kinds beside ids. A manager has the name that the
    /// tenure with the greatest id gives.
    fn directory(self, locations: Rows<'s, (Id, Location)>) -> Rows<'s, Row> {
        let row = |of, id, name| DirectoryRow {
            of,
            id,
            name,
            kind: None,
            agency: None,
            parent: None,
            region: None,
            listed: None,
        };
        let agencies = self.agencies.map(move |a| row(Thing::Agency, a.id, a.name));
        let services = self.services.map(move |s| DirectoryRow {
            agency: Some(s.agency),
            listed: Some(s.listed),
            ..row(Thing::Service, s.id, s.name)
        });
        let units =
            self.units.map(|unit| (unit.id, unit)).join_map(locations, move |_, unit, at| {
                DirectoryRow {
                    kind: Some(unit.kind),
                    agency: unit.agency,
                    parent: unit.parent,
                    region: Some(at.subject),
                    ..row(Thing::Unit, unit.id, unit.name)
                }
            });
        let managers = self
            .tenures
            .flat_map(|tenure| tenure.name.map(|name| (tenure.manager, (tenure.id, name))))
            .reduce(|_, names, output| {
                let last = names.iter().map(|(name, _)| **name).max_by_key(|(id, _)| id.text());
                output.extend(last.map(|(_, name)| (name, 1)));
            })
            .map(move |(manager, name)| row(Thing::Manager, manager, name));
        let all = agencies.concat(services).concat(units).concat(managers);
        all.map(|row| Row::Directory(Box::new(row)))
    }
}

/// What records come to, each part as its readers take it.
struct Outcomes<'s> {
    /// At a place or unit.
    at_place: Rows<'s, Outcome>,
    /// The clocks of offers and reviews.
    due: Rows<'s, Outcome>,
    called: Rows<'s, (Record, Calls)>,
    /// What is judged without a place.
    plain: Rows<'s, Outcome>,
}

impl<'s> Outcomes<'s> {
    /// Of open records and of closed ones, whose clocks run no more.
    fn of(open: [Rows<'s, Outcome>; 3], closed: Rows<'s, Outcome>) -> Outcomes<'s> {
        let [at_place, due, plain] = open;
        let plain = plain.concat(closed.clone().filter(|outcome| outcome.part() == Part::Plain));
        let at_place = at_place.concat(closed.filter(|outcome| outcome.part() == Part::AtPlace));
        let called = plain.clone().flat_map(|outcome| match outcome {
            Outcome::Called(record, calls) => Some((record, calls)),
            _ => None,
        });
        Outcomes { at_place, due, called, plain }
    }
}
