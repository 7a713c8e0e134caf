//! Which segments a log has, as files of their own or in the archive, without a gap.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use super::format::{Damage, Fault};
use super::manifest::{self, Entry, Manifest};
use super::{FileError, ReadError, segment_path};

/// The segments of a log, `1..=last`.
#[derive(Debug)]
pub(super) struct Segments {
    /// Those that have a file of their own; they may be in the archive too.
    pub files: BTreeSet<u32>,
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
        let files = files(log)?;
        let manifest = Manifest::read(log)?;
        let archived = manifest.as_ref().map_or(0, |manifest| manifest.entries.len() as u32);
        let last = files.last().copied().unwrap_or(0);
        let segments = Segments { files, last, manifest };
        for segment in (1..=last).filter(|segment| !segments.files.contains(segment)) {
            segments.check_archived(log, segment)?;
        }
        // The last segment is never archived.
        if archived > 0 && archived >= last && !segments.files.contains(&archived) {
            return Err(ReadError::Missing { segment: archived + 1 });
        }
        Ok(segments)
    }

    /// Length of a segment in bytes, before it was packed.
    pub fn bytes(&self, log: &Path, segment: u32) -> Result<u64, ReadError> {
        if self.files.contains(&segment) {
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
        Ok(self.entry(segment).ok_or(ReadError::Missing { segment })?.bytes)
    }

    /// Length of the packed file, for one that is only in the archive.
    pub fn packed(&self, segment: u32) -> Option<u64> {
        self.entry(segment).filter(|_| !self.files.contains(&segment)).map(|entry| entry.packed)
    }

    fn entry(&self, segment: u32) -> Option<&Entry> {
        self.manifest.as_ref().and_then(|manifest| manifest.entry(segment))
    }

    fn check_archived(&self, log: &Path, segment: u32) -> Result<(), ReadError> {
        let expected = self.entry(segment).ok_or(ReadError::Missing { segment })?.packed;
        let path = manifest::packed_path(log, segment);
        let found = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(ReadError::Missing { segment });
            }
            Err(error) => return Err(FileError::of("inspect", &path)(error).into()),
        };
        if expected != found {
            let fault = Fault::Packed { expected, found };
            return Err(Damage { segment, byte: 0, fault }.into());
        }
        Ok(())
    }
}

/// Numbers of the segment files.
fn files(log: &Path) -> Result<BTreeSet<u32>, FileError> {
    let failed = |source| FileError::of("list", log)(source);
    let mut files = BTreeSet::new();
    for entry in log.read_dir().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        let digits = digits.filter(|digits| digits.len() == 8);
        let number: Option<u32> = digits.and_then(|digits| digits.parse().ok());
        // Numbers begin with 1: a file of number 0 is not ours.
        files.extend(number.filter(|number| *number > 0));
    }
    Ok(files)
}
