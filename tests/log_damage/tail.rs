//! Readers beside the writer.

use super::*;
use otklik::log::{Position, Reader};
use std::io::Write;
use std::sync::mpsc;

fn frames() -> Vec<Written> {
    (1..=60).map(|epoch| written(epoch, epoch % 7 + 1)).collect()
}

/// Reads up to `limit` and compares with the next of `expected`; yields how many frames it were.
fn read_up_to(reader: &mut Reader, limit: Position, expected: &[Written]) -> usize {
    let mut count = 0;
    while let Some(read) = reader.next_frame(limit).expect("undamaged") {
        let (epoch, lines) = &expected[count];
        assert_eq!((read.epoch, read.payload()), (*epoch, frame(lines).payload()));
        count += 1;
    }
    assert_eq!(reader.position(), limit);
    count
}

#[test]
fn a_reader_follows_the_writer_through_segments() {
    let (data, frames) = (data(), frames());
    let (mut writer, _) = open_with(data.path(), 1000).expect("a new log");
    let mut reader = Reader::open(data.path()).expect("there is a log");
    assert_eq!(read_up_to(&mut reader, writer.position(), &[]), 0);
    let (positions, durable) = mpsc::channel();
    std::thread::scope(|scope| {
        let (reader, frames) = (&mut reader, &frames);
        scope.spawn(move || {
            let mut read = 0;
            while let Ok(limit) = durable.recv() {
                read += read_up_to(reader, limit, &frames[read..]);
            }
            assert_eq!(read, frames.len());
        });
        for (epoch, lines) in frames {
            let position = writer.append(*epoch, &mut frame(lines)).expect("room");
            positions.send(position).expect("the reader lives");
        }
        drop(positions);
    });
    assert!(writer.position().segment > 3, "there were rotations");
    let files = (1..=writer.position().segment).map(|n| bytes(&segment(data.path(), n)).len());
    assert_eq!(writer.bytes(), files.sum::<usize>() as u64);
    assert_eq!(reader.next_frame(writer.position()).expect("undamaged").map(|f| f.epoch), None);
}

/// What is beyond the limit changes until it is durable: it must not be remembered.
#[test]
fn a_reader_touches_nothing_beyond_the_limit() {
    let (data, frames) = (data(), frames());
    let (mut writer, _) = open(data.path()).expect("a new log");
    let path = segment(data.path(), 1);
    let garbage = [0xee; 5000];
    let spoil = || {
        let mut file = std::fs::File::options().append(true).open(&path).expect("there");
        file.write_all(&garbage).expect("room");
    };
    spoil();
    let mut reader = Reader::open(data.path()).expect("there is a log");
    for expected in frames.chunks(1) {
        let (epoch, lines) = &expected[0];
        let limit = writer.append(*epoch, &mut frame(lines)).expect("room");
        assert_eq!(read_up_to(&mut reader, limit, expected), 1);
        spoil();
        assert_eq!(read_up_to(&mut reader, limit, &[]), 0);
    }
}

/// A reader that fails stays where it is, and fails again.
#[test]
fn a_reader_does_not_pass_damage() {
    let (data, frames) = (data(), frames());
    write(data.path(), 1000, &frames);
    let (writer, _) = open(data.path()).expect("undamaged");
    let (limit, path) = (writer.position(), segment(data.path(), 2));
    let good = bytes(&path);
    for place in [8, 30, 44, 60, good.len() - 1] {
        let mut bad = good.clone();
        bad[place] ^= 1;
        put(&path, bad);
        let mut reader = Reader::open(data.path()).expect("the first segment is good");
        let error = loop {
            match reader.next_frame(limit) {
                Ok(read) => assert!(read.is_some()),
                Err(error) => break error,
            }
        };
        let place = reader.position();
        assert!(error.to_string().starts_with("log segment 0002 is corrupt at byte "), "{error}");
        assert!(reader.next_frame(limit).is_err());
        assert_eq!(reader.position(), place);
    }
    std::fs::remove_file(&path).expect("there");
    let mut reader = Reader::open(data.path()).expect("the first segment is good");
    let error = std::iter::from_fn(|| reader.next_frame(limit).map(|f| f.map(drop)).transpose())
        .find_map(Result::err);
    assert!(matches!(error, Some(ReadError::Missing { segment: 2 })), "{error:?}");
}

/// Tools beside a running node see a log that is whole, or whose last frame is being written.
#[test]
fn a_tool_reads_beside_the_writer() {
    let (data, frames) = (data(), frames());
    let (mut writer, _) = open_with(data.path(), 1000).expect("a new log");
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            for (epoch, lines) in &frames {
                writer.append(*epoch, &mut frame(lines)).expect("room");
            }
        });
        let mut before = 0;
        while !appending.is_finished() {
            let now = read(data.path(), &frames).expect("undamaged");
            assert!(now >= before);
            before = now;
        }
    });
    assert_eq!(read(data.path(), &frames).expect("undamaged"), frames.len());
}

#[test]
fn where_nothing_was_written_there_is_no_log() {
    let data = data();
    for path in [data.path().to_owned(), data.path().join("nowhere")] {
        assert!(matches!(Reader::open(&path), Err(ReadError::NoLog { .. })));
        let error = Whole::open(&path).expect_err("there is none").to_string();
        assert_eq!(error, format!("there is no log in {}", path.display()));
        assert!(!path.join("log").exists(), "reading makes nothing");
    }
}
