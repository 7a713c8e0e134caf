//! Which segments a log has: the archived ones, then the others, without a gap.

use std::io::ErrorKind;
use std::path::Path;

use super::format::{Damage, Fault};
use super::manifest::{self, Manifest};
use super::{FileError, ReadError, segment_path};

/// The segments of a log, `1..=last`.
#[derive(Debug)]
pub(super) struct Segments {
    /// The first that is not only in the archive; it may be there too, for a moment.
    pub unpacked: u32,
    /// How many there are.
    pub last: u32,
    manifest: Option<Manifest>,
}

impl Segments {
    /// Looks at the names and lengths of a log's files. Other files are not the log's.
    ///
    /// # Errors
    /// One is missing, the manifest is damaged, or an archived one is longer or shorter than it
    /// was.
    pub fn list(log: &Path) -> Result<Segments, ReadError> {
        // Before the manifest: beside a running node a segment is listed there, then removed.
        let numbers = numbers(log)?;
        let manifest = Manifest::read(log)?;
        let archived = manifest.as_ref().map_or(0, |manifest| manifest.entries.len() as u32);
        let Some(unpacked) = numbers.first().copied() else {
            // The last segment is never archived.
            return match archived {
                0 => Ok(Segments { unpacked: 1, last: 0, manifest }),
                _ => Err(ReadError::Missing { segment: archived + 1 }),
            };
        };
        if unpacked > archived + 1 {
            return Err(ReadError::Missing { segment: archived + 1 });
        }
        if let Some((_, segment)) = numbers.iter().zip(unpacked..).find(|(n, e)| **n != *e) {
            return Err(ReadError::Missing { segment });
        }
        let last = unpacked + numbers.len() as u32 - 1;
        let segments = Segments { unpacked, last, manifest };
        (1..unpacked).try_for_each(|segment| segments.check_archived(log, segment))?;
        Ok(segments)
    }

    /// Length of a segment in bytes, before it was packed.
    pub fn bytes(&self, log: &Path, segment: u32) -> Result<u64, ReadError> {
        if segment >= self.unpacked {
            let path = segment_path(log, segment);
            match path.metadata() {
                Ok(metadata) => return Ok(metadata.len()),
                // Archived since the files were listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(FileError::of("inspect", &path)(error).into()),
            }
            let manifest = Manifest::read(log)?;
            let entry = manifest.as_ref().and_then(|manifest| manifest.entry(segment));
            return entry.map(|entry| entry.bytes).ok_or(ReadError::Missing { segment });
        }
        let entry = self.manifest.as_ref().and_then(|manifest| manifest.entry(segment));
        Ok(entry.expect("those before the unpacked are listed").bytes)
    }

    /// Length of the packed file, for one that is only in the archive.
    pub fn packed(&self, segment: u32) -> Option<u64> {
        let manifest = self.manifest.as_ref().filter(|_| segment < self.unpacked)?;
        manifest.entry(segment).map(|entry| entry.packed)
    }

    fn check_archived(&self, log: &Path, segment: u32) -> Result<(), ReadError> {
        let path = manifest::packed_path(log, segment);
        let found = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(ReadError::Missing { segment });
            }
            Err(error) => return Err(FileError::of("inspect", &path)(error).into()),
        };
        match self.packed(segment).expect("those before the unpacked are listed") {
            expected if expected == found => Ok(()),
            expected => {
                Err(Damage { segment, byte: 0, fault: Fault::Packed { expected, found } }.into())
            }
        }
    }
}

/// Of the segment files, in order.
fn numbers(log: &Path) -> Result<Vec<u32>, FileError> {
    let failed = |source| FileError::of("list", log)(source);
    let mut numbers: Vec<u32> = Vec::new();
    for entry in log.read_dir().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        let digits = digits.filter(|digits| digits.len() == 8);
        numbers.extend(digits.and_then(|digits| digits.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    // There is no segment 0, so that a file of this name would leave every other one misplaced.
    numbers.retain(|number| *number > 0);
    Ok(numbers)
}
