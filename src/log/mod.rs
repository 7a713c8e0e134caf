//! The durable log: every event the node has answered for, in the order of its epochs.
//!
//! A frame is one group commit: written with one write, made durable with one `fdatasync`, and
//! answered only then. Frames are numbered without gaps and never change; segments are files of
//! frames. The bytes are drawn in `docs/log-format.md`. The log knows events only as entries to
//! encode and decode: what they mean, and which epoch it is, are its callers' business.
//!
//! - [`Writer`] appends; there is one in a data directory, and opening it is recovery.
//! - [`Reader`] tails up to a position that the writer has reported durable.
//! - [`Whole`] reads all there is, for tools; [`inspect()`] sums it up.
//! - [`archive()`] packs segments that are no longer appended to; whatever reads, reads them too.
//!
//! An unfinished frame at the very end is cut when the log is opened. Any other damage is refused
//! with its segment and byte; nothing is ever skipped.

mod archive;
mod entry;
mod format;
mod inspect;
mod lock;
mod manifest;
mod merged;
mod read;
mod segments;
mod settle;
mod watermark;
mod whole;
mod window;
mod write;

pub use archive::{Archived, archive};
pub use entry::{Events, Frame, FrameBuilder, FrameFull};
pub use format::{Damage, FRAME_BYTES_MAX, Fault};
pub use inspect::{Inspection, Segment, inspect};
pub use merged::Merged;
pub use read::{ReadError, Reader};
pub use whole::{Torn, Whole};
pub use write::{AppendError, OpenError, Opened, Options, Writer};

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A place between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Number of the segment, from 1.
    pub segment: u32,
    /// Bytes of the segment before the place.
    pub offset: u64,
    /// Number of the next frame, from 0: the count of frames before the place.
    pub sequence: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { segment, offset, sequence } = self;
        write!(f, "byte {offset} of log segment {segment:04} (frame {sequence})")
    }
}

/// The operating system refused something.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {}", path.display())]
pub struct FileError {
    act: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    /// For `map_err`: what was being done to which file.
    fn of(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
        move |source| FileError { act, path: path.to_owned(), source }
    }

    /// Whether there was no room, so that it may go better later.
    fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// The number that all files of the log of a data directory carry.
///
/// # Errors
/// There is no log, or its first segment is damaged.
pub fn id(data: &Path) -> Result<u64, ReadError> {
    Reader::open(data).map(|reader| reader.log())
}

/// Where the segments are.
fn directory(data: &Path) -> PathBuf {
    data.join("log")
}

/// The file of a segment: `00000001.seg`.
fn segment_path(directory: &Path, segment: u32) -> PathBuf {
    directory.join(format!("{segment:08}.seg"))
}

/// A new file with these first bytes: it is there with all of them, durable, or not at all.
///
/// A file that is left half-made has another name, which the log does not look at, and is
/// overwritten by the next attempt.
fn create(path: &Path, bytes: &[u8]) -> Result<File, FileError> {
    let unfinished = path.with_added_extension("tmp");
    let mut file = File::create(&unfinished).map_err(FileError::of("create", &unfinished))?;
    file.write_all(bytes).map_err(FileError::of("write", &unfinished))?;
    file.sync_all().map_err(FileError::of("make durable", &unfinished))?;
    std::fs::rename(&unfinished, path).map_err(FileError::of("rename", &unfinished))?;
    sync_directory(path.parent().expect("a file is in a directory"))?;
    Ok(file)
}

/// Makes creations, renames and removals in a directory durable.
fn sync_directory(directory: &Path) -> Result<(), FileError> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(FileError::of("make durable", directory))
}
