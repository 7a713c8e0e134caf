//! The manifest: which segments are archived, and what each was before it was packed.
//!
//! A text file for people as much as for the program: one line for the log, then one for each
//! archived segment, from the first without gaps. Each line ends with its own checksum. It is
//! written anew as a whole, so that it is there with all of its lines or as it was before.

use std::fmt::{self, Write as _};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::format::Fault;
use super::{FileError, ReadError, create};

/// What was archived of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The log's id.
    pub log: u64,
    /// Of the segments `1..=n`.
    pub entries: Vec<Entry>,
}

/// An archived segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub segment: u32,
    /// Length of the segment.
    pub bytes: u64,
    /// Of the segment's bytes.
    pub sha256: [u8; 32],
    /// Length of the packed file.
    pub packed: u64,
    pub frames: u64,
    pub events: u64,
    /// Number of the first frame.
    pub sequence: u64,
    /// Of the first and of the last frame.
    pub epochs: (u64, u64),
}

/// Where packed segments and their manifest are.
pub(super) fn directory(log: &Path) -> PathBuf {
    log.join("archive")
}

/// The packed file of a segment: `00000001.seg.zst`.
pub(super) fn packed_path(log: &Path, segment: u32) -> PathBuf {
    directory(log).join(format!("{segment:08}.seg.zst"))
}

impl Manifest {
    /// Reads the manifest of a log's directory; `None` if nothing was ever archived.
    pub fn read(log: &Path) -> Result<Option<Manifest>, ReadError> {
        let path = directory(log).join("manifest");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::of("read", &path)(error).into()),
        };
        let at = |line, fault| ReadError::Manifest { line, fault };
        // What is no text is in the line where it stops being one.
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = &bytes[..error.valid_up_to()];
                let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
                return Err(at(line, Fault::Line));
            }
        };
        Manifest::parse(text).map(Some).map_err(|(line, fault)| at(line, fault))
    }

    /// Replaces the manifest of a log's directory, durably.
    pub fn write(&self, log: &Path) -> Result<(), FileError> {
        create(&directory(log).join("manifest"), self.to_string().as_bytes()).map(drop)
    }

    /// What is known of a segment.
    pub fn entry(&self, segment: u32) -> Option<&Entry> {
        self.entries.get((segment as usize).checked_sub(1)?)
    }

    /// Adds the next segment, or replaces what was said of one.
    pub fn put(&mut self, entry: Entry) {
        let index = entry.segment as usize - 1;
        match self.entries.get_mut(index) {
            Some(before) => *before = entry,
            None => {
                assert_eq!(index, self.entries.len(), "segments are archived in their order");
                self.entries.push(entry);
            }
        }
    }

    fn parse(text: &str) -> Result<Manifest, (usize, Fault)> {
        let mut lines = text.split_inclusive('\n').zip(1..);
        let log = match lines.next() {
            Some((line, _)) => parse_head(line).ok_or((1, Fault::Line))?,
            None => return Err((1, Fault::Line)),
        };
        let mut entries: Vec<Entry> = Vec::new();
        for (line, number) in lines {
            let entry = parse_entry(line).ok_or((number, Fault::Line))?;
            let expected = entries.last().map_or((1, 0, 0), |last| {
                (last.segment + 1, last.sequence + last.frames, last.epochs.1)
            });
            follows(&entry, expected).map_err(|fault| (number, fault))?;
            entries.push(entry);
        }
        Ok(Manifest { log, entries })
    }
}

fn follows(entry: &Entry, (segment, sequence, epoch): (u32, u64, u64)) -> Result<(), Fault> {
    if entry.segment != segment {
        return Err(Fault::Segment { found: entry.segment });
    }
    if entry.sequence != sequence {
        return Err(Fault::Sequence { expected: sequence, found: entry.sequence });
    }
    if entry.epochs.0 < epoch || entry.epochs.1 < entry.epochs.0 {
        return Err(Fault::Epoch { before: epoch, found: entry.epochs.0 });
    }
    Ok(())
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&head(self.log))?;
        self.entries.iter().try_for_each(|entry| f.write_str(&line(entry)))
    }
}

fn head(log: u64) -> String {
    sealed(format!("otklik archive, format 1, of log {log:016x}"))
}

fn line(entry: &Entry) -> String {
    let Entry { segment, bytes, sha256, packed, frames, events, sequence, epochs } = entry;
    let mut text = format!("segment {segment:08} bytes {bytes} sha256 ");
    for byte in sha256 {
        write!(text, "{byte:02x}").expect("memory takes every byte");
    }
    let (first, last) = epochs;
    sealed(format!(
        "{text} packed {packed} frames {frames} events {events} sequence {sequence} \
         epochs {first} {last}"
    ))
}

fn sealed(text: String) -> String {
    format!("{text} crc {:08x}\n", crc32fast::hash(text.as_bytes()))
}

/// The log's id, if the line is exactly what is written for it.
fn parse_head(text: &str) -> Option<u64> {
    let id = text.strip_prefix("otklik archive, format 1, of log ")?.get(..16)?;
    let log = u64::from_str_radix(id, 16).ok()?;
    (head(log) == text).then_some(log)
}

/// The entry, if the line is exactly what is written for it.
fn parse_entry(text: &str) -> Option<Entry> {
    let mut words = text.split_whitespace();
    let segment = field(&mut words, "segment")?;
    let bytes = field(&mut words, "bytes")?;
    words.next().filter(|word| *word == "sha256")?;
    let sha256 = hash(words.next()?)?;
    let packed = field(&mut words, "packed")?;
    let frames = field(&mut words, "frames")?;
    let events = field(&mut words, "events")?;
    let sequence = field(&mut words, "sequence")?;
    let first = field(&mut words, "epochs")?;
    let last = words.next()?.parse().ok()?;
    let segment = u32::try_from(segment).ok()?;
    sequence.checked_add(frames)?;
    let entry =
        Entry { segment, bytes, sha256, packed, frames, events, sequence, epochs: (first, last) };
    (line(&entry) == text).then_some(entry)
}

/// The number after a name.
fn field<'a>(words: &mut impl Iterator<Item = &'a str>, name: &str) -> Option<u64> {
    words.next().filter(|word| *word == name)?;
    words.next()?.parse().ok()
}

fn hash(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let first = Entry {
            segment: 1,
            bytes: 268_435_399,
            sha256: [0xa0; 32],
            packed: 38_201_933,
            frames: 3,
            events: 9,
            sequence: 0,
            epochs: (5, 7),
        };
        let second = Entry { segment: 2, sequence: 3, epochs: (7, 7), ..first };
        Manifest { log: 0xdead_beef, entries: vec![first, second] }
    }

    #[test]
    fn lines_are_read_as_written() {
        assert_eq!(Manifest::parse(&manifest().to_string()), Ok(manifest()));
        let mut of_one = manifest();
        of_one.entries.pop();
        assert_eq!(Manifest::parse(&of_one.to_string()), Ok(of_one.clone()));
        of_one.put(*manifest().entry(2).expect("there"));
        assert_eq!(of_one, manifest());
        assert_eq!(of_one.entry(3), None);
        assert_eq!(of_one.entry(0), None);
    }

    #[test]
    fn lines_continue_each_other() {
        let table = [
            (Entry { segment: 3, ..manifest().entries[1] }, Fault::Segment { found: 3 }),
            (
                Entry { sequence: 4, ..manifest().entries[1] },
                Fault::Sequence { expected: 3, found: 4 },
            ),
            (
                Entry { epochs: (6, 7), ..manifest().entries[1] },
                Fault::Epoch { before: 7, found: 6 },
            ),
        ];
        for (second, fault) in table {
            let entries = vec![manifest().entries[0], second];
            let text = Manifest { entries, ..manifest() }.to_string();
            assert_eq!(Manifest::parse(&text), Err((3, fault)));
        }
    }

    #[test]
    fn every_bit_of_every_line_is_guarded() {
        let good = manifest().to_string();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone().into_bytes();
            bad[bit / 8] ^= 1 << (bit % 8);
            let Ok(bad) = String::from_utf8(bad) else { continue };
            assert!(Manifest::parse(&bad).is_err(), "bit {bit}: {bad}");
        }
        let cut = good.trim_end();
        assert_eq!(Manifest::parse(cut), Err((3, Fault::Line)), "a line that is not ended");
    }
}
