//! The stream itself: hours in their order, stories told as the rhythm asks, lines written.

use std::io::{self, Write};

use dataflows::domain::Form;

use super::chance::{Chance, Weighted};
use super::corrections::Correction;
use super::lines::{self, Body, Stamp};
use super::offices::Country;
use super::queue::{Item, Queue, What};
use super::rhythm::{LocalHour, Rhythm};
use super::story::Teller;
use super::{Params, Summary, TYPES};

/// Bytes that are collected before they are written.
const CHUNK_BYTES: usize = 1 << 20;

/// Writes the stream hour by hour: so many stories are told that the lines planned keep to the
/// rhythm of the country, then what is due in the hour is written.
pub fn write_stream(
    params: &Params,
    country: &Country,
    rhythm: &Rhythm,
    late: &[Correction],
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
    summary: &mut Summary,
) -> io::Result<()> {
    let hours = rhythm.hours();
    let mut queue = Queue::new(hours.start);
    for (index, correction) in late.iter().enumerate() {
        queue.push(Item { arrives: correction.arrives, what: What::Correction(index) });
    }
    let loads = |hour: i64| {
        country.territories.iter().map(move |t| rhythm.load(LocalHour::of(hour, t), t.population))
    };
    let load_of = |hour: i64| loads(hour).map(u128::from).sum::<u128>();
    let total: u128 = hours.clone().map(load_of).sum();
    let mut teller =
        Teller::new(country, rhythm, Chance::new(params.seed, 2), params.events, late.len() as u64);
    let mut writer = StreamWriter { country, late, bytes: Vec::new(), summary };
    let mut demand = Weighted::default();
    let mut past = 0_u128;
    for hour in hours {
        past += load_of(hour);
        let due = (u128::from(params.events) * past / total) as u64;
        if teller.planned() < due {
            demand.set(loads(hour));
            tell_hour(&mut teller, &mut queue, hour, due, |teller| {
                let territory = demand.pick(teller.chance());
                let local = LocalHour::of(hour, &country.territories[territory]);
                (territory, rhythm.is_open(local))
            });
        }
        queue.drain_hour(&mut |item| writer.write(item));
        if writer.bytes.len() >= CHUNK_BYTES {
            writer.flush(out)?;
        }
        progress(writer.summary.events);
    }
    writer.flush(out)?;
    out.flush()
}

/// Tells stories at even distances of an hour until `due` lines are planned; `who` draws the
/// territory, and whether its offices are open.
fn tell_hour(
    teller: &mut Teller<'_>,
    queue: &mut Queue,
    hour: i64,
    due: u64,
    who: impl Fn(&mut Teller<'_>) -> (usize, bool),
) {
    let start = teller.planned();
    let lines = (due - start) as i64;
    while teller.planned() < due {
        let (territory, open) = who(teller);
        let done = (teller.planned() - start) as i64;
        let at = hour * 3600 + (done * 3600 + teller.chance().span(3600)) / lines;
        teller.tell(queue, territory, at, open);
    }
}

/// Turns items into lines and counts them.
struct StreamWriter<'a> {
    country: &'a Country,
    late: &'a [Correction],
    bytes: Vec<u8>,
    summary: &'a mut Summary,
}

impl StreamWriter<'_> {
    fn write(&mut self, item: &Item) {
        let index = match item.what {
            What::Correction(index) => {
                self.bytes.extend_from_slice(&self.late[index].line);
                TYPES.len() - 1
            }
            What::Message { territory, record, received, body } => {
                let zone = &self.country.territories[usize::from(territory)].zone;
                let offset_minutes = zone.offset_minutes(received * 1_000_000);
                let at = Stamp { second: received, offset_minutes };
                lines::message(&mut self.bytes, self.country, record, at, body);
                type_index(body)
            }
        };
        self.summary.types[index].1 += 1;
        self.summary.events += 1;
    }

    fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

/// The index of a message's type in [`TYPES`].
fn type_index(body: Body) -> usize {
    match body {
        Body::Fact { .. } => 0,
        Body::Sms(_) => 1,
        Body::Survey(_) => 2,
        Body::Form { form: Form::Kiosk, .. } => 3,
        Body::Form { form: Form::Epgu, .. } => 4,
        Body::Form { form: Form::Site, .. } => 5,
        Body::Answer => 6,
        Body::Retract(_) => 7,
    }
}
