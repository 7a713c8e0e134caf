//! Random lives of a log: appends, restarts and broken writes, against a list of frames.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    /// This many events, this much later.
    Append(u64, u64),
    /// A restart, clean or not.
    Restart(bool),
    /// This part (of 256) of a frame of so many events is written when the machine stops.
    Break(u64, u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1..20_u64, 0..3_u64).prop_map(|(events, later)| Act::Append(events, later)),
        1 => any::<bool>().prop_map(Act::Restart),
        1 => (1..20_u64, any::<u8>()).prop_map(|(events, part)| Act::Break(events, part)),
    ]
}

/// Leaves of the frame that would come next only its first part.
fn break_off(data: &Path, writer: Writer, events: u64, part: u8) {
    let mark = bytes(&watermark(data));
    let mut writer = writer;
    let position = writer.position();
    let after = writer.append(writer.epoch(), &mut frame(&written(0, events).1)).expect("room");
    drop(writer);
    put(&watermark(data), mark);
    let start = if after.segment == position.segment { position.offset } else { 44 };
    let kept = start + (after.offset - start) * u64::from(part) / 256;
    let last = std::fs::File::options().write(true).open(segment(data, after.segment));
    last.and_then(|file| file.set_len(kept)).expect("cut");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_acknowledged_is_read(
        acts in prop::collection::vec(act(), 1..30),
        segment_bytes in 1..3000_u64,
    ) {
        let data = data();
        let mut frames: Vec<Written> = Vec::new();
        let mut writer = Some(open_with(data.path(), segment_bytes).expect("a new log").0);
        for act in acts {
            let mut present = writer.take().expect("put back");
            match act {
                Act::Append(events, later) => {
                    let next = written(present.epoch() + later, events);
                    present.append(next.0, &mut frame(&next.1)).expect("room");
                    frames.push(next);
                    writer = Some(present);
                    continue;
                }
                Act::Restart(true) => present.close().expect("closed"),
                Act::Restart(false) => drop(present),
                Act::Break(events, part) => break_off(data.path(), present, events, part),
            }
            let (reopened, opened) = open_with(data.path(), segment_bytes).expect("undamaged");
            prop_assert_eq!(opened.frames, frames.len() as u64);
            prop_assert_eq!(opened.epoch, frames.last().map_or(0, |(epoch, _)| *epoch));
            let events: usize = frames.iter().map(|(_, lines)| lines.len()).sum();
            prop_assert_eq!(opened.events, events as u64);
            prop_assert_eq!(opened.position, reopened.position());
            prop_assert_eq!(opened.bytes, reopened.bytes());
            writer = Some(reopened);
        }
        prop_assert_eq!(read(data.path(), &frames).expect("undamaged"), frames.len());
    }
}
