//! The bytes of format 1: headers of segments and frames, and the watermark's record.
//!
//! All integers are little-endian. `docs/log-format.md` draws them; the golden files in `tests/`
//! hold them fixed.

/// Bytes of a segment before its first frame, and of the watermark.
pub(super) const LABEL_BYTES: usize = 44;
/// Bytes of a frame before its payload.
pub(super) const HEADER_BYTES: usize = 36;
/// Largest payload of a frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

const FORMAT: u32 = 1;
const SEGMENT_MAGIC: [u8; 8] = *b"otkliklg";
const WATERMARK_MAGIC: [u8; 8] = *b"otklikwm";
/// `0xff` is in no UTF-8 text, so that no sender can put a header into an event.
pub(super) const FRAME_MAGIC: [u8; 4] = *b"\xffotk";

/// Bytes of the log that are not what was written, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log segment {segment:04} is corrupt at byte {byte}: {fault}")]
pub struct Damage {
    /// Number of the segment.
    pub segment: u32,
    /// Where the damaged header, frame or entry begins in the segment's file.
    pub byte: u64,
    /// What is wrong there.
    pub fault: Fault,
}

/// What can be wrong with bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Fault {
    #[error("{found} bytes where {expected} are expected")]
    Length { expected: u64, found: u64 },
    #[error("no header begins here")]
    Magic,
    #[error("it has format {found}, this program reads {FORMAT}")]
    Format { found: u32 },
    #[error("the checksum of the header differs")]
    HeaderChecksum,
    #[error("the checksum of the frame differs")]
    Checksum,
    #[error("the file is that of segment {found}")]
    Segment { found: u32 },
    #[error("the file belongs to another log")]
    Log,
    #[error("frame {found} where frame {expected} is expected")]
    Sequence { expected: u64, found: u64 },
    #[error("epoch {found} after epoch {before}")]
    Epoch { before: u64, found: u64 },
    #[error("a frame of {bytes} bytes and {events} events")]
    Bounds { bytes: u32, events: u32 },
    #[error("everything before byte {until} had been acknowledged")]
    Acknowledged { until: u64 },
    #[error("an entry is not an event: {0}")]
    Entry(String),
    #[error("the entries of the frame do not fill it")]
    Trailing,
    #[error("{found} bytes in the archive where {expected} are listed")]
    Packed { expected: u64, found: u64 },
    #[error("the archive cannot be unpacked: {0}")]
    Unpack(String),
    #[error("the archive holds other bytes than were packed")]
    Hash,
    #[error("the line is not what was written")]
    Line,
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub segment: u32,
    /// Random, one for all segments of a log.
    pub log: u64,
    /// Number of the first frame.
    pub sequence: u64,
    /// Epoch of the last frame before it, 0 in the first segment.
    pub epoch: u64,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; LABEL_BYTES] {
        label(SEGMENT_MAGIC, self.segment, [self.log, self.sequence, self.epoch])
    }

    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, Fault> {
        let (segment, [log, sequence, epoch]) = read_label(SEGMENT_MAGIC, bytes)?;
        Ok(SegmentHeader { segment, log, sequence, epoch })
    }
}

/// How far the log is known to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watermark {
    pub segment: u32,
    pub log: u64,
    /// Every byte of the segment before this one had been made durable.
    pub offset: u64,
    /// Count of the frames before it.
    pub sequence: u64,
}

impl Watermark {
    pub fn encode(&self) -> [u8; LABEL_BYTES] {
        label(WATERMARK_MAGIC, self.segment, [self.log, self.offset, self.sequence])
    }

    pub fn decode(bytes: &[u8]) -> Result<Watermark, Fault> {
        let (segment, [log, offset, sequence]) = read_label(WATERMARK_MAGIC, bytes)?;
        Ok(Watermark { segment, log, offset, sequence })
    }
}

fn label(magic: [u8; 8], segment: u32, words: [u64; 3]) -> [u8; LABEL_BYTES] {
    let mut bytes = Vec::with_capacity(LABEL_BYTES);
    bytes.extend(magic);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(segment.to_le_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.try_into().expect("8 + 4 + 4 + 3 * 8 + 4 bytes")
}

fn read_label(magic: [u8; 8], bytes: &[u8]) -> Result<(u32, [u64; 3]), Fault> {
    if bytes.len() != LABEL_BYTES {
        return Err(Fault::Length { expected: LABEL_BYTES as u64, found: bytes.len() as u64 });
    }
    let checksum = crc32fast::hash(&bytes[..LABEL_BYTES - 4]);
    let mut fields = Fields(bytes);
    if fields.array() != magic {
        return Err(Fault::Magic);
    }
    // The format comes before the checksum: another one may have it elsewhere.
    let format = fields.u32();
    if format != FORMAT {
        return Err(Fault::Format { found: format });
    }
    let (segment, words) = (fields.u32(), [fields.u64(), fields.u64(), fields.u64()]);
    if fields.u32() != checksum {
        return Err(Fault::HeaderChecksum);
    }
    Ok((segment, words))
}

/// What stands before the payload of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Bytes of the payload.
    pub bytes: u32,
    pub sequence: u64,
    pub epoch: u64,
    pub events: u32,
    /// Of the payload.
    pub checksum: u32,
}

impl FrameHeader {
    pub fn encode(&self, log: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(FRAME_MAGIC);
        bytes.extend(self.bytes.to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.epoch.to_le_bytes());
        bytes.extend(self.events.to_le_bytes());
        bytes.extend(self.checksum.to_le_bytes());
        bytes.extend(header_checksum(log, &bytes).to_le_bytes());
        bytes.try_into().expect("4 + 4 + 8 + 8 + 4 + 4 + 4 bytes")
    }

    /// Reads a header that says of itself that it is one of this log.
    pub fn decode(bytes: &[u8; HEADER_BYTES], log: u64) -> Result<FrameHeader, Fault> {
        let checksum = header_checksum(log, &bytes[..HEADER_BYTES - 4]);
        let mut fields = Fields(bytes);
        if fields.array() != FRAME_MAGIC {
            return Err(Fault::Magic);
        }
        let header = FrameHeader {
            bytes: fields.u32(),
            sequence: fields.u64(),
            epoch: fields.u64(),
            events: fields.u32(),
            checksum: fields.u32(),
        };
        if fields.u32() != checksum {
            return Err(Fault::HeaderChecksum);
        }
        Ok(header)
    }

    /// Whether a frame with this header may follow.
    pub fn follows(&self, sequence: u64, epoch: u64) -> Result<(), Fault> {
        if self.sequence != sequence {
            return Err(Fault::Sequence { expected: sequence, found: self.sequence });
        }
        if self.epoch < epoch {
            return Err(Fault::Epoch { before: epoch, found: self.epoch });
        }
        if self.bytes as usize > FRAME_BYTES_MAX || self.events == 0 {
            return Err(Fault::Bounds { bytes: self.bytes, events: self.events });
        }
        Ok(())
    }
}

/// The log's id goes into the checksum: a header of another log is none, and who does not know
/// the id cannot make one.
fn header_checksum(log: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&log.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// The integers of a header, one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the length was checked");
        self.0 = rest;
        *field
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_written() {
        let segment = SegmentHeader { segment: 7, log: u64::MAX, sequence: 3, epoch: 1 << 40 };
        assert_eq!(SegmentHeader::decode(&segment.encode()), Ok(segment));
        let mark = Watermark { segment: 7, log: 1, offset: 4096, sequence: 3 };
        assert_eq!(Watermark::decode(&mark.encode()), Ok(mark));
        assert_eq!(SegmentHeader::decode(&mark.encode()), Err(Fault::Magic));
        let frame = FrameHeader { bytes: 9, sequence: 3, epoch: 8, events: 2, checksum: 5 };
        assert_eq!(FrameHeader::decode(&frame.encode(1), 1), Ok(frame));
        assert_eq!(FrameHeader::decode(&frame.encode(1), 2), Err(Fault::HeaderChecksum));
    }

    #[test]
    fn another_format_is_named() {
        let mut bytes = Watermark { segment: 1, log: 1, offset: 44, sequence: 0 }.encode();
        bytes[8] = 2;
        assert_eq!(Watermark::decode(&bytes), Err(Fault::Format { found: 2 }));
        let short = Fault::Length { expected: 44, found: 43 };
        assert_eq!(Watermark::decode(&bytes[..43]), Err(short));
    }

    #[test]
    fn a_frame_follows_its_predecessor() {
        let frame = FrameHeader { bytes: 9, sequence: 3, epoch: 8, events: 2, checksum: 5 };
        assert_eq!(frame.follows(3, 8), Ok(()));
        assert_eq!(frame.follows(3, 0), Ok(()));
        assert_eq!(frame.follows(4, 8), Err(Fault::Sequence { expected: 4, found: 3 }));
        assert_eq!(frame.follows(3, 9), Err(Fault::Epoch { before: 9, found: 8 }));
        let empty = FrameHeader { events: 0, ..frame };
        assert_eq!(empty.follows(3, 8), Err(Fault::Bounds { bytes: 9, events: 0 }));
        let long = FrameHeader { bytes: FRAME_BYTES_MAX as u32 + 1, ..frame };
        assert!(matches!(long.follows(3, 8), Err(Fault::Bounds { .. })));
    }
}
