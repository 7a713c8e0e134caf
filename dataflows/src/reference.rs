//! The reference data as they stand: which row of a key holds, who is above whom, and what that
//! makes of a place (order-120 §§ 2, 3).

use std::collections::HashMap;

use differential_dataflow::operators::iterate::Iterate;
use serde::{Deserialize, Serialize};

use crate::domain::{Place, Reference, ReferenceKey, Turn, Unit, UnitKind};
use crate::epochs::{Rows, exchange, per_epoch};
use crate::id::{Id, Table};
use crate::views::PendingReason;
use crate::world::{World, ZoneIndex};

/// The rows in force: of each key the one whose turn was last, unless that removed it.
///
/// - in: `(key, turn, row or none)`, inserted only, in any order: logs are read side by side
/// - out: at most one row a key
/// - state: what was said last by key, a removal too
pub fn upserts<'s>(
    entered: Rows<'s, (ReferenceKey, Turn, Option<Reference>)>,
) -> Rows<'s, Reference> {
    use differential_dataflow::Hashable;
    let mut last_said: HashMap<ReferenceKey, (Turn, Option<Reference>)> = HashMap::new();
    let entered = exchange(entered, |(key, ..)| key.hashed());
    per_epoch(entered, "Upserts", move |epoch, mut updates, output| {
        updates.sort_unstable_by_key(|((key, turn, _), _)| (*key, *turn));
        for same_key in updates.chunk_by(|((a, ..), _), ((b, ..), _)| a == b) {
            let Some(((key, turn, said), _)) = same_key.last() else { continue };
            if last_said.get(key).is_some_and(|(later, _)| later > turn) {
                continue;
            }
            let old = last_said.insert(*key, (*turn, said.clone())).and_then(|(_, row)| row);
            if old != *said {
                output.extend(old.map(|row| (row, epoch, -1)));
                output.extend(said.clone().map(|row| (row, epoch, 1)));
            }
        }
    })
}

/// A unit among those above it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// Where it is and whose.
    pub location: Location,
    /// Itself and all units above it: those whose heads answer for it (p. 15).
    pub heads: Vec<Head>,
}

/// Where a unit is and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Location {
    /// Its agency; none for an МФЦ.
    pub agency: Option<Id>,
    /// The subject of the federation it lies in.
    pub subject: Id,
    /// The zone of that subject.
    pub zone: ZoneIndex,
    /// What it is.
    pub kind: UnitKind,
}

/// A unit whose head answers for a rating.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Head {
    /// The unit.
    pub unit: Id,
    /// Whether it is an МФЦ, whose head is judged without ЕПГУ (16 "б").
    pub mfc: bool,
    /// Whether nobody is above it.
    pub top: bool,
    /// Its zone.
    pub zone: ZoneIndex,
}

/// `(unit, location)` of every known unit.
pub fn locations<'s>(units: Rows<'s, Unit>, world: &World) -> Rows<'s, (Id, Location)> {
    let world = world.clone();
    units.map(move |unit| {
        let (subject, zone) = world.subject(unit.okato);
        let agency = if unit.kind == UnitKind::Mfc { None } else { unit.agency };
        (unit.id, Location { agency, subject, zone, kind: unit.kind })
    })
}

/// `(unit, parent)` where both are known and no circle of parents goes through the unit; and the
/// units on circles.
///
/// - rule: Order 120 p. 15. A unit on a circle counts as parentless until that is corrected; those
///   below it keep their parents.
pub fn hierarchy<'s>(units: Rows<'s, Unit>) -> (Rows<'s, (Id, Id)>, Rows<'s, Id>) {
    let known = units.clone().map(|unit| unit.id);
    let parents = units
        .flat_map(|unit| unit.parent.map(|parent| (parent, unit.id)))
        .semijoin(known)
        .map(|(parent, unit)| (unit, parent));
    let circling =
        above(parents.clone()).filter(|(unit, above)| unit == above).map(|(unit, _)| unit);
    (parents.antijoin(circling.clone()), circling)
}

/// `(unit, every unit above it)`; depth is not limited.
fn above<'s>(parents: Rows<'s, (Id, Id)>) -> Rows<'s, (Id, Id)> {
    parents.clone().iterate(|scope, reached| {
        let parents = parents.enter(scope);
        reached
            .map(|(unit, above)| (above, unit))
            .join_map(parents.clone(), |_, unit, further| (*unit, *further))
            .concat(parents)
            .distinct()
    })
}

/// `(unit, standing)` of every known unit.
pub fn standings<'s>(
    locations: Rows<'s, (Id, Location)>,
    parents: Rows<'s, (Id, Id)>,
) -> Rows<'s, (Id, Standing)> {
    let below = parents.clone().map(|(unit, _)| unit);
    let tops =
        locations.clone().antijoin(below.clone()).map(|(unit, at)| (unit, head(unit, at, true)));
    let others = locations.clone().semijoin(below).map(|(unit, at)| (unit, head(unit, at, false)));
    let heads = tops.concat(others);
    let inherited = above(parents)
        .map(|(unit, above)| (above, unit))
        .join_map(heads.clone(), |_, unit, head| (*unit, *head));
    heads
        .concat(inherited)
        .reduce(|_, heads, output| {
            output.push((heads.iter().map(|(head, _)| **head).collect::<Vec<_>>(), 1));
        })
        .join_map(locations, |unit, heads, location| {
            (*unit, Standing { location: *location, heads: heads.clone() })
        })
}

fn head(unit: Id, at: Location, top: bool) -> Head {
    Head { unit, mfc: at.kind == UnitKind::Mfc, top, zone: at.zone }
}

/// What a place turns out to be.
#[derive(Clone, Copy, Debug)]
pub enum Placing<'a> {
    /// Something it names is not known yet: its ratings wait.
    Pending(PendingReason),
    /// Everything it names is known.
    Known(Seat<'a>),
}

/// A place of which everything is known.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// Whether the service is in the Перечень.
    pub listed: bool,
    /// Whether the service was given through an МФЦ.
    pub through_mfc: bool,
    /// Where the unit is and whose.
    pub location: Location,
    /// The unit and all above it.
    own: &'a [Head],
    /// The МФЦ and all above it, of whom some may be above the unit too.
    through: &'a [Head],
}

impl<'a> Placing<'a> {
    /// The seat, where ratings of the side count.
    pub fn counted(&self, electronic: bool) -> Option<&Seat<'a>> {
        match self {
            Placing::Known(seat) if seat.counts(electronic) => Some(seat),
            Placing::Known(_) | Placing::Pending(_) => None,
        }
    }
}

impl<'a> Seat<'a> {
    /// p. 12 last paragraph, p. 13: what is not listed counts only if given through an МФЦ, and
    /// only from SMS, phone and kiosk.
    pub fn counts(&self, electronic: bool) -> bool {
        self.listed || (self.through_mfc && !electronic)
    }

    /// p. 15, 16 "б": those who answer for a rating, each once. ЕПГУ ratings are no part of an МФЦ's
    /// value, and an МФЦ answers for nothing that came by ЕПГУ.
    pub fn heads(&self, electronic: bool) -> impl Iterator<Item = &'a Head> + use<'a> {
        let (own, through) = (self.own, if electronic { &[] } else { self.through });
        let through = through.iter().filter(move |head| !own.contains(head));
        own.iter().chain(through).filter(move |head| !(electronic && head.mfc))
    }

    /// The unit at the top of the hierarchy: whose list of the survey a reply is on (7.8).
    pub fn top(&self) -> Option<&'a Head> {
        self.own.iter().find(|head| head.top)
    }
}

/// The units and services known, for whoever asks what a place turns out to be.
#[derive(Debug, Default)]
pub struct Offices {
    standings: Table<Id, Standing>,
    listed: Table<Id, bool>,
}

impl Offices {
    /// A unit stands so, or no longer so.
    pub fn stand(&mut self, unit: Id, standing: Standing, diff: isize) {
        replace(&mut self.standings, unit, standing, diff);
    }

    /// A service is listed or not, or no longer so.
    pub fn list(&mut self, service: Id, listed: bool, diff: isize) {
        replace(&mut self.listed, service, listed, diff);
    }

    /// The units known, and how they stand.
    pub fn standings(&self) -> impl Iterator<Item = (Id, &Standing)> {
        self.standings.iter().map(|(unit, standing)| (*unit, standing))
    }

    /// How a unit stands, if it is known.
    pub fn standing(&self, unit: Id) -> Option<&Standing> {
        self.standings.get(&unit)
    }

    /// Whether a service is known, listed or not.
    pub fn knows_service(&self, service: Id) -> bool {
        self.listed.contains_key(&service)
    }

    /// Where a unit is, if it is known.
    pub fn location(&self, unit: Id) -> Option<&Location> {
        self.standings.get(&unit).map(|standing| &standing.location)
    }

    /// What a place turns out to be.
    ///
    /// - rule: order-120 § 2 "pending": the first that applies of no unit (also an unknown МФЦ), no
    ///   service
    pub fn placing(&self, place: &Place) -> Placing<'_> {
        let unit = self.standings.get(&place.unit);
        let mfc = place.mfc.map(|mfc| self.standings.get(&mfc));
        let (Some(unit), None | Some(Some(_))) = (unit, mfc) else {
            return Placing::Pending(PendingReason::NoUnit);
        };
        let Some(&listed) = self.listed.get(&place.service) else {
            return Placing::Pending(PendingReason::NoService);
        };
        let through = mfc.flatten().map_or(&[][..], |mfc| &mfc.heads);
        let (through_mfc, location) = (mfc.is_some(), unit.location);
        Placing::Known(Seat { listed, through_mfc, location, own: &unit.heads, through })
    }
}

/// Takes in that a key's row came or went; of an epoch's changes to a key the arrival holds, in
/// whichever order they are told.
pub fn replace<V: PartialEq>(rows: &mut Table<Id, V>, key: Id, row: V, diff: isize) {
    if diff > 0 {
        rows.insert(key, row);
    } else if rows.get(&key) == Some(&row) {
        rows.remove(&key);
    }
}

/// `(key, left, right if there is one)`; `right` has at most one row a key.
pub fn left_join<'s, K, V, W>(
    left: Rows<'s, (K, V)>,
    right: Rows<'s, (K, W)>,
) -> Rows<'s, (K, V, Option<W>)>
where
    K: differential_dataflow::ExchangeData + std::hash::Hash,
    V: differential_dataflow::ExchangeData,
    W: differential_dataflow::ExchangeData,
{
    let joined = left
        .clone()
        .join_map(right, |key, left, right| (key.clone(), left.clone(), Some(right.clone())));
    let matched = joined.clone().map(|(key, left, _)| (key, left));
    joined.concat(left.concat(matched.negate()).map(|(key, left)| (key, left, None)))
}
