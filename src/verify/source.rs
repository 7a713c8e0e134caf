//! Where the events come from: the log of a node, or files and the day they are read on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use dataflows::calendar::{Day, Hour};
use dataflows::domain::Epoch;

use crate::event::Event;
use crate::lines::Lines;
use crate::log::Merged;

use super::time;

/// Files are read in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// Events by epoch.
#[derive(Clone, Debug)]
pub enum Source {
    /// The logs in data directories.
    Logs(Vec<PathBuf>),
    /// Files of events, piece by piece an epoch, and the day that it is in Moscow after them.
    Files(Vec<PathBuf>, Day),
}

impl Source {
    /// Gives every event in order with its epoch. Yields how many there were and how many lines
    /// of files were none.
    ///
    /// # Errors
    /// What cannot be read, and where.
    pub fn each(&self, mut give: impl FnMut(Epoch, &Event<'_>)) -> anyhow::Result<Read> {
        match self {
            Source::Logs(data) => read_logs(data, &mut give),
            Source::Files(files, as_of) => read_files(files, *as_of, &mut give),
        }
    }
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Events given.
    pub events: u64,
    /// Lines that the door would have refused.
    pub refused: u64,
}

fn read_logs(data: &[PathBuf], give: &mut impl FnMut(Epoch, &Event<'_>)) -> anyhow::Result<Read> {
    let mut log = Merged::open(data)?;
    let mut read = Read::default();
    while let Some(frame) = log.next_frame()? {
        for event in frame.events() {
            give(frame.epoch, &event?);
            read.events += 1;
        }
    }
    Ok(read)
}

fn read_files(
    files: &[PathBuf],
    as_of: Day,
    give: &mut impl FnMut(Epoch, &Event<'_>),
) -> anyhow::Result<Read> {
    let mut read = Read::default();
    let mut epoch = 0;
    for path in files {
        for piece in Lines::open(path, PIECE_BYTES, &Arc::new(AtomicU64::new(0)))? {
            epoch += 1;
            for line in piece?.text.split(|byte| *byte == b'\n') {
                if line.trim_ascii().is_empty() {
                    continue;
                }
                match Event::parse(line) {
                    Ok(event) => {
                        give(epoch, &event);
                        read.events += 1;
                    }
                    Err(_) => read.refused += 1,
                }
            }
        }
    }
    give(epoch + 1, &Event::Clock(Hour(time::midnight_in_moscow(as_of))));
    Ok(read)
}
