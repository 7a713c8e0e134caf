//! Nodes of a cluster as processes on loopback.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::ports::free_port;

/// What is waited for comes sooner, or the test fails.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Some figures of a small world: a head, whom ratings belong to.
pub const WORLD: &str = r#"{"type":"agency","id":"a","name":"Росреестр"}
{"type":"unit","id":"u","kind":"territorial","agency":"a","region":"45","name":"Отдел"}
{"type":"service","id":"s","agency":"a","name":"Выписка","listed":true}
{"type":"tenure","id":"t","manager":"m","unit":"u","from":"2025-01-01"}
"#;

/// A registered fact and a reply to it.
pub fn rating(record: u64, digit: u64) -> String {
    format!(
        concat!(
            r#"{{"type":"fact","record":{0},"unit":"u","service":"s","provided_on":"2025-03-03","#,
            r#""received_at":"2025-03-03T12:00:00+03:00"}}"#,
            "\n",
            r#"{{"type":"sms","record":{0},"text":"{1}","received_at":"2025-03-04T12:00:00+03:00"}}"#,
            "\n"
        ),
        record, digit
    )
}

pub struct Cluster {
    pub directory: tempfile::TempDir,
    pub client: reqwest::Client,
    pub nodes: Vec<Node>,
    pub hosts: Vec<String>,
}

pub struct Node {
    pub child: Option<Child>,
    pub data: PathBuf,
    pub url: String,
    /// Address and port for HTTP.
    listen: String,
    /// The network namespace it runs in, if it is not ours.
    namespace: Option<String>,
}

pub fn program() -> Command {
    let other = std::env::var_os("OTKLIK_PROGRAM");
    Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_otklik").into()))
}

impl Cluster {
    /// So many nodes, started, on data directories of their own.
    pub fn start(nodes: usize) -> Cluster {
        let directory = tempfile::tempdir().expect("a directory");
        let hosts = (0..nodes).map(|_| format!("127.0.0.1:{}", free_port())).collect();
        let client =
            reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("valid");
        let mut cluster = Cluster { directory, client, nodes: Vec::new(), hosts };
        for process in 0..nodes {
            cluster.add_node();
            cluster.launch(process, &[]);
        }
        cluster
    }

    /// One more, not started.
    pub fn add_node(&mut self) {
        self.add_node_at(format!("127.0.0.1:{}", free_port()), None);
    }

    /// One more at this address, not started.
    pub fn add_node_at(&mut self, listen: String, namespace: Option<String>) {
        let data = self.directory.path().join(format!("node-{}", self.nodes.len()));
        let url = format!("http://{listen}");
        self.nodes.push(Node { child: None, data, url, listen, namespace });
    }

    /// Starts a node that does not run, with these variables.
    pub fn launch(&mut self, process: usize, variables: &[(&str, &str)]) {
        let node = &mut self.nodes[process];
        let mut command = program();
        if let Some(namespace) = &node.namespace {
            let inside = command.get_program().to_owned();
            command = Command::new("ip");
            command.args(["netns", "exec", namespace]).arg(inside);
        }
        command
            .args(["serve", "--listen", &node.listen, "--data"])
            .arg(&node.data)
            .args(["--hosts", &self.hosts.join(","), "--process", &process.to_string()])
            .env("OTKLIK_CLUSTER_SECRET", "known to all")
            .envs(variables.iter().copied())
            .stdout(Stdio::null());
        let said = node.data.with_extension("log");
        let said = std::fs::File::options().create(true).append(true).open(said);
        command.stderr(said.expect("a file"));
        node.child = Some(command.spawn().expect("started"));
    }

    /// All that a node has said so far.
    pub fn said(&self, process: usize) -> String {
        std::fs::read_to_string(self.nodes[process].data.with_extension("log")).expect("text")
    }

    pub fn kill(&mut self, process: usize) {
        let mut child = self.nodes[process].child.take().expect("it runs");
        child.kill().expect("it runs");
        child.wait().expect("ended");
    }

    /// Ends a node as an operator does.
    pub fn stop(&mut self, process: usize) {
        let mut child = self.nodes[process].child.take().expect("it runs");
        signal(child.id(), Signal::TERM);
        assert_eq!(child.wait().expect("ended").code(), Some(0));
    }

    pub async fn get(&self, process: usize, path: &str) -> Option<Value> {
        let url = format!("{}{path}", self.nodes[process].url);
        let answer = self.client.get(url).send().await.ok()?;
        answer.status().is_success().then_some(())?;
        answer.json().await.ok()
    }

    /// Sends until it is accepted; yields the epoch.
    pub async fn send(&self, process: usize, lines: &str) -> u64 {
        let url = format!("{}/v1/events", self.nodes[process].url);
        let until = Instant::now() + PATIENCE;
        loop {
            let sent = self.client.post(&url).body(lines.to_owned()).send().await;
            if let Ok(answer) = sent
                && answer.status().is_success()
                && let Ok(answer) = answer.json::<Value>().await
            {
                assert_eq!(answer["refused"], serde_json::json!([]), "{lines}");
                return answer["epoch"].as_u64().expect("an epoch");
            }
            assert!(Instant::now() < until, "node {process} accepts nothing");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every node serves this epoch or a later one; yields how long it took.
    pub async fn all_serve(&self, epoch: u64) -> Duration {
        let since = Instant::now();
        for process in 0..self.nodes.len() {
            self.serves(process, epoch).await;
        }
        since.elapsed()
    }

    pub async fn serves(&self, process: usize, epoch: u64) {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.get(process, "/v1/status").await;
            let served = status.as_ref().and_then(|status| status["epoch"].as_u64());
            if served.is_some_and(|served| served >= epoch) {
                return;
            }
            if Instant::now() > until {
                let cluster = self.get(process, "/v1/cluster").await;
                let said: Vec<String> = (0..self.nodes.len()).map(|n| self.said(n)).collect();
                let said = said.join("\n");
                panic!("node {process} serves {served:?}, not {epoch}: {cluster:#?}\n{said}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// All nodes have the same digests of an epoch at or after `epoch`.
    pub async fn agree(&self, epoch: u64) {
        self.all_serve(epoch).await;
        let until = Instant::now() + PATIENCE;
        loop {
            let first = self.get(0, "/v1/digests").await.expect("it serves");
            let at = first["epoch"].as_u64().expect("an epoch");
            let mut same = 0;
            for process in 0..self.nodes.len() {
                let path = format!("/v1/digests?epoch={at}");
                if let Some(other) = self.get(process, &path).await {
                    assert_eq!(first["views"], other["views"], "epoch {at} at node {process}");
                    same += 1;
                }
            }
            if same == self.nodes.len() {
                return;
            }
            assert!(Instant::now() < until, "no epoch that all nodes have");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The recomputation of all logs says what each node says.
    pub fn verify(&self) {
        for node in &self.nodes {
            let verified = program()
                .arg("verify")
                .arg("--data")
                .args(self.nodes.iter().map(|node| &node.data))
                .args(["--url", &node.url])
                .output()
                .expect("started");
            let text = String::from_utf8_lossy(&verified.stdout).into_owned();
            let error = String::from_utf8_lossy(&verified.stderr).into_owned();
            assert!(verified.status.success(), "{text}{error}");
        }
    }

    /// The row of the head of the small world.
    pub async fn figure(&self, process: usize) -> Value {
        let rows = self.get(process, "/v1/views/manager_periods?tenure=t").await;
        rows.expect("it serves")["rows"][0].clone()
    }

    /// What a node says of all, once it has heard that they compute: twice a second it hears.
    pub async fn running(&self, process: usize) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let cluster = self.get(process, "/v1/cluster").await.expect("it answers");
            if cluster["linked"] == true && cluster["phase"] == "running" {
                return cluster;
            }
            assert!(Instant::now() < until, "{cluster}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn generation(&self, process: usize) -> u64 {
        self.running(process).await["generation"].as_u64().expect("a number")
    }

    /// The worker process of a node.
    pub async fn worker(&self, process: usize) -> Option<u32> {
        let status = self.get(process, "/v1/status").await?;
        status["worker"]["pid"].as_u64().map(|pid| pid as u32)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(child) = &mut node.child {
                // It may have ended; what is left of it goes with the test.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

pub fn signal(pid: u32, which: Signal) {
    let pid = Pid::from_raw(pid as i32).expect("not zero");
    kill_process(pid, which).expect("it runs");
}

/// The events of `generate`, in batches: reference data, and the rest.
pub fn generated(directory: &Path, events: usize, seed: u64) -> (Vec<String>, Vec<String>) {
    let made = program()
        .args(["generate", "--events", &events.to_string(), "--seed", &seed.to_string(), "--out"])
        .arg(directory)
        .output()
        .expect("started");
    assert!(made.status.success());
    let batches = |name: &str| {
        let text = std::fs::read_to_string(directory.join(name)).expect("made");
        let lines: Vec<&str> = text.lines().collect();
        lines.chunks(200).map(|lines| lines.join("\n")).collect()
    };
    (batches("reference.ndjson"), batches("events.ndjson"))
}

/// Sends batches in turn to the nodes, several at a time; yields the last epoch.
pub async fn deliver(cluster: &Arc<Cluster>, batches: Vec<String>) -> u64 {
    let nodes = cluster.nodes.len();
    let mut last = 0;
    for several in batches.chunks(2 * nodes) {
        let sends = several.iter().enumerate().map(|(n, batch)| {
            let (cluster, batch) = (Arc::clone(cluster), batch.clone());
            tokio::spawn(async move { cluster.send(n % nodes, &batch).await })
        });
        for sent in sends.collect::<Vec<_>>() {
            last = sent.await.expect("no panic").max(last);
        }
    }
    last
}
