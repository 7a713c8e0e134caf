//! The number of nodes changes between two starts.

use super::fixture::{Cluster, WORLD, rating};
use crate::ports::free_port;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_figures_from_more_nodes_and_from_fewer() {
    let mut cluster = Cluster::start(2);
    cluster.send(0, WORLD).await;
    let mut epoch = 0;
    for record in 0..10 {
        epoch = cluster.send(record as usize % 2, &rating(record, 1 + record % 5)).await;
    }
    cluster.agree(epoch).await;
    let before = cluster.figure(0).await;
    let manager_periods = |digests: serde_json::Value| digests["views"]["manager_periods"].clone();
    let digest = manager_periods(cluster.get(0, "/v1/digests").await.expect("it serves"));
    // One more.
    cluster.stop(0);
    cluster.stop(1);
    cluster.hosts.push(format!("127.0.0.1:{}", free_port()));
    let mut third = Cluster::start(0);
    std::mem::swap(&mut third.nodes, &mut cluster.nodes);
    third.hosts = cluster.hosts.clone();
    third.add_node();
    for node in 0..3 {
        third.launch(node, &[]);
    }
    let epoch = third.send(2, r#"{"type":"agency","id":"b","name":"b"}"#).await;
    third.agree(epoch).await;
    for node in 0..3 {
        assert_eq!(third.figure(node).await, before);
        let digests = third.get(node, "/v1/digests").await.expect("it serves");
        assert_eq!(manager_periods(digests), digest);
    }
    third.send(2, &rating(100, 5)).await;
    for node in 0..3 {
        third.stop(node);
    }
    // One that has read all three.
    let adopted: Vec<String> =
        third.nodes[1..].iter().map(|node| node.data.display().to_string()).collect();
    third.nodes.truncate(1);
    third.hosts.truncate(1);
    third.launch(0, &[("OTKLIK_CLUSTER_ADOPT", &adopted.join(","))]);
    let epoch = third.send(0, &rating(101, 5)).await;
    third.agree(epoch).await;
    assert_eq!(third.figure(0).await["n"], 5 * 12);
}
