//! Checkpoints: the compacted inputs of the dataflow at an epoch, so that a start costs what can
//! still change and the tail of the log, not history.
//!
//! A checkpoint holds no state of the dataflow, only a shorter past that comes to the same: the
//! reference data in force, the messages of open records, what closed ones came to, the ids of
//! those, the drawn lists of the survey, and the hour. It is a pure function of the checkpoint
//! before and the log since, so it is made by a process of its own ([`make`]) while the node goes
//! on, and counts only once it has been read back, put through the dataflow, and found to give the
//! digests that were live at that epoch.
//!
//! Files are immutable. One that is damaged is passed over for the one before and a longer tail;
//! the log stays the only truth, and without any checkpoint all is computed from its start.

mod format;
mod past;
mod restore;
mod write;

use std::path::{Path, PathBuf};

use dataflows::domain::Epoch;
use tracing::warn;

pub use format::{Checkpoint, CheckpointError, FORMAT, Head, Part};
pub use restore::{Restored, restore};
pub use write::{Order, Written, make, run};

use crate::rules::Rules;
use crate::views::digest::Digest;

/// How many are kept: a damaged one falls back to the one before.
pub const KEPT: usize = 3;

/// Counted up when what records come to becomes something else: what is kept of closed ones is
/// theirs. 1: also the refused messages, at their places.
const OUTCOMES: u32 = 1;

/// What the figures of a checkpoint depend on besides the log: the rules in force and the version
/// of the program. One that was made with others is of no use.
pub fn fingerprint(rules: &Rules) -> Digest {
    let rules = serde_json::to_string(rules).expect("rules are written as JSON");
    let version = env!("CARGO_PKG_VERSION");
    Digest::of_json(format!("{version}.{OUTCOMES} {rules}").as_bytes())
}

/// Where they are.
pub fn directory(data: &Path) -> PathBuf {
    data.join("checkpoint")
}

fn path(data: &Path, epoch: Epoch) -> PathBuf {
    directory(data).join(format!("{epoch:020}.ckpt"))
}

/// The files there are, newest first. Others in the directory are not ours.
///
/// # Errors
/// Of the directory, unless there is none.
pub fn list(data: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match directory(data).read_dir() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let is_ours = path.extension().is_some_and(|extension| extension == "ckpt");
        if is_ours && stem.len() == 20 && stem.bytes().all(|digit| digit.is_ascii_digit()) {
            found.push(path);
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// The newest checkpoint that is whole, and of this log and these rules. Every byte of it has been
/// checked when this returns; those passed over are named in the program's log.
///
/// # Errors
/// Of the directory.
pub fn choose(data: &Path, log: u64, rules: &Rules) -> std::io::Result<Option<(PathBuf, Head)>> {
    let wanted = fingerprint(rules);
    for path in list(data)? {
        match Checkpoint::check(&path) {
            Ok(head) if head.log != log => {
                warn!("checkpoint {} is passed over: it is of another log", path.display());
            }
            Ok(head) if head.fingerprint != wanted => warn!(
                "checkpoint {} is passed over: it was made under other rules or by another version",
                path.display()
            ),
            Ok(head) => return Ok(Some((path, head))),
            Err(error) => warn!("checkpoint {} is passed over: {error}", path.display()),
        }
    }
    Ok(None)
}
