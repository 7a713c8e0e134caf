//! What is in a log, summed up for people.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Frame, Position, ReadError, Torn, Whole, directory, segment_path};

/// A log as [`inspect`] finds it.
#[derive(Debug)]
pub struct Inspection {
    /// In order, all of them; those after a damage count no frames.
    pub segments: Vec<Segment>,
    /// After the last whole frame.
    pub position: Position,
    /// The unfinished frame at the end.
    pub torn: Option<Torn>,
    /// Why reading ended before the end.
    pub damage: Option<ReadError>,
}

/// One file of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The file.
    pub file: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Frames read.
    pub frames: u64,
    /// Events read.
    pub events: u64,
    /// The same by type, as contract § 1 names them.
    pub by_type: BTreeMap<&'static str, u64>,
    /// Of the first and of the last frame.
    pub epochs: Option<(u64, u64)>,
}

/// Reads a whole log, also beside a running node, and every event in it.
///
/// # Errors
/// There is no log or it cannot be opened; damage within it is part of the answer.
pub fn inspect(data: &Path) -> Result<Inspection, ReadError> {
    let mut whole = Whole::open(data)?;
    let mut segments = Vec::new();
    for number in 1..=whole.segments() {
        let file = segment_path(&directory(data), number);
        let bytes = file.metadata().map_err(super::FileError::of("inspect", &file))?.len();
        segments.push(Segment { file, bytes, ..Segment::default() });
    }
    let damage = count(&mut whole, &mut segments).err();
    Ok(Inspection { segments, position: whole.position(), torn: whole.torn().cloned(), damage })
}

fn count(whole: &mut Whole, segments: &mut [Segment]) -> Result<(), ReadError> {
    while let Some(frame) = whole.next_frame()? {
        let segment = segments.get_mut(frame.segment as usize - 1);
        segment.expect("one is listed for each that is read").add(&frame)?;
    }
    Ok(())
}

impl Segment {
    fn add(&mut self, frame: &Frame<'_>) -> Result<(), ReadError> {
        self.frames += 1;
        let first = self.epochs.map_or(frame.epoch, |(first, _)| first);
        self.epochs = Some((first, frame.epoch));
        for event in frame.events() {
            *self.by_type.entry(event?.type_name()).or_default() += 1;
            self.events += 1;
        }
        Ok(())
    }
}
