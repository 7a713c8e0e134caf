//! Senders that send again until they are answered, and a subscriber that resumes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tokio::task::JoinHandle;

const SENDERS: usize = 3;
/// Before a sender tries again, or looks whether it may go on.
const PAUSE: Duration = Duration::from_millis(10);

/// What the senders share.
#[derive(Debug)]
pub struct Sending {
    client: reqwest::Client,
    url: String,
    batches: Vec<String>,
    next: AtomicUsize,
    /// Batches that may be begun: so that they last for all kills.
    allowed: AtomicUsize,
    done: AtomicBool,
    /// Events answered for.
    acknowledged: AtomicU64,
}

impl Sending {
    pub fn new(client: reqwest::Client, url: String, batches: Vec<String>) -> Arc<Sending> {
        Arc::new(Sending {
            client,
            url,
            batches,
            next: AtomicUsize::new(0),
            allowed: AtomicUsize::new(0),
            done: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
        })
    }

    /// Starts senders that go through the batches in their order, each taking the next, and begin
    /// anew when all are sent, until [`finish`](Sending::finish).
    pub fn start(self: &Arc<Sending>) -> Vec<JoinHandle<()>> {
        let sender = || {
            let sending = Arc::clone(self);
            tokio::spawn(async move { sending.send().await })
        };
        (0..SENDERS).map(|_| sender()).collect()
    }

    /// Lets so many more batches be begun.
    pub fn allow(&self, batches: usize) {
        self.allowed.fetch_add(batches, Ordering::Relaxed);
    }

    /// Every batch is sent at least once, and then no more.
    pub fn finish(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    async fn send(&self) {
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            while next >= self.allowed.load(Ordering::Relaxed) {
                if self.done.load(Ordering::Relaxed) {
                    if next >= self.batches.len() {
                        return;
                    }
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
            self.deliver(&self.batches[next % self.batches.len()]).await;
        }
    }

    /// Sends one batch until it is acknowledged, however often the node dies meanwhile.
    pub async fn deliver(&self, batch: &str) {
        loop {
            let sent = self.client.post(&self.url).body(batch.to_owned()).send().await;
            if let Ok(answer) = sent
                && answer.status().is_success()
                && let Ok(answer) = answer.json::<Value>().await
            {
                let accepted = answer["accepted"].as_u64().expect("an answer counts");
                self.acknowledged.fetch_add(accepted, Ordering::Relaxed);
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What a subscriber holds: a snapshot with changes applied, and the last id.
#[derive(Debug, Default)]
pub struct Held {
    pub rows: BTreeMap<String, Value>,
    pub connections: usize,
    pub snapshots: usize,
    id: Option<String>,
    epoch: u64,
}

/// How a row of `manager_periods` is called, by its own columns or by its key.
pub fn name(row: &Value) -> String {
    format!("{} {}", row["tenure"], row["period"])
}

impl Held {
    fn take(&mut self, event: &str, id: Option<&str>, data: &str) {
        let data: Value = serde_json::from_str(data).expect("events are JSON");
        let epoch = data["epoch"].as_u64().expect("every event has an epoch");
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

    /// Takes the messages that are complete in `text`, and leaves the rest.
    fn take_messages(&mut self, text: &mut Vec<u8>) {
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let message: Vec<u8> = text.drain(..end + 2).collect();
            let message = String::from_utf8(message).expect("UTF-8");
            let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(event), Some(data)) = (field("event: "), field("data: ")) {
                self.take(event, field("id: "), data);
            }
        }
    }
}

/// Follows `manager_periods`, reconnecting with the last id, until the epoch `last` is reached, once
/// that is not 0.
pub async fn subscribe(base: String, last: Arc<AtomicU64>) -> Held {
    let (client, url) = (reqwest::Client::new(), format!("{base}/v1/views/manager_periods/live"));
    let mut held = Held::default();
    loop {
        let mut request = client.get(&url);
        if let Some(id) = &held.id {
            request = request.header("Last-Event-ID", id);
        }
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        let Ok(answer) = answer else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        held.connections += 1;
        let mut stream = answer.bytes_stream();
        let mut text = Vec::new();
        while let Some(Ok(bytes)) = stream.next().await {
            text.extend_from_slice(&bytes);
            held.take_messages(&mut text);
            let last = last.load(Ordering::Relaxed);
            if last > 0 && held.epoch >= last {
                return held;
            }
        }
    }
}
