//! Live streams of one view.

use std::collections::BTreeMap;
use std::time::Duration;

use dataflows::views::PendingReason;
use otklik::views::digest::Digest;
use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use super::fixture::{EPOCH_MS, NEVER, all, free, len, node, pending, sample};

#[tokio::test]
async fn a_stream_is_a_snapshot_and_then_the_changes() {
    use PendingReason::{NoRecord, NoUnit};
    let node = node(100, NEVER).await;
    let path = "/v1/views/pending/live";
    node.served.replace(8, all([pending(NoUnit, 2)]));
    let mut events = node.follow(path, None).await;
    let snapshot = events.expect("snapshot", 7).await;
    let rows = json!([{"reason": "no_unit", "count": 2}]);
    let whole = json!({"epoch": 7, "part": 1, "sent": 1, "total": 1, "last": true, "rows": rows});
    assert_eq!(snapshot, whole);

    node.served.apply(10, vec![(pending(NoRecord, 1), 1), (pending(NoUnit, 2), -1)]);
    let (no_record, no_unit) = (json!({"reason": "no_record"}), json!({"reason": "no_unit"}));
    assert_eq!(
        events.expect("changes", 9).await["changes"],
        json!([
            {"op": "upsert", "key": no_record, "row": {"reason": "no_record", "count": 1}},
            {"op": "delete", "key": no_unit, "row": null},
        ])
    );
    // Epochs that change nothing here are no event.
    node.served.apply(11, all([sample("U", 1, 1)]));
    node.served.apply(12, vec![(pending(NoRecord, 1), -1), (pending(NoRecord, 5), 1)]);
    assert_eq!(events.expect("changes", 11).await["changes"][0]["row"]["count"], 5);
}

/// What was written for one reader is for others only if they had asked before it came.
#[tokio::test]
async fn a_snapshot_is_never_older_than_the_question() {
    let node = node(100, NEVER).await;
    let row = |count| pending(PendingReason::NoUnit, count);
    node.served.replace(8, all([row(7)]));
    for epoch in 7..12 {
        for _ in 0..2 {
            let snapshot =
                node.follow("/v1/views/pending/live", None).await.expect("snapshot", epoch).await;
            assert_eq!(snapshot["rows"][0]["count"], epoch);
        }
        let (before, after) = (row(epoch as i64), row(epoch as i64 + 1));
        node.served.apply(epoch + 2, vec![(before, -1), (after, 1)]);
    }
}

#[tokio::test]
async fn every_frame_says_what_it_goes_on_from_and_can_be_resumed() {
    use PendingReason::NoRecord;
    let node = node(100, NEVER).await;
    let path = "/v1/views/pending/live";
    node.served.replace(8, all([pending(NoRecord, 1)]));
    let mut events = node.follow(path, None).await;
    let snapshot = events.event("snapshot", 7).await;
    for epoch in 8..11 {
        let count = epoch as i64;
        let before = if epoch == 8 { 1 } else { count - 1 };
        node.served
            .apply(epoch + 1, vec![(pending(NoRecord, before), -1), (pending(NoRecord, count), 1)]);
    }
    // One frame an epoch, though they were there together.
    let mut ids = vec![snapshot.id.expect("an id")];
    for epoch in 8..11 {
        let frame = events.event("changes", epoch).await;
        assert_eq!((&frame.data["after"], &frame.data["merged"]), (&json!(ids.last()), &json!(1)));
        assert_eq!(frame.data["changes"][0]["row"]["count"], epoch);
        ids.push(frame.id.expect("an id"));
    }
    drop(events);
    // The digest is that of the rows at the epoch, as whoever has them can reckon.
    let row = json!({"reason": "no_record", "count": 10}).to_string();
    let row =
        row.replace(r#"{"count":10,"reason":"no_record"}"#, r#"{"reason":"no_record","count":10}"#);
    assert_eq!(ids[3], format!("10-{}", Digest::of_json(row.as_bytes())));

    for (n, id) in ids.iter().enumerate() {
        let mut events = node.follow(path, Some(id.as_str())).await;
        for epoch in 8 + n as u64..11 {
            events.expect("changes", epoch).await;
        }
        if n == 3 {
            let progress = events.event("progress", 10).await;
            assert_eq!((&progress.data["after"], &progress.id), (&json!(id), &Some(id.clone())));
        }
        drop(events);
        free(&node.live, 0).await;
    }
    for id in ["after=8", "last_event_id=8"] {
        let mut events = node.follow(&format!("{path}?{id}"), None).await;
        events.expect("changes", 9).await;
        drop(events);
        free(&node.live, 0).await;
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_resumed_is_told_so_and_gets_a_snapshot() {
    let node = node(100, NEVER).await;
    node.served.replace(8, all([pending(PendingReason::NoUnit, 2)]));
    let other = format!("7-{}", Digest::of_json(b"another row"));
    let table = [
        ("0", "forgotten"),
        ("6", "forgotten"),
        ("18446744073709551615", "ahead"),
        (other.as_str(), "digest"),
    ];
    for (id, reason) in table {
        let mut events = node.follow("/v1/views/pending/live", Some(id)).await;
        let lagged = events.next().await.expect("an event");
        assert_eq!((lagged.name.as_str(), &lagged.data["reason"]), ("lagged", &json!(reason)));
        assert_eq!(lagged.id, None);
        events.expect("snapshot", 7).await;
        drop(events);
        free(&node.live, 0).await;
    }
    node.follow("/v1/views/pending/live?after=", None).await.expect("snapshot", 7).await;
    let wrong =
        ["after=soon", "after=7-", "after=7-ab", "after=7&as_of=7", "as_of=now", "up_to=-1"];
    for query in wrong {
        let path = format!("/v1/views/pending/live?{query}");
        node.problem(&path, StatusCode::BAD_REQUEST, "bad_value").await;
    }
}

/// It may come from a node that is ahead of this one.
#[tokio::test]
async fn an_id_that_is_a_little_ahead_is_waited_for() {
    let node = node(100, NEVER).await;
    node.served.replace(8, all([pending(PendingReason::NoUnit, 2)]));
    let applying = async {
        while node.live.subscribers() == 0 {
            tokio::task::yield_now().await;
        }
        node.served.apply(10, all([pending(PendingReason::NoRecord, 1)]));
    };
    let path = "/v1/views/pending/live";
    let (mut events, ()) = tokio::join!(node.follow(path, Some("9")), applying);
    events.expect("progress", 9).await;
}

#[tokio::test]
async fn a_stream_begins_and_ends_where_it_is_asked_to() {
    use PendingReason::{NoRecord, NoUnit};
    let node = node(5, NEVER).await;
    node.served.replace(8, all([pending(NoUnit, 1), sample("U", 1, 1)]));
    for epoch in 8..12 {
        let count = epoch as i64 - 6;
        node.served
            .apply(epoch + 1, vec![(pending(NoUnit, count - 1), -1), (pending(NoUnit, count), 1)]);
    }
    let path = "/v1/views/pending/live";
    let mut events = node.follow(&format!("{path}?as_of=9&up_to=10"), None).await;
    assert_eq!(
        events.expect("snapshot", 9).await["rows"],
        json!([{"reason": "no_unit", "count": 3}])
    );
    assert_eq!(events.expect("changes", 10).await["changes"][0]["row"]["count"], 4);
    let end = events.event("end", 10).await;
    assert_eq!((end.data["reason"].as_str(), end.id.is_some()), (Some("up_to"), true));
    assert_eq!(events.next().await, None);

    let mut events = node.follow(&format!("{path}?as_of=9&snapshot=false"), None).await;
    events.expect("changes", 10).await;
    events.expect("changes", 11).await;
    drop(events);
    free(&node.live, 0).await;
    let mut events = node.follow(&format!("{path}?snapshot=false&up_to=13"), None).await;
    events.expect("progress", 11).await;
    // It is not 13 that is seen, but all up to it.
    node.served.apply(20, all([pending(NoRecord, 1)]));
    events.expect("end", 13).await;
    drop(events);
    free(&node.live, 0).await;
    node.problem(&format!("{path}?as_of=3"), StatusCode::GONE, "forgotten").await;
    let past = node.problem(&format!("{path}?up_to=3"), StatusCode::BAD_REQUEST, "bad_value").await;
    assert!(past["detail"].as_str().expect("a sentence").contains("19"));
}

#[tokio::test]
async fn a_large_snapshot_comes_in_parts_that_say_how_far_it_is() {
    let node = node(100, NEVER).await;
    node.served.replace(8, all((0..12_000).map(|n| sample("U", n, (n % 2) as u32))));
    for (query, totals) in [("", vec![5000, 10_000, 12_000]), ("?order=1", vec![5000, 6000])] {
        let path = format!("/v1/views/survey_sample/live{query}");
        let mut events = node.follow(&path, None).await;
        let last = totals.len();
        let mut rows = 0;
        for (n, sent) in totals.iter().enumerate() {
            let part = events.event("snapshot", 7).await;
            rows += len(&part.data["rows"]);
            let expected =
                (json!(n + 1), json!(sent), json!(totals[last - 1]), json!(n + 1 == last));
            let data = &part.data;
            let said = (&data["part"], &data["sent"], &data["total"], &data["last"]);
            assert_eq!(said, (&expected.0, &expected.1, &expected.2, &expected.3));
            // Who loses the stream within a snapshot has nothing to go on from.
            assert_eq!((part.id.is_some(), rows), (n + 1 == last, *sent));
        }
    }
}

#[tokio::test]
async fn lines_of_json_are_the_same_frames() {
    let node = node(100, NEVER).await;
    node.served.replace(8, all([pending(PendingReason::NoUnit, 1)]));
    let url = format!("{}/v1/views/pending/live", node.url);
    let accepting = node.client.get(&url).header("accept", "application/x-ndjson");
    let asking = node.client.get(format!("{url}?format=ndjson&up_to=7"));
    for request in [accepting, asking] {
        let mut response = request.send().await.expect("an answer");
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        let line = response.chunk().await.expect("open").expect("a line");
        let line = line.strip_suffix(b"\n").expect("a whole line");
        let frame: Json = serde_json::from_slice(line).expect("JSON");
        assert_eq!(frame["event"], "snapshot");
        assert_eq!(frame["data"]["rows"][0]["count"], 1);
        assert!(frame["id"].as_str().expect("an id").starts_with("7-"));
    }
}

#[tokio::test]
async fn a_filtered_stream_sees_rows_come_and_go() {
    let node = node(100, NEVER).await;
    node.served.replace(1, all([sample("U1", 1, 1), sample("U1", 2, 2), sample("U2", 3, 2)]));
    let mut events = node.follow("/v1/views/survey_sample/live?order=2&unit=U1", None).await;
    assert_eq!(len(&events.expect("snapshot", 0).await["rows"]), 1);
    let changes = vec![
        (sample("U1", 1, 1), -1),
        (sample("U1", 1, 2), 1),
        (sample("U1", 2, 2), -1),
        (sample("U1", 2, 1), 1),
        (sample("U2", 3, 2), -1),
        (sample("U1", 4, 1), 1),
    ];
    node.served.apply(2, changes);
    let changes = &events.expect("changes", 1).await["changes"];
    assert_eq!(len(changes), 2);
    assert_eq!((&changes[0]["op"], &changes[0]["row"]["record"]), (&json!("upsert"), &json!(1)));
    assert_eq!((&changes[1]["op"], &changes[1]["key"]["record"]), (&json!("delete"), &json!(2)));
}

#[tokio::test]
async fn a_silent_stream_says_how_old_it_is() {
    let node = node(100, Duration::from_millis(20)).await;
    node.served.replace(8, Vec::new());
    let mut events = node.follow("/v1/views/pending/live", None).await;
    events.expect("snapshot", 7).await;
    events.expect("progress", 7).await;
    node.served.apply(9, all([sample("U", 1, 1)]));
    loop {
        let event = events.next().await.expect("progress");
        assert_eq!(event.name.as_str(), "progress");
        if event.data["epoch"] == 8 {
            break;
        }
    }
}

/// The kernel's buffers hold some megabytes; what does not fit waits merged, not queued.
#[tokio::test]
async fn a_slow_reader_gets_merged_epochs_and_the_right_rows() {
    const ROWS: u64 = 1000;
    const EPOCHS: u64 = 150;
    let node = node(usize::MAX, NEVER).await;
    node.served.replace(1, all((0..ROWS).map(|record| sample("U", record, 0))));
    let mut events = node.follow("/v1/views/survey_sample/live", None).await;
    for epoch in 1..=EPOCHS {
        let order = epoch as u32;
        let changes = (0..ROWS).flat_map(|record| {
            [(sample("U", record, order - 1), -1), (sample("U", record, order), 1)]
        });
        node.served.apply(epoch + 1, changes.collect::<Vec<_>>());
        tokio::task::yield_now().await;
    }
    let mut rows = BTreeMap::new();
    let (mut seen, mut sets) = (0, 0);
    while seen < EPOCHS {
        let event = events.next().await.expect("more");
        if event.name == "progress" {
            continue;
        }
        let list = event.data.get("rows").or(event.data.get("changes")).expect("rows or changes");
        for item in list.as_array().expect("a list") {
            let row = item.get("row").unwrap_or(item);
            rows.insert(row["record"].as_u64(), row["order"].as_u64());
        }
        let epoch = event.data["epoch"].as_u64().expect("an epoch");
        assert!(rows.values().all(|order| *order == Some(epoch)), "all of one epoch");
        assert!(epoch > seen || event.name == "snapshot");
        seen = epoch;
        sets += 1;
    }
    assert_eq!(rows.len() as u64, ROWS);
    assert!(sets < EPOCHS, "{sets} events were queued");
}

#[tokio::test]
async fn a_reader_the_history_has_left_behind_is_told_so_and_begins_anew() {
    let node = node(1, NEVER).await;
    node.served.replace(1, Vec::new());
    let path = "/v1/views/survey_sample/live";
    let mut events = node.follow(path, None).await;
    let mut strict = node.follow(&format!("{path}?on_slow=disconnect"), None).await;
    events.expect("snapshot", 0).await;
    let id = strict.event("snapshot", 0).await.id;
    // One thread: the stream is not asked for more between these.
    for epoch in 1..4 {
        node.served.apply(epoch + 1, all([sample("U", epoch, 1)]));
    }
    assert_eq!(events.expect("lagged", 0).await["reason"], "forgotten");
    assert_eq!(len(&events.expect("snapshot", 3).await["rows"]), 3);
    let end = strict.event("end", 0).await;
    assert_eq!((end.data["reason"].as_str(), end.id), (Some("slow"), id));
    assert_eq!(strict.next().await, None);
}

/// More than a reader may be behind: in one frame for the one, the end for the other.
#[tokio::test]
async fn a_slow_reader_chooses_what_becomes_of_it() {
    let node = node(usize::MAX, NEVER).await;
    node.served.replace(1, all([pending(PendingReason::NoUnit, 1)]));
    let path = "/v1/views/survey_sample/live";
    let mut merging = node.follow(&format!("{path}?order=1"), None).await;
    let mut strict = node.follow(&format!("{path}?on_slow=disconnect"), None).await;
    merging.expect("snapshot", 0).await;
    let snapshot = strict.event("snapshot", 0).await;
    drop(strict);
    free(&node.live, 1).await;
    let id = snapshot.id.clone().expect("an id");
    let mut strict = node.follow(&format!("{path}?on_slow=disconnect"), Some(&id)).await;
    strict.expect("progress", 0).await;
    for epoch in 1..=40 {
        node.served.apply(epoch + 1, all([sample("U", epoch, (epoch % 2) as u32)]));
    }
    let merged = merging.expect("changes", 40).await;
    assert_eq!((&merged["merged"], len(&merged["changes"])), (&json!(20), 20));
    let end = strict.event("end", 0).await;
    assert_eq!((end.data["reason"].as_str(), &end.id), (Some("slow"), &snapshot.id));
    drop((merging, strict));
    free(&node.live, 0).await;
    // Coming back it gets them all, each on its own.
    let mut strict = node.follow(&format!("{path}?on_slow=disconnect"), Some(&id)).await;
    for epoch in 1..=40 {
        assert_eq!(len(&strict.expect("changes", epoch).await["changes"]), 1);
    }
}

#[tokio::test]
async fn subscribers_are_listed_with_their_lag() {
    let node = node(100, NEVER).await;
    node.served.replace(8, all([pending(PendingReason::NoUnit, 2)]));
    let mut events = node.follow("/v1/views/pending/live?reason=no_unit", None).await;
    events.expect("snapshot", 7).await;
    node.served.apply(18, all([sample("U", 1, 1)]));
    let list = node.json("/v1/subscribers").await;
    assert_eq!((&list["epoch"], &list["count"]), (&json!(17), &json!(1)));
    let of_it = &list["subscribers"][0];
    let said = ["view", "conditions", "transport", "epoch", "lag_ms", "frames", "merged"];
    let expected = json!(["pending", "reason=no_unit", "sse", 7, 10 * EPOCH_MS, 1, 0]);
    assert_eq!(json!(said.map(|name| &of_it[name])), expected);
    node.problem("/v1/subscribers?limit=0", StatusCode::BAD_REQUEST, "bad_limit").await;
    node.problem("/v1/subscribers?view=x", StatusCode::BAD_REQUEST, "unknown_parameter").await;
}

#[tokio::test]
async fn places_are_bounded_and_given_back() {
    let node = node(100, NEVER).await;
    node.served.replace(1, Vec::new());
    let path = "/v1/views/pending/live";
    let mut first = node.follow(path, None).await;
    let mut second = node.follow(path, None).await;
    first.expect("snapshot", 0).await;
    second.expect("snapshot", 0).await;
    node.problem(path, StatusCode::SERVICE_UNAVAILABLE, "too_many_subscribers").await;
    assert_eq!(node.live.subscribers(), 2);
    drop(first);
    free(&node.live, 1).await;
    node.follow(path, None).await.expect("snapshot", 0).await;
}

#[tokio::test]
async fn streams_end_with_the_node() {
    let node = node(100, NEVER).await;
    node.served.replace(1, Vec::new());
    let mut events = node.follow("/v1/views/pending/live", None).await;
    events.expect("snapshot", 0).await;
    node.shutdown.cancel();
    let end = events.event("end", 0).await;
    assert_eq!((end.data["reason"].as_str(), end.id.is_some()), (Some("stopping"), true));
    assert_eq!(events.next().await, None);
}
