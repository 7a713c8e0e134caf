//! Reading a log to its end, and telling an unfinished end from a damaged one.

use std::path::Path;

use super::format::{Damage, FRAME_BYTES_MAX, Fault, FrameHeader, HEADER_BYTES, Watermark};
use super::segments::Segments;
use super::window::Window;
use super::{Frame, Position, ReadError, Reader, directory, watermark};

/// An unfinished frame at the end of a log: its write broke off, and nobody was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Where it begins.
    pub position: Position,
    /// How much of it there is.
    pub bytes: u64,
    /// How one sees that it is unfinished.
    pub fault: Fault,
}

/// Reads a log, archive and all, to the last frame that is whole when it is opened.
///
/// It needs no writer and disturbs none; beside a running node the frame that is being written
/// shows as [`Torn`].
#[derive(Debug)]
pub struct Whole {
    reader: Reader,
    mark: Option<Watermark>,
    /// The last segment.
    last: u32,
    /// Length of the last segment.
    until: u64,
    bytes: u64,
    /// Of them, those after the place where it was opened.
    unread: u64,
    torn: Option<Torn>,
}

impl Whole {
    /// Opens the log of a data directory at its first frame.
    ///
    /// # Errors
    /// There is none, a segment is missing, or the watermark, the manifest of the archive or the
    /// first header is damaged.
    pub fn open(data: &Path) -> Result<Whole, ReadError> {
        Whole::open_from(data, None)
    }

    /// Opens it at a place between two frames, as a checkpoint keeps it. What stands before it is
    /// taken to be checked: of those segments only the headers are looked at, and that they are
    /// there.
    ///
    /// # Errors
    /// As [`open`](Whole::open); and `at` is no such place, or beyond the end of the log.
    pub fn open_at(data: &Path, at: Position) -> Result<Whole, ReadError> {
        Whole::open_from(data, Some(at))
    }

    fn open_from(data: &Path, at: Option<Position>) -> Result<Whole, ReadError> {
        let directory = directory(data);
        let no_log = || ReadError::NoLog { data: data.to_owned() };
        if !directory.exists() {
            return Err(no_log());
        }
        // Before the segments: beside a running node they grow, and the mark must not be beyond.
        let mark = watermark::read(&directory)?;
        let segments = Segments::list(&directory)?;
        let last = segments.last;
        let marked = mark.filter(|mark| mark.sequence > 0).map_or(0, |mark| mark.segment);
        if marked.max(at.map_or(0, |at| at.segment)) > last {
            return Err(ReadError::Missing { segment: last + 1 });
        }
        if last == 0 {
            return Err(no_log());
        }
        let lengths: Vec<u64> = (1..=last)
            .map(|segment| segments.bytes(&directory, segment))
            .collect::<Result<_, _>>()?;
        let until = lengths.last().copied().expect("there is a segment");
        let reader = match at {
            None => Reader::open(data)?,
            Some(at) if at.segment == last && at.offset > until => {
                let fault = Fault::Acknowledged { until: at.offset };
                return Err(Damage { segment: last, byte: until, fault }.into());
            }
            Some(at) => Reader::open_at(data, at)?,
        };
        if mark.is_some_and(|mark| mark.log != reader.log()) {
            return Err(ReadError::Watermark(Fault::Log));
        }
        let start = reader.position();
        if at.is_some() {
            // Of the archived ones the manifest has been read.
            let files = segments.files.range(..start.segment).copied();
            check_headers(&directory, files, reader.log())?;
        }
        let bytes = lengths.iter().sum();
        let before: u64 = lengths.iter().take(start.segment as usize - 1).sum();
        let unread = bytes - before - start.offset;
        Ok(Whole { reader, mark, last, until, bytes, unread, torn: None })
    }

    /// The next frame; `None` at the end, where [`torn`](Whole::torn) says what was left out.
    ///
    /// # Errors
    /// Damage anywhere but in an unfinished frame at the very end.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        let advanced = self.advance()?;
        Ok(advanced.then(|| self.reader.frame()))
    }

    /// The unfinished frame at the end, once the end is reached.
    pub fn torn(&self) -> Option<&Torn> {
        self.torn.as_ref()
    }

    /// After the last frame that was read.
    pub fn position(&self) -> Position {
        self.reader.position()
    }

    /// Bytes of all segments, of the archived ones as they were.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes there were to read when it was opened.
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// How many segments there are.
    pub fn segments(&self) -> u32 {
        self.last
    }

    /// The last frame that was read.
    pub(super) fn frame(&self) -> Frame<'_> {
        self.reader.frame()
    }

    /// Epoch of the last frame that was read, 0 before the first.
    pub(super) fn epoch(&self) -> u64 {
        self.reader.epoch()
    }

    pub(super) fn log(&self) -> u64 {
        self.reader.log()
    }

    pub(super) fn is_marked(&self) -> bool {
        self.mark.is_some()
    }

    pub(super) fn advance(&mut self) -> Result<bool, ReadError> {
        if self.torn.is_some() {
            return Ok(false);
        }
        match self.reader.advance(self.last, self.until) {
            Ok(true) => Ok(true),
            Ok(false) => self.check_mark().map(|()| false),
            // The header of the last segment is reached from the one before: it is never torn.
            Err(ReadError::Corrupt(damage)) if self.position().segment == self.last => {
                self.torn = Some(self.judge(damage)?);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// A log that ends well must reach its mark.
    fn check_mark(&self) -> Result<(), ReadError> {
        let Position { segment, offset, sequence } = self.position();
        match self.mark {
            Some(mark)
                if (mark.sequence, mark.segment, mark.offset) > (sequence, segment, offset) =>
            {
                let fault = Fault::Acknowledged { until: mark.offset };
                Err(Damage { segment, byte: offset, fault }.into())
            }
            _ => Ok(()),
        }
    }

    /// Whether what is wrong at the present position is a frame whose write broke off.
    ///
    /// One frame is being written at a time, at the end, and everything before it is durable: so
    /// an unfinished frame is the last thing in the log, has not been acknowledged, and is not
    /// longer than a frame. What does not fit that is damage.
    fn judge(&mut self, damage: Damage) -> Result<Torn, ReadError> {
        let position = self.position();
        let bytes = self.until - position.offset;
        let acknowledged = self.mark.is_some_and(|mark| mark.sequence > position.sequence);
        if acknowledged || bytes > (HEADER_BYTES + FRAME_BYTES_MAX) as u64 {
            return Err(damage.into());
        }
        let log = self.reader.log();
        let rest = self.reader.rest(bytes as usize, self.until)?;
        let unfinished = match damage.fault {
            Fault::Length { .. } => true,
            Fault::Checksum => is_last(rest, log),
            Fault::Magic | Fault::HeaderChecksum => {
                !holds_header(rest.get(1..).unwrap_or_default(), log, position.sequence)
            }
            _ => false,
        };
        if !unfinished {
            return Err(damage.into());
        }
        Ok(Torn { position, bytes, fault: damage.fault })
    }
}

/// Whether segments that will not be read are those of this log, in their order.
fn check_headers(
    directory: &Path,
    segments: impl Iterator<Item = u32>,
    log: u64,
) -> Result<(), ReadError> {
    let (mut sequence, mut epoch) = (0, 0);
    for segment in segments {
        let (_, header) = Window::open(directory, segment)?;
        let fault = if header.segment != segment {
            Fault::Segment { found: header.segment }
        } else if header.log != log {
            Fault::Log
        } else if header.sequence < sequence {
            Fault::Sequence { expected: sequence, found: header.sequence }
        } else if header.epoch < epoch {
            Fault::Epoch { before: epoch, found: header.epoch }
        } else {
            // At least one frame is in every segment that another follows.
            (sequence, epoch) = (header.sequence + 1, header.epoch);
            continue;
        };
        return Err(Damage { segment, byte: 0, fault }.into());
    }
    Ok(())
}

/// Whether nothing stands after a frame whose header is good.
fn is_last(bytes: &[u8], log: u64) -> bool {
    let header = bytes.first_chunk().map(|head| FrameHeader::decode(head, log));
    matches!(header, Some(Ok(header)) if HEADER_BYTES + header.bytes as usize >= bytes.len())
}

/// Whether a header of this log, of the frame `sequence` or a later one, begins anywhere.
fn holds_header(bytes: &[u8], log: u64, sequence: u64) -> bool {
    bytes.windows(HEADER_BYTES).any(|window| {
        let header = window.first_chunk().map(|head| FrameHeader::decode(head, log));
        matches!(header, Some(Ok(header)) if header.sequence >= sequence)
    })
}
