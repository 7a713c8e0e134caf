//! The input files as lines that have a kind and a time, read ahead by a thread of their own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;

use serde::Deserialize;
use tokio::sync::mpsc;

use super::schedule::{Pace, Schedule};
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
}

/// Opens all files, and reads them one after the other into a bounded queue, on a thread that ends
/// with the files, at the first error, or when the queue is dropped. What is read of the files is
/// added to `progress`, in their own bytes.
///
/// # Errors
/// A file that cannot be opened; what cannot be read later comes through the queue.
pub fn read_ahead(
    input: &[PathBuf],
    pace: Pace,
    progress: &Arc<AtomicU64>,
) -> Result<mpsc::Receiver<Result<Chunk, LinesError>>, LinesError> {
    let files = input
        .iter()
        .map(|path| Lines::open(path, PIECE_BYTES, progress))
        .collect::<Result<Vec<_>, _>>()?;
    let (queue, chunks) = mpsc::channel(PIECES_AHEAD);
    let mut schedule = Schedule::new(pace);
    thread::spawn(move || {
        for piece in files.into_iter().flatten() {
            let chunk = piece.map(|piece| chunk(piece, &mut schedule));
            let failed = chunk.is_err();
            if queue.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    });
    Ok(chunks)
}

/// Tells the lines of a piece apart and gives each its time.
fn chunk(piece: Piece, schedule: &mut Schedule) -> Chunk {
    let text = piece.text;
    let mut lines = Vec::new();
    let mut start = 0;
    for whole in text.split_inclusive(|byte| *byte == b'\n') {
        let line = whole.trim_ascii_end();
        if !line.trim_ascii_start().is_empty() {
            let (kind, recorded_us) = kind_and_time(line);
            let due_us = schedule.next(recorded_us);
            lines.push(Line { start, end: start + line.len(), kind, due_us });
        }
        start += whole.len();
    }
    Chunk { text, lines }
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
    use crate::replay::schedule::Factor;

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
        let progress = Arc::new(AtomicU64::new(0));
        let mut chunks = read_ahead(&input, pace, &progress).expect("opens");
        let mut lines = Vec::new();
        while let Some(chunk) = chunks.blocking_recv() {
            let chunk = chunk.expect("reads");
            for line in &chunk.lines {
                let text = String::from_utf8_lossy(&chunk.text[line.start..line.end]);
                lines.push((text.into_owned(), line.kind, line.due_us));
            }
        }
        let expected = [
            ("{\"type\":\"unit\"}".to_owned(), Kind::Reference, 0),
            (sms(1), Kind::Rating, 0),
            (sms(3), Kind::Rating, 1_000_000),
        ];
        assert_eq!(lines, expected);
        let missing = [directory.path().join("missing")];
        assert!(read_ahead(&missing, pace, &progress).is_err());
    }
}
