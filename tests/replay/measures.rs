//! What is measured: latency from the schedule, to the acknowledgement and to a subscriber.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{StreamExt, stream};
use otklik::replay::{self, End, Pace, Plan, Progress};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fixture::{OtherSide, accept, input, per_second, replayed, serve, sms};

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

/// Nothing is sent while the views are a second behind, and all else once they are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_follows_the_views_waits_for_them() {
    let side = OtherSide::new(|_, body| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        accept(&body, 7)
    });
    let (tell, epoch) = watch::channel(3);
    let live = Live { epoch, asked: Arc::new(Mutex::new(vec![None])) };
    let live_route =
        Router::new().route("/v1/views/conservation/live", get(follow)).with_state(live);
    let node = serve(side.routes().merge(live_route)).await;
    let (progress, mut watched) = watch::channel(Progress::default());
    let waited = tokio::spawn(async move {
        let mut sent_by = async |ms| {
            let now = watched.wait_for(|now: &Progress| now.elapsed.as_millis() >= ms).await;
            now.expect("it goes on").sent
        };
        let sent = (sent_by(1500).await, sent_by(2500).await);
        tell.send_replace(8);
        tokio::spawn(async move { tell.closed().await });
        sent
    });
    let (_directory, files) = input((0..1000).map(sms));
    let plan =
        Plan { connections: 1, batch_lines: 1, ..Plan::new(files, node, Pace::Following(1)) };
    let report = replay::replay(plan, progress, CancellationToken::new()).await.expect("reads");

    let (sent, later) = waited.await.expect("no panics");
    assert!(sent > 10 && sent < 300 && sent == later, "{sent} {later}");
    assert_eq!((report.end, report.events.accepted), (End::Complete, 1000));
    assert_eq!((report.visible.quantiles.events, report.latency_from), (1000, "sent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_follows_views_nobody_shows_gives_up() {
    let slow = OtherSide::new(|_, body| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        accept(&body, 7)
    });
    let (_directory, files) = input((0..20).map(sms));
    let plan = Plan::new(files, slow.serve().await, Pace::Following(1));
    let give_up = Duration::from_secs(1);
    let report = replayed(Plan { connections: 1, batch_lines: 1, give_up, ..plan }).await;
    assert_eq!(report.end, End::Failed);
    let failure = report.failure.as_deref().expect("a cause");
    assert!(failure.starts_with("what was sent is not seen: the node answers 404"), "{failure}");
    assert!(report.events.sent < 20, "{report}");
}

/// Nothing of `conservation` changes with facts, so a subscriber cannot tell when they are there.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_subscriber_is_told_of_is_not_measured() {
    let side = OtherSide::new(|_, body| async move { accept(&body, 7) });
    let fact = r#"{"type":"fact","record":1,"received_at":"2018-03-01T10:00:00+03:00"}"#;
    let (_directory, files) = input(vec![fact.to_owned(); 30]);
    let report = replayed(Plan::new(files, side.serve().await, Pace::Max)).await;
    assert_eq!((report.acknowledged.events, report.visible.quantiles.events), (30, 0));
    assert_eq!((report.visible.unobserved, report.visible.unseen), (30, 0));
}
