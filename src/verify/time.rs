//! Dates, zones and working days of the recomputation, computed by `jiff`.
//!
//! The dataflow has a calendar arithmetic of its own; this one shares none of it, so that a wrong
//! month there is a difference here.

use dataflows::calendar::{Day, Moment};
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan, Zoned};

use crate::world;

/// The first day of the epoch from which [`Day`] counts.
const EPOCH: Date = Date::constant(1970, 1, 1);

/// The date that a checked event names.
pub fn date(day: Day) -> Date {
    let midnight = i64::from(day.0) * 86_400;
    let midnight = Timestamp::from_second(midnight).expect("days of events lie in 1..9999");
    Offset::UTC.to_datetime(midnight).date()
}

/// Days since 1970-01-01.
pub fn day_number(date: Date) -> i32 {
    (date - EPOCH).get_days()
}

/// D6: the calendar date of a moment in the offset it is written in.
pub fn written_date(moment: Moment) -> Date {
    let offset = Offset::from_seconds(moment.offset_minutes() * 60);
    let offset = offset.expect("offsets of events are below 18 hours");
    offset.to_datetime(timestamp(moment.micros())).date()
}

/// The calendar date in a zone at a moment, microseconds since 1970 UTC.
pub fn date_in(zone: &TimeZone, micros: i64) -> Date {
    zone.to_datetime(timestamp(micros)).date()
}

fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).expect("moments of events lie in 1830..2110")
}

/// The hour since 1970 UTC at which a day begins in Moscow.
pub fn midnight_in_moscow(day: Day) -> i64 {
    let moscow = TimeZoneDatabase::bundled().get("Europe/Moscow").expect("it is bundled");
    let midnight = date(day).to_zoned(moscow).expect("days of events lie in 1..9999");
    midnight.timestamp().as_second().div_euclid(3600)
}

/// D8: `months` after the original date, clamped to the month's last day; `None` past 9999-12-31.
pub fn plus_months(date: Date, months: i64) -> Option<Date> {
    date.checked_add(months.months()).ok()
}

/// The start of period `n` of a tenure (p. 17); the end is that of `n + 1`, exclusive.
pub fn period_start(from: Date, n: i64) -> Date {
    plus_months(from, 12 * n).unwrap_or(if n < 0 { Date::MIN } else { Date::MAX })
}

/// The period of a tenure that a date not before `from` lies in.
pub fn period_of(from: Date, date: Date) -> i64 {
    let mut n = i64::from(date.year() - from.year() - 1).max(0);
    while plus_months(from, 12 * (n + 1)).is_some_and(|next| next <= date) {
        n += 1;
    }
    n
}

/// "2018Q2".
pub fn quarter(date: Date) -> String {
    format!("{:04}Q{}", date.year(), (date.month() + 2) / 3)
}

/// Whether people are at work that day: the production calendar is data, one for all.
fn is_worked(date: Date) -> bool {
    world::is_worked(Day(day_number(date)))
}

/// D10: the day itself if it is worked, else the next that is.
pub fn working_day(date: Date) -> Date {
    let mut date = date;
    while !is_worked(date) {
        date = date.tomorrow().expect("working days are centuries before 9999");
    }
    date
}

/// When offices close, 19:00, on the n-th working day after a date: the end of every time limit.
pub fn closing(date: Date, n: u32, zone: &TimeZone) -> Zoned {
    let last = (0..n).fold(date, |date, _| {
        working_day(date.tomorrow().expect("working days are centuries before 9999"))
    });
    let closing = last.at(19, 0, 0, 0).to_zoned(zone.clone());
    closing.expect("moments of events lie in 1830..2110")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date as ymd;

    #[test]
    fn periods_start_on_the_original_day() {
        let from = ymd(2016, 2, 29);
        for (n, start) in [(0, from), (1, ymd(2017, 2, 28)), (4, ymd(2020, 2, 29))] {
            assert_eq!(period_start(from, n), start);
            assert_eq!(period_of(from, start), n);
        }
        assert_eq!(period_of(from, ymd(2017, 2, 27)), 0);
        assert_eq!(period_of(from, ymd(2020, 2, 28)), 3);
        assert_eq!(period_of(ymd(9998, 1, 1), ymd(9999, 12, 31)), 1);
    }

    #[test]
    fn days_and_moments_have_their_date() {
        let day = Day::new(2018, 3, 1).expect("a date");
        assert_eq!(date(day), ymd(2018, 3, 1));
        assert_eq!(day_number(ymd(2018, 3, 1)), day.0);
        let evening = i64::from(day.0) * 86_400_000_000 + 20 * 3_600_000_000;
        let omsk = Moment::new(evening, 360).expect("fits");
        assert_eq!(written_date(omsk), ymd(2018, 3, 2));
    }

    /// 8 and 9 March 2018 were days off (the second by transfer), 28 April was a worked Saturday.
    #[test]
    fn time_limits_end_at_closing_time_of_a_worked_day() {
        let omsk = TimeZone::fixed(Offset::constant(6));
        let shown = |zoned: Zoned| zoned.strftime("%FT%T%:z").to_string();
        let wednesday = ymd(2018, 3, 7);
        assert_eq!(shown(closing(wednesday, 1, &omsk)), "2018-03-12T19:00:00+06:00");
        assert_eq!(working_day(ymd(2018, 4, 28)), ymd(2018, 4, 28));
        assert_eq!(working_day(ymd(2018, 3, 8)), ymd(2018, 3, 12));
    }
}
