//! Readers that disconnect, pause and read slowly, of a node that is stopped, killed and started
//! again while epoch follows epoch: what they hold after each frame is the view at its epoch.
//!
//! `OTKLIK_DISCONNECTS` asks for more than the gate's short run; `OTKLIK_SEED` repeats one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dataflows::views::Row;
use otklik::config::Config;
use otklik::http::{live::Live, problem, routes};
use otklik::views::digest::Digest;
use otklik::views::{Bounds, Served};
use otklik::watch::held::{Frame, Held};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::fixture::{EPOCH_MS, sample};
use crate::ports::free_port;

/// A condition on a row's order.
type Condition = fn(u32) -> bool;

/// What readers ask for, and the same as a condition.
const WISHES: [(&str, Condition); 4] = [
    ("format=ndjson", |_| true),
    ("format=ndjson&on_slow=disconnect", |_| true),
    ("format=ndjson&order=1", |order| order == 1),
    ("format=ndjson&order=0&order=2", |order| order != 1),
];
const READERS: usize = 12;
const BOUNDS: Bounds = Bounds { changes_max: 20_000, epochs_max: 1_000_000 };

/// The digest of the rows of each wish, by epoch.
type Truth = Mutex<BTreeMap<u64, [Digest; WISHES.len()]>>;

/// What readers and the writer share.
#[derive(Default)]
struct Shared {
    truth: Truth,
    over: AtomicBool,
    disconnects: AtomicUsize,
    frames: AtomicUsize,
    snapshots: AtomicUsize,
    merged: AtomicUsize,
}

/// A node without a dataflow, in a runtime that can be torn down at any moment.
struct Server {
    served: Arc<Served>,
    runtime: Runtime,
    shutdown: CancellationToken,
}

impl Server {
    fn start(directory: &std::path::Path, port: u16) -> Server {
        let served = Arc::new(Served::keep(directory, 64 << 20, BOUNDS));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let shutdown = CancellationToken::new();
        let mut config = Config::default().live;
        (config.progress_ms, config.behind_epochs) = (20, 8);
        let live = Arc::new(Live::new(&config, EPOCH_MS, shutdown.clone()));
        let app = routes(served.clone(), live).fallback(problem::not_found);
        runtime.spawn(async move {
            let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
            axum::serve(listener, app).await
        });
        Server { served, runtime, shutdown }
    }
}

/// Makes epochs until the readers have been cut off often enough, and restarts everything.
fn write(shared: &Shared, directory: &std::path::Path, port: u16, seed: u64, disconnects: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut rows: BTreeMap<u64, u32> = BTreeMap::new();
    let mut server = Server::start(directory, port);
    let mut epoch = 1000;
    server.served.replace(epoch + 1, Vec::new());
    shared.truth.lock().expect("no panic").insert(epoch, Default::default());
    while shared.disconnects.load(Relaxed) < disconnects {
        epoch += random.random_range(1..3);
        let mut changes = Vec::new();
        for _ in 0..random.random_range(1..20) {
            let record = random.random_range(0..300);
            let order = random.random_range(0..4);
            let new = (order < 3).then_some(order);
            if changes.iter().any(|(row, _)| record_of(row) == record) {
                continue;
            }
            let old = match new {
                Some(order) => rows.insert(record, order),
                None => rows.remove(&record),
            };
            if old != new {
                changes.extend(old.map(|order| (sample("U", record, order), -1)));
                changes.extend(new.map(|order| (sample("U", record, order), 1)));
            }
        }
        let of = |wanted: fn(u32) -> bool| -> Digest {
            let matching = rows.iter().filter(|(_, order)| wanted(**order));
            matching.map(|(record, order)| Digest::of_row(&sample("U", *record, *order))).sum()
        };
        let truth = WISHES.map(|(_, wanted)| of(wanted));
        shared.truth.lock().expect("no panic").insert(epoch, truth);
        let all = || -> Vec<(Row, i64)> {
            rows.iter().map(|(record, order)| (sample("U", *record, *order), 1)).collect()
        };
        let chance = random.random_range(0..200);
        if chance == 0 {
            // The worker was started again.
            server.served.replace(epoch + 1, all());
        } else {
            server.served.apply(epoch + 1, changes);
        }
        if chance == 1 || chance == 2 {
            // The node is stopped, or killed.
            if chance == 1 {
                server.shutdown.cancel();
                std::thread::sleep(Duration::from_millis(20));
            }
            server.runtime.shutdown_timeout(Duration::from_secs(5));
            drop(server.served);
            server = Server::start(directory, port);
            let last = server.served.goes_on_from().expect("it was kept");
            server.served.replace(last + 1, all());
        }
        std::thread::sleep(Duration::from_millis(random.random_range(0..8)));
    }
    shared.over.store(true, Relaxed);
    server.runtime.shutdown_timeout(Duration::from_secs(5));
}

fn record_of(row: &Row) -> u64 {
    match row {
        Row::SurveySample { record, .. } => *record,
        other => panic!("{other:?}"),
    }
}

/// Reads until it is over, and comes back whenever it was cut off or has cut itself off.
async fn read(shared: Arc<Shared>, port: u16, seed: u64, wish: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let client = reqwest::Client::new();
    let (query, _) = WISHES[wish];
    let url = format!("http://127.0.0.1:{port}/v1/views/survey_sample/live?{query}");
    let key = ["unit", "day", "record"].map(str::to_owned).to_vec();
    let mut held = Held::new(key, wish < 2);
    while !shared.over.load(Relaxed) {
        let mut request = client.get(&url);
        if let Some(id) = held.id() {
            request = request.header("last-event-id", id);
        }
        let Ok(Ok(mut answer)) = request.send().await.map(reqwest::Response::error_for_status)
        else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let pieces = random.random_range(1..60);
        let slowness = random.random_range(0..3) * random.random_range(0..20);
        let mut text = Vec::new();
        for _ in 0..pieces {
            tokio::time::sleep(Duration::from_millis(slowness)).await;
            let Ok(Some(piece)) = answer.chunk().await else { break };
            text.extend_from_slice(&piece);
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let lines: Vec<u8> = text.drain(..whole).collect();
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                take(&shared, &mut held, line, wish);
            }
        }
        shared.disconnects.fetch_add(1, Relaxed);
    }
}

/// Takes a frame in: what is held then must be the truth of its epoch.
fn take(shared: &Shared, held: &mut Held, line: &[u8], wish: usize) {
    let frame: Frame<'_> = serde_json::from_slice(line).expect("a frame");
    shared.frames.fetch_add(1, Relaxed);
    shared.snapshots.fetch_add(usize::from(frame.event == "snapshot"), Relaxed);
    shared.merged.fetch_add(frame.data.merged.map_or(0, |merged| merged - 1), Relaxed);
    let before = held.digest();
    if held.take(&frame).expect("the frame fits") {
        let epoch = frame.data.epoch;
        let truth = shared.truth.lock().expect("no panic");
        let (_, digests) = truth.range(..=epoch).next_back().expect("an epoch that was");
        assert_eq!(held.digest(), digests[wish], "{wish} at {epoch}");
        assert!(frame.event != "changes" || held.digest() != before, "a repeat at {epoch}");
    }
}

/// Counts the panics of the program itself: a node that is stopped in the middle of all this ends
/// without one, for it would be its end by a signal.
fn panics() -> Arc<AtomicUsize> {
    let panics = Arc::new(AtomicUsize::new(0));
    let (count, before) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        let is_ours = info.location().is_some_and(|at| at.file().starts_with("src/"));
        count.fetch_add(usize::from(is_ours), Relaxed);
        before(info);
    }));
    panics
}

#[test]
fn unsteady_readers_of_an_unsteady_node_hold_what_is_true() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let disconnects = asked("OTKLIK_DISCONNECTS").unwrap_or(150) as usize;
    let seed = asked("OTKLIK_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    let panics = panics();
    let directory = tempfile::tempdir().expect("a directory");
    let port = free_port();
    let shared = Arc::new(Shared::default());
    let readers = Runtime::new().expect("threads");
    let tasks: Vec<_> = (0..READERS)
        .map(|n| readers.spawn(read(shared.clone(), port, seed + n as u64, n % WISHES.len())))
        .collect();
    let started = Instant::now();
    write(&shared, directory.path(), port, seed, disconnects);
    readers.block_on(async {
        for task in tasks {
            task.await.expect("no reader saw anything wrong");
        }
    });
    let Shared { frames, snapshots, merged, truth, .. } = &*shared;
    println!(
        "{disconnects} disconnects, {} epochs, {frames:?} frames, {snapshots:?} snapshots, \
         {merged:?} epochs merged, {:?}",
        truth.lock().expect("no panic").len(),
        started.elapsed(),
    );
    assert!(frames.load(Relaxed) > disconnects);
    assert_eq!(panics.load(Relaxed), 0, "the node panicked");
}
