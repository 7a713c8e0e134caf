//! The stages of a rating's way, each by itself, so that a regression names its place.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dataflows::calendar::Day;
use dataflows::domain::Turn;
use dataflows::graph::Base;
use otklik::engine::{self, Batch};
use otklik::event::Event;
use otklik::generate::{Params, generate};
use otklik::log::FrameBuilder;
use otklik::rules::Rules;
use otklik::views::row_json::write_row;
use otklik::{gather, world};

const EVENTS: u64 = 100_000;

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

    let rows = dataflow(&reference, &events, 1);
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

criterion_group!(benches, stages);
criterion_main!(benches);
