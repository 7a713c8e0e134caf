//! The history on disk, so that a reader can go on where it was after the node has been restarted.
//!
//! ```text
//! file   history/<number, 8 digits>: frames
//! frame  length u32 LE, crc32 of the payload u32 LE, payload (bincode 1.3, variable integers)
//!        first of a file: (version u8, epoch, digests), what the sets after it go on from
//!        all others:      0, epoch, [(row before, row after)], digests: one set of changes; or
//!                         1, epoch: nothing has changed up to this
//! ```
//!
//! It is a convenience and never the truth: it is not synced, a write that fails ends it, and what
//! cannot be trusted is dropped, so that history begins later. What is read must pass three checks:
//! the checksum; that rows and digests agree, reckoned anew from the rows as they would be served
//! (which a program with other rows or another way to write them does not pass); and, by
//! [`Served`](super::Served), that the worker computes the same digests at the last epoch.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bincode::Options;
use dataflows::domain::Epoch;
use dataflows::views::Row;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::history::{Bounds, Change, ChangeSet, Digests, History};
use super::table::Held;

/// Of the format above.
const VERSION: u8 = 3;
/// A new file is begun after so many bytes: old changes are forgotten file by file.
const FILE_BYTES: u64 = 16 << 20;
/// Room kept from frame to frame.
const FRAME_BYTES: usize = 4 << 20;
/// Length and checksum.
const HEADER_BYTES: usize = 8;

/// Writes sets of changes behind one another.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    /// All files may hold so many bytes; the oldest are removed.
    bytes_max: u64,
    /// Oldest first; the last one is written.
    files: VecDeque<Part>,
    open: Option<File>,
    /// What the next set goes on from; none where nothing is to be kept.
    at: Option<(Epoch, Digests)>,
    /// Room for a frame.
    frame: Vec<u8>,
}

#[derive(Debug)]
struct Part {
    number: u32,
    bytes: u64,
    /// Of its last set.
    epoch: Epoch,
}

/// What a file begins with.
type Start = (u8, Epoch, Digests);
/// What comes after it, with rows as they are written or read.
#[derive(Debug, Serialize, Deserialize)]
enum Kept<R> {
    Set(Epoch, Vec<(Option<R>, Option<R>)>, Box<Digests>),
    Unchanged(Epoch),
}

impl Journal {
    /// Reads what is kept in `directory`: the longest history that ends with the newest sound set.
    pub fn open(directory: &Path, bytes_max: u64, bounds: Bounds) -> (Journal, Option<History>) {
        let mut journal = Journal {
            directory: directory.to_owned(),
            bytes_max,
            files: VecDeque::new(),
            open: None,
            at: None,
            frame: Vec::new(),
        };
        let history = journal.read(bounds).unwrap_or_else(|error| {
            warn!("the history in {} cannot be read: {error}", directory.display());
            None
        });
        journal.at = history.as_ref().and_then(|history| {
            history.digests(history.last()).map(|digests| (history.last(), *digests))
        });
        (journal, history)
    }

    fn read(&mut self, bounds: Bounds) -> io::Result<Option<History>> {
        fs::create_dir_all(&self.directory)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        let mut history = None;
        for number in numbers {
            let path = self.path(number);
            let bytes = fs::read(&path)?;
            let sound = read_file(&bytes, &mut history, bounds);
            if sound < bytes.len() {
                warn!("{} is not sound after byte {sound}: the rest is dropped", path.display());
                OpenOptions::new().write(true).open(&path)?.set_len(sound as u64)?;
            }
            let epoch = history.as_ref().map_or(0, History::last);
            match sound {
                0 => fs::remove_file(&path)?,
                bytes => self.files.push_back(Part { number, bytes: bytes as u64, epoch }),
            }
        }
        self.remove_until(history.as_ref().map_or(Epoch::MAX, History::floor));
        Ok(history)
    }

    /// Begins anew: what was kept is not of this history.
    pub fn begin(&mut self, epoch: Epoch, digests: Digests) {
        self.remove_until(Epoch::MAX);
        self.at = Some((epoch, digests));
    }

    /// Adds a set, and removes files that hold nothing after `floor`. Written, not synced.
    pub fn append(&mut self, set: &ChangeSet, floor: Epoch) {
        let rows = set.changes.iter().map(|change| {
            (change.before.as_deref().map(Held::row), change.after.as_deref().map(Held::row))
        });
        let kept = Kept::Set(set.epoch, rows.collect(), Box::new(set.digests));
        if self.add(&kept, floor, (set.epoch, set.digests))
            && let Some(part) = self.files.back_mut()
        {
            part.epoch = set.epoch;
        }
    }

    /// Notes that nothing has changed up to an epoch: readers may be at it, and come back.
    pub fn pass(&mut self, epoch: Epoch, floor: Epoch) {
        let Some((_, digests)) = self.at.filter(|(at, _)| *at < epoch) else { return };
        self.add(&Kept::Unchanged(epoch), floor, (epoch, digests));
    }

    /// Writes a frame that ends `at`, and removes what is not needed or too much.
    fn add(&mut self, kept: &Kept<&Row>, floor: Epoch, at: (Epoch, Digests)) -> bool {
        let Some(before) = self.at else { return false };
        let written = self.begin_file(before).and_then(|()| self.write_frame(kept));
        match &written {
            Ok(()) => self.at = Some(at),
            Err(error) => {
                let directory = self.directory.display();
                warn!("the history is kept in memory only: {directory} {error}");
                self.remove_until(Epoch::MAX);
                self.at = None;
            }
        }
        self.remove_until(floor);
        while self.files.len() > 1
            && self.files.iter().map(|f| f.bytes).sum::<u64>() > self.bytes_max
        {
            self.remove_first();
        }
        written.is_ok()
    }

    /// Begins a new file if there is none that has room.
    fn begin_file(&mut self, at: (Epoch, Digests)) -> io::Result<()> {
        let file_bytes = FILE_BYTES.min(self.bytes_max / 4);
        if self.files.back().is_none_or(|part| part.bytes >= file_bytes) {
            let number = self.files.back().map_or(1, |part| part.number + 1);
            let file = File::create(self.path(number))?;
            self.files.push_back(Part { number, bytes: 0, epoch: at.0 });
            self.open = Some(file);
            self.write_frame(&(VERSION, at.0, at.1))?;
        }
        Ok(())
    }

    fn write_frame(&mut self, payload: &impl Serialize) -> io::Result<()> {
        let part = self.files.back_mut().expect("a file is begun before it is written");
        let file = match &mut self.open {
            Some(file) => file,
            none => {
                let path = self.directory.join(name(part.number));
                none.insert(OpenOptions::new().append(true).open(path)?)
            }
        };
        let frame = &mut self.frame;
        frame.clear();
        frame.extend([0; HEADER_BYTES]);
        format().serialize_into(&mut *frame, payload).map_err(io::Error::other)?;
        let (header, payload) = frame.split_at_mut(HEADER_BYTES);
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        file.write_all(frame)?;
        part.bytes += frame.len() as u64;
        // One may be large.
        frame.shrink_to(FRAME_BYTES);
        Ok(())
    }

    fn remove_until(&mut self, floor: Epoch) {
        let all = floor == Epoch::MAX;
        while self.files.front().is_some_and(|part| part.epoch <= floor)
            && (all || self.files.len() > 1)
        {
            self.remove_first();
        }
    }

    fn remove_first(&mut self) {
        let Some(part) = self.files.pop_front() else { return };
        if self.files.is_empty() {
            self.open = None;
        }
        if let Err(error) = fs::remove_file(self.path(part.number)) {
            warn!("{} cannot be removed: {error}", self.path(part.number).display());
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        self.directory.join(name(number))
    }
}

fn name(number: u32) -> String {
    format!("{number:08}")
}

fn format() -> impl Options {
    bincode::DefaultOptions::new()
}

/// Adds the sets of a file to `history`, which begins anew where the file does not go on from it.
/// Returns how many bytes are sound; with the rest, what may come in later files is no continuation.
fn read_file(bytes: &[u8], history: &mut Option<History>, bounds: Bounds) -> usize {
    let mut sound = 0;
    let Some((payload, rest)) = split_frame(bytes) else { return sound };
    let Ok((VERSION, epoch, digests)) = format().deserialize::<Start>(payload) else {
        return sound;
    };
    let goes_on = |held: &History| held.last() == epoch && held.digests(epoch) == Some(&digests);
    if !history.as_ref().is_some_and(goes_on) {
        *history = Some(History::new(epoch, digests, bounds));
    }
    let held = history.as_mut().expect("begun above");
    let mut rest = rest;
    sound = bytes.len() - rest.len();
    while let Some((payload, after)) = split_frame(rest) {
        match format().deserialize::<Kept<Row>>(payload) {
            Ok(Kept::Set(epoch, rows, digests)) => {
                let Some(set) = checked(epoch, rows, *digests, held) else { break };
                held.push(epoch, Some(Arc::new(set)));
            }
            Ok(Kept::Unchanged(epoch)) => held.pass(epoch),
            Err(_) => break,
        }
        rest = after;
        sound = bytes.len() - rest.len();
    }
    sound
}

/// The payload of the first frame and what comes after it; `None` where it is not whole.
fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    (crc32fast::hash(payload) == u32::from_le_bytes(*crc)).then_some((payload, rest))
}

/// The set, if it goes on from `history` and its rows make its digests.
fn checked(
    epoch: Epoch,
    rows: Vec<(Option<Row>, Option<Row>)>,
    digests: Digests,
    history: &History,
) -> Option<ChangeSet> {
    let held = |row: Option<Row>| row.map(|row| Arc::new(Held::from(row)));
    let changes: Vec<Change> = rows
        .into_iter()
        .map(|(before, after)| Change { before: held(before), after: held(after) })
        .collect();
    let is_change = |c: &Change| c.before.is_some() || c.after.is_some();
    if epoch <= history.last() || changes.is_empty() || !changes.iter().all(is_change) {
        return None;
    }
    let rise = changes.is_sorted_by(|a, b| a.key() < b.key());
    let mut reckoned = *history.digests(history.last())?;
    for change in &changes {
        let digest = &mut reckoned[change.any_row().view() as usize];
        *digest -= change.before.as_ref().map(|row| row.digest()).unwrap_or_default();
        *digest += change.after.as_ref().map(|row| row.digest()).unwrap_or_default();
    }
    (rise && reckoned == digests).then(|| ChangeSet::new(epoch, changes, digests))
}
