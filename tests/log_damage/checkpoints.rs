//! Opening at a place that a checkpoint keeps: what stands before it is taken to be checked.

use super::*;
use otklik::log::{Position, Reader, archive};
use std::fs;

/// A log of eight frames in several segments, and the position before each and at the end.
fn log() -> (TempDir, Vec<Written>, Vec<Position>) {
    let data = data();
    let frames: Vec<_> = (1..=8).map(|epoch| written(epoch, 1 + epoch % 3)).collect();
    let (mut writer, _) = open_with(data.path(), 300).expect("a new log");
    let mut places = vec![writer.position()];
    for (epoch, lines) in &frames {
        places.push(writer.append(*epoch, &mut frame(lines)).expect("room"));
    }
    writer.close().expect("closed");
    assert!(places[8].segment > 2 && places[1].segment == places[2].segment);
    (data, frames, places)
}

fn open_at(data: &Path, at: Position) -> Result<(Writer, Opened), OpenError> {
    Writer::open(data, Options { segment_bytes: 300 }, Some(at), |_, _| {})
}

#[test]
fn reading_starts_at_any_place() {
    let (data, frames, places) = log();
    for archived in [1, 2, u32::MAX] {
        archive(data.path(), archived).expect("undamaged");
        for (at, place) in places.iter().enumerate() {
            let mut reader = Reader::open_at(data.path(), *place).expect("undamaged");
            assert_eq!(reader.position(), *place);
            let mut whole = Whole::open_at(data.path(), *place).expect("undamaged");
            for (epoch, lines) in &frames[at..] {
                let read = reader.next_frame(places[8]).expect("undamaged").expect("one more");
                assert_eq!((read.epoch, read.payload()), (*epoch, frame(lines).payload()));
                let read = whole.next_frame().expect("undamaged").expect("one more");
                assert_eq!((read.epoch, read.payload()), (*epoch, frame(lines).payload()));
            }
            assert!(reader.next_frame(places[8]).expect("undamaged").is_none());
            assert!(whole.next_frame().expect("undamaged").is_none());
        }
    }
}

#[test]
fn a_writer_checks_and_counts_from_there() {
    let (data, frames, places) = log();
    for (at, place) in places.iter().enumerate() {
        let mut told = None;
        let options = Options { segment_bytes: 300 };
        let opened = Writer::open(data.path(), options, Some(*place), |read, of| {
            told = Some((read, of));
        });
        let (writer, opened) = opened.expect("undamaged");
        assert_eq!(opened.checked_from, *place);
        assert_eq!((opened.frames, opened.epoch), ((8 - at) as u64, 8));
        let events: usize = frames[at..].iter().map(|(_, lines)| lines.len()).sum();
        assert_eq!(opened.events, events as u64);
        assert_eq!((opened.position, writer.position()), (places[8], places[8]));
        if let Some((read, of)) = told {
            let headers = u64::from(places[8].segment - place.segment) * 44;
            assert_eq!(read + headers, of, "progress ends at the end");
        }
    }
    // What is appended then continues the log for whoever reads all of it.
    let (mut writer, _) = open_at(data.path(), places[8]).expect("undamaged");
    let mut frames = frames;
    for epoch in 9..12 {
        frames.push(written(epoch, 4));
        writer.append(epoch, &mut frame(&frames[epoch as usize - 1].1)).expect("room");
    }
    assert!(writer.position().segment > places[8].segment);
    assert_eq!(read(data.path(), &frames).expect("undamaged"), 11);
}

/// Places that are none, or that the log no longer has: a checkpoint is proof that it had them.
#[test]
fn what_is_no_place_is_refused() {
    let (data, _, places) = log();
    let [inside, last] = [places[1], places[8]];
    let cases = [
        (Position { offset: inside.offset + 1, ..inside }, "0001 is corrupt at byte"),
        (Position { offset: 3, ..inside }, "0001 is corrupt at byte 3: frame"),
        (Position { sequence: inside.sequence + 1, ..inside }, "0001 is corrupt at byte"),
        (Position { segment: last.segment + 1, ..last }, "is missing"),
        (Position { offset: last.offset + 1, ..last }, "had been acknowledged"),
        (Position { offset: u64::MAX, ..inside }, "0001 is corrupt at byte"),
    ];
    for (place, expected) in cases {
        for refused in [
            open_at(data.path(), place).expect_err("no place").to_string(),
            Whole::open_at(data.path(), place).expect_err("no place").to_string(),
        ] {
            assert!(refused.contains(expected), "{place}: {refused}");
        }
        assert!(Reader::open_at(data.path(), place).is_err());
    }
    // The end of the log is gone, and the watermark is behind: the checkpoint still tells.
    put(&segment(data.path(), last.segment), &bytes(&segment(data.path(), last.segment))[..44]);
    fs::remove_file(watermark(data.path())).expect("there");
    let refused = open_at(data.path(), last).expect_err("shorter than it was").to_string();
    assert!(refused.ends_with("had been acknowledged"), "{refused}");
}

/// Earlier segments are not read, but they must be there and be what they were.
#[test]
fn earlier_segments_are_looked_at() {
    let (data, _, places) = log();
    let end = places[8];
    let path = segment(data.path(), 1);
    let good = bytes(&path);
    let mut bad = good.clone();
    bad[60] ^= 1;
    put(&path, bad);
    open_at(data.path(), end).expect("no frame before the place is read");
    for byte in 0..44 {
        let mut bad = good.clone();
        bad[byte] ^= 1;
        put(&path, bad);
        let refused = open_at(data.path(), end).expect_err("a damaged header").to_string();
        assert!(refused.starts_with("log segment 0001 is corrupt at byte 0: "), "{refused}");
    }
    fs::remove_file(&path).expect("there");
    let refused = open_at(data.path(), end).expect_err("a segment is gone").to_string();
    assert_eq!(refused, "log segment 0001 is missing");
}

/// A node that was killed within a commit leaves bytes that only the kernel's memory may have.
#[test]
fn what_is_in_doubt_is_copied() {
    use std::os::unix::fs::MetadataExt;
    let inode = |data: &Path, n| segment(data, n).metadata().expect("there").ino();
    let (data, frames, places) = log();
    let last = places[8].segment;
    let mark = bytes(&watermark(data.path()));
    for from in [None, Some(places[0]), Some(places[8])] {
        let before = inode(data.path(), last);
        let options = Options { segment_bytes: 1 << 20 };
        let (mut writer, opened) =
            Writer::open(data.path(), options, from, |_, _| {}).expect("undamaged");
        assert!(!opened.copied, "all of it is known to be durable");
        assert_eq!(inode(data.path(), last), before);
        let (epoch, lines) = written(9, 2);
        writer.append(epoch, &mut frame(&lines)).expect("room");
        drop(writer);
        // As if the machine had not come to the watermark.
        put(&watermark(data.path()), &mark);
        let (writer, opened) =
            Writer::open(data.path(), options, from, |_, _| {}).expect("undamaged");
        assert!(opened.copied && opened.epoch == 9);
        assert_ne!(inode(data.path(), last), before, "other blocks");
        drop(writer);
        let mut all = frames.clone();
        all.push(written(9, 2));
        assert_eq!(read(data.path(), &all).expect("undamaged"), 9);
        // Back to the log of eight frames.
        let length = places[8].offset as usize;
        put(&segment(data.path(), last), &bytes(&segment(data.path(), last))[..length]);
        put(&watermark(data.path()), &mark);
    }
}
