//! `otklik verify` as a command: files and logs against the dataflow and against what was written.

#[path = "common/histories.rs"]
mod histories;

use std::fs;
use std::path::{Path, PathBuf};

use dataflows::calendar::{Day, Hour};
use histories::History;
use otklik::event::{Event, parse_day};
use otklik::log::{FrameBuilder, Options, Writer};
use otklik::verify::{Recomputation, VerifyArgs, run};

const SEEDS: std::ops::Range<u64> = 0..12;

/// The arguments that read this history from `data` or `input`.
fn args(history: &History) -> VerifyArgs {
    VerifyArgs {
        data: Vec::new(),
        input: Vec::new(),
        as_of: None,
        url: None,
        compute: None,
        workers: 2,
        integral: history.rules.integral,
        attribution: history.rules.attribution,
        sample_seed: history.rules.sample_seed.clone(),
        survey_cap: history.rules.survey_cap,
        horizon_days: history.rules.horizon_days,
    }
}

fn of_files(history: &History, directory: &Path) -> VerifyArgs {
    let path = directory.join("events.ndjson");
    fs::write(&path, history.lines().join("\n")).expect("a file can be written");
    VerifyArgs { input: vec![path], as_of: Some(as_of(history)), ..args(history) }
}

fn as_of(history: &History) -> Day {
    parse_day(history.as_of.to_string().as_bytes()).expect("a date")
}

/// The rows of the recomputation as `compute` writes them.
fn write_views(history: &History, directory: &Path) -> PathBuf {
    let mut recomputation = Recomputation::new(history.rules.clone());
    for line in history.lines() {
        recomputation.apply(&Event::parse(line.as_bytes()).expect("histories are valid"));
    }
    let clock = history.epochs.last().and_then(|epoch| epoch.clock).expect("it ends with a clock");
    recomputation.apply(&Event::Clock(Hour(clock)));
    recomputation.close_epoch();
    let directory = directory.join("views");
    fs::create_dir(&directory).expect("a directory can be made");
    for (view, rows) in recomputation.views() {
        let rows: Vec<_> = rows.values().map(|row| serde_json::json!(row).to_string()).collect();
        fs::write(directory.join(format!("{view}.ndjson")), rows.join("\n")).expect("writes");
    }
    directory
}

#[test]
fn files_are_what_the_dataflow_says() {
    for seed in SEEDS {
        let (history, directory) = (History::new(seed), tempfile::tempdir().expect("a directory"));
        run(&of_files(&history, directory.path())).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

#[test]
fn a_log_is_what_the_dataflow_says() {
    for seed in SEEDS {
        let (history, directory) = (History::new(seed), tempfile::tempdir().expect("a directory"));
        let (mut log, _) = Writer::open(directory.path(), Options::default(), None, |_, _| {})
            .expect("a log can be opened");
        for (epoch, number) in history.epochs.iter().zip(1..) {
            let mut frame = FrameBuilder::new();
            for line in &epoch.lines {
                let event = Event::parse(line.as_bytes()).expect("histories are valid");
                frame.push(&event).expect("a frame is not full");
            }
            if let Some(hour) = epoch.clock {
                frame.push(&Event::Clock(Hour(hour))).expect("a frame is not full");
            }
            log.append(number, &mut frame).expect("a log can be written");
        }
        log.close().expect("a log can be closed");
        let args = VerifyArgs { data: vec![directory.path().into()], ..args(&history) };
        run(&args).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn a_wrong_row_is_an_error() {
    let (history, directory) = (History::new(0), tempfile::tempdir().expect("a directory"));
    let views = write_views(&history, directory.path());
    let args = VerifyArgs { compute: Some(views.clone()), ..of_files(&history, directory.path()) };
    run(&args).expect("the recomputation is what it is");
    let path = views.join("conservation.ndjson");
    let row = fs::read_to_string(&path).expect("it was written");
    fs::write(&path, row.replace("\"counted\":", "\"counted\":1")).expect("writes");
    let error = run(&args).expect_err("a row is wrong");
    assert_eq!(error.to_string(), "1 rows differ from the recomputation");
    fs::remove_file(&path).expect("it is there");
    let error = run(&args).expect_err("a view is missing");
    assert!(error.to_string().ends_with("conservation.ndjson"), "{error}");
}
