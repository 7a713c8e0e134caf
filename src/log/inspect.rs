//! What is in a log, summed up for people.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dataflows::calendar::Hour;

use super::format::HEADER_BYTES;
use super::segments::Segments;
use super::{Frame, Position, ReadError, Torn, Whole, directory, manifest, segment_path};
use crate::event::Event;

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
    /// The file: the packed one if the segment is archived.
    pub file: PathBuf,
    /// Length of the segment, before it was packed.
    pub bytes: u64,
    /// Length of the packed file, if it is archived.
    pub packed: Option<u64>,
    /// Frames read.
    pub frames: u64,
    /// Events read.
    pub events: u64,
    /// The same by type, as contract § 1 names them.
    pub by_type: BTreeMap<&'static str, u64>,
    /// Of the first and of the last frame.
    pub epochs: Option<(u64, u64)>,
    /// The first and the last hour that the node told: the log's own word for when it was.
    pub hours: Option<(Hour, Hour)>,
}

/// Reads a whole log, also beside a running node, and every event in it. `progress` is told after
/// each frame how many bytes are read, and of how many.
///
/// # Errors
/// There is no log or it cannot be opened; damage within it is part of the answer.
pub fn inspect(data: &Path, progress: impl FnMut(u64, u64)) -> Result<Inspection, ReadError> {
    let mut whole = Whole::open(data)?;
    let directory = directory(data);
    let listed = Segments::list(&directory)?;
    let mut segments = Vec::new();
    for number in 1..=whole.segments() {
        let packed = listed.packed(number);
        let file = match packed {
            Some(_) => manifest::packed_path(&directory, number),
            None => segment_path(&directory, number),
        };
        let bytes = listed.bytes(&directory, number)?;
        segments.push(Segment { file, bytes, packed, ..Segment::default() });
    }
    let damage = count(&mut whole, &mut segments, progress).err();
    Ok(Inspection { segments, position: whole.position(), torn: whole.torn().cloned(), damage })
}

fn count(
    whole: &mut Whole,
    segments: &mut [Segment],
    mut progress: impl FnMut(u64, u64),
) -> Result<(), ReadError> {
    let (mut read, total) = (0, whole.unread());
    while let Some(frame) = whole.next_frame()? {
        let segment = segments.get_mut(frame.segment as usize - 1);
        segment.expect("one is listed for each that is read").add(&frame)?;
        read += (HEADER_BYTES + frame.payload().len()) as u64;
        progress(read, total);
    }
    Ok(())
}

impl Segment {
    fn add(&mut self, frame: &Frame<'_>) -> Result<(), ReadError> {
        self.frames += 1;
        let first = self.epochs.map_or(frame.epoch, |(first, _)| first);
        self.epochs = Some((first, frame.epoch));
        for event in frame.events() {
            let event = event?;
            *self.by_type.entry(event.type_name()).or_default() += 1;
            if let Event::Clock(hour) = event {
                let first = self.hours.map_or(hour, |(first, _)| first);
                self.hours = Some((first, hour));
            }
            self.events += 1;
        }
        Ok(())
    }
}
