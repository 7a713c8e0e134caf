//! A cluster of hosts: each node in a network namespace of its own, links that are cut, lose or go
//! one way, processes that are stopped and killed, while clients send to all nodes and read from
//! all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use jiff::Timestamp;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use serde_json::Value;

use super::fixture::{Cluster, generated, signal};
use crate::clients::subscribe;

const NODES: usize = 3;
/// One more event, whose answer names the last epoch.
const MARKER: &str = r#"{"type":"agency","id":"the-last","name":"the last"}"#;

/// Hosts on a bridge, gone when this is dropped.
struct Hosts {
    bridge: String,
    namespaces: Vec<String>,
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().expect("a word")).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

fn address(host: usize) -> String {
    format!("10.77.{}.{}", std::process::id() % 250, host + 1)
}

impl Hosts {
    fn new(count: usize) -> Hosts {
        let tag = std::process::id() % 10_000;
        let bridge = format!("ok{tag}");
        run(&format!("ip link add {bridge} type bridge"));
        run(&format!("ip addr add {}/24 dev {bridge}", address(200)));
        run(&format!("ip link set {bridge} up"));
        let mut hosts = Hosts { bridge, namespaces: Vec::new() };
        for host in 0..count {
            let (namespace, near) = (format!("ok{tag}n{host}"), format!("ok{tag}v{host}"));
            run(&format!("ip netns add {namespace}"));
            hosts.namespaces.push(namespace.clone());
            run(&format!("ip link add {near} type veth peer name eth0 netns {namespace}"));
            run(&format!("ip link set {near} master {} up", hosts.bridge));
            let inside = format!("ip netns exec {namespace}");
            run(&format!("{inside} ip addr add {}/24 dev eth0", address(host)));
            run(&format!("{inside} ip link set eth0 up"));
            run(&format!("{inside} ip link set lo up"));
            run(&format!("{inside} nft add table inet cut"));
            run(&format!(
                "{inside} nft add chain inet cut in {{ type filter hook input priority 0 ; }}"
            ));
        }
        hosts
    }

    /// What comes from one host is lost at another: all of it, or so many per cent.
    fn lose(&self, from: usize, at: usize, percent: u32) {
        let share = match percent {
            100 => String::new(),
            some => format!("numgen random mod 100 < {some}"),
        };
        let (namespace, from) = (&self.namespaces[at], address(from));
        run(&format!(
            "ip netns exec {namespace} nft add rule inet cut in ip saddr {from} {share} drop"
        ));
    }

    fn heal(&self) {
        for namespace in &self.namespaces {
            run(&format!("ip netns exec {namespace} nft flush chain inet cut in"));
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            // What is left when a step fails is only in the way of the next run.
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
        let _ = Command::new("ip").args(["link", "del", &self.bridge]).status();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    KillWorker,
    KillNode,
    KillBoth,
    KillTwo,
    KillWhileReplaying,
    StopWorker,
    StopNode,
    Cut,
    CutOneWay,
    Lossy,
    Strangers,
}

impl What {
    const ALL: [What; 11] = [
        What::KillWorker,
        What::KillNode,
        What::KillBoth,
        What::KillTwo,
        What::KillWhileReplaying,
        What::StopWorker,
        What::StopNode,
        What::Cut,
        What::CutOneWay,
        What::Lossy,
        What::Strangers,
    ];

    fn name(self) -> &'static str {
        match self {
            What::KillWorker => "a worker killed",
            What::KillNode => "a node killed",
            What::KillBoth => "a node and another's worker killed",
            What::KillTwo => "two nodes killed",
            What::KillWhileReplaying => "a worker killed while all replay",
            What::StopWorker => "a worker stopped",
            What::StopNode => "a node stopped for 5 s",
            What::Cut => "a link cut for 6 s",
            What::CutOneWay => "a link cut one way for 6 s",
            What::Lossy => "30 % lost on a link for 4 s",
            What::Strangers => "strangers on all ports",
        }
    }
}

/// Milliseconds.
#[derive(Debug)]
struct Times {
    /// Until a node said that something is no more, or the generation over.
    noticed: Histogram<u64>,
    /// From the last change for the better until all nodes serve what came after.
    current: Histogram<u64>,
}

impl Default for Times {
    fn default() -> Times {
        let histogram = || Histogram::new(2).expect("two digits");
        Times { noticed: histogram(), current: histogram() }
    }
}

/// The sender of one node: each batch until it is answered, there or elsewhere.
struct Sender {
    urls: Vec<String>,
    stop: Arc<AtomicBool>,
    next: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    /// Between two batches.
    pause: Duration,
}

impl Sender {
    async fn send(self, home: usize, batches: Arc<Vec<String>>) {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(8)).build();
        let client = client.expect("valid");
        let mut node = home;
        while !self.stop.load(Ordering::Relaxed) {
            let n = self.next.fetch_add(1, Ordering::Relaxed) as usize;
            let batch = &batches[n % batches.len()];
            loop {
                let url = format!("{}/v1/events", self.urls[node]);
                let sent = client.post(url).body(batch.clone()).send().await;
                if let Ok(answer) = sent
                    && answer.status().is_success()
                    && let Ok(answer) = answer.json::<Value>().await
                {
                    let accepted = answer["accepted"].as_u64().expect("a number");
                    self.answered.fetch_add(accepted, Ordering::Relaxed);
                    break;
                }
                node = (node + 1) % self.urls.len();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            node = home;
            tokio::time::sleep(self.pause).await;
        }
    }
}

fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// When a generation was over, by what the nodes say, after this time.
fn noticed(cluster: &Cluster, since: Timestamp) -> Option<Timestamp> {
    let texts: Vec<String> = (0..NODES).map(|node| cluster.said(node)).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    let says = ["is over:", "is gone", "is no more:"];
    let over = lines.filter(|line| says.iter().any(|words| line.contains(words)));
    let at = over.filter_map(|line| line.split_whitespace().next()?.parse::<Timestamp>().ok());
    at.filter(|at| *at >= since).min()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_fail_and_nothing_is_lost() {
    let happenings = asked("OTKLIK_EVENTS", 0) as usize;
    if happenings == 0 {
        println!("not asked for: OTKLIK_EVENTS");
        return;
    }
    let seed = asked("OTKLIK_SEED", u64::from(std::process::id()));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let hosts = Hosts::new(NODES);
    let mut cluster = Cluster::start(0);
    for host in 0..NODES {
        cluster.hosts.push(format!("{}:7410", address(host)));
        let namespace = hosts.namespaces[host].clone();
        cluster.add_node_at(format!("{}:8140", address(host)), Some(namespace));
    }
    for host in 0..NODES {
        cluster.launch(host, &[]);
    }
    let only = std::env::var("OTKLIK_ONLY").unwrap_or_default();
    let kinds: Vec<What> = What::ALL.into_iter().filter(|w| w.name().contains(&only)).collect();
    let records = asked("OTKLIK_RECORDS", 5_000) as usize;
    let (reference, events) = generated(cluster.directory.path(), 2 * records, seed);
    for (n, batch) in reference.iter().enumerate() {
        cluster.send(n % NODES, batch).await;
    }
    let (before, later) = events.split_at(events.len() * 9 / 10);
    let mut epoch = 0;
    for (n, batch) in before.iter().enumerate() {
        epoch = cluster.send(n % NODES, batch).await;
    }
    cluster.agree(epoch).await;

    let last = Arc::new(AtomicU64::new(0));
    let subscribers: Vec<_> = cluster
        .nodes
        .iter()
        .map(|node| tokio::spawn(subscribe(node.url.clone(), Arc::clone(&last))))
        .collect();
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (next, later) = (Arc::new(AtomicU64::new(0)), Arc::new(later.to_vec()));
    let senders: Vec<_> = (0..NODES)
        .map(|home| {
            let sender = Sender {
                urls: cluster.nodes.iter().map(|node| node.url.clone()).collect(),
                stop: Arc::clone(&stop),
                next: Arc::clone(&next),
                answered: Arc::clone(&answered),
                pause: Duration::from_millis(asked("OTKLIK_PAUSE", 30)),
            };
            tokio::spawn(sender.send(home, Arc::clone(&later)))
        })
        .collect();

    let started = Instant::now();
    let mut times: BTreeMap<What, (usize, Times)> = BTreeMap::new();
    for n in 0..happenings {
        let what = *kinds.choose(&mut random).expect("OTKLIK_ONLY is in a name");
        let (since, better) = happen(what, &mut random, &mut cluster, &hosts).await;
        // What is sent from now on, and so all before, is served by all.
        let mut epoch = 0;
        for node in 0..NODES {
            epoch = cluster.send(node, MARKER).await.max(epoch);
        }
        cluster.all_serve(epoch).await;
        let (count, times) = times.entry(what).or_default();
        *count += 1;
        times.current.record(better.elapsed().as_millis() as u64).expect("it fits");
        if let Some(at) = noticed(&cluster, since) {
            let took = at.duration_since(since).as_millis().max(0) as u64;
            times.noticed.record(took).expect("it fits");
        }
        cluster.agree(epoch).await;
        // Ten seconds and more: else a generation that ends is one more failure in a row, and the next
        // waits up to five seconds.
        tokio::time::sleep(Duration::from_millis(asked("OTKLIK_REST", 0))).await;
        if (n + 1) % 50 == 0 {
            println!("{} of {happenings}, {} s", n + 1, started.elapsed().as_secs());
        }
    }

    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.expect("no panic");
    }
    let epoch = cluster.send(0, MARKER).await;
    cluster.agree(epoch).await;
    last.store(epoch, Ordering::Relaxed);
    let (mut connections, mut snapshots) = (0, 0);
    for (node, subscriber) in subscribers.into_iter().enumerate() {
        // An epoch that changes what they read.
        let held = tokio::time::timeout(Duration::from_secs(120), subscriber);
        let held = held.await.expect("it comes to the last epoch").expect("no gap and no repeat");
        let path = "/v1/views/manager_periods?limit=10000";
        let rows = cluster.get(node, path).await.expect("it serves");
        let rows = rows["rows"].as_array().expect("rows");
        for row in rows {
            assert_eq!(held.rows.get(&crate::clients::name(row)), Some(row), "node {node}");
        }
        assert!(rows.len() == 10_000 || rows.len() == held.rows.len());
        connections += held.connections;
        snapshots += held.snapshots;
    }
    cluster.verify();
    let answered = answered.load(Ordering::Relaxed);
    let text = report(seed, records, answered, started.elapsed(), connections, snapshots, &times);
    println!("{text}");
    if let Some(path) = std::env::var_os("OTKLIK_REPORT").filter(|path| !path.is_empty()) {
        let file = std::fs::File::options().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("it can be written");
    }
}

/// Lets it happen and makes it good again; yields when either was.
async fn happen(
    what: What,
    random: &mut ChaCha8Rng,
    cluster: &mut Cluster,
    hosts: &Hosts,
) -> (Timestamp, Instant) {
    let one = random.random_range(0..NODES);
    let other = (one + random.random_range(1..NODES)) % NODES;
    let away = Duration::from_millis(random.random_range(0..2000));
    // Asked for before, so that the answer takes no part of the time.
    let [ones, others] = [cluster.worker(one).await, cluster.worker(other).await];
    let since = Timestamp::now();
    match what {
        What::KillWorker => kill_worker(ones),
        What::KillWhileReplaying => {
            kill_worker(ones);
            tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
            kill_worker(cluster.worker(other).await);
        }
        What::KillNode | What::KillBoth | What::KillTwo => {
            cluster.kill(one);
            match what {
                What::KillBoth => kill_worker(others),
                What::KillTwo => cluster.kill(other),
                _ => {}
            }
            tokio::time::sleep(away).await;
            for node in [one, other] {
                if cluster.nodes[node].child.is_none() {
                    cluster.launch(node, &[]);
                }
            }
        }
        What::StopWorker => {
            if let Some(worker) = ones {
                signal(worker, Signal::STOP);
            }
        }
        What::StopNode => {
            let node = cluster.nodes[one].child.as_ref().expect("it runs").id();
            signal(node, Signal::STOP);
            tokio::time::sleep(Duration::from_secs(5)).await;
            signal(node, Signal::CONT);
        }
        What::Cut | What::CutOneWay => {
            hosts.lose(one, other, 100);
            if what == What::Cut {
                hosts.lose(other, one, 100);
            }
            tokio::time::sleep(Duration::from_secs(6)).await;
            hosts.heal();
        }
        What::Lossy => {
            hosts.lose(one, other, 30);
            hosts.lose(other, one, 30);
            tokio::time::sleep(Duration::from_secs(4)).await;
            hosts.heal();
        }
        What::Strangers => {
            for host in &cluster.hosts {
                for words in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"OTKLIKM1", &[7; 500]] {
                    if let Ok(mut stranger) = TcpStream::connect(host) {
                        // It may have hung up already.
                        let _ = stranger.write_all(words);
                    }
                }
            }
        }
    }
    (since, Instant::now())
}

fn kill_worker(worker: Option<u32>) {
    if let Some(worker) = worker {
        let pid = rustix::process::Pid::from_raw(worker as i32).expect("not zero");
        // It may have ended since it was asked for.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

fn report(
    seed: u64,
    records: usize,
    answered: u64,
    took: Duration,
    connections: usize,
    snapshots: usize,
    times: &BTreeMap<What, (usize, Times)>,
) -> String {
    let revision = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let revision = revision.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let happenings: usize = times.values().map(|(count, _)| count).sum();
    let mut text = format!(
        "\n## A cluster of {NODES} hosts, {}, revision {}\n\n\
         {happenings} events in {} s, seed {seed}, {records} records in the logs before. {answered} \
         events acknowledged meanwhile. The subscribers connected {connections} times and got \
         {snapshots} snapshots.\n\n0 lost, 0 counted twice, 0 gaps or repeats; the same digests on \
         all nodes after every event.\n\n\
         | event | times | noticed after, ms: median, 90 %, 99 %, most | all current after, ms: median, 90 %, 99 %, most |\n\
         |---|---:|---:|---:|\n",
        Timestamp::now().strftime("%F"),
        revision.unwrap_or_default().trim(),
        took.as_secs(),
    );
    for (what, (count, Times { noticed, current })) in times {
        let spread = |times: &Histogram<u64>| {
            if times.is_empty() {
                return "not".to_owned();
            }
            let at = |quantile| times.value_at_quantile(quantile);
            format!("{}, {}, {}, {}", at(0.5), at(0.9), at(0.99), times.max())
        };
        let _ = writeln!(
            text,
            "| {} | {count} | {} | {} |",
            what.name(),
            spread(noticed),
            spread(current)
        );
    }
    text
}
