//! Sums of the counted ratings by unit, service, agency, territory, МФЦ and month (order-120 §§ 3, 4;
//! who sees what: p. 16). All of it is linear in tallies.

use serde::{Deserialize, Serialize};

use crate::calendar::Month;
use crate::domain::Place;
use crate::epochs::Rows;
use crate::id::{Id, Table};
use crate::reference::{Location, Seat, left_join};
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

/// The rows of `services`, `territories` and `months`.
pub fn plain_rows<'s>(totals: Rows<'s, (Group, Spread)>) -> Rows<'s, Row> {
    totals.filter(|(_, spread)| spread.value().n > 0).flat_map(|(group, spread)| {
        let spread = Box::new(spread);
        match group {
            Group::Service(agency, service) => Some(Row::Service { agency, service, spread }),
            Group::Territory(region, agency) => Some(Row::Territory { region, agency, spread }),
            Group::Month(scope, id, month) => Some(Row::Month { scope, id, month, spread }),
            Group::Own(_) | Group::Pooled(..) | Group::Agency(_) => None,
        }
    })
}

/// The rows of `units` and `mfcs`: a unit's own ratings beside those its head answers for.
pub fn unit_rows<'s>(totals: Rows<'s, (Group, Spread)>) -> Rows<'s, Row> {
    let own = totals.clone().flat_map(|(group, spread)| match group {
        Group::Own(unit) => Some((unit, spread)),
        _ => None,
    });
    let pooled = totals.flat_map(|(group, spread)| match group {
        Group::Pooled(unit, mfc) => Some((unit, (mfc, spread.value()))),
        _ => None,
    });
    let without_pooled = own
        .clone()
        .antijoin(pooled.clone().map(|(unit, _)| unit))
        .map(|(unit, own)| Row::Unit { unit, own: Box::new(own), pooled: Value::default() });
    left_join(pooled, own)
        .flat_map(|(unit, (mfc, pooled), own)| {
            let centre = mfc.then_some(Row::Mfc { unit, value: pooled });
            let office = (own.is_some() || !mfc).then(|| Row::Unit {
                unit,
                own: Box::new(own.unwrap_or_default()),
                pooled,
            });
            [centre, office].into_iter().flatten()
        })
        .concat(without_pooled)
}

/// The rows of `agencies`: the pooled value, and the running mean of its managers (p. 14).
pub fn agency_rows<'s>(
    totals: Rows<'s, (Group, Spread)>,
    means: Rows<'s, (Id, Mean)>,
) -> Rows<'s, Row> {
    let agencies = totals.flat_map(|(group, spread)| match group {
        Group::Agency(agency) => Some((agency, spread.value())),
        _ => None,
    });
    left_join(agencies, means).map(|(agency, value, mean)| {
        let mean = mean.unwrap_or_default();
        let (managers, mean) = (mean.managers(), mean.millionths());
        Row::Agency(Box::new(AgencyRow { agency, value, mean, managers }))
    })
}

/// The rows of `rankings`: 1 for the highest exact value of the month; equal values share a rank
/// and the next is skipped.
pub fn rankings<'s>(months: Rows<'s, (Group, Spread)>) -> Rows<'s, Row> {
    months
        .flat_map(|(group, spread)| match group {
            Group::Month(scope, id, month) => Some(((scope, month), (id, spread.value()))),
            _ => None,
        })
        .filter(|(_, (_, value))| value.n > 0)
        .reduce(|_, values, output| {
            let mut ranked: Vec<(Id, Value)> = values.iter().map(|(value, _)| **value).collect();
            ranked.sort_by(|(_, a), (_, b)| b.compare(*a));
            let (mut rank, mut above): (u32, Option<Value>) = (1, None);
            for (place, &(id, value)) in (1..).zip(&ranked) {
                if above.is_some_and(|above| above.compare(value).is_ne()) {
                    rank = place;
                }
                above = Some(value);
                output.push(((id, value, rank), 1));
            }
        })
        .map(|((scope, month), (id, value, rank))| Row::Ranking { scope, month, id, rank, value })
}
