//! Archiving: segments that nothing is appended to any more, packed with zstd.
//!
//! A packed segment replaces its original only when it was read back frame by frame, is durable
//! and listed. At each step both are there or one of them is, and what is half done is done again.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use rustix::fs::Advice;
use sha2::{Digest, Sha256};

use super::manifest::{self, Entry, Manifest};
use super::segments::Segments;
use super::window::Window;
use super::{FileError, ReadError, Reader, directory, segment_path, sync_directory};

/// Bytes packed at once.
const PIECE_BYTES: usize = 1 << 20;
/// zstd's own default: a quarter of the size at some 300 MB/s and two megabytes of memory.
const LEVEL: i32 = 3;

/// What [`archive`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// Segments that were archived.
    pub segments: u32,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of the packed files.
    pub packed: u64,
}

/// Archives all segments before number `before`, of those that are followed by another. May run
/// beside the writer and any readers, but only once at a time.
///
/// # Errors
/// A segment is damaged, or the operating system refused something (a full disk is one case). What
/// was not archived is left as it was, and the log opens as before.
pub fn archive(data: &Path, before: u32) -> Result<Archived, ReadError> {
    let log = directory(data);
    let segments = Segments::list(&log)?;
    let mut archived = Archived::default();
    for segment in segments.files.range(..before.min(segments.last)).copied() {
        let (id, entry) = pack(&log, segment)?;
        let mut manifest = Manifest::read(&log)?.unwrap_or(Manifest { log: id, entries: vec![] });
        manifest.put(entry);
        manifest.write(&log)?;
        let original = segment_path(&log, segment);
        std::fs::remove_file(&original).map_err(FileError::of("remove", &original))?;
        sync_directory(&log)?;
        archived.segments += 1;
        archived.bytes += entry.bytes;
        archived.packed += entry.packed;
    }
    Ok(archived)
}

/// Packs a segment and reads it back. Yields the id of its log, and what was packed.
fn pack(log: &Path, segment: u32) -> Result<(u64, Entry), ReadError> {
    let directory = manifest::directory(log);
    if !directory.exists() {
        std::fs::create_dir(&directory).map_err(FileError::of("create", &directory))?;
        sync_directory(log)?;
    }
    let path = manifest::packed_path(log, segment);
    let unfinished = path.with_added_extension("tmp");
    let packed = compress(log, segment, &unfinished).and_then(|entry| {
        let counted = count(log, &unfinished, entry)?;
        std::fs::rename(&unfinished, &path).map_err(FileError::of("rename", &unfinished))?;
        sync_directory(&directory)?;
        Ok(counted)
    });
    if packed.is_err() {
        // It may be what fills the disk; the next attempt begins anew.
        std::fs::remove_file(&unfinished).ok();
    }
    packed
}

/// Writes a packed file, durable. Yields its length, and length and hash of what is in it.
fn compress(log: &Path, segment: u32, to: &Path) -> Result<Entry, ReadError> {
    let from = segment_path(log, segment);
    let mut original = File::open(&from).map_err(FileError::of("open", &from))?;
    let file = File::create(to).map_err(FileError::of("create", to))?;
    let failed = || FileError::of("write", to);
    let mut encoder = zstd::stream::write::Encoder::new(file, LEVEL).map_err(failed())?;
    encoder.include_checksum(true).map_err(failed())?;
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = original.read(&mut piece).map_err(FileError::of("read", &from))?;
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        bytes += read as u64;
        encoder.write_all(&piece[..read]).map_err(failed())?;
    }
    let file = encoder.finish().map_err(failed())?;
    file.sync_all().map_err(FileError::of("make durable", to))?;
    // So that what is read back is what the disk has.
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)
        .map_err(|error| FileError::of("reread", to)(error.into()))?;
    let packed = file.metadata().map_err(FileError::of("inspect", to))?.len();
    let sha256 = hasher.finalize().into();
    Ok(Entry { segment, bytes, sha256, packed, ..Entry::default() })
}

/// Reads a packed file frame by frame to its end, and counts.
fn count(log: &Path, packed: &Path, entry: Entry) -> Result<(u64, Entry), ReadError> {
    let (window, header) = Window::open_packed(packed.to_owned(), entry.segment, &entry)?;
    let mut reader = Reader::at_start(log, window, header, entry.segment)?;
    let epochs = (header.epoch, header.epoch);
    let mut entry = Entry { sequence: header.sequence, epochs, ..entry };
    while reader.advance(entry.segment, entry.bytes)? {
        let frame = reader.frame();
        if entry.frames == 0 {
            entry.epochs.0 = frame.epoch;
        }
        entry.epochs.1 = frame.epoch;
        entry.frames += 1;
        entry.events += u64::from(frame.count);
    }
    // The end is where the hash is compared.
    let rest = reader.rest(1, u64::MAX)?;
    assert!(rest.is_empty(), "the length was compared too");
    Ok((header.log, entry))
}
