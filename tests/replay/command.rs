//! The command: its arguments, its report file, and when it fails.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use clap::Parser;
use otklik::replay::{self, Node, Pace, ReplayArgs};

use super::fixture::{OtherSide, input, per_second, sms};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    replay: ReplayArgs,
}

fn args(more: &[&str]) -> Result<ReplayArgs, clap::Error> {
    let cli = Cli::try_parse_from([&["replay"], more].concat())?;
    Ok(cli.replay)
}

#[test]
fn wrong_usage_is_refused() {
    let usual = ["--input", "a", "b", "--to", "http://127.0.0.1:8140"];
    let with = |more: &[&str]| args(&[&usual[..], more].concat()).map(|args| args.plan());
    assert_eq!(with(&[]).expect("right").pace, Pace::Max);
    assert_eq!(with(&["--rate", "5000/s"]).expect("right").pace, per_second(5000.0));
    assert_eq!(with(&["--rate", "5000"]).expect("right").input.len(), 2);
    assert_eq!(with(&["--max", "--lag", "2"]).expect("right").pace, Pace::Following(2));
    let wrong: [&[&str]; 9] = [
        &["--lag", "0"],
        &["--lag", "2", "--rate", "5"],
        &["--rate", "0"],
        &["--rate", "5", "--max"],
        &["--rate", "5", "--speedup", "2"],
        &["--speedup", "-1"],
        &["--connections", "0"],
        &["--batch", "0"],
        &["--give-up", "0"],
    ];
    for more in wrong {
        assert!(with(more).is_err(), "{more:?}");
    }
    assert!(args(&["--input", "a", "--to", "https://a.b"]).is_err());
    assert!(args(&["--to", "http://a.b"]).is_err());
}

#[test]
fn the_command_writes_its_report_and_fails_unless_all_is_acknowledged() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let refusing = OtherSide::new(|_, body| async move {
        let refused = serde_json::json!({"line": 1, "code": "empty", "detail": "no scores"});
        let accepted = body.lines().count() - 1;
        let answer = serde_json::json!({"accepted": accepted, "refused": [refused], "epoch": 1});
        Json(answer).into_response()
    });
    let failing = OtherSide::new(|_, _| async { StatusCode::NOT_FOUND.into_response() });
    let (directory, files) = input((0..10).map(sms));
    let written = directory.path().join("report.json");
    let run = |node: &Node| {
        let input = files[0].to_str().expect("UTF-8");
        let report = written.to_str().expect("UTF-8");
        let to = ["--to", node.as_str(), "--report", report, "--rate", "1000"];
        replay::run(&args(&[&["--input", input], &to[..]].concat()).expect("right"))
    };
    let report = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(&written).expect("written")).expect("JSON")
    };

    run(&runtime.block_on(refusing.serve())).expect("refused is acknowledged");
    let complete = report();
    assert_eq!(complete["end"], "complete");
    assert_eq!(complete["options"]["rate_per_s"], 1000.0);
    assert_eq!(complete["events"]["accepted"], 10 - complete["batches"].as_u64().expect("a count"));
    assert_eq!(complete["refusals"][0]["code"], "empty");
    assert_eq!(complete["refusals"][0]["example"], "no scores");
    assert_eq!(complete["acknowledged"]["events"], 10);
    assert_eq!(
        complete["visible"]["unseen"],
        10 - complete["visible"]["unobserved"].as_u64().expect("a count")
    );

    let error = run(&runtime.block_on(failing.serve())).expect_err("nothing is acknowledged");
    assert!(error.to_string().contains("the node answers 404"), "{error}");
    assert_eq!(report()["end"], "failed");
    let missing = args(&["--input", "missing", "--to", "http://127.0.0.1:1"]).expect("right");
    assert!(format!("{:#}", replay::run(&missing).expect_err("no file")).contains("missing"));
}
