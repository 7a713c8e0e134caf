//! One flipped bit, anywhere.

use super::*;

/// Three frames in one segment and two in the next.
fn closed_log() -> (TempDir, Vec<Written>) {
    let data = data();
    let frames: Vec<_> = (1..=5).map(|epoch| written(epoch, 1 + epoch % 2)).collect();
    let bytes_of = |(_, lines): &Written| frame(lines).bytes() as u64 + 36;
    let first_three: u64 = frames[..3].iter().map(bytes_of).sum();
    write(data.path(), 44 + first_three, &frames);
    assert!(!segment(data.path(), 3).exists());
    assert!(boundaries(&bytes(&segment(data.path(), 2))).len() > 2, "two frames or more");
    assert_eq!(read(data.path(), &frames).expect("undamaged"), 5);
    (data, frames)
}

/// Calls `check` with each byte's place while one of its bits is flipped.
pub fn flip_each_bit(path: &Path, mut check: impl FnMut(usize)) {
    let good = bytes(path);
    let mut bad = good.clone();
    for bit in 0..good.len() * 8 {
        bad[bit / 8] ^= 1 << (bit % 8);
        put(path, &bad);
        check(bit / 8);
        bad[bit / 8] = good[bit / 8];
        assert!(bytes(path).len() == good.len(), "a refused log is left as it is");
    }
    println!("{} bits of {}", good.len() * 8, path.file_name().expect("a name").display());
    put(path, good);
}

#[test]
fn every_bit_of_a_closed_log_is_guarded() {
    let (data, frames) = closed_log();
    for number in [1, 2] {
        let path = segment(data.path(), number);
        let mut places = vec![0];
        places.extend(boundaries(&bytes(&path)));
        flip_each_bit(&path, |byte| {
            let start = places.iter().rfind(|start| **start <= byte).expect("0 is first");
            let place = format!("log segment {number:04} is corrupt at byte {start}: ");
            let message = refusal(data.path()).to_string();
            assert!(message.starts_with(&place), "byte {byte}: {message}");
            assert!(read(data.path(), &frames).is_err());
        });
    }
    flip_each_bit(&watermark(data.path()), |byte| {
        let refused = refusal(data.path());
        assert!(matches!(refused, ReadError::Watermark(_)), "byte {byte}: {refused}");
    });
    assert_eq!(read(data.path(), &frames).expect("all bits are back"), 5);
}

/// After a power cut the mark may be behind. Then a bit of the very last frame may pass for an
/// unfinished write, which is told; any other may not.
#[test]
fn without_a_mark_only_the_last_frame_is_unguarded() {
    let (data, frames) = closed_log();
    std::fs::remove_file(watermark(data.path())).expect("there");
    for number in [1, 2] {
        let path = segment(data.path(), number);
        let ends = boundaries(&bytes(&path));
        let last = if number == 2 { ends[ends.len() - 2] } else { usize::MAX };
        flip_each_bit(&path, |byte| {
            let mut whole = match Whole::open(data.path()) {
                Ok(whole) => whole,
                Err(error) => return assert!(byte < 44, "{error}"),
            };
            let end = std::iter::from_fn(|| whole.next_frame().map(|f| f.map(drop)).transpose());
            match end.collect::<Result<Vec<()>, _>>() {
                Err(error) => assert!(byte < last, "byte {byte}: {error}"),
                Ok(read) => {
                    assert!(byte >= last && read.len() == 4 && whole.torn().is_some());
                }
            }
        });
    }
    let (_, opened) = open(data.path()).expect("all bits are back");
    assert_eq!((opened.frames, opened.watermark), (5, false));
    assert_eq!(read(data.path(), &frames).expect("undamaged"), 5);
    assert!(watermark(data.path()).exists(), "the next opening has one");
}

/// No sender can make an unfinished write look like damage by writing a frame into an event.
#[test]
fn a_header_inside_an_event_is_none() {
    let (data, mut frames) = closed_log();
    let mark = bytes(&watermark(data.path()));
    let path = segment(data.path(), 2);
    let before = bytes(&path);
    let other = super::data();
    let later: Vec<_> = (1..=8).map(|epoch| written(epoch, 1)).collect();
    write(other.path(), 4096, &later);
    let foreign = bytes(&segment(other.path(), 1));
    // The bytes of another log's frame at the place where the last frame's payload would be.
    let mut broken = before.clone();
    broken.extend([0; 36]);
    broken.extend(&foreign[44..]);
    broken.extend([0; 3]);
    put(&path, &broken);
    put(&watermark(data.path()), mark);
    let (mut writer, opened) = open(data.path()).expect("the tail is unfinished");
    assert_eq!(opened.torn.expect("cut").bytes, (broken.len() - before.len()) as u64);
    frames.push(written(6, 1));
    writer.append(6, &mut frame(&frames[5].1)).expect("room");
    assert_eq!(read(data.path(), &frames).expect("undamaged"), 6);
}
