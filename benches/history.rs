//! What a start costs as history grows: `cargo build --release; cargo run --release --example history -- 1 5 10 20`
//! (millions of events, two years up to today) prints a row for each, with and without a horizon of 90 days.
//!
//! Writes a log as a node would have written it in those two years, except that it tells the hour
//! once a day (each told hour is an epoch of its own when the log is read again, some milliseconds
//! each), then starts the program on it: first with nothing but the log, then from a checkpoint.
//! Memory is what is resident once the figures are current.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dataflows::calendar::{Day, Hour};
use dataflows::domain::Input;
use otklik::event::Event;
use otklik::generate::{Params, generate};
use otklik::log::{FrameBuilder, Options, Writer};
use otklik::{clock, world};
use serde_json::Value;

const HOUR_MICROS: i64 = 3_600_000_000;
/// Events of one frame at most.
const FRAME_EVENTS: u32 = 4096;
const DAYS: i32 = 730;

fn main() {
    let millions: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    println!(
        "| events, M | horizon | log, MB | from the log, s | worker, MB | node, MB | open, k \
         | checkpoint, MB | from it, s | worker, MB | node, MB |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for millions in if millions.is_empty() { vec![1] } else { millions } {
        let directory = tempfile::tempdir().expect("a directory");
        write_log(directory.path(), millions * 1_000_000);
        for horizon in [0, 90] {
            println!("{}", measure(directory.path(), millions, horizon));
            std::fs::remove_dir_all(otklik::checkpoint::directory(directory.path())).ok();
        }
    }
}

/// The log of two years: every event on the day on which it was received.
struct Years {
    writer: Writer,
    frame: FrameBuilder,
    epoch: u64,
    day: i64,
    line: Vec<u8>,
}

impl Years {
    fn take(&mut self, line: &[u8]) {
        let event = Event::parse(line).expect("generated events are valid");
        if let Input::Message(_, message) = event.input() {
            let day = message.received.micros().div_euclid(24 * HOUR_MICROS);
            if day > self.day {
                self.append();
                self.frame.push(&Event::Clock(Hour(24 * day))).expect("room");
                self.append();
                self.day = day;
            }
        }
        self.frame.push(&event).expect("room");
        if self.frame.events() >= FRAME_EVENTS {
            self.append();
        }
    }

    fn append(&mut self) {
        if !self.frame.is_empty() {
            self.epoch += 1;
            self.writer.append(self.epoch, &mut self.frame).expect("room on the disk");
            self.frame.clear();
        }
    }
}

impl Write for Years {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take(&line);
                self.line = line;
                self.line.clear();
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_log(data: &Path, events: u64) {
    let today = clock::hour().day(world::world().zone(0));
    let (from, until) = (Day(today.0 - DAYS), Day(today.0 + 1));
    let params = Params { events, seed: 1, from, until };
    let (writer, _) = Writer::open(data, Options::default(), None, |_, _| ()).expect("empty");
    let frame = FrameBuilder::new();
    let mut years = Years { writer, frame, epoch: 0, day: i64::MIN, line: Vec::new() };
    let mut reference = Vec::new();
    let mut rest = Vec::new();
    // Reference data first, as they are known before the first rating.
    generate(&params, &mut reference, &mut rest, &mut |_| ()).expect("in memory");
    years.write_all(&reference).expect("in memory");
    years.write_all(&rest).expect("in memory");
    years.append();
    years.writer.close().expect("room on the disk");
}

/// The program, built beside this one.
fn program() -> std::path::PathBuf {
    let mine = std::env::current_exe().expect("it has a file");
    let examples = mine.parent().expect("it is in a directory");
    let program = examples.with_file_name("otklik");
    assert!(program.exists(), "cargo build --release makes {}", program.display());
    program
}

struct Node {
    child: Child,
    url: String,
}

impl Node {
    fn start(data: &Path, horizon: u32, checkpoint_events: u64) -> Node {
        let mut child = Command::new(program())
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("OTKLIK_RULES_HORIZON_DAYS", horizon.to_string())
            .env("OTKLIK_CHECKPOINT_EVENTS", checkpoint_events.to_string())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let url = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("http://").map(|(_, rest)| rest.trim().to_owned()))
            .expect("it says where it listens");
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Node { child, url: format!("http://{url}") }
    }

    /// The JSON at a path, and whether it was answered with 200.
    fn get(&self, path: &str) -> (bool, Value) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("threads").block_on(async {
            let answer = reqwest::get(format!("{}{path}", self.url)).await.expect("it answers");
            let is_ok = answer.status() == 200;
            (is_ok, answer.json().await.expect("JSON"))
        })
    }

    /// Waits until the figures are current.
    fn current(&self) {
        while !self.get("/readyz").0 {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Megabytes resident: of the worker and of the node.
    fn memory(&self) -> (u64, u64) {
        let worker = self.get("/v1/status").1["worker"]["pid"].as_u64().expect("it runs");
        (resident(worker), resident(u64::from(self.child.id())))
    }

    fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("not zero");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        assert!(self.child.wait().expect("ours").success());
    }
}

fn resident(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("it is there");
    let kilobytes = line.split_whitespace().nth(1).expect("a number");
    kilobytes.parse::<u64>().expect("a number") / 1024
}

/// A row of the table.
fn measure(data: &Path, millions: u64, horizon: u32) -> String {
    let started = Instant::now();
    let node = Node::start(data, horizon, 0);
    node.current();
    let from_log = started.elapsed().as_secs_f64();
    let (log_worker, log_node) = node.memory();
    node.stop();
    let node = Node::start(data, horizon, 1);
    let held = |node: &Node| {
        let status = node.get("/v1/status").1;
        status["checkpoint"]["events"].as_u64().is_some_and(|held| held >= millions * 1_000_000)
    };
    while !held(&node) {
        std::thread::sleep(Duration::from_millis(200));
    }
    node.stop();
    let checkpoint = otklik::checkpoint::list(data).expect("a directory").remove(0);
    let bytes = checkpoint.metadata().expect("there").len();
    let started = Instant::now();
    let node = Node::start(data, horizon, 0);
    node.current();
    let from_checkpoint = started.elapsed().as_secs_f64();
    let (worker, serving) = node.memory();
    node.stop();
    let log: u64 = std::fs::read_dir(data.join("log"))
        .expect("a directory")
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|file| file.len())
        .sum();
    let open = open_records(&checkpoint);
    format!(
        "| {millions} | {} | {} | {from_log:.1} | {log_worker} | {log_node} | {} | {:.1} \
         | {from_checkpoint:.1} | {worker} | {serving} |",
        if horizon == 0 { "none".to_owned() } else { format!("{horizon} days") },
        log >> 20,
        open / 1000,
        bytes as f64 / f64::from(1 << 20),
    )
}

fn open_records(checkpoint: &Path) -> usize {
    use otklik::checkpoint::{Checkpoint, Part};
    let (_, mut parts) = Checkpoint::open(checkpoint).expect("whole");
    let mut open = 0;
    while let Some(part) = parts.next_part().expect("whole") {
        if let Part::Open(records) = part {
            open += records.len();
        }
    }
    open
}
