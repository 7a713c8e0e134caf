//! Nothing fails: any event at any node.

use std::sync::Arc;

use super::fixture::{Cluster, WORLD, deliver, generated, rating};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_may_enter_anywhere() {
    let cluster = Cluster::start(2);
    cluster.send(1, WORLD).await;
    // The fact at one node, the reply at the other; and both once more.
    let lines = rating(1, 5);
    let (fact, reply) = lines.split_once('\n').expect("two lines");
    cluster.send(0, fact).await;
    cluster.send(1, reply).await;
    cluster.send(1, fact).await;
    let epoch = cluster.send(0, reply).await;
    cluster.agree(epoch).await;
    for node in 0..2 {
        let row = cluster.figure(node).await;
        assert_eq!((&row["k"], &row["n"]), (&5.into(), &5.into()), "{row}");
        let conservation = cluster.get(node, "/v1/views/conservation").await.expect("served");
        assert_eq!(conservation["rows"][0]["duplicate"], 1);
        let seen = cluster.get(node, "/v1/cluster").await.expect("it answers");
        assert_eq!((&seen["process"], &seen["phase"]), (&node.into(), &"running".into()), "{seen}");
        assert_eq!(seen["nodes"].as_array().map(Vec::len), Some(2));
    }
    // The last word holds, whoever had the first.
    let moved = |agency: &str| {
        format!(
            r#"{{"type":"agency","id":"{agency}","name":"n"}}
{{"type":"unit","id":"u","kind":"territorial","agency":"{agency}","region":"45","name":"Отдел"}}"#
        )
    };
    for round in 0..6 {
        let agency = format!("a{round}");
        let epoch = cluster.send(round % 2, &moved(&agency)).await;
        cluster.all_serve(epoch).await;
        for node in 0..2 {
            assert_eq!(cluster.figure(node).await["agency"], agency.as_str());
        }
    }
    cluster.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_agree_on_many_events() {
    let cluster = Arc::new(Cluster::start(3));
    let (reference, events) = generated(cluster.directory.path(), 6_000, 11);
    for (n, batch) in reference.iter().enumerate() {
        cluster.send(n % 3, batch).await;
    }
    let epoch = deliver(&cluster, events).await;
    cluster.agree(epoch).await;
    cluster.verify();
}
