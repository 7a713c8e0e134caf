//! Files of NDJSON, plain, gzip or zstd, in pieces of whole lines.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A line longer than this is not read: it is no event, and memory is bounded.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// What can go wrong with an input file.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// The system refused.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No event is so long.
    #[error("{}: a line after line {after} is longer than {LINE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The last line before it.
        after: u64,
    },
}

/// Whole lines of a file.
pub struct Piece {
    /// The number of the first line, from 1.
    pub line: u64,
    /// The text; the last line of a file may lack its line break.
    pub text: Vec<u8>,
}

/// A file, piece by piece.
pub struct Lines {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    carried: Vec<u8>,
    line: u64,
    bytes: usize,
    done: bool,
}

/// Counts what passes, so that progress is of the file and not of what it unpacks to.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Lines {
    /// Opens a file, unpacking gzip and zstd by their first bytes; pieces are of about `bytes`.
    /// What is read of it is added to `progress`, in bytes of the file.
    ///
    /// # Errors
    /// [`LinesError::File`].
    pub fn open(path: &Path, bytes: usize, progress: &Arc<AtomicU64>) -> Result<Lines, LinesError> {
        let failed = |source| LinesError::File { path: path.to_owned(), source };
        let file = Counted { inner: File::open(path).map_err(failed)?, bytes: progress.clone() };
        let mut file = BufReader::with_capacity(1 << 18, file);
        let start = io::BufRead::fill_buf(&mut file).map_err(failed)?;
        let input: Box<dyn Read + Send> = match start {
            [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                Box::new(zstd::Decoder::with_buffer(file).map_err(failed)?)
            }
            _ => Box::new(file),
        };
        let (carried, done) = (Vec::new(), false);
        Ok(Lines { path: path.to_owned(), input, carried, line: 1, bytes, done })
    }

    fn read_piece(&mut self) -> Result<Option<Piece>, LinesError> {
        let mut text = std::mem::take(&mut self.carried);
        while !self.done {
            let wanted = self.bytes.saturating_sub(text.len()).max(self.bytes / 4);
            text.reserve_exact(wanted);
            let read = self.input.by_ref().take(wanted as u64).read_to_end(&mut text);
            let read =
                read.map_err(|source| LinesError::File { path: self.path.clone(), source })?;
            self.done = read == 0;
            if let Some(last) = memchr::memrchr(b'\n', &text) {
                self.carried = text.split_off(last + 1);
                break;
            }
            if text.len() > LINE_BYTES_MAX {
                let (path, after) = (self.path.clone(), self.line - 1);
                return Err(LinesError::TooLong { path, after });
            }
        }
        if text.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        self.line += memchr::memchr_iter(b'\n', &text).count() as u64;
        Ok(Some(Piece { line, text }))
    }
}

impl Iterator for Lines {
    type Item = Result<Piece, LinesError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_piece().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn pieces_are_whole_lines_however_packed() {
        let text: String = (0..1000).map(|n| format!("line {n}\n")).collect::<String>() + "last";
        let directory = tempfile::tempdir().expect("a directory");
        let gzip = {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).expect("in memory");
            encoder.finish().expect("in memory")
        };
        let packed = zstd::encode_all(text.as_bytes(), 1).expect("in memory");
        for (name, bytes) in [("plain", text.as_bytes()), ("gz", &gzip), ("zst", &packed)] {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).expect("writes");
            let progress = Arc::new(AtomicU64::new(0));
            let pieces: Vec<Piece> = Lines::open(&path, 100, &progress)
                .expect("opens")
                .collect::<Result<_, _>>()
                .expect("reads");
            let lines = pieces.iter().map(|p| p.text.split(|b| *b == b'\n').count() as u64 - 1);
            let mut next = 1;
            for (piece, lines) in pieces.iter().zip(lines) {
                assert_eq!(piece.line, next, "{name}");
                next += lines;
            }
            let joined: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.text).collect();
            assert_eq!(joined, text.as_bytes(), "{name}");
            assert_eq!(progress.load(Ordering::Relaxed), bytes.len() as u64, "{name}");
        }
    }
}
