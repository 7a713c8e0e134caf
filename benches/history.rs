//! What a start costs as history grows: `cargo build --release; cargo run --release --example history -- 1 5 10 20`
//! (millions of events, also 8.5; two years up to today) prints a row for each, with and without a horizon of 90 days.
//! `benches/history.py` draws the rows.
//!
//! Writes a log as a node would have written it in those two years, except that it tells the hour
//! once a day (each told hour is an epoch of its own when the log is read again, some milliseconds
//! each), then starts the program on it: first with nothing but the log, until it has made a
//! checkpoint, then five times from that, each after a kill, of which the median is told.
//! Seconds are until the figures are current, on the wall and of both processes' CPUs; memory is
//! what is resident then.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dataflows::calendar::{Day, Hour};
use dataflows::domain::Input;
use dataflows::records::{self, Outcome};
use otklik::event::Event;
use otklik::generate::{Params, generate};
use otklik::log::{FrameBuilder, Options, Writer};
use otklik::rules::Rules;
use otklik::{clock, world};
use serde_json::Value;

const HOUR_MICROS: i64 = 3_600_000_000;
/// Events of one frame at most.
const FRAME_EVENTS: u32 = 4096;
const DAYS: i32 = 730;

fn main() {
    let millions: Vec<f64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    println!(
        "| events, M | horizon, days | log, MB | open, k | cells, k | from the log: s | CPU, s | worker, MB | node, MB \
         | checkpoint, MB | from it: s | CPU, s | worker, MB | node, MB |\n|{}",
        "---:|".repeat(14)
    );
    for millions in if millions.is_empty() { vec![1.0] } else { millions } {
        let directory = tempfile::tempdir().expect("a directory");
        write_log(directory.path(), events(millions));
        for horizon in [0, 90] {
            println!("{}", measure(directory.path(), millions, horizon));
            std::fs::remove_dir_all(otklik::checkpoint::directory(directory.path())).ok();
        }
    }
}

fn events(millions: f64) -> u64 {
    (millions * 1e6) as u64
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
    started: Instant,
}

/// Of a start.
struct Cost {
    /// Seconds on the wall, and of both processes' CPUs.
    wall: f64,
    cpu: f64,
    /// Resident: of the worker and of the node.
    megabytes: [u64; 2],
}

impl Cost {
    fn columns(&self) -> String {
        let Cost { wall, cpu, megabytes: [worker, node] } = self;
        format!("{wall:.1} | {cpu:.1} | {worker} | {node}")
    }
}

impl Node {
    fn start(data: &Path, horizon: u32, checkpoint_events: u64) -> Node {
        let started = Instant::now();
        let mut child = Command::new(program())
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("OTKLIK_RULES_HORIZON_DAYS", horizon.to_string())
            .env("OTKLIK_CHECKPOINT_EVENTS", checkpoint_events.to_string())
            // Where the machine is busy, a worker that reads for long does not hang.
            .env("OTKLIK_WORKER_SILENT_SECONDS", "86400")
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
        Node { child, url: format!("http://{url}"), started }
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
    fn current(&self) -> Cost {
        while !self.get("/readyz").0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        let wall = self.started.elapsed().as_secs_f64();
        let worker = self.get("/v1/status").1["worker"]["pid"].as_u64().expect("it runs");
        let pids = [worker, u64::from(self.child.id())];
        Cost { wall, cpu: pids.map(cpu_seconds).iter().sum(), megabytes: pids.map(resident) }
    }

    /// Kills the node, of which its worker ends.
    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("ours");
    }
}

fn resident(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("it is there");
    let kilobytes = line.split_whitespace().nth(1).expect("a number");
    kilobytes.parse::<u64>().expect("a number") / 1024
}

/// Seconds of the CPU that a process has taken.
fn cpu_seconds(pid: u64) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let after_name = stat.rsplit(')').next().expect("it has a name").split_whitespace();
    let ticks = after_name.skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() / 100.0
}

/// A row of the table.
fn measure(data: &Path, millions: f64, horizon: u32) -> String {
    let node = Node::start(data, horizon, 1);
    let from_log = node.current();
    let held = |node: &Node| {
        let status = node.get("/v1/status").1;
        status["checkpoint"]["events"].as_u64().is_some_and(|held| held >= events(millions))
    };
    while !held(&node) {
        std::thread::sleep(Duration::from_millis(200));
    }
    node.kill();
    let checkpoint = otklik::checkpoint::list(data).expect("a directory").remove(0);
    let bytes = checkpoint.metadata().expect("there").len();
    let start = |_| {
        let node = Node::start(data, horizon, 0);
        let cost = node.current();
        node.kill();
        cost
    };
    let mut starts: Vec<Cost> = (0..5).map(start).collect();
    starts.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    let log: u64 = std::fs::read_dir(data.join("log"))
        .expect("a directory")
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|file| file.len())
        .sum();
    let (open, cells) = sizes(&checkpoint, horizon);
    format!(
        "| {millions} | {horizon} | {} | {} | {} | {} | {:.1} | {} |",
        log >> 20,
        open / 1000,
        cells / 1000,
        from_log.columns(),
        bytes as f64 / f64::from(1 << 20),
        starts[2].columns(),
    )
}

/// How many records of a checkpoint are open, and how many cells its ratings make: places by day
/// and side.
fn sizes(checkpoint: &Path, horizon: u32) -> (usize, usize) {
    use otklik::checkpoint::{Checkpoint, Part};
    let switches = world::switches(&Rules { horizon_days: horizon, ..Rules::default() });
    let (_, mut parts) = Checkpoint::open(checkpoint).expect("whole");
    let (mut open, mut cells) = (HashSet::new(), HashSet::new());
    let mut outcomes = Vec::new();
    while let Some(part) = parts.next_part().expect("whole") {
        match part {
            Part::Open(records) => {
                for (record, messages) in &records {
                    records::outcomes(*record, messages, &switches, &mut outcomes);
                    open.insert(*record);
                }
            }
            Part::Rated(places) => {
                for (place, rated) in places {
                    let days = rated.cells.iter().map(|(day, electronic, _)| (day, electronic));
                    cells.extend(days.map(|(day, electronic)| (place, day, electronic)));
                }
            }
            _ => {}
        }
        cells.extend(outcomes.drain(..).filter_map(|outcome| match outcome {
            Outcome::Rated(place, day, ratings) => Some((place, day, ratings.electronic())),
            _ => None,
        }));
    }
    (open.len(), cells.len())
}
