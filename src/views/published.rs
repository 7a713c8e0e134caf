//! What `manager_periods` and `agencies` were at the end of each minute or so, for much longer than
//! the history of changes: the figures as they were published, whatever was corrected later.
//!
//! ```text
//! file   history/published/<number, 8 digits>.2: frames; 2 is the version of the format
//! frame  length u32 LE, crc32 of the rest u32 LE, epoch u64 LE, zstd of
//!        [(row, bool)] (bincode 1.3, variable integers)
//!        first of a file: all rows there are at the epoch, each with true
//!        all others:      the rows that changed since the frame before: with true as they are at
//!                         the epoch, with false as they were last, where they are there no more
//! ```
//!
//! Each start of the node begins a new file, so what is written need not go on from what was read:
//! a frame that was cut short ends its file and nothing else. Like the history of changes it is a
//! convenience and not synced; a write that fails leaves a gap of an interval.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle};

use bincode::Options;
use dataflows::domain::Epoch;
use dataflows::id;
use dataflows::views::{Key, Row, View};
use tracing::warn;

use super::table::{Held, Table};
use super::{Change, Snapshot};

/// The views that are kept.
pub const VIEWS: [View; 2] = [View::ManagerPeriods, View::Agencies];
/// What the names of files of this format end with.
const VERSION: &str = ".2";
/// A new file is begun after so many bytes: reading a figure costs reading one file.
const FILE_BYTES: u64 = 8 << 20;
/// Files there should be at least, since they are removed one by one.
const FILES_MIN: u64 = 8;
/// Length and checksum; the epoch after them is checked too.
const HEADER_BYTES: usize = 8;
const EPOCH_BYTES: usize = 8;
/// Rows repeat each other: more effort than this gains little.
const ZSTD_LEVEL: i32 = 3;
/// As checkpoints: after all others in the queue for the processor.
const NICENESS: i32 = 19;

/// How much is kept, and how finely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Ticks of the clock between two frames.
    pub interval_epochs: u64,
    /// All files may hold so many bytes; the oldest are removed.
    pub bytes_max: u64,
}

/// Keeps what is published, and finds it again. Frames are written by a thread of its own: the one
/// that publishes has no time for a minute's rows.
#[derive(Debug)]
pub struct Published {
    interval_epochs: u64,
    /// The epoch of the last frame.
    last: Option<Epoch>,
    /// The rows that changed since then, each as it was known last.
    pending: id::Table<Key, Arc<Held>>,
    /// None only while it is dropped.
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// What the thread is to do, in this order.
#[derive(Debug)]
enum Job {
    Keep(Frame),
    Find(Epoch, SyncSender<Found>),
}

/// What is to be written: of which epoch, the tables then, and the rows that changed.
#[derive(Debug)]
struct Frame {
    epoch: Epoch,
    tables: [Table; VIEWS.len()],
    changed: id::Table<Key, Arc<Held>>,
}

/// Asks for what is kept.
#[derive(Debug)]
pub struct Finder(Sender<Job>);

/// Where the figures of an epoch are, if it is not before all that is kept; and the epoch that begins
/// with.
pub type Found = (Option<Place>, Option<Epoch>);

/// The files, which are the thread's.
#[derive(Debug)]
struct Files {
    directory: PathBuf,
    bytes_max: u64,
    /// Oldest first.
    files: VecDeque<Part>,
    /// The last of them, if it is ours to write.
    open: Option<File>,
}

#[derive(Clone, Debug)]
struct Part {
    number: u32,
    bytes: u64,
    /// Of its first frame.
    epoch: Epoch,
}

/// Where a figure is to be looked for.
#[derive(Clone, Debug)]
pub struct Place {
    path: PathBuf,
    epoch: Epoch,
}

impl Published {
    /// What is kept in `directory`, and goes on being kept.
    ///
    /// # Panics
    /// The system starts no thread.
    pub fn open(directory: &Path, keeping: Keeping) -> Published {
        let Keeping { interval_epochs, bytes_max } = keeping;
        let directory = directory.to_owned();
        let mut files = Files { directory, bytes_max, files: VecDeque::new(), open: None };
        if let Err(error) = files.list() {
            let directory = files.directory.display();
            warn!("the published figures in {directory} cannot be read: {error}");
        }
        let (jobs, given) = mpsc::channel();
        let writer = thread::Builder::new().name("published".to_owned());
        let writer = writer.spawn(move || files.run(&given)).expect("the system starts a thread");
        Published {
            interval_epochs: interval_epochs.max(1),
            last: None,
            pending: id::Table::default(),
            jobs: Some(jobs),
            writer: Some(writer),
        }
    }

    /// The rows are these at the end of an epoch, and `changes` led there from the epoch before.
    pub fn follow(&mut self, snapshot: &Snapshot, changes: &[Change]) {
        for change in changes {
            let row = change.any_row();
            if VIEWS.contains(&row.view()) {
                self.pending.insert(row.key(), Arc::clone(row));
            }
        }
        let interval = |epoch: Epoch| epoch / self.interval_epochs;
        let is_over = |last: Epoch| interval(last) < interval(snapshot.epoch);
        if self.last.is_none_or(|last| is_over(last) && !self.pending.is_empty()) {
            self.last = Some(snapshot.epoch);
            let tables = VIEWS.map(|view| snapshot.table(view).clone());
            let changed = mem::take(&mut self.pending);
            let frame = Frame { epoch: snapshot.epoch, tables, changed };
            let jobs = self.jobs.as_ref().expect("it is not dropped");
            // The thread ends before this by a panic only, and with it the process.
            let _ = jobs.send(Job::Keep(frame));
        }
    }

    /// For a reader, who waits for what is being written.
    pub fn finder(&self) -> Finder {
        Finder(self.jobs.clone().expect("it is not dropped"))
    }
}

impl Drop for Published {
    /// Waits until all is written.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // A panic there has ended the process, or has been told of by a test.
            let _ = writer.join();
        }
    }
}

impl Finder {
    /// Looks among all that was published before.
    pub fn find(&self, epoch: Epoch) -> Found {
        let (answer, found) = mpsc::sync_channel(1);
        let asked = self.0.send(Job::Find(epoch, answer)).is_ok();
        // There is no answer where the node stops.
        asked.then(|| found.recv().ok()).flatten().unwrap_or_default()
    }
}

impl Files {
    /// Does what it is given until there is no more.
    fn run(mut self, jobs: &Receiver<Job>) {
        // Of this thread alone. Without it figures are a little later for a moment.
        rustix::process::nice(NICENESS).ok();
        for job in jobs {
            match job {
                Job::Keep(frame) => self.keep(&frame),
                Job::Find(epoch, answer) => {
                    let first = self.files.front().map(|part| part.epoch);
                    // Who asked may have gone.
                    let _ = answer.send((self.place(epoch), first));
                }
            }
        }
    }

    fn keep(&mut self, frame: &Frame) {
        if let Err(error) = self.write(frame) {
            let directory = self.directory.display();
            warn!("a published figure is not kept in {directory}: {error}");
            // What comes next begins with all rows.
            self.open = None;
        }
    }

    fn list(&mut self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.parse::<u32>().is_ok() {
                // Of the first format, which nothing reads any more.
                fs::remove_file(entry.path())?;
            }
            numbers.extend(name.strip_suffix(VERSION).and_then(|name| name.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        for number in numbers {
            let path = self.path(number);
            let bytes = path.metadata()?.len();
            let mut head = [0; HEADER_BYTES + EPOCH_BYTES];
            match File::open(&path)?.read_exact(&mut head) {
                Ok(()) => {
                    let epoch = head.last_chunk().expect("longer than an epoch");
                    let epoch = Epoch::from_le_bytes(*epoch);
                    self.files.push_back(Part { number, bytes, epoch });
                }
                Err(_) => fs::remove_file(&path)?,
            }
        }
        Ok(())
    }

    fn write(&mut self, frame: &Frame) -> io::Result<()> {
        let Frame { epoch, tables, changed } = frame;
        let file_bytes = FILE_BYTES.min(self.bytes_max / FILES_MIN);
        let is_full = self.files.back().is_none_or(|part| part.bytes >= file_bytes);
        let rows: Vec<(&Row, bool)> = if is_full || self.open.is_none() {
            self.begin(*epoch)?;
            tables.iter().flat_map(Table::iter).map(|row| (row.row(), true)).collect()
        } else {
            let mut changed: Vec<_> = changed.iter().collect();
            changed.sort_unstable_by_key(|(key, _)| *key);
            let rows = changed.into_iter().map(|(key, last)| {
                let mut tables = VIEWS.iter().zip(tables).filter(|(view, _)| **view == key.view);
                let found = tables.find_map(|(_, table)| table.get(key));
                (found.unwrap_or(last).row(), found.is_some())
            });
            rows.collect()
        };
        self.append(*epoch, &rows)
    }

    /// Begins a file, and removes what is too much. Files of this epoch or later are of another
    /// history: the clock was set back, or the log is another.
    fn begin(&mut self, epoch: Epoch) -> io::Result<()> {
        while self.files.back().is_some_and(|part| part.epoch >= epoch) {
            let part = self.files.pop_back().expect("there is one");
            fs::remove_file(self.path(part.number))?;
        }
        while self.files.iter().map(|part| part.bytes).sum::<u64>() > self.bytes_max {
            let part = self.files.pop_front().expect("they are more than nothing");
            fs::remove_file(self.path(part.number))?;
        }
        let number = self.files.back().map_or(1, |part| part.number + 1);
        self.open = Some(File::create(self.path(number))?);
        self.files.push_back(Part { number, bytes: 0, epoch });
        Ok(())
    }

    fn append(&mut self, epoch: Epoch, rows: &impl serde::Serialize) -> io::Result<()> {
        let rows = bincode::DefaultOptions::new().serialize(rows).map_err(io::Error::other)?;
        let mut frame = vec![0; HEADER_BYTES];
        frame.extend_from_slice(&epoch.to_le_bytes());
        frame.extend_from_slice(&zstd::bulk::compress(&rows, ZSTD_LEVEL)?);
        let (header, rest) = frame.split_at_mut(HEADER_BYTES);
        let length = u32::try_from(rest.len()).map_err(io::Error::other)?;
        header[..4].copy_from_slice(&length.to_le_bytes());
        header[4..].copy_from_slice(&crc32fast::hash(rest).to_le_bytes());
        let file = self.open.as_mut().ok_or(io::ErrorKind::NotFound)?;
        file.write_all(&frame)?;
        if let Some(part) = self.files.back_mut() {
            part.bytes += frame.len() as u64;
        }
        Ok(())
    }

    /// Where the figures of an epoch are, if it is not before all that is kept.
    fn place(&self, epoch: Epoch) -> Option<Place> {
        let part = self.files.iter().rev().find(|part| part.epoch <= epoch)?;
        Some(Place { path: self.path(part.number), epoch })
    }

    fn path(&self, number: u32) -> PathBuf {
        self.directory.join(format!("{number:08}{VERSION}"))
    }
}

impl Place {
    /// The rows of one of [`VIEWS`] as they were published then, and the epoch they are of: that of
    /// the last frame which is not later. Costs reading a file.
    ///
    /// # Errors
    /// The file is gone, or not sound from its first frame on.
    pub fn table(&self, view: View) -> io::Result<(Epoch, Table)> {
        let bytes = fs::read(&self.path)?;
        let mut rows: BTreeMap<Key, Row> = BTreeMap::new();
        let (mut rest, mut of) = (&bytes[..], None);
        while let Some((epoch, packed, after)) = split_frame(rest) {
            if epoch > self.epoch {
                break;
            }
            for (row, is_there) in unpack(packed)? {
                match (row.view() == view, is_there) {
                    (true, true) => drop(rows.insert(row.key(), row)),
                    (true, false) => drop(rows.remove(&row.key())),
                    (false, _) => {}
                }
            }
            (rest, of) = (after, Some(epoch));
        }
        let epoch = of.ok_or(io::ErrorKind::InvalidData)?;
        Ok((epoch, Table::of(rows.into_values().collect())))
    }
}

fn unpack(packed: &[u8]) -> io::Result<Vec<(Row, bool)>> {
    let rows = zstd::decode_all(packed)?;
    bincode::DefaultOptions::new().deserialize(&rows).map_err(io::Error::other)
}

/// The epoch and the rows of the first frame, and what comes after it; `None` where it is not whole.
fn split_frame(bytes: &[u8]) -> Option<(Epoch, &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let (payload, after) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let is_sound = crc32fast::hash(payload) == u32::from_le_bytes(*crc);
    let (epoch, packed) = payload.split_first_chunk().filter(|_| is_sound)?;
    Some((Epoch::from_le_bytes(*epoch), packed, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{Bounds, Served};
    use dataflows::id::Id;
    use dataflows::tally::Value;
    use dataflows::views::AgencyRow;

    const KEEPING: Keeping = Keeping { interval_epochs: 10, bytes_max: 1 << 30 };

    fn row(agency: &str, k: i64) -> Row {
        let (agency, value) = (Id::of(agency), Value { k, n: 100 });
        Row::Agency(Box::new(AgencyRow { agency, value, mean: None, managers: 0 }))
    }

    fn served(directory: &Path, keeping: Keeping) -> Served {
        // Nothing of the history of changes, so that what is published is what is found.
        let bounds = Bounds { changes_max: 0, epochs_max: 0 };
        Served::new(bounds).and(Published::open(directory, keeping))
    }

    /// `(epoch, k)` of the agency A as it was published at an epoch.
    fn published(served: &Served, epoch: Epoch) -> Option<(Epoch, Vec<i64>)> {
        let (of, table) = served.published_at(View::Agencies, epoch).ok()?;
        let k = |held: &Arc<Held>| match held.row() {
            Row::Agency(row) => row.value.k,
            _ => panic!("another view"),
        };
        Some((of, table.iter().map(k).collect()))
    }

    /// One epoch after another, in each of which the row counts one more; the first epoch has 0.
    fn run(served: &Served, epochs: std::ops::Range<Epoch>) {
        for epoch in epochs {
            let k = epoch as i64;
            served.apply(epoch + 1, vec![(row("A", k - 1), -1), (row("A", k), 1)]);
        }
    }

    #[test]
    fn figures_are_found_as_they_were_after_a_restart_and_a_correction() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = served(directory.path(), KEEPING);
        first.replace(101, vec![(row("A", 100), 1), (row("B", 7), 1)]);
        run(&first, 101..145);
        first.apply(146, vec![(row("B", 7), -1)]);
        first.apply(200, Vec::new());
        let check = |served: &Served| {
            assert_eq!(published(served, 99), None);
            assert_eq!(published(served, 100), Some((100, vec![100, 7])));
            assert_eq!(published(served, 109), Some((100, vec![100, 7])));
            assert_eq!(published(served, 110), Some((110, vec![110, 7])));
            assert_eq!(published(served, 143), Some((140, vec![140, 7])));
            // What came last is there once its interval is over, though nothing came after it.
            assert_eq!(published(served, 199), Some((199, vec![144])));
        };
        check(&first);
        drop(first);
        let second = served(directory.path(), KEEPING);
        second.replace(301, vec![(row("A", 5), 1)]);
        second.apply(401, vec![(row("A", 5), -1), (row("A", 6), 1)]);
        second.apply(501, vec![(row("A", 6), -1), (row("A", 7), 1)]);
        check(&second);
        assert_eq!(published(&second, 299), Some((199, vec![144])));
        assert_eq!(published(&second, 300), Some((300, vec![5])));
        // Within the history of changes it is exact.
        assert_eq!(published(&second, 499), Some((499, vec![6])));
        assert!(second.published_at(View::Units, 150).is_err());
        assert!(second.published_at(View::Agencies, 502).is_err(), "that is to come");
    }

    /// A frame that was cut short, or is not what it was, ends its file; what is before it holds.
    #[test]
    fn damage_takes_away_what_comes_after_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = served(directory.path(), KEEPING);
        first.replace(101, vec![(row("A", 100), 1)]);
        run(&first, 101..145);
        assert_eq!(published(&first, 142), Some((140, vec![140])));
        let path = directory.path().join("00000001.2");
        let sound = fs::read(&path).expect("it was written");
        for (cut, flip) in [(sound.len() - 1, None), (sound.len(), Some(sound.len() - 3))] {
            let mut bytes = sound[..cut].to_vec();
            if let Some(at) = flip {
                bytes[at] ^= 1;
            }
            fs::write(&path, bytes).expect("it can be written");
            assert_eq!(published(&first, 142), Some((130, vec![130])));
        }
        fs::write(&path, &sound[..20]).expect("it can be written");
        assert_eq!(published(&first, 142), None);
    }

    /// What is too much is removed, oldest first, and the clock may be set back.
    #[test]
    fn it_is_bounded() {
        let directory = tempfile::tempdir().expect("a directory");
        let keeping = Keeping { interval_epochs: 1, bytes_max: 4000 };
        let first = served(directory.path(), keeping);
        first.replace(101, vec![(row("A", 100), 1)]);
        run(&first, 101..400);
        assert_eq!(published(&first, 110), None);
        assert_eq!(published(&first, 390), Some((390, vec![390])));
        let files = fs::read_dir(directory.path()).expect("it is there");
        let bytes: u64 = files.map(|f| f.and_then(|f| f.metadata()).expect("a file").len()).sum();
        assert!(bytes < 5000, "{bytes}");
        let back = served(directory.path(), keeping);
        back.replace(351, vec![(row("A", 1), 1)]);
        back.apply(353, vec![(row("A", 1), -1), (row("A", 2), 1)]);
        back.apply(354, vec![(row("A", 2), -1), (row("A", 3), 1)]);
        assert_eq!(published(&back, 351), Some((350, vec![1])));
        assert_eq!(published(&back, 352), Some((352, vec![2])));
    }
}
