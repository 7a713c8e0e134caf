//! Figures explained: every answer about every row of random histories adds up to the row, and is
//! what the recomputation finds, which shares no code with the dataflow; and over HTTP from a node
//! whose worker dies, and that is started again.

#[allow(dead_code, reason = "the tests of the node take the rest of it")]
#[path = "node/fixture.rs"]
mod fixture;
#[path = "common/histories.rs"]
mod histories;

use std::collections::BTreeMap;

use dataflows::ask::{Answer, Ask, Days, Reason, Scope};
use dataflows::calendar::{Day, Hour};
use dataflows::domain::Turn;
use dataflows::graph::Base;
use dataflows::tally::Value;
use dataflows::views::Row;
use differential_dataflow::consolidation::consolidate;
use fixture::{Node, config};
use histories::History;
use jiff::ToSpan;
use jiff::civil::{Date, date};
use otklik::ask;
use otklik::engine::{self, Batch, Feed, News, Results};
use otklik::event::Event;
use otklik::verify::{Recomputation, Span, SpanCounts};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value as Json, json};

/// Histories of the gate; `OTKLIK_HISTORIES` asks for more.
fn histories() -> impl Iterator<Item = (u64, History)> {
    let asked = std::env::var("OTKLIK_HISTORIES").ok().and_then(|count| count.parse().ok());
    (0..asked.unwrap_or(40)).map(|seed| {
        let history = if seed % 3 == 0 { History::with_horizon(seed) } else { History::new(seed) };
        (seed, history)
    })
}

/// A dataflow that has read a whole history.
struct Dataflow {
    feed: Feed,
    results: Results,
    rows: Vec<(Row, isize)>,
    asked: u64,
}

impl Dataflow {
    fn of(history: &History, workers: usize) -> Dataflow {
        let (mut feed, mut results) = engine::start(workers, &history.rules, Base::default());
        let mut rows = Vec::new();
        for (number, epoch) in history.epochs.iter().enumerate() {
            for (sequence, line) in ((number << 20) as u64..).zip(&epoch.lines) {
                let input = parsed(line).input();
                feed.batch(Turn::only(sequence), Batch::Inputs(vec![input]));
            }
            if let Some(hour) = epoch.clock {
                feed.tell(Hour(hour));
            }
            feed.close(number as u64 + 1);
            rows.append(&mut results.next_closed().expect("the feed is open").changes());
        }
        consolidate(&mut rows);
        Dataflow { feed, results, rows, asked: 0 }
    }

    fn ask(&mut self, scope: Scope, id: &str, days: Days, explain: bool) -> Answer {
        self.asked += 1;
        self.feed.ask(self.asked, Ask { scope, id: id.to_owned(), days, explain });
        match self.results.next_news() {
            Some(News::Answer(number, answer)) if number == self.asked => *answer,
            _ => panic!("the question is answered, and nothing else"),
        }
    }
}

fn parsed(line: &str) -> Event<'_> {
    Event::parse(line.as_bytes()).expect("histories are valid")
}

fn recomputation(history: &History) -> Recomputation {
    let mut recomputation = Recomputation::new(history.rules.clone());
    for epoch in &history.epochs {
        epoch.lines.iter().for_each(|line| recomputation.apply(&parsed(line)));
        if let Some(hour) = epoch.clock {
            recomputation.apply(&Event::Clock(Hour(hour)));
        }
        recomputation.close_epoch();
    }
    recomputation
}

/// An answer in the words of the recomputation.
fn counts(answer: &Answer) -> SpanCounts {
    let share = |value: Value| (value.k as u64, value.n as u64);
    let mut counts = SpanCounts::default();
    for (electronic, detail) in [false, true].into_iter().zip(&answer.ratings) {
        for (criterion, channel, value) in detail.crossed(electronic) {
            counts.crossed.insert((usize::from(criterion), channel.of_rating()), share(value));
        }
    }
    let by = |all: &BTreeMap<dataflows::id::Id, Value>| {
        all.iter().map(|(id, value)| (id.to_string(), share(*value))).collect()
    };
    (counts.units, counts.services) = (by(&answer.units), by(&answer.services));
    for (mfc, value) in &answer.mfcs {
        let mfc = mfc.map(|mfc| mfc.to_string()).unwrap_or_default();
        counts.mfcs.insert(mfc, share(*value));
    }
    for (month, value) in &answer.months {
        counts.months.insert(month.to_string(), share(*value));
    }
    let replaced = answer.replaced;
    counts.replaced = [replaced.records, replaced.values, replaced.before, replaced.after]
        .map(|[count]| count as u64);
    for ((reason, channel), count) in &answer.beside {
        let reason = match reason {
            Reason::Pending(reason) => reason.as_str(),
            Reason::NotListed => "not_listed",
            Reason::Lost(code) => code.as_str(),
        };
        counts.beside.insert((reason, channel.of_message()), *count as u64);
    }
    let vacant = answer
        .vacant
        .values()
        .fold((0, 0), |sum, value| (sum.0 + value.k as u64, sum.1 + value.n as u64));
    counts.vacant = [vacant, share(answer.nobodys)];
    counts
}

/// Each list of an explanation has the K and N above it.
fn adds_up(explained: &Map<String, Json>, value: Value) {
    assert_eq!((&explained["k"], &explained["n"]), (&json!(value.k), &json!(value.n)));
    for list in ["criteria", "channels", "crossed", "units", "mfcs", "services", "months"] {
        let items = explained[list].as_array().expect("a list");
        let sum = |name: &str| items.iter().map(|item| item[name].as_i64().expect(name)).sum();
        assert_eq!(Value { k: sum("k"), n: sum("n") }, value, "{list} of {explained:?}");
    }
    let terms = explained["rule"]["terms"].as_object().expect("the terms of the formula");
    let sum = |wanted: fn(&str) -> bool| -> i64 {
        let found = terms.iter().filter(|(name, _)| wanted(name));
        found.map(|(_, count)| count.as_i64().expect("a count")).sum()
    };
    let is_n = |name: &str| ["N1", "N2", "E9"].contains(&name);
    let k = sum(|name| !["N1", "N2", "E9"].contains(&name));
    assert_eq!(Value { k, n: sum(is_n) }, value, "{terms:?}");
}

fn to_date(day: Day) -> Date {
    date(1970, 1, 1) + day.0.days()
}

fn to_day(date: Date) -> Day {
    Day::new(date.year().into(), date.month() as u32, date.day() as u32).expect("a date")
}

/// Every row of `manager_periods` and `agencies`, by one worker and by three: the parts add up to
/// it, they are those that the recomputation finds, and the value over its own days is the row's.
#[test]
fn every_row_is_explained() {
    let (mut periods, mut agencies, mut replaced, mut beside, mut vacant) = (0, 0, 0, 0, 0);
    for (seed, history) in histories() {
        let oracle = recomputation(&history);
        for workers in [1, 3] {
            let mut dataflow = Dataflow::of(&history, workers);
            for (row, _) in dataflow.rows.clone() {
                match row {
                    Row::ManagerPeriod(row) => {
                        let id = row.tenure.text();
                        let period = Days::Period(row.period as i32);
                        let answer = dataflow.ask(Scope::Tenure, id, period, true);
                        let explained = ask::manager_period(&row, &answer);
                        adds_up(&explained.expect("it is the row"), row.own.value());
                        let (from, until) = (to_date(row.from), to_date(row.until));
                        let span = Span { scope: "tenure", id: id.to_owned(), from, until };
                        assert_eq!(counts(&answer), oracle.span(&span), "seed {seed}, {row:?}");
                        let days = Days::Between(row.from, row.until);
                        let plain = dataflow.ask(Scope::Tenure, id, days, false);
                        assert_eq!(plain.ratings, answer.ratings, "seed {seed}, {row:?}");
                        // The unit's ratings of these days are his, or another's.
                        let unit = row.unit.text();
                        let pooled = dataflow.ask(Scope::UnitPooled, unit, days, false);
                        let others: i64 = answer.others.values().map(|value| value.n).sum();
                        let all: i64 = pooled.units.values().map(|value| value.n).sum();
                        assert_eq!(row.own.value().n + others, all, "seed {seed}, {row:?}");
                        periods += 1;
                        replaced += answer.replaced.values[0];
                        beside += answer.beside.len();
                    }
                    Row::Agency(row) => {
                        let id = row.agency.text();
                        let always = Days::Between(Day::BEFORE_ALL, Day::NEVER);
                        let answer = dataflow.ask(Scope::Agency, id, always, true);
                        let explained = ask::agency(&row, &answer).expect("it is the row");
                        adds_up(&explained, row.value);
                        let (from, until) = (Date::MIN, Date::MAX);
                        let span = Span { scope: "agency", id: id.to_owned(), from, until };
                        assert_eq!(counts(&answer), oracle.span(&span), "seed {seed}, {row:?}");
                        agencies += 1;
                        beside += answer.beside.len();
                        vacant += answer.nobodys.n;
                    }
                    _ => {}
                }
            }
        }
    }
    // What there is none of is not tested.
    for some in [periods, agencies, replaced as usize, beside, vacant as usize] {
        assert!(some > 20, "{periods} {agencies} {replaced} {beside} {vacant}");
    }
}

const SCOPES: [(Scope, &str, &[&str]); 8] = [
    (Scope::Tenure, "tenure", &["T0", "T1", "T10", "T2", "t3", "T4", "T5"]),
    (Scope::Manager, "manager", &["P0", "P1", "P2", "P3"]),
    (Scope::Unit, "unit", &["U0", "U1", "U2", "U3", "U4"]),
    (Scope::UnitPooled, "unit_pooled", &["U0", "U1", "U2", "U3", "U4", "M0", "M1"]),
    (Scope::Agency, "agency", &["A0", "A1"]),
    (Scope::Region, "region", &["71", "7114", "45", "77", "02", "11"]),
    (Scope::Mfc, "mfc", &["M0", "M1", "M2"]),
    (Scope::Service, "service", &["S0", "S1", "S2", "nobody"]),
];

/// Values over any days, of everything that can be asked for, by one worker and by three.
#[test]
fn a_value_over_any_days_is_the_recomputation() {
    let mut rated = BTreeMap::new();
    for (seed, history) in histories() {
        let oracle = recomputation(&history);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let [mut one, mut three] = [1, 3].map(|workers| Dataflow::of(&history, workers));
        for (scope, name, ids) in SCOPES {
            for _ in 0..4 {
                let id = *ids.choose(&mut random).expect("some");
                let [a, b] =
                    [0, 1].map(|_| date(2016, 1, 1) + random.random_range(0..1200_i64).days());
                let (from, until) = (a.min(b), a.max(b));
                let days = Days::Between(to_day(from), to_day(until));
                let explain = random.random_bool(0.5);
                let answer = one.ask(scope, id, days, explain);
                assert_eq!(answer, three.ask(scope, id, days, explain), "seed {seed}");
                let span = Span { scope: name, id: id.to_owned(), from, until };
                let mut expected = oracle.span(&span);
                if !(explain && answer.known) {
                    expected = SpanCounts {
                        beside: BTreeMap::new(),
                        vacant: Default::default(),
                        ..expected
                    };
                }
                assert_eq!(counts(&answer), expected, "seed {seed}, {span:?}");
                let has_ratings = usize::from(!expected.crossed.is_empty());
                assert!(answer.known || has_ratings == 0, "seed {seed}, {span:?}");
                *rated.entry(name).or_insert(0) += has_ratings;
            }
        }
    }
    assert!(rated.values().all(|spans| *spans > 5), "of each some have ratings: {rated:?}");
}

/// A unit with a subdivision, a head, a target of 80 per cent, and two records.
const REFERENCE: &str = r#"
{"type":"agency","id":"A1","name":"Служба"}
{"type":"unit","id":"U1","kind":"territorial","agency":"A1","region":"45","name":"Управление"}
{"type":"unit","id":"U2","kind":"subdivision","agency":"A1","parent":"U1","region":"45","name":"Отдел"}
{"type":"service","id":"S1","agency":"A1","name":"Услуга","listed":true}
{"type":"tenure","id":"T1","manager":"P1","unit":"U1","from":"2018-01-01"}
{"type":"target","unit":"U1","from":"2018-01-01","percent":80}
{"type":"fact","record":1,"unit":"U1","service":"S1","provided_on":"2018-03-01","received_at":"2018-03-01T10:00:00+03:00"}
{"type":"sms","record":1,"text":"2","received_at":"2018-03-02T10:00:00+03:00"}
{"type":"survey","record":1,"outcome":"completed","scores":{"1":5,"2":4},"received_at":"2018-03-05T10:00:00+03:00"}
{"type":"fact","record":2,"unit":"U2","service":"S1","provided_on":"2018-04-01","received_at":"2018-04-01T10:00:00+03:00"}
{"type":"sms","record":2,"text":"5","received_at":"2018-04-02T10:00:00+03:00"}
{"type":"sms","record":2,"text":"1","received_at":"2018-04-03T10:00:00+03:00"}
{"type":"kiosk","record":3,"unit":"U2","service":"S9","provided_on":"2018-04-01","scores":{"1":5},"received_at":"2018-04-01T11:00:00+03:00"}
"#;

const EXPLAIN: &str = "/v1/explain/manager_periods?tenure=T1&period=0";

/// Submits, waits until it is served, and yields the epoch.
async fn submit(node: &Node, lines: &str) -> u64 {
    let epoch = node.submit(lines.to_owned()).await["epoch"].as_u64().expect("an epoch");
    node.running.served.wait_for(epoch).await;
    epoch
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_explains_its_figures_also_after_its_worker_died() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = config(directory.path());
    config.workers = 2;
    let node = Node::with_worker(config).await;
    submit(&node, REFERENCE.trim()).await;

    let explained = node.json(EXPLAIN).await;
    let rows = node.json("/v1/views/manager_periods").await;
    assert_eq!(explained["row"], rows["rows"][0]);
    // Criteria 3 to 5 of the first record are the digit 2, as the integral is; all else is good.
    assert_eq!((&explained["k"], &explained["n"]), (&json!(7), &json!(11)));
    assert_eq!(explained["rule"]["paragraph"], "12");
    assert_eq!(explained["rule"]["terms"]["N2"], 1);
    let without = json!({"k": 5, "n": 11, "percent": 45.45});
    assert_eq!(explained["replaced"]["without"], without);
    assert_eq!(explained["replaced"]["values"], 2);
    let beside = json!([
        {"state": "pending", "reason": "no_service", "channel": "kiosk", "ratings": 1},
        {"state": "refused", "reason": "late_reply", "channel": "sms", "messages": 1},
    ]);
    assert_eq!(explained["beside"], beside);
    // (7 + 9) / (11 + 9) is 80 per cent.
    assert_eq!(explained["target"], json!({"rule": "target", "percent": 80.0, "missing": 9}));
    let by_manager = "/v1/explain/manager_periods?manager=P1&from=2018-01-01";
    assert_eq!(node.json(by_manager).await["crossed"], explained["crossed"]);
    let agency = node.json("/v1/explain/agencies?agency=A1").await;
    assert_eq!((&agency["k"], &agency["n"]), (&json!(7), &json!(11)));

    let april = node.json("/v1/values?scope=unit_pooled&id=U1&from=2018-04-01").await;
    assert_eq!((&april["k"], &april["n"]), (&json!(5), &json!(5)));
    assert_eq!(april["units"], json!([{"unit": "U2", "k": 5, "n": 5, "percent": 100.0}]));
    let march = node.json("/v1/values?scope=manager&id=P1&until=2018-04-01").await;
    assert_eq!((&march["k"], &march["n"]), (&json!(2), &json!(6)));
    let wrong = [
        ("/v1/values?scope=unit&id=U77", 404, "unknown_id"),
        ("/v1/values?scope=planet&id=U1", 400, "bad_value"),
        ("/v1/values?scope=unit", 400, "missing_parameter"),
        ("/v1/values?scope=unit&id=U1&from=2018-13-01", 400, "bad_value"),
        ("/v1/values?scope=unit&id=U1&form=2018-01-01", 400, "unknown_parameter"),
        ("/v1/explain/manager_periods?tenure=T1&period=99", 404, "unknown_row"),
        ("/v1/explain/manager_periods?tenure=T1", 400, "missing_parameter"),
        ("/v1/explain/agencies?agency=A7", 404, "unknown_row"),
        ("/v1/explain/agencies", 400, "missing_parameter"),
    ];
    for (path, status, code) in wrong {
        let (found, said, _) = node.problem(node.client.get(node.url(path))).await;
        assert_eq!((found, said.as_str()), (status, code), "{path}");
    }

    let before = explained["epoch"].as_u64().expect("an epoch");
    let pid = node.json("/v1/status").await["worker"]["pid"].as_u64().expect("a worker");
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.expect("kill is there").success());
    // While there is none that could answer, it says so; then it is as before.
    let after = loop {
        let answer = node.client.get(node.url(EXPLAIN)).send().await.expect("an answer");
        match answer.status().as_u16() {
            200 => {
                let after: Json = answer.json().await.expect("JSON");
                let is_another = node.json("/v1/status").await["worker"]["pid"] != json!(pid);
                if is_another && after["epoch"].as_u64() > Some(before) {
                    break after;
                }
            }
            503 => assert!(answer.headers().contains_key("retry-after")),
            other => panic!("it is answered with {other}"),
        }
    };
    let mut expected = explained.clone();
    expected["epoch"] = after["epoch"].clone();
    assert_eq!(after, expected);

    let epoch = submit(
        &node,
        r#"{"type":"kiosk","record":4,"unit":"U2","service":"S1","provided_on":"2018-04-01","scores":{"1":1},"received_at":"2018-04-01T11:00:00+03:00"}"#,
    )
    .await;
    let since = format!("{EXPLAIN}&since={before}&min_epoch={epoch}");
    let since = &node.json(&since).await["since"];
    assert_eq!((&since["k"], &since["n"]), (&json!(0), &json!(1)));
    assert_eq!(since["channels"], json!([{"channel": "kiosk", "k": 0, "n": 1}]));
    assert_eq!(since["row"], explained["row"]);
    node.stop().await;
}

/// A figure as it was published, though it was corrected, the changes are forgotten, and the node
/// was started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_figure_is_there_as_it_was_published() {
    let directory = tempfile::tempdir().expect("a directory");
    let brief = || {
        let mut config = config(directory.path());
        config.history.seconds = 1;
        config.history.published_seconds = 1;
        config
    };
    let node = Node::with_worker(brief()).await;
    let first = submit(&node, REFERENCE.trim()).await;
    let then = node.json("/v1/views/manager_periods").await["rows"].clone();
    let agencies = node.json("/v1/views/agencies").await["rows"].clone();
    // By then several intervals are over.
    node.running.served.wait_for(first + 60).await;
    let published = node.running.served.epoch().expect("some");
    let corrected = r#"{"type":"tenure","id":"T1","manager":"P1","unit":"U1","from":"2018-04-01"}"#;
    submit(&node, corrected).await;
    let now = node.json("/v1/views/manager_periods").await["rows"].clone();
    assert_ne!(now, then);
    // Changes of other rows push those out of the history.
    for record in 10.. {
        let line = fixture::SMS.replace("\"record\":7", &format!("\"record\":{record}"));
        submit(&node, &line).await;
        let (status, _) = node.get(&format!("/v1/digests?epoch={published}")).await;
        if status == 404 {
            break;
        }
    }
    let check = async |node: &Node| {
        let as_of = |view: &str| format!("/v1/views/{view}?as_of={published}");
        let found = node.json(&as_of("manager_periods")).await;
        assert_eq!(found["rows"], then);
        assert!(
            found["epoch"].as_u64() <= Some(published) && found["epoch"].as_u64() >= Some(first)
        );
        assert_eq!(node.json(&as_of("agencies")).await["rows"], agencies);
        let seconds = published / 10;
        let time = jiff::Timestamp::from_second(i64::try_from(seconds).expect("fits"));
        let time = time.expect("fits");
        let by_time = format!("/v1/views/agencies?as_of={time}");
        assert_eq!(node.json(&by_time).await["rows"], agencies, "{time}");
        // Of other views nothing is kept for so long, and nothing from before the beginning.
        for path in [as_of("units"), "/v1/views/agencies?as_of=7".to_owned()] {
            let (status, code, detail) = node.problem(node.client.get(node.url(&path))).await;
            assert_eq!((status, code.as_str()), (410, "forgotten"), "{path}");
            assert!(detail.contains("bounded by history."), "{detail}");
        }
        assert_eq!(node.json("/v1/views/manager_periods").await["rows"], now);
    };
    check(&node).await;
    node.stop().await;
    let node = Node::with_worker(brief()).await;
    submit(&node, &fixture::SMS.replace("\"record\":7", "\"record\":8")).await;
    check(&node).await;
    node.stop().await;
}
