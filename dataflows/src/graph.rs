//! The whole computation on one screen: from events to the rows of every view.

use differential_dataflow::AsCollection;
use differential_dataflow::input::{Input as _, InputSession};
use differential_dataflow::operators::CountTotal;
use timely::dataflow::Scope;
use timely::dataflow::operators::vec::Partition;

use crate::calendar::Hour;
use crate::domain::{
    Agency, Epoch, Input, Message, Record, Reference, ReferenceKey, Service, Target, Tenure, Unit,
};
use crate::epochs::Rows;
use crate::id::Id;
use crate::records::{Calls, Outcome, records};
use crate::reference::{Location, hierarchy, locations, standings, upserts};
use crate::views::{DirectoryRow, Row, Thing};
use crate::world::{Switches, World};
use crate::{assess, attribute, conservation, deadlines, places, rollup, survey};

/// The way into the dataflow: every worker has one, and all must be advanced alike.
pub struct Inputs {
    references: InputSession<Epoch, (ReferenceKey, u64, Option<Reference>), isize>,
    messages: InputSession<Epoch, (Record, Message), isize>,
    hours: InputSession<Epoch, Hour, isize>,
    hour: Hour,
}

impl Inputs {
    /// Takes in one event of the open epoch. Each event enters at one worker, and all that tell
    /// the time at the same. `sequence` orders the upserts of an epoch.
    pub fn push(&mut self, sequence: u64, input: Input) {
        match input {
            Input::Reference(key, row) => self.references.insert((key, sequence, row)),
            Input::Message(record, message) => self.messages.insert((record, message)),
            Input::Clock(hour) if hour > self.hour => {
                self.hours.remove(self.hour);
                self.hours.insert(hour);
                self.hour = hour;
            }
            Input::Clock(_) => {}
        }
    }

    /// Closes every epoch below `epoch`.
    pub fn advance_to(&mut self, epoch: Epoch) {
        self.references.advance_to(epoch);
        self.messages.advance_to(epoch);
        self.hours.advance_to(epoch);
        self.references.flush();
        self.messages.flush();
        self.hours.flush();
    }

    /// The first epoch that is open.
    pub fn epoch(&self) -> Epoch {
        *self.messages.time()
    }
}

/// Builds the dataflow: the way in, and the rows of all views.
pub fn build<'s>(
    scope: Scope<'s, Epoch>,
    switches: &Switches,
    world: &World,
) -> (Inputs, Rows<'s, Row>) {
    let (references, entered) = scope.new_collection();
    let (messages, sent) = scope.new_collection();
    let (mut hours, told) = scope.new_collection();
    if scope.index() == 0 {
        hours.insert(Hour::UNKNOWN);
    }
    let inputs = Inputs { references, messages, hours, hour: Hour::UNKNOWN };
    let moscow = world.zone(0).clone();
    let today = told.clone().map(move |hour| hour.day(&moscow)).consolidate();

    // Who is where, and above whom.
    let reference = References::of(upserts(entered));
    let located = locations(reference.units.clone(), world);
    let (parents, circling) = hierarchy(reference.units.clone());
    let standing = standings(located.clone(), parents);

    // What each record's messages come to, and where.
    let outcomes = Outcomes::of(records(sent, switches));
    let spans = attribute::spans(reference.tenures.clone());
    let places =
        places::places(outcomes.at_place, standing, reference.services.clone(), spans.clone());

    // To whom the ratings belong, and what they add up to.
    let offices = assess::offices(
        reference.tenures.clone(),
        located.clone(),
        reference.targets.clone(),
        spans,
        today,
    );
    let periods = assess::manager_periods(places.periods, offices);
    let totals = places.groups.count_total();

    // The phone centre, and the clocks.
    let called = outcomes.called;
    let listed = survey::draw(places.candidates, called.clone(), told.clone(), switches, world);
    let calls = survey::call_clocks(listed.clone(), called, located.clone(), world);
    let located_now = located.clone();
    let due = deadlines::offers_and_reviews(outcomes.due, located_now, told.clone(), world);

    // Nothing disappears.
    let verdicts = conservation::verdicts(outcomes.plain, circling).concat(places.verdicts);
    let always = told.clone().map(|_| ()).distinct();

    let rows = [
        periods.clone().map(|(row, _)| Row::ManagerPeriod(row)),
        rollup::agency_rows(totals.clone(), assess::running_means(periods.clone())),
        assess::agency_quarters(periods),
        rollup::unit_rows(totals.clone()),
        rollup::plain_rows(totals.clone()),
        rollup::rankings(totals),
        listed,
        due,
        survey::deadlines(calls, told),
        conservation::rows(verdicts, always),
        reference.directory(located),
    ];
    (inputs, differential_dataflow::collection::concatenate(scope, rows))
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
    fn of(outcomes: Rows<'s, Outcome>) -> Outcomes<'s> {
        let parts = outcomes.inner.partition(3, |(outcome, epoch, diff)| {
            let part = match outcome {
                Outcome::Rated(..)
                | Outcome::Fact(_)
                | Outcome::Twice(..)
                | Outcome::Negative(..) => 0,
                Outcome::Due(..) => 1,
                _ => 2,
            };
            (part, (outcome, epoch, diff))
        });
        let mut parts = parts.into_iter().map(AsCollection::as_collection);
        let mut part = || parts.next().expect("three parts");
        let (at_place, due, plain) = (part(), part(), part());
        let called = plain.clone().flat_map(|outcome| match outcome {
            Outcome::Called(record, calls) => Some((record, calls)),
            _ => None,
        });
        Outcomes { at_place, due, called, plain }
    }
}
