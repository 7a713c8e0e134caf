//! Entries: events as the payload of a frame, and back.
//!
//! An entry is a length (u32) and that many bytes of bincode 1.3 (variable-length integers). The
//! builder leaves room for the frame's header, so that a frame is one write from one buffer.

use std::iter;

use bincode::Options as _;
use dataflows::calendar::Hour;

use super::ReadError;
use super::format::{Damage, FRAME_BYTES_MAX, Fault, FrameHeader, HEADER_BYTES};
use crate::event::Event;

/// Bytes of an entry before its event.
const LENGTH_BYTES: usize = 4;
/// The first byte of an event that tells the hour: its number among the kinds of [`Event`].
const CLOCK: u8 = 12;

/// Encoded events that will be one frame, or a part of one.
///
/// Build one per request where the request is, and [`extend`](FrameBuilder::extend) the frame of
/// the group commit with them. [`clear`](FrameBuilder::clear) keeps the memory.
#[derive(Clone, Debug)]
pub struct FrameBuilder {
    /// Room for the header, then the payload.
    buffer: Vec<u8>,
    events: u32,
}

/// The frame has no room for this; it is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame holds at most {FRAME_BYTES_MAX} bytes")]
pub struct FrameFull;

impl Default for FrameBuilder {
    fn default() -> FrameBuilder {
        FrameBuilder { buffer: vec![0; HEADER_BYTES], events: 0 }
    }
}

impl FrameBuilder {
    /// No events.
    pub fn new() -> FrameBuilder {
        FrameBuilder::default()
    }

    /// Encodes one more event.
    ///
    /// # Errors
    /// [`FrameFull`] if the payload would be longer than [`FRAME_BYTES_MAX`].
    pub fn push(&mut self, event: &Event<'_>) -> Result<(), FrameFull> {
        let entry = self.buffer.len();
        self.buffer.extend([0; LENGTH_BYTES]);
        bincode::DefaultOptions::new()
            .serialize_into(&mut self.buffer, event)
            .expect("memory takes every byte, and an event has only sized fields");
        if self.bytes() > FRAME_BYTES_MAX {
            self.buffer.truncate(entry);
            return Err(FrameFull);
        }
        let length = (self.buffer.len() - entry - LENGTH_BYTES) as u32;
        self.buffer[entry..entry + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        self.events += 1;
        Ok(())
    }

    /// Adds all events of another builder.
    ///
    /// # Errors
    /// [`FrameFull`] if the payload would be longer than [`FRAME_BYTES_MAX`].
    pub fn extend(&mut self, other: &FrameBuilder) -> Result<(), FrameFull> {
        if self.bytes() + other.bytes() > FRAME_BYTES_MAX {
            return Err(FrameFull);
        }
        self.buffer.extend_from_slice(other.payload());
        self.events += other.events;
        Ok(())
    }

    /// Forgets the events, not the memory.
    pub fn clear(&mut self) {
        self.buffer.truncate(HEADER_BYTES);
        self.events = 0;
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// How many events there are.
    pub fn events(&self) -> u32 {
        self.events
    }

    /// Length of the payload in bytes.
    pub fn bytes(&self) -> usize {
        self.payload().len()
    }

    /// The entries.
    pub fn payload(&self) -> &[u8] {
        &self.buffer[HEADER_BYTES..]
    }

    /// The whole frame, ready to be written.
    pub(super) fn seal(&mut self, log: u64, sequence: u64, epoch: u64) -> &[u8] {
        let header = FrameHeader {
            bytes: self.bytes() as u32,
            sequence,
            epoch,
            events: self.events,
            checksum: crc32fast::hash(self.payload()),
        };
        self.buffer[..HEADER_BYTES].copy_from_slice(&header.encode(log));
        &self.buffer
    }
}

/// One group commit, in the buffer of the reader that yielded it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When its events were learned.
    pub epoch: u64,
    /// Its number, from 0.
    pub sequence: u64,
    /// How many events it has.
    pub count: u32,
    /// Its segment.
    pub(super) segment: u32,
    /// Where the payload begins in the segment.
    pub(super) offset: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Its events in order. An error ends them.
    pub fn events(&self) -> Events<'a> {
        Events { segment: self.segment, byte: self.offset, left: self.count, rest: self.payload }
    }

    /// The hours it tells; all other events are passed over undecoded.
    pub fn hours(&self) -> impl Iterator<Item = Result<Hour, ReadError>> + use<'a> {
        let mut events = self.events();
        iter::from_fn(move || {
            while !events.is_over() {
                // A length says more than it costs: it is in the checksum.
                let is_hour = events.rest.get(LENGTH_BYTES).is_none_or(|tag| *tag == CLOCK);
                match if is_hour { events.next()?.map(Some) } else { events.pass() } {
                    Ok(Some(Event::Clock(hour))) => return Some(Ok(hour)),
                    Ok(_) => {}
                    Err(error) => return Some(Err(error)),
                }
            }
            None
        })
    }

    /// The entries as they are on disk.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// The events of a [`Frame`].
#[derive(Clone, Debug)]
pub struct Events<'a> {
    segment: u32,
    /// Where `rest` begins in the segment.
    byte: u64,
    /// How many events must be in `rest`.
    left: u32,
    rest: &'a [u8],
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over() {
            return None;
        }
        // These options refuse bytes left over after the event.
        Some(self.entry(|entry| {
            bincode::DefaultOptions::new()
                .deserialize(entry)
                .map_err(|error| Fault::Entry(error.to_string()))
        }))
    }
}

impl<'a> Events<'a> {
    fn is_over(&self) -> bool {
        self.left == 0 && self.rest.is_empty()
    }

    /// Passes over one.
    fn pass(&mut self) -> Result<Option<Event<'a>>, ReadError> {
        self.entry(|_| Ok(None))
    }

    /// Takes the next entry; an error ends them.
    fn entry<T>(
        &mut self,
        decode: impl FnOnce(&'a [u8]) -> Result<T, Fault>,
    ) -> Result<T, ReadError> {
        let taken = self.split().and_then(|(entry, rest)| {
            let left = self.left.checked_sub(1);
            Ok((decode(entry)?, left.ok_or(Fault::Trailing)?, entry.len(), rest))
        });
        match taken {
            Ok((value, left, length, rest)) => {
                self.byte += (LENGTH_BYTES + length) as u64;
                (self.left, self.rest) = (left, rest);
                Ok(value)
            }
            Err(fault) => {
                (self.left, self.rest) = (0, &[]);
                let (segment, byte) = (self.segment, self.byte);
                Err(ReadError::Corrupt(Damage { segment, byte, fault }))
            }
        }
    }

    fn split(&self) -> Result<(&'a [u8], &'a [u8]), Fault> {
        let (length, rest) = self.rest.split_first_chunk().ok_or(Fault::Trailing)?;
        let length = u32::from_le_bytes(*length) as usize;
        rest.split_at_checked(length).ok_or(Fault::Trailing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 3] = [
        r#"{"type":"agency","id":"FNS","name":"Федеральная налоговая служба"}"#,
        r#"{"type":"sms","record":1,"text":"5","received_at":"2018-03-01T10:00:00+03:00"}"#,
        r#"{"type":"remove","of":"agency","id":"FNS"}"#,
    ];

    fn event(line: &str) -> Event<'_> {
        Event::parse(line.as_bytes()).expect("a valid line")
    }

    fn frame(payload: &[u8], count: u32) -> Frame<'_> {
        Frame { epoch: 0, sequence: 0, count, segment: 1, offset: 80, payload }
    }

    fn faults(payload: &[u8], count: u32) -> Vec<Option<(u64, Fault)>> {
        let place = |event| match event {
            Ok(_) => None,
            Err(ReadError::Corrupt(damage)) => Some((damage.byte, damage.fault)),
            Err(other) => panic!("{other}"),
        };
        frame(payload, count).events().map(place).collect()
    }

    #[test]
    fn events_come_back_as_they_went_in() {
        let (mut request, mut frame_of_two) = (FrameBuilder::new(), FrameBuilder::new());
        request.push(&event(LINES[0])).expect("room");
        frame_of_two.push(&event(LINES[1])).expect("room");
        frame_of_two.extend(&request).expect("room");
        assert_eq!(frame_of_two.events(), 2);
        let read: Result<Vec<_>, _> = frame(frame_of_two.payload(), 2).events().collect();
        assert_eq!(read.expect("whole"), [event(LINES[1]), event(LINES[0])]);
        frame_of_two.clear();
        assert!(frame_of_two.is_empty() && frame_of_two.bytes() == 0);
    }

    #[test]
    fn hours_are_found_among_other_events() {
        let mut builder = FrameBuilder::new();
        for event in [
            event(LINES[0]),
            Event::Clock(Hour(7)),
            event(LINES[1]),
            event(LINES[2]),
            Event::Clock(Hour(8)),
        ] {
            builder.push(&event).expect("room");
        }
        let payload = builder.payload();
        let hours: Vec<_> = frame(payload, 5).hours().map(|hour| hour.map(|h| h.0).ok()).collect();
        assert_eq!(hours, [Some(7), Some(8)]);
        let cut = frame(&payload[..payload.len() - 1], 5);
        let hours: Vec<_> = cut.hours().map(|hour| hour.map(|h| h.0).ok()).collect();
        assert_eq!(hours, [Some(7), None], "what cannot be read is said");
        let missing: Vec<_> = frame(payload, 6).hours().collect();
        assert!(matches!(missing[..], [Ok(_), Ok(_), Err(_)]));
    }

    #[test]
    fn entries_fill_the_payload_exactly() {
        let mut builder = FrameBuilder::new();
        builder.push(&event(LINES[1])).expect("room");
        let one = builder.bytes() as u64;
        builder.push(&event(LINES[2])).expect("room");
        let payload = builder.payload();
        let wrong = Some((80 + one, Fault::Trailing));
        assert_eq!(faults(payload, 2), [None, None]);
        assert_eq!(faults(payload, 1), [None, wrong.clone()], "an entry too many");
        let missing = Some((80 + payload.len() as u64, Fault::Trailing));
        assert_eq!(faults(payload, 3), [None, None, missing], "an entry too few");
        assert_eq!(faults(&payload[..payload.len() - 1], 2), [None, wrong], "an entry cut short");
        let mut longer = payload.to_vec();
        longer[0] += 1;
        assert!(matches!(faults(&longer, 2)[..], [Some((80, Fault::Entry(_)))]));
    }

    #[test]
    fn a_full_frame_refuses_and_stays_as_it_was() {
        let text = "x".repeat(FRAME_BYTES_MAX / 2);
        let line = format!(r#"{{"type":"agency","id":"A","name":"{text}"}}"#);
        let mut builder = FrameBuilder::new();
        builder.push(&event(&line)).expect("room for one");
        let before = builder.bytes();
        assert_eq!(builder.push(&event(&line)), Err(FrameFull));
        assert_eq!(builder.clone().extend(&builder), Err(FrameFull));
        assert_eq!((builder.bytes(), builder.events()), (before, 1));
        builder.push(&event(LINES[1])).expect("room for a small one");
    }

    proptest::proptest! {
        /// Whatever bytes pass the checksum, reading them ends without a panic.
        #[test]
        fn any_payload_is_read_or_refused(payload: Vec<u8>, count in 0_u32..4) {
            let read = frame(&payload, count).events().count();
            proptest::prop_assert!(read <= count as usize + 1);
        }
    }
}
