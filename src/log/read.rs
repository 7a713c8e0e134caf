//! Reading: frame after frame, each checked before it is seen.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::format::{Damage, Fault, FrameHeader, HEADER_BYTES, LABEL_BYTES, SegmentHeader};
use super::{FileError, Frame, Position, directory, segment_path};

/// Bytes asked of a file at once.
const READ_BYTES: usize = 1 << 20;

/// The log cannot be read, or is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing has ever been written there.
    #[error("there is no log in {}", data.display())]
    NoLog {
        /// The data directory.
        data: PathBuf,
    },
    /// A segment file is gone.
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
    /// The operating system refused something.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Reads a log that another process appends to.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    log: u64,
    window: Window,
    /// After the current frame.
    position: Position,
    /// The current frame, all zero before the first; its payload is in the window.
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
        let position = Position { segment: 1, offset: LABEL_BYTES as u64, sequence: 0 };
        Ok(Reader { directory, log: header.log, window, position, current: FrameHeader::default() })
    }

    /// The next frame before `limit`, a position that the writer has reported; `None` at it.
    ///
    /// No byte beyond the limit is looked at. The events borrow the reader's buffer.
    ///
    /// # Errors
    /// What stands before the limit is not what was written. The reader stays where it is.
    pub fn next_frame(&mut self, limit: Position) -> Result<Option<Frame<'_>>, ReadError> {
        let advanced = self.advance(limit.segment, limit.offset)?;
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

    pub(super) fn log(&self) -> u64 {
        self.log
    }

    /// Makes the next frame current. `false` at byte `until` of the segment `last`.
    pub(super) fn advance(&mut self, last: u32, until: u64) -> Result<bool, ReadError> {
        while self.position.segment < last {
            self.window.skip_to(self.position.offset);
            if !self.window.fill(1, u64::MAX)?.is_empty() {
                return self.load(u64::MAX).map(|()| true);
            }
            self.next_segment()?;
        }
        if self.position.segment > last || self.position.offset >= until {
            return Ok(false);
        }
        self.window.skip_to(self.position.offset);
        self.load(until).map(|()| true)
    }

    /// Makes the frame at the position current if it is whole and the one to come.
    fn load(&mut self, until: u64) -> Result<(), ReadError> {
        let Position { segment, offset, sequence } = self.position;
        let damage = |fault| ReadError::Corrupt(Damage { segment, byte: offset, fault });
        let short = |expected: usize, found: usize| {
            damage(Fault::Length { expected: expected as u64, found: found as u64 })
        };
        let bytes = self.window.fill(HEADER_BYTES, until)?;
        let head = bytes.first_chunk().ok_or_else(|| short(HEADER_BYTES, bytes.len()))?;
        let header = FrameHeader::decode(head, self.log).map_err(damage)?;
        header.follows(sequence, self.current.epoch).map_err(damage)?;
        let length = HEADER_BYTES + header.bytes as usize;
        let bytes = self.window.fill(length, until)?;
        let frame = bytes.get(..length).ok_or_else(|| short(length, bytes.len()))?;
        if crc32fast::hash(&frame[HEADER_BYTES..]) != header.checksum {
            return Err(damage(Fault::Checksum));
        }
        self.current = header;
        self.position.offset += length as u64;
        self.position.sequence += 1;
        Ok(())
    }

    fn next_segment(&mut self) -> Result<(), ReadError> {
        let segment = self.position.segment + 1;
        let (mut window, header) = Window::open(&self.directory, segment)?;
        let expected = SegmentHeader {
            segment,
            log: self.log,
            sequence: self.position.sequence,
            epoch: self.current.epoch,
        };
        check(header, expected)?;
        window.buffer = std::mem::take(&mut self.window.buffer);
        self.window = window;
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
        Ok(self.window.fill(length, until)?)
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

/// The part of a segment file that is in memory.
#[derive(Debug)]
struct Window {
    file: File,
    path: PathBuf,
    /// `buffer[start..end]` are the bytes of the file from `offset`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
}

impl Window {
    /// Opens a segment; the window is after its header, and empty.
    fn open(directory: &Path, segment: u32) -> Result<(Window, SegmentHeader), ReadError> {
        let path = segment_path(directory, segment);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::Missing { segment });
            }
            Err(error) => return Err(FileError::of("open", &path)(error).into()),
        };
        let mut label = Vec::with_capacity(LABEL_BYTES);
        (&file)
            .take(LABEL_BYTES as u64)
            .read_to_end(&mut label)
            .map_err(FileError::of("read", &path))?;
        let header =
            SegmentHeader::decode(&label).map_err(|fault| Damage { segment, byte: 0, fault })?;
        let offset = LABEL_BYTES as u64;
        Ok((Window { file, path, buffer: Vec::new(), start: 0, end: 0, offset }, header))
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Forgets what stands before a place not before the present one.
    fn skip_to(&mut self, offset: u64) {
        let skipped = usize::try_from(offset - self.offset).expect("a frame is in memory");
        self.start += skipped;
        self.offset = offset;
        assert!(self.start <= self.end, "only what was read is skipped");
    }

    /// At least `length` bytes, fewer only where the file or `until` ends them.
    fn fill(&mut self, length: usize, until: u64) -> Result<&[u8], FileError> {
        if self.end - self.start < length {
            let kept = self.start..self.end;
            let before_limit = usize::try_from(until.saturating_sub(self.offset));
            let wanted = before_limit.unwrap_or(usize::MAX).min(length.max(READ_BYTES));
            if self.buffer.len() < wanted {
                // Zeroed memory costs nothing where nothing is read; zeroing it does.
                let mut larger = vec![0; wanted];
                larger[..kept.len()].copy_from_slice(&self.buffer[kept.clone()]);
                self.buffer = larger;
            } else {
                self.buffer.copy_within(kept.clone(), 0);
            }
            (self.start, self.end) = (0, kept.len());
            while self.end < wanted {
                let from = self.offset + self.end as u64;
                match self.file.read_at(&mut self.buffer[self.end..wanted], from) {
                    Ok(0) => break,
                    Ok(read) => self.end += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(FileError::of("read", &self.path)(error)),
                }
            }
        }
        Ok(self.bytes())
    }
}
