//! How a node starts, says how it stands, and stops.

use serde_json::Value;

use super::fixture::{Node, SMS, config};

#[tokio::test(flavor = "multi_thread")]
async fn events_are_accepted_while_the_worker_dies_again_and_again() {
    let node = Node::with(|config| config.worker.restart_ms_max = 100).await;
    let restarted = |metrics: &str| {
        let line = metrics.lines().find(|line| line.starts_with("otklik_worker_restarts_total "));
        line.and_then(|line| line.split(' ').next_back()?.parse().ok()).unwrap_or(0) >= 3
    };
    let mut submitted = 0;
    while !restarted(&node.get("/metrics").await.1) {
        assert_eq!(node.submit(SMS).await["accepted"], 1);
        submitted += 1;
    }
    let (status, readiness) = node.get("/readyz").await;
    assert_eq!(status, 503);
    let readiness: Value = serde_json::from_str(&readiness).expect("JSON");
    assert_eq!((&readiness["ready"], &readiness["stage"]), (&false.into(), &"replaying".into()));
    assert_eq!(node.stop().await, submitted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_epoch_of_answers_rises_over_restarts() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut latest = 0;
    for _ in 0..3 {
        let node = Node::on(config(directory.path())).await;
        for _ in 0..3 {
            let epoch = node.submit(SMS).await["epoch"].as_u64().expect("a number");
            assert!(epoch >= latest, "{epoch} after {latest}");
            latest = epoch;
        }
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_many_senders_are_all_durable() {
    let node = Node::start().await;
    let senders = (0..50).map(|n| node.post(format!("{SMS}\n").repeat(n)).send());
    let answers = futures::future::join_all(senders).await;
    let mut accepted = 0;
    for (n, answer) in answers.into_iter().enumerate() {
        let answer: Value = answer.expect("answered").json().await.expect("JSON");
        assert_eq!(answer["accepted"], n);
        accepted += n;
    }
    assert_eq!(node.stop().await, accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_what_was_accepted() {
    let node = Node::start().await;
    node.submit(format!("{SMS}\n{SMS}\n{{")).await;
    let (code, status) = node.get("/v1/status").await;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(code, 200);
    assert_eq!(status["accepted"], 2);
    assert_eq!(status["rules"]["integral"], "surveyed");
    assert_eq!(status["log"]["stage"], "open");
    assert_eq!(status["accepted_per_second"].as_array().map(Vec::len), Some(60));
    // The two, and the hour that the node has logged itself.
    assert_eq!(status["log"]["events"], 3);
    assert_eq!(status["epoch"], Value::Null, "without a worker no epoch is complete");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_are_answered_as_problems() {
    let node = Node::start().await;
    let (status, code, _) = node.problem(node.client.get(node.url("/v2/events"))).await;
    assert_eq!((status, code.as_str()), (404, "not_found"));
    let (status, code, _) = node.problem(node.client.get(node.url("/v1/events"))).await;
    assert_eq!((status, code.as_str()), (405, "method_not_allowed"));
    node.stop().await;
}
