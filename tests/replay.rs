//! `otklik replay` over sockets, against an other side that stalls, refuses and breaks off.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use otklik::replay::{
    self, End, Node, Pace, PerSecond, Plan, Progress, ReplayArgs, Report, Retries,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the other side does with a batch: its number (from 0, repeats count) and its text.
type Answering = Arc<dyn Fn(usize, String) -> BoxFuture<'static, Response> + Send + Sync>;

/// The other side of the wire: `POST /v1/events` answered by a test, and no view to follow.
struct OtherSide {
    answering: Answering,
    received: Mutex<Vec<String>>,
    count: AtomicUsize,
}

async fn receive(State(side): State<Arc<OtherSide>>, body: String) -> Response {
    let number = side.count.fetch_add(1, Ordering::SeqCst);
    side.received.lock().expect("no panics").push(body.clone());
    (side.answering)(number, body).await
}

impl OtherSide {
    fn new<F, A>(answering: F) -> Arc<OtherSide>
    where
        F: Fn(usize, String) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let answering: Answering = Arc::new(move |number, body| answering(number, body).boxed());
        Arc::new(OtherSide { answering, received: Mutex::default(), count: AtomicUsize::new(0) })
    }

    fn routes(self: &Arc<Self>) -> Router {
        Router::new().route("/v1/events", post(receive)).with_state(self.clone())
    }

    async fn serve(self: &Arc<Self>) -> Node {
        serve(self.routes()).await
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().expect("no panics").clone()
    }

    /// Each line that was received, once.
    fn lines(&self) -> BTreeSet<String> {
        self.received().iter().flat_map(|body| body.lines()).map(str::to_owned).collect()
    }
}

async fn listen() -> (TcpListener, Node) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, format!("http://{address}").parse().expect("an address"))
}

async fn serve(routes: Router) -> Node {
    let (listener, node) = listen().await;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    node
}

/// The answer of a node that accepts every line, in `epoch`.
fn accept(body: &str, epoch: u64) -> Response {
    let accepted = body.lines().count();
    Json(serde_json::json!({"accepted": accepted, "refused": [], "epoch": epoch})).into_response()
}

fn busy(status: StatusCode, after: &'static str) -> Response {
    (status, [(header::RETRY_AFTER, after)]).into_response()
}

/// An answer whose connection breaks in the middle of it.
fn broken() -> Response {
    let pieces = [Ok(Bytes::from_static(b"{\"accepted\":")), Err(io::Error::other("broken"))];
    Response::new(Body::from_stream(stream::iter(pieces)))
}

fn sms(record: usize) -> String {
    format!(
        r#"{{"type":"sms","record":{record},"text":"5","received_at":"2018-03-01T10:00:00+03:00"}}"#
    )
}

fn agency(number: usize) -> String {
    format!(r#"{{"type":"agency","id":"A","name":"name {number}"}}"#)
}

/// A file of lines; it goes with the directory.
fn input(lines: impl IntoIterator<Item = String>) -> (TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("events.ndjson");
    let text: String = lines.into_iter().map(|line| line + "\n").collect();
    std::fs::write(&path, text).expect("writes");
    (directory, vec![path])
}

fn per_second(events: f64) -> Pace {
    Pace::Rate(PerSecond::new(events).expect("above 0"))
}

async fn replay(plan: Plan) -> Report {
    let (progress, _) = watch::channel(Progress::default());
    replay::replay(plan, progress, CancellationToken::new()).await.expect("the files are there")
}

/// A load test that counts from when it came to send would show one slow request here.
#[tokio::test(flavor = "multi_thread")]
async fn a_stall_shows_in_the_latency_of_all_that_was_due_in_it() {
    let (progress, watched) = watch::channel(Progress::default());
    let side = OtherSide::new(move |number, body| {
        let mut watched = watched.clone();
        async move {
            if number == 0 {
                let stall = Duration::from_millis(400);
                watched.wait_for(|now| now.behind >= stall).await.expect("it goes on");
            }
            accept(&body, 1)
        }
    });
    let (_directory, files) = input((0..1000).map(sms));
    let plan = Plan { connections: 1, ..Plan::new(files, side.serve().await, per_second(1000.0)) };
    let report = replay::replay(plan, progress, CancellationToken::new()).await.expect("reads");

    let acknowledged = report.acknowledged;
    assert_eq!((report.end, report.latency_from), (End::Complete, "scheduled"));
    assert_eq!((acknowledged.events, report.events.accepted), (1000, 1000));
    assert!(acknowledged.max_ms >= 400.0, "{acknowledged:?}");
    // Of the 1000 events, 400 at least were due in the stall, evenly.
    assert!(acknowledged.p90_ms >= 290.0, "{acknowledged:?}");
    assert!(report.duration_s >= 0.999, "the schedule was run ahead of: {report}");
    // What had piled up went in one batch.
    assert!(side.received().iter().any(|body| body.lines().count() >= 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_without_room_comes_again_when_it_was_asked_to() {
    let side = OtherSide::new(|number, body| async move {
        match number {
            0 => busy(StatusCode::SERVICE_UNAVAILABLE, "1"),
            1 => busy(StatusCode::TOO_MANY_REQUESTS, "0"),
            2 => busy(StatusCode::PAYLOAD_TOO_LARGE, "0"),
            3 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            _ => accept(&body, 1),
        }
    });
    let (_directory, files) = input((0..10).map(sms));
    let report = replay(Plan::new(files, side.serve().await, Pace::Max)).await;

    let received = side.received();
    assert_eq!(received.len(), 5);
    assert!(received.iter().all(|body| *body == received[0]), "{received:?}");
    assert_eq!(report.retries, Retries { busy: 3, connection: 0, failed: 1 });
    assert_eq!((report.batches, report.events.sent, report.events.accepted), (1, 10, 10));
    assert!(report.acknowledged.p50_ms >= 1000.0, "{:?}", report.acknowledged);
    assert!(report.is_acknowledged());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_acknowledged_over_a_broken_connection_is_sent_again() {
    let side = OtherSide::new(|number, body| async move {
        match number {
            1 | 4 => broken(),
            _ => accept(&body, 1),
        }
    });
    let (listener, node) = listen().await;
    let routes = side.routes();
    tokio::spawn(async move {
        // The subscriber and the first lanes are cut off before they have said a word.
        for _ in 0..3 {
            drop(listener.accept().await.expect("a connection"));
        }
        axum::serve(listener, routes).await
    });
    let (_directory, files) = input((0..100).map(sms));
    let plan = Plan { batch_lines: 10, connections: 3, ..Plan::new(files, node, Pace::Max) };
    let report = replay(plan).await;

    assert!(report.is_acknowledged(), "{report}");
    assert_eq!((report.batches, report.events.acknowledged), (10, 100));
    assert!(report.retries.connection >= 2, "{:?}", report.retries);
    assert_eq!(side.lines(), (0..100).map(sms).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_data_never_overtake_each_other() {
    let in_flight = Arc::new(AtomicUsize::new(0));
    let tried = Arc::new(AtomicUsize::new(0));
    let side = OtherSide::new(move |_, body| {
        let (in_flight, tried) = (in_flight.clone(), tried.clone());
        async move {
            if !body.contains("agency") {
                return accept(&body, 1);
            }
            assert!(!body.contains("sms"), "a batch of both");
            assert_eq!(in_flight.fetch_add(1, Ordering::SeqCst), 0, "two batches at a time");
            // Room for another to come, if there were one.
            tokio::task::yield_now().await;
            in_flight.fetch_sub(1, Ordering::SeqCst);
            match tried.fetch_add(1, Ordering::SeqCst) % 3 {
                0 => busy(StatusCode::SERVICE_UNAVAILABLE, "0"),
                1 => broken(),
                _ => accept(&body, 1),
            }
        }
    });
    let lines = (0..60).map(|n| if n % 2 == 0 { agency(n) } else { sms(n) });
    let (_directory, files) = input(lines);
    let plan = Plan { batch_lines: 7, ..Plan::new(files, side.serve().await, Pace::Max) };
    let report = replay(plan).await;

    assert!(report.is_acknowledged(), "{report}");
    let mut reference: Vec<String> =
        side.received().into_iter().filter(|body| body.contains("agency")).collect();
    assert!(reference.len() >= 3 * 30 / 7);
    reference.dedup();
    let told: Vec<&str> = reference.iter().flat_map(|body| body.lines()).collect();
    assert_eq!(told, (0..60).step_by(2).map(agency).collect::<Vec<_>>());
    assert_eq!(side.lines().len(), 60);
}

/// The other side of `GET …/live`: an epoch to see, and which `Last-Event-ID` came.
#[derive(Clone)]
struct Live {
    epoch: watch::Receiver<u64>,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

/// The current epoch, and each that follows; the first connection ends after its snapshot.
async fn follow(State(live): State<Live>, headers: HeaderMap) -> Response {
    let id = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let first = {
        let mut asked = live.asked.lock().expect("no panics");
        asked.push(id);
        asked.len() == 1
    };
    let events = stream::unfold((live.epoch, "snapshot"), |(mut epoch, name)| async move {
        if name != "snapshot" {
            epoch.changed().await.ok()?;
        }
        let now = *epoch.borrow_and_update();
        let event = format!("event: {name}\nid: {now}-x\ndata: {{\"epoch\":{now}}}\n\n");
        Some((Ok::<_, Infallible>(event), (epoch, "changes")))
    });
    let events = events.take(if first { 1 } else { usize::MAX });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn visible_is_when_the_subscriber_has_seen_the_epoch() {
    let side = OtherSide::new(|_, body| async move { accept(&body, 7) });
    let (tell, epoch) = watch::channel(3);
    let live = Live { epoch, asked: Arc::default() };
    let asked = live.asked.clone();
    let live_route =
        Router::new().route("/v1/views/conservation/live", get(follow)).with_state(live);
    let node = serve(side.routes().merge(live_route)).await;
    let (progress, mut watched) = watch::channel(Progress::default());
    tokio::spawn(async move {
        let acknowledged =
            |now: &Progress| now.acknowledged == 20 && now.elapsed.as_millis() >= 500;
        watched.wait_for(acknowledged).await.expect("it waits for the epoch");
        tell.send_replace(6);
        tell.send_replace(8);
        // The stream goes on for as long as the subscriber wants it.
        tell.closed().await;
    });
    let (_directory, files) = input((0..20).map(sms));
    let stop = CancellationToken::new();
    let report = replay::replay(Plan::new(files, node, Pace::Max), progress, stop).await;
    let report = report.expect("the files are there");

    let visible = &report.visible;
    assert_eq!((visible.quantiles.events, visible.unobserved, visible.unseen), (20, 0, 0));
    assert!(visible.quantiles.p50_ms >= 400.0, "{visible:?}");
    assert!(report.acknowledged.max_ms < visible.quantiles.p50_ms, "{report}");
    assert_eq!(*asked.lock().expect("no panics"), [None, Some("3-x".to_owned())]);
    assert_eq!(visible.losses, 1);
}

/// Nothing of `conservation` changes with facts, so a subscriber cannot tell when they are there.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_subscriber_is_told_of_is_not_measured() {
    let side = OtherSide::new(|_, body| async move { accept(&body, 7) });
    let fact = r#"{"type":"fact","record":1,"received_at":"2018-03-01T10:00:00+03:00"}"#;
    let (_directory, files) = input(vec![fact.to_owned(); 30]);
    let report = replay(Plan::new(files, side.serve().await, Pace::Max)).await;
    assert_eq!((report.acknowledged.events, report.visible.quantiles.events), (30, 0));
    assert_eq!((report.visible.unobserved, report.visible.unseen), (30, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_every_file_arrives_over_no_more_connections_than_allowed() {
    let in_flight = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let most = in_flight.clone();
    let side = OtherSide::new(move |_, body| {
        let in_flight = in_flight.clone();
        async move {
            let now = in_flight.0.fetch_add(1, Ordering::SeqCst) + 1;
            in_flight.1.fetch_max(now, Ordering::SeqCst);
            tokio::task::yield_now().await;
            in_flight.0.fetch_sub(1, Ordering::SeqCst);
            accept(&body, 1)
        }
    });
    let (directory, mut files) = input((0..20_000).map(sms));
    let text: String = (20_000..40_000).map(|n| sms(n) + "\n").collect();
    files.push(directory.path().join("more.ndjson.zst"));
    std::fs::write(&files[1], zstd::encode_all(text.as_bytes(), 1).expect("in memory"))
        .expect("writes");
    let plan = Plan {
        connections: 4,
        batch_lines: 100,
        ..Plan::new(files, side.serve().await, Pace::Max)
    };
    let report = replay(plan).await;

    assert_eq!((report.end, report.events.accepted), (End::Complete, 40_000));
    assert_eq!(side.received().iter().map(|body| body.lines().count()).sum::<usize>(), 40_000);
    assert_eq!(side.lines(), (0..40_000).map(sms).collect());
    assert!(side.received().iter().all(|body| body.lines().count() <= 100));
    assert!(most.1.load(Ordering::SeqCst) <= 4);
    assert_eq!(report.bytes as usize, side.received().iter().map(String::len).sum::<usize>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_ends_the_replay_and_is_said() {
    type Answer = fn(&str) -> Response;
    let cases: [(Answer, &str, u64); 4] = [
        (|_| StatusCode::NOT_FOUND.into_response(), "the node answers 404", 0),
        (|_| StatusCode::PAYLOAD_TOO_LARGE.into_response(), "a smaller --batch", 0),
        (|_| accept("one line", 1), "accounts for 1 of 10 lines", 0),
        (|_| busy(StatusCode::SERVICE_UNAVAILABLE, "100"), "gave up after 0 s", 1),
    ];
    for (answer, why, retries) in cases {
        let side = OtherSide::new(move |_, body| async move { answer(&body) });
        let (_directory, files) = input((0..30).map(agency));
        let plan = Plan {
            batch_lines: 10,
            give_up: Duration::from_millis(200),
            ..Plan::new(files, side.serve().await, Pace::Max)
        };
        let report = replay(plan).await;
        let failure = report.failure.clone().expect("it failed");
        assert!(failure.contains(why), "{failure}");
        assert_eq!(report.end, End::Failed);
        assert!(!report.is_acknowledged());
        assert_eq!((report.events.sent, report.events.unacknowledged), (10, 10), "{why}");
        assert_eq!(report.retries.total(), retries);
        assert!(report.to_string().contains("FAILED: "), "{report}");
        assert_eq!(side.lines(), (0..10).map(agency).collect(), "later reference data were sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_replay_waits_for_what_it_has_sent() {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let side = OtherSide::new(move |number, body| {
        let stopped = stopped.clone();
        async move {
            if number == 3 {
                stopped.cancel();
                tokio::task::yield_now().await;
            }
            accept(&body, 1)
        }
    });
    let (_directory, files) = input((0..100_000).map(sms));
    let plan = Plan::new(files, side.serve().await, per_second(1000.0));
    let (progress, _) = watch::channel(Progress::default());
    let report = replay::replay(plan, progress, stop).await.expect("the files are there");

    assert_eq!(report.end, End::Stopped);
    assert!(report.is_acknowledged(), "{report}");
    assert!(report.events.sent >= 4 && report.events.sent < 100_000, "{report}");
    assert_eq!(report.events.sent as usize, side.lines().len());
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    replay: ReplayArgs,
}

fn args(more: &[&str]) -> Result<ReplayArgs, clap::Error> {
    let cli = Cli::try_parse_from([&["replay"], more].concat())?;
    Ok(cli.replay)
}

#[test]
fn wrong_usage_is_refused() {
    let usual = ["--input", "a", "b", "--to", "http://127.0.0.1:8140"];
    let with = |more: &[&str]| args(&[&usual[..], more].concat()).map(|args| args.plan());
    assert_eq!(with(&[]).expect("right").pace, Pace::Max);
    assert_eq!(with(&["--rate", "5000/s"]).expect("right").pace, per_second(5000.0));
    assert_eq!(with(&["--rate", "5000"]).expect("right").input.len(), 2);
    let wrong: [&[&str]; 7] = [
        &["--rate", "0"],
        &["--rate", "5", "--max"],
        &["--rate", "5", "--speedup", "2"],
        &["--speedup", "-1"],
        &["--connections", "0"],
        &["--batch", "0"],
        &["--give-up", "0"],
    ];
    for more in wrong {
        assert!(with(more).is_err(), "{more:?}");
    }
    assert!(args(&["--input", "a", "--to", "https://a.b"]).is_err());
    assert!(args(&["--to", "http://a.b"]).is_err());
}

#[test]
fn the_command_writes_its_report_and_fails_unless_all_is_acknowledged() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let refusing = OtherSide::new(|_, body| async move {
        let refused = serde_json::json!({"line": 1, "code": "empty", "detail": "no scores"});
        let accepted = body.lines().count() - 1;
        let answer = serde_json::json!({"accepted": accepted, "refused": [refused], "epoch": 1});
        Json(answer).into_response()
    });
    let failing = OtherSide::new(|_, _| async { StatusCode::NOT_FOUND.into_response() });
    let (directory, files) = input((0..10).map(sms));
    let written = directory.path().join("report.json");
    let run = |node: &Node| {
        let input = files[0].to_str().expect("UTF-8");
        let report = written.to_str().expect("UTF-8");
        let to = ["--to", node.as_str(), "--report", report, "--rate", "1000"];
        replay::run(&args(&[&["--input", input], &to[..]].concat()).expect("right"))
    };
    let report = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(&written).expect("written")).expect("JSON")
    };

    run(&runtime.block_on(refusing.serve())).expect("refused is acknowledged");
    let complete = report();
    assert_eq!(complete["end"], "complete");
    assert_eq!(complete["options"]["rate_per_s"], 1000.0);
    assert_eq!(complete["events"]["accepted"], 10 - complete["batches"].as_u64().expect("a count"));
    assert_eq!(complete["refusals"][0]["code"], "empty");
    assert_eq!(complete["refusals"][0]["example"], "no scores");
    assert_eq!(complete["acknowledged"]["events"], 10);
    assert_eq!(
        complete["visible"]["unseen"],
        10 - complete["visible"]["unobserved"].as_u64().expect("a count")
    );

    let error = run(&runtime.block_on(failing.serve())).expect_err("nothing is acknowledged");
    assert!(error.to_string().contains("the node answers 404"), "{error}");
    assert_eq!(report()["end"], "failed");
    let missing = args(&["--input", "missing", "--to", "http://127.0.0.1:1"]).expect("right");
    assert!(format!("{:#}", replay::run(&missing).expect_err("no file")).contains("missing"));
}
