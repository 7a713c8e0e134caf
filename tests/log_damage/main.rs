//! What the log does when its bytes are not what was written, or cannot be written.
//!
//! The law of all cases: what was appended is read back as it was, or opening fails and names the
//! place. Nothing is skipped, and only an unfinished last frame is cut.

mod arbitrary;
mod archive;
mod bits;
mod checkpoints;
mod command;
mod cuts;
mod faults;
mod golden;
mod history;
mod many;
mod pieces;
mod power;
mod room;
mod tail;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use otklik::event::Event;
use otklik::log::{FrameBuilder, OpenError, Opened, Options, ReadError, Whole, Writer};
use tempfile::TempDir;

/// An epoch and its events as lines.
type Written = (u64, Vec<String>);

/// A data directory, in memory where there is such a place: the cases write thousands of them.
fn data() -> TempDir {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(base).expect("a directory")
}

/// Held by who starts a process: until it runs its program, a child has every file of ours open,
/// and a file that is open somewhere gives no room back and keeps its disk from being unmounted.
static CHILDREN: Mutex<()> = Mutex::new(());

fn children() -> MutexGuard<'static, ()> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a process.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let _guard = children();
    command.spawn()
}

/// Runs a process to its end.
fn run(command: &mut Command) -> std::io::Result<Output> {
    spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?.wait_with_output()
}

/// `count` events of which no two are alike, in one frame.
fn written(epoch: u64, count: u64) -> Written {
    let at = "2018-03-01T10:00:00Z";
    let line = |n| match n % 3 {
        0 => format!(r#"{{"type":"agency","id":"A{epoch}.{n}","name":"Служба {n}"}}"#),
        1 => format!(r#"{{"type":"answer","record":{epoch},"answered_at":"{at}"}}"#),
        _ => format!(r#"{{"type":"sms","record":{n},"text":"{epoch}","received_at":"{at}"}}"#),
    };
    (epoch, (0..count).map(line).collect())
}

fn frame(lines: &[String]) -> FrameBuilder {
    let mut frame = FrameBuilder::new();
    for line in lines {
        frame.push(&Event::parse(line.as_bytes()).expect("a valid line")).expect("room");
    }
    frame
}

fn open_with(data: &Path, segment_bytes: u64) -> Result<(Writer, Opened), OpenError> {
    Writer::open(data, Options { segment_bytes }, None, |_, _| {})
}

fn open(data: &Path) -> Result<(Writer, Opened), OpenError> {
    open_with(data, Options::default().segment_bytes)
}

/// A log of these frames, closed.
fn write(data: &Path, segment_bytes: u64, frames: &[Written]) {
    let (mut writer, _) = open_with(data, segment_bytes).expect("a new log");
    for (epoch, lines) in frames {
        writer.append(*epoch, &mut frame(lines)).expect("room");
    }
    writer.close().expect("closed");
}

/// How many frames there are. They must be the first of `expected`, event for event.
fn read(data: &Path, expected: &[Written]) -> Result<usize, ReadError> {
    let mut whole = Whole::open(data)?;
    let mut count = 0;
    while let Some(frame) = whole.next_frame()? {
        let (epoch, lines) = expected.get(count).expect("no frame that was not written");
        assert_eq!((frame.epoch, frame.sequence), (*epoch, count as u64));
        assert_eq!(frame.count as usize, lines.len());
        for (event, line) in frame.events().zip(lines) {
            assert_eq!(event?, Event::parse(line.as_bytes()).expect("a valid line"));
        }
        count += 1;
    }
    Ok(count)
}

fn segment(data: &Path, number: u32) -> PathBuf {
    data.join(format!("log/{number:08}.seg"))
}

fn watermark(data: &Path) -> PathBuf {
    data.join("log/watermark")
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the file is there")
}

fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).expect("room");
}

/// Where the frames of a segment begin, and its end.
fn boundaries(segment: &[u8]) -> Vec<usize> {
    let mut offsets = vec![44];
    while let Some(length) = segment[offsets[offsets.len() - 1]..].get(4..8) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
        offsets.push(offsets[offsets.len() - 1] + 36 + length as usize);
    }
    offsets
}

/// What opening for writing says of a log that must not be opened.
fn refusal(data: &Path) -> ReadError {
    match open(data) {
        Err(OpenError::Read(error)) => error,
        Err(other) => panic!("not damage, but: {other}"),
        Ok((_, opened)) => panic!("opened: {opened:?}"),
    }
}
