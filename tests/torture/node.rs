//! The node as a process that may be killed at any moment, by us or by the shim.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::shim;

/// How long a step may take until it is reached.
const PATIENCE: Duration = Duration::from_secs(15);
/// A checkpoint is made after so many events.
const CHECKPOINT_EVENTS: u64 = 10_000;

/// The program: of this build, or another that `OTKLIK_PROGRAM` names.
pub fn program() -> Command {
    let other = std::env::var_os("OTKLIK_PROGRAM");
    Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_otklik").into()))
}

pub struct Node {
    child: Child,
    data: PathBuf,
    port: u16,
}

impl Node {
    /// Starts a node on the data and port, and waits until it says that it listens.
    pub fn start(data: &Path, port: u16) -> Node {
        let mut node = Node::spawn(data, port, |command| {
            command.stderr(Stdio::piped());
        });
        let mut lines = BufReader::new(node.child.stderr.take().expect("piped")).lines();
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains("http://")) {
            match lines.next() {
                Some(Ok(line)) => said.push(line),
                _ => panic!("the node does not listen, and said: {said:#?}"),
            }
        }
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        node
    }

    /// Starts a node, and has every call that changes a file of its data written to `trace`.
    pub fn traced(data: &Path, port: u16, trace: &Path) -> Node {
        Node::spawn(data, port, |command| shim::set(command, data, None, Some(trace)))
    }

    /// Starts a node with a fault before it, and waits for nothing.
    pub fn start_with(data: &Path, port: u16, fault: &str) -> Node {
        Node::spawn(data, port, |command| shim::set(command, data, Some(fault), None))
    }

    fn spawn(data: &Path, port: u16, prepare: impl FnOnce(&mut Command)) -> Node {
        let mut command = program();
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(data)
            // The smallest there is: there are to be many segments. And checkpoints, often.
            .env("OTKLIK_LOG_SEGMENT_BYTES", (1 << 20).to_string())
            .env("OTKLIK_CHECKPOINT_EVENTS", CHECKPOINT_EVENTS.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        prepare(&mut command);
        let child = command.spawn().expect("the program starts");
        Node { child, data: data.to_owned(), port }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// How it ended, if it did.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is ours")
    }

    /// Kills it, and starts it again.
    pub fn restart(&mut self) {
        self.end();
        *self = Node::start(&self.data.clone(), self.port);
    }

    /// Lives once with the fault: starts, and dies of it. False if it has not after a while, or
    /// ended in another way; then it is killed.
    pub async fn die_of(&mut self, fault: &str, mut wait: impl FnMut()) -> bool {
        self.end();
        *self = Node::start_with(&self.data.clone(), self.port, fault);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.has_ended() {
                return status.code().is_none();
            }
            wait();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.end();
        false
    }

    /// How many checkpoints it has.
    pub fn checkpoints(&self) -> usize {
        otklik::checkpoint::list(&self.data).expect("a directory, or none").len()
    }

    fn end(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().expect("it ends");
    }

    /// Kills its worker, if it has one now.
    pub fn kill_worker(&self) -> bool {
        let worker = self.worker().and_then(Pid::from_raw);
        worker.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
    }

    fn worker(&self) -> Option<i32> {
        let pid = self.child.id();
        // Any thread of the node may have started it.
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let children = |task: std::fs::DirEntry| {
            std::fs::read_to_string(task.path().join("children")).unwrap_or_default()
        };
        let all: String = tasks.flatten().map(children).collect();
        all.split_whitespace().find_map(|child| {
            let line = std::fs::read(format!("/proc/{child}/cmdline")).ok()?;
            let is_worker = line.split(|byte| *byte == 0).nth(1) == Some(b"worker");
            is_worker.then(|| child.parse().ok())?
        })
    }
}

/// A test that fails leaves nothing running.
impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}
