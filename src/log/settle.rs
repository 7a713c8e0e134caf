//! What the node before this one may have left in memory only.
//!
//! A node that ended at a failed write or `fdatasync` leaves bytes in the kernel's memory that the
//! disk may not have, and the kernel calls them written: reading shows them, and another `fsync`
//! of the file succeeds. They must not be built upon. Everything up to the watermark was durable
//! when the watermark was written, so only what stands after it is in doubt; its bytes are copied
//! into a new file, on other blocks of the disk, and that file is made durable. It is then checked
//! like any other, so a copy of something wrong is noticed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::segments::Segments;
use super::{FileError, ReadError, segment_path, sync_directory, watermark};

/// Bytes copied at once.
const PIECE_BYTES: usize = 1 << 20;

/// Makes the last segment durable where it is not known to be. Returns whether it had to.
///
/// Costs nothing after a node that ended in order, or was killed between two commits; after one
/// that was killed within a commit, the writing of a segment at most.
pub(super) fn settle(log: &Path) -> Result<bool, ReadError> {
    let mark = watermark::read(log)?;
    let last = Segments::list(log)?.last;
    if last == 0 {
        return Ok(false);
    }
    let path = segment_path(log, last);
    let length = path.metadata().map_err(FileError::of("inspect", &path))?.len();
    let durable = mark.map_or(0, |mark| match mark.segment {
        segment if segment < last => 0,
        _ => mark.offset,
    });
    if length <= durable {
        return Ok(false);
    }
    match copy(&path) {
        // The same bytes at the same place need no room. The disk may have failed just there: then
        // it fails again, and is not believed.
        Err(error) if error.is_full() => rewrite(&path, durable)?,
        copied => copied?,
    }
    sync_directory(log)?;
    Ok(true)
}

/// Replaces a file by a durable copy of it.
///
/// With reads and writes: `std::io::copy` would let a file system share the blocks of the two.
fn copy(path: &Path) -> Result<(), FileError> {
    let unfinished = path.with_added_extension("tmp");
    let mut original = File::open(path).map_err(FileError::of("open", path))?;
    let mut copy = File::create(&unfinished).map_err(FileError::of("create", &unfinished))?;
    let mut piece = vec![0; PIECE_BYTES];
    let written = loop {
        let read = original.read(&mut piece).map_err(FileError::of("read", path))?;
        if read == 0 {
            break copy.sync_all().map_err(FileError::of("make durable", &unfinished));
        }
        let written = copy.write_all(&piece[..read]);
        if let Err(error) = written.map_err(FileError::of("write", &unfinished)) {
            break Err(error);
        }
    };
    if written.is_err() {
        // It may be what fills the disk.
        std::fs::remove_file(&unfinished).ok();
    }
    written?;
    std::fs::rename(&unfinished, path).map_err(FileError::of("rename", &unfinished))
}

/// Writes what stands in a file from byte `from` on over itself, durably.
fn rewrite(path: &Path, from: u64) -> Result<(), FileError> {
    let file = File::options().read(true).write(true).open(path);
    let file = file.map_err(FileError::of("open", path))?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut place = from;
    loop {
        match file.read_at(&mut piece, place).map_err(FileError::of("read", path))? {
            0 => break,
            read => {
                file.write_all_at(&piece[..read], place).map_err(FileError::of("write", path))?;
                place += read as u64;
            }
        }
    }
    file.sync_all().map_err(FileError::of("make durable", path))
}
