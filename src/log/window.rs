//! The part of a segment that is in memory, whether the segment is archived or not.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::format::{Damage, Fault, LABEL_BYTES, SegmentHeader};
use super::manifest::{self, Entry, Manifest};
use super::{FileError, ReadError, segment_path};

/// Bytes asked of a file at once.
const READ_BYTES: usize = 1 << 20;
/// Largest window of a packed file, as a power of two: what unpacking may take of memory. Ours
/// have 2 MiB; more is asked only by a damaged header.
const WINDOW_LOG_MAX: u32 = 23;

/// Part of a segment, read from front to back.
#[derive(Debug)]
pub(super) struct Window {
    segment: u32,
    source: Source,
    path: PathBuf,
    /// `buffer[start..end]` are the bytes of the segment from `offset`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
}

#[derive(Debug)]
enum Source {
    File(File),
    Packed(Box<Unpacker>),
}

impl Window {
    /// Opens a segment where it is; the window is after its header, and empty.
    pub fn open(log: &Path, segment: u32) -> Result<(Window, SegmentHeader), ReadError> {
        let path = segment_path(log, segment);
        match File::open(&path) {
            Ok(file) => return Window::of(segment, Source::File(file), path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::of("open", &path)(error).into()),
        }
        // Read each time: what was not archived when the log was opened may be by now.
        let manifest = Manifest::read(log)?.ok_or(ReadError::Missing { segment })?;
        let entry = manifest.entry(segment).ok_or(ReadError::Missing { segment })?;
        let (window, header) =
            Window::open_packed(manifest::packed_path(log, segment), segment, entry)?;
        if header.log != manifest.log {
            return Err(Damage { segment, byte: 0, fault: Fault::Log }.into());
        }
        Ok((window, header))
    }

    /// Opens a packed file that must be what its entry says; the end of it tells.
    pub fn open_packed(
        path: PathBuf,
        segment: u32,
        entry: &Entry,
    ) -> Result<(Window, SegmentHeader), ReadError> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::Missing { segment });
            }
            Err(error) => return Err(FileError::of("open", &path)(error).into()),
        };
        let unpacker = Unpacker::new(file, entry).map_err(FileError::of("unpack", &path))?;
        Window::of(segment, Source::Packed(Box::new(unpacker)), path)
    }

    fn of(
        segment: u32,
        source: Source,
        path: PathBuf,
    ) -> Result<(Window, SegmentHeader), ReadError> {
        let buffer = Vec::new();
        let mut window = Window { segment, source, path, buffer, start: 0, end: 0, offset: 0 };
        let label = window.fill(LABEL_BYTES, LABEL_BYTES as u64)?;
        let header =
            SegmentHeader::decode(label).map_err(|fault| Damage { segment, byte: 0, fault })?;
        window.skip_to(LABEL_BYTES as u64);
        Ok((window, header))
    }

    /// This window with the memory of another.
    pub fn with_memory_of(mut self, other: &mut Window) -> Window {
        assert_eq!(self.start, self.end, "nothing is lost");
        self.buffer = std::mem::take(&mut other.buffer);
        (self.start, self.end) = (0, 0);
        self
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Forgets what stands before a place not before the present one.
    pub fn skip_to(&mut self, offset: u64) {
        let skipped = usize::try_from(offset - self.offset).expect("a frame is in memory");
        self.start += skipped;
        self.offset = offset;
        assert!(self.start <= self.end, "only what was read is skipped");
    }

    /// At least `length` bytes, fewer only where the segment or `until` ends them.
    pub fn fill(&mut self, length: usize, until: u64) -> Result<&[u8], ReadError> {
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
                match self.read(wanted)? {
                    0 => break,
                    read => self.end += read,
                }
            }
        }
        Ok(self.bytes())
    }

    /// Reads into the buffer from `end`, at most up to `wanted`; 0 at the end of the segment.
    fn read(&mut self, wanted: usize) -> Result<usize, ReadError> {
        let byte = self.offset + (self.end - self.start) as u64;
        let room = &mut self.buffer[self.end..wanted];
        let damage = |fault| ReadError::Corrupt(Damage { segment: self.segment, byte, fault });
        loop {
            let read = match &mut self.source {
                Source::File(file) => file.read(room),
                Source::Packed(unpacker) => unpacker.read(room),
            };
            match read {
                Ok(0) => {
                    return match &self.source {
                        Source::Packed(unpacker) => unpacker.check().map(|()| 0).map_err(damage),
                        Source::File(_) => Ok(0),
                    };
                }
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What the operating system did not say, unpacking did.
                Err(error) if error.raw_os_error().is_none() => {
                    return Err(damage(Fault::Unpack(error.to_string())));
                }
                Err(error) => return Err(FileError::of("read", &self.path)(error).into()),
            }
        }
    }
}

/// A packed segment, unpacked and hashed as it is read.
struct Unpacker {
    decoder: zstd::stream::read::Decoder<'static, BufReader<File>>,
    hasher: Sha256,
    bytes: u64,
    expected: (u64, [u8; 32]),
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Unpacker {
    fn new(file: File, entry: &Entry) -> io::Result<Unpacker> {
        let mut decoder = zstd::stream::read::Decoder::new(file)?;
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        let expected = (entry.bytes, entry.sha256);
        Ok(Unpacker { decoder, hasher: Sha256::new(), bytes: 0, expected })
    }

    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(room)?;
        self.hasher.update(&room[..read]);
        self.bytes += read as u64;
        Ok(read)
    }

    /// At the end: whether all of it was what was packed.
    fn check(&self) -> Result<(), Fault> {
        let (bytes, sha256) = self.expected;
        if self.bytes != bytes {
            return Err(Fault::Length { expected: bytes, found: self.bytes });
        }
        if self.hasher.clone().finalize() != sha256 {
            return Err(Fault::Hash);
        }
        Ok(())
    }
}
