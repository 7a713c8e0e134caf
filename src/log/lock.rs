//! The lock of a data directory: one node at a time.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::FileError;

/// The directory is ours until this is dropped, or until the process ends in whatever way: the
/// operating system gives the lock back.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Closing would do, were it not for a child that is being started just now: until it is, it
    /// has the file open too.
    fn drop(&mut self) {
        self.file.unlock().ok();
    }
}

#[derive(Debug)]
pub(super) enum LockError {
    /// By the process of this id, if the file says.
    InUse(Option<u32>),
    File(FileError),
}

/// Takes `data/lock` and writes the id of this process into it, for whoever comes second.
pub(super) fn take(data: &Path) -> Result<Lock, LockError> {
    let path: PathBuf = data.join("lock");
    let failed = |act| {
        let path = path.clone();
        move |source| LockError::File(FileError::of(act, &path)(source))
    };
    // Not truncated on opening: it may be another's.
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed("open"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(&path).ok();
            return Err(LockError::InUse(holder.and_then(|text| text.trim().parse().ok())));
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
    }
    // The id is for people only: no reason to fail, on a full disk for one.
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).ok();
    Ok(Lock { file })
}
