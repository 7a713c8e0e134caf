//! The stages of a rating's way, each by itself, so that a regression names its place. What each operator of the
//! dataflow takes is told by `operators`, which `scripts/bench` runs too.

use std::collections::BTreeSet;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dataflows::calendar::Day;
use dataflows::domain::Turn;
use dataflows::graph::Base;
use dataflows::views::Row;
use otklik::engine::{self, Batch};
use otklik::event::Event;
use otklik::generate::{Params, generate};
use otklik::log::{FrameBuilder, Options, Reader, Writer};
use otklik::rules::Rules;
use otklik::views::row_json::write_row;
use otklik::views::{Bounds, Served};
use otklik::{gather, world};

const EVENTS: u64 = 100_000;
/// Events of a frame of the log.
const FRAME: usize = 1_000;
/// What so many events change is published at once.
const PUBLISHED: usize = 750;

/// Generated reference data and events, as text.
fn data() -> (Vec<u8>, Vec<u8>) {
    let day = |year| Day::new(year, 1, 1).expect("the first of January");
    let params = Params { events: EVENTS, seed: 1, from: day(2017), until: day(2019) };
    let (mut reference, mut events) = (Vec::new(), Vec::new());
    generate(&params, &mut reference, &mut events, &mut |_| ()).expect("in memory");
    (reference, events)
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect()
}

/// The views of the data, through the whole dataflow, as one epoch.
fn dataflow(reference: &[u8], events: &[u8], workers: usize) -> gather::ByView {
    let (mut feed, results) = engine::start(workers, &Rules::default(), Base::default());
    let collector = std::thread::spawn(move || gather::collect(results));
    let mut sequence = 0;
    for text in [reference, events] {
        let event = |line| Event::parse(line).expect("generated events are valid");
        let inputs: Vec<_> = lines(text).into_iter().map(|line| event(line).input()).collect();
        let turn = Turn::only(sequence);
        sequence += inputs.len() as u64;
        feed.batch(turn, Batch::Inputs(inputs));
    }
    let as_of = Day::new(2019, 1, 1).expect("the first of January");
    feed.tell(world::hour_of(as_of, world::world()));
    feed.close(1);
    drop(feed);
    collector.join().expect("a panic ends the process")
}

fn stages(criterion: &mut Criterion) {
    let (reference, events) = data();
    let lines = lines(&events);
    let parsed: Vec<Event<'_>> =
        lines.iter().map(|line| Event::parse(line).expect("generated events are valid")).collect();

    let mut group = criterion.benchmark_group("stages");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(10);
    group.bench_function("parse", |bench| {
        bench.iter(|| lines.iter().filter(|line| Event::parse(black_box(line)).is_ok()).count());
    });
    group.bench_function("encode for the log", |bench| {
        bench.iter_batched_ref(
            FrameBuilder::new,
            |frame| parsed.iter().for_each(|event| frame.push(event).expect("fits a frame")),
            BatchSize::LargeInput,
        );
    });
    let directory = tempfile::tempdir().expect("a directory");
    let opened = Writer::open(directory.path(), Options::default(), None, |_, _| ());
    let (mut log, _) = opened.expect("an empty directory");
    let mut frame = FrameBuilder::new();
    for (epoch, events) in parsed.chunks(FRAME).enumerate() {
        frame.clear();
        events.iter().for_each(|event| frame.push(event).expect("fits a frame"));
        log.append(epoch as u64, &mut frame).expect("room on the disk");
    }
    let end = log.position();
    group.bench_function("read from the log", |bench| {
        bench.iter(|| {
            let mut reader = Reader::open(directory.path()).expect("just written");
            let mut events = 0;
            while let Some(frame) = reader.next_frame(end).expect("sound") {
                events += frame.events().filter(|event| black_box(event).is_ok()).count();
            }
            events
        });
    });
    group.bench_function("into the dataflow's types", |bench| {
        bench.iter(|| {
            for event in &parsed {
                black_box(event.input());
            }
        });
    });
    group.bench_function("dataflow, 1 worker, parsing included", |bench| {
        bench.iter(|| dataflow(&reference, &events, 1).iter().count());
    });
    group.finish();

    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Elements(FRAME as u64)).sample_size(10);
    group.bench_function("append a frame, durably", |bench| {
        bench.iter(|| log.append(EVENTS, &mut frame).expect("room on the disk"));
    });
    group.finish();

    let rows = dataflow(&reference, &events, 1);
    let earlier: usize = lines[..lines.len() - PUBLISHED].iter().map(|line| line.len() + 1).sum();
    publish(criterion, &dataflow(&reference, &events[..earlier], 1), &rows);
    let mut group = criterion.benchmark_group("rows");
    group.throughput(Throughput::Elements(rows.iter().count() as u64)).sample_size(10);
    group.bench_function("as JSON", |bench| {
        let mut out = Vec::new();
        bench.iter(|| {
            out.clear();
            rows.iter().for_each(|row| write_row(row, &mut out));
            out.len()
        });
    });
    group.finish();
}

/// What differs between two states comes and goes, beside all else that is held.
fn publish(criterion: &mut Criterion, earlier: &gather::ByView, later: &gather::ByView) {
    let [earlier, later] = [earlier, later].map(|rows| rows.iter().collect::<BTreeSet<&Row>>());
    let between = |before: &BTreeSet<&Row>, after: &BTreeSet<&Row>| -> Vec<(Row, i64)> {
        let gone = before.difference(after).map(|row| ((*row).clone(), -1));
        let come = after.difference(before).map(|row| ((*row).clone(), 1));
        gone.chain(come).collect()
    };
    let (on, back) = (between(&earlier, &later), between(&later, &earlier));
    let directory = tempfile::tempdir().expect("a directory");
    let bounds = Bounds { changes_max: 1 << 18, epochs_max: u64::MAX };
    let served = Served::keep(directory.path(), 1 << 26, bounds);
    let mut upper = 1;
    served.replace(upper, earlier.into_iter().map(|row| (row.clone(), 1)).collect::<Vec<_>>());
    let mut group = criterion.benchmark_group("views");
    group.throughput(Throughput::Elements(2 * on.len() as u64)).sample_size(10);
    group.bench_function("publish what 750 events change, and that it was otherwise", |bench| {
        bench.iter_batched(
            || [on.clone(), back.clone()],
            |both| {
                for changes in both {
                    upper += 1;
                    served.apply(upper, changes);
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
