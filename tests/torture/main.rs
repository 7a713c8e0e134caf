//! A node and its worker are killed at random moments and at every named step, while clients send
//! and a subscriber listens. Nothing acknowledged may be missing, nothing counted twice, no change
//! missed or seen twice.
//!
//! More than the gate's short run is asked for by `OTKLIK_KILLS`, `OTKLIK_EVENTS` (of them all) and
//! `OTKLIK_LIVES` (data directories, one after the other); `OTKLIK_PAUSE_MS` is how long a process
//! lives on average until a random kill. `OTKLIK_SEED` repeats a run, as far as machines repeat
//! themselves; `OTKLIK_REPORT` is a file to which the outcome is appended, `OTKLIK_PROGRAM` another
//! build of the program.

mod clients;
mod faults;
mod node;
#[path = "../common/ports.rs"]
mod ports;
#[path = "../common/shim.rs"]
mod shim;
mod steps;

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clients::{Held, Sending, name, subscribe};
use node::{Node, program};
use otklik::event::Event;
use otklik::log::{FrameBuilder, Whole};
use ports::free_port;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use steps::{STEPS, Step};

const BATCH_LINES: usize = 500;
/// How long the figures may take until they show everything.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a node lives on until it has the checkpoints that a step needs.
const CHECKPOINTS_PATIENCE: Duration = Duration::from_secs(60);
/// One more event, whose answer names the last epoch.
const MARKER: &str = r#"{"type":"agency","id":"the-last","name":"the last"}"#;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Campaign {
    kills: usize,
    events: usize,
    lives: usize,
    pause: Duration,
    seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
struct Outcome {
    nodes: usize,
    workers: usize,
    /// Kills at steps, by name; 0 for one that was tried and not reached.
    steps: BTreeMap<&'static str, usize>,
    /// Times in a row that a step was not reached.
    missed: BTreeMap<&'static str, usize>,
    acknowledged: u64,
    distinct: u64,
    logged: u64,
    connections: usize,
    snapshots: usize,
}

impl Outcome {
    fn kills(&self) -> usize {
        self.nodes + self.workers + self.steps.values().sum::<usize>()
    }

    /// The next step that can be reached with so many checkpoints, but none that was not reached
    /// twice in a row.
    fn next_of(&self, next: &mut usize, checkpoints: usize) -> &'static Step {
        loop {
            let step = &STEPS[*next % STEPS.len()];
            *next += 1;
            let missed = self.missed.get(step.name).is_some_and(|missed| *missed >= 2);
            if step.checkpoints <= checkpoints && !missed {
                return step;
            }
        }
    }
}

fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_counted_twice() {
    let campaign = Campaign {
        kills: asked("OTKLIK_KILLS", 12) as usize,
        events: asked("OTKLIK_EVENTS", 20_000) as usize,
        lives: asked("OTKLIK_LIVES", 1) as usize,
        pause: Duration::from_millis(asked("OTKLIK_PAUSE_MS", 300)),
        seed: asked("OTKLIK_SEED", u64::from(std::process::id())),
    };
    println!("{campaign:?}");
    let started = Instant::now();
    let mut outcome = Outcome::default();
    let mut random = ChaCha8Rng::seed_from_u64(campaign.seed);
    // Each step comes up as often as any other, whatever life it is.
    let mut next_step = random.random_range(0..STEPS.len());
    for life in 0..campaign.lives {
        live(&campaign, life as u64, &mut random, &mut next_step, &mut outcome).await;
        println!(
            "life {} of {}: {} kills, {} events acknowledged, {} s",
            life + 1,
            campaign.lives,
            outcome.kills(),
            outcome.acknowledged,
            started.elapsed().as_secs()
        );
    }
    let text = report(&campaign, &outcome, started.elapsed());
    println!("{text}");
    if let Some(path) = std::env::var_os("OTKLIK_REPORT").filter(|path| !path.is_empty()) {
        let file = std::fs::File::options().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a report can be written");
    }
}

/// One data directory from its first start to the last check.
async fn live(
    campaign: &Campaign,
    life: u64,
    random: &mut ChaCha8Rng,
    next_step: &mut usize,
    outcome: &mut Outcome,
) {
    let directory = tempfile::tempdir().expect("a directory");
    let events = campaign.events / campaign.lives;
    generate(directory.path(), events, campaign.seed.wrapping_add(life));
    let reference = batches(&directory.path().join("reference.ndjson"));
    let batches = batches(&directory.path().join("events.ndjson"));
    let sent = entries_of_lines(reference.iter().chain(&batches));
    let data = directory.path().join("data");
    let port = free_port();
    let base = format!("http://127.0.0.1:{port}");
    let mut node = Node::start(&data, port);
    let client =
        reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("valid");
    let last_epoch = Arc::new(AtomicU64::new(0));
    let subscriber = tokio::spawn(subscribe(base.clone(), last_epoch.clone()));

    let per_kill = batches.len() / (campaign.kills / campaign.lives).max(1) + 1;
    let sending = Sending::new(client.clone(), format!("{base}/v1/events"), batches);
    // Reference data in their order, then the rest from several senders at once.
    for batch in &reference {
        sending.deliver(batch).await;
    }
    let senders = sending.start();
    // In a short life nobody waits until there are all checkpoints that are kept.
    let is_long = campaign.kills / campaign.lives >= STEPS.len();
    for _ in 0..campaign.kills / campaign.lives {
        sending.allow(per_kill);
        let dice = random.random_range(0..4);
        if dice >= 2 {
            let checkpoints = if is_long { usize::MAX } else { node.checkpoints() };
            let step = outcome.next_of(next_step, checkpoints);
            kill_at(step, random, &mut node, &sending, outcome).await;
            continue;
        }
        tokio::time::sleep(campaign.pause.mul_f64(random.random_range(0.0..2.0))).await;
        if dice == 0 {
            outcome.workers += usize::from(node.kill_worker());
        } else {
            node.restart();
            outcome.nodes += 1;
        }
    }
    sending.finish();
    for sender in senders {
        sender.await.expect("a sender does not panic");
    }
    let epoch = current(&client, &base).await;
    last_epoch.store(epoch, Ordering::Relaxed);
    let held = tokio::time::timeout(PATIENCE, subscriber)
        .await
        .expect("the subscriber reaches the last epoch")
        .expect("the subscriber does not panic");
    check_subscriber(&client, &base, &held).await;
    verify(&base, &data);
    drop(node);
    let logged = check_log(&data, &sent);
    outcome.acknowledged += sending.acknowledged();
    outcome.distinct += sent.len() as u64;
    outcome.logged += logged;
    outcome.connections += held.connections;
    outcome.snapshots += held.snapshots;
}

/// Lets the node come to a step and die there, and starts it again.
async fn kill_at(
    step: &Step,
    random: &mut ChaCha8Rng,
    node: &mut Node,
    sending: &Sending,
    outcome: &mut Outcome,
) {
    // Until it is reached there must be something to write.
    let mut tries = 0;
    let mut busy = || {
        tries += 1;
        if tries % 4 == 0 {
            sending.allow(1);
        }
    };
    // Kills come faster than checkpoints are made: so it may have to live for some seconds.
    let until = Instant::now() + CHECKPOINTS_PATIENCE;
    while node.checkpoints() < step.checkpoints && Instant::now() < until {
        busy();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if let Some(before) = step.before {
        outcome.nodes += usize::from(node.die_of(before, &mut busy).await);
    }
    let k = random.random_range(1..=step.k_max);
    let reached = node.die_of(&format!("{} {k} {}", step.at, step.act), &mut busy).await;
    *outcome.steps.entry(step.name).or_default() += usize::from(reached);
    let missed = outcome.missed.entry(step.name).or_default();
    *missed = if reached { 0 } else { *missed + 1 };
    node.restart();
}

fn generate(directory: &Path, events: usize, seed: u64) {
    let made = program()
        .args(["generate", "--seed", &seed.to_string(), "--events", &events.to_string(), "--out"])
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

/// Events as the log writes them: no two ways to say the same.
type Entries = HashSet<Vec<u8>>;

fn entry(event: &Event<'_>) -> Vec<u8> {
    let mut frame = FrameBuilder::new();
    frame.push(event).expect("room for one");
    frame.payload().to_vec()
}

/// Of the lines that the door accepts.
fn entries_of_lines<'a>(batches: impl Iterator<Item = &'a String>) -> Entries {
    let lines = batches.flat_map(|batch| batch.lines());
    lines.filter_map(|line| Event::parse(line.as_bytes()).ok()).map(|e| entry(&e)).collect()
}

/// The events of a log but the hours, and how many there are with repeats and hours.
fn logged(data: &Path) -> (Entries, u64) {
    let mut log = Whole::open(data).expect("a sound log");
    let (mut found, mut count) = (Entries::new(), 0);
    while let Some(frame) = log.next_frame().expect("a sound log") {
        for event in frame.events() {
            let event = event.expect("an event");
            count += 1;
            if !matches!(event, Event::Clock(_)) {
                found.insert(entry(&event));
            }
        }
    }
    (found, count)
}

/// Everything that was sent is in the log, and nothing else. Yields how many events the log has.
fn check_log(data: &Path, sent: &Entries) -> u64 {
    let (mut found, count) = logged(data);
    found.remove(&entry(&Event::parse(MARKER.as_bytes()).expect("valid")));
    assert_eq!(sent.difference(&found).count(), 0, "events that were acknowledged are lost");
    assert_eq!(found.difference(sent).count(), 0, "there are events that nobody sent");
    count
}

/// Waits until everything acknowledged is in the figures; the epoch that shows it.
async fn current(client: &reqwest::Client, base: &str) -> u64 {
    let answer = loop {
        if let Ok(answer) = client.post(format!("{base}/v1/events")).body(MARKER).send().await
            && answer.status().is_success()
        {
            break answer.json::<Value>().await.expect("an answer is JSON");
        }
    };
    let epoch = answer["epoch"].as_u64().expect("an answer has its epoch");
    let deadline = Instant::now() + PATIENCE;
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

/// The subscriber holds what is served.
async fn check_subscriber(client: &reqwest::Client, base: &str, held: &Held) {
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
        let page_rows = page["rows"].as_array().expect("rows").iter();
        rows.extend(page_rows.map(|row| (name(row), row.clone())));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(held.rows.len(), rows.len());
    assert!(held.rows == rows, "the subscriber holds what is served");
}

/// The figures are those of the log, by the plain program.
fn verify(base: &str, data: &Path) {
    let verified = program()
        .args(["verify", "--url", base, "--data"])
        .arg(data)
        .output()
        .expect("the program starts");
    let said = [verified.stdout, verified.stderr].concat();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// The outcome as a section of docs/torture.md. A run that finds a fault ends before this.
fn report(campaign: &Campaign, outcome: &Outcome, elapsed: Duration) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let revision = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_default();
    let date = Command::new("date").args(["-u", "+%F"]).output().map(|output| output.stdout);
    let date = String::from_utf8(date.unwrap_or_default()).unwrap_or_default();
    let Campaign { lives, seed, .. } = campaign;
    let Outcome { nodes, workers, acknowledged, distinct, logged, connections, snapshots, .. } =
        outcome;
    let mut text = format!(
        "\n## Kills, {}, revision {revision}\n\n\
         {} kills in {lives} data directories, {} s, seed {seed}: {nodes} of the node and {workers} \
         of the worker at random, the others at named steps. {acknowledged} events acknowledged, \
         {distinct} different ones sent, {logged} in the logs. The subscribers connected \
         {connections} times and got {snapshots} snapshots.\n\n\
         0 lost, 0 counted twice, 0 gaps or repeats at the subscriber.\n\n\
         | step | kills |\n|---|---:|\n",
        date.trim(),
        outcome.kills(),
        elapsed.as_secs(),
    );
    for (step, kills) in &outcome.steps {
        text.push_str(&format!("| {step} | {kills} |\n"));
    }
    text
}
