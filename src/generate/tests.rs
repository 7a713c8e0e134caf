//! The shape of generated data, and that its bytes stay.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::calendar::Moment;

use super::*;
use crate::event::Event;

fn params(events: u64, seed: u64) -> Params {
    let day = |text: &str| parse_day(text.as_bytes()).expect("a date");
    Params { events, seed, from: day("2017-01-01"), until: day("2019-01-01") }
}

/// `(reference, events, summary)`.
fn generated(params: Params) -> (Vec<u8>, Vec<u8>, Summary) {
    let (mut reference, mut events) = (Vec::new(), Vec::new());
    let summary = generate(&params, &mut reference, &mut events, &mut |_| {}).expect("to memory");
    (reference, events, summary)
}

fn parsed(bytes: &[u8]) -> Vec<Event<'_>> {
    let lines = bytes.strip_suffix(b"\n").expect("lines end").split(|&byte| byte == b'\n');
    lines
        .map(|line| {
            let text = String::from_utf8_lossy(line);
            Event::parse(line).unwrap_or_else(|refusal| panic!("{refusal}: {text}"))
        })
        .collect()
}

fn received(event: &Event<'_>) -> Option<Moment> {
    match event {
        Event::Fact(f) => Some(f.received_at),
        Event::Sms(s) => Some(s.received_at),
        Event::Survey(s) => Some(s.received_at),
        Event::Form(f) => Some(f.received_at),
        Event::Answer(a) => Some(a.answered_at),
        Event::Retract(r) => Some(r.received_at),
        _ => None,
    }
}

/// Whoever changes a byte of generated data changes what benches and demos are compared on.
#[test]
fn bytes_are_those_of_the_seed() {
    let (reference, events, _) = generated(params(2000, 1));
    let found = (crc32fast::hash(&reference), crc32fast::hash(&events));
    assert_eq!(found, (2613223028, 2084966816), "golden sums of 2,000 events of seed 1");
    assert_eq!(generated(params(2000, 1)).1, events);
    assert_ne!(generated(params(2000, 2)).1, events);
}

#[test]
fn there_are_as_many_events_as_asked_for() {
    for events in [0, 1, 2, 3, 10, 499, 500, 1000, 1234, 20_000] {
        let (reference, bytes, summary) = generated(params(events, 3));
        assert_eq!(bytes.iter().filter(|&&b| b == b'\n').count() as u64, events);
        assert_eq!(summary.events, events);
        assert_eq!(summary.types.iter().map(|(_, count)| count).sum::<u64>(), events);
        assert_eq!(parsed(&reference).len() as u64, summary.reference);
    }
}

#[test]
fn a_day_is_enough() {
    let from = parse_day(b"2018-03-08").expect("a holiday");
    let (_, events, _) = generated(Params { events: 5000, seed: 1, from, until: Day(from.0 + 1) });
    let days: BTreeSet<Day> =
        parsed(&events).iter().filter_map(received).map(|m| m.day()).collect();
    assert_eq!(days, BTreeSet::from([from]));
}

#[test]
fn a_span_that_is_none_is_refused() {
    let backwards = Params { until: Day(0), ..params(1, 1) };
    let error = generate(&backwards, &mut Vec::new(), &mut Vec::new(), &mut |_| {});
    assert_eq!(error.expect_err("refused").kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_refused_span_leaves_the_files_of_an_earlier_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let Params { events, seed, from, until } = params(10, 1);
    let args = GenerateArgs { events, seed, from, until, out: directory.path().to_owned() };
    run(&args).expect("generated");
    assert!(run(&GenerateArgs { until: from, ..args }).is_err());
    let events = std::fs::read(directory.path().join("events.ndjson")).expect("still there");
    assert_eq!(parsed(&events).len(), 10);
}

#[test]
fn the_mix_is_that_of_the_system() {
    let (_, _, summary) = generated(params(100_000, 1));
    let bounds = [
        ("fact", 53_000..57_000),
        ("sms", 18_500..21_500),
        ("survey", 3_300..4_700),
        ("kiosk", 11_000..13_000),
        ("epgu", 5_300..6_700),
        ("site", 1_600..2_400),
        ("answer", 1_000..2_200),
        ("retract", 60..140),
        ("corrections", 30..50),
    ];
    for ((name, count), (expected, bounds)) in summary.types.into_iter().zip(bounds) {
        assert_eq!(name, expected);
        assert!(bounds.contains(&count), "{count} of {name} in 100,000");
    }
}

#[test]
fn replies_are_mostly_digits_and_mostly_good() {
    let (_, events, _) = generated(params(100_000, 1));
    let mut digits: BTreeMap<&str, u64> = BTreeMap::new();
    let events = parsed(&events);
    for event in &events {
        if let Event::Sms(sms) = event {
            let text = sms.text.trim();
            *digits
                .entry(if "1 2 3 4 5".split(' ').any(|d| d == text) { text } else { "odd" })
                .or_default() += 1;
        }
    }
    let total: u64 = digits.values().sum();
    let good = digits["4"] + digits["5"];
    assert!((10..=20).contains(&(digits["odd"] * 1000 / total)), "{digits:?}");
    assert!((900..=980).contains(&(good * 1000 / (total - digits["odd"]))), "{digits:?}");
}

#[test]
fn lines_stand_in_the_order_of_receipt_but_for_a_few() {
    let (_, events, _) = generated(params(50_000, 1));
    let times: Vec<i64> = parsed(&events).iter().filter_map(received).map(Moment::micros).collect();
    let mut latest = i64::MIN;
    let mut late = 0;
    for &time in &times {
        late += usize::from(time < latest);
        latest = latest.max(time);
    }
    // 0.4 % late and 0.5 % sent again.
    assert!((times.len() / 200..times.len() / 75).contains(&late), "{late} of {}", times.len());
}

/// Every office of the stream is in the reference data or entered later; so is every service.
#[test]
fn the_stream_speaks_of_what_there_is() {
    let (reference, events, _) = generated(params(50_000, 1));
    let (reference, events) = (parsed(&reference), parsed(&events));
    let named = |rows: &[Event<'_>]| {
        let mut units = BTreeSet::new();
        let mut services = BTreeSet::new();
        for row in rows {
            match row {
                Event::Unit(u) => drop(units.insert(u.id.to_string())),
                Event::Service(s) => drop(services.insert(s.id.to_string())),
                _ => {}
            }
        }
        (units, services)
    };
    let (told, told_services) = named(&reference);
    let (mut units, mut services) = named(&events);
    assert!(units.difference(&told).count() > 0, "an office is entered late");
    assert!(services.difference(&told_services).count() > 0, "a service is entered late");
    units.extend(told);
    services.extend(told_services);
    for event in &events {
        if let Event::Fact(fact) = event {
            assert!(units.contains(&*fact.unit) && services.contains(&*fact.service));
            assert!(fact.mfc.as_ref().is_none_or(|mfc| units.contains(&**mfc)));
            assert!(fact.provided_on <= fact.received_at.day());
        }
    }
    let removed = events.iter().filter(|event| matches!(event, Event::Remove(_))).count();
    let tenures = events.iter().filter(|event| matches!(event, Event::Tenure(_))).count();
    assert!(removed > 0 && tenures > 0);
}
