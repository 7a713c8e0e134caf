//! Who is in office: managers, their tenures with vacancies and overlaps, targets set for them.

use dataflows::calendar::Day;

use super::catalogue::{GIVEN, SURNAMES};
use super::chance::Chance;
use super::offices::Country;

/// A manager × unit × [from, until).
#[derive(Clone)]
pub struct Tenure {
    pub id: String,
    pub manager: usize,
    pub unit: usize,
    pub from: Day,
    pub until: Option<Day>,
    /// Whether the reference data names it from the start.
    pub told: bool,
}

/// A target for the period of a unit that starts on a day.
pub struct Target {
    pub unit: usize,
    pub from: Day,
    pub percent: &'static str,
}

/// A manager who left an office.
#[derive(Clone)]
struct Free {
    manager: usize,
    unit: usize,
    left: Day,
}

/// All who are or were in office.
pub struct Staff {
    /// Full names; a manager's id is made of the index.
    pub managers: Vec<String>,
    pub tenures: Vec<Tenure>,
    pub targets: Vec<Target>,
}

impl Staff {
    /// Tenures of every unit but one in fifty, from years before `from` until after `until`.
    pub fn new(country: &Country, from: Day, until: Day, chance: &mut Chance) -> Staff {
        let mut staff = Staff { managers: Vec::new(), tenures: Vec::new(), targets: Vec::new() };
        // Managers who left an office, by agency (the last is the МФЦ's): some take another.
        let mut free: Vec<Vec<Free>> = vec![Vec::new(); country.agencies.len() + 1];
        for unit in 0..country.units.len() {
            if chance.myriad(200) {
                continue;
            }
            let agency = country.units[unit].agency.unwrap_or(country.agencies.len());
            staff.succession(unit, from, until, &mut free[agency], chance);
        }
        staff
    }

    /// The id of a manager.
    pub fn manager_id(manager: usize) -> String {
        format!("m-{:05}", manager + 1)
    }

    /// The next free id of a tenure.
    pub fn next_tenure_id(&self) -> String {
        format!("t-{:05}", self.tenures.len() + 1)
    }

    /// The tenures of a unit, one after another.
    fn succession(
        &mut self,
        unit: usize,
        from: Day,
        until: Day,
        free: &mut Vec<Free>,
        chance: &mut Chance,
    ) {
        let mut start = first_day(from, chance);
        while start < until {
            let end = Day(start.0 + 300 + chance.below(1700) as i32);
            // Beyond the stream an end is known for one in four only.
            let open = end > until && chance.myriad(7500);
            let manager = self.appoint(unit, start, free, chance);
            let id = self.next_tenure_id();
            let until = (!open).then_some(end);
            self.tenures.push(Tenure { id, manager, unit, from: start, until, told: true });
            self.set_targets(unit, start, until, from, chance);
            if open {
                return;
            }
            free.push(Free { manager, unit, left: end });
            start = match chance.below(100) {
                0..12 => Day(end.0 + 10 + chance.below(120) as i32),
                12..18 => Day(end.0 - 5 - chance.below(40) as i32),
                _ => end,
            };
        }
    }

    /// One who left another office before, for one in six, or somebody new.
    fn appoint(
        &mut self,
        unit: usize,
        start: Day,
        free: &mut Vec<Free>,
        chance: &mut Chance,
    ) -> usize {
        if chance.myriad(1700)
            && let Some(index) =
                free.iter().position(|free| free.left <= start && free.unit != unit)
        {
            return free.swap_remove(index).manager;
        }
        let man = chance.index(2);
        let [given, patronymics] = GIVEN[man];
        let ending = if man == 1 { "" } else { "а" };
        let (surname, given) = (chance.pick(SURNAMES), chance.pick(given));
        self.managers.push(format!("{surname}{ending} {given} {}", chance.pick(patronymics)));
        self.managers.len() - 1
    }

    /// Targets for one in twelve of the periods that end in the stream or later.
    fn set_targets(
        &mut self,
        unit: usize,
        start: Day,
        end: Option<Day>,
        from: Day,
        chance: &mut Chance,
    ) {
        let end = end.unwrap_or(Day(from.0 + 1100));
        for year in 0.. {
            let period = start.plus_months(12 * year);
            if period >= end {
                return;
            }
            if start.plus_months(12 * year + 12) > from && chance.myriad(800) {
                let percent = *chance.pick(&["90", "92.5", "85", "95", "88", "93.75"]);
                self.targets.push(Target { unit, from: period, percent });
            }
        }
    }
}

/// When the first tenure of a unit starts: one to six years before the stream, often on the first
/// of a month; for one in thirty on a 29 February (D8).
fn first_day(from: Day, chance: &mut Chance) -> Day {
    let day = Day(from.0 - 300 - chance.below(1900) as i32);
    let (year, month, _) = day.civil();
    let first = match chance.below(30) {
        0 => Day::new(year - year % 4, 2, 29),
        1..12 => Day::new(year, month, 1),
        _ => None,
    };
    first.unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenures_have_gaps_overlaps_leap_days_and_open_ends() {
        let (from, until) = (Day::new(2017, 1, 1), Day::new(2019, 1, 1));
        let (from, until) = (from.expect("a date"), until.expect("a date"));
        let mut chance = Chance::new(1, 0);
        let country = Country::new(100_000, from, until, &mut chance);
        let staff = Staff::new(&country, from, until, &mut chance);
        let next = |gap: fn(Day, Day) -> bool| {
            staff.tenures.windows(2).any(|pair| {
                pair[0].unit == pair[1].unit
                    && pair[0].until.is_some_and(|until| gap(until, pair[1].from))
            })
        };
        assert!(next(|until, from| until < from) && next(|until, from| until > from));
        assert!(staff.tenures.iter().any(|t| t.from.to_string().ends_with("-02-29")));
        assert!(staff.tenures.iter().any(|t| t.until.is_none()));
        assert!(staff.tenures.iter().all(|t| t.until.is_none_or(|until| until > t.from)));
        assert!(!staff.targets.is_empty());
        assert!(staff.managers.len() < staff.tenures.len(), "some serve twice");
    }
}
