//! When visitors come: how much of the stream belongs to which hour and territory.

use dataflows::calendar::{Day, WorkingDays};

use super::territory::Territory;

/// Visitors by hour of a working day, relative.
#[rustfmt::skip]
const WORKING: [u32; 24] = [
    2, 1, 1, 1, 1, 1, 2, 4, 24, 62, 120, 115, 78, 60, 70, 68, 60, 44, 24, 12, 9, 7, 5, 3,
];
/// On a Saturday some offices and most МФЦ are open.
#[rustfmt::skip]
const SATURDAY: [u32; 24] = [
    1, 1, 1, 1, 1, 1, 1, 2, 6, 16, 28, 26, 20, 14, 8, 4, 4, 4, 4, 4, 4, 3, 2, 1,
];
/// On other days only what is done at home.
#[rustfmt::skip]
const OFF: [u32; 24] = [
    1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 3, 2, 1,
];
/// From this much an hour on, the offices are open.
const OPEN: u32 = 6;

/// The rhythm of a country.
pub struct Rhythm {
    pub from: Day,
    pub until: Day,
    pub calendar: WorkingDays,
}

/// An hour since 1970 UTC, seen from one place.
#[derive(Clone, Copy)]
pub struct LocalHour {
    pub day: Day,
    /// 0..23.
    pub hour: usize,
}

impl LocalHour {
    /// Which hour it is in a territory.
    pub fn of(hour: i64, territory: &Territory) -> LocalHour {
        let minutes = hour * 60 + i64::from(territory.zone.offset_minutes(hour * 3_600_000_000));
        let local = minutes.div_euclid(60);
        LocalHour { day: Day(local.div_euclid(24) as i32), hour: local.rem_euclid(24) as usize }
    }
}

impl Rhythm {
    /// The hours since 1970 UTC in which it is a day of the stream somewhere.
    pub fn hours(&self) -> std::ops::Range<i64> {
        i64::from(self.from.0) * 24 - 14..i64::from(self.until.0) * 24 + 12
    }

    /// Visitors of an hour in a territory, relative; 0 outside the stream's local days. They grow
    /// by a hundredth in five days, about as they did in 2017 and 2018, for five years at most.
    pub fn load(&self, at: LocalHour, population: u32) -> u32 {
        if at.day < self.from || at.day >= self.until {
            return 0;
        }
        let growth = 100 + ((at.day.0 - self.from.0) as u32).min(1826) / 5;
        population * self.share(at) * growth / 100
    }

    /// Whether most offices are open.
    pub fn is_open(&self, at: LocalHour) -> bool {
        self.share(at) >= OPEN
    }

    fn share(&self, at: LocalHour) -> u32 {
        let hours = if self.calendar.is_worked(at.day) {
            &WORKING
        } else if at.day.weekday() == 5 {
            &SATURDAY
        } else {
            &OFF
        };
        hours[at.hour]
    }
}
