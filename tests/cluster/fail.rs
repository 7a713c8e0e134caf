//! Something fails: workers, nodes, connections, and strangers who knock.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::fixture::{Cluster, PATIENCE, WORLD, program, rating, signal};

/// Rating after rating at any node, and what the head's row says afterwards.
async fn rate(cluster: &Cluster, records: std::ops::Range<u64>, nodes: &[usize]) -> u64 {
    let mut epoch = 0;
    for record in records {
        let node = nodes[record as usize % nodes.len()];
        epoch = cluster.send(node, &rating(record, 5)).await.max(epoch);
    }
    epoch
}

async fn counts(cluster: &Cluster, n: u64) {
    for node in 0..cluster.nodes.len() {
        let row = cluster.figure(node).await;
        assert_eq!(row["n"], n, "node {node}: {row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_takes_all_into_the_next_generation() {
    let cluster = Cluster::start(2);
    cluster.send(0, WORLD).await;
    let epoch = rate(&cluster, 0..10, &[0, 1]).await;
    cluster.agree(epoch).await;
    for (round, node) in [1, 0, 1].into_iter().enumerate() {
        let before = cluster.generation(0).await;
        let other = cluster.worker(1 - node).await.expect("there is one");
        signal(cluster.worker(node).await.expect("there is one"), Signal::KILL);
        // Both nodes go on accepting meanwhile.
        let records = 10 + 10 * round as u64..20 + 10 * round as u64;
        let epoch = rate(&cluster, records, &[0, 1]).await;
        cluster.agree(epoch).await;
        assert!(cluster.generation(0).await > before);
        assert_ne!(cluster.worker(1 - node).await, Some(other), "they share one fate");
        counts(&cluster, 5 * (20 + 10 * round as u64)).await;
    }
    cluster.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_comes_back_and_catches_up() {
    let mut cluster = Cluster::start(3);
    cluster.send(2, WORLD).await;
    let epoch = rate(&cluster, 0..12, &[0, 1, 2]).await;
    cluster.agree(epoch).await;
    let mut records = 12;
    // Any of them, the first too; and two at once.
    for away in [vec![1], vec![0], vec![2, 0]] {
        for node in &away {
            cluster.kill(*node);
        }
        let left: Vec<usize> = (0..3).filter(|node| !away.contains(node)).collect();
        rate(&cluster, records..records + 9, &left).await;
        for node in &left {
            let ready = cluster.get(*node, "/readyz").await.expect("the last epoch is served");
            assert_eq!(ready["ready"], true);
            assert!(cluster.figure(*node).await["n"].is_u64());
        }
        for node in &away {
            cluster.launch(*node, &[]);
        }
        let epoch = rate(&cluster, records + 9..records + 12, &[0, 1, 2]).await;
        records += 12;
        cluster.agree(epoch).await;
        counts(&cluster, 5 * records).await;
    }
    cluster.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_can_be_restarted_one_by_one() {
    let mut cluster = Cluster::start(2);
    cluster.send(0, WORLD).await;
    let mut records = 0;
    for round in 0..4 {
        let node = round % 2;
        rate(&cluster, records..records + 5, &[0, 1]).await;
        cluster.stop(node);
        rate(&cluster, records + 5..records + 8, &[1 - node]).await;
        cluster.launch(node, &[]);
        let epoch = rate(&cluster, records + 8..records + 10, &[0, 1]).await;
        records += 10;
        cluster.agree(epoch).await;
    }
    counts(&cluster, 5 * records).await;
    cluster.verify();
}

/// What a node served before it was started again, it goes on from, and so all others compute that
/// epoch by itself, whatever came to them since.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_go_on_from_what_they_served_before_they_were_started_again() {
    let mut cluster = Cluster::start(2);
    cluster.send(1, WORLD).await;
    let epoch = rate(&cluster, 0..4, &[0, 1]).await;
    cluster.agree(epoch).await;
    cluster.kill(1);
    rate(&cluster, 4..6, &[0]).await;
    cluster.kill(0);
    // This one has nothing to go on from, and so no reason of its own to close that epoch.
    std::fs::remove_dir_all(cluster.nodes[0].data.join("history")).expect("it was there");
    cluster.launch(0, &[]);
    cluster.launch(1, &[]);
    let epoch = rate(&cluster, 6..8, &[0, 1]).await;
    cluster.agree(epoch).await;
    counts(&cluster, 5 * 8).await;
    for node in 0..2 {
        assert!(!cluster.said(node).contains("rows that differ"), "{}", cluster.said(node));
    }
}

/// A process that is stopped closes no connection and answers nobody.
#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_is_noticed() {
    let cluster = Cluster::start(2);
    cluster.send(0, WORLD).await;
    let epoch = rate(&cluster, 0..4, &[0, 1]).await;
    cluster.agree(epoch).await;
    // A worker is killed and started again.
    let worker = cluster.worker(1).await.expect("there is one");
    let before = cluster.generation(0).await;
    signal(worker, Signal::STOP);
    let epoch = rate(&cluster, 4..8, &[0, 1]).await;
    cluster.agree(epoch).await;
    assert!(cluster.generation(0).await > before);
    assert_ne!(cluster.worker(1).await, Some(worker));
    // A node is waited for.
    let node = cluster.nodes[1].child.as_ref().expect("it runs").id();
    signal(node, Signal::STOP);
    rate(&cluster, 8..10, &[0]).await;
    let until = Instant::now() + PATIENCE;
    loop {
        let seen = cluster.get(0, "/v1/cluster").await.expect("it answers");
        if seen["nodes"][1]["connected"] == false {
            assert_eq!(seen["frontier"]["process"], 1, "{seen}");
            break;
        }
        assert!(Instant::now() < until, "{seen}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    signal(node, Signal::CONT);
    let epoch = rate(&cluster, 10..12, &[0, 1]).await;
    cluster.agree(epoch).await;
    counts(&cluster, 5 * 12).await;
    cluster.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_change_nothing() {
    let cluster = Cluster::start(2);
    cluster.send(0, WORLD).await;
    let epoch = rate(&cluster, 0..4, &[0, 1]).await;
    cluster.agree(epoch).await;
    let before = cluster.generation(0).await;
    let mut held = Vec::new();
    for host in &cluster.hosts {
        for words in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"", b"OTKLIKM1", &[0; 5000], b"\x16\x03\x01"]
        {
            for _ in 0..20 {
                let mut stranger = TcpStream::connect(host).expect("it listens");
                // It may have hung up already.
                let _ = stranger.write_all(words);
                held.push(stranger);
            }
        }
    }
    // Nodes that are none of this cluster: another secret, name, rules.
    for (variable, value) in [
        ("OTKLIK_CLUSTER_SECRET", "guessed"),
        ("OTKLIK_CLUSTER_NAME", "another"),
        ("OTKLIK_RULES_ATTRIBUTION", "provided"),
    ] {
        let data = cluster.directory.path().join(variable);
        let mut other = program()
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .args(["--hosts", &cluster.hosts.join(","), "--process", "1"])
            .env("OTKLIK_CLUSTER_LISTEN", "127.0.0.1:0")
            .env("OTKLIK_CLUSTER_SECRET", "known to all")
            .env(variable, value)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("started");
        tokio::time::sleep(Duration::from_millis(1500)).await;
        other.kill().expect("it runs");
        let mut text = String::new();
        other.stderr.take().expect("piped").read_to_string(&mut text).expect("text");
        other.wait().expect("ended");
        assert!(text.contains("cannot reach the first node"), "{text}");
    }
    let epoch = rate(&cluster, 4..8, &[0, 1]).await;
    cluster.agree(epoch).await;
    counts(&cluster, 5 * 8).await;
    assert_eq!(cluster.generation(0).await, before, "the same generation");
    drop(held);
}
