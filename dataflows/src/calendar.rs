//! Days, moments, months and working time. Integers only; nothing here knows what day it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A calendar date: days since 1970-01-01. Valid from 0001-01-01 to 9999-12-31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Day(pub i32);

impl Day {
    /// Later than every date: the end of what has no end.
    pub const NEVER: Day = Day(i32::MAX);
    /// Earlier than every date.
    pub const BEFORE_ALL: Day = Day(i32::MIN);

    /// The date, or `None` where there is no such day (2018-02-30).
    pub fn new(year: i32, month: u32, day: u32) -> Option<Day> {
        let valid = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day);
        valid.then(|| Day(days_from_civil(year, month, day)))
    }

    /// `(year, month 1..12, day 1..31)`.
    pub fn civil(self) -> (i32, u32, u32) {
        civil_from_days(self.0)
    }

    /// The month it lies in.
    pub fn month(self) -> Month {
        let (year, month, _) = self.civil();
        Month(year * 12 + month as i32 - 1)
    }

    /// The same day `months` later (or earlier), clamped to the month's last day.
    ///
    /// D8: always counted from the original date, so 2016-02-29 gives 2017-02-28 and 2020-02-29.
    pub fn plus_months(self, months: i32) -> Day {
        let (year, month, day) = self.civil();
        let total = year * 12 + month as i32 - 1 + months;
        let (year, month) = (total.div_euclid(12), total.rem_euclid(12) as u32 + 1);
        Day(days_from_civil(year, month, day.min(days_in_month(year, month))))
    }

    /// The greatest n for which [`plus_months`](Day::plus_months)`(12 n)` of `start` is not later.
    pub fn years_since(self, start: Day) -> i32 {
        let ((year, month, day), (first, start_month, start_day)) = (self.civil(), start.civil());
        let turn = (start_month, start_day.min(days_in_month(year, start_month)));
        year - first - i32::from((month, day) < turn)
    }

    /// Monday is 0, Sunday is 6.
    pub fn weekday(self) -> i32 {
        (self.0 + 3).rem_euclid(7)
    }
}

impl fmt::Display for Day {
    /// `YYYY-MM-DD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// A calendar month: months since the year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Month(pub i32);

impl fmt::Display for Month {
    /// `YYYY-MM`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

/// A quarter of a year: quarters since the year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Quarter(pub i32);

impl Quarter {
    /// The quarter a day lies in.
    pub fn of(day: Day) -> Quarter {
        Quarter(day.month().0.div_euclid(3))
    }
}

impl fmt::Display for Quarter {
    /// `YYYYQn`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}Q{}", self.0.div_euclid(4), self.0.rem_euclid(4) + 1)
    }
}

/// A moment of receipt together with the offset it was written in, in eight bytes.
///
/// The upper 53 bits are microseconds since 1970 (142 years either way), the lower 11 the offset
/// from UTC in minutes plus 1024. Equal and ordered by both; "earlier" in the rules means
/// [`Moment::micros`], which the offset does not touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(i64);

/// Microseconds in a day.
const DAY_MICROS: i64 = 86_400_000_000;

impl Moment {
    /// From microseconds since 1970 UTC and the offset in minutes; `None` where it does not fit:
    /// before 1830 or after 2110, or an offset of 17 hours.
    pub fn new(micros: i64, offset_minutes: i32) -> Option<Moment> {
        let fits = micros.unsigned_abs() < 1 << 52 && offset_minutes.unsigned_abs() < 1 << 10;
        fits.then(|| Moment((micros << 11) | i64::from(offset_minutes + 1024)))
    }

    /// As a number.
    pub(crate) fn bits(self) -> i64 {
        self.0
    }

    /// What [`Moment::bits`] gave.
    pub(crate) fn of_bits(bits: i64) -> Moment {
        Moment(bits)
    }

    /// Microseconds since 1970 UTC: what "received earlier" compares.
    pub fn micros(self) -> i64 {
        self.0 >> 11
    }

    /// The offset from UTC it was written in, minutes.
    pub fn offset_minutes(self) -> i32 {
        (self.0 & 0x7ff) as i32 - 1024
    }

    /// D6: the calendar date in the offset it is written in.
    pub fn day(self) -> Day {
        let local = self.micros() + i64::from(self.offset_minutes()) * 60_000_000;
        Day(local.div_euclid(DAY_MICROS) as i32)
    }
}

/// An hour since 1970 UTC: how finely the dataflow knows the time of day. Offices open and close,
/// and days end, on full hours in every Russian zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hour(pub i64);

impl Hour {
    /// Before the first event that tells the time; in the year 17 BC.
    pub const UNKNOWN: Hour = Hour(-17_416_800);

    /// The first moment of the hour, microseconds since 1970 UTC.
    pub fn micros(self) -> i64 {
        self.0 * 3_600_000_000
    }

    /// The calendar date in a zone at this hour.
    pub fn day(self, zone: &Zone) -> Day {
        zone.day(self.micros())
    }
}

/// A time zone as data: `(from, offset)` in microseconds since 1970 UTC and minutes, ascending.
/// The first entry holds before its own start too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(pub Vec<(i64, i32)>);

impl Zone {
    /// The offset in force at a moment, minutes east of UTC.
    pub fn offset_minutes(&self, micros: i64) -> i32 {
        // Nearly always it is the last one.
        if let Some(&(_, offset)) = self.0.last().filter(|(from, _)| *from <= micros) {
            return offset;
        }
        let after = self.0.partition_point(|&(from, _)| from <= micros);
        self.0.get(after.saturating_sub(1)).map_or(0, |&(_, offset)| offset)
    }

    /// The calendar date at a moment, microseconds since 1970 UTC.
    pub fn day(&self, micros: i64) -> Day {
        let local = micros + i64::from(self.offset_minutes(micros)) * 60_000_000;
        Day(local.div_euclid(DAY_MICROS) as i32)
    }

    /// The moment a local wall clock shows `hour` o'clock of `day`, written in the zone's offset.
    pub fn at(&self, day: Day, hour: i64) -> Moment {
        let local = i64::from(day.0) * DAY_MICROS + hour * 3_600_000_000;
        // Twice, because the offset asked for with local time may be that of the other side.
        let guess = local - i64::from(self.offset_minutes(local)) * 60_000_000;
        let offset = self.offset_minutes(guess);
        Moment::new(local - i64::from(offset) * 60_000_000, offset)
            .expect("working days are centuries inside what a moment holds")
    }
}

/// The production calendar: which days are worked (7.4, 7.8, 7.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkingDays {
    first: Day,
    worked: Vec<bool>,
}

impl WorkingDays {
    /// `worked[i]` says whether day `first + i` is worked; outside the list Monday to Friday are.
    pub fn new(first: Day, worked: Vec<bool>) -> WorkingDays {
        WorkingDays { first, worked }
    }

    /// Whether people work on the day.
    pub fn is_worked(&self, day: Day) -> bool {
        usize::try_from(day.0 - self.first.0)
            .ok()
            .and_then(|offset| self.worked.get(offset).copied())
            .unwrap_or(day.weekday() < 5)
    }

    /// The day itself if it is worked, else the next that is.
    pub fn on_or_after(&self, day: Day) -> Day {
        let mut day = day;
        while !self.is_worked(day) {
            day.0 += 1;
        }
        day
    }

    /// The n-th working day after `day`, not counting it.
    pub fn after(&self, day: Day, n: u32) -> Day {
        (0..n).fold(day, |day, _| self.on_or_after(Day(day.0 + 1)))
    }
}

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant, "chrono-compatible low-level date algorithms".
fn days_from_civil(year: i32, month: u32, day: u32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month as i32 + 9) % 12) + 2) / 5 + day as i32 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i32) -> (i32, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    (year_of_era + era * 400 + i32::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        let part = |range: std::ops::Range<usize>| text[range].parse::<u32>().expect("digits");
        Day::new(part(0..4) as i32, part(5..7), part(8..10)).expect("a date")
    }

    #[test]
    fn dates_are_there_and_back() {
        assert_eq!(day("1970-01-01"), Day(0));
        assert_eq!(day("2000-03-01"), Day(11_017));
        for n in -719_000..2_900_000 {
            let (y, m, d) = Day(n).civil();
            assert_eq!(Day::new(y, m, d), Some(Day(n)));
        }
        for (y, m, d) in [(2018, 2, 30), (2018, 2, 29), (1900, 2, 29), (2018, 13, 1), (2018, 0, 1)]
        {
            assert_eq!(Day::new(y, m, d), None);
        }
    }

    /// D8: from the original date each time, clamped to the month's last day.
    #[test]
    fn months_are_added_to_the_original_date() {
        let from = day("2016-02-29");
        for (months, until) in
            [(12, "2017-02-28"), (24, "2018-02-28"), (48, "2020-02-29"), (-12, "2015-02-28")]
        {
            assert_eq!(from.plus_months(months).to_string(), until);
        }
        for (start, day) in (15_000..17_000).step_by(37).flat_map(|s| [(s, s - 900), (s, s + 1800)])
        {
            for day in (day..day + 800).map(Day) {
                let years = day.years_since(Day(start));
                assert!(Day(start).plus_months(12 * years) <= day);
                assert!(Day(start).plus_months(12 * (years + 1)) > day);
            }
        }
    }

    /// D6: the date is that of the offset it is written in.
    #[test]
    fn a_moment_keeps_its_offset() {
        let at = i64::from(day("2018-03-01").0) * DAY_MICROS + 20 * 3_600_000_000;
        let utc = Moment::new(at, 0).expect("fits");
        let omsk = Moment::new(at, 360).expect("fits");
        assert_eq!(utc.micros(), omsk.micros());
        assert_eq!(
            (utc.day().to_string(), omsk.day().to_string()),
            ("2018-03-01".into(), "2018-03-02".into())
        );
        assert_eq!(Moment::new(-1, -60).map(|m| (m.micros(), m.offset_minutes())), Some((-1, -60)));
        assert_eq!(Moment::new(i64::MAX, 0), None);
    }

    #[test]
    fn working_days_skip_the_others() {
        let calendar = WorkingDays::new(day("2018-03-08"), vec![false, false]);
        assert_eq!(calendar.on_or_after(day("2018-03-08")).to_string(), "2018-03-12");
        assert_eq!(calendar.after(day("2018-03-07"), 2).to_string(), "2018-03-13");
    }

    #[test]
    fn weekdays_and_quarters() {
        assert_eq!(day("2018-03-12").weekday(), 0);
        assert_eq!(Quarter::of(day("2018-06-30")).to_string(), "2018Q2");
        assert_eq!(day("2018-12-31").month().to_string(), "2018-12");
    }
}
