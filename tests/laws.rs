//! The dataflow against the recomputation that shares no code with it, over random histories:
//! every row and column, for any number of workers, any batching and any order of arrival.

#[path = "common/cases.rs"]
mod cases;
#[path = "common/histories.rs"]
mod histories;

use std::collections::BTreeMap;

use dataflows::calendar::Hour;
use dataflows::domain::{Input, Turn};
use dataflows::graph::Base;
use dataflows::views::{Row, View};
use differential_dataflow::consolidation::consolidate;
use histories::{Epoch, History};
use otklik::engine::{self, Batch};
use otklik::event::Event;
use otklik::rules::Rules;
use otklik::verify::{Recomputation, Views, compare, dataflow_views};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Histories of the gate; `OTKLIK_HISTORIES` asks for more.
fn histories() -> std::ops::Range<u64> {
    let asked = std::env::var("OTKLIK_HISTORIES").ok().and_then(|count| count.parse().ok());
    0..asked.unwrap_or(120)
}

fn events(epochs: &[Epoch]) -> Vec<(u64, Event<'_>)> {
    let mut events = Vec::new();
    for (number, epoch) in (1..).zip(epochs) {
        events.extend(epoch.lines.iter().map(|line| {
            let event = Event::parse(line.as_bytes()).expect("histories are valid");
            (number, event)
        }));
        events.extend(epoch.clock.map(|hour| (number, Event::Clock(Hour(hour)))));
    }
    events
}

fn recomputed(rules: &Rules, events: &[(u64, Event<'_>)]) -> Views {
    let mut recomputation = Recomputation::new(rules.clone());
    let mut open = 0;
    for (epoch, event) in events {
        if *epoch > open {
            recomputation.close_epoch();
            open = *epoch;
        }
        recomputation.apply(event);
    }
    recomputation.close_epoch();
    recomputation.views()
}

/// Incremental is recomputed, for 1, 2 and 4 workers.
#[test]
fn the_dataflow_is_the_recomputation() {
    for seed in histories() {
        let history = History::new(seed);
        let events = events(&history.epochs);
        let expected = recomputed(&history.rules, &events);
        for workers in [1, 2, 4] {
            let actual = dataflow_views(&history.rules, workers, events.clone());
            let differences = compare(&expected, &actual);
            assert!(differences.is_empty(), "seed {seed}, {workers} workers\n{differences}");
        }
    }
}

/// With a horizon too: what closes when, what then comes too late, and what stays.
#[test]
fn a_horizon_closes_the_same_records_for_both() {
    for seed in histories() {
        let history = History::with_horizon(seed);
        let events = events(&history.epochs);
        let expected = recomputed(&history.rules, &events);
        for workers in [1, 2] {
            let actual = dataflow_views(&history.rules, workers, events.clone());
            let differences = compare(&expected, &actual);
            assert!(differences.is_empty(), "seed {seed}, {workers} workers\n{differences}");
        }
    }
}

/// As long as nothing comes later than the horizon, figures are the same as without it. Only the
/// clocks of closed records are gone.
#[test]
fn a_horizon_changes_no_figure_while_nothing_is_late() {
    let (mut in_time, mut closing) = (0, 0);
    for seed in histories() {
        let history = History::with_horizon(seed);
        let events = events(&history.epochs);
        let mut with = dataflow_views(&history.rules, 1, events.clone());
        if with["refused"].values().any(|row| row["code"] == "closed") {
            continue;
        }
        let endless = Rules { horizon_days: 0, ..history.rules.clone() };
        let mut without = dataflow_views(&endless, 1, events);
        let [kept, clocks] =
            [&mut with, &mut without].map(|views| views.remove("deadlines").expect("a view"));
        assert!(kept.iter().all(|(key, row)| clocks.get(key) == Some(row)), "seed {seed}");
        in_time += 1;
        closing += usize::from(kept.len() < clocks.len());
        let differences = compare(&without, &with);
        assert!(differences.is_empty(), "seed {seed}\n{differences}");
    }
    assert!(in_time > 0 && closing > 0, "{in_time} histories in time, in {closing} records closed");
}

fn is_message(event: &Event<'_>) -> bool {
    matches!(event.input(), Input::Message(..))
}

/// Every epoch by itself: the figures at its end are those recomputed of the log so far, nothing
/// disappears, and a row is only ever replaced by another.
#[test]
fn every_epoch_is_the_recomputation_so_far() {
    for seed in histories().step_by(4) {
        let history = History::new(seed);
        let events = events(&history.epochs);
        let (mut feed, mut results) = engine::start(2, &history.rules, Base::default());
        let mut rows: Vec<(Row, isize)> = Vec::new();
        let mut recomputation = Recomputation::new(history.rules.clone());
        for (number, epoch) in events.chunk_by(|(a, _), (b, _)| a == b).enumerate() {
            for (sequence, (_, event)) in epoch.iter().enumerate() {
                recomputation.apply(event);
                let sequence = (number << 20 | sequence) as u64;
                match event.input() {
                    Input::Clock(hour) => feed.tell(hour),
                    input => feed.batch(Turn::only(sequence), Batch::Inputs(vec![input])),
                }
            }
            recomputation.close_epoch();
            let upper = number as u64 + 1;
            feed.close(upper);
            let closed = results.next_closed().expect("the feed is open");
            assert_eq!(closed.upper, upper);
            rows.extend(closed.changes());
            consolidate(&mut rows);
            assert!(rows.iter().all(|(_, count)| *count == 1), "seed {seed}, epoch {number}");
            conserved(&rows);
            let differences = compare(&recomputation.views(), &as_views(&rows));
            assert!(differences.is_empty(), "seed {seed}, epoch {number}\n{differences}");
        }
    }
}

/// Nothing disappears (order-120 § 2): the six add up.
fn conserved(rows: &[(Row, isize)]) {
    let sums = rows.iter().find_map(|(row, _)| match row {
        Row::Conservation(sums) => Some(**sums),
        _ => None,
    });
    let c = sums.expect("the row of conservation is always there");
    let parts = c.counted + c.apart + c.pending + c.refused + c.duplicate + c.retracted;
    assert_eq!(c.accepted, parts, "{c:?}");
}

fn as_views(rows: &[(Row, isize)]) -> Views {
    let mut views: Views = View::ALL.iter().map(|view| (view.name(), BTreeMap::new())).collect();
    for (row, _) in rows {
        let mut json = Vec::new();
        otklik::views::row_json::write_row(row, &mut json);
        let json = serde_json::from_slice(&json).expect("a row is an object");
        let view = row.key().view.name();
        views.entry(view).or_default().insert(otklik::verify::key(view, &json), json);
    }
    views.remove("directory");
    views
}

/// Messages may arrive in any order and any batches: the figures at the end are the same.
#[test]
fn the_order_of_arrival_changes_nothing() {
    for seed in histories().step_by(2) {
        let history = History::new(seed);
        let all = events(&history.epochs);
        let clock = all.iter().rev().find(|(_, event)| matches!(event, Event::Clock(_)));
        let (mut messages, rest): (Vec<_>, Vec<_>) = all
            .iter()
            .map(|(_, event)| event.clone())
            .filter(|event| !matches!(event, Event::Clock(_)))
            .partition(is_message);
        let last = messages.len() as u64 + 2;
        let in_order: Vec<_> = rest
            .iter()
            .chain(&messages)
            .map(|event| (1, event.clone()))
            .chain(clock.map(|(_, clock)| (last, clock.clone())))
            .collect();
        let expected = recomputed(&history.rules, &in_order);
        messages.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        // Messages first, one an epoch; what they refer to comes after them.
        let shuffled: Vec<_> = (1..)
            .zip(messages)
            .chain(rest.into_iter().map(|event| (last - 1, event)))
            .chain(clock.map(|(_, clock)| (last, clock.clone())))
            .collect();
        let actual = dataflow_views(&history.rules, 2, shuffled);
        let differences = compare(&expected, &actual);
        assert!(differences.is_empty(), "seed {seed}\n{differences}");
    }
}

/// The cases a lawyer can read hold for the dataflow too.
#[test]
fn every_case_holds_for_the_dataflow() {
    let computed = |rules: &Rules, steps: &[cases::Step]| {
        let mut events = Vec::new();
        for (epoch, step) in (1..).zip(steps) {
            let parsed = step.lines.iter().map(|line| {
                (epoch, Event::parse(line.as_bytes()).expect("cases of the log are valid"))
            });
            events.extend(parsed);
            events.extend(step.clock.map(|hour| (epoch, Event::Clock(Hour(hour)))));
        }
        dataflow_views(rules, 1, events)
    };
    let wrong: Vec<String> =
        cases::all().iter().flat_map(|path| cases::check(path, computed)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
