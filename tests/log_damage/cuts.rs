//! A write that broke off: the machine stopped while a frame was being written.

use super::*;

/// A log of two segments, as it is while its last frame is being written.
struct Unfinished {
    data: TempDir,
    frames: Vec<Written>,
    /// The last segment with the last frame in full.
    full: Vec<u8>,
    /// Where the last frame begins in it.
    start: usize,
}

fn unfinished() -> Unfinished {
    let data = data();
    let frames: Vec<_> = (1..=5).map(|epoch| written(epoch, epoch % 3 + 1)).collect();
    write(data.path(), 300, &frames[..4]);
    let mark = bytes(&watermark(data.path()));
    let start = bytes(&segment(data.path(), 2)).len();
    let (mut writer, _) = open_with(data.path(), 4096).expect("undamaged");
    writer.append(5, &mut frame(&frames[4].1)).expect("room");
    drop(writer);
    put(&watermark(data.path()), mark);
    let full = bytes(&segment(data.path(), 2));
    assert!(!segment(data.path(), 3).exists() && full.len() > start);
    Unfinished { data, frames, full, start }
}

impl Unfinished {
    /// With `left` as the last segment: opening cuts what is unfinished, and appends go on.
    fn recovers(&self, mark: &[u8], left: &[u8]) {
        let data = self.data.path();
        put(&watermark(data), mark);
        put(&segment(data, 2), left);
        assert_eq!(read(data, &self.frames).expect("a reader goes to the end of what is whole"), 4);
        let (mut writer, opened) = open(data).expect("an unfinished frame is cut");
        let torn = opened.torn.expect("and told");
        assert_eq!((torn.position.segment, torn.position.offset), (2, self.start as u64));
        assert_eq!(torn.bytes, (left.len() - self.start) as u64);
        assert_eq!((opened.frames, opened.epoch, opened.position), (4, 4, torn.position));
        assert_eq!(bytes(&segment(data, 2)), self.full[..self.start]);
        writer.append(5, &mut frame(&self.frames[4].1)).expect("room");
        drop(writer);
        assert_eq!(bytes(&segment(data, 2)), self.full, "the same frame at the same place");
        assert_eq!(read(data, &self.frames).expect("undamaged"), 5);
    }
}

#[test]
fn a_write_that_broke_off_anywhere_is_cut() {
    let log = unfinished();
    let mark = bytes(&watermark(log.data.path()));
    for end in log.start + 1..log.full.len() {
        log.recovers(&mark, &log.full[..end]);
    }
    println!("{} places", log.full.len() - log.start - 1);
}

/// The length of a file may reach the disk before its bytes do, and its later pages before others.
#[test]
fn a_write_with_holes_anywhere_is_cut() {
    let log = unfinished();
    let mark = bytes(&watermark(log.data.path()));
    for hole in log.start..log.full.len() - 1 {
        let mut zeros_after = log.full.clone();
        zeros_after[hole..].fill(0);
        log.recovers(&mark, &zeros_after);
        let mut zeros_before = log.full.clone();
        zeros_before[log.start..=hole].fill(0);
        log.recovers(&mark, &zeros_before);
    }
    println!("{} holes", 2 * (log.full.len() - log.start - 1));
}

#[test]
fn a_write_that_reached_the_disk_is_kept() {
    let log = unfinished();
    let (_, opened) = open(log.data.path()).expect("undamaged");
    assert_eq!((opened.frames, opened.torn), (5, None));
}

/// Once acknowledged, the same bytes are not unfinished but damaged.
#[test]
fn an_acknowledged_frame_is_not_cut() {
    let log = unfinished();
    let data = log.data.path();
    open(data).expect("undamaged").0.close().expect("closed");
    for end in log.start..log.full.len() {
        put(&segment(data, 2), &log.full[..end]);
        let place = format!("log segment 0002 is corrupt at byte {}: ", log.start);
        let message = refusal(data).to_string();
        assert!(message.starts_with(&place), "{message}");
        assert!(read(data, &log.frames).is_err());
        assert_eq!(bytes(&segment(data, 2)), log.full[..end], "what is refused is left as it is");
    }
}

/// Power was lost while the first files, or the next segment, were being made.
#[test]
fn files_that_were_being_made_are_made_anew() {
    let data = data();
    write(data.path(), 4096, &[]);
    std::fs::remove_file(segment(data.path(), 1)).expect("there");
    put(&segment(data.path(), 1).with_added_extension("tmp"), "otkli");
    let frames = [written(1, 2), written(2, 2)];
    write(data.path(), 10, &frames[..1]);
    put(&segment(data.path(), 2).with_added_extension("tmp"), "");
    let (mut writer, opened) = open_with(data.path(), 10).expect("nothing is damaged");
    assert_eq!((opened.frames, opened.segments), (1, 1));
    writer.append(2, &mut frame(&frames[1].1)).expect("room");
    assert_eq!(writer.position().segment, 2);
    assert_eq!(read(data.path(), &frames).expect("undamaged"), 2);
}
