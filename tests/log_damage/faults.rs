//! The k-th call that changes a file fails, is cut short, or is the last: for every call and k.
//!
//! A child process, with the shim before it, opens a log, appends, archives and closes, and prints
//! what it is answered. Whatever happened to it: all that was answered is there at the next start,
//! nothing else but at most the frame that was under way, and the log goes on.

#[path = "../common/shim.rs"]
pub mod shim;

use super::*;
use otklik::log::{AppendError, archive};
use std::ops::RangeInclusive;

/// Frames that a child appends, three in a segment; so the last one begins a segment.
const FRAMES: u64 = 7;
/// Events of a frame, and of one that comes instead where there was no room.
const EVENTS: u64 = 3;
const FEWER: u64 = 1;
const DATA: &str = "OTKLIK_TEST_DATA_OF_FAULTS";
/// How the child ends when an append failed for good.
const FAILED: i32 = 3;

const CALLS: [&str; 6] = ["write", "sync", "rename", "create", "truncate", "remove"];

/// Three frames, and room for a shorter one where no fourth would fit.
fn segment_bytes() -> u64 {
    let length = |events| frame(&written(1, events).1).bytes() as u64 + 36;
    44 + 3 * length(EVENTS) + length(FEWER)
}

/// The child: not a test by itself.
#[test]
fn child() {
    if let Some(data) = std::env::var_os(DATA) {
        std::process::exit(live(Path::new(&data)));
    }
}

/// A life of a log; each answer is a line. Yields the exit code.
fn live(data: &Path) -> i32 {
    let (mut writer, opened) = match open_with(data, segment_bytes()) {
        Ok(opened) => opened,
        Err(error) => {
            println!("not opened: {error}");
            return FAILED;
        }
    };
    println!("found {}", opened.frames);
    for number in opened.frames + 1..=FRAMES {
        let mut appended = writer.append(number, &mut frame(&written(number, EVENTS).1));
        if matches!(appended, Err(AppendError::Full(_))) {
            println!("full {number}");
            // What comes next may fit where this did not.
            appended = writer.append(number, &mut frame(&written(number, FEWER).1));
        }
        match appended {
            Ok(_) => println!("appended {number}"),
            Err(error) => {
                println!("failed {number}: {error:?}");
                return FAILED;
            }
        }
        if number == 5
            && let Err(error) = archive(data, u32::MAX)
        {
            println!("not archived: {error}");
        }
    }
    if let Err(error) = writer.close() {
        println!("not closed: {error}");
    }
    0
}

struct Life {
    output: Output,
    /// The last frame that was answered.
    appended: u64,
    /// How many frames there were, if it came to say so.
    found: u64,
    /// The frame instead of which a shorter one was appended.
    full: Option<u64>,
}

impl Life {
    /// The frames of its log, and those that would come next.
    fn frames(&self) -> Vec<Written> {
        let events = |number| if self.full == Some(number) { FEWER } else { EVENTS };
        (1..=FRAMES + 2).map(|number| written(number, events(number))).collect()
    }
}

fn child_of(data: &Path, fault: Option<&str>, trace: Option<&Path>) -> Life {
    let mut command = Command::new(std::env::current_exe().expect("known"));
    command.args(["--exact", "faults::child", "--nocapture"]).env(DATA, data);
    shim::set(&mut command, data, fault, trace);
    let output = run(&mut command).expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // The harness prints the name of the test on the first line.
    let last = |name: &str| {
        text.lines().filter_map(|line| line.split_once(name)?.1.parse().ok()).next_back()
    };
    let (appended, found) = (last("appended ").unwrap_or(0), last("found ").unwrap_or(0));
    Life { appended, found, full: last("full "), output }
}

/// The calls of a child without faults that starts with such a directory: each with its path.
fn calls(start: &Path) -> Vec<(String, String)> {
    let (copy, trace) = (copy(start), tempfile::NamedTempFile::new().expect("room"));
    let life = child_of(copy.path(), None, Some(trace.path()));
    assert!(life.output.status.success(), "{:?}", life.output);
    let text = std::fs::read_to_string(trace.path()).expect("text");
    let call = |line: &str| line.split_once(' ').map(|(call, path)| (call.into(), path.into()));
    text.lines().map(|line| call(line).expect("a call and a path")).collect()
}

fn copy(from: &Path) -> TempDir {
    let to = data();
    copy_into(from, to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    for entry in from.read_dir().expect("a directory") {
        let path = entry.expect("there").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            std::fs::create_dir(&to).expect("room");
            copy_into(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("room");
        }
    }
}

/// Every k of these calls, each act: from directories like `start`, in which `before` frames are
/// known to have been answered.
fn every_k(start: &Path, before: u64, of: &[&str]) {
    let calls = calls(start);
    let mut lives = 0;
    for call in of {
        let paths = calls.iter().filter(|(name, _)| name == call).map(|(_, path)| path);
        for (path, k) in paths.zip(1..) {
            for act in acts(call, path) {
                let fault = format!("{call} * {k} {act}");
                let data = copy(start);
                let life = child_of(data.path(), Some(&fault), None);
                lives += 1;
                check_end(&fault, &life);
                let answered = life.appended.max(before);
                // One frame may have been under way in each of the two lives.
                goes_on(
                    &fault,
                    data.path(),
                    answered..=answered.max(life.found) + 1,
                    &life.frames(),
                );
            }
        }
    }
    println!("{lives} lives with a fault: {}", of.join(", "));
}

fn acts(call: &str, path: &str) -> &'static [&'static str] {
    match call {
        // Neither a kill nor a power cut leaves half of the mark: docs/log-format.md, Watermark.
        "write" if path.ends_with("watermark") => {
            &["EIO", "ENOSPC", "short", "kill-before", "kill-after"]
        }
        "write" => &["EIO", "ENOSPC", "short", "kill-before", "kill-half", "kill-after"],
        _ => &["EIO", "ENOSPC", "kill-before", "kill-after"],
    }
}

/// Whether the child ended as it should.
fn check_end(fault: &str, life: &Life) {
    let said = String::from_utf8_lossy(&life.output.stdout);
    let code = life.output.status.code();
    match fault.rsplit(' ').next().expect("an act") {
        // Half of a write is no failure: the rest follows.
        "short" => assert!(code == Some(0) && life.appended == FRAMES, "{fault}: {said}"),
        "EIO" | "ENOSPC" => {
            assert!(matches!(code, Some(0 | FAILED)), "{fault}: {said}");
            // A disk without room is asked again; what ends a writer ends it for good.
            let done = code == Some(0);
            assert_eq!(done, life.appended == FRAMES, "{fault}: {said}");
            assert!(done || life.full.is_none() || said.contains("failed"), "{fault}: {said}");
        }
        _ => assert_eq!(code, None, "{fault} was not reached: {said}"),
    }
}

/// After whatever happened: as many frames are there as there may be, and the log goes on.
fn goes_on(fault: &str, data: &Path, expected: RangeInclusive<u64>, frames: &[Written]) {
    let (mut writer, opened) =
        open_with(data, segment_bytes()).unwrap_or_else(|error| panic!("{fault}: {error}"));
    assert!(expected.contains(&opened.frames), "{fault}: {} of {expected:?}", opened.frames);
    let next = opened.frames as usize..opened.frames as usize + 2;
    for (epoch, lines) in &frames[next.clone()] {
        writer.append(*epoch, &mut frame(lines)).expect(fault);
    }
    archive(data, u32::MAX).expect(fault);
    drop(writer);
    assert_eq!(read(data, frames).expect(fault), next.end, "{fault}");
}

#[test]
fn writes() {
    every_k(data().path(), 0, &["write"]);
}

#[test]
fn syncs() {
    every_k(data().path(), 0, &["sync"]);
}

#[test]
fn renames_and_files_made_and_removed() {
    every_k(data().path(), 0, &["rename", "create", "truncate", "remove"]);
}

/// The same for a start that has something to recover.
#[test]
fn recovery() {
    let states = [
        // (what ended the life before, frames answered)
        ("write *.seg 3 kill-half", 2),
        ("write *.seg 3 kill-after", 2),
        ("sync *.seg 4 EIO", 3),
        ("rename log/00000002.seg 1 kill-after", 3),
        ("rename log/archive/manifest 1 kill-after", 5),
        ("remove *.seg 1 kill-after", 5),
    ];
    for (fault, answered) in states {
        let start = data();
        let life = child_of(start.path(), Some(fault), None);
        assert!(!life.output.status.success(), "{fault} was not reached");
        assert_eq!(life.appended, answered, "{fault}");
        // The last frame may be there although it was not answered; then it stays.
        every_k(start.path(), answered, &CALLS);
    }
}

/// Full for as long as it lasts, not for one call only.
#[test]
fn a_disk_that_stays_full_ends_nothing_that_was_answered() {
    for k in 1..20 {
        let fault = format!("write *.seg {k}+ ENOSPC");
        let data = data();
        let life = child_of(data.path(), Some(&fault), None);
        goes_on(&fault, data.path(), life.appended..=life.appended + 1, &life.frames());
    }
}
