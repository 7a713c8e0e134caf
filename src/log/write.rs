//! Appending: the one writer of a data directory, and what it does when it opens.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dataflows::calendar::Hour;

use super::format::{HEADER_BYTES, LABEL_BYTES, SegmentHeader, Watermark};
use super::lock::{self, Lock, LockError};
use super::settle::settle;
use super::watermark::WatermarkFile;
use super::{
    FileError, FrameBuilder, Position, ReadError, Torn, Whole, create, directory, segment_path,
    sync_directory,
};

/// How a log is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment that would grow beyond this many bytes is followed by a new one.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_bytes: 256 << 20 }
    }
}

/// What a log had in it when it was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The end, where the next frame goes.
    pub position: Position,
    /// Epoch of the last frame, 0 if there is none.
    pub epoch: u64,
    /// Segments, archived ones too.
    pub segments: u32,
    /// Frames from where checking began, all checked.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// The hours they tell, each with its epoch.
    pub hours: Vec<(u64, Hour)>,
    /// Where checking began: after what a checkpoint vouches for, or at the first frame.
    pub checked_from: Position,
    /// Whether the last segment held what was not known to be durable, and was copied.
    pub copied: bool,
    /// Bytes of all segments.
    pub bytes: u64,
    /// The unfinished frame that was cut from the end.
    pub torn: Option<Torn>,
    /// Whether there was a watermark: without it, a damaged last frame passes for an unfinished one.
    pub watermark: bool,
}

/// The log cannot be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another node has it.
    #[error("data directory {} is in use by {}", data.display(), Holder(*pid))]
    InUse {
        /// The directory.
        data: PathBuf,
        /// Id of the process that has it.
        pid: Option<u32>,
    },
    /// It is damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The operating system refused something.
    #[error(transparent)]
    File(#[from] FileError),
}

struct Holder(Option<u32>);

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// A frame has not been appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room. Nothing of the frame is left in the log, and the writer can go on.
    #[error("no room for the log")]
    Full(#[source] FileError),
    /// A write or `fdatasync` failed: what the disk holds is unknown until the log is opened anew.
    #[error("the log cannot be written")]
    Failed(#[source] FileError),
    /// An earlier append failed.
    #[error("the log is closed since a write to it failed")]
    Poisoned,
}

/// Appends frames to the log of a data directory, which is locked as long as this lives.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    options: Options,
    log: u64,
    /// The last segment.
    file: File,
    mark: WatermarkFile,
    position: Position,
    epoch: u64,
    /// Of the segments before the last.
    older_bytes: u64,
    poisoned: bool,
    _lock: Lock,
}

impl Writer {
    /// Locks a data directory, creates its log if there is none, checks every frame, and cuts an
    /// unfinished one from the end. `progress` is told after each frame how many bytes are
    /// checked, and of how many.
    ///
    /// With `from`, a place that a checkpoint vouches for, frames are checked only from the
    /// beginning of its segment on; of earlier segments, the headers, and that they are there.
    ///
    /// # Errors
    /// The directory is another's, or the log is damaged, or shorter than `from`: it is then left
    /// as it is.
    pub fn open(
        data: &Path,
        options: Options,
        from: Option<Position>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(Writer, Opened), OpenError> {
        let directory = directory(data);
        let is_new = !data.exists();
        std::fs::create_dir_all(&directory).map_err(FileError::of("create", &directory))?;
        if is_new {
            sync_directory(&data.join(".."))?;
        }
        let lock = lock::take(data).map_err(|error| match error {
            LockError::InUse(pid) => OpenError::InUse { data: data.to_owned(), pid },
            LockError::File(error) => OpenError::File(error),
        })?;
        let copied = settle(&directory)?;
        let open = || from.map_or_else(|| Whole::open(data), |from| Whole::open_at(data, from));
        let mut whole = match open() {
            Err(ReadError::NoLog { .. }) => {
                begin(data, &directory)?;
                open()?
            }
            opened => opened?,
        };
        let checked_from = whole.position();
        let (mut frames, mut events, mut checked) = (0, 0, 0);
        let mut hours = Vec::new();
        let total = whole.unread();
        while let Some(frame) = whole.next_frame()? {
            frames += 1;
            events += u64::from(frame.count);
            for hour in frame.hours() {
                hours.push((frame.epoch, hour?));
            }
            checked += (HEADER_BYTES + frame.payload().len()) as u64;
            progress(checked, total);
        }
        let writer = Writer::at_end(directory, options, &whole, lock)?;
        let opened = Opened {
            position: whole.position(),
            epoch: whole.epoch(),
            segments: whole.segments(),
            frames,
            events,
            hours,
            checked_from,
            copied,
            bytes: writer.bytes(),
            torn: whole.torn().cloned(),
            watermark: whole.is_marked(),
        };
        Ok((writer, opened))
    }

    /// Cuts what is unfinished, and goes on from there.
    fn at_end(
        directory: PathBuf,
        options: Options,
        whole: &Whole,
        lock: Lock,
    ) -> Result<Writer, FileError> {
        let position = whole.position();
        let path = segment_path(&directory, position.segment);
        let file = File::options().write(true).open(&path).map_err(FileError::of("open", &path))?;
        let torn = whole.torn().map_or(0, |torn| torn.bytes);
        if torn > 0 {
            file.set_len(position.offset).map_err(FileError::of("cut", &path))?;
            file.sync_all().map_err(FileError::of("make durable", &path))?;
        }
        let mark = Watermark {
            segment: position.segment,
            log: whole.log(),
            offset: position.offset,
            sequence: position.sequence,
        };
        let mark = if whole.is_marked() {
            let opened = WatermarkFile::open(&directory)?;
            opened.set(mark)?;
            opened
        } else {
            WatermarkFile::create(&directory, mark)?
        };
        Ok(Writer {
            directory,
            options,
            log: whole.log(),
            file,
            mark,
            position,
            epoch: whole.epoch(),
            older_bytes: whole.bytes() - torn - position.offset,
            poisoned: false,
            _lock: lock,
        })
    }

    /// Appends one frame and yields the position after it; when this returns, it is durable.
    ///
    /// The builder keeps its events. Costs a write and an `fdatasync`, so milliseconds.
    ///
    /// # Errors
    /// [`AppendError::Full`] may pass; after [`AppendError::Failed`] every append fails.
    ///
    /// # Panics
    /// If the frame is empty or the epoch is before that of the last frame.
    pub fn append(
        &mut self,
        epoch: u64,
        frame: &mut FrameBuilder,
    ) -> Result<Position, AppendError> {
        assert!(epoch >= self.epoch, "epoch {epoch} after epoch {}", self.epoch);
        assert!(!frame.is_empty(), "a frame has events");
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        let bytes = frame.seal(self.log, self.position.sequence, epoch);
        let appended = self.write(bytes);
        self.poisoned = matches!(appended, Err(AppendError::Failed(_)));
        appended?;
        self.epoch = epoch;
        Ok(self.position)
    }

    /// The end of the log: what readers may read up to.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The number that all files of the log carry.
    pub fn log(&self) -> u64 {
        self.log
    }

    /// Epoch of the last frame, 0 if there is none.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.older_bytes + self.position.offset
    }

    /// Makes the watermark durable. A writer that is merely dropped loses nothing, but after a
    /// power cut damage to its last frame could pass for an unfinished write.
    ///
    /// # Errors
    /// The operating system refused it.
    pub fn close(self) -> Result<(), FileError> {
        self.mark.sync()
    }

    fn write(&mut self, frame: &[u8]) -> Result<(), AppendError> {
        let length = frame.len() as u64;
        let empty = self.position.offset == LABEL_BYTES as u64;
        if !empty && self.position.offset + length > self.options.segment_bytes {
            self.rotate()?;
        }
        let path = segment_path(&self.directory, self.position.segment);
        if let Err(error) = self.file.write_all_at(frame, self.position.offset) {
            return Err(self.withdraw(FileError::of("write", &path)(error), &path));
        }
        self.file
            .sync_data()
            .map_err(|error| AppendError::Failed(FileError::of("make durable", &path)(error)))?;
        self.position.offset += length;
        self.position.sequence += 1;
        // If this fails the frame is there, but nobody is told: sent again, it changes no figure.
        self.mark.set(self.watermark()).map_err(AppendError::Failed)
    }

    /// After a failed write: takes away what was written of the frame, if only room was lacking.
    fn withdraw(&self, error: FileError, path: &Path) -> AppendError {
        if !error.is_full() {
            return AppendError::Failed(error);
        }
        match self.file.set_len(self.position.offset).and_then(|()| self.file.sync_all()) {
            Ok(()) => AppendError::Full(error),
            Err(error) => AppendError::Failed(FileError::of("cut", path)(error)),
        }
    }

    /// Goes on in a new segment. The mark is made durable, so that a lost segment is noticed.
    fn rotate(&mut self) -> Result<(), AppendError> {
        self.mark.sync().map_err(AppendError::Failed)?;
        let header = SegmentHeader {
            segment: self.position.segment + 1,
            log: self.log,
            sequence: self.position.sequence,
            epoch: self.epoch,
        };
        let path = segment_path(&self.directory, header.segment);
        // Every attempt writes a file of its own: trying again later repeats no failed fsync. But
        // once the segment has its name, no shorter frame may go into the one before it.
        self.file = create(&path, &header.encode()).map_err(|error| {
            let again = error.is_full() && !path.exists();
            if again { AppendError::Full(error) } else { AppendError::Failed(error) }
        })?;
        self.older_bytes += self.position.offset;
        self.position.segment = header.segment;
        self.position.offset = LABEL_BYTES as u64;
        Ok(())
    }

    fn watermark(&self) -> Watermark {
        let Position { segment, offset, sequence } = self.position;
        Watermark { segment, log: self.log, offset, sequence }
    }
}

/// The first files of a log: the watermark first, so that segments are never without one.
fn begin(data: &Path, directory: &Path) -> Result<(), FileError> {
    sync_directory(data)?;
    let log = RandomState::new().hash_one("otklik");
    let offset = LABEL_BYTES as u64;
    WatermarkFile::create(directory, Watermark { segment: 1, log, offset, sequence: 0 })?;
    let header = SegmentHeader { segment: 1, log, sequence: 0, epoch: 0 };
    create(&segment_path(directory, 1), &header.encode())?;
    Ok(())
}
