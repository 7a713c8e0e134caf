//! The lock of a data directory: one node at a time.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::FileError;

/// How long a directory may be another's. Of a node that was killed while it started a process, the
/// lock stays with that child until it has become another program, some milliseconds later.
const PATIENCE: Duration = Duration::from_secs(1);
/// Until it is looked at again.
const PAUSE: Duration = Duration::from_millis(10);

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

/// Takes `data/lock` and writes the id of this process into it, for whoever comes second. Waits a
/// moment if it is another's.
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
    let until = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(&path).ok();
                return Err(LockError::InUse(holder.and_then(|text| text.trim().parse().ok())));
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
    }
    // The id is for people only: no reason to fail, on a full disk for one.
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).ok();
    Ok(Lock { file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_back_in_a_moment_is_waited_for() {
        let data = tempfile::tempdir().expect("a directory");
        let first = take(data.path()).expect("free");
        let second = thread::scope(|scope| {
            let second = scope.spawn(|| take(data.path()));
            thread::sleep(PATIENCE / 10);
            assert!(!second.is_finished(), "it waits");
            drop(first);
            second.join().expect("no panic")
        });
        let _second = second.expect("free again");
        let third = take(data.path());
        assert!(matches!(third, Err(LockError::InUse(Some(pid))) if pid == std::process::id()));
    }
}
