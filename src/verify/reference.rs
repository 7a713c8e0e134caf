//! The reference data as they stand: units and who is above them, services, posts, targets.
//!
//! Only the last row of a key counts, and every figure is as if it had been there from the start.

use std::collections::{HashMap, HashSet};

use dataflows::domain::UnitKind;
use dataflows::id::Id;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::time;
use crate::event::{self, Event, Key};
use crate::regions::Regions;

/// The rows that bear on a figure. Agencies are not among them: a rating belongs to the agency that
/// its unit names, known or not.
pub struct Reference {
    regions: Regions,
    zones: HashMap<String, TimeZone>,
    pub units: HashMap<Id, Unit>,
    /// Whether the service is listed.
    pub services: HashMap<Id, bool>,
    pub tenures: HashMap<Id, Tenure>,
    /// Millionths of a per cent by unit and start of the period.
    pub targets: HashMap<(Id, Date), i64>,
}

/// An office.
pub struct Unit {
    pub kind: UnitKind,
    agency: Option<Id>,
    parent: Option<Id>,
    /// The ОКАТО prefix of its subject.
    pub region: Id,
    zone: String,
}

/// A time in office; `until` is the first day no longer in it.
pub struct Tenure {
    pub id: Id,
    pub manager: Id,
    pub unit: Id,
    pub from: Date,
    pub until: Option<Date>,
}

impl Reference {
    /// No rows.
    pub fn new(regions: Regions) -> Reference {
        let database = TimeZoneDatabase::bundled();
        let names = regions.iter().map(|region| region.zone.clone()).chain([MOSCOW.to_owned()]);
        let zone = |name: String| {
            let zone = database.get(&name).expect("the list of regions names known zones only");
            (name, zone)
        };
        Reference {
            zones: names.map(zone).collect(),
            regions,
            units: HashMap::new(),
            services: HashMap::new(),
            tenures: HashMap::new(),
            targets: HashMap::new(),
        }
    }

    /// Takes a row of the reference data; whether the event was one.
    pub fn apply(&mut self, event: &Event<'_>) -> bool {
        match event {
            Event::Agency(_) => {}
            Event::Unit(unit) => {
                let row = self.unit_row(unit);
                self.units.insert(Id::of(&unit.id), row);
            }
            Event::Service(service) => {
                self.services.insert(Id::of(&service.id), service.listed);
            }
            Event::Tenure(tenure) => {
                let row = Tenure {
                    id: Id::of(&tenure.id),
                    manager: Id::of(&tenure.manager),
                    unit: Id::of(&tenure.unit),
                    from: time::date(tenure.from),
                    until: tenure.until.map(time::date),
                };
                self.tenures.insert(row.id, row);
            }
            Event::Target(target) => {
                let key = (Id::of(&target.unit), time::date(target.from));
                self.targets.insert(key, target.micropercent);
            }
            Event::Remove(key) => self.remove(key),
            _ => return false,
        }
        true
    }

    fn remove(&mut self, key: &Key<'_>) {
        match key {
            Key::Agency(_) => {}
            Key::Unit(id) => drop(self.units.remove(&Id::of(id))),
            Key::Service(id) => drop(self.services.remove(&Id::of(id))),
            Key::Tenure(id) => drop(self.tenures.remove(&Id::of(id))),
            Key::Target(unit, from) => {
                self.targets.remove(&(Id::of(unit), time::date(*from)));
            }
        }
    }

    /// A unit with its subject: the longest prefix in the list of regions, else the first two
    /// digits and Moscow time.
    fn unit_row(&self, unit: &event::Unit<'_>) -> Unit {
        let region = self
            .regions
            .iter()
            .filter(|region| unit.region.starts_with(&region.okato))
            .max_by_key(|region| region.okato.len());
        let (prefix, zone) = match region {
            Some(region) => (region.okato.as_str(), region.zone.as_str()),
            None => (unit.region.get(..2).unwrap_or(&unit.region), MOSCOW),
        };
        Unit {
            kind: unit.kind,
            agency: unit.agency.as_deref().map(Id::of),
            parent: unit.parent.as_deref().map(Id::of),
            region: Id::of(prefix),
            zone: zone.to_owned(),
        }
    }

    /// The agency a rating of the unit belongs to: that of the unit, none for an МФЦ.
    pub fn agency(&self, unit: Id) -> Option<Id> {
        let unit = self.units.get(&unit)?;
        if unit.kind == UnitKind::Mfc { None } else { unit.agency }
    }

    /// The time zone of the unit's subject; Moscow for one that is not known.
    pub fn zone(&self, unit: Option<Id>) -> &TimeZone {
        let unit = unit.and_then(|unit| self.units.get(&unit));
        self.zones.get(unit.map_or(MOSCOW, |unit| &unit.zone)).expect("all zones are loaded")
    }

    /// Time in the capital: what day it is for completeness of periods.
    pub fn moscow(&self) -> &TimeZone {
        self.zone(None)
    }

    fn known_parent(&self, unit: Id) -> Option<Id> {
        self.units.get(&unit)?.parent.filter(|parent| self.units.contains_key(parent))
    }

    /// Whether going from parent to parent leads back to the unit.
    fn is_on_cycle(&self, unit: Id) -> bool {
        let mut seen = HashSet::new();
        let mut above = self.known_parent(unit);
        while let Some(parent) = above {
            if parent == unit {
                return true;
            }
            if !seen.insert(parent) {
                return false;
            }
            above = self.known_parent(parent);
        }
        false
    }
}

const MOSCOW: &str = "Europe/Moscow";

/// Who is above whom and who held which post: what the reference data come to.
pub struct Offices<'a> {
    /// Units on a cycle of parents, each treated as having no parent.
    pub cyclic: HashSet<Id>,
    chains: HashMap<Id, Vec<Id>>,
    posts: HashMap<Id, Vec<&'a Tenure>>,
}

impl Offices<'_> {
    /// Resolves the reference data as they stand.
    pub fn of(reference: &Reference) -> Offices<'_> {
        let units = || reference.units.keys().copied();
        let cyclic: HashSet<Id> = units().filter(|&unit| reference.is_on_cycle(unit)).collect();
        let parent = |unit: &Id| {
            if cyclic.contains(unit) { None } else { reference.known_parent(*unit) }
        };
        let chain = |unit| std::iter::successors(Some(unit), parent).collect();
        let chains = units().map(|unit| (unit, chain(unit))).collect();
        let mut posts: HashMap<Id, Vec<&Tenure>> = HashMap::new();
        for tenure in reference.tenures.values() {
            posts.entry(tenure.unit).or_default().push(tenure);
        }
        Offices { cyclic, chains, posts }
    }

    /// The unit and the units above it, from itself to its root; empty for an unknown one.
    pub fn chain(&self, unit: Id) -> &[Id] {
        self.chains.get(&unit).map_or(&[], Vec::as_slice)
    }

    /// The unit with nothing above it that this one belongs to.
    pub fn root(&self, unit: Id) -> Option<Id> {
        self.chain(unit).last().copied()
    }

    /// D7: who holds the post on a date: of the tenures that cover it, that with the later `from`,
    /// then with the greater id.
    pub fn holder(&self, unit: Id, date: Date) -> Option<&Tenure> {
        let tenures = self.posts.get(&unit)?.iter().copied();
        let covers = |t: &&Tenure| t.from <= date && t.until.is_none_or(|until| date < until);
        tenures.filter(covers).max_by_key(|tenure| (tenure.from, tenure.id.text()))
    }
}
