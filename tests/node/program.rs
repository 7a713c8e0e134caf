//! `otklik serve` as a process: its exit codes, its signals, and its sudden death.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use otklik::event::Event;
use otklik::log::{FrameBuilder, Options, Writer};
use otklik::protocol::{self, Command as Tell, Listener, Report};
use otklik::rules::Rules;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::fixture::{SMS, logged, worker_by_hand};

const PROGRAM: &str = env!("CARGO_BIN_EXE_otklik");

fn serve(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(arguments);
    command.stderr(Stdio::piped());
    command
}

/// A node that has been started, and where it listens.
fn started(data: &Path) -> (Child, String, BufReader<ChildStderr>) {
    let mut child = serve(data, &[]).spawn().expect("started");
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("listening on http://") {
        line.clear();
        assert!(lines.read_line(&mut line).expect("text") > 0, "it ended");
    }
    let address = line.rsplit(' ').next().expect("a word").trim().to_owned();
    (child, address, lines)
}

/// Runs to the end; `(exit code, standard error)`.
fn ended(mut command: Command) -> (i32, String) {
    let output = command.output().expect("started");
    let text = String::from_utf8(output.stderr).expect("text");
    (output.status.code().expect("it ends by itself"), text)
}

async fn submit(address: &str) -> Value {
    let client = reqwest::Client::new();
    loop {
        let response = client.post(format!("{address}/v1/events")).body(SMS).send().await;
        let response = response.expect("it answers");
        if response.status() == 200 {
            return response.json().await.expect("JSON");
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not zero");
    kill_process(pid, signal).expect("it runs");
}

/// Whether there is such a process, and not only the record of its end.
fn runs(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_cleanly() {
    for which in [Signal::TERM, Signal::INT] {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut child, address, mut lines) = started(directory.path());
        assert_eq!(submit(&address).await["accepted"], 1);
        // A stream that somebody reads does not hold it up.
        let live = reqwest::get(format!("{address}/v1/views/conservation/live")).await;
        signal(&child, which);
        let mut rest = String::new();
        lines.read_to_string(&mut rest).expect("text");
        assert_eq!(child.wait().expect("ended").code(), Some(0), "{rest}");
        assert!(rest.contains("rules in force: integral = surveyed, attribution = received"));
        assert!(rest.contains("access control is not there yet"), "{rest}");
        assert_eq!(logged(directory.path()), 1);
        drop(live);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_takes_its_worker_along_and_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut workers = Vec::new();
    for round in 0..3 {
        let (mut child, address, _lines) = started(directory.path());
        for _ in 0..5 {
            submit(&address).await;
        }
        let worker = loop {
            let status: Value = reqwest::get(format!("{address}/v1/status"))
                .await
                .expect("it answers")
                .json()
                .await
                .expect("JSON");
            if let Some(pid) = status["worker"]["pid"].as_i64() {
                break pid;
            }
        };
        assert!(runs(worker));
        workers.push(worker);
        signal(&child, Signal::KILL);
        child.wait().expect("ended");
        assert_eq!(logged(directory.path()), 5 * (round + 1));
    }
    for worker in workers {
        while runs(worker) {}
    }
}

/// The next node starts a worker of its own meanwhile: two at a time would share cores and memory.
#[test]
fn a_worker_that_reads_for_long_ends_with_its_node() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut log, _) = Writer::open(directory.path(), Options::default(), None, |_, _| ())
        .expect("an empty directory");
    let mut frame = FrameBuilder::new();
    for record in 0..4096 {
        let line = SMS.replace("\"record\":7", &format!("\"record\":{record}"));
        frame.push(&Event::parse(line.as_bytes()).expect("an event")).expect("room");
    }
    // More than can be read in the time that is allowed below.
    for epoch in 1..=500 {
        log.append(epoch, &mut frame).expect("room");
    }
    let end = log.position();
    log.close().expect("room");
    let (mut worker, ours, _handing) = worker_by_hand();
    let mut listener = Listener::new(&ours);
    let tell = |command| protocol::send(&mut &ours, &command).expect("it listens");
    let (data, rules) = (directory.path().to_owned(), Rules::default());
    tell(Tell::Start { data, adopted: vec![], workers: 1, rules, first: None, seat: None });
    tell(Tell::Advance { end, epoch: u64::MAX, hours: vec![] });
    loop {
        match listener.hear().expect("it speaks").expect("it is there") {
            Report::Reading { events } => break assert!(events < 500 * 4096),
            report => {
                assert!(matches!(report, Report::Alive), "it has read all before it is asked")
            }
        }
    }
    drop(ours);
    let gone = Instant::now();
    while worker.try_wait().expect("ours").is_none() {
        assert!(gone.elapsed() < Duration::from_secs(5), "it reads on for nobody");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_wrong_ends_it_with_a_code_and_a_sentence() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("node.toml");
    std::fs::write(&file, "[limits]\nbody_byte = 5").expect("written");
    let path = file.to_str().expect("text");
    let (code, text) = ended(serve(directory.path(), &["--config", path]));
    assert_eq!(code, 1);
    assert!(text.contains(path) && text.contains("unknown field `body_byte`"), "{text}");
    assert!(text.contains("in `limits`"), "{text}");

    let mut wrong = serve(directory.path(), &[]);
    wrong.env("OTKLIK_LIMITS_LINE_BYTES", "many");
    let (code, text) = ended(wrong);
    assert_eq!(code, 1);
    assert!(text.contains("OTKLIK_LIMITS_LINE_BYTES is wrong: \"many\" is not a number"), "{text}");

    let (code, text) = ended(serve(directory.path(), &["--workers", "many"]));
    assert_eq!(code, 2);
    assert!(text.contains("--workers"), "{text}");
}

#[test]
fn a_second_node_and_a_taken_port_are_told_from_each_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut child, address, _lines) = started(directory.path());
    let (code, text) = ended(serve(directory.path(), &[]));
    assert_eq!(code, 1);
    assert!(text.contains(&format!("is in use by process {}", child.id())), "{text}");

    let elsewhere = tempfile::tempdir().expect("a directory");
    let address = address.trim_start_matches("http://");
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", address, "--data"]).arg(elsewhere.path());
    let (code, text) = ended(command);
    assert_eq!(code, 1);
    assert!(text.contains(&format!("cannot listen on {address}: ")), "{text}");
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().expect("ended").code(), Some(0));
}
