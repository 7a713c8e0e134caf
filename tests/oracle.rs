//! Laws that the recomputation itself obeys, over random histories.

#[path = "common/histories.rs"]
mod histories;

use dataflows::calendar::Hour;
use histories::{Epoch, History};
use jiff::tz::Offset;
use otklik::event::Event;
use otklik::rules::Rules;
use otklik::verify::{Recomputation, Views, compare};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

const HISTORIES: u64 = 300;

fn recomputed(rules: &Rules, epochs: &[Epoch]) -> Views {
    let mut recomputation = Recomputation::new(rules.clone());
    for epoch in epochs {
        for line in &epoch.lines {
            recomputation.apply(&Event::parse(line.as_bytes()).expect("histories are valid"));
        }
        if let Some(hour) = epoch.clock {
            recomputation.apply(&Event::Clock(Hour(hour)));
        }
        recomputation.close_epoch();
    }
    recomputation.views()
}

/// The history as one epoch at its end, midnight in Moscow.
fn at_once(lines: Vec<String>, history: &History) -> [Epoch; 1] {
    let midnight = Offset::constant(3).to_timestamp(history.as_of.at(0, 0, 0, 0));
    let clock = midnight.expect("in this century").as_second() / 3600;
    [Epoch { lines, clock: Some(clock) }]
}

fn count(views: &Views, column: &str) -> u64 {
    views["conservation"].values().filter_map(|row| row[column].as_u64()).sum()
}

/// Nothing disappears (order-120 § 2).
#[test]
fn every_message_has_one_verdict() {
    for seed in 0..HISTORIES {
        let history = History::new(seed);
        let views = recomputed(&history.rules, &history.epochs);
        let verdicts = ["counted", "apart", "pending", "refused", "duplicate", "retracted"];
        let sum: u64 = verdicts.iter().map(|verdict| count(&views, verdict)).sum();
        assert_eq!(sum, count(&views, "accepted"), "seed {seed}");
    }
}

/// D2, and the contract's "every figure is as if it had been so from the start": messages may come
/// in any order, and every one of them twice.
#[test]
fn order_and_repeats_change_no_figure() {
    for seed in 0..HISTORIES {
        let history = History::new(seed);
        let is_message = |line: &String| line.contains("\"record\":");
        let (mut messages, reference): (Vec<_>, Vec<_>) =
            history.lines().into_iter().partition(is_message);
        let once = [reference.clone(), messages.clone()].concat();
        let once = recomputed(&history.rules, &at_once(once, &history));
        messages.extend(messages.clone());
        messages.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let twice = [messages, reference].concat();
        let mut twice = recomputed(&history.rules, &at_once(twice, &history));
        let repeats = count(&twice, "duplicate") - count(&once, "duplicate");
        assert_eq!(repeats, count(&once, "accepted"), "seed {seed}");
        twice.insert("conservation", once["conservation"].clone());
        let differences = compare(&once, &twice);
        assert!(differences.is_empty(), "seed {seed}\n{differences}");
    }
}

/// D10: the sample grows along the log, every other figure is a function of its end.
#[test]
fn only_the_sample_has_a_history() {
    let mut grown = 0;
    for seed in 0..HISTORIES {
        let history = History::new(seed);
        let followed = recomputed(&history.rules, &history.epochs);
        let mut at_once = recomputed(&history.rules, &at_once(history.lines(), &history));
        let key = |views: &Views| views["survey_sample"].keys().cloned().collect::<Vec<_>>();
        grown += u32::from(key(&followed) != key(&at_once));
        for view in ["survey_sample", "survey_lists", "deadlines"] {
            at_once.insert(view, followed[view].clone());
        }
        let differences = compare(&at_once, &followed);
        assert!(differences.is_empty(), "seed {seed}\n{differences}");
    }
    assert!(grown > 0, "some history must have drawn what its end would not");
}
