//! Events as the bytes of their lines (contract § 1), written without a serializer.
//!
//! Every text that comes here is free of what JSON escapes, or escaped already.

use dataflows::calendar::Day;
use dataflows::domain::{Channel, Form, Outcome, Scores, UnitKind};

use super::catalogue::{ODD_REPLIES, PADDINGS, REASONS, REVIEWS, VENDORS};
use super::offices::{Agency, Country, Place, Unit};
use super::staff::{Staff, Target, Tenure};

/// One line being written; [`Line::end`] closes it.
struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    fn new(out: &'a mut Vec<u8>, kind: &str) -> Line<'a> {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.push(b'"');
        Line(out)
    }

    fn key(&mut self, key: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn text(mut self, key: &str, value: &str) -> Line<'a> {
        debug_assert!(!value.contains('"'), "{value:?} needs escaping");
        self.key(key);
        self.0.push(b'"');
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'"');
        self
    }

    /// A value that JSON writes bare.
    fn bare(mut self, key: &str, value: &str) -> Line<'a> {
        self.key(key);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    fn record(mut self, record: u64) -> Line<'a> {
        self.key("record");
        self.0.extend_from_slice(itoa::Buffer::new().format(record).as_bytes());
        self
    }

    fn day(mut self, key: &str, day: Day) -> Line<'a> {
        self.key(key);
        self.0.push(b'"');
        write_day(self.0, day);
        self.0.push(b'"');
        self
    }

    fn moment(mut self, key: &str, at: Stamp) -> Line<'a> {
        self.key(key);
        self.0.push(b'"');
        write_moment(self.0, at);
        self.0.push(b'"');
        self
    }

    fn scores(mut self, scores: Scores) -> Line<'a> {
        self.key("scores");
        self.0.push(b'{');
        for (index, (criterion, score)) in scores.iter().enumerate() {
            let comma: &[u8] = if index > 0 { b"," } else { b"" };
            self.0.extend_from_slice(comma);
            self.0.extend_from_slice(&[
                b'"',
                b'0' + criterion.get(),
                b'"',
                b':',
                b'0' + score.get(),
            ]);
        }
        self.0.push(b'}');
        self
    }

    fn place(self, country: &Country, place: Place, provided: Day) -> Line<'a> {
        let line = self
            .text("unit", &country.units[place.unit as usize].id)
            .text("service", &country.services[usize::from(place.service)].id)
            .day("provided_on", provided);
        match place.mfc {
            Some(mfc) => line.text("mfc", &country.units[mfc as usize].id),
            None => line,
        }
    }

    fn end(self) {
        self.0.extend_from_slice(b"}\n");
    }
}

/// A moment as it is written: seconds since 1970 UTC, and the offset in minutes.
#[derive(Clone, Copy)]
pub struct Stamp {
    pub second: i64,
    pub offset_minutes: i32,
}

/// What a message about a record says; `at` of [`message`] is its time of receipt.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    Fact {
        place: Place,
        provided: Day,
        phone: bool,
    },
    Sms(Reply),
    Survey(Result<Scores, Outcome>),
    Form {
        form: Form,
        scores: Scores,
        /// None for a registered fact's.
        place: Option<(Place, Day)>,
        /// Whether a review praises; only a site's has a text.
        happy: bool,
    },
    Answer,
    Retract(Channel),
}

/// The text of an SMS: a digit, perhaps with white space around it, or something odd.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    Digit(u8),
    Padded(u8, u8),
    Odd(u8),
}

/// The line of a message.
pub fn message(out: &mut Vec<u8>, country: &Country, record: u64, at: Stamp, body: Body) {
    // Small differences that do not matter to any figure come from the record id.
    let variety = (record / 3) as usize;
    match body {
        Body::Fact { place, provided, phone } => {
            let line = Line::new(out, "fact")
                .record(record)
                .place(country, place, provided)
                .moment("received_at", at)
                .text("vendor", VENDORS[if place.mfc.is_some() { 0 } else { 1 + variety % 2 }]);
            if phone { line.bare("phone", "true").end() } else { line.end() }
        }
        Body::Sms(reply) => sms(out, record, at, reply),
        Body::Survey(result) => {
            let (outcome, scores) = match result {
                Ok(scores) => ("completed", Some(scores)),
                Err(Outcome::NoAnswer) => ("no_answer", None),
                Err(Outcome::CallBack) => ("call_back", None),
                Err(Outcome::Refused) => ("refused", None),
            };
            let line = Line::new(out, "survey").record(record).text("outcome", outcome);
            let line = if let Some(scores) = scores { line.scores(scores) } else { line };
            line.moment("received_at", at).end();
        }
        Body::Form { form, scores, place, happy } => {
            let kind = form.channel().of_message();
            let line = Line::new(out, kind).record(record);
            let line = match place {
                Some((place, provided)) => line.place(country, place, provided),
                None => line,
            };
            let line = line.scores(scores).moment("received_at", at);
            match form {
                Form::Kiosk => line.text("vendor", VENDORS[3 + variety % 2]).end(),
                Form::Epgu => line.text("vendor", VENDORS[5]).end(),
                Form::Site => {
                    let texts = REVIEWS[usize::from(happy)];
                    line.text("text", texts[variety % texts.len()]).end();
                }
            }
        }
        Body::Answer => Line::new(out, "answer").record(record).moment("answered_at", at).end(),
        Body::Retract(channel) => Line::new(out, "retract")
            .record(record)
            .text("channel", channel.of_message())
            .text("reason", REASONS[variety % REASONS.len()])
            .moment("received_at", at)
            .end(),
    }
}

fn sms(out: &mut Vec<u8>, record: u64, at: Stamp, reply: Reply) {
    let digit = |digit: u8| char::from(b'0' + digit);
    let line = Line::new(out, "sms").record(record);
    let line = match reply {
        Reply::Digit(score) => line.text("text", digit(score).encode_utf8(&mut [0; 4])),
        Reply::Padded(score, padding) => {
            let (before, after) = PADDINGS[usize::from(padding)];
            line.text("text", &format!("{before}{}{after}", digit(score)))
        }
        Reply::Odd(index) => line.text("text", ODD_REPLIES[usize::from(index)]),
    };
    line.moment("received_at", at).end();
}

/// The upsert of an agency.
pub fn agency(out: &mut Vec<u8>, agency: &Agency) {
    Line::new(out, "agency")
        .text("id", &agency.id)
        .text("name", agency.model.name)
        .text("kind", agency.model.kind)
        .end();
}

/// The upsert of a unit, below `parent` as it is told now.
pub fn unit(out: &mut Vec<u8>, country: &Country, unit: &Unit, parent: Option<usize>) {
    let kind = match unit.kind {
        UnitKind::Territorial => "territorial",
        UnitKind::Subdivision => "subdivision",
        UnitKind::Mfc => "mfc",
    };
    let line = Line::new(out, "unit").text("id", &unit.id).text("kind", kind);
    let line = match unit.agency {
        Some(agency) => line.text("agency", &country.agencies[agency].id),
        None => line,
    };
    let line = match parent {
        Some(parent) => line.text("parent", &country.units[parent].id),
        None => line,
    };
    line.text("region", &unit.okato).text("name", &unit.name).end();
}

/// The upsert of a service.
pub fn service(out: &mut Vec<u8>, country: &Country, service: usize, listed: bool) {
    let service = &country.services[service];
    Line::new(out, "service")
        .text("id", &service.id)
        .text("agency", &country.agencies[service.agency].id)
        .text("name", service.name)
        .bare("listed", if listed { "true" } else { "false" })
        .end();
}

/// The upsert of a tenure.
pub fn tenure(out: &mut Vec<u8>, country: &Country, staff: &Staff, tenure: &Tenure) {
    let line = Line::new(out, "tenure")
        .text("id", &tenure.id)
        .text("manager", &Staff::manager_id(tenure.manager))
        .text("unit", &country.units[tenure.unit].id)
        .day("from", tenure.from);
    let line = match tenure.until {
        Some(until) => line.day("until", until),
        None => line,
    };
    line.text("name", &staff.managers[tenure.manager]).end();
}

/// The upsert of a target.
pub fn target(out: &mut Vec<u8>, country: &Country, target: &Target) {
    Line::new(out, "target")
        .text("unit", &country.units[target.unit].id)
        .day("from", target.from)
        .bare("percent", target.percent)
        .end();
}

/// The removal of a tenure.
pub fn remove_tenure(out: &mut Vec<u8>, tenure: &Tenure) {
    Line::new(out, "remove").text("of", "tenure").text("id", &tenure.id).end();
}

/// The removal of a target.
pub fn remove_target(out: &mut Vec<u8>, country: &Country, target: &Target) {
    Line::new(out, "remove")
        .text("of", "target")
        .text("unit", &country.units[target.unit].id)
        .day("from", target.from)
        .end();
}

fn write_day(out: &mut Vec<u8>, day: Day) {
    let (year, month, day) = day.civil();
    let [y, m, d] = [year as u32 / 100, month, day].map(two);
    let [y2, y3] = two(year as u32 % 100);
    out.extend_from_slice(&[y[0], y[1], y2, y3, b'-', m[0], m[1], b'-', d[0], d[1]]);
}

fn write_moment(out: &mut Vec<u8>, at: Stamp) {
    let local = at.second + i64::from(at.offset_minutes) * 60;
    write_day(out, Day(local.div_euclid(86_400) as i32));
    let time = local.rem_euclid(86_400) as u32;
    let [h, m, s] = [time / 3600, time / 60 % 60, time % 60].map(two);
    let sign = if at.offset_minutes < 0 { b'-' } else { b'+' };
    let offset = at.offset_minutes.unsigned_abs();
    let [oh, om] = [offset / 60, offset % 60].map(two);
    out.extend_from_slice(&[
        b'T', h[0], h[1], b':', m[0], m[1], b':', s[0], s[1], sign, oh[0], oh[1], b':', om[0],
        om[1],
    ]);
}

/// Two decimal digits of a number below 100.
fn two(number: u32) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_their_offset() {
        for (second, offset_minutes, expected) in [
            (1_519_862_400, 0, "2018-03-01T00:00:00+00:00"),
            (1_519_862_399, 720, "2018-03-01T11:59:59+12:00"),
            (1_519_862_400, -210, "2018-02-28T20:30:00-03:30"),
            (-1, 0, "1969-12-31T23:59:59+00:00"),
        ] {
            let mut out = Vec::new();
            write_moment(&mut out, Stamp { second, offset_minutes });
            assert_eq!(String::from_utf8(out).expect("ASCII"), expected);
        }
    }

    #[test]
    fn texts_of_the_catalogue_are_json_as_they_stand() {
        let plain = ODD_REPLIES.iter().chain(REVIEWS.into_iter().flatten()).chain(REASONS);
        let padded = PADDINGS.iter().flat_map(|(before, after)| [before, after]);
        for text in plain.chain(padded) {
            assert!(serde_json::from_str::<String>(&format!("\"{text}\"")).is_ok(), "{text:?}");
        }
    }
}
