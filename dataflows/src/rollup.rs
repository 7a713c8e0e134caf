//! Sums of the counted ratings by unit, service, agency, territory, МФЦ and month (order-120 §§ 3, 4;
//! who sees what: p. 16). All of it is linear in tallies.

use differential_dataflow::AsCollection;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;

use crate::calendar::Month;
use crate::epochs::{Rows, sums};
use crate::id::{Id, Table};
use crate::ranking;
use crate::reference::{Location, Seat};
use crate::tally::{Mean, Spread};
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

impl Group {
    /// Which rows it is for: of units and МФЦ, agencies, services and territories, months.
    pub fn part(&self) -> usize {
        match self {
            Group::Own(_) | Group::Pooled(..) => 0,
            Group::Agency(_) => 1,
            Group::Service(..) | Group::Territory(..) => 2,
            Group::Month(..) => 3,
        }
    }
}

/// What changes in groups, summed.
pub type GroupSums = Table<Group, Spread>;

/// The groups of a counted place as a whole, for its ratings of one side, but for its service's: they are
/// the same for all places of a unit and an МФЦ.
pub fn groups_of<'a>(
    unit: Id,
    seat: &'a Seat<'a>,
    electronic: bool,
) -> impl Iterator<Item = Group> + 'a {
    let pooled = seat.heads(electronic).map(|head| Group::Pooled(head.unit, head.mfc));
    let agency = seat.location.agency.map(Group::Agency);
    let territories = territories(&seat.location).filter(move |_| !electronic);
    [Group::Own(unit)].into_iter().chain(pooled).chain(agency).chain(territories)
}

/// Likewise in a month.
pub fn months_of(
    unit: Id,
    seat: &Seat<'_>,
    electronic: bool,
    month: Month,
) -> impl Iterator<Item = Group> + use<> {
    let Location { agency, subject, .. } = seat.location;
    let scopes = [
        Some((Scope::Unit, unit)),
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
/// changes in groups, by their [parts](Group::part), and in the running means of agencies.
pub fn rows<'s>(groups: [Rows<'s, Group, Spread>; 4], means: Rows<'s, Id, Mean>) -> Rows<'s, Row> {
    let [at_units, of_agencies, plain, months] = groups;
    let none = Spread::default();
    let at_units = at_units.inner.flat_map(move |(group, epoch, spread)| match group {
        Group::Own(unit) => Some((unit, epoch, (spread, none, none))),
        Group::Pooled(unit, false) => Some((unit, epoch, (none, spread, none))),
        Group::Pooled(unit, true) => Some((unit, epoch, (none, none, spread))),
        _ => None,
    });
    let ratings = of_agencies.inner.flat_map(|(group, epoch, spread)| match group {
        Group::Agency(agency) => Some((agency, epoch, (spread, Mean::default()))),
        _ => None,
    });
    let running = means.inner.map(move |(agency, epoch, mean)| (agency, epoch, (none, mean)));
    let of_agencies = ratings.as_collection().concat(running.as_collection());
    sums(at_units.as_collection(), "Units", |unit, sums| unit_rows(*unit, sums))
        .concat(sums(of_agencies, "Agencies", |agency, sums| [agency_row(*agency, sums)]))
        .concat(sums(plain, "Services and territories", |group, sum| [plain_row(*group, *sum)]))
        .concat(ranking::months(months))
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

/// The rows of `mfcs` and of `units`, from a unit's own ratings and those its head answers for: of a
/// unit, or of an МФЦ.
fn unit_rows(unit: Id, (own, pooled, centre): &(Spread, Spread, Spread)) -> [Option<Row>; 2] {
    let [pooled, centre] = [pooled, centre].map(|sum| Some(sum.value()).filter(|v| v.n > 0));
    let is_office = pooled.is_some() || own.value().n > 0;
    [
        centre.map(|value| Row::Mfc { unit, value }),
        is_office.then(|| Row::Unit {
            unit,
            own: Box::new(*own),
            pooled: pooled.or(centre).unwrap_or_default(),
        }),
    ]
}

/// The row of `agencies`, from its ratings and the sum of its managers' running values (p. 14).
fn agency_row(agency: Id, (ratings, running): &(Spread, Mean)) -> Option<Row> {
    let value = Some(ratings.value()).filter(|value| value.n > 0)?;
    let (managers, mean) = (running.managers(), running.millionths());
    Some(Row::Agency(Box::new(AgencyRow { agency, value, mean, managers })))
}
