//! The node with its worker: from a batch to a figure, and what the death of a worker changes.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::fixture::{Node, SMS, config};

/// The rating messages that the dataflow has accounted for.
async fn accounted(node: &Node) -> Value {
    node.json("/v1/views/conservation").await["rows"][0]["accepted"].clone()
}

/// Submits `count` replies of different records, from `first` on, and waits until they are served.
async fn served(node: &Node, first: usize, count: usize) {
    let lines = (first..first + count)
        .map(|record| SMS.replace("\"record\":7", &format!("\"record\":{record}")) + "\n");
    let answer = node.submit(lines.collect::<String>()).await;
    assert_eq!(answer["accepted"], count);
    node.running.served.wait_for(answer["epoch"].as_u64().expect("an epoch")).await;
}

async fn worker_pid(node: &Node) -> Pid {
    loop {
        if let Some(pid) = node.json("/v1/status").await["worker"]["pid"].as_i64() {
            return Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("not zero");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_in_the_figures_of_its_epoch() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::with_worker(config(directory.path())).await;
    for round in 0..10 {
        served(&node, 100 * round, 100).await;
        assert_eq!(accounted(&node).await, 100 * (round + 1));
    }
    let readiness = node.json("/readyz").await;
    assert_eq!((&readiness["ready"], &readiness["stage"]), (&true.into(), &"ready".into()));
    let (_, metrics) = node.get("/metrics").await;
    assert!(metrics.contains("otklik_rows{view=\"conservation\"} 1\n"), "{metrics}");
    assert_eq!(node.stop().await, 1000);

    let node = Node::with_worker(config(directory.path())).await;
    served(&node, 1000, 1).await;
    assert_eq!(accounted(&node).await, 1001, "after a start the log is replayed");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_loses_nothing_and_refuses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::with_worker(config(directory.path())).await;
    for round in 0..3 {
        served(&node, 100 * round, 50).await;
        let pid = worker_pid(&node).await;
        kill_process(pid, Signal::KILL).expect("it runs");
        // The figures stay, and events are accepted, whether or not there is a worker right now.
        assert_eq!(accounted(&node).await, 100 * round + 50);
        assert_eq!(node.json("/readyz").await["ready"], true);
        served(&node, 100 * round + 50, 50).await;
        assert_eq!(accounted(&node).await, 100 * (round + 1));
        assert_ne!(worker_pid(&node).await, pid);
    }
    assert_eq!(node.json("/v1/status").await["worker"]["restarts"], 3);
    assert_eq!(node.stop().await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_hangs_is_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = config(directory.path());
    config.worker.silent_seconds = 1;
    let node = Node::with_worker(config).await;
    served(&node, 0, 1).await;
    let pid = worker_pid(&node).await;
    kill_process(pid, Signal::STOP).expect("it runs");
    served(&node, 1, 1).await;
    assert_ne!(worker_pid(&node).await, pid);
    assert_eq!(accounted(&node).await, 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_are_closed_while_nothing_comes_in_and_nothing_is_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = Node::with_worker(config(directory.path())).await;
    served(&node, 0, 1).await;
    let bytes = node.json("/v1/status").await["log"]["bytes"].clone();
    let epoch = node.running.served.epoch().expect("one is served");
    node.running.served.wait_for(epoch + 20).await;
    assert_eq!(node.json("/v1/status").await["log"]["bytes"], bytes);
    node.stop().await;
}
