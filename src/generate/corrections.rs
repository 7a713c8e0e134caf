//! Reference data that is told late or was told wrongly: what makes figures change afterwards.
//!
//! A correction spoils what the reference file says of a thing, and puts it right by a line in the
//! stream. Each kind is tried on things picked by chance; where none fits, it is left out.

use std::collections::BTreeSet;

use dataflows::calendar::Day;
use dataflows::domain::UnitKind;

use super::chance::Chance;
use super::lines;
use super::offices::Country;
use super::staff::{Staff, Target, Tenure};

/// A line of reference data that comes in the stream.
pub struct Correction {
    /// Seconds since 1970 UTC.
    pub arrives: i64,
    pub line: Vec<u8>,
}

/// How often things are picked before a kind of correction is given up.
const TRIES: usize = 40;
/// Services that are corrected at most: there are some fifty.
const SERVICES_MAX: usize = 6;

/// Makes `count` corrections or a few less, in turn of each kind.
pub fn corrections(
    count: usize,
    (from, until): (Day, Day),
    country: &mut Country,
    staff: &mut Staff,
    chance: &mut Chance,
) -> Vec<Correction> {
    let mut desk = Desk { from, until, country, staff, chance, touched: BTreeSet::new() };
    let kinds = [
        Desk::appointment_entered_late,
        Desk::tenure_corrected,
        Desk::unit_entered_late,
        Desk::tenure_removed,
        Desk::unit_moved,
        Desk::target_set_late,
        Desk::service_listed,
        Desk::service_entered_late,
        Desk::target_removed,
    ];
    kinds.iter().cycle().take(count).filter_map(|kind| kind(&mut desk)).collect()
}

/// What is corrected; each thing once, so that corrections do not undo one another.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Unit(usize),
    Service(usize),
    Tenure(usize),
    Target(usize),
}

/// The clerk who enters reference data.
struct Desk<'a> {
    from: Day,
    until: Day,
    country: &'a mut Country,
    staff: &'a mut Staff,
    chance: &'a mut Chance,
    touched: BTreeSet<Thing>,
}

impl Desk<'_> {
    /// A manager is in office for weeks before anybody enters it.
    fn appointment_entered_late(&mut self) -> Option<Correction> {
        let tenure = self.untouched_tenure(|desk, tenure| {
            tenure.from >= desk.from && tenure.from.0 + 100 < desk.until.0
        })?;
        let row = &mut self.staff.tenures[tenure];
        row.told = false;
        let entered = Day(row.from.0 + 14 + self.chance.below(80) as i32);
        let mut line = Vec::new();
        lines::tenure(&mut line, self.country, self.staff, &self.staff.tenures[tenure]);
        Some(self.on(entered, line))
    }

    /// The first day in office was entered wrongly; the reference keeps the wrong one.
    fn tenure_corrected(&mut self) -> Option<Correction> {
        let tenure = self.untouched_tenure(Desk::is_in_stream)?;
        let mut line = Vec::new();
        lines::tenure(&mut line, self.country, self.staff, &self.staff.tenures[tenure]);
        let row = &mut self.staff.tenures[tenure];
        row.from =
            Day(row.from.0 + [-1, 1][self.chance.index(2)] * (3 + self.chance.below(60) as i32));
        let entered = self.some_day();
        Some(self.on(entered, line))
    }

    /// A new office, none of the large ones, gives services before it is entered: its ratings wait.
    fn unit_entered_late(&mut self) -> Option<Correction> {
        let unit = self.untouched_leaf().filter(|&unit| !self.country.is_large(unit))?;
        self.country.units[unit].told = false;
        let row = &self.country.units[unit];
        let mut line = Vec::new();
        lines::unit(&mut line, self.country, row, row.parent);
        let entered = self.early_day();
        Some(self.on(entered, line))
    }

    /// A tenure that never was is withdrawn.
    fn tenure_removed(&mut self) -> Option<Correction> {
        let row = self.untouched_tenure(Desk::is_in_stream)?;
        let twin = self.staff.tenures[row].clone();
        let manager = self.chance.index(self.staff.managers.len());
        let from = Day(twin.from.0.max(self.from.0) + self.chance.below(90) as i32);
        let wrong = Tenure { id: self.staff.next_tenure_id(), manager, from, until: None, ..twin };
        let mut line = Vec::new();
        lines::remove_tenure(&mut line, &wrong);
        self.touched.insert(Thing::Tenure(self.staff.tenures.len()));
        self.staff.tenures.push(wrong);
        let entered = self.some_day();
        Some(self.on(entered, line))
    }

    /// An office goes under another of its agency, where there is one in the same territory.
    fn unit_moved(&mut self) -> Option<Correction> {
        let unit = self.untouched_leaf()?;
        let units = &self.country.units;
        let row = &units[unit];
        let parents: Vec<usize> = (0..units.len())
            .filter(|&other| {
                units[other].agency == row.agency
                    && units[other].depth < 2
                    && Some(other) != row.parent
                    && !self.touched.contains(&Thing::Unit(other))
            })
            .collect();
        let here = |unit: &usize| units[*unit].territory == row.territory;
        let (near, far): (Vec<usize>, Vec<usize>) = parents.into_iter().partition(here);
        let parents = if near.is_empty() { far } else { near };
        if parents.is_empty() {
            return None;
        }
        let parent = *self.chance.pick(&parents);
        self.touched.insert(Thing::Unit(parent));
        let mut line = Vec::new();
        lines::unit(&mut line, self.country, row, Some(parent));
        let entered = self.some_day();
        Some(self.on(entered, line))
    }

    /// A target is set when its period, the first that starts in the stream, has begun.
    fn target_set_late(&mut self) -> Option<Correction> {
        let tenure = self.untouched_tenure(Desk::is_in_stream)?;
        let row = &self.staff.tenures[tenure];
        let mut periods = (0..).map(|year| row.from.plus_months(12 * year));
        let from = periods
            .find(|&from| from >= self.from)
            .filter(|&from| from < self.until && row.until.is_none_or(|until| from < until))?;
        let target = Target { unit: row.unit, from, percent: "91.5" };
        let mut line = Vec::new();
        lines::target(&mut line, self.country, &target);
        let entered = Day((from.0 + self.chance.below(200) as i32).min(self.until.0 - 1));
        Some(self.on(entered, line))
    }

    /// A service is taken into the list of Decree 1284.
    fn service_listed(&mut self) -> Option<Correction> {
        let service = (0..TRIES).find_map(|_| {
            let service = self.chance.index(self.country.services.len());
            let row = &self.country.services[service];
            let federal = self.country.agencies[row.agency].model.region.is_empty();
            (federal && !row.listed && self.touch_service(service)).then_some(service)
        })?;
        let mut line = Vec::new();
        lines::service(&mut line, self.country, service, true);
        let entered = self.some_day();
        Some(self.on(entered, line))
    }

    /// The least asked for service of an agency is given before it is entered.
    fn service_entered_late(&mut self) -> Option<Correction> {
        let service = (0..TRIES).find_map(|_| {
            let service = self.chance.index(self.country.services.len() - 1) + 1;
            let of = |index: usize| self.country.services.get(index).map(|row| row.agency);
            let last = of(service) != of(service + 1) && of(service) == of(service - 1);
            (last && self.touch_service(service)).then_some(service)
        })?;
        let mut line = Vec::new();
        let listed = self.country.services[service].listed;
        lines::service(&mut line, self.country, service, listed);
        self.country.services[service].told = false;
        let entered = self.early_day();
        Some(self.on(entered, line))
    }

    /// A target is taken back.
    fn target_removed(&mut self) -> Option<Correction> {
        let target = (0..TRIES).find_map(|_| {
            let target = self.chance.index(self.staff.targets.len().max(1));
            let row = self.staff.targets.get(target)?;
            let fit = row.from < self.until && self.touched.insert(Thing::Target(target));
            fit.then_some(target)
        })?;
        let mut line = Vec::new();
        lines::remove_target(&mut line, self.country, &self.staff.targets[target]);
        let entered = self.some_day();
        Some(self.on(entered, line))
    }

    /// A tenure that fits and was not corrected before.
    fn untouched_tenure(&mut self, fits: fn(&Self, &Tenure) -> bool) -> Option<usize> {
        (0..TRIES).find_map(|_| {
            let tenure = self.chance.index(self.staff.tenures.len());
            let fit = fits(self, &self.staff.tenures[tenure]);
            (fit && self.touched.insert(Thing::Tenure(tenure))).then_some(tenure)
        })
    }

    /// Whether some days of the stream are days in office.
    fn is_in_stream(&self, tenure: &Tenure) -> bool {
        tenure.from < self.until && tenure.until.is_none_or(|until| until > self.from)
    }

    /// A subdivision with none below it, not corrected before.
    fn untouched_leaf(&mut self) -> Option<usize> {
        (0..TRIES).find_map(|_| {
            let units = &self.country.units;
            let unit = self.chance.index(units.len());
            let leaf = units[unit].kind == UnitKind::Subdivision
                && units.iter().all(|other| other.parent != Some(unit));
            (leaf && self.touched.insert(Thing::Unit(unit))).then_some(unit)
        })
    }

    /// Whether a service may be corrected; then it is taken.
    fn touch_service(&mut self, service: usize) -> bool {
        let services = Thing::Service(0)..=Thing::Service(usize::MAX);
        self.touched.range(services).count() < SERVICES_MAX
            && self.touched.insert(Thing::Service(service))
    }

    /// A day in the middle of the stream.
    fn some_day(&mut self) -> Day {
        let length = (self.until.0 - self.from.0) as u32;
        Day(self.from.0 + (length / 10 + self.chance.below(length * 8 / 10 + 1)) as i32)
    }

    /// A day in the first quarter of the stream, for what must not wait for months.
    fn early_day(&mut self) -> Day {
        let length = self.until.0 - self.from.0;
        Day(self.from.0 + length * (2 + self.chance.below(8) as i32) / 40)
    }

    /// The line, entered in office hours of Moscow on a day.
    fn on(&mut self, day: Day, line: Vec<u8>) -> Correction {
        let hours = 6 * 3600 + self.chance.span(9 * 3600);
        Correction { arrives: i64::from(day.0) * 86_400 + hours, line }
    }
}
