//! All nodes are restarted, one after the other, while clients send to whichever answers and readers
//! go from node to node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::StreamExt;
use otklik::watch::held::{Frame, Held};
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::fixture::{Cluster, PATIENCE, WORLD, rating};

const NODES: usize = 3;
/// Before a client tries elsewhere.
const PAUSE: Duration = Duration::from_millis(10);

/// What a reader asks for, and the key of the view's rows.
const WISHES: [(&str, &[&str]); 3] = [
    ("manager_periods/live?format=ndjson", &["tenure", "period"]),
    ("manager_periods/live?format=sse", &["tenure", "period"]),
    ("conservation/live?format=ndjson&on_slow=disconnect", &[]),
];

/// What clients share.
struct Shared {
    urls: Vec<String>,
    over: AtomicBool,
    next: AtomicU64,
    /// The epoch that readers are to come to; 0 while it is not known.
    last: AtomicU64,
}

/// What became of a reader.
struct Read {
    held: Held,
    /// Positions from which it went on at another node than had told them.
    moves: usize,
    epochs: BTreeSet<u64>,
    snapshots: usize,
    lagged: Vec<String>,
}

/// Sends rating after rating, each until it is acknowledged, at one node or another.
async fn send(shared: Arc<Shared>, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build();
    let client = client.expect("valid");
    while !shared.over.load(Relaxed) {
        let record = shared.next.fetch_add(1, Relaxed);
        let lines = rating(record, 1 + record % 5);
        loop {
            let node = random.random_range(0..NODES);
            let url = format!("{}/v1/events", shared.urls[node]);
            let sent = client.post(url).body(lines.clone()).send().await;
            if sent.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
    }
}

/// Reads some frames at one node, then goes on at another.
async fn read(shared: Arc<Shared>, seed: u64, wish: usize) -> Read {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let client = reqwest::Client::new();
    let (path, key) = WISHES[wish];
    let key = key.iter().map(|column| (*column).to_owned()).collect();
    let mut read = Read {
        held: Held::new(key, true),
        moves: 0,
        epochs: BTreeSet::new(),
        snapshots: 0,
        lagged: Vec::new(),
    };
    let mut at = NODES;
    loop {
        let node = (0..NODES).filter(|node| *node != at).choose(&mut random).expect("others");
        let mut request = client.get(format!("{}/v1/views/{path}", shared.urls[node]));
        if let Some(id) = read.held.id() {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        let Ok(answer) = answer else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        read.moves += usize::from(read.held.id().is_some());
        at = node;
        let frames = random.random_range(1..12);
        if read.some(answer, frames, shared.last.load(Relaxed)).await {
            return read;
        }
    }
}

impl Read {
    /// Takes so many frames in, or what comes; whether the last epoch is reached.
    async fn some(&mut self, answer: reqwest::Response, frames: usize, last: u64) -> bool {
        let mut stream = answer.bytes_stream();
        let (mut text, mut taken) = (Vec::new(), 0);
        while let Some(Ok(bytes)) = stream.next().await {
            text.extend_from_slice(&bytes);
            while let Some(frame) = next_frame(&mut text) {
                self.take(&frame);
                taken += 1;
            }
            let reached = self.epochs.last().is_some_and(|epoch| last > 0 && *epoch >= last);
            if reached || taken >= frames {
                return reached;
            }
        }
        false
    }

    fn take(&mut self, text: &str) {
        let frame: Frame<'_> = serde_json::from_str(text).expect("a frame");
        let epoch = frame.data.epoch;
        match frame.event {
            "lagged" => self.lagged.push(text.to_owned()),
            "snapshot" => self.snapshots += 1,
            "changes" => {
                let newest = self.epochs.last().is_none_or(|newest| *newest < epoch);
                assert!(newest, "epoch {epoch} came again: {text}");
            }
            _ => {}
        }
        let whole = self.held.take(&frame);
        if whole.unwrap_or_else(|error| panic!("{error}: {text}")) {
            self.epochs.insert(epoch);
        }
    }
}

/// Takes the first whole frame off: a line, or an event as the same object.
fn next_frame(text: &mut Vec<u8>) -> Option<String> {
    let is_line = text.first() == Some(&b'{');
    let end = match is_line {
        true => text.iter().position(|byte| *byte == b'\n')? + 1,
        false => text.windows(2).position(|pair| pair == b"\n\n")? + 2,
    };
    let message = String::from_utf8(text.drain(..end).collect()).expect("text");
    if is_line {
        return Some(message);
    }
    let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
    let (event, data) = (field("event: ").expect("a name"), field("data: ").expect("data"));
    let id = field("id: ").map_or("null".to_owned(), |id| format!("\"{id}\""));
    Some(format!(r#"{{"event":"{event}","id":{id},"data":{data}}}"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_go_from_node_to_node_while_all_are_restarted() {
    let rounds: usize = std::env::var("OTKLIK_ROUNDS").map_or(2, |n| n.parse().expect("a number"));
    let seed = std::env::var("OTKLIK_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut cluster = Cluster::start(NODES);
    let epoch = cluster.send(0, &format!("{WORLD}{}", rating(0, 5))).await;
    cluster.agree(epoch).await;
    let shared = Arc::new(Shared {
        urls: cluster.nodes.iter().map(|node| node.url.clone()).collect(),
        over: AtomicBool::new(false),
        next: AtomicU64::new(1),
        last: AtomicU64::new(0),
    });
    let readers: Vec<_> = (0..2 * WISHES.len())
        .map(|n| tokio::spawn(read(Arc::clone(&shared), seed + n as u64, n % WISHES.len())))
        .collect();
    let senders: Vec<_> =
        (0..3).map(|n| tokio::spawn(send(Arc::clone(&shared), seed + 100 + n))).collect();
    for _ in 0..rounds {
        for node in 0..NODES {
            cluster.stop(node);
            tokio::time::sleep(Duration::from_millis(300)).await;
            cluster.launch(node, &[]);
            let epoch = cluster.send(node, &rating(0, 5)).await;
            cluster.agree(epoch).await;
            // Figures go on for a while.
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }
    shared.over.store(true, Relaxed);
    for sender in senders {
        sender.await.expect("no panic");
    }
    // The last epoch changes what all of them read.
    let records = shared.next.load(Relaxed) + 1;
    let epoch = cluster.send(0, &rating(records - 1, 1)).await;
    cluster.agree(epoch).await;
    shared.last.store(epoch, Relaxed);
    let (mut moves, mut epochs, mut lagged) = (0, BTreeSet::new(), Vec::new());
    for (n, reader) in readers.into_iter().enumerate() {
        let read = tokio::time::timeout(PATIENCE, reader).await.expect("it comes to the end");
        let read = read.expect("no gap and no repeat");
        let (path, _) = WISHES[n % WISHES.len()];
        let (view, _) = path.split_once('/').expect("a view");
        let held: Vec<Value> =
            read.held.rows().map(|row| serde_json::from_str(row).expect("a row")).collect();
        for node in 0..NODES {
            let rows = cluster.get(node, &format!("/v1/views/{view}")).await.expect("it serves");
            assert_eq!(rows["rows"], Value::from(held.clone()), "{view} at node {node}");
        }
        assert!(read.moves > 2 * rounds, "reader {n} moved {} times only", read.moves);
        moves += read.moves;
        epochs.extend(read.epochs);
        lagged.extend(read.lagged);
        assert_eq!(read.snapshots, 1, "reader {n} had to begin anew: {lagged:?}");
    }
    // Wherever a reader was, it could have gone on from there at any node.
    let mut unknown = Vec::new();
    for epoch in &epochs {
        let mut digests = Vec::new();
        for node in 0..NODES {
            let known = cluster.get(node, &format!("/v1/digests?epoch={epoch}")).await;
            unknown.extend(known.is_none().then_some((*epoch, node)));
            digests.extend(known.map(|known| known["views"].clone()));
        }
        assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "epoch {epoch}: {digests:?}");
    }
    let all = epochs.len();
    println!("{rounds} rounds, {records} records, {moves} moves, {all} epochs read");
    assert!(unknown.is_empty(), "{} not known: {unknown:?}", unknown.len());
    // Each was acknowledged, and counts once, whoever has it twice.
    for node in 0..NODES {
        assert_eq!(cluster.figure(node).await["n"], 5 * records, "node {node}");
    }
    cluster.verify();
}
