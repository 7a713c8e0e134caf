//! Reading: frame after frame, each checked before it is seen.

use std::path::{Path, PathBuf};

use super::format::{Damage, Fault, FrameHeader, HEADER_BYTES, LABEL_BYTES, SegmentHeader};
use super::window::Window;
use super::{FileError, Frame, Position, directory};

/// The log cannot be read, or is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing has ever been written there.
    #[error("there is no log in {}", data.display())]
    NoLog {
        /// The data directory.
        data: PathBuf,
    },
    /// One log was to be read twice, and its events counted so.
    #[error("the log in {} is given twice, perhaps as a copy", data.display())]
    Twice {
        /// The data directory.
        data: PathBuf,
    },
    /// A segment is gone: there is neither its file nor one in the archive.
    #[error("log segment {segment:04} is missing")]
    Missing {
        /// Its number.
        segment: u32,
    },
    /// Damaged bytes.
    #[error(transparent)]
    Corrupt(#[from] Damage),
    /// The watermark is damaged, so that nothing tells whether the log's end is whole.
    #[error("the watermark of the log is corrupt: {0}")]
    Watermark(Fault),
    /// The manifest of the archive is damaged, so that nothing tells what the archive holds.
    #[error("the manifest of the log's archive is corrupt in line {line}: {fault}")]
    Manifest {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The operating system refused something.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Reads a log that another process appends to. Archived segments are read like the others.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    log: u64,
    window: Window,
    /// After the current frame.
    position: Position,
    /// The current frame, whose payload is in the window; before the first only its epoch is
    /// known.
    current: FrameHeader,
}

impl Reader {
    /// Opens the log of a data directory at its first frame.
    ///
    /// # Errors
    /// There is none, or its first segment is damaged.
    pub fn open(data: &Path) -> Result<Reader, ReadError> {
        let directory = directory(data);
        let (window, header) = match Window::open(&directory, 1) {
            Err(ReadError::Missing { .. }) => {
                return Err(ReadError::NoLog { data: data.to_owned() });
            }
            opened => opened?,
        };
        let expected = SegmentHeader { segment: 1, log: header.log, sequence: 0, epoch: 0 };
        check(header, expected)?;
        Reader::at_start(&directory, window, header, 1)
    }

    /// Opens the log of a data directory at a place between two frames, as a checkpoint keeps it.
    ///
    /// The segment of the place is read and checked up to it, so that it certainly is such a place;
    /// earlier segments are not looked at. Costs the reading of a segment at most.
    ///
    /// # Errors
    /// The segment is missing or damaged, or `at` is no place in it.
    pub fn open_at(data: &Path, at: Position) -> Result<Reader, ReadError> {
        let directory = directory(data);
        let (window, header) = Window::open(&directory, at.segment)?;
        let mut reader = Reader::at_start(&directory, window, header, at.segment)?;
        while reader.advance(at.segment, at.offset)? {}
        let Position { segment, offset, sequence } = reader.position;
        if sequence != at.sequence || offset != at.offset {
            let fault = Fault::Sequence { expected: at.sequence, found: sequence };
            return Err(Damage { segment, byte: at.offset, fault }.into());
        }
        Ok(reader)
    }

    /// Before the first frame of the segment `segment`, whose window and header these are.
    pub(super) fn at_start(
        directory: &Path,
        window: Window,
        header: SegmentHeader,
        segment: u32,
    ) -> Result<Reader, ReadError> {
        if header.segment != segment {
            let fault = Fault::Segment { found: header.segment };
            return Err(Damage { segment, byte: 0, fault }.into());
        }
        let position = Position { segment, offset: LABEL_BYTES as u64, sequence: header.sequence };
        let current = FrameHeader { epoch: header.epoch, ..FrameHeader::default() };
        let directory = directory.to_owned();
        Ok(Reader { directory, log: header.log, window, position, current })
    }

    /// The next frame before `limit`, a position that the writer has reported; `None` at it.
    ///
    /// No byte beyond the limit is looked at. The events borrow the reader's buffer.
    ///
    /// # Errors
    /// What stands before the limit is not what was written. The reader stays where it is.
    pub fn next_frame(&mut self, limit: Position) -> Result<Option<Frame<'_>>, ReadError> {
        self.next_frame_below(u64::MAX, limit)
    }

    /// The next frame before `limit` if it is of an epoch below `epoch`; `None` where it is not, or
    /// there is none.
    ///
    /// # Errors
    /// As [`Reader::next_frame`].
    pub fn next_frame_below(
        &mut self,
        epoch: u64,
        limit: Position,
    ) -> Result<Option<Frame<'_>>, ReadError> {
        let advanced = self.advance_below(epoch, limit.segment, limit.offset)?;
        Ok(advanced.then(|| self.frame()))
    }

    /// After the last frame that was read.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Epoch of the last frame that was read.
    pub(super) fn epoch(&self) -> u64 {
        self.current.epoch
    }

    /// The number that all files of the log carry.
    pub fn log(&self) -> u64 {
        self.log
    }

    /// Makes the next frame current. `false` at byte `until` of the segment `last`.
    pub(super) fn advance(&mut self, last: u32, until: u64) -> Result<bool, ReadError> {
        self.advance_below(u64::MAX, last, until)
    }

    fn advance_below(&mut self, epoch: u64, last: u32, until: u64) -> Result<bool, ReadError> {
        while self.position.segment < last {
            self.window.skip_to(self.position.offset);
            if !self.window.fill(1, u64::MAX)?.is_empty() {
                return self.load(epoch, u64::MAX);
            }
            self.next_segment()?;
        }
        if self.position.segment > last || self.position.offset >= until {
            return Ok(false);
        }
        self.window.skip_to(self.position.offset);
        self.load(epoch, until)
    }

    /// Makes the frame at the position current if it is whole and the one to come. `false`, and
    /// nothing of it looked at but its head, where it is not of an epoch below `epoch`.
    fn load(&mut self, epoch: u64, until: u64) -> Result<bool, ReadError> {
        let Position { segment, offset, sequence } = self.position;
        let damage = |fault| ReadError::Corrupt(Damage { segment, byte: offset, fault });
        let short = |expected: usize, found: usize| {
            damage(Fault::Length { expected: expected as u64, found: found as u64 })
        };
        let bytes = self.window.fill(HEADER_BYTES, until)?;
        let head = bytes.first_chunk().ok_or_else(|| short(HEADER_BYTES, bytes.len()))?;
        let header = FrameHeader::decode(head, self.log).map_err(damage)?;
        header.follows(sequence, self.current.epoch).map_err(damage)?;
        if header.epoch >= epoch {
            return Ok(false);
        }
        let length = HEADER_BYTES + header.bytes as usize;
        let bytes = self.window.fill(length, until)?;
        let frame = bytes.get(..length).ok_or_else(|| short(length, bytes.len()))?;
        if crc32fast::hash(&frame[HEADER_BYTES..]) != header.checksum {
            return Err(damage(Fault::Checksum));
        }
        self.current = header;
        self.position.offset += length as u64;
        self.position.sequence += 1;
        Ok(true)
    }

    fn next_segment(&mut self) -> Result<(), ReadError> {
        let segment = self.position.segment + 1;
        let (window, header) = Window::open(&self.directory, segment)?;
        let expected = SegmentHeader {
            segment,
            log: self.log,
            sequence: self.position.sequence,
            epoch: self.current.epoch,
        };
        check(header, expected)?;
        self.window = window.with_memory_of(&mut self.window);
        self.position.segment = segment;
        self.position.offset = LABEL_BYTES as u64;
        Ok(())
    }

    /// The current frame.
    pub(super) fn frame(&self) -> Frame<'_> {
        let payload = &self.window.bytes()[HEADER_BYTES..][..self.current.bytes as usize];
        Frame {
            epoch: self.current.epoch,
            sequence: self.current.sequence,
            count: self.current.events,
            segment: self.position.segment,
            offset: self.position.offset - u64::from(self.current.bytes),
            payload,
        }
    }

    /// What stands after the last frame in its segment: at most `length` bytes before `until`.
    pub(super) fn rest(&mut self, length: usize, until: u64) -> Result<&[u8], ReadError> {
        self.window.skip_to(self.position.offset);
        self.window.fill(length, until)
    }
}

/// Whether a segment continues the log.
fn check(found: SegmentHeader, expected: SegmentHeader) -> Result<(), ReadError> {
    let fault = if found.segment != expected.segment {
        Fault::Segment { found: found.segment }
    } else if found.log != expected.log {
        Fault::Log
    } else if found.sequence != expected.sequence {
        Fault::Sequence { expected: expected.sequence, found: found.sequence }
    } else if found.epoch != expected.epoch {
        Fault::Epoch { before: expected.epoch, found: found.epoch }
    } else {
        return Ok(());
    };
    Err(Damage { segment: expected.segment, byte: 0, fault }.into())
}
