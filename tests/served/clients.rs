//! The clients that come with the program: `otklik watch` and the example in Python.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::fixture::{NEVER, Node, all, node, sample};

/// Runs a client to its end while epochs come; the last line it writes.
async fn followed(node: &Node, mut command: Command) -> Json {
    node.served.replace(11, all((0..50).map(|record| sample("U", record, 1))));
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the client starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let reading = tokio::task::spawn_blocking(move || lines.map_while(Result::ok).last());
    while node.live.subscribers() == 0 {
        assert!(child.try_wait().expect("ours").is_none(), "the client has ended");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let served = Arc::clone(&node.served);
    for epoch in 11..=30 {
        // One row goes, which was changed by the epoch before, and the next is changed.
        let gone = sample("U", epoch - 11, if epoch == 11 { 1 } else { 2 });
        let (before, after) = (sample("U", epoch - 10, 1), sample("U", epoch - 10, 2));
        served.apply(epoch + 1, vec![(gone, -1), (before, -1), (after, 1)]);
    }
    let last = reading.await.expect("no panic").expect("a line");
    assert!(child.wait().expect("it ends").success());
    serde_json::from_str(&last).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_python_holds_what_is_served() {
    let node = node(100, NEVER).await;
    let mut python = Command::new("python3");
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/follow.py"));
    python.args([node.url.as_str(), "survey_sample", "order=1", "order=2", "up_to=30"]);
    let last = followed(&node, python).await;
    let served = node.json("/v1/views/survey_sample").await;
    assert_eq!(last["epoch"], 30);
    let rows = |rows: &Json| -> BTreeSet<String> {
        rows.as_array().expect("a list").iter().map(Json::to_string).collect()
    };
    assert_eq!(rows(&last["rows"]), rows(&served["rows"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_writes_frames_for_pipes_and_ends_where_it_is_asked_to() {
    let node = node(100, NEVER).await;
    let mut watch = Command::new(env!("CARGO_BIN_EXE_otklik"));
    watch.args(["watch", "survey_sample", "--up-to", "30", "--url", &node.url]);
    let last = followed(&node, watch).await;
    assert_eq!(last["event"], "end");
    assert_eq!(last["data"], json!({"epoch": 30, "reason": "up_to"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_shows_a_table() {
    let node = node(100, NEVER).await;
    node.served.replace(11, all([sample("U7", 5, 1)]));
    let mut watch = Command::new(env!("CARGO_BIN_EXE_otklik"));
    watch.args(["watch", "survey_sample", "unit=U7", "--up-to", "10", "--url", &node.url]);
    watch.args(["--format", "table", "--fields", "unit,order"]);
    let shown = tokio::task::spawn_blocking(move || watch.output()).await.expect("no panic");
    let shown = shown.expect("the program starts");
    let text = String::from_utf8(shown.stdout).expect("UTF-8");
    assert!(shown.status.success(), "{text}");
    assert!(text.contains("unit  order\nU7    1\nsurvey_sample: 1 rows; "), "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_says_what_there_is_when_it_is_asked_for_what_is_not() {
    let node = node(100, NEVER).await;
    node.served.replace(11, Vec::new());
    let table: [(&[&str], i32, &str); 4] = [
        (&["moods"], 1, "the views are manager_periods, agencies"),
        (&["units", "colour=red"], 1, "units has no column \"colour\"; its columns are unit, k"),
        (&["units", "--fields", "colour"], 1, "units has no column \"colour\""),
        (&["units", "colour"], 2, "a condition is COLUMN=VALUE"),
    ];
    for (args, code, expected) in table {
        let mut watch = Command::new(env!("CARGO_BIN_EXE_otklik"));
        watch.arg("watch").args(args).args(["--url", &node.url]);
        let said = tokio::task::spawn_blocking(move || watch.output()).await.expect("no panic");
        let said = said.expect("the program starts");
        let text = String::from_utf8(said.stderr).expect("UTF-8");
        assert_eq!(said.status.code(), Some(code), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}
