//! The world as the rules take it: regions and their zones, the production calendar.
//!
//! Everything here is data of the program's version: two builds of one version agree on it.

use std::sync::LazyLock;

use dataflows::calendar::{Day, Hour, WorkingDays, Zone};
use dataflows::world::{Attribution, Integral, Switches, World, ZoneIndex};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::regions::Regions;
use crate::rules::{self, Rules};

/// The zone whose midnight begins a new day for periods and quarters, and which stands in where a
/// region is not known.
pub const MOSCOW: &str = "Europe/Moscow";

/// Zones are resolved to their offsets within these years; before and after, as at the edges.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=2100;

/// Year, month, day.
type Civil = (i32, u32, u32);

/// Days that the President declared non-working: a class of their own, beside the production
/// calendar of the government. First and last day; decrees N 206, 239, 294, 345, 354 of 2020 and
/// N 242, 595 of 2021.
const DECREED: [(Civil, Civil); 7] = [
    ((2020, 3, 30), (2020, 4, 3)),
    ((2020, 4, 4), (2020, 4, 30)),
    ((2020, 5, 6), (2020, 5, 8)),
    ((2020, 6, 24), (2020, 6, 24)),
    ((2020, 7, 1), (2020, 7, 1)),
    ((2021, 5, 4), (2021, 5, 7)),
    ((2021, 10, 30), (2021, 11, 7)),
];

/// The embedded regions, zones and calendar.
pub fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(embedded);
    &WORLD
}

fn embedded() -> World {
    let mut names = vec![MOSCOW.to_owned()];
    let mut subjects = Vec::new();
    for region in Regions::embedded().iter() {
        let place = names.iter().position(|name| *name == region.zone).unwrap_or_else(|| {
            names.push(region.zone.clone());
            names.len() - 1
        });
        let zone = ZoneIndex::try_from(place).expect("a few zones");
        subjects.push((region.okato.clone(), zone));
    }
    let zones = names.iter().map(|name| offsets(name)).collect();
    World::new(subjects, zones, working_days())
}

/// The offsets of an IANA zone over [`YEARS`].
fn offsets(name: &str) -> Zone {
    let zone =
        TimeZoneDatabase::bundled().get(name).expect("the embedded regions name zones that exist");
    let midnight = |year| jiff::civil::date(year, 1, 1).to_zoned(TimeZone::UTC);
    let first = midnight(*YEARS.start()).expect("in range").timestamp();
    let last = midnight(*YEARS.end()).expect("in range").timestamp();
    let minutes = |offset: jiff::tz::Offset| offset.seconds() / 60;
    let mut held = vec![(first.as_microsecond(), minutes(zone.to_offset(first)))];
    held.extend(
        zone.following(first)
            .take_while(|transition| transition.timestamp() < last)
            .map(|change| (change.timestamp().as_microsecond(), minutes(change.offset()))),
    );
    Zone(held)
}

/// The production calendar, with the days decreed on top.
fn working_days() -> WorkingDays {
    let [first, end] = [*YEARS.start(), *YEARS.end()]
        .map(|year| Day::new(i32::from(year), 1, 1).expect("the first of January"));
    WorkingDays::new(first, (first.0..end.0).map(|day| is_worked(Day(day))).collect())
}

/// Whether people work on a day: Monday to Friday where the calendar does not know.
pub fn is_worked(day: Day) -> bool {
    let (year, month, date) = day.civil();
    let decreed = DECREED.iter().any(|&((y, m, d), (y2, m2, d2))| {
        ((y, m, d)..=(y2, m2, d2)).contains(&(year, month, date))
    });
    let known = holidays_ru::is_day_off_ymd::<holidays_ru::Federal>(year, month as u8, date as u8);
    !decreed && known.map_or(day.weekday() < 5, |off| !off.value())
}

/// The hour at which a day begins in Moscow: what `--as-of` means.
pub fn hour_of(day: Day, world: &World) -> Hour {
    Hour(world.zone(0).at(day, 0).micros().div_euclid(3_600_000_000))
}

/// The rules as the dataflow takes them.
pub fn switches(rules: &Rules) -> Switches {
    let seed = rules.sample_seed.as_bytes();
    let reversed: Vec<u8> = seed.iter().rev().copied().collect();
    Switches {
        integral: match rules.integral {
            rules::Integral::Surveyed => Integral::Surveyed,
            rules::Integral::All => Integral::All,
        },
        attribution: match rules.attribution {
            rules::Attribution::Received => Attribution::Received,
            rules::Attribution::Provided => Attribution::Provided,
        },
        sample_key: (
            dataflows::domain::fingerprint(seed),
            dataflows::domain::fingerprint(&reversed),
        ),
        survey_cap: rules.survey_cap,
        horizon_days: rules.horizon_days,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::id::Id;

    #[test]
    fn regions_have_their_zones() {
        let world = world();
        let day = Day::new(2018, 3, 1).expect("a date");
        for (okato, subject, offset) in [
            ("45000000000", "45", 180),
            ("32401", "32", 420),
            ("71140", "7114", 300),
            ("00", "00", 180),
        ] {
            let (id, zone) = world.subject(Id::of(okato));
            let noon = world.zone(zone).at(day, 12);
            assert_eq!((id.text(), noon.offset_minutes(), noon.day()), (subject, offset, day));
        }
    }

    #[test]
    fn the_calendar_knows_moved_and_decreed_days() {
        let worked = |y, m, d| is_worked(Day::new(y, m, d).expect("a date"));
        assert!(worked(2018, 4, 28), "a Saturday worked for the 30th");
        assert!(!worked(2018, 4, 30) && !worked(2018, 3, 8) && worked(2018, 3, 7));
        assert!(!worked(2020, 4, 15) && !worked(2021, 11, 3));
    }
}
