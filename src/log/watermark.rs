//! The watermark: how far the log is known to be durable, in a small file of its own.
//!
//! A bad last frame may be one that was being written when the machine stopped, or one that was
//! acknowledged and damaged since: the log alone cannot tell. The watermark can. It is written
//! after every commit but made durable only now and then: it never says more than is true, and
//! what it says outlives the process at once and the machine within the kernel's write-back time.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::format::{LABEL_BYTES, Watermark};
use super::{FileError, ReadError, create};

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct WatermarkFile {
    file: File,
    path: PathBuf,
}

fn path(directory: &Path) -> PathBuf {
    directory.join("watermark")
}

/// What the file says; `None` if there is no file.
pub(super) fn read(directory: &Path) -> Result<Option<Watermark>, ReadError> {
    let path = path(directory);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::of("open", &path)(error).into()),
    };
    let decoded = || -> Result<_, FileError> {
        let mut bytes = [0; LABEL_BYTES + 1];
        let length = file.read_at(&mut bytes, 0).map_err(FileError::of("read", &path))?;
        Ok(Watermark::decode(&bytes[..length]))
    };
    // Beside a running node a write may be under way; it is over when we look again.
    let mark = match decoded()? {
        Ok(mark) => Ok(mark),
        Err(_) => decoded()?,
    };
    mark.map(Some).map_err(ReadError::Watermark)
}

impl WatermarkFile {
    /// A new file, durable.
    pub fn create(directory: &Path, mark: Watermark) -> Result<WatermarkFile, FileError> {
        let path = path(directory);
        Ok(WatermarkFile { file: create(&path, &mark.encode())?, path })
    }

    /// The file that is there.
    pub fn open(directory: &Path) -> Result<WatermarkFile, FileError> {
        let path = path(directory);
        let file = File::options().write(true).open(&path).map_err(FileError::of("open", &path))?;
        Ok(WatermarkFile { file, path })
    }

    /// Writes, and leaves the time of durability to the kernel. One sector, so never torn.
    pub fn set(&self, mark: Watermark) -> Result<(), FileError> {
        match self.file.write_all_at(&mark.encode(), 0).map_err(FileError::of("write", &self.path))
        {
            // A file system that copies on write may need room even here; an older mark is true too.
            Err(error) if error.is_full() => Ok(()),
            written => written,
        }
    }

    /// Makes it durable.
    pub fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(FileError::of("make durable", &self.path))
    }
}
