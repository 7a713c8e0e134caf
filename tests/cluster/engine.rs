//! The dataflow of several processes, in one: random histories, each event at any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::thread;

use dataflows::calendar::Hour;
use dataflows::domain::{Epoch, Turn};
use dataflows::graph::Base;
use dataflows::views::Row;
use otklik::engine::{self, Batch, Feed, Results};
use otklik::event::Event;
use otklik::gather::{ByView, collect};
use otklik::rules::Rules;
use otklik::verify::{VIEWS, Views, key};
use otklik::views::row_json::write_row;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cases::{self, Step};
use crate::histories::History;

/// An event: where it is in the order, and at which process it enters.
struct Entering {
    epoch: Epoch,
    process: usize,
    line: String,
}

/// The history's events spread over processes, and its hours.
fn spread(history: &History, processes: usize, seed: u64) -> (Vec<Entering>, Vec<(Epoch, Hour)>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut events, mut hours) = (Vec::new(), Vec::new());
    for (epoch, one) in history.epochs.iter().enumerate() {
        let epoch = 1 + epoch as u64;
        for line in &one.lines {
            let process = random.random_range(0..processes);
            events.push(Entering { epoch, process, line: line.clone() });
        }
        hours.extend(one.clock.map(|hour| (epoch, Hour(hour))));
    }
    // The order in which a cluster takes them: it decides which of two rows of reference data holds.
    events.sort_by_key(|event| (event.epoch, event.process));
    (events, hours)
}

/// Feeds one process its part, as its worker does: epochs taken together up to each hour, and
/// differently at each process.
fn feed(
    mut feed: Feed,
    process: Option<usize>,
    events: &[Entering],
    hours: &[(Epoch, Hour)],
    seed: u64,
) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut open = 0;
    let mut close = |feed: &mut Feed, epoch: Epoch| {
        if epoch > open {
            feed.close(epoch);
            open = epoch;
        }
    };
    let last = events.last().map_or(0, |event| event.epoch).max(hours.last().map_or(0, |h| h.0));
    let stops = hours.iter().map(|(epoch, hour)| (*epoch, Some(*hour))).chain([(last, None)]);
    let mut number = 0;
    let mut taken = 0;
    for (stop, hour) in stops {
        while let Some(event) = events.get(taken).filter(|event| event.epoch <= stop) {
            taken += 1;
            number += 1;
            if process.is_some_and(|process| process != event.process) {
                continue;
            }
            if random.random_range(0..3) == 0 {
                close(&mut feed, event.epoch);
            }
            let turn = Turn { epoch: event.epoch, log: event.process as u64, number };
            let input = Event::parse(event.line.as_bytes()).expect("valid").input();
            feed.batch(turn, Batch::Inputs(vec![input]));
        }
        close(&mut feed, stop);
        if let Some(hour) = hour
            && process.unwrap_or(0) == 0
        {
            feed.tell(hour);
        }
        close(&mut feed, stop + 1);
    }
}

fn json(row: &Row) -> String {
    let mut json = Vec::new();
    write_row(row, &mut json);
    String::from_utf8(json).expect("text")
}

fn rows(results: Results) -> BTreeSet<String> {
    let named = |row: &Row| format!("{:?} {}", row.key().view, json(row));
    collect(results).iter().map(named).collect()
}

/// A connection between every two processes.
fn sockets(processes: usize) -> Vec<Vec<Option<UnixStream>>> {
    let mut all: Vec<Vec<Option<UnixStream>>> = Vec::new();
    for _ in 0..processes {
        // To those before, of each of which it is the next; and none to itself.
        let mut sockets = Vec::new();
        for other in &mut all {
            let (here, there) = UnixStream::pair().expect("a pair");
            sockets.push(Some(here));
            other.push(Some(there));
        }
        sockets.push(None);
        all.push(sockets);
    }
    all
}

#[test]
fn processes_come_to_what_one_comes_to() {
    let histories: u64 =
        std::env::var("OTKLIK_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    let mut found = 0;
    for seed in 0..histories {
        let history = if seed % 2 == 0 { History::new(seed) } else { History::with_horizon(seed) };
        let (processes, workers) = [(2, 1), (3, 1), (2, 2), (3, 2)][seed as usize % 4];
        let (events, hours) = spread(&history, processes, seed);
        let alone = {
            let (way_in, results) = engine::start(1, &history.rules, Base::default());
            feed(way_in, None, &events, &hours, seed);
            rows(results)
        };
        found += alone.len();
        thread::scope(|scope| {
            let (events, hours, rules) = (&events, &hours, &history.rules);
            let all: Vec<_> = sockets(processes)
                .into_iter()
                .enumerate()
                .map(|(process, sockets)| {
                    scope.spawn(move || {
                        let (way_in, results) =
                            engine::join(process, sockets, workers, rules).expect("connected");
                        let collector = thread::spawn(move || rows(results));
                        feed(way_in, Some(process), events, hours, seed * 7 + process as u64);
                        collector.join().expect("no panic")
                    })
                })
                .collect();
            for (process, there) in all.into_iter().enumerate() {
                let there = there.join().expect("no panic");
                let differing: Vec<_> = alone.symmetric_difference(&there).take(5).collect();
                assert!(differing.is_empty(), "seed {seed}, process {process}: {differing:#?}");
            }
        });
    }
    assert!(found > 50 * histories as usize, "the histories say little: {found} rows");
}

/// The views that the first of two processes comes to, between which the lines of a case alternate.
fn of_two_processes(rules: &Rules, steps: &[Step]) -> Views {
    let (mut events, mut hours, mut epoch) = (Vec::new(), Vec::new(), 0);
    for step in steps {
        for line in &step.lines {
            // Each in an epoch of its own, so that the order of upserts is that of the case.
            epoch += 1;
            let process = (epoch % 2) as usize;
            events.push(Entering { epoch, process, line: line.clone() });
        }
        epoch += 1;
        hours.extend(step.clock.map(|hour| (epoch, Hour(hour))));
    }
    let all: Vec<ByView> = thread::scope(|scope| {
        let (events, hours) = (&events, &hours);
        let all: Vec<_> = sockets(2)
            .into_iter()
            .enumerate()
            .map(|(process, sockets)| {
                scope.spawn(move || {
                    let (way_in, results) =
                        engine::join(process, sockets, 1, rules).expect("connected");
                    let collector = thread::spawn(move || collect(results));
                    feed(way_in, Some(process), events, hours, epoch);
                    collector.join().expect("no panic")
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    let mut views: Views = VIEWS.iter().map(|(view, _)| (*view, BTreeMap::new())).collect();
    for row in all[0].iter() {
        let view = VIEWS.iter().map(|(name, _)| *name).find(|name| *name == row.key().view.name());
        let Some(view) = view else { continue };
        let row = serde_json::from_str(&json(row)).expect("rows are JSON");
        let before = views.entry(view).or_default().insert(key(view, &row), row);
        assert!(before.is_none(), "view {view} has a row twice");
    }
    views
}

#[test]
fn every_case_holds_in_two_processes() {
    let cases = cases::all();
    assert!(!cases.is_empty());
    let wrong: Vec<String> =
        cases.iter().flat_map(|path| cases::check(path, of_two_processes)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
