//! The history on disk: what a reader finds after the node was started again, whatever became of
//! the files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use dataflows::domain::Epoch;
use dataflows::views::{PendingReason, Row, View};

use crate::views::{Bounds, Filter, Lost, Position, Served, Step, Subscription};

const BOUNDS: Bounds = Bounds { changes_max: 1000, epochs_max: 1_000_000 };
const BYTES: u64 = 1 << 20;

fn row(count: i64) -> Row {
    Row::Pending { reason: PendingReason::NoUnit, count }
}

fn open(directory: &Path) -> Arc<Served> {
    Arc::new(Served::keep(directory, BYTES, BOUNDS))
}

/// Epoch `n` has one row, which counts `n`.
fn run(served: &Served, epochs: std::ops::Range<Epoch>) {
    for epoch in epochs {
        let count = epoch as i64;
        served.apply(epoch + 1, vec![(row(count - 1), -1), (row(count), 1)]);
    }
}

/// A node that served the epochs 5 to 20, and the positions its readers have.
fn served_before(directory: &Path) -> Vec<Position> {
    let served = open(directory);
    assert_eq!(served.goes_on_from(), None);
    served.replace(6, vec![(row(5), 1)]);
    let at = |served: &Served| served.snapshot().expect("an epoch").position(View::Pending);
    let mut positions = vec![at(&served)];
    for epoch in 6..21 {
        run(&served, epoch..epoch + 1);
        positions.push(at(&served));
    }
    positions
}

fn resume(served: &Arc<Served>, position: Position) -> Result<Subscription, Lost> {
    let Position { epoch, digest } = position;
    Subscription::resume(served, Filter::all(View::Pending), epoch, Some(digest))
}

/// The counts a reader is told, epoch by epoch.
fn counts(subscription: &mut Subscription) -> Vec<i64> {
    let mut counts = Vec::new();
    while let Step::Changes(sets) = subscription.step(usize::MAX) {
        for change in subscription.filter().changes(&sets) {
            let Some(Row::Pending { count, .. }) = change.after.as_deref().map(|held| held.row())
            else {
                panic!("a row of the view")
            };
            counts.push(*count);
        }
    }
    counts
}

#[test]
fn a_reader_goes_on_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut positions = served_before(directory.path());
    // Twice, so that what is appended after a restart is read as well.
    for (restart, from) in [(0, 21), (1, 31)] {
        let served = open(directory.path());
        assert_eq!((served.epoch(), served.goes_on_from()), (None, Some(from - 1)));
        served.replace(from, vec![(row(from as i64 - 1), 1)]);
        assert_eq!(served.goes_on_from(), None);
        run(&served, from..from + 10);
        for position in &positions {
            let mut reader = resume(&served, *position).expect("it goes on");
            let missed: Vec<i64> = (position.epoch as i64 + 1..from as i64 + 10).collect();
            assert_eq!(counts(&mut reader), missed, "from {position} after restart {restart}");
        }
        positions.push(served.snapshot().expect("an epoch").position(View::Pending));
    }
}

/// A reader may be at an epoch in which nothing has changed, and come back after a restart; but not at
/// one that was computed together with a later one.
#[test]
fn epochs_without_changes_are_kept_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let served = open(directory.path());
    served.replace(6, vec![(row(5), 1)]);
    served.apply(10, vec![]);
    served.apply(13, vec![(row(5), -1), (row(12), 1)]);
    served.apply_after(19, 21, vec![(row(12), -1), (row(20), 1)]);
    // What comes to nothing may be said of the epoch that is served.
    served.apply_after(20, 21, vec![]);
    served.apply(25, vec![]);
    let known = |served: &Served, last| -> Vec<Epoch> {
        (5..=last).filter(|epoch| served.digests(*epoch).is_some()).collect()
    };
    let expected: Vec<Epoch> = (5..=9).chain(12..=24).collect();
    assert_eq!(known(&served, 24), expected);
    drop(served);
    let served = open(directory.path());
    assert_eq!(served.goes_on_from(), Some(24));
    served.replace(25, vec![(row(20), 1)]);
    served.apply(31, vec![(row(20), -1), (row(30), 1)]);
    let expected: Vec<Epoch> = expected.into_iter().chain([30]).collect();
    assert_eq!(known(&served, 30), expected);
}

#[test]
fn another_state_at_the_last_epoch_begins_a_new_history() {
    let directory = tempfile::tempdir().expect("a directory");
    let positions = served_before(directory.path());
    let served = open(directory.path());
    // Computed under other rules, say.
    served.replace(21, vec![(row(99), 1)]);
    served.apply(22, vec![(row(99), -1), (row(100), 1)]);
    let last = *positions.last().expect("some");
    assert_eq!(resume(&served, last).err(), Some(Lost::Digest));
    assert_eq!(resume(&served, positions[0]).err(), Some(Lost::Forgotten));
    drop(served);
    let served = open(directory.path());
    assert_eq!(served.goes_on_from(), Some(21));
}

/// A worker that could not begin there, a clock that was set back.
#[test]
fn another_epoch_than_the_last_begins_a_new_history() {
    // The last is of the rows of the last epoch, later: nothing has changed in between.
    for (upper, count, goes_on) in [(15, 20, false), (40, 21, false), (40, 20, true)] {
        let directory = tempfile::tempdir().expect("a directory");
        let positions = served_before(directory.path());
        let served = open(directory.path());
        served.replace(upper, vec![(row(count), 1)]);
        for position in positions {
            assert_eq!(resume(&served, position).is_ok(), goes_on, "{position} at {upper}");
        }
    }
}

/// Whatever byte is lost or wrong, what is kept is the beginning of what was, or begins anew.
#[test]
fn damage_never_makes_a_wrong_change() {
    let directory = tempfile::tempdir().expect("a directory");
    let positions = served_before(directory.path());
    let [file] = files(directory.path()).try_into().expect("one file");
    let sound = fs::read(&file).expect("kept");
    let mut kept = Vec::new();
    for at in 0..sound.len() {
        for cut in [false, true] {
            let mut bytes = sound.clone();
            match cut {
                true => bytes.truncate(at),
                false => bytes[at] ^= 1 << (at % 8),
            }
            fs::write(&file, bytes).expect("written");
            let served = open(directory.path());
            let Some(last) = served.goes_on_from() else {
                kept.push(0);
                continue;
            };
            kept.push(last);
            served.replace(last + 1, vec![(row(last as i64), 1)]);
            for position in positions.iter().filter(|position| position.epoch <= last) {
                let mut reader = resume(&served, *position).expect("it goes on");
                let missed: Vec<i64> = (position.epoch as i64 + 1..=last as i64).collect();
                assert_eq!(counts(&mut reader), missed, "byte {at}, cut {cut}");
            }
            drop(served);
            for leftover in files(directory.path()) {
                fs::remove_file(leftover).expect("ours");
            }
        }
    }
    assert_eq!((kept[0], kept[kept.len() - 1]), (0, 19));
}

/// Old changes go file by file, and what is left is a history that begins later.
#[test]
fn it_takes_no_more_room_than_it_may() {
    let directory = tempfile::tempdir().expect("a directory");
    let bytes_max = 20_000;
    let bounds = Bounds { changes_max: 100, epochs_max: 1_000_000 };
    let served = Served::keep(directory.path(), bytes_max, bounds);
    served.replace(6, vec![(row(5), 1)]);
    run(&served, 6..2000);
    let bytes: u64 =
        files(directory.path()).iter().map(|file| fs::metadata(file).expect("there").len()).sum();
    assert!(bytes <= bytes_max, "{bytes}");
    drop(served);
    let served = Arc::new(Served::keep(directory.path(), bytes_max, bounds));
    assert_eq!(served.goes_on_from(), Some(1999));
    served.replace(2000, vec![(row(1999), 1)]);
    assert!((1..=100).contains(&served.history_changes()));
    let digest = served.digests(1990).expect("kept")[View::Pending as usize];
    let mut reader = resume(&served, Position { epoch: 1990, digest }).expect("it goes on");
    assert_eq!(counts(&mut reader), (1991..2000).collect::<Vec<i64>>());
}

/// Where nothing can be kept there is a history in memory.
#[test]
fn a_directory_that_cannot_be_used_is_no_obstacle() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, b"").expect("written");
    let served = open(&file.join("history"));
    served.replace(6, vec![(row(5), 1)]);
    run(&served, 6..10);
    assert_eq!(served.history_changes(), 4);
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    files
}
