//! Sums of the counted ratings by unit, service, agency, territory, МФЦ and month (order-120 §§ 3, 4;
//! who sees what: p. 16). All of it is linear in tallies.

use differential_dataflow::AsCollection;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ValSpine;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;

use crate::calendar::{Day, Month};
use crate::domain::{Epoch, Place};
use crate::epochs::Rows;
use crate::id::Id;
use crate::reference::{Head, Location, Placing, Seat, left_join};
use crate::tally::{Mean, Messages, Spread, Tally, Value};
use crate::views::{AgencyRow, Row, Scope};

/// The hinge: the ratings of a place, a date and a side, electronic (ЕПГУ) or not.
pub type Cells<'s> = Arranged<'s, TraceAgent<ValSpine<Place, (Day, bool), Epoch, Tally>>>;
/// What each place turns out to be.
pub type Placings<'s> = Arranged<'s, TraceAgent<ValSpine<Place, Placing, Epoch, isize>>>;

/// Rows by the place they are at.
pub fn arrange_by_place<'s, V, R>(
    rows: Rows<'s, (Place, V), R>,
) -> Arranged<'s, TraceAgent<ValSpine<Place, V, Epoch, R>>>
where
    V: differential_dataflow::ExchangeData,
    R: differential_dataflow::ExchangeData + differential_dataflow::difference::Semigroup,
{
    rows.arrange_by_key_named("By place")
}

/// `((unit, day), tally)` for each unit whose head answers for the cell: the unit, all above it,
/// and the МФЦ with those above it (p. 15, 16 "б").
pub fn pooled_days<'s>(cells: Cells<'s>, placings: Placings<'s>) -> Rows<'s, (Id, Day), Tally> {
    cells.join_core(placings, |_, (day, electronic), placing| {
        let (day, electronic) = (*day, *electronic);
        counted(placing, electronic)
            .into_iter()
            .flat_map(move |seat| seat.heads(electronic))
            .map(move |head| (head.unit, day))
            .collect::<Vec<_>>()
    })
}

/// The seat of a place where ratings of the side count.
fn counted(placing: &Placing, electronic: bool) -> Option<&Seat> {
    match placing {
        Placing::Known(seat) if seat.counts(electronic) => Some(seat),
        Placing::Known(_) | Placing::Pending(_) => None,
    }
}

/// What a cell's ratings are summed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Group {
    /// A unit's own.
    Own(Id),
    /// Those a head answers for (p. 15, 16 "б").
    Pooled(Head),
    /// A service, in the agency of the unit rated.
    Service(Option<Id>, Id),
    /// An agency.
    Agency(Id),
    /// A subject of the federation and an agency, or all: without ЕПГУ (p. 16).
    Territory(Id, Option<Id>),
    /// A month of a unit, agency, region or service.
    Month(Scope, Id, Month),
}

/// `(group, spread)` of every group with ratings.
pub fn groups<'s>(cells: Cells<'s>, placings: Placings<'s>) -> Rows<'s, Group, Spread> {
    cells
        .join_core(placings, |place, (day, electronic), placing| {
            let seat = counted(placing, *electronic);
            seat.map_or_else(Vec::new, |seat| groups_of(place, day.month(), *electronic, seat))
        })
        .inner
        .map(|(group, epoch, tally): (Group, Epoch, Tally)| (group, epoch, tally.spread()))
        .as_collection()
}

/// The groups a counted cell belongs to.
fn groups_of(place: &Place, month: Month, electronic: bool, seat: &Seat) -> Vec<Group> {
    let Location { agency, subject, .. } = seat.location;
    let mut groups = Vec::with_capacity(16);
    groups.push(Group::Own(place.unit));
    groups.extend(seat.heads(electronic).map(|head| Group::Pooled(*head)));
    groups.push(Group::Service(agency, place.service));
    groups.push(Group::Month(Scope::Unit, place.unit, month));
    groups.push(Group::Month(Scope::Service, place.service, month));
    if let Some(agency) = agency {
        groups.push(Group::Agency(agency));
        groups.push(Group::Month(Scope::Agency, agency, month));
    }
    if !electronic {
        groups.extend(territories(&seat.location));
        groups.push(Group::Month(Scope::Region, subject, month));
    }
    groups
}

/// The territories a unit's ratings belong to: its subject's, of its agency and of all.
pub fn territories(at: &Location) -> impl Iterator<Item = Group> + use<> {
    let of_agency = at.agency.map(|agency| Group::Territory(at.subject, Some(agency)));
    [Group::Territory(at.subject, None)].into_iter().chain(of_agency)
}

/// Beside the scores of a territory: its standing facts, and the records rated. A record whose SMS
/// or survey and whose kiosk rating both count in a territory is one record.
pub fn facts_and_records<'s>(
    facts: Rows<'s, Id>,
    placed: Rows<'s, (Place, bool), Messages>,
    twice: Rows<'s, (Place, Place)>,
    locations: Rows<'s, (Id, Location)>,
    placings: Placings<'s>,
) -> Rows<'s, Group, Spread> {
    let facts = facts.map(|unit| (unit, ())).join_map(locations, |_, (), at| *at).explode(|at| {
        territories(&at).map(|group| (group, Spread { facts: [1], ..Spread::default() }))
    });
    let records = arrange_by_place(placed)
        .join_core(placings.clone(), |_, electronic, placing| counted_in(placing, *electronic))
        .inner
        .map(|(group, epoch, messages): (Group, Epoch, Messages)| {
            (group, epoch, messages.records())
        })
        .as_collection();
    let both = arrange_by_place(twice).join_core(placings.clone(), |_, other, placing| {
        counted_in(placing, false).into_iter().map(|group| (*other, group)).collect::<Vec<_>>()
    });
    let both = arrange_by_place(both)
        .join_core(placings, |_, group, placing| {
            counted_in(placing, false)
                .into_iter()
                .filter(|other| other == group)
                .collect::<Vec<_>>()
        })
        .explode(|group| [(group, Spread { records: [-1], ..Spread::default() })]);
    facts.concat(records).concat(both)
}

/// The territories in which ratings of the side count at a place; ЕПГУ counts in none (p. 16).
fn counted_in(placing: &Placing, electronic: bool) -> Vec<Group> {
    let seat = counted(placing, electronic).filter(|_| !electronic);
    seat.map_or_else(Vec::new, |seat| territories(&seat.location).collect())
}

/// The rows of `services`, `territories` and `months`.
pub fn plain_rows<'s>(totals: Rows<'s, (Group, Spread)>) -> Rows<'s, Row> {
    totals.filter(|(_, spread)| spread.value().n > 0).flat_map(|(group, spread)| {
        let spread = Box::new(spread);
        match group {
            Group::Service(agency, service) => Some(Row::Service { agency, service, spread }),
            Group::Territory(region, agency) => Some(Row::Territory { region, agency, spread }),
            Group::Month(scope, id, month) => Some(Row::Month { scope, id, month, spread }),
            Group::Own(_) | Group::Pooled(_) | Group::Agency(_) => None,
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
        Group::Pooled(head) => Some((head.unit, (head.mfc, spread.value()))),
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
