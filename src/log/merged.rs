//! Several logs as one: those of the nodes of a cluster, in the order in which all of them together
//! accepted their events.

use std::path::{Path, PathBuf};

use super::{Frame, ReadError, Torn, Whole};

/// Reads logs side by side: by epoch, and within an epoch log after log, in the order of the
/// numbers they carry. That is the order in which the dataflow takes reference data.
#[derive(Debug)]
pub struct Merged {
    logs: Vec<Ahead>,
}

#[derive(Debug)]
struct Ahead {
    data: PathBuf,
    log: Whole,
    /// Whether its current frame has not been given yet.
    is_ahead: bool,
    is_at_end: bool,
}

impl Merged {
    /// Opens the logs of these data directories at their first frames.
    ///
    /// # Errors
    /// Those of [`Whole::open`]; the same log twice.
    pub fn open<P: AsRef<Path>>(data: &[P]) -> Result<Merged, ReadError> {
        let mut logs: Vec<Ahead> = Vec::new();
        for data in data {
            let data = data.as_ref();
            let log = Whole::open(data)?;
            if logs.iter().any(|other| other.log.log() == log.log()) {
                return Err(ReadError::Twice { data: data.to_owned() });
            }
            logs.push(Ahead { data: data.to_owned(), log, is_ahead: false, is_at_end: false });
        }
        logs.sort_unstable_by_key(|ahead| ahead.log.log());
        Ok(Merged { logs })
    }

    /// The next frame of any of them; `None` at the end of all.
    ///
    /// # Errors
    /// Those of [`Whole::next_frame`].
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ReadError> {
        for ahead in &mut self.logs {
            if !ahead.is_ahead && !ahead.is_at_end {
                ahead.is_ahead = ahead.log.advance()?;
                ahead.is_at_end = !ahead.is_ahead;
            }
        }
        let ahead = self.logs.iter_mut().filter(|ahead| ahead.is_ahead);
        let Some(next) = ahead.min_by_key(|ahead| ahead.log.epoch()) else { return Ok(None) };
        next.is_ahead = false;
        Ok(Some(next.log.frame()))
    }

    /// What was left out at the ends, once they are reached, by data directory.
    pub fn torn(&self) -> impl Iterator<Item = (&Path, &Torn)> {
        self.logs.iter().filter_map(|ahead| Some((ahead.data.as_path(), ahead.log.torn()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::log::{FrameBuilder, Options, Writer};
    use dataflows::calendar::Hour;

    fn log(frames: &[(u64, i64)]) -> tempfile::TempDir {
        let data = tempfile::tempdir().expect("a directory");
        let (mut writer, _) =
            Writer::open(data.path(), Options::default(), None, |_, _| ()).expect("a new log");
        for (epoch, hour) in frames {
            let mut frame = FrameBuilder::new();
            frame.push(&Event::Clock(Hour(*hour))).expect("there is room");
            writer.append(*epoch, &mut frame).expect("appended");
        }
        data
    }

    #[test]
    fn frames_come_by_epoch_and_then_by_log() {
        let one = log(&[(1, 10), (3, 11), (3, 12), (9, 13)]);
        let other = log(&[(2, 20), (3, 21), (4, 22)]);
        let mut merged = Merged::open(&[one.path(), other.path()]).expect("sound");
        let mut found = Vec::new();
        while let Some(frame) = merged.next_frame().expect("sound") {
            for event in frame.events() {
                let Event::Clock(hour) = event.expect("sound") else { panic!("an hour") };
                found.push((frame.epoch, hour.0));
            }
        }
        let one_first = crate::log::id(one.path()).expect("a log")
            < crate::log::id(other.path()).expect("a log");
        let third = if one_first { [11, 12, 21] } else { [21, 11, 12] };
        let expected: Vec<_> = [(1, 10), (2, 20)]
            .into_iter()
            .chain(third.map(|hour| (3, hour)))
            .chain([(4, 22), (9, 13)])
            .collect();
        assert_eq!(found, expected);
        let twice = Merged::open(&[one.path(), one.path()]).expect_err("the same");
        assert!(twice.to_string().contains("twice"), "{twice}");
    }
}
