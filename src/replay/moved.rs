//! Lines moved in time and to other records: so that a recording can be replayed as of today, and
//! again and again, each time as new events.

use dataflows::calendar::Day;

use crate::event::parse_day;
use crate::views::row_json::write_day;

/// By how much lines are moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Move {
    /// Every date and time, by whole days, so that the time of day stays.
    pub days: i32,
    /// Added to every record id.
    pub records: u64,
}

/// The days and records of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// First and last day of receipt.
    pub days: Option<(Day, Day)>,
    /// The greatest record id.
    pub record_max: u64,
}

/// Fields that are dates, or times that begin with one.
const DATED: [&[u8]; 5] = [b"received_at", b"answered_at", b"provided_on", b"from", b"until"];

impl Move {
    /// Appends a line to `out`, moved; what cannot be moved stays as it is.
    pub fn line(self, line: &[u8], out: &mut Vec<u8>) {
        if self == Move::default() {
            return out.extend_from_slice(line);
        }
        let mut copied = 0;
        fields(line, |key, value| {
            let rest = &line[value..];
            if key == b"record" {
                let digits = digits(rest);
                let id = number(&rest[..digits]).and_then(|id| id.checked_add(self.records));
                if let Some(id) = id {
                    out.extend_from_slice(&line[copied..value]);
                    out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
                    copied = value + digits;
                }
            } else if DATED.contains(&key)
                && let Some(day) = rest.get(1..11).and_then(parse_day)
                && let Some(day) = day.0.checked_add(self.days).filter(|day| is_writable(*day))
            {
                out.extend_from_slice(&line[copied..=value]);
                write_day(Day(day), out);
                copied = value + 11;
            }
        });
        out.extend_from_slice(&line[copied..]);
    }
}

impl Extent {
    /// Takes in a line.
    pub fn line(&mut self, line: &[u8]) {
        fields(line, |key, value| {
            let rest = &line[value..];
            match key {
                b"record" => {
                    let id = number(&rest[..digits(rest)]);
                    self.record_max = self.record_max.max(id.unwrap_or_default());
                }
                b"received_at" => {
                    let Some(day) = rest.get(1..11).and_then(parse_day) else { return };
                    let (first, last) = self.days.unwrap_or((day, day));
                    self.days = Some((first.min(day), last.max(day)));
                }
                _ => {}
            }
        });
    }

    /// What moves the lines of a pass behind those of `passes` before it.
    pub fn pass(&self, passes: u32) -> Move {
        let days = self.days.map_or(0, |(first, last)| last.0 - first.0 + 1);
        let passes_days = i32::try_from(passes).unwrap_or(i32::MAX);
        Move {
            days: days.saturating_mul(passes_days),
            records: (self.record_max + 1).saturating_mul(u64::from(passes)),
        }
    }
}

/// From 0001-01-01 to 9999-12-31.
fn is_writable(day: i32) -> bool {
    (1..=9999).contains(&Day(day).civil().0)
}

/// Calls `found` with every key of an object and where its value begins.
fn fields(line: &[u8], mut found: impl FnMut(&[u8], usize)) {
    let mut at = 0;
    while let Some(open) = memchr::memchr(b'"', &line[at..]).map(|n| at + n) {
        let Some(close) = closing(line, open + 1) else { return };
        let after = |at: usize| at + line[at..].iter().take_while(|byte| **byte == b' ').count();
        at = after(close + 1);
        if line.get(at) == Some(&b':') {
            at = after(at + 1);
            found(&line[open + 1..close], at);
        }
    }
}

/// The quote that ends a string which has begun before `at`.
fn closing(line: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr::memchr2(b'"', b'\\', line.get(at..)?)?;
        if line[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(days: i32, records: u64, line: &str) -> String {
        let mut out = Vec::new();
        Move { days, records }.line(line.as_bytes(), &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn dates_and_records_move_and_nothing_else() {
        let sms = r#"{"type":"sms","record": 99,"text":"\"record\":5, \"from\":\"2018-01-01\"","received_at":"2018-02-28T23:59:00+03:00"}"#;
        let later = r#"{"type":"sms","record": 109,"text":"\"record\":5, \"from\":\"2018-01-01\"","received_at":"2018-03-01T23:59:00+03:00"}"#;
        assert_eq!(moved(1, 10, sms), later);
        assert_eq!(moved(0, 0, sms), sms);
        let tenure = r#"{"type":"tenure","id":"2018-01-01","from":"2018-01-01","until":null}"#;
        assert_eq!(
            moved(-1, 7, tenure),
            tenure.replace(r#"from":"2018-01-01"#, r#"from":"2017-12-31"#)
        );
        for odd in ["", "{", r#"{"record"#, r#"{"record":}"#, r#"{"from":"201"#, r#"{"from":"\"#] {
            assert_eq!(moved(1, 1, odd), odd);
        }
        let far = r#"{"record":18446744073709551615,"from":"9999-12-31"}"#;
        assert_eq!(moved(1, 1, far), far);
    }

    #[test]
    fn a_pass_comes_behind_the_one_before() {
        let mut extent = Extent::default();
        for (record, day) in [(7, "2018-01-03"), (9, "2018-01-01"), (3, "2018-01-02")] {
            let line = format!(r#"{{"record":{record},"received_at":"{day}T10:00:00+03:00"}}"#);
            extent.line(line.as_bytes());
        }
        assert_eq!(extent.pass(0), Move::default());
        assert_eq!(extent.pass(2), Move { days: 6, records: 20 });
    }
}
