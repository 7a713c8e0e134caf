//! A node and its worker are killed at random moments while clients send and subscribers listen.
//! Nothing acknowledged may be missing, nothing counted twice, no change missed or seen twice.
//!
//! `OTKLIK_KILLS`, `OTKLIK_EVENTS` and `OTKLIK_PAUSE_MS` (between kills, on average) ask for more
//! than the gate's short run.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const SENDERS: usize = 3;
const BATCH_LINES: usize = 500;

fn asked(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

struct Node {
    child: Child,
}

impl Node {
    /// Starts a node on the data and port, and waits until it says that it listens.
    fn start(data: &Path, port: u16) -> Node {
        let mut child = Command::new(env!("CARGO_BIN_EXE_otklik"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let listening = |line: &String| line.contains("http://");
        lines.by_ref().map_while(Result::ok).find(listening).expect("the node listens");
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Node { child }
    }

    fn kill(self) {}

    fn end(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }

    fn worker(&self) -> Option<u32> {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        // Any thread of the node may have started it.
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let of_tasks = tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let all: String = of_tasks.chain(children).collect();
        all.split_whitespace().next()?.parse().ok()
    }
}

/// A test that fails leaves nothing running.
impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    socket.local_addr().expect("bound").port()
}

fn generate(directory: &Path, events: usize) {
    let made = Command::new(env!("CARGO_BIN_EXE_otklik"))
        .args(["generate", "--seed", "7", "--events", &events.to_string(), "--out"])
        .arg(directory)
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("the program starts").success());
}

fn batches(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("generated");
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks(BATCH_LINES).map(|chunk| chunk.join("\n")).collect()
}

/// Sends one batch until it is acknowledged, however often the node dies meanwhile.
async fn deliver(client: &reqwest::Client, url: &str, batch: &str) {
    loop {
        let sent = client.post(url).body(batch.to_owned()).send().await;
        if let Ok(answer) = sent
            && answer.status().is_success()
            && answer.bytes().await.is_ok()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a subscriber holds: a snapshot with changes applied, and the last id.
#[derive(Default)]
struct Held {
    rows: BTreeMap<String, Value>,
    id: Option<String>,
    epoch: u64,
    reconnects: usize,
    snapshots: usize,
}

impl Held {
    fn take(&mut self, event: &str, id: Option<&str>, data: &str) {
        let data: Value = serde_json::from_str(data).expect("events are JSON");
        let epoch = data["epoch"].as_u64().expect("every event has an epoch");
        let name = |row: &Value| format!("{} {}", row["tenure"], row["period"]);
        match event {
            "snapshot" => {
                if data["part"] == 1 {
                    self.snapshots += 1;
                    self.rows.clear();
                }
                let rows = data["rows"].as_array().expect("rows").iter();
                self.rows.extend(rows.map(|row| (name(row), row.clone())));
            }
            "lagged" => {
                self.id = None;
                return;
            }
            "changes" => {
                assert_eq!(data["after"].as_str(), self.id.as_deref(), "an epoch is missing");
                assert!(epoch > self.epoch, "an epoch came twice: {epoch} after {}", self.epoch);
                for change in data["changes"].as_array().expect("changes") {
                    let key = name(&change["key"]);
                    if change["op"] == "delete" {
                        assert!(self.rows.remove(&key).is_some(), "{key} was not there");
                    } else {
                        let old = self.rows.insert(key.clone(), change["row"].clone());
                        assert_ne!(old.as_ref(), Some(&change["row"]), "{key} did not change");
                    }
                }
            }
            _ => {}
        }
        self.epoch = epoch;
        self.id = id.map(str::to_owned).or(self.id.take());
    }
}

/// Follows `manager_periods`, reconnecting with the last id, until `done` and the epoch is reached.
async fn subscribe(url: String, last: Arc<AtomicUsize>) -> Held {
    let client = reqwest::Client::new();
    let mut held = Held::default();
    loop {
        let mut request = client.get(&url);
        if let Some(id) = &held.id {
            request = request.header("Last-Event-ID", id);
        }
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        let Ok(answer) = answer else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        held.reconnects += 1;
        let mut stream = answer.bytes_stream();
        let mut text = Vec::new();
        while let Some(Ok(bytes)) = stream.next().await {
            text.extend_from_slice(&bytes);
            while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                let message: Vec<u8> = text.drain(..end + 2).collect();
                let message = String::from_utf8(message).expect("UTF-8");
                let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(event), Some(data)) = (field("event: "), field("data: ")) {
                    held.take(event, field("id: "), data);
                }
            }
            let last = last.load(Ordering::Relaxed) as u64;
            if last > 0 && held.epoch >= last {
                return held;
            }
        }
    }
}

fn kill_worker(pid: u32) {
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_counted_twice() {
    let (kills, events) = (asked("OTKLIK_KILLS", 6), asked("OTKLIK_EVENTS", 20_000));
    let directory = tempfile::tempdir().expect("a directory");
    generate(directory.path(), events);
    let data = directory.path().join("data");
    let port = free_port();
    let base = format!("http://127.0.0.1:{port}");
    let url = format!("{base}/v1/events");
    let mut node = Node::start(&data, port);
    let client =
        reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("valid");
    let last_epoch = Arc::new(AtomicUsize::new(0));
    let live = format!("{base}/v1/views/manager_periods/live");
    let subscriber = tokio::spawn(subscribe(live, last_epoch.clone()));

    // Reference data in their order, then the rest from several senders at once.
    for batch in batches(&directory.path().join("reference.ndjson")) {
        deliver(&client, &url, &batch).await;
    }
    let work = Arc::new(batches(&directory.path().join("events.ndjson")));
    let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            let (work, next, done) = (work.clone(), next.clone(), done.clone());
            tokio::spawn(async move {
                while let Some(batch) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    deliver(&client, &url, batch).await;
                }
                done.store(true, Ordering::Relaxed);
            })
        })
        .collect();

    let seed = rand_seed();
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut nodes, mut workers) = (0, 0);
    let pause = Duration::from_millis(asked("OTKLIK_PAUSE_MS", 500) as u64);
    for _ in 0..kills {
        tokio::time::sleep(pause.mul_f64(random.random_range(0.1..1.9))).await;
        if random.random_bool(0.5) {
            workers += usize::from(node.worker().map(kill_worker).is_some());
        } else {
            node.kill();
            node = Node::start(&data, port);
            nodes += 1;
        }
    }
    for sender in senders {
        sender.await.expect("a sender does not panic");
    }
    let final_epoch = current(&client, &base, &last_epoch).await;
    let held = tokio::time::timeout(Duration::from_secs(120), subscriber)
        .await
        .expect("the subscriber reaches the last epoch")
        .expect("the subscriber does not panic");
    println!(
        "{nodes} kills of the node, {workers} of the worker; the subscriber connected {} times, \
         {} snapshots; last epoch {final_epoch}",
        held.reconnects, held.snapshots
    );
    let served = all_rows(&client, &base).await;
    assert_eq!(held.rows.len(), served.len());
    assert!(held.rows.values().eq(served.values()), "the subscriber holds what is served");
    let verified = Command::new(env!("CARGO_BIN_EXE_otklik"))
        .args(["verify", "--url", &base, "--data"])
        .arg(&data)
        .output()
        .expect("the program starts");
    let said = [verified.stdout, verified.stderr].concat();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&said));
    node.kill();
}

/// Waits until everything acknowledged is in the figures; the epoch that shows it.
async fn current(client: &reqwest::Client, base: &str, last: &AtomicUsize) -> u64 {
    // One more event: the epoch of its answer is the last.
    let marker = r#"{"type":"agency","id":"the-last","name":"the last"}"#;
    let answer = loop {
        if let Ok(answer) = client.post(format!("{base}/v1/events")).body(marker).send().await
            && answer.status().is_success()
        {
            break answer.json::<Value>().await.expect("an answer is JSON");
        }
    };
    let epoch = answer["epoch"].as_u64().expect("an answer has its epoch");
    last.store(epoch as usize, Ordering::Relaxed);
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        assert!(Instant::now() < deadline, "epoch {epoch} is served in time");
        let view = client.get(format!("{base}/v1/views/conservation")).send().await;
        if let Ok(view) = view
            && let Ok(view) = view.json::<Value>().await
            && view["epoch"].as_u64().is_some_and(|served| served >= epoch)
        {
            return epoch;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn all_rows(client: &reqwest::Client, base: &str) -> BTreeMap<String, Value> {
    let mut rows = BTreeMap::new();
    let mut after = String::new();
    loop {
        let mut url =
            reqwest::Url::parse(&format!("{base}/v1/views/manager_periods")).expect("valid");
        url.query_pairs_mut().append_pair("limit", "10000");
        if !after.is_empty() {
            url.query_pairs_mut().append_pair("after", &after);
        }
        let page: Value = client.get(url).send().await.expect("served").json().await.expect("JSON");
        for row in page["rows"].as_array().expect("rows") {
            rows.insert(format!("{} {}", row["tenure"], row["period"]), row.clone());
        }
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return rows,
        }
    }
}

/// Another moment of killing each run; `OTKLIK_SEED` repeats one.
fn rand_seed() -> u64 {
    let asked = std::env::var("OTKLIK_SEED").ok().and_then(|seed| seed.parse().ok());
    asked.unwrap_or_else(|| u64::from(std::process::id()))
}
