//! Frames and segments that are lost, doubled, exchanged, or another log's.

use super::*;
use std::fs;

/// Six frames, two in each of three segments, closed. The frames have the same length.
fn log() -> (TempDir, Vec<Written>) {
    let data = data();
    let frames: Vec<_> = (1..=6).map(|epoch| written(epoch, 3)).collect();
    let first = frame(&frames[0].1).bytes() as u64 + 36;
    write(data.path(), 44 + 2 * first, &frames);
    assert!(segment(data.path(), 3).exists() && !segment(data.path(), 4).exists());
    (data, frames)
}

/// Cuts a segment into its header and its frames, and puts these of them together again.
fn rearrange(data: &Path, number: u32, pieces: &[usize]) {
    let path = segment(data, number);
    let old = bytes(&path);
    let ends = boundaries(&old);
    let mut new = old[..44].to_vec();
    for piece in pieces {
        new.extend(&old[ends[*piece]..ends[*piece + 1]]);
    }
    put(&path, new);
}

#[test]
fn frames_out_of_place_are_refused() {
    let cases: [(u32, &[usize], &str); 9] = [
        (1, &[1, 0], "0001 is corrupt at byte 44: frame 1 where frame 0"),
        (1, &[0, 0, 1], "0001 is corrupt at byte {1}: frame 0 where frame 1"),
        (1, &[0, 1, 1], "0001 is corrupt at byte {2}: frame 1 where frame 2"),
        (1, &[1], "0001 is corrupt at byte 44: frame 1 where frame 0"),
        (1, &[0], "0002 is corrupt at byte 0: frame 2 where frame 1"),
        (3, &[1, 0], "0003 is corrupt at byte 44: frame 5 where frame 4"),
        (3, &[0, 1, 1], "0003 is corrupt at byte {2}: frame 5 where frame 6"),
        (3, &[0], "0003 is corrupt at byte {1}: everything before byte {2} had been"),
        (3, &[], "0003 is corrupt at byte 44: everything before byte {2} had been"),
    ];
    for (number, pieces, expected) in cases {
        let (data, frames) = log();
        let ends = boundaries(&bytes(&segment(data.path(), number)));
        let expected =
            expected.replace("{1}", &ends[1].to_string()).replace("{2}", &ends[2].to_string());
        rearrange(data.path(), number, pieces);
        let message = refusal(data.path()).to_string();
        assert!(message.contains(&expected), "{number} {pieces:?}: {message}");
        assert!(read(data.path(), &frames).is_err());
    }
}

#[test]
fn segments_out_of_place_are_refused() {
    type Change = fn(&Path);
    let cases: [(&str, Change); 7] = [
        ("log segment 0001 is missing", |data| remove(&segment(data, 1))),
        ("log segment 0002 is missing", |data| remove(&segment(data, 2))),
        ("log segment 0003 is missing", |data| remove(&segment(data, 3))),
        ("log segment 0001 is missing", |data| (1..=3).for_each(|n| remove(&segment(data, n)))),
        ("log segment 0001 is corrupt at byte 0: the file is that of segment 2", |data| {
            let aside = data.join("aside");
            fs::rename(segment(data, 1), &aside).expect("there");
            fs::rename(segment(data, 2), segment(data, 1)).expect("there");
            fs::rename(aside, segment(data, 2)).expect("there");
        }),
        ("log segment 0003 is corrupt at byte 0: the file is that of segment 1", |data| {
            put(&segment(data, 3), bytes(&segment(data, 1)));
        }),
        ("log segment 0004 is corrupt at byte 0: the file is that of segment 3", |data| {
            put(&segment(data, 4), bytes(&segment(data, 3)));
        }),
    ];
    for (expected, change) in cases {
        let (data, frames) = log();
        change(data.path());
        assert_eq!(refusal(data.path()).to_string(), expected);
        assert!(read(data.path(), &frames).is_err());
    }
}

fn remove(path: &Path) {
    fs::remove_file(path).expect("there");
}

#[test]
fn pieces_of_another_log_are_refused() {
    let (theirs, _) = log();
    let taken = |name: &str| {
        let (ours, frames) = log();
        fs::copy(theirs.path().join(name), ours.path().join(name)).expect("there");
        assert!(read(ours.path(), &frames).is_err());
        refusal(ours.path()).to_string()
    };
    for name in ["log/00000002.seg", "log/00000003.seg"] {
        assert!(taken(name).ends_with("at byte 0: the file belongs to another log"));
    }
    for name in ["log/00000001.seg", "log/watermark"] {
        let expected = "the watermark of the log is corrupt: the file belongs to another log";
        assert_eq!(taken(name), expected);
    }
    let (ours, _) = log();
    let (path, theirs) = (segment(ours.path(), 2), bytes(&segment(theirs.path(), 2)));
    let mut mixed = bytes(&path);
    let second = boundaries(&mixed)[1];
    mixed[second..].copy_from_slice(&theirs[second..]);
    put(&path, mixed);
    let message = refusal(ours.path()).to_string();
    assert!(message.starts_with(&format!("log segment 0002 is corrupt at byte {second}: ")));
}

/// Bytes after the last frame that no single write of ours can have left.
#[test]
fn what_follows_the_end_is_refused_or_cut() {
    let (data, frames) = log();
    let path = segment(data.path(), 3);
    let good = bytes(&path);
    put(&path, [&good[..], &[0; 100]].concat());
    assert_eq!(read(data.path(), &frames).expect("a hole where a frame was begun"), 6);
    let longer_than_a_frame = fs::File::options().write(true).open(&path).expect("there");
    longer_than_a_frame.set_len(good.len() as u64 + 36 + (64 << 20) + 1).expect("sparse");
    let place = format!("log segment 0003 is corrupt at byte {}: ", good.len());
    assert!(refusal(data.path()).to_string().starts_with(&place));
}
