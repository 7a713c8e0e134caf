//! The archive: packed segments read as they were, and half-done archiving is done again.

use super::*;
use otklik::log::{Archived, Reader, archive, inspect};
use std::fs;

/// A log of six frames, each in its own segment, and the frames.
fn log() -> (TempDir, Vec<Written>) {
    let data = data();
    let frames: Vec<_> = (1..=6).map(|epoch| written(epoch, 3 + epoch % 2)).collect();
    write(data.path(), 10, &frames);
    assert!(segment(data.path(), 5).exists());
    (data, frames)
}

fn packed(data: &Path, number: u32) -> PathBuf {
    data.join(format!("log/archive/{number:08}.seg.zst"))
}

fn manifest(data: &Path) -> PathBuf {
    data.join("log/archive/manifest")
}

/// Copies a data directory as it is.
fn copy(from: &Path) -> TempDir {
    let to = data();
    fs::create_dir_all(to.path().join("log/archive")).expect("room");
    for directory in ["log", "log/archive"] {
        for file in fs::read_dir(from.join(directory)).into_iter().flatten() {
            let file = file.expect("there");
            if file.path().is_file() {
                let name = to.path().join(directory).join(file.file_name());
                fs::copy(file.path(), name).expect("room");
            }
        }
    }
    to
}

#[test]
fn what_is_archived_is_read_as_before() {
    let (data, frames) = log();
    let before = inspect(data.path(), |_, _| {}).expect("undamaged");
    let lengths: u64 = (1..4).map(|n| bytes(&segment(data.path(), n)).len() as u64).sum();
    let archived = archive(data.path(), 4).expect("undamaged");
    let packed_bytes: u64 = (1..4).map(|n| bytes(&packed(data.path(), n)).len() as u64).sum();
    assert_eq!(archived, Archived { segments: 3, bytes: lengths, packed: packed_bytes });
    for number in 1..4 {
        assert!(!segment(data.path(), number).exists() && packed(data.path(), number).exists());
    }
    assert_eq!(read(data.path(), &frames).expect("undamaged"), 6);
    let after = inspect(data.path(), |_, _| {}).expect("undamaged");
    for (before, after) in before.segments.iter().zip(&after.segments) {
        let counted = |segment: &otklik::log::Segment| {
            (segment.bytes, segment.frames, segment.events, segment.epochs)
        };
        assert_eq!(counted(before), counted(after));
    }
    let is_packed: Vec<_> = after.segments.iter().map(|segment| segment.packed.is_some()).collect();
    assert_eq!(is_packed[..5], [true, true, true, false, false]);
    assert_eq!(archive(data.path(), 4).expect("undamaged"), Archived::default(), "once is enough");

    // The writer goes on, and the rest is archived too: all but the last.
    let (mut writer, opened) = open_with(data.path(), 10).expect("undamaged");
    assert_eq!((opened.frames, opened.segments), (6, before.segments.len() as u32));
    writer.append(7, &mut frame(&written(7, 3).1)).expect("room");
    let last = writer.position().segment;
    let mut frames = frames;
    frames.push(written(7, 3));
    archive(data.path(), u32::MAX).expect("beside the writer");
    assert!(segment(data.path(), last).exists() && !segment(data.path(), last - 1).exists());
    writer.append(8, &mut frame(&written(8, 3).1)).expect("room");
    frames.push(written(8, 3));
    assert_eq!(read(data.path(), &frames).expect("undamaged"), 8);
}

/// A worker reads on while what it reads is archived.
#[test]
fn a_reader_does_not_notice() {
    let (data, frames) = log();
    let (writer, _) = open_with(data.path(), 10).expect("undamaged");
    let mut reader = Reader::open(data.path()).expect("undamaged");
    for (epoch, lines) in &frames {
        let read = reader.next_frame(writer.position()).expect("undamaged").expect("one more");
        assert_eq!((read.epoch, read.payload()), (*epoch, frame(lines).payload()));
        let segment = reader.position().segment;
        archive(data.path(), segment + 2).expect("beside the reader");
    }
    assert_eq!(reader.position(), writer.position());
}

/// The machine stopped at any step of archiving: the log opens, and the next attempt ends it.
#[test]
fn archiving_that_broke_off_is_done_again() {
    let (original, frames) = log();
    let done = copy(original.path());
    archive(done.path(), 3).expect("undamaged");
    let (one, two) = (packed(done.path(), 1), packed(done.path(), 2));
    type Leave<'a> = Box<dyn Fn(&Path) + 'a>;
    let put_in = |from: &Path, to: &Path| assert!(fs::copy(from, to).is_ok());
    let states: Vec<(&str, Leave<'_>)> = vec![
        ("a directory", Box::new(|_| {})),
        (
            "half a packed file",
            Box::new(|data| put(&packed(data, 1).with_added_extension("tmp"), [1, 2])),
        ),
        ("a packed file, not listed", Box::new(|data| put_in(&one, &packed(data, 1)))),
        (
            "half a manifest",
            Box::new(|data| {
                put_in(&one, &packed(data, 1));
                put(&manifest(data).with_added_extension("tmp"), "otklik arch");
            }),
        ),
        (
            "listed, and the originals there",
            Box::new(|data| {
                put_in(&one, &packed(data, 1));
                put_in(&two, &packed(data, 2));
                put_in(&manifest(done.path()), &manifest(data));
            }),
        ),
        (
            "listed, and one original there",
            Box::new(|data| {
                put_in(&one, &packed(data, 1));
                put_in(&two, &packed(data, 2));
                put_in(&manifest(done.path()), &manifest(data));
                fs::remove_file(segment(data, 1)).expect("there");
            }),
        ),
    ];
    for (state, leave) in states {
        let data = copy(original.path());
        leave(data.path());
        assert_eq!(read(data.path(), &frames).expect(state), 6);
        drop(open(data.path()).expect(state));
        archive(data.path(), 3).expect(state);
        assert_eq!(read(data.path(), &frames).expect(state), 6);
        assert_eq!(bytes(&manifest(data.path())), bytes(&manifest(done.path())), "{state}");
        assert!(!segment(data.path(), 2).exists());
    }
}

/// What is damaged is not archived: it would be gone.
#[test]
fn a_damaged_segment_is_left_where_it_is() {
    let (data, _) = log();
    let path = segment(data.path(), 2);
    let mut bad = bytes(&path);
    *bad.last_mut().expect("not empty") ^= 1;
    put(&path, &bad);
    let error = archive(data.path(), 4).expect_err("the second is damaged").to_string();
    assert!(error.starts_with("log segment 0002 is corrupt at byte "), "{error}");
    assert_eq!(bytes(&path), bad);
    assert!(!packed(data.path(), 2).exists() && segment(data.path(), 3).exists());
    assert!(!packed(data.path(), 2).with_added_extension("tmp").exists());
}

#[test]
fn pieces_of_the_archive_that_are_missing_or_others_are_refused() {
    let (original, frames) = log();
    archive(original.path(), 4).expect("undamaged");
    let (theirs, _) = log();
    archive(theirs.path(), 4).expect("undamaged");
    type Case<'a> = (&'a str, &'a dyn Fn(&Path));
    let cases: &[Case<'_>] = &[
        ("log segment 0002 is missing", &|data| fs::remove_file(packed(data, 2)).expect("there")),
        ("log segment 0001 is missing", &|data| fs::remove_file(manifest(data)).expect("there")),
        ("log segment 0003 is missing", &|data| {
            let text = fs::read_to_string(manifest(data)).expect("text");
            let lines: String = text.split_inclusive('\n').take(3).collect();
            put(&manifest(data), lines);
        }),
        ("log segment 0004 is missing", &|data| {
            (4..9).for_each(|n| drop(fs::remove_file(segment(data, n))));
            fs::remove_file(watermark(data)).expect("there");
        }),
    ];
    for (expected, change) in cases {
        let data = copy(original.path());
        change(data.path());
        assert_eq!(refusal(data.path()).to_string(), *expected);
        assert!(read(data.path(), &frames).is_err());
    }
    let data = copy(original.path());
    fs::copy(packed(data.path(), 1), packed(data.path(), 2)).expect("there");
    let message = refusal(data.path()).to_string();
    assert!(message.starts_with("log segment 0002 is corrupt at byte 0: "), "{message}");
    let taken = |name: &str| {
        let data = copy(original.path());
        fs::copy(theirs.path().join(name), data.path().join(name)).expect("there");
        assert!(read(data.path(), &frames).is_err());
        refusal(data.path()).to_string()
    };
    let message = taken("log/archive/00000002.seg.zst");
    assert!(message.starts_with("log segment 0002 is corrupt at byte "), "{message}");
    let message = taken("log/archive/manifest");
    assert!(message.contains("archive") || message.contains("corrupt"), "{message}");
}

/// Magic, descriptor, and how much memory unpacking takes.
const HEADER_BYTES: usize = 6;

/// The bits of a zstd frame's header that say nothing of what it unpacks to, `(byte, bit)` (RFC
/// 8878, 3.1.1.1): one of the descriptor, which decoders must not look at; and of the byte with the
/// memory those with which it is no more than we allow. (Less than is needed it cannot be here: the
/// least is 1 KiB, and the segments are shorter.)
fn meaningless(frame: &[u8]) -> Vec<(usize, u8)> {
    const MOST: u64 = 8 << 20;
    let (descriptor, memory) = (frame[4], frame[5]);
    assert_eq!(descriptor & 0b0010_0000, 0, "the byte after it says how much memory");
    let window = |byte: u8| {
        let base = 1 << (10 + (byte >> 3));
        base + base / 8 * u64::from(byte & 7)
    };
    let bits = (0..8).map(|bit| 1 << bit).filter(|bit| window(memory ^ bit) <= MOST);
    [(4, 0b0001_0000)].into_iter().chain(bits.map(|bit| (5, bit))).collect()
}

/// One flipped bit anywhere in the archive: refused, or the frames are all there as they were.
#[test]
fn every_bit_of_the_archive_is_guarded() {
    let (data, frames) = log();
    archive(data.path(), 3).expect("undamaged");
    let path = manifest(data.path());
    super::bits::flip_each_bit(&path, |byte| {
        let line = 1 + bytes(&path)[..byte].iter().filter(|byte| **byte == b'\n').count();
        let message = refusal(data.path()).to_string();
        let manifest = "the manifest of the log's archive is corrupt in line ";
        assert!(message.starts_with(&format!("{manifest}{line}: ")), "byte {byte}: {message}");
        assert!(read(data.path(), &frames).is_err());
    });
    for number in [1, 2] {
        let place = format!("log segment {number:04} is corrupt at byte ");
        let path = packed(data.path(), number);
        let good = bytes(&path);
        let unpacked = zstd::decode_all(&good[..]).expect("undamaged");
        let mut harmless = Vec::new();
        super::bits::flip_each_bit(&path, |byte| match read(data.path(), &frames) {
            Ok(count) => {
                assert_eq!(count, 6, "byte {byte}");
                let bad = bytes(&path);
                if byte < HEADER_BYTES {
                    harmless.push((byte, bad[byte] ^ good[byte]));
                }
                // After it, as where a text is copied from elsewhere that is the same there.
                assert_eq!(zstd::decode_all(&bad[..]).expect("read"), unpacked, "byte {byte}");
            }
            Err(error) => {
                assert!(error.to_string().starts_with(&place), "byte {byte}: {error}");
                refusal(data.path());
            }
        });
        assert_eq!(harmless, meaningless(&good), "of the header");
    }
    assert_eq!(read(data.path(), &frames).expect("all bits are back"), 6);
}
