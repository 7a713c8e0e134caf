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
        let seen = cluster.running(node).await;
        assert_eq!(seen["process"], node, "{seen}");
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
    // Why a figure is what it is, each node can say, though it has only a part of what is behind it.
    let rows = cluster.get(0, "/v1/views/manager_periods?limit=1000").await.expect("served");
    let rows = rows["rows"].as_array().expect("rows").clone();
    let rated: Vec<_> = rows.iter().filter(|row| row["n"].as_u64() > Some(0)).take(12).collect();
    assert!(rated.len() > 3, "{} rows", rows.len());
    for (node, row) in (0..3).cycle().zip(rated) {
        let (tenure, period) = (row["tenure"].as_str().expect("an id"), &row["period"]);
        let path = format!("/v1/explain/manager_periods?tenure={tenure}&period={period}");
        let url = format!("{}{path}", cluster.nodes[node].url);
        let answer = cluster.client.get(url).send().await.expect("it answers");
        let (status, explained) = (answer.status(), answer.text().await.expect("text"));
        assert!(status.is_success(), "node {node}: {explained}");
        let explained: serde_json::Value = serde_json::from_str(&explained).expect("JSON");
        assert_eq!(explained["row"]["n"], row["n"], "{explained}");
    }
}
