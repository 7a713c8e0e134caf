//! Logs of every format there has been, kept as files: they must open for ever.
//!
//! `frames.txt` beside a log lists what is in it. `OTKLIK_REWRITE=1` writes log and all anew from
//! that list; a change of bytes that this brings is a new format, and wants a new directory.
//! `archive-v1` is a log of the same frames, its first segment archived.

use super::*;
use dataflows::calendar::Hour;
use otklik::log::{Whole, archive, inspect};
use std::collections::BTreeMap;

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// `epoch <n>` begins a frame; the lines after it are its events.
fn listed(text: &str) -> Vec<(u64, Vec<Event<'_>>)> {
    let mut frames = Vec::new();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("epoch", epoch)) => frames.push((epoch.parse().expect("a number"), Vec::new())),
            Some(("clock", hour)) => {
                let hour = Hour(hour.parse().expect("a number"));
                frames.last_mut().expect("an epoch comes first").1.push(Event::Clock(hour));
            }
            _ => {
                let event = Event::parse(line.as_bytes()).expect("a valid line");
                frames.last_mut().expect("an epoch comes first").1.push(event);
            }
        }
    }
    frames
}

fn encoded(events: &[Event<'_>]) -> FrameBuilder {
    let mut frame = FrameBuilder::new();
    events.iter().for_each(|event| frame.push(event).expect("room"));
    frame
}

fn rewrite(frames: &[(u64, Vec<Event<'_>>)]) {
    let data = data();
    let (mut writer, _) = open_with(data.path(), 700).expect("a new log");
    for (epoch, events) in frames {
        writer.append(*epoch, &mut encoded(events)).expect("room");
    }
    writer.close().expect("closed");
    keep(data.path(), &golden("log-v1"));
    archive(data.path(), 2).expect("undamaged");
    keep(data.path(), &golden("archive-v1"));
}

/// Keeps the files of a log, and no others.
fn keep(data: &Path, golden: &Path) {
    std::fs::remove_dir_all(golden.join("log")).ok();
    for directory in ["log", "log/archive"] {
        for file in data.join(directory).read_dir().into_iter().flatten() {
            let file = file.expect("there");
            if file.path().is_file() {
                std::fs::create_dir_all(golden.join(directory)).expect("room");
                std::fs::copy(file.path(), golden.join(directory).join(file.file_name()))
                    .expect("room");
            }
        }
    }
}

#[test]
fn format_1_opens_for_ever() {
    let text = std::fs::read_to_string(golden("log-v1").join("frames.txt")).expect("there");
    let frames = listed(&text);
    if std::env::var_os("OTKLIK_REWRITE").is_some() {
        rewrite(&frames);
    }
    for name in ["log-v1", "archive-v1"] {
        let mut whole = Whole::open(&golden(name)).expect("undamaged");
        for (epoch, events) in &frames {
            let read = whole.next_frame().expect("undamaged").expect("one for each listed");
            assert_eq!(read.epoch, *epoch);
            let decoded: Result<Vec<_>, _> = read.events().collect();
            assert_eq!(decoded.expect("events"), *events);
            assert_eq!(read.payload(), encoded(events).payload(), "written as it was then");
        }
        assert!(whole.next_frame().expect("undamaged").is_none() && whole.torn().is_none());
    }
}

#[test]
fn inspecting_counts_what_is_there() {
    let found = inspect(&golden("log-v1"), |_, _| {}).expect("undamaged");
    assert!(found.damage.is_none() && found.torn.is_none());
    let mut by_type = BTreeMap::new();
    for (name, count) in found.segments.iter().flat_map(|segment| &segment.by_type) {
        *by_type.entry(*name).or_insert(0) += count;
    }
    let expected = [
        ("agency", 2),
        ("answer", 1),
        ("clock", 1),
        ("epgu", 1),
        ("fact", 2),
        ("kiosk", 1),
        ("remove", 2),
        ("retract", 1),
        ("service", 1),
        ("site", 1),
        ("sms", 1),
        ("survey", 2),
        ("target", 1),
        ("tenure", 1),
        ("unit", 2),
    ];
    assert_eq!(by_type, BTreeMap::from(expected));
    let epochs: Vec<_> = found.segments.iter().map(|segment| segment.epochs).collect();
    assert_eq!(epochs, [Some((1, 7)), Some((7, 4_000_000_000))]);
    let frames: u64 = found.segments.iter().map(|segment| segment.frames).sum();
    assert_eq!(frames, found.position.sequence);
}

#[test]
fn inspecting_names_damage_and_goes_no_further() {
    let data = data();
    let frames = [written(3, 2), written(4, 1), written(5, 1)];
    write(data.path(), 10, &frames);
    let path = segment(data.path(), 2);
    let mut bad = bytes(&path);
    *bad.last_mut().expect("not empty") ^= 1;
    put(&path, bad);
    let found = inspect(data.path(), |_, _| {}).expect("damage is part of the answer");
    let damage = found.damage.expect("there is").to_string();
    assert_eq!(damage, "log segment 0002 is corrupt at byte 44: the checksum of the frame differs");
    let events: Vec<_> = found.segments.iter().map(|segment| segment.events).collect();
    assert_eq!(events, [2, 0, 0]);
}
