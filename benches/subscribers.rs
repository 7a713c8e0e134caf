//! What subscribers cost a node, and how soon they see an event.
//!
//! ```text
//! cargo bench --bench subscribers -- URL COUNT SECONDS
//! ```
//!
//! Opens COUNT live streams of a running node (lines of JSON): of ten, five of one manager, two of
//! `conservation`, one of `agencies`, one of the managers of an agency, and one of those that is slow.
//! While somebody else loads the node (`otklik replay --rate`) an event is submitted five times a
//! second, which changes `conservation`: the latency is from before it is sent until a stream of that
//! view has a frame of its epoch or a later one. Says that, and the CPU and memory of node and worker
//! meanwhile, of the worker also for each of the events that it took.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use reqwest::{Client, Url};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Between two events whose way is timed.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// A slow stream reads a piece and sleeps.
const SLOW_PAUSE: Duration = Duration::from_millis(700);

/// When the event of each epoch was sent.
type Sent = Mutex<BTreeMap<u64, Instant>>;

#[derive(Default)]
struct Shared {
    sent: Sent,
    /// Of streams that each event changes.
    latency: Mutex<Option<Histogram<u64>>>,
    bytes: AtomicU64,
    frames: AtomicU64,
    open: AtomicUsize,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [url, count, seconds] = args.as_slice() else {
        // `cargo bench` runs all benches without arguments.
        eprintln!("subscribers: URL COUNT SECONDS, of a node that runs");
        return Ok(());
    };
    let (url, count, seconds) = (Url::parse(url)?, count.parse()?, seconds.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&url, count, Duration::from_secs(seconds)))
}

async fn measure(url: &Url, count: usize, time: Duration) -> anyhow::Result<()> {
    let client = Client::new();
    let [agencies, tenures] = [("agencies", "agency"), ("manager_periods", "tenure")];
    let agencies = ids(&client, url, agencies).await?;
    let tenures = ids(&client, url, tenures).await?;
    let shared = Arc::new(Shared::default());
    *shared.latency.lock().expect("no panic") =
        Some(Histogram::new_with_bounds(1, 600_000_000, 3)?);
    let host = format!("{}:{}", url.host_str().context("no host")?, url.port().unwrap_or(80));
    for n in 0..count {
        let one_of = |ids: &[String]| ids[(n / 10) % ids.len()].clone();
        let (view, kind) = match n % 10 {
            0 | 1 => ("conservation".to_owned(), Kind::Timed),
            2 => ("agencies".to_owned(), Kind::Quick),
            3 => (format!("manager_periods?agency={}", one_of(&agencies)), Kind::Quick),
            9 => (format!("manager_periods?agency={}", one_of(&agencies)), Kind::Slow),
            _ => (format!("manager_periods?tenure={}", one_of(&tenures)), Kind::Quick),
        };
        tokio::spawn(follow(shared.clone(), host.clone(), view, kind));
        if n % 100 == 99 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    while shared.open.load(Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status: Value = client.get(url.join("v1/status")?).send().await?.json().await?;
    let worker = status["worker"]["pid"].as_u64().context("no worker")?;
    let node = parent(worker).context("no node on this machine")?;
    let counted = accepted(&client, url).await?;
    let before = [node, worker].map(cpu_seconds);
    let (frames, bytes) = (shared.frames.load(Relaxed), shared.bytes.load(Relaxed));
    let started = Instant::now();
    let mut number = 0;
    while started.elapsed() < time {
        probe(&client, url, &shared, number).await?;
        number += 1;
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let events = accepted(&client, url).await? - counted;
    println!("{:.0} rating messages/s", events / seconds);
    for ((name, pid), before) in [("node", node), ("worker", worker)].into_iter().zip(before) {
        let cpu = cpu_seconds(pid) - before;
        let (percent, each) = (cpu / seconds * 100.0, cpu / events * 1e6);
        println!(
            "{name}: {percent:.1} % of a core, {each:.1} µs a message, {} MB",
            resident_mb(pid)
        );
    }
    let frames = (shared.frames.load(Relaxed) - frames) as f64 / seconds;
    let bytes = (shared.bytes.load(Relaxed) - bytes) as f64 / seconds / 1e6;
    println!("{} streams, {frames:.0} frames/s, {bytes:.1} MB/s", shared.open.load(Relaxed));
    let latency = shared.latency.lock().expect("no panic");
    let latency = latency.as_ref().expect("set above");
    let at = |quantile| latency.value_at_quantile(quantile) as f64 / 1000.0;
    println!(
        "event to frame: p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms, of {} frames",
        at(0.5),
        at(0.99),
        at(1.0),
        latency.len()
    );
    Ok(())
}

/// What a stream is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Each event is timed.
    Timed,
    Quick,
    Slow,
}

/// The ids in a column of a view.
async fn ids(client: &Client, url: &Url, of: (&str, &str)) -> anyhow::Result<Vec<String>> {
    let (view, column) = of;
    let rows = client.get(url.join(&format!("v1/views/{view}?limit=100000&fields={column}"))?);
    let rows: Value = rows.send().await?.error_for_status()?.json().await?;
    let rows = rows["rows"].as_array().context("no rows")?;
    let mut ids: Vec<String> =
        rows.iter().filter_map(|row| row[column].as_str().map(str::to_owned)).collect();
    ids.dedup();
    anyhow::ensure!(!ids.is_empty(), "{view} has no rows");
    Ok(ids)
}

/// Rating messages that the figures have.
async fn accepted(client: &Client, url: &Url) -> anyhow::Result<f64> {
    let rows = client.get(url.join("v1/views/conservation")?);
    let rows: Value = rows.send().await?.error_for_status()?.json().await?;
    rows["rows"][0]["accepted"].as_f64().context("no number")
}

/// Submits one event, whose epoch is told by the answer.
async fn probe(client: &Client, url: &Url, shared: &Shared, number: u64) -> anyhow::Result<()> {
    // A rating of a record that nobody knows: it is pending, and changes `conservation`.
    let record = (1_u64 << 62) + u64::from(std::process::id()) * 1_000_000 + number;
    let line = format!(
        r#"{{"type":"sms","record":{record},"text":"5","received_at":"2018-03-01T10:00:00+03:00"}}"#
    );
    let sent = Instant::now();
    let answer = client.post(url.join("v1/events")?).body(line).send().await?.error_for_status()?;
    let answer: Value = answer.json().await?;
    let epoch = answer["epoch"].as_u64().context("no epoch")?;
    shared.sent.lock().expect("no panic").entry(epoch).or_insert(sent);
    Ok(())
}

/// One stream, read from the socket: a client library would be what is measured.
async fn follow(shared: Arc<Shared>, host: String, view: String, kind: Kind) {
    let mut stream = TcpStream::connect(&host).await.expect("the node listens");
    let (view, query) = view.split_once('?').unwrap_or((&view, ""));
    let request =
        format!("GET /v1/views/{view}/live?format=ndjson&{query} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is open");
    let mut buffer = vec![0; 1 << 16];
    let (mut seen, mut is_open) = (0, false);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if !is_open {
            assert!(buffer.starts_with(b"HTTP/1.1 200"), "no stream of {view}?{query}");
            shared.open.fetch_add(1, Relaxed);
            is_open = true;
        }
        shared.bytes.fetch_add(read as u64, Relaxed);
        let now = Instant::now();
        for epoch in epochs(&buffer[..read]) {
            shared.frames.fetch_add(1, Relaxed);
            if epoch > seen && kind == Kind::Timed {
                note(&shared, seen, epoch, now);
            }
            seen = seen.max(epoch);
        }
        if kind == Kind::Slow {
            tokio::time::sleep(SLOW_PAUSE).await;
        }
    }
}

/// The events of the epochs after `seen` up to `epoch` are seen now.
fn note(shared: &Shared, seen: u64, epoch: u64, now: Instant) {
    let sent: Vec<Instant> = {
        let sent = shared.sent.lock().expect("no panic");
        sent.range(seen + 1..=epoch).map(|(_, sent)| *sent).collect()
    };
    if seen > 0 {
        let mut latency = shared.latency.lock().expect("no panic");
        for sent in sent {
            let micros = now.duration_since(sent).as_micros() as u64;
            latency.as_mut().expect("set at the start").saturating_record(micros);
        }
    }
}

/// The epochs of the frames that begin in these bytes.
fn epochs(bytes: &[u8]) -> impl Iterator<Item = u64> {
    const MARK: &[u8] = b"\"data\":{\"epoch\":";
    bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK).map(|(at, _)| {
        let digits = bytes[at + MARK.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    })
}

fn parent(pid: u64) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

/// Of user and system, at a hundred ticks a second.
fn cpu_seconds(pid: u64) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn resident_mb(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0) / 1000
}
