//! Checkpoints of a running node: made beside it, begun with after a death, passed over if damaged.

use std::path::{Path, PathBuf};

use dataflows::calendar::Hour;
use otklik::chain::Chain;
use otklik::config::Config;
use otklik::event::Event;
use otklik::log::{FrameBuilder, Options, Position, Reader, Whole, Writer};
use otklik::protocol::{self, Command as Tell, Listener, Report};
use otklik::rules::Rules;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::fixture::{Node, SMS, config, worker_by_hand};

/// A node that makes a checkpoint whenever something has come.
async fn node(data: &Path, change: impl FnOnce(&mut Config)) -> Node {
    let mut config = config(data);
    config.checkpoint.events = 1;
    change(&mut config);
    Node::with_worker(config).await
}

/// Submits replies of `count` records from `first` on, and waits until they are served.
async fn served(node: &Node, first: usize, count: usize) {
    let lines = (first..first + count)
        .map(|record| SMS.replace("\"record\":7", &format!("\"record\":{record}")) + "\n");
    let answer = node.submit(lines.collect::<String>()).await;
    node.running.served.wait_for(answer["epoch"].as_u64().expect("an epoch")).await;
}

/// The digests once all that was sent is in the newest checkpoint; nothing but hours may follow.
async fn checkpointed(node: &Node, events: u64) -> Value {
    loop {
        let status = node.json("/v1/status").await;
        if status["checkpoint"]["events"].as_u64().is_some_and(|held| held >= events) {
            return node.json("/v1/digests").await["views"].clone();
        }
        tokio::task::yield_now().await;
    }
}

fn checkpoints(data: &Path) -> Vec<PathBuf> {
    otklik::checkpoint::list(data).expect("a directory")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_and_a_node_begin_with_a_checkpoint() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path();
    let running = node(data, |_| ()).await;
    served(&running, 0, 50).await;
    let digests = checkpointed(&running, 50).await;
    assert_ne!(digests, Value::Null);

    // The worker: what it comes to is compared with the checkpoint by itself, or it would not run.
    let pid = running.json("/v1/status").await["worker"]["pid"].as_i64().expect("it runs");
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("not zero");
    kill_process(pid, Signal::KILL).expect("it runs");
    served(&running, 0, 1).await;
    served(&running, 50, 50).await;
    checkpointed(&running, 101).await;
    let before = running.json("/v1/digests").await;
    running.stop().await;

    // The node: with two workers, from the newest, and then from the one before it.
    for damaged in [false, true] {
        if damaged {
            let newest = checkpoints(data).remove(0);
            let mut bytes = std::fs::read(&newest).expect("there");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&newest, bytes).expect("room on the disk");
        }
        let running = node(data, |config| {
            config.workers = 2;
            config.checkpoint.events = 0;
        })
        .await;
        served(&running, 0, 1).await;
        let after = running.json("/v1/digests").await;
        for view in ["manager_periods", "pending", "months", "directory"] {
            assert_eq!(after["views"][view], before["views"][view], "{view}");
        }
        let rows = running.json("/v1/views/conservation").await["rows"].clone();
        assert_eq!(rows[0]["accepted"], 102 + u64::from(damaged));
        running.stop().await;
    }
}

/// Beyond the horizon a record is closed: what comes for it is refused, whatever begins with what.
#[tokio::test(flavor = "multi_thread")]
async fn closed_records_stay_closed_across_checkpoints() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path();
    let old = SMS.replace("\"record\":7", "\"record\":1");
    let recent = SMS.replace("\"record\":7", "\"record\":8").replace("2018-03", "2018-09");
    {
        // A log of 2018: the next start tells a later hour, and with it record 1 retires.
        let (mut writer, _) =
            Writer::open(data, Options::default(), None, |_, _| ()).expect("an empty directory");
        let mut frame = FrameBuilder::new();
        for line in [&old, &recent] {
            frame.push(&Event::parse(line.as_bytes()).expect("valid")).expect("room");
        }
        frame.push(&Event::Clock(Hour(427_000))).expect("room");
        writer.append(1, &mut frame).expect("room on the disk");
    }
    let horizon = |config: &mut Config| config.rules.horizon_days = 90;
    for times in 1..=2 {
        let running = node(data, horizon).await;
        served(&running, 100, 1).await;
        served(&running, 1, 1).await;
        let refused = running.json("/v1/views/refused?code=closed").await["rows"].clone();
        assert_eq!(refused[0]["count"], times, "{refused}");
        checkpointed(&running, 4 + 2 * times).await;
        running.stop().await;
    }
}

/// What a worker says of a log at its end, with whatever checkpoints there are.
fn chain(data: &Path, workers: usize, end: Position) -> Chain {
    let mut log = Reader::open(data).expect("a log");
    let mut hours = Vec::new();
    while let Some(frame) = log.next_frame(end).expect("sound") {
        hours.extend(frame.hours().map(|hour| (frame.epoch, hour.expect("sound"))));
    }
    let (mut worker, ours, _handing) = worker_by_hand();
    let mut listener = Listener::new(&ours);
    let tell = |command| protocol::send(&mut &ours, &command).expect("it listens");
    let (rules, data) = (Rules::default(), data.to_owned());
    tell(Tell::Start { data, adopted: vec![], workers, rules, first: None, seat: None });
    tell(Tell::Advance { end, epoch: u64::MAX, hours });
    let chain = loop {
        match listener.hear().expect("it speaks").expect("it is there") {
            Report::Closed { chain, .. } => break *chain,
            Report::Part { .. }
            | Report::Reading { .. }
            | Report::Restoring { .. }
            | Report::Alive => {}
            Report::Answer { .. } => panic!("nothing was asked"),
        }
    };
    tell(Tell::Stop);
    assert!(worker.wait().expect("ours").success());
    chain
}

/// The digests and the chain of hours: from a checkpoint or the first event, on 1, 2, 4 workers.
#[tokio::test(flavor = "multi_thread")]
async fn digests_are_a_function_of_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path();
    for start in 0..3 {
        let running = node(data, |_| ()).await;
        served(&running, 10 * start, 10).await;
        checkpointed(&running, 11 * (start as u64 + 1)).await;
        running.stop().await;
    }
    let mut log = Whole::open(data).expect("a log");
    while log.next_frame().expect("sound").is_some() {}
    let end = log.position();
    let with = [1, 4].map(|workers| chain(data, workers, end));
    std::fs::remove_dir_all(otklik::checkpoint::directory(data)).expect("there are some");
    let without = [1, 2].map(|workers| chain(data, workers, end));
    assert_ne!(without[0].latest().epoch, 0, "hours were told");
    assert!([&with[0], &with[1], &without[1]].iter().all(|chain| **chain == without[0]));
}
