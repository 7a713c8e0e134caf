//! Events of a log as NDJSON again: the way back of what `event` parses.

use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use dataflows::calendar::{Day, Moment};
use dataflows::domain::{Epoch, Outcome, Scores, UnitKind};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::event::{AgencyKind, Event, Key};
use crate::log::Merged;
use crate::world;

/// Writes the events of these epochs to `out`, one a line, as `compute` takes them; those of several
/// logs in the order in which a cluster takes them. The hours that
/// the node logged are not among them; the last is told on standard error.
///
/// # Errors
/// A log that is damaged or cannot be read; `out` that cannot be written.
pub fn export(
    data: &[PathBuf],
    epochs: &RangeInclusive<Epoch>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut log = Merged::open(data)?;
    let mut out = io::BufWriter::with_capacity(1 << 18, out);
    let mut now = None;
    while let Some(frame) = log.next_frame()? {
        if frame.epoch > *epochs.end() {
            break;
        }
        for event in frame.events() {
            let event = event?;
            if let Event::Clock(hour) = event {
                now = Some(hour);
            } else if epochs.contains(&frame.epoch) {
                serde_json::to_writer(&mut out, &Json(&event)).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
        }
    }
    out.flush()?;
    if let Some(now) = now {
        let today = now.day(world::world().zone(0));
        eprintln!("the last hour read is of {today}: `compute --as-of {today}`");
    }
    for (data, torn) in log.torn() {
        let (data, bytes) = (data.display(), torn.bytes);
        eprintln!("left out of {data}: an unfinished tail of {bytes} bytes at {}", torn.position);
    }
    Ok(())
}

/// An event as the contract writes it.
struct Json<'e>(&'e Event<'e>);

/// Writes `"name": value` for each field that is there.
macro_rules! fields {
    ($map:ident, $($name:literal: $value:expr),* $(,)?) => {
        {
            $(if let Some(value) = &$value { $map.serialize_entry($name, value)?; })*
        }
    };
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.0.type_name())?;
        match self.0 {
            Event::Agency(a) => {
                fields!(map, "id": Some(&a.id), "name": Some(&a.name), "kind": a.kind.map(agency_kind))
            }
            Event::Unit(u) => fields!(map,
                "id": Some(&u.id), "kind": Some(unit_kind(u.kind)), "agency": u.agency,
                "parent": u.parent, "region": Some(&u.region), "name": Some(&u.name)),
            Event::Service(s) => fields!(map,
                "id": Some(&s.id), "agency": Some(&s.agency), "name": Some(&s.name), "listed": Some(s.listed)),
            Event::Tenure(t) => fields!(map,
                "id": Some(&t.id), "manager": Some(&t.manager), "unit": Some(&t.unit),
                "from": Some(date(t.from)), "until": t.until.map(date), "name": t.name),
            Event::Target(t) => {
                fields!(map, "unit": Some(&t.unit), "from": Some(date(t.from)));
                map.serialize_entry("percent", &percent(t.micropercent))?;
            }
            Event::Remove(key) => match key {
                Key::Agency(id) => fields!(map, "of": Some("agency"), "id": Some(id)),
                Key::Unit(id) => fields!(map, "of": Some("unit"), "id": Some(id)),
                Key::Service(id) => fields!(map, "of": Some("service"), "id": Some(id)),
                Key::Tenure(id) => fields!(map, "of": Some("tenure"), "id": Some(id)),
                Key::Target(unit, from) => {
                    fields!(map, "of": Some("target"), "unit": Some(unit), "from": Some(date(*from)));
                }
            },
            Event::Fact(f) => fields!(map,
                "record": Some(f.record), "unit": Some(&f.unit), "service": Some(&f.service), "mfc": f.mfc,
                "provided_on": Some(date(f.provided_on)), "received_at": Some(time(f.received_at)),
                "vendor": f.vendor, "foreign_id": f.foreign_id, "phone": Some(f.phone)),
            Event::Sms(s) => fields!(map,
                "record": Some(s.record), "text": Some(&s.text), "received_at": Some(time(s.received_at))),
            Event::Survey(s) => fields!(map,
                "record": Some(s.record), "outcome": Some(outcome(&s.result)),
                "scores": s.result.ok().map(ByCriterion), "received_at": Some(time(s.received_at))),
            Event::Form(f) => fields!(map,
                "record": Some(f.record), "unit": f.unit, "service": f.service, "mfc": f.mfc,
                "provided_on": f.provided_on.map(date), "received_at": Some(time(f.received_at)),
                "vendor": f.vendor, "foreign_id": f.foreign_id, "scores": Some(ByCriterion(f.scores)),
                "text": f.text),
            Event::Answer(a) => {
                fields!(map, "record": Some(a.record), "answered_at": Some(time(a.answered_at)));
            }
            Event::Retract(r) => fields!(map,
                "record": Some(r.record), "channel": Some(r.channel.of_message()), "reason": Some(&r.reason),
                "received_at": Some(time(r.received_at))),
            Event::Clock(hour) => fields!(map, "hour": Some(hour.0)),
        }
        map.end()
    }
}

/// Scores as `{"1":4,…}`.
struct ByCriterion(Scores);

impl Serialize for ByCriterion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(c, score)| (c.get().to_string(), score.get())))
    }
}

fn date(day: Day) -> String {
    day.to_string()
}

/// RFC 3339, with a fraction only where there is one.
fn time(at: Moment) -> String {
    let local = at.micros() + i64::from(at.offset_minutes()) * 60_000_000;
    let of_day = local.rem_euclid(86_400_000_000);
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let offset = at.offset_minutes();
    let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.abs());
    let (oh, om) = (offset / 60, offset % 60);
    format!("{}T{hours:02}:{minutes:02}:{seconds:02}{fraction}{sign}{oh:02}:{om:02}", at.day())
}

/// A number with the decimals it needs.
fn percent(micropercent: i64) -> serde_json::Number {
    let text = format!("{}.{:06}", micropercent / 1_000_000, micropercent % 1_000_000);
    let short = text.trim_end_matches('0').trim_end_matches('.');
    short.parse().expect("digits and a point are a number")
}

fn agency_kind(kind: AgencyKind) -> &'static str {
    match kind {
        AgencyKind::Federal => "federal",
        AgencyKind::Fund => "fund",
        AgencyKind::Regional => "regional",
        AgencyKind::Municipal => "municipal",
    }
}

fn unit_kind(kind: UnitKind) -> &'static str {
    match kind {
        UnitKind::Territorial => "territorial",
        UnitKind::Subdivision => "subdivision",
        UnitKind::Mfc => "mfc",
    }
}

fn outcome(result: &Result<Scores, Outcome>) -> &'static str {
    match result {
        Ok(_) => "completed",
        Err(Outcome::NoAnswer) => "no_answer",
        Err(Outcome::CallBack) => "call_back",
        Err(Outcome::Refused) => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is exported parses to the very event that was logged.
    #[test]
    fn export_is_the_way_back() {
        let lines = [
            r#"{"type":"agency","id":"A","name":"n","kind":"fund"}"#,
            r#"{"type":"unit","id":"U","kind":"subdivision","agency":"A","parent":"P","region":"45","name":"n"}"#,
            r#"{"type":"service","id":"S","agency":"A","name":"a \"b\"","listed":true}"#,
            r#"{"type":"tenure","id":"T","manager":"M","unit":"U","from":"2016-02-29","until":"2017-01-01"}"#,
            r#"{"type":"target","unit":"U","from":"2016-02-29","percent":92.31}"#,
            r#"{"type":"target","unit":"U","from":"2016-02-29","percent":70}"#,
            r#"{"type":"remove","of":"target","unit":"U","from":"2016-02-29"}"#,
            r#"{"type":"remove","of":"unit","id":"U"}"#,
            r#"{"type":"fact","record":1,"unit":"U","service":"S","mfc":"X","provided_on":"2018-03-01","received_at":"2018-03-01T23:59:59.000001-09:30","phone":true}"#,
            r#"{"type":"sms","record":1,"text":"\t5\n","received_at":"2018-03-01T10:00:00+03:00"}"#,
            r#"{"type":"survey","record":1,"outcome":"completed","scores":{"1":4,"5":5},"received_at":"2018-03-01T10:00:00+00:00"}"#,
            r#"{"type":"survey","record":1,"outcome":"call_back","received_at":"2018-03-01T10:00:00+00:00"}"#,
            r#"{"type":"epgu","record":9223372036854775807,"received_at":"2018-03-01T10:00:00+12:00","scores":{"8":1}}"#,
            r#"{"type":"site","record":2,"received_at":"2018-03-01T10:00:00+12:00","scores":{"1":1},"text":"т"}"#,
            r#"{"type":"answer","record":2,"answered_at":"2018-03-01T10:00:00+12:00"}"#,
            r#"{"type":"retract","record":2,"channel":"site","reason":"r","received_at":"2018-03-01T10:00:00+12:00"}"#,
        ];
        for line in lines {
            let event = Event::parse(line.as_bytes()).expect("valid");
            let written = serde_json::to_string(&Json(&event)).expect("serialises");
            assert_eq!(Event::parse(written.as_bytes()).as_ref(), Ok(&event), "{written}");
        }
        let exact = lines[8];
        let event = Event::parse(exact.as_bytes()).expect("valid");
        assert_eq!(serde_json::to_string(&Json(&event)).expect("serialises"), exact);
    }
}
