//! What happens when the node has no room, breaks off, refuses to talk, or when it is enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use otklik::replay::{self, End, Pace, Plan, Progress, Retries};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fixture::{
    OtherSide, accept, agency, broken, busy, input, listen, per_second, replayed, sms,
};

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
    let report = replayed(Plan::new(files, side.serve().await, Pace::Max)).await;

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
    let report = replayed(plan).await;

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
    let report = replayed(plan).await;

    assert!(report.is_acknowledged(), "{report}");
    let mut reference: Vec<String> =
        side.received().into_iter().filter(|body| body.contains("agency")).collect();
    assert!(reference.len() >= 3 * 30 / 7);
    reference.dedup();
    let told: Vec<&str> = reference.iter().flat_map(|body| body.lines()).collect();
    assert_eq!(told, (0..60).step_by(2).map(agency).collect::<Vec<_>>());
    assert_eq!(side.lines().len(), 60);
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
    let report = replayed(plan).await;

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
        let report = replayed(plan).await;
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
