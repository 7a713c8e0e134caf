//! Agencies, their services, and their offices: who gives what, where, how well and how often.

use dataflows::calendar::Day;
use dataflows::domain::UnitKind;

use super::catalogue::{AGENCIES, AgencyModel, DISTRICTS};
use super::chance::{Chance, Weighted, weighted_order};
use super::territory::{Territory, territories};

/// Agencies of the whole Federation that the smallest country has.
const AGENCIES_MIN: usize = 8;
/// Offices that a territory has at least: an МФЦ and two others.
const OFFICES_MIN: usize = 3;

/// An agency in the country.
pub struct Agency {
    pub id: String,
    pub model: &'static AgencyModel,
    /// Index of its first service; they follow one another.
    first_service: usize,
    demand: Weighted,
}

/// A service.
pub struct Service {
    pub id: String,
    pub agency: usize,
    pub name: &'static str,
    pub listed: bool,
    /// Whether the reference data names it from the start.
    pub told: bool,
}

/// An office.
pub struct Unit {
    pub id: String,
    pub kind: UnitKind,
    pub agency: Option<usize>,
    pub parent: Option<usize>,
    pub territory: usize,
    /// Units above it.
    pub depth: u8,
    pub okato: String,
    pub name: String,
    /// Content visitors of 10,000 on the first and the last day of the stream.
    pub quality: [u32; 2],
    /// Whether the reference data names it from the start.
    pub told: bool,
}

/// The offices of a territory, the most visited first.
struct Doors {
    offices: Vec<usize>,
    office_demand: Weighted,
    mfcs: Vec<usize>,
    mfc_demand: Weighted,
}

/// Where one service was given: indices into the [`Country`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub unit: u32,
    pub service: u16,
    pub mfc: Option<u32>,
}

/// Everything that does not move while the stream runs.
pub struct Country {
    pub territories: Vec<Territory>,
    pub agencies: Vec<Agency>,
    pub services: Vec<Service>,
    pub units: Vec<Unit>,
    doors: Vec<Doors>,
}

impl Country {
    /// A country whose size fits a stream of so many events: 94 offices for 1,000, as many as
    /// there are (13,000) for 20 million and more.
    pub fn new(events: u64, from: Day, until: Day, chance: &mut Chance) -> Country {
        let offices = (3 * events.isqrt()).clamp(60, 13_000) as usize;
        let territories = territories((offices / 5).clamp(20, 85), from, until);
        let (agencies, services) = agencies(AGENCIES_MIN + offices / 150, &territories);
        let mut country =
            Country { territories, agencies, services, units: Vec::new(), doors: Vec::new() };
        let people: usize = country.territories.iter().map(|t| t.population as usize).sum();
        let spread = offices.saturating_sub(OFFICES_MIN * country.territories.len());
        for territory in 0..country.territories.len() {
            let share = spread * country.territories[territory].population as usize / people;
            country.settle(territory, OFFICES_MIN + share, chance);
        }
        country
    }

    /// A visitor's choice: an office of the territory, a service of its agency, perhaps an МФЦ.
    ///
    /// What is not listed is mostly given through an МФЦ, as only then its ratings count (p. 12).
    pub fn visit(&self, territory: usize, chance: &mut Chance) -> Place {
        let doors = &self.doors[territory];
        let unit = doors.offices[doors.office_demand.pick(chance)];
        let agency = self.units[unit].agency.map(|agency| &self.agencies[agency]);
        let agency = agency.expect("the offices listed are those of agencies");
        let service = agency.first_service + agency.demand.pick(chance);
        let through_mfc = if self.services[service].listed { 3500 } else { 9200 };
        let mfc = chance.myriad(through_mfc).then(|| doors.mfcs[doors.mfc_demand.pick(chance)]);
        Place { unit: unit as u32, service: service as u16, mfc: mfc.map(|mfc| mfc as u32) }
    }

    /// Another service of the same agency, or the same where it has one only.
    pub fn other_service(&self, place: Place) -> Place {
        let agency = &self.agencies[self.services[usize::from(place.service)].agency];
        let offset =
            (usize::from(place.service) + 1 - agency.first_service) % agency.model.services.len();
        Place { service: (agency.first_service + offset) as u16, ..place }
    }

    /// Content visitors of 10,000 at a place when `elapsed` of `length` days of the stream are
    /// over: the office's, and where there is an МФЦ the mean of both.
    pub fn quality(&self, place: Place, elapsed: u32, length: u32) -> u32 {
        let of = |unit: u32| {
            let [first, last] = self.units[unit as usize].quality;
            (first * length.saturating_sub(elapsed) + last * elapsed.min(length)) / length
        };
        match place.mfc {
            Some(mfc) => (of(place.unit) + of(mfc)) / 2,
            None => of(place.unit),
        }
    }

    /// Whether an office is among the most visited third of its territory's.
    pub fn is_large(&self, unit: usize) -> bool {
        let offices = &self.doors[self.units[unit].territory].offices;
        offices[..offices.len().div_ceil(3)].contains(&unit)
    }

    /// Founds the offices of a territory.
    fn settle(&mut self, territory: usize, count: usize, chance: &mut Chance) {
        let mfcs = (count * 22 / 100).max(1);
        let first_mfc = self.units.len();
        for number in 0..mfcs {
            let parent = (number > 0).then_some(first_mfc);
            self.found(UnitKind::Mfc, None, parent, territory, number, chance);
        }
        let first_office = self.units.len();
        self.settle_agencies(territory, count - mfcs, chance);

        let weights: Vec<u32> = self.units[first_office..]
            .iter()
            .map(|unit| unit.agency.map_or(0, |agency| self.agencies[agency].model.weight))
            .collect();
        let order = weighted_order(chance, &weights);
        self.doors.push(Doors {
            office_demand: Weighted::zipf(order.len()),
            offices: order.into_iter().map(|index| first_office + index).collect(),
            mfc_demand: Weighted::zipf(mfcs),
            mfcs: (first_mfc..first_mfc + mfcs).collect(),
        });
    }

    /// Founds the offices of the agencies in a territory: about half the agencies' worth of head
    /// offices, then subdivisions, a quarter of them below another subdivision.
    fn settle_agencies(&mut self, territory: usize, count: usize, chance: &mut Chance) {
        let okato = &self.territories[territory].okato;
        let here: Vec<usize> = (0..self.agencies.len())
            .filter(|&agency| ["", okato].contains(&self.agencies[agency].model.region))
            .collect();
        let weights: Vec<u32> =
            here.iter().map(|&agency| self.agencies[agency].model.weight).collect();
        let mut heads: Vec<Vec<usize>> = Vec::new();
        let mut head_weights = Vec::new();
        for index in weighted_order(chance, &weights).into_iter().take(count / 2 + 1) {
            let agency = Some(here[index]);
            heads.push(vec![self.units.len()]);
            head_weights.push(weights[index]);
            self.found(UnitKind::Territorial, agency, None, territory, 0, chance);
        }
        let demand = Weighted::new(head_weights);
        for _ in heads.len()..count {
            let own = &mut heads[demand.pick(chance)];
            let below = if chance.myriad(2500) { *chance.pick(own) } else { own[0] };
            let parent = if self.units[below].depth < 2 { below } else { own[0] };
            let number = own.len() - 1;
            own.push(self.units.len());
            let agency = self.units[parent].agency;
            self.found(UnitKind::Subdivision, agency, Some(parent), territory, number, chance);
        }
    }

    /// Adds an office; `number` counts those of its kind and agency in the territory from 0.
    fn found(
        &mut self,
        kind: UnitKind,
        agency: Option<usize>,
        parent: Option<usize>,
        territory: usize,
        number: usize,
        chance: &mut Chance,
    ) {
        let Territory { okato, name: place, name_dative, .. } = &self.territories[territory];
        let (okato, district) = match parent {
            // A head office has the subject's own code, the others that of a district: 201..299.
            None => (format!("{okato:0<11}"), String::new()),
            Some(_) => {
                let district = DISTRICTS[number % DISTRICTS.len()];
                let again = match number / DISTRICTS.len() {
                    0 => String::new(),
                    times => format!(" № {}", times + 1),
                };
                (format!("{okato}2{:02}", number % 99 + 1), format!("{district} району{again}"))
            }
        };
        let model = agency.map(|agency| self.agencies[agency].model);
        let name = match (model, parent) {
            (None, None) => format!("Уполномоченный МФЦ по {name_dative}"),
            (None, Some(_)) => format!("МФЦ по {district} ({place})"),
            (Some(model), None) if !model.region.is_empty() => model.head.to_owned(),
            (Some(model), None) => format!("{} по {name_dative}", model.head),
            (Some(model), Some(_)) => format!("{} по {district} ({place})", model.subdivision),
        };
        self.units.push(Unit {
            id: (10_000_009_001 + self.units.len() as u64).to_string(),
            kind,
            agency,
            parent,
            territory,
            depth: parent.map_or(0, |parent| self.units[parent].depth + 1),
            okato,
            name,
            quality: quality(chance),
            told: true,
        });
    }
}

/// The agencies of the whole Federation, at most `count`, and those of the territories that there
/// are; their services in the same order.
fn agencies(count: usize, territories: &[Territory]) -> (Vec<Agency>, Vec<Service>) {
    let (everywhere, local): (Vec<_>, Vec<_>) =
        AGENCIES.iter().partition(|model| model.region.is_empty());
    let local = local.into_iter().filter(|m| territories.iter().any(|t| t.okato == m.region));
    let (mut agencies, mut services) = (Vec::new(), Vec::new());
    for (index, model) in everywhere.into_iter().take(count).chain(local).enumerate() {
        let first_service = services.len();
        agencies.push(Agency {
            id: (10_000_001_001 + index as u64).to_string(),
            model,
            first_service,
            demand: Weighted::zipf(model.services.len()),
        });
        for &(name, listed) in model.services {
            let id = (10_000_050_001 + services.len() as u64).to_string();
            services.push(Service { id, agency: index, name, listed, told: true });
        }
    }
    (agencies, services)
}

/// 93–98 % are content nearly everywhere; 3 % of the offices are bad (40–70 %), of which half
/// mend, and 2 % of the good ones go down.
fn quality(chance: &mut Chance) -> [u32; 2] {
    let good = |chance: &mut Chance| 9350 + chance.below(480);
    let bad = |chance: &mut Chance| 4000 + chance.below(3000);
    match chance.below(200) {
        0..3 => [bad(chance), good(chance)],
        3..6 => {
            let always = bad(chance);
            [always, always]
        }
        6..10 => [good(chance), 7000 + chance.below(1500)],
        _ => [good(chance), good(chance)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regions::Regions;

    fn country(events: u64) -> Country {
        let (from, until) = (Day::new(2017, 1, 1), Day::new(2019, 1, 1));
        let (from, until) = (from.expect("a date"), until.expect("a date"));
        Country::new(events, from, until, &mut Chance::new(1, 0))
    }

    #[test]
    fn offices_lie_in_their_subject_below_their_own_agency() {
        let regions = Regions::embedded();
        let country = country(1_000_000);
        for unit in &country.units {
            assert_eq!(regions.subject(&unit.okato), country.territories[unit.territory].okato);
            assert_eq!(unit.parent.is_none(), unit.depth == 0);
            if let Some(parent) = unit.parent {
                assert_eq!(country.units[parent].agency, unit.agency);
                assert_eq!(country.units[parent].territory, unit.territory);
            }
        }
        assert!(country.units.iter().any(|unit| unit.depth == 2));
        assert_eq!(country.territories.len(), 85);
    }

    #[test]
    fn a_small_country_still_has_all_kinds() {
        let country = country(1000);
        assert!((80..100).contains(&country.units.len()), "{}", country.units.len());
        assert!(country.agencies.len() >= AGENCIES_MIN);
        for kind in [UnitKind::Territorial, UnitKind::Subdivision, UnitKind::Mfc] {
            assert!(country.units.iter().any(|unit| unit.kind == kind));
        }
    }
}
