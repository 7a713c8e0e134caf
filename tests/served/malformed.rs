//! What no client should send, by the thousand, to a whole node, while others send and follow: they
//! notice nothing, and every malformed request comes to an end.
//!
//! `OTKLIK_MALFORMED` asks for more than the gate's short run, `OTKLIK_PROGRAM` for another build of
//! the program; `OTKLIK_SEED` repeats one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wrongs::{End, Wrong};

/// Connections that send wrong requests at the same time.
const SENDERS: u64 = 8;
/// A connection that has not ended by then is held for nothing.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two events of the client that is well.
const PAUSE: Duration = Duration::from_millis(20);
/// How long it is watched alone.
const ALONE: Duration = Duration::from_secs(3);

/// What the clients that are well have seen.
struct Well {
    /// When the events of an epoch were sent first.
    sent: Mutex<BTreeMap<u64, Instant>>,
    answers: Mutex<Histogram<u64>>,
    frames: Mutex<Histogram<u64>>,
    events: AtomicU64,
    is_over: AtomicBool,
}

impl Well {
    /// Says the latencies so far, and forgets them.
    fn say(&self, when: &str) {
        let mut told = Vec::new();
        for (what, measured) in [("answer", &self.answers), ("frame", &self.frames)] {
            let mut measured = measured.lock().expect("no panic");
            let ms = |quantile| measured.value_at_quantile(quantile) as f64 / 1000.0;
            told.push(format!(
                "event to {what} p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms of {}",
                ms(0.5),
                ms(0.99),
                ms(1.0),
                measured.len()
            ));
            measured.reset();
        }
        println!("{when}: {}", told.join("; "));
    }
}

/// Sends an event at a time; all are accepted.
async fn send(well: Arc<Well>, url: String) {
    let client = Client::new();
    while !well.is_over.load(Relaxed) {
        let record = well.events.fetch_add(1, Relaxed);
        let line = format!(
            r#"{{"type":"sms","record":{record},"text":"5","received_at":"2018-03-01T10:00:00Z"}}"#
        );
        let sent = Instant::now();
        let answer = client.post(format!("{url}/v1/events")).body(line).send().await;
        let answer: Json = answer.expect("an answer").json().await.expect("JSON");
        note(&well.answers, sent);
        assert_eq!(answer["accepted"], 1, "{answer}");
        let epoch = answer["epoch"].as_u64().expect("an epoch");
        well.sent.lock().expect("no panic").entry(epoch).or_insert(sent);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Follows a view that every event changes; nothing is missing, merged or begun anew.
async fn follow(well: Arc<Well>, url: String) {
    let url = format!("{url}/v1/views/conservation/live?format=ndjson");
    let mut answer = Client::new().get(url).send().await.expect("an answer");
    let (mut text, mut id) = (Vec::new(), None);
    while !well.is_over.load(Relaxed) {
        text.extend_from_slice(&answer.chunk().await.expect("it is open").expect("no end"));
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let frame: Json = serde_json::from_slice(&line).expect("a frame");
            match frame["event"].as_str() {
                Some("snapshot") => assert_eq!(id, None, "it begins once"),
                _ => assert_eq!(frame["data"]["after"].as_str().map(str::to_owned), id),
            }
            id = frame["id"].as_str().map(str::to_owned);
            let epoch = frame["data"]["epoch"].as_u64().expect("an epoch");
            // Those of later epochs, and those whose answer is still on its way, stay.
            let mut sent = well.sent.lock().expect("no panic");
            let later = sent.split_off(&(epoch + 1));
            for sent in std::mem::replace(&mut *sent, later).into_values() {
                note(&well.frames, sent);
            }
        }
    }
}

fn note(measured: &Mutex<Histogram<u64>>, since: Instant) {
    measured.lock().expect("no panic").saturating_record(since.elapsed().as_micros() as u64);
}

/// Sends wrong requests; yields how often each kind was answered with each status, 0 for none.
async fn send_wrong(address: String, seed: u64, count: u64) -> BTreeMap<(&'static str, u16), u64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let wrong = Wrong::any(&mut random);
        let name = wrong.name;
        let answered = tokio::time::timeout(PATIENCE, answer(&address, wrong)).await;
        let status = answered.unwrap_or_else(|_| panic!("{name} is still held, seed {seed}"));
        *answers.entry((name, status)).or_default() += 1;
    }
    answers
}

/// The status of the answer, or 0 where the connection just ended.
async fn answer(address: &str, wrong: Wrong) -> u16 {
    let mut stream = TcpStream::connect(address).await.expect("the node listens");
    // It may be answered, and closed, before all of it is sent.
    let sent = stream.write_all(&wrong.bytes).await;
    match wrong.end {
        End::Reset => {
            stream.set_zero_linger().expect("it is a socket");
            return 0;
        }
        End::Half if sent.is_ok() => drop(stream.shutdown().await),
        End::Half | End::Open => {}
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        answer.extend_from_slice(&buffer[..read]);
    }
    let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or_default()
}

/// A node that has been started, and where it listens.
fn serve(data: &Path) -> (Child, String) {
    let program = std::env::var("OTKLIK_PROGRAM");
    let program = program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_otklik").to_owned());
    let mut command = Command::new(program);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let address = lines.by_ref().find_map(|line| {
        let line = line.expect("text");
        line.split_once("listening on http://").map(|(_, address)| address.to_owned())
    });
    // What it says later is read and forgotten, so that it can say it.
    std::thread::spawn(move || lines.for_each(drop));
    (child, address.expect("it listens"))
}

/// Memory of a process, in MiB.
fn resident(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux");
    let kilobytes = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    kilobytes.expect("a number") / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_disturb_nobody() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let count = asked("OTKLIK_MALFORMED").unwrap_or(2000);
    let seed = asked("OTKLIK_SEED").unwrap_or(1);
    let directory = tempfile::tempdir().expect("a directory");
    let (mut node, address) = serve(directory.path());
    let url = format!("http://{address}");
    while reqwest::get(format!("{url}/readyz")).await.expect("an answer").status() != 200 {
        tokio::time::sleep(PAUSE).await;
    }

    let histogram = || Mutex::new(Histogram::new_with_bounds(1, 60_000_000, 3).expect("right"));
    let well = Arc::new(Well {
        sent: Mutex::default(),
        answers: histogram(),
        frames: histogram(),
        events: AtomicU64::new(1),
        is_over: AtomicBool::new(false),
    });
    let sender = tokio::spawn(send(well.clone(), url.clone()));
    let follower = tokio::spawn(follow(well.clone(), url.clone()));
    tokio::time::sleep(ALONE).await;
    well.say("alone");

    let (started, before) = (Instant::now(), resident(&node));
    let wrongs: Vec<_> = (0..SENDERS)
        .map(|n| tokio::spawn(send_wrong(address.clone(), seed + n, count / SENDERS)))
        .collect();
    let mut answers: BTreeMap<&str, BTreeMap<u16, u64>> = BTreeMap::new();
    for wrong in wrongs {
        for ((name, status), times) in wrong.await.expect("all came to an end") {
            *answers.entry(name).or_default().entry(status).or_default() += times;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    well.say(&format!("beside {count} malformed requests in {seconds:.1} s"));
    println!("node: {before} MiB before, {} MiB after", resident(&node));
    well.is_over.store(true, Relaxed);
    sender.await.expect("nothing was refused");
    follower.await.expect("nothing was missing");
    for (name, statuses) in &answers {
        println!("  {name}: {statuses:?}");
        // What is not understood is the sender's fault, whatever it is.
        assert!(statuses.keys().all(|status| *status < 500), "{name}: {statuses:?}");
    }
    assert_eq!(answers.len(), Wrong::KINDS.len(), "all kinds were sent");
    // And it goes on as before, with nothing but what was sent by the one that was well.
    let metrics = Client::new().get(format!("{url}/metrics")).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let accepted = well.events.load(Relaxed) - 1;
    let line = format!("otklik_events_accepted_total{{type=\"sms\"}} {accepted}");
    assert!(metrics.contains(&line), "{line} is not in {metrics}");
    let pid = Pid::from_raw(i32::try_from(node.id()).expect("a pid")).expect("not zero");
    kill_process(pid, Signal::TERM).expect("it runs");
    assert!(node.wait().expect("it ends").success(), "a clean end");
}
