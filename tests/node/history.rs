//! A subscriber whose node is stopped and started again.

use serde_json::Value;

use super::fixture::{Node, SMS, config};

/// The frames of a stream of `conservation` up to the epoch `up_to`, as `(event, id, data)`.
async fn frames(node: &Node, after: &str, up_to: u64) -> Vec<(String, Option<String>, Value)> {
    let path = format!("/v1/views/conservation/live?format=ndjson&after={after}&up_to={up_to}");
    let (_, text) = node.get(&path).await;
    let frame = |line: &str| {
        let mut frame: Value = serde_json::from_str(line).expect("a line is JSON");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        (text(&frame["event"]).expect("an event"), text(&frame["id"]), frame["data"].take())
    };
    text.lines().map(frame).collect()
}

/// Submits replies of one record after another, and waits until they are served; the last epoch.
async fn submit(node: &Node, records: std::ops::Range<usize>) -> u64 {
    let mut epoch = 0;
    for record in records {
        let line = SMS.replace("\"record\":7", &format!("\"record\":{record}"));
        let answer = node.submit(line).await;
        epoch = answer["epoch"].as_u64().expect("an epoch");
        node.running.served.wait_for(epoch).await;
    }
    epoch
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_goes_on_after_a_restart_of_the_node() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::with_worker(config(directory.path())).await;
    let first = submit(&node, 1..4).await;
    let snapshot = frames(&node, "", first).await;
    assert_eq!(snapshot[0].0, "snapshot");
    let accepted = snapshot[0].2["rows"][0]["accepted"].as_i64().expect("a count");
    let id = snapshot[0].1.clone().expect("an id");
    submit(&node, 4..6).await;
    node.stop().await;

    let node = Node::with_worker(config(directory.path())).await;
    let last = submit(&node, 6..8).await;
    let mut held = (accepted, id.clone());
    for (event, id, data) in frames(&node, &id, last).await {
        match event.as_str() {
            "changes" => {
                assert_eq!(data["after"], held.1, "a frame is missing");
                let row = &data["changes"][0]["row"];
                let accepted = row["accepted"].as_i64().expect("a count");
                assert!(accepted > held.0, "{accepted} after {}", held.0);
                held = (accepted, id.expect("an id"));
            }
            "progress" | "end" => held.1 = id.expect("an id"),
            other => panic!("{other}: {data}"),
        }
    }
    assert_eq!(held.0, 7);
    node.stop().await;

    // Under other rules the figures of that epoch would have been others; here the file is gone.
    std::fs::remove_dir_all(directory.path().join("history")).expect("it was kept");
    let node = Node::with_worker(config(directory.path())).await;
    let last = submit(&node, 8..9).await;
    let frames = frames(&node, &id, last).await;
    assert_eq!((frames[0].0.as_str(), frames[1].0.as_str()), ("lagged", "snapshot"));
    node.stop().await;
}
