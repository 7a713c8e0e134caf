//! Messages as machines write them, read in one walk: a flat object of the contract's fields, texts
//! without escapes, times in whole seconds.
//!
//! Whatever is otherwise — reference data, another spelling, anything wrong — is left to the full
//! reader, which alone says why a line is refused. So the two can differ in nothing but speed.

use dataflows::domain::{Channel, Criterion, Form, Outcome, Record, Score, Scores};
use dataflows::id::Id;

use super::{Answer, Event, Fact, FormEvent, Retract, Sms, Survey, Text, parse_day, parse_moment};

/// The message of a line, or `None` where the full reader must look.
pub(super) fn message(line: &str) -> Option<Event<'_>> {
    let mut fields = Fields::default();
    fields.read(line)?;
    fields.message()
}

/// The fields of messages, as they stand in the line.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a str>,
    record: Option<Record>,
    unit: Option<&'a str>,
    service: Option<&'a str>,
    mfc: Option<&'a str>,
    provided_on: Option<&'a str>,
    received_at: Option<&'a str>,
    answered_at: Option<&'a str>,
    vendor: Option<&'a str>,
    foreign_id: Option<&'a str>,
    text: Option<&'a str>,
    outcome: Option<&'a str>,
    channel: Option<&'a str>,
    reason: Option<&'a str>,
    phone: Option<bool>,
    scores: Option<Scores>,
}

/// What of a line is still to be read.
struct Rest<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Fields<'a> {
    fn read(&mut self, line: &'a str) -> Option<()> {
        let mut rest = Rest { line, at: 0 };
        rest.sign(b'{')?;
        loop {
            let key = rest.text()?;
            rest.sign(b':')?;
            let field = match key {
                "record" => {
                    once(&mut self.record, rest.record()?)?;
                    None
                }
                "phone" => {
                    once(&mut self.phone, rest.bool()?)?;
                    None
                }
                "scores" => {
                    once(&mut self.scores, rest.scores()?)?;
                    None
                }
                "type" => Some(&mut self.kind),
                "unit" => Some(&mut self.unit),
                "service" => Some(&mut self.service),
                "mfc" => Some(&mut self.mfc),
                "provided_on" => Some(&mut self.provided_on),
                "received_at" => Some(&mut self.received_at),
                "answered_at" => Some(&mut self.answered_at),
                "vendor" => Some(&mut self.vendor),
                "foreign_id" => Some(&mut self.foreign_id),
                "text" => Some(&mut self.text),
                "outcome" => Some(&mut self.outcome),
                "channel" => Some(&mut self.channel),
                "reason" => Some(&mut self.reason),
                _ => return None,
            };
            if let Some(field) = field {
                once(field, rest.text()?)?;
            }
            match rest.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        line.get(rest.at..)?.trim_ascii_end().is_empty().then_some(())
    }

    fn message(&self) -> Option<Event<'a>> {
        let record = self.record?;
        match self.kind? {
            "fact" => Some(Event::Fact(Fact {
                record,
                unit: id(self.unit?)?,
                service: id(self.service?)?,
                mfc: optional_id(self.mfc)?,
                provided_on: parse_day(self.provided_on?.as_bytes())?,
                received_at: parse_moment(self.received_at?)?,
                vendor: optional_id(self.vendor)?,
                foreign_id: self.foreign_id.map(Text::from),
                phone: self.phone.unwrap_or(false),
            })),
            "sms" => {
                let (text, received_at) = (self.text?.into(), parse_moment(self.received_at?)?);
                Some(Event::Sms(Sms { record, text, received_at }))
            }
            "survey" => {
                let result = match self.outcome? {
                    "completed" => Ok(common(self.scores?)?),
                    "no_answer" => Err(Outcome::NoAnswer),
                    "call_back" => Err(Outcome::CallBack),
                    "refused" => Err(Outcome::Refused),
                    _ => return None,
                };
                let received_at = parse_moment(self.received_at?)?;
                Some(Event::Survey(Survey { record, result, received_at }))
            }
            "kiosk" => self.form(Form::Kiosk, record),
            "epgu" => self.form(Form::Epgu, record),
            "site" => self.form(Form::Site, record),
            "answer" => {
                let answered_at = parse_moment(self.answered_at?)?;
                Some(Event::Answer(Answer { record, answered_at }))
            }
            "retract" => Some(Event::Retract(Retract {
                record,
                channel: Channel::ALL.into_iter().find(|c| Some(c.of_message()) == self.channel)?,
                reason: self.reason?.into(),
                received_at: parse_moment(self.received_at?)?,
            })),
            _ => None,
        }
    }

    fn form(&self, kind: Form, record: Record) -> Option<Event<'a>> {
        let scores = if kind == Form::Epgu { self.scores? } else { common(self.scores?)? };
        Some(Event::Form(FormEvent {
            kind,
            record,
            scores,
            unit: optional_id(self.unit)?,
            service: optional_id(self.service)?,
            mfc: optional_id(self.mfc)?,
            provided_on: match self.provided_on {
                Some(day) => Some(parse_day(day.as_bytes())?),
                None => None,
            },
            received_at: parse_moment(self.received_at?)?,
            vendor: optional_id(self.vendor)?,
            foreign_id: self.foreign_id.map(Text::from),
            text: self.text.filter(|_| kind == Form::Site).map(Text::from),
        }))
    }
}

/// A field that is there once.
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

fn id(text: &str) -> Option<Text<'_>> {
    Id::is_valid(text).then(|| text.into())
}

/// `None` only for an id that is none.
#[expect(clippy::option_option, reason = "outside: must the full reader look; inside: is it there")]
fn optional_id(text: Option<&str>) -> Option<Option<Text<'_>>> {
    match text {
        Some(text) => id(text).map(Some),
        None => Some(None),
    }
}

/// Scores of criteria 1..5 only.
fn common(scores: Scores) -> Option<Scores> {
    scores.iter().all(|(criterion, _)| criterion.get() <= 5).then_some(scores)
}

/// How far it is to what ends a text, or may not stand in it as it is: a quote, a backslash, a control
/// character. Eight bytes are looked at together.
fn until_end(text: &[u8]) -> Option<usize> {
    const EACH: u64 = u64::MAX / 0xff;
    // The highest bit of each byte below `bound`, which is at most 128; above the first of them perhaps
    // of others.
    let below = |eight: u64, bound: u64| eight.wrapping_sub(EACH * bound) & !eight & (EACH << 7);
    let (eights, rest) = text.as_chunks();
    for (n, eight) in eights.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        let is = |byte: u8| below(eight ^ (EACH * u64::from(byte)), 1);
        let ends = is(b'"') | is(b'\\') | below(eight, u64::from(b' '));
        if ends != 0 {
            return Some(8 * n + ends.trailing_zeros() as usize / 8);
        }
    }
    let last = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
    Some(8 * eights.len() + last)
}

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.line.as_bytes().get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// The next byte that is no blank.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = self.byte()?;
            if byte != b' ' {
                return Some(byte);
            }
        }
    }

    fn sign(&mut self, sign: u8) -> Option<()> {
        (self.next()? == sign).then_some(())
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<&'a str> {
        self.sign(b'"')?;
        let from = self.at;
        let rest = self.line.as_bytes().get(from..)?;
        let length = until_end(rest)?;
        self.at += length + 1;
        (rest[length] == b'"').then(|| &self.line[from..from + length])
    }

    /// Of at most 18 digits, so that it cannot be too large.
    fn record(&mut self) -> Option<Record> {
        let first = self.next()?;
        let rest = self.line.as_bytes().get(self.at..)?;
        let more = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        self.at += more;
        let is_plain = first.is_ascii_digit() && more < 18 && (first != b'0' || more == 0);
        let digit = |byte: u8| u64::from(byte - b'0');
        is_plain.then(|| rest[..more].iter().fold(digit(first), |n, b| n * 10 + digit(*b)))
    }

    fn bool(&mut self) -> Option<bool> {
        let rest = self.line[self.at..].trim_start_matches(' ');
        let (value, length) = match rest {
            _ if rest.starts_with("true") => (true, 4),
            _ if rest.starts_with("false") => (false, 5),
            _ => return None,
        };
        self.at = self.line.len() - rest.len() + length;
        Some(value)
    }

    /// At least one score, each criterion once.
    fn scores(&mut self) -> Option<Scores> {
        self.sign(b'{')?;
        let mut scores = Scores::NONE;
        loop {
            self.sign(b'"')?;
            let criterion = Criterion::new(self.byte()?.wrapping_sub(b'0'))?;
            (self.byte()? == b'"').then_some(())?;
            self.sign(b':')?;
            let score = Score::new(self.next()?.wrapping_sub(b'0'))?;
            if scores.get(criterion).is_some() {
                return None;
            }
            scores = scores.with(criterion, score);
            match self.next()? {
                b',' => {}
                b'}' => return Some(scores),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Params, generate};
    use dataflows::calendar::Day;
    use rand::{RngExt, SeedableRng};

    /// Every message that is generated is read quickly, and as the full reader reads it; so is what
    /// is left of it after any damage, or not at all.
    #[test]
    fn the_quick_reader_is_the_full_one() {
        let day = |year| Day::new(year, 1, 1).expect("the first of January");
        let params = Params { events: 2000, seed: 5, from: day(2017), until: day(2018) };
        let (mut reference, mut events) = (Vec::new(), Vec::new());
        generate(&params, &mut reference, &mut events, &mut |_| ()).expect("in memory");
        let events = String::from_utf8(events).expect("UTF-8");
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let mut quick = 0;
        for line in events.lines() {
            let full = Event::parse_fully(line).expect("generated events are valid");
            if line.contains(r#""record":"#) {
                assert_eq!(message(line).as_ref(), Some(&full), "{line}");
                quick += 1;
            }
            for _ in 0..20 {
                let mut damaged = line.as_bytes().to_vec();
                let at = random.random_range(0..damaged.len());
                let signs = br#""{}:,\0159 tx+-ZTa."#;
                match random.random_range(0..3) {
                    0 => damaged[at] = signs[random.random_range(0..signs.len())],
                    1 => damaged.insert(at, signs[random.random_range(0..signs.len())]),
                    _ => drop(damaged.remove(at)),
                }
                let Ok(damaged) = std::str::from_utf8(&damaged) else { continue };
                if let Some(message) = message(damaged) {
                    assert_eq!(Ok(message), Event::parse_fully(damaged), "{damaged}");
                }
            }
        }
        assert!(quick > 1900);
    }
}
