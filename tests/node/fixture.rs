//! A node on a free port with a data directory that goes away, and a client.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use otklik::config::Config;
use otklik::log::Whole;
use otklik::mesh::hand;
use otklik::node::{Running, start};
use reqwest::{Body, Client, RequestBuilder, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

/// A line that is accepted.
pub const SMS: &str =
    r#"{"type":"sms","record":7,"text":"5","received_at":"2018-03-01T10:00:00+03:00"}"#;

/// A program that is no worker and ends at once: the door must not mind.
const NO_WORKER: &str = "false";

/// A node in this process, without a worker.
pub struct Node {
    pub running: Running,
    pub client: Client,
    pub data: PathBuf,
    _directory: Option<TempDir>,
}

/// The configuration of a node for a test.
pub fn config(data: &Path) -> Config {
    let listen = "127.0.0.1:0".parse().expect("an address");
    Config { listen, data: data.to_owned(), ..Config::default() }
}

impl Node {
    /// With everything as in the embedded configuration.
    pub async fn start() -> Node {
        Node::with(|_| {}).await
    }

    /// With some keys changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Node {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = config(directory.path());
        change(&mut config);
        let mut node = Node::on(config).await;
        node._directory = Some(directory);
        node
    }

    /// On a directory that outlives it; it accepts when this returns.
    pub async fn on(config: Config) -> Node {
        Node::running(config, NO_WORKER).await
    }

    /// With a worker, on a directory that outlives it; it accepts when this returns.
    pub async fn with_worker(config: Config) -> Node {
        Node::running(config, env!("CARGO_BIN_EXE_otklik")).await
    }

    async fn running(config: Config, program: &str) -> Node {
        let data = config.data.clone();
        let running = start(config, program.into()).await.expect("a free port");
        let node = Node { running, client: Client::new(), data, _directory: None };
        while node.post("").send().await.expect("it answers").status() != StatusCode::OK {
            assert!(!node.running.stop.is_cancelled(), "the node has failed");
        }
        node
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address)
    }

    /// A batch for the door.
    pub fn post(&self, body: impl Into<Body>) -> RequestBuilder {
        self.client.post(self.url("/v1/events")).body(body)
    }

    /// Submits a batch that is answered with 200, and yields the answer.
    pub async fn submit(&self, body: impl Into<Body>) -> Value {
        let response = self.post(body).send().await.expect("it answers");
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.expect("JSON")
    }

    /// Submits a batch that is answered with a problem; yields `(status, code, detail)`.
    pub async fn problem(&self, request: RequestBuilder) -> (u16, String, String) {
        let response = request.send().await.expect("it answers");
        let status = response.status().as_u16();
        let content_type = response.headers()["content-type"].to_str().expect("text").to_owned();
        assert_eq!(content_type, "application/problem+json", "{status}");
        if status == 429 || status == 503 {
            assert!(response.headers().contains_key("retry-after"), "{status}");
        }
        let problem: Value = response.json().await.expect("JSON");
        let text = |name: &str| problem[name].as_str().expect(name).to_owned();
        (status, text("code"), text("detail"))
    }

    pub async fn get(&self, path: &str) -> (StatusCode, String) {
        let response = self.client.get(self.url(path)).send().await.expect("it answers");
        (response.status(), response.text().await.expect("text"))
    }

    /// What is at a path, as JSON.
    pub async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).await.1).expect("JSON")
    }

    /// Stops it, and yields how many SMS are in its log.
    pub async fn stop(self) -> usize {
        self.running.stop.cancel();
        self.running.ended().await.expect("a clean end");
        logged(&self.data)
    }
}

/// How many SMS are in a log.
pub fn logged(data: &Path) -> usize {
    let mut log = Whole::open(data).expect("a log");
    let mut count = 0;
    while let Some(frame) = log.next_frame().expect("a sound log") {
        let is_sms =
            |event: &otklik::event::Event<'_>| matches!(event, otklik::event::Event::Sms(_));
        count += frame.events().filter(|event| is_sms(event.as_ref().expect("an event"))).count();
    }
    count
}

/// A worker without a node, what it is told and speaks over, and what it hands its own files over.
pub fn worker_by_hand() -> (Child, UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a socket");
    let (handing, taking) = UnixStream::pair().expect("a socket");
    let no_sockets: [&UnixStream; 0] = [];
    hand::send(&handing, no_sockets).expect("it is open");
    let worker = Command::new(env!("CARGO_BIN_EXE_otklik"))
        .arg("worker")
        .stdin(OwnedFd::from(theirs))
        .stdout(OwnedFd::from(taking))
        .spawn()
        .expect("the program starts");
    (worker, ours, handing)
}
