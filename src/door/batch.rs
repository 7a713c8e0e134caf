//! A batch in the making: bytes in, lines told apart, events checked and encoded for the log.
//!
//! It works block by block and keeps no more of the input than the line it is in, and of that no
//! more than a line may have. It never waits, so it can run wherever there is a thread to spare.

use serde::Serialize;

use super::sources::Accepted;
use crate::config::Limits;
use crate::event::{Code, Event, Refusal};
use crate::log::{FrameBuilder, FrameFull};

/// Bytes of a refusal's detail that a sender gets back: some details quote the input.
const DETAIL_BYTES_MAX: usize = 300;

/// What has come of a body so far.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events that passed, encoded.
    pub frame: FrameBuilder,
    /// How many of each type and vendor passed.
    pub accepted: Accepted,
    /// The lines that did not pass, ascending.
    pub refused: Vec<Refused>,
    /// Lines so far, blank ones too.
    lines: usize,
    /// The beginning of a line whose end is yet to come.
    unfinished: Vec<u8>,
    /// Whether the line is already refused as too long, and only its end is looked for.
    skipping: bool,
}

/// A line that did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Which line of the body, from 1.
    pub line: usize,
    /// One of the door's codes (contract § 1).
    pub code: &'static str,
    /// What is wrong with it.
    pub detail: String,
}

/// The batch as a whole asks too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overflow {
    /// Of lines.
    #[error("the body has more than {0} lines")]
    Lines(usize),
    /// Of encoded bytes.
    #[error("the events of the body are too many to be written as one: {0}")]
    Frame(#[from] FrameFull),
}

impl Batch {
    /// Takes the next block of the body; its edges need not be those of lines.
    ///
    /// # Errors
    /// [`Overflow`]; the batch is then of no use.
    pub fn push(&mut self, block: &[u8], limits: &Limits) -> Result<(), Overflow> {
        for piece in block.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(line) if self.unfinished.is_empty() && !self.skipping => {
                    self.line(line, limits)?;
                }
                Some(end) => {
                    self.begin(end, limits);
                    self.finish(limits)?;
                }
                None => self.begin(piece, limits),
            }
        }
        Ok(())
    }

    /// Takes the line that the body ends in without a line break, if there is one.
    ///
    /// # Errors
    /// As for [`Batch::push`].
    pub fn finish(&mut self, limits: &Limits) -> Result<(), Overflow> {
        let mut line = std::mem::take(&mut self.unfinished);
        let skipped = std::mem::take(&mut self.skipping);
        if !skipped && !line.is_empty() {
            self.line(&line, limits)?;
        }
        line.clear();
        self.unfinished = line;
        Ok(())
    }

    /// Bytes of memory it takes, about.
    pub fn bytes(&self) -> usize {
        let refused = size_of::<Refused>() + DETAIL_BYTES_MAX / 3;
        self.frame.bytes() + self.refused.len() * refused
    }

    /// A part of a line whose end is yet to come.
    fn begin(&mut self, piece: &[u8], limits: &Limits) {
        if self.skipping {
            return;
        }
        if self.unfinished.len() + piece.len() > limits.line_bytes {
            self.skipping = true;
            self.unfinished.clear();
            self.lines += 1;
            self.refuse(too_large(limits));
        } else {
            self.unfinished.extend_from_slice(piece);
        }
    }

    fn line(&mut self, line: &[u8], limits: &Limits) -> Result<(), Overflow> {
        self.lines += 1;
        if self.lines > limits.batch_lines {
            return Err(Overflow::Lines(limits.batch_lines));
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        if line.len() > limits.line_bytes {
            self.refuse(too_large(limits));
            return Ok(());
        }
        match Event::parse(line) {
            Ok(event) => {
                self.frame.push(&event)?;
                self.accepted.add(&event);
            }
            Err(refusal) => self.refuse(refusal),
        }
        Ok(())
    }

    fn refuse(&mut self, refusal: Refusal) {
        let Refusal { code, mut detail } = refusal;
        if detail.len() > DETAIL_BYTES_MAX {
            detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
            detail.push('…');
        }
        self.refused.push(Refused { line: self.lines, code: code.as_str(), detail });
    }
}

fn too_large(limits: &Limits) -> Refusal {
    let detail = format!("the line is longer than {} bytes", limits.line_bytes);
    Refusal { code: Code::TooLarge, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const SMS: &str =
        r#"{"type":"sms","record":7,"text":"5","received_at":"2018-03-01T10:00:00Z"}"#;

    fn limits() -> Limits {
        Limits { line_bytes: 100, batch_lines: 5, ..Config::default().limits }
    }

    /// `(events accepted, (line, code) of those refused)`
    type Taken = (u32, Vec<(usize, &'static str)>);

    /// The same for blocks of every size.
    fn taken(body: &[u8]) -> Result<Taken, Overflow> {
        let whole = in_blocks(body, body.len().max(1));
        for size in 1..body.len() {
            assert_eq!(in_blocks(body, size), whole, "blocks of {size} bytes");
        }
        whole
    }

    fn in_blocks(body: &[u8], size: usize) -> Result<Taken, Overflow> {
        let mut batch = Batch::default();
        for block in body.chunks(size) {
            batch.push(block, &limits())?;
        }
        batch.finish(&limits())?;
        let refused = batch.refused.iter().map(|refused| (refused.line, refused.code)).collect();
        Ok((batch.frame.events(), refused))
    }

    #[test]
    fn lines_are_told_apart_wherever_blocks_end() {
        assert_eq!(taken(b""), Ok((0, vec![])));
        assert_eq!(taken(SMS.as_bytes()), Ok((1, vec![])));
        assert_eq!(taken(format!("{SMS}\r\n\n \n{SMS}\n").as_bytes()), Ok((2, vec![])));
        assert_eq!(taken(format!("\n{{\n{SMS}").as_bytes()), Ok((1, vec![(2, "malformed")])));
        let no_text = b"\xff\n\0\n";
        assert_eq!(taken(no_text), Ok((0, vec![(1, "malformed"), (2, "malformed")])));
    }

    #[test]
    fn a_long_line_is_refused_alone() {
        let long = "x".repeat(101);
        let body = format!("{SMS}\n{long}\n{SMS}\n");
        assert_eq!(taken(body.as_bytes()), Ok((2, vec![(2, "too_large")])));
        assert_eq!(taken(long.as_bytes()), Ok((0, vec![(1, "too_large")])));
    }

    #[test]
    fn there_is_a_last_line() {
        assert_eq!(taken("\n".repeat(5).as_bytes()), Ok((0, vec![])));
        assert_eq!(taken("\n".repeat(6).as_bytes()), Err(Overflow::Lines(5)));
    }

    #[test]
    fn a_refusal_quotes_the_input_no_further_than_needed() {
        let body = format!(r#"{{"type":"{}"}}"#, "ж".repeat(5_000));
        let mut batch = Batch::default();
        batch.push(body.as_bytes(), &Config::default().limits).expect("one line");
        batch.finish(&Config::default().limits).expect("one line");
        assert_eq!(batch.refused[0].code, "unknown_type");
        assert!(batch.refused[0].detail.len() < DETAIL_BYTES_MAX + 4);
    }
}
