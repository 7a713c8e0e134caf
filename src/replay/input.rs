//! The input files as lines that have a kind and a time, read ahead by a thread of their own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;

use serde::Deserialize;
use tokio::sync::mpsc;

use super::moved::{Extent, Move};
use super::plan::Plan;
use super::schedule::Schedule;
use crate::event::{Text, parse_moment};
use crate::lines::{Lines, LinesError, Piece};

/// Bytes of lines that are read in one go.
const PIECE_BYTES: usize = 256 << 10;
/// So many pieces are read ahead: enough to never wait for the disk, few enough for memory.
const PIECES_AHEAD: usize = 4;

/// What the order of sending, and the measuring, need to know of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reference data: the last holds, so their order among themselves is part of what they say.
    Reference,
    /// Accepted, it changes the row of `conservation`, whatever becomes of it.
    Rating,
    /// Any other line, also one that is no event: the node says so, not we.
    Other,
}

/// A line of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// First byte of it in the chunk.
    pub start: usize,
    /// First byte after it, its line break not included.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
    /// When it is due, in microseconds after the start.
    pub due_us: u64,
}

/// Lines in the order of the input, blank ones left out.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The text they are in.
    pub text: Vec<u8>,
    /// Where and what they are.
    pub lines: Vec<Line>,
    /// CRC-32 of all lines of the files up to the last of these, as they stand there.
    pub digest: u32,
}

/// Opens all files, and reads them one after the other into a bounded queue, on a thread that ends
/// with the last pass over the files, at the first error, or when the queue is dropped. What is
/// read of the files is added to `progress`, in their own bytes.
///
/// # Errors
/// A file that cannot be opened; what cannot be read later comes through the queue.
pub fn read_ahead(
    plan: &Plan,
    progress: &Arc<AtomicU64>,
) -> Result<mpsc::Receiver<Result<Chunk, LinesError>>, LinesError> {
    let mut reader = Reader {
        schedule: Schedule::new(plan.pace),
        shifted_days: shifted_days(plan)?,
        moved: Move::default(),
        extent: Extent::default(),
        again: false,
        digest: crc32fast::Hasher::new(),
    };
    // All of them before anything is sent, so that a file that is not there is said at once.
    let mut opened = Some(open(&plan.input, progress)?);
    let (queue, chunks) = mpsc::channel(PIECES_AHEAD);
    let (plan, progress) = (plan.clone(), progress.clone());
    thread::spawn(move || {
        for pass in 0..plan.passes {
            reader.begin(pass);
            let files = opened.take().map_or_else(|| open(&plan.input, &progress), Ok);
            let failed = match files {
                Ok(files) => files.into_iter().flatten().any(|piece| {
                    let chunk = piece.map(|piece| reader.chunk(piece));
                    let failed = chunk.is_err();
                    queue.blocking_send(chunk).is_err() || failed
                }),
                Err(error) => {
                    // Nobody may be listening any more, which is nobody's loss.
                    let _ = queue.blocking_send(Err(error));
                    true
                }
            };
            if failed {
                return;
            }
        }
    });
    Ok(chunks)
}

fn open(input: &[PathBuf], progress: &Arc<AtomicU64>) -> Result<Vec<Lines>, LinesError> {
    input.iter().map(|path| Lines::open(path, PIECE_BYTES, progress)).collect()
}

/// By how many days the first receipt is moved.
fn shifted_days(plan: &Plan) -> Result<i32, LinesError> {
    let Some(wanted) = plan.first_day else { return Ok(0) };
    let mut extent = Extent::default();
    for piece in open(&plan.input, &Arc::default())?.into_iter().flatten() {
        let piece = piece?;
        let mut lines = piece.text.split(|byte| *byte == b'\n');
        if lines.any(|line| {
            extent.line(line);
            extent.days.is_some()
        }) {
            break;
        }
    }
    Ok(extent.days.map_or(0, |(first, _)| wanted.0 - first.0))
}

/// Reads pass after pass.
struct Reader {
    schedule: Schedule,
    /// Of all passes.
    shifted_days: i32,
    /// Of this one.
    moved: Move,
    /// Of the first.
    extent: Extent,
    /// Whether the reference data have been sent.
    again: bool,
    digest: crc32fast::Hasher,
}

impl Reader {
    /// Begins a pass, counted from 0.
    fn begin(&mut self, pass: u32) {
        self.moved = self.extent.pass(pass);
        self.moved.days = self.moved.days.saturating_add(self.shifted_days);
        self.again = pass > 0;
    }

    /// Tells the lines of a piece apart, moves them, and gives each its time.
    fn chunk(&mut self, piece: Piece) -> Chunk {
        let mut chunk = Chunk::default();
        for whole in piece.text.split(|byte| *byte == b'\n') {
            let line = whole.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let (kind, recorded_us) = kind_and_time(line);
            if self.again && kind == Kind::Reference {
                continue;
            }
            if !self.again {
                self.extent.line(line);
            }
            self.digest.update(line);
            let moved_us = i64::from(self.moved.days) * 86_400_000_000;
            let due_us = self.schedule.next(recorded_us.map(|at| at.saturating_add(moved_us)));
            let start = chunk.text.len();
            self.moved.line(line, &mut chunk.text);
            chunk.lines.push(Line { start, end: chunk.text.len(), kind, due_us });
        }
        chunk.digest = self.digest.clone().finalize();
        chunk
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    received_at: Option<Text<'a>>,
    #[serde(borrow)]
    answered_at: Option<Text<'a>>,
}

/// What a line is, and the time it was received at, in microseconds since 1970.
fn kind_and_time(line: &[u8]) -> (Kind, Option<i64>) {
    let Ok(head) = serde_json::from_slice::<Head<'_>>(line) else { return (Kind::Other, None) };
    let kind = match &*head.kind {
        "agency" | "unit" | "service" | "tenure" | "target" | "remove" => Kind::Reference,
        "sms" | "kiosk" | "epgu" | "site" => Kind::Rating,
        // A survey only counts if it is completed; it does not matter enough to look.
        _ => Kind::Other,
    };
    let recorded = head.received_at.or(head.answered_at);
    (kind, recorded.and_then(|time| parse_moment(&time)).map(|moment| moment.micros()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::plan::Node;
    use crate::replay::schedule::{Factor, Pace};
    use dataflows::calendar::Day;

    #[test]
    fn a_line_has_a_kind_and_maybe_a_time() {
        let at = |time: &str| parse_moment(time).map(|moment| moment.micros());
        let noon = at("2018-03-01T12:00:00Z");
        let cases: [(&str, Kind, Option<i64>); 9] = [
            (r#"{"type":"unit","id":"U","name":"\"type\":\"sms\""}"#, Kind::Reference, None),
            (r#"{ "id" : "A", "type" : "remove" }"#, Kind::Reference, None),
            (r#"{"received_at":"2018-03-01T15:00:00+03:00","type":"sms"}"#, Kind::Rating, noon),
            (r#"{"type":"answer","answered_at":"2018-03-01T12:00:00Z"}"#, Kind::Other, noon),
            (r#"{"type":"fact","received_at":"yesterday"}"#, Kind::Other, None),
            (r#"{"type":"kiosk","received_at":null}"#, Kind::Rating, None),
            (r#"{"type":"agency","received_at":7}"#, Kind::Other, None),
            (r#"{"a":{"type":"agency"},"type":"p\u006cay"}"#, Kind::Other, None),
            ("{", Kind::Other, None),
        ];
        for (line, kind, time) in cases {
            assert_eq!(kind_and_time(line.as_bytes()), (kind, time), "{line}");
        }
    }

    #[test]
    fn lines_of_several_files_keep_their_order_and_share_a_schedule() {
        let directory = tempfile::tempdir().expect("a directory");
        let sms = |second: u32| {
            format!("{{\"type\":\"sms\",\"received_at\":\"2018-03-01T12:00:0{second}Z\"}}")
        };
        let first = format!("{{\"type\":\"unit\"}}\r\n\n   \n{}", sms(1));
        let second = zstd::encode_all(format!("{}\n", sms(3)).as_bytes(), 1).expect("in memory");
        let input = [directory.path().join("a.ndjson"), directory.path().join("b.ndjson.zst")];
        std::fs::write(&input[0], first).expect("writes");
        std::fs::write(&input[1], second).expect("writes");

        let pace = Pace::Speedup(Factor::new(2.0).expect("above 0"));
        let node: Node = "http://127.0.0.1:1".parse().expect("an address");
        let plan = Plan::new(input.to_vec(), node, pace);
        let expected = [
            ("{\"type\":\"unit\"}".to_owned(), Kind::Reference, 0),
            (sms(1), Kind::Rating, 0),
            (sms(3), Kind::Rating, 1_000_000),
        ];
        assert_eq!(read(&plan), expected);
        let twice = Plan { passes: 2, first_day: Some(Day(17_600)), ..plan.clone() };
        let on = |second, day| sms(second).replace("2018-03-01", day);
        let day_us = 86_400_000_000 / 2;
        let expected = [
            ("{\"type\":\"unit\"}".to_owned(), Kind::Reference, 0),
            (on(1, "2018-03-10"), Kind::Rating, 0),
            (on(3, "2018-03-10"), Kind::Rating, 1_000_000),
            (on(1, "2018-03-11"), Kind::Rating, day_us),
            (on(3, "2018-03-11"), Kind::Rating, day_us + 1_000_000),
        ];
        assert_eq!(read(&twice), expected);
        let missing = Plan { input: vec![directory.path().join("missing")], ..plan };
        assert!(read_ahead(&missing, &Arc::default()).is_err());
    }

    fn read(plan: &Plan) -> Vec<(String, Kind, u64)> {
        let mut chunks = read_ahead(plan, &Arc::default()).expect("opens");
        let mut lines = Vec::new();
        while let Some(chunk) = chunks.blocking_recv() {
            let chunk = chunk.expect("reads");
            for line in &chunk.lines {
                let text = String::from_utf8_lossy(&chunk.text[line.start..line.end]);
                lines.push((text.into_owned(), line.kind, line.due_us));
            }
        }
        lines
    }
}
