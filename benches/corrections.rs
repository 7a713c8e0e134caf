//! How long a correction takes until the new figures are out, with a history behind it.
//!
//! ```sh
//! otklik generate --events 10000000 --seed 1 --out DIR
//! cargo run --release --example corrections -- DIR 1
//! ```
//!
//! Feeds the files of `generate` to the dataflow of so many workers, with one unit more where 100
//! thousand cells are (a rating each day at each of 140 services), then enters one correction after
//! the other, each an epoch of its own and each twenty times, mostly there and back. Prints the median and the
//! greatest time from handing it over until all rows are out, in milliseconds, and how many rows
//! changed.

use std::fmt::Write;
use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use dataflows::calendar::Day;
use dataflows::domain::{Epoch, Turn};
use dataflows::graph::Base;
use otklik::engine::{self, Batch, Feed, Results};
use otklik::event::Event;
use otklik::rules::Rules;
use otklik::world;
use serde_json::Value;

/// The unit with 100 thousand cells.
const LARGE: &str = "large";
const SERVICES: u32 = 140;
const DAYS: i32 = 720;
/// The first record of its ratings: none of the generated ones.
const RECORDS: u64 = 90_000_000_000;
const TIMES: usize = 20;
const EPOCH_EVENTS: usize = 100_000;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().context("the first argument is a directory of generate")?;
    let workers = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let (feed, results) = engine::start(workers, &Rules::default(), Base::default());
    let mut node = Node { feed, results, taken: 0, epoch: 1 };

    let reference =
        lines(Path::new(&directory), "reference.ndjson")?.collect::<Result<Vec<_>, _>>()?;
    let known: Vec<Value> =
        reference.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?;
    let of = |kind: &str| known.iter().filter(|row| row["type"] == kind).collect::<Vec<_>>();
    let territorial: Vec<&Value> =
        of("unit").into_iter().filter(|unit| unit["kind"] == "territorial").collect();
    let [first, .., last] = territorial[..] else { bail!("too few units") };
    let large = |parent: &Value| {
        format!(
            r#"{{"type":"unit","id":"{LARGE}","kind":"subdivision","agency":{},"parent":{},"region":{},"name":"Large"}}"#,
            parent["agency"], parent["id"], parent["region"],
        )
    };
    node.enter(reference.iter().map(String::as_str).chain([large(first).as_str()]))?;
    node.enter((0..SERVICES).map(service(true)).collect::<Vec<_>>().iter().map(String::as_str))?;

    let started = Instant::now();
    let (mut events, mut batch) = (0, Vec::with_capacity(EPOCH_EVENTS));
    // A record that an SMS has rated early in the history, and a survey will replace.
    let mut replied = None;
    for line in lines(Path::new(&directory), "events.ndjson")? {
        let line = line?;
        if replied.is_none() && events > EPOCH_EVENTS && line.contains(r#""type":"sms""#) {
            replied = serde_json::from_str::<Value>(&line)?["record"].as_u64();
        }
        events += 1;
        batch.push(line);
        if batch.len() == EPOCH_EVENTS {
            node.enter(std::mem::take(&mut batch).iter().map(String::as_str))?;
        }
    }
    node.enter(batch.iter().map(String::as_str))?;
    for day in 0..DAYS {
        let ratings: Vec<String> = (0..SERVICES).map(|number| rating(day, number)).collect();
        node.enter(ratings.iter().map(String::as_str))?;
    }
    node.feed.tell(world::hour_of(Day::new(2019, 1, 1).context("a date")?, world::world()));
    node.close();
    println!(
        "{events} events and {} of the large unit in {:.1} s; {workers} workers\n",
        i64::from(DAYS) * i64::from(SERVICES),
        started.elapsed().as_secs_f64()
    );

    let tenures = of("tenure");
    let tenure = tenures.get(tenures.len() / 2).context("no tenures")?;
    let tenure = |from: &str| {
        let mut row = (*tenure).clone();
        row["from"] = from.into();
        row.to_string()
    };
    let record = replied.context("no SMS")?;
    let survey = |time: usize| {
        let score = 1 + time % 5;
        format!(
            r#"{{"type":"survey","record":{record},"outcome":"completed","scores":{{"1":{score}}},"received_at":"2018-12-31T12:00:{time:02}+03:00"}}"#
        )
    };
    println!("| correction | median, ms | most, ms | rows changed |\n|---|---:|---:|---:|");
    node.measure("a tenure begins at another day", |time| {
        vec![tenure(["2016-02-01", "2016-03-01"][time % 2])]
    })?;
    node.measure("a unit of 100 thousand cells under another parent", |time| {
        vec![large([last, first][time % 2])]
    })?;
    node.measure("a service (of 720 cells) is not listed, and is again", |time| {
        vec![service(time % 2 == 1)(7)]
    })?;
    let services = of("service");
    let generated = services.first().context("no services")?;
    node.measure("a service of the history is not listed, and is again", |time| {
        let mut row = (*generated).clone();
        row["listed"] = (time % 2 == 1).into();
        vec![row.to_string()]
    })?;
    node.measure("a survey replaces an SMS of long ago, or a survey before it", |time| {
        vec![survey(time)]
    })?;
    Ok(())
}

fn lines(
    directory: &Path,
    name: &str,
) -> anyhow::Result<impl Iterator<Item = std::io::Result<String>>> {
    let path = directory.join(name);
    let file = std::fs::File::open(&path).with_context(|| path.display().to_string())?;
    Ok(std::io::BufReader::with_capacity(1 << 20, file).lines())
}

/// A service of the large unit, listed or not.
fn service(listed: bool) -> impl Fn(u32) -> String {
    move |number| {
        format!(
            r#"{{"type":"service","id":"large-{number}","agency":"10000001001","name":"Service {number}","listed":{listed}}}"#
        )
    }
}

/// The kiosk rating of a day at a service of the large unit.
fn rating(day: i32, number: u32) -> String {
    let first = Day::new(2017, 1, 1).expect("a date");
    let day_text = Day(first.0 + day).to_string();
    let record = RECORDS + u64::from(day.unsigned_abs()) * u64::from(SERVICES) + u64::from(number);
    let mut line = String::new();
    write!(
        line,
        r#"{{"type":"kiosk","record":{record},"unit":"{LARGE}","service":"large-{number}","provided_on":"{day_text}","scores":{{"1":5,"2":4,"3":3,"4":5,"5":4}},"received_at":"{day_text}T12:00:00+03:00","vendor":"large"}}"#
    )
    .expect("a text takes all");
    line
}

struct Node {
    feed: Feed,
    results: Results,
    taken: u64,
    epoch: Epoch,
}

impl Node {
    /// Takes events in as an epoch of their own; yields how many rows changed.
    fn enter<'a>(&mut self, lines: impl Iterator<Item = &'a str>) -> anyhow::Result<usize> {
        let inputs = lines.map(|line| match Event::parse(line.as_bytes()) {
            Ok(event) => Ok(event.input()),
            Err(refusal) => bail!("{refusal}: {line}"),
        });
        let inputs = inputs.collect::<anyhow::Result<Vec<_>>>()?;
        let turn = Turn::only(self.taken);
        self.taken += inputs.len() as u64;
        self.feed.batch(turn, Batch::Inputs(inputs));
        Ok(self.close())
    }

    fn close(&mut self) -> usize {
        self.epoch += 1;
        self.feed.close(self.epoch);
        let mut changes = 0;
        loop {
            let closed = self.results.next_closed().expect("the feed is open");
            let upper = closed.upper;
            changes += closed.changes().len();
            if upper == self.epoch {
                return changes;
            }
        }
    }

    /// Enters a correction, and takes it back, again and again.
    fn measure(&mut self, name: &str, lines: impl Fn(usize) -> Vec<String>) -> anyhow::Result<()> {
        let (mut times, mut most) = (Vec::new(), 0);
        for time in 0..TIMES {
            let lines = lines(time);
            let started = Instant::now();
            most = most.max(self.enter(lines.iter().map(String::as_str))?);
            times.push(started.elapsed());
        }
        times.sort_unstable();
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        println!("| {name} | {:.1} | {:.1} | {most} |", ms(times[TIMES / 2]), ms(times[TIMES - 1]));
        Ok(())
    }
}
