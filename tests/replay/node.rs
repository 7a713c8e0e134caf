//! Against real nodes: what is replayed is there, once, even if the node dies in the middle of it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dataflows::calendar::Day;
use otklik::generate::{Params, generate};
use otklik::replay::{self, End, Node, Pace, Plan, Progress, Report};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fixture::{per_second, replayed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_otklik");
const EVENTS: u64 = 6000;

/// A node as a process of its own, which ends with this.
struct Serving {
    process: Child,
    address: SocketAddr,
}

impl Serving {
    fn start(data: &Path, listen: SocketAddr) -> Serving {
        let mut process = Command::new(PROGRAM)
            .args(["serve", "--listen", &listen.to_string(), "--data"])
            .arg(data)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is built");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let address = lines
            .find_map(|line| {
                let line = line.expect("text");
                line.split_once("listening on http://").map(|(_, address)| address.to_owned())
            })
            .expect("it says where it listens");
        // Somebody has to read what else it says.
        std::thread::spawn(move || lines.count());
        Serving { process, address: address.trim().parse().expect("an address") }
    }

    fn node(&self) -> Node {
        format!("http://{}", self.address).parse().expect("an address")
    }

    /// Waits until its first epoch is complete: before, there is nothing to subscribe to.
    async fn ready(&self) {
        let url = format!("http://{}/readyz", self.address);
        while !reqwest::get(&url).await.expect("it answers").status().is_success() {
            tokio::task::yield_now().await;
        }
    }

    /// The rows of a view, once everything of the replay is in them.
    async fn rows(&self, view: &str, report: &Report) -> Value {
        let url = format!("http://{}/v1/views/{view}?limit=10000", self.address);
        let last_epoch = report.last_epoch.expect("something was acknowledged");
        loop {
            let answer = reqwest::get(&url).await.expect("it answers");
            let page: Value = answer.json().await.expect("JSON");
            if page["epoch"].as_u64().is_some_and(|epoch| epoch >= last_epoch) {
                return page["rows"].clone();
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.expect("it was ours to kill");
    }
}

/// Reference data, and a stream of which the reference data are a part as well.
fn generated() -> (TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().expect("a directory");
    let files = ["reference.ndjson", "events.ndjson"].map(|name| directory.path().join(name));
    let [mut reference, mut events] =
        files.each_ref().map(|path| std::fs::File::create(path).expect("creates"));
    let day = |year| Day::new(year, 1, 1).expect("a day");
    let params = Params { events: EVENTS, seed: 120, from: day(2017), until: day(2019) };
    generate(&params, &mut reference, &mut events, &mut |_| {}).expect("writes");
    (directory, files.to_vec())
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// The row of `conservation` without what a repeat adds to.
fn conserved(rows: &Value) -> Value {
    let mut row = rows[0].clone();
    let columns = row.as_object_mut().expect("one row");
    let accepted = columns.remove("accepted").and_then(|n| n.as_u64()).expect("a count");
    let sum: u64 = columns.values().map(|n| n.as_u64().expect("a count")).sum();
    assert_eq!(accepted, sum, "{rows}");
    columns.remove("duplicate");
    row
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_in_the_middle_has_it_all_in_the_end_as_one_that_does_not() {
    let (directory, files) = generated();
    let undisturbed = Serving::start(&directory.path().join("a"), anywhere());
    undisturbed.ready().await;
    let report = replayed(Plan::new(files.clone(), undisturbed.node(), Pace::Max)).await;
    assert_eq!((report.end, report.events.refused), (End::Complete, 0), "{report}");
    assert_eq!(report.acknowledged.events, report.events.sent);
    let visible = &report.visible;
    assert_eq!((visible.unseen, visible.losses), (0, 0), "{report}");
    assert!(visible.quantiles.events > EVENTS / 2, "{report}");
    assert!(visible.quantiles.max_ms >= report.acknowledged.p50_ms, "{report}");

    let data = directory.path().join("b");
    let first = Serving::start(&data, anywhere());
    let (address, node) = (first.address, first.node());
    let (progress, mut watched) = watch::channel(Progress::default());
    let death = tokio::spawn(async move {
        let is_half = |now: &Progress| now.acknowledged >= report.events.sent / 2;
        watched.wait_for(is_half).await.expect("it goes on");
        drop(first);
        tokio::task::spawn_blocking(move || Serving::start(&data, address)).await.expect("starts")
    });
    let plan = Plan::new(files, node, per_second(8000.0));
    let disturbed = replay::replay(plan, progress, CancellationToken::new()).await.expect("reads");
    let second = death.await.expect("no panics");

    assert!(disturbed.is_acknowledged(), "{disturbed}");
    assert!(disturbed.retries.connection > 0 && disturbed.visible.losses > 0, "{disturbed}");
    assert_eq!(disturbed.events.accepted, disturbed.events.sent);
    for view in ["conservation", "units", "agencies", "refused", "pending"] {
        let [calm, shaken] =
            [undisturbed.rows(view, &report).await, second.rows(view, &disturbed).await];
        match view {
            "conservation" => assert_eq!(conserved(&calm), conserved(&shaken)),
            _ => assert_eq!(calm, shaken, "{view}"),
        }
    }
}
