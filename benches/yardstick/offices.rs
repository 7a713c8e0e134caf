//! The offices at the end of the file: who is above whom, and who held which post when.

use std::collections::HashMap;

use dataflows::calendar::Day;
use dataflows::domain::{Place, Reference, ReferenceKey, Tenure, Unit, UnitKind};
use dataflows::id::Id;
use dataflows::world::World;

/// The reference data that hold.
#[derive(Default)]
pub struct Offices {
    rows: HashMap<ReferenceKey, Reference>,
    /// The units, each at its number.
    pub units: Vec<Office>,
    numbers: HashMap<Id, usize>,
    listed: HashMap<Id, bool>,
    /// Targets by unit and the start of the period.
    pub targets: HashMap<(Id, Day), i64>,
    /// The tenures, each at its number.
    pub tenures: Vec<Tenure>,
}

/// A unit and its posts.
pub struct Office {
    pub unit: Unit,
    pub subject: Id,
    /// None for an МФЦ.
    pub agency: Option<Id>,
    /// Itself and all above it, as numbers.
    pub heads: Vec<usize>,
    /// D7: who held the post, disjoint and in order.
    pub stretches: Vec<Stretch>,
}

/// Days of a post in one tenure.
pub struct Stretch {
    pub from: Day,
    pub until: Day,
    /// The number of the tenure.
    pub tenure: usize,
}

/// A place where ratings of one side or both count.
#[derive(Clone)]
pub struct Seat {
    pub unit: usize,
    /// Heads that answer for ratings not by ЕПГУ, and for those by ЕПГУ.
    pub heads: [Vec<usize>; 2],
    /// Whether the sides count.
    pub counts: [bool; 2],
}

impl Offices {
    /// The row of this key is now this one, or none.
    pub fn set(&mut self, key: ReferenceKey, row: Option<Reference>) {
        match row {
            Some(row) => drop(self.rows.insert(key, row)),
            None => drop(self.rows.remove(&key)),
        }
    }

    /// Settles who is above whom and who holds which post.
    pub fn settle(&mut self, world: &World) {
        for row in std::mem::take(&mut self.rows).into_values() {
            match row {
                Reference::Agency(_) => {}
                Reference::Service(service) => drop(self.listed.insert(service.id, service.listed)),
                Reference::Target(target) => {
                    self.targets.insert((target.unit, target.from), target.micropercent);
                }
                Reference::Tenure(tenure) if tenure.from < tenure.until => {
                    self.tenures.push(tenure)
                }
                Reference::Tenure(_) => {}
                Reference::Unit(unit) => {
                    self.numbers.insert(unit.id, self.units.len());
                    let agency = unit.agency.filter(|_| unit.kind != UnitKind::Mfc);
                    let (subject, _) = world.subject(unit.okato);
                    let (heads, stretches) = (Vec::new(), Vec::new());
                    self.units.push(Office { unit, subject, agency, heads, stretches });
                }
            }
        }
        let parents: Vec<Option<usize>> =
            self.units.iter().map(|o| self.number(o.unit.parent)).collect();
        let circling = |unit: usize| {
            let mut above = std::iter::successors(parents[unit], |&up| parents[up]);
            above.by_ref().take(parents.len()).any(|up| up == unit)
        };
        let parents: Vec<Option<usize>> =
            (0..parents.len()).map(|unit| parents[unit].filter(|_| !circling(unit))).collect();
        for unit in 0..parents.len() {
            self.units[unit].heads =
                std::iter::successors(Some(unit), |&unit| parents[unit]).collect();
        }
        let mut posts: HashMap<Id, Vec<usize>> = HashMap::new();
        for (number, tenure) in self.tenures.iter().enumerate() {
            posts.entry(tenure.unit).or_default().push(number);
        }
        for (unit, tenures) in posts {
            if let Some(&number) = self.numbers.get(&unit) {
                self.units[number].stretches = stretches(&self.tenures, &tenures);
            }
        }
    }

    /// The number of a unit, if it is known.
    pub fn number(&self, unit: Option<Id>) -> Option<usize> {
        self.numbers.get(&unit?).copied()
    }

    /// The seat of a place; `None` while something it names is not known.
    pub fn seat(&self, place: &Place) -> Option<Seat> {
        let unit = self.number(Some(place.unit))?;
        let mut heads = self.units[unit].heads.clone();
        let is_office = |head: &usize| self.units[*head].unit.kind != UnitKind::Mfc;
        let electronic = heads.iter().copied().filter(is_office).collect();
        if place.mfc.is_some() {
            let centre = &self.units[self.number(place.mfc)?];
            heads.extend(&centre.heads);
            heads.sort_unstable();
            heads.dedup();
        }
        let listed = *self.listed.get(&place.service)?;
        Some(Seat {
            unit,
            heads: [heads, electronic],
            counts: [listed || place.mfc.is_some(), listed],
        })
    }
}

/// D7: the later `from` holds, then the greater id.
fn stretches(tenures: &[Tenure], of_post: &[usize]) -> Vec<Stretch> {
    let mut edges: Vec<Day> =
        of_post.iter().flat_map(|&t| [tenures[t].from, tenures[t].until]).collect();
    edges.sort_unstable();
    let covers = |tenure: &Tenure, day| tenure.from <= day && day < tenure.until;
    let between = edges.windows(2).filter(|edge| edge[0] < edge[1]);
    between
        .filter_map(|edge| {
            let serving = of_post.iter().filter(|&&t| covers(&tenures[t], edge[0]));
            let holder = serving.max_by_key(|&&t| (tenures[t].from, tenures[t].id.text()));
            holder.map(|&tenure| Stretch { from: edge[0], until: edge[1], tenure })
        })
        .collect()
}
