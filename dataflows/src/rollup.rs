//! Sums of the counted ratings by unit, service, agency, territory, МФЦ and month (order-120 §§ 3, 4;
//! who sees what: p. 16). All of it is linear in tallies.

use differential_dataflow::AsCollection;
use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::{Map, Partition};

use crate::calendar::Month;
use crate::domain::{Epoch, Place};
use crate::epochs::{Rows, sums};
use crate::id::{Id, Table};
use crate::ranking;
use crate::reference::{Location, Seat};
use crate::tally::{Mean, Spread, Value};
use crate::views::{AgencyRow, Row, Scope};

/// What a cell's ratings are summed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Group {
    /// A unit's own.
    Own(Id),
    /// Those the head of a unit answers for (p. 15, 16 "б"); whether it is an МФЦ.
    Pooled(Id, bool),
    /// A service, in the agency of the unit rated.
    Service(Option<Id>, Id),
    /// An agency.
    Agency(Id),
    /// A subject of the federation and an agency, or all: without ЕПГУ (p. 16).
    Territory(Id, Option<Id>),
    /// A month of a unit, agency, region or service.
    Month(Scope, Id, Month),
}

/// What changes in groups, summed.
pub type GroupSums = Table<Group, Spread>;

/// The groups of a counted place as a whole, for its ratings of one side.
pub fn groups_of<'a>(
    place: &'a Place,
    seat: &'a Seat<'a>,
    electronic: bool,
) -> impl Iterator<Item = Group> + 'a {
    let Location { agency, .. } = seat.location;
    let pooled = seat.heads(electronic).map(|head| Group::Pooled(head.unit, head.mfc));
    let others = [Group::Own(place.unit), Group::Service(agency, place.service)];
    let territories = territories(&seat.location).filter(move |_| !electronic);
    others.into_iter().chain(pooled).chain(agency.map(Group::Agency)).chain(territories)
}

/// The groups of a counted place in a month, for its ratings of one side.
pub fn months_of(
    place: &Place,
    seat: &Seat<'_>,
    electronic: bool,
    month: Month,
) -> impl Iterator<Item = Group> + use<> {
    let Location { agency, subject, .. } = seat.location;
    let scopes = [
        Some((Scope::Unit, place.unit)),
        Some((Scope::Service, place.service)),
        agency.map(|agency| (Scope::Agency, agency)),
        (!electronic).then_some((Scope::Region, subject)),
    ];
    scopes.into_iter().flatten().map(move |(scope, id)| Group::Month(scope, id, month))
}

/// The territories a unit's ratings belong to: its subject's, of its agency and of all.
pub fn territories(at: &Location) -> impl Iterator<Item = Group> + use<> {
    let of_agency = at.agency.map(|agency| Group::Territory(at.subject, Some(agency)));
    [Group::Territory(at.subject, None)].into_iter().chain(of_agency)
}

/// The rows of `units`, `mfcs`, `agencies`, `services`, `territories`, `months` and `rankings`, from what
/// changes in groups and in the running means of agencies.
pub fn rows<'s>(groups: Rows<'s, Group, Spread>, means: Rows<'s, Id, Mean>) -> Rows<'s, Row> {
    let parts = groups.inner.partition(4, |(group, epoch, spread)| {
        let part = match group {
            Group::Own(_) | Group::Pooled(..) => 0,
            Group::Agency(_) => 1,
            Group::Service(..) | Group::Territory(..) => 2,
            Group::Month(..) => 3,
        };
        (part, (group, epoch, spread))
    });
    let mut parts = parts.into_iter().map(AsCollection::as_collection);
    let mut part = || parts.next().expect("four parts");
    let at_units = part().inner.flat_map(|(group, epoch, spread): (Group, Epoch, Spread)| {
        let at_unit = UnitSums::of(group, spread);
        at_unit.map(|(unit, sums)| (unit, epoch, sums))
    });
    let ratings = part().inner.flat_map(|(group, epoch, ratings): (Group, Epoch, Spread)| {
        let Group::Agency(agency) = group else { return None };
        Some((agency, epoch, AgencySums { ratings, running: Mean::default() }))
    });
    let running = means.inner.map(|(agency, epoch, running)| {
        (agency, epoch, AgencySums { ratings: Spread::default(), running })
    });
    let of_agencies = ratings.as_collection().concat(running.as_collection());
    sums(at_units.as_collection(), "Units", |unit, sums| sums.rows(*unit))
        .concat(sums(of_agencies, "Agencies", |agency, sums| [sums.row(*agency)]))
        .concat(sums(part(), "Services and territories", |group, sum| [plain_row(*group, *sum)]))
        .concat(ranking::months(part()))
}

/// A row of `services` or `territories`.
fn plain_row(group: Group, spread: Spread) -> Option<Row> {
    let spread = Some(Box::new(spread)).filter(|spread| spread.value().n > 0)?;
    match group {
        Group::Service(agency, service) => Some(Row::Service { agency, service, spread }),
        Group::Territory(region, agency) => Some(Row::Territory { region, agency, spread }),
        _ => None,
    }
}

/// A unit's own ratings, and those its head answers for: of a unit, or of an МФЦ.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct UnitSums {
    own: Spread,
    pooled: Spread,
    centre: Spread,
}

impl UnitSums {
    fn of(group: Group, spread: Spread) -> Option<(Id, UnitSums)> {
        match group {
            Group::Own(unit) => Some((unit, UnitSums { own: spread, ..UnitSums::default() })),
            Group::Pooled(unit, false) => {
                Some((unit, UnitSums { pooled: spread, ..UnitSums::default() }))
            }
            Group::Pooled(unit, true) => {
                Some((unit, UnitSums { centre: spread, ..UnitSums::default() }))
            }
            _ => None,
        }
    }

    /// Those of `mfcs` and of `units`.
    fn rows(&self, unit: Id) -> [Option<Row>; 2] {
        let [own, pooled, centre] = [self.own, self.pooled, self.centre].map(|sum| sum.value());
        let is_rated = |value: &Value| value.n > 0;
        let office = || {
            let pooled = Some(pooled).filter(is_rated).unwrap_or(centre);
            Row::Unit { unit, own: Box::new(self.own), pooled }
        };
        [
            is_rated(&centre).then_some(Row::Mfc { unit, value: centre }),
            (is_rated(&own) || is_rated(&pooled)).then(office),
        ]
    }
}

impl IsZero for UnitSums {
    fn is_zero(&self) -> bool {
        *self == UnitSums::default()
    }
}

impl Semigroup for UnitSums {
    fn plus_equals(&mut self, rhs: &UnitSums) {
        self.own.plus_equals(&rhs.own);
        self.pooled.plus_equals(&rhs.pooled);
        self.centre.plus_equals(&rhs.centre);
    }
}

/// The ratings of an agency, and the sum of its managers' running values (p. 14).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct AgencySums {
    ratings: Spread,
    running: Mean,
}

impl AgencySums {
    fn row(&self, agency: Id) -> Option<Row> {
        let value = Some(self.ratings.value()).filter(|value| value.n > 0)?;
        let (managers, mean) = (self.running.managers(), self.running.millionths());
        Some(Row::Agency(Box::new(AgencyRow { agency, value, mean, managers })))
    }
}

impl IsZero for AgencySums {
    fn is_zero(&self) -> bool {
        *self == AgencySums::default()
    }
}

impl Semigroup for AgencySums {
    fn plus_equals(&mut self, rhs: &AgencySums) {
        self.ratings.plus_equals(&rhs.ratings);
        self.running.plus_equals(&rhs.running);
    }
}
