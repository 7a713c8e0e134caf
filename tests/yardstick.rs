//! The yardstick of `benches/` does the same job as the dataflow: else its speed says nothing.

#[path = "common/histories.rs"]
mod histories;

#[path = "../benches/yardstick/figures.rs"]
mod figures;
#[path = "../benches/yardstick/judge.rs"]
mod judge;
#[path = "../benches/yardstick/offices.rs"]
mod offices;

use std::collections::BTreeSet;

use dataflows::calendar::Day;
use dataflows::views::{Row, View};
use histories::History;
use otklik::compute::compute;
use otklik::event::Event;
use otklik::generate::{Params, generate};
use otklik::rules::{Attribution, Integral, Rules};
use otklik::views::row_json::write_row;

/// The views both compute, as lines.
fn main_views<'a>(rows: impl Iterator<Item = &'a Row>) -> BTreeSet<String> {
    let views = [View::ManagerPeriods, View::Agencies, View::Territories, View::Units];
    let of_views = rows.filter(|row| views.contains(&row.key().view));
    of_views
        .map(|row| {
            let mut json = row.key().view.name().as_bytes().to_vec();
            write_row(row, &mut json);
            String::from_utf8(json).expect("rows are text")
        })
        .collect()
}

fn check(text: &str, as_of: Day, rules: &Rules, name: &str) -> usize {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("writes");
    let computed = compute(&[file.path().to_owned()], as_of, 1, rules, false).expect("computes");
    let mut yardstick = figures::Yardstick::new(rules.clone());
    for line in text.lines() {
        yardstick.take(Event::parse(line.as_bytes()).expect("valid").input());
    }
    let (computed, measured) =
        (main_views(computed.rows.iter()), main_views(yardstick.rows(as_of).iter()));
    let differences: Vec<_> = computed.symmetric_difference(&measured).take(10).collect();
    assert!(differences.is_empty(), "{name}: {differences:#?}");
    measured.len()
}

#[test]
fn the_yardstick_is_the_dataflow_over_histories() {
    let mut rows = 0;
    for seed in 0..60 {
        let history = History::new(seed);
        let of = history.as_of;
        let as_of = Day::new(of.year().into(), of.month() as u32, of.day() as u32).expect("valid");
        let text = history.lines().join("\n");
        rows += check(&text, as_of, &history.rules, &format!("seed {seed}"));
    }
    // Histories have few ids, so few rows each: this says only that there is something to compare.
    assert!(rows > 500, "the histories say little: {rows} rows");
}

#[test]
fn the_yardstick_is_the_dataflow_over_generated_events() {
    let day = |year| Day::new(year, 1, 1).expect("the first of January");
    let params = Params { events: 5000, seed: 3, from: day(2016), until: day(2019) };
    let (mut text, mut events) = (Vec::new(), Vec::new());
    generate(&params, &mut text, &mut events, &mut |_| ()).expect("in memory");
    text.append(&mut events);
    let text = String::from_utf8(text).expect("UTF-8");
    let switched =
        Rules { integral: Integral::All, attribution: Attribution::Provided, ..Rules::default() };
    for rules in [Rules::default(), switched] {
        assert!(check(&text, day(2019), &rules, "generated") > 1000);
    }
}
