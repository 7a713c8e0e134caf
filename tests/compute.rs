//! `otklik compute` knows from the beginning which hour it will be at the end: its rows are those of
//! a dataflow that is told so only then.

#[path = "common/histories.rs"]
mod histories;

use std::path::Path;

use dataflows::calendar::Day;
use dataflows::domain::Turn;
use dataflows::graph::Base;
use dataflows::views::{Key, Row, View};
use histories::History;
use otklik::compute::{compute, write_views};
use otklik::engine::{self, Batch};
use otklik::event::Event;
use otklik::gather::{ByView, collect};
use otklik::generate::{Params, generate};
use otklik::rules::Rules;
use otklik::views::row_json::write_row;
use otklik::world;

fn computed(text: &str, as_of: Day, rules: &Rules) -> ByView {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("writes");
    compute(&[file.path().to_owned()], as_of, 2, rules, false).expect("computes").rows
}

fn told_at_the_end(text: &str, as_of: Day, rules: &Rules) -> ByView {
    let (mut feed, results) = engine::start(2, rules, Base::default());
    let collector = std::thread::spawn(move || collect(results));
    let event = |line: &str| Event::parse(line.as_bytes()).expect("valid").input();
    feed.batch(Turn::only(0), Batch::Inputs(text.lines().map(event).collect()));
    feed.close(1);
    feed.tell(world::hour_of(as_of, world::world()));
    feed.close(2);
    drop(feed);
    collector.join().expect("a panic ends the process")
}

fn generated() -> (String, Day) {
    let day = |year| Day::new(year, 1, 1).expect("the first of January");
    let params = Params { events: 5000, seed: 3, from: day(2016), until: day(2019) };
    let (mut text, mut events) = (Vec::new(), Vec::new());
    generate(&params, &mut text, &mut events, &mut |_| ()).expect("in memory");
    text.append(&mut events);
    // So that some clocks run still.
    (String::from_utf8(text).expect("UTF-8"), day(2018))
}

#[test]
fn rows_are_those_of_an_hour_told_at_the_end() {
    let (text, as_of) = generated();
    let rules = Rules::default();
    let rows = computed(&text, as_of, &rules);
    assert!(rows.clone().into_views().all(|(_, rows)| rows.is_sorted()), "in their order");
    assert_eq!(rows, told_at_the_end(&text, as_of, &rules));
    let deadlines = rows.iter().filter(|row| row.key().view == View::Deadlines);
    assert!(deadlines.count() > 1000);
    for seed in 0..60 {
        let history = History::new(seed);
        let of = history.as_of;
        let as_of = Day::new(of.year().into(), of.month() as u32, of.day() as u32).expect("valid");
        let (text, rules) = (history.lines().join("\n"), &history.rules);
        let rows = computed(&text, as_of, rules);
        assert_eq!(rows, told_at_the_end(&text, as_of, rules), "seed {seed}");
    }
}

#[test]
fn files_have_the_rows_of_their_view_in_the_order_of_keys() {
    let (text, as_of) = generated();
    let computed = computed(&text, as_of, &Rules::default());
    let mut rows: Vec<Row> = computed.iter().cloned().collect();
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(write_views(directory.path(), computed).expect("writes"), rows.len());
    rows.sort_by_key(Row::key);
    for of_view in rows.chunk_by(|one, other| one.key().view == other.key().view) {
        let mut expected = Vec::new();
        for row in of_view {
            write_row(row, &mut expected);
            expected.push(b'\n');
        }
        let Key { view, .. } = of_view[0].key();
        let path = directory.path().join(Path::new(view.name()).with_extension("ndjson"));
        assert!(std::fs::read(path).expect("a file") == expected, "{}", view.name());
    }
}
