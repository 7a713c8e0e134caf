//! The messages of a record in few bytes, as they are kept while it is open: one follows the other.
//!
//! ```text
//! byte  0           1..9      9..
//!       kind, low 3 | moment  | what the kind has, ids and days four bytes each
//!       bits; above |         |
//!       what fits   |         |
//! ```
//!
//! No kind is zero, so zeros may follow the last message. Only this process reads them (ids are its own
//! numbers), so the layout may change at any time.

use crate::calendar::{Day, Moment};
use crate::domain::{Body, Channel, Form, Message, Outcome, Place, Score, Scores};
use crate::id::Id;

const FACT: u8 = 1;
const SMS: u8 = 2;
const SURVEY: u8 = 3;
const CALL: u8 = 4;
const FORM: u8 = 5;
const ANSWER: u8 = 6;
const RETRACT: u8 = 7;

const OUTCOMES: [Outcome; 3] = [Outcome::NoAnswer, Outcome::CallBack, Outcome::Refused];
const FORMS: [Form; 3] = [Form::Kiosk, Form::Epgu, Form::Site];

/// Appends a message.
pub fn pack(message: &Message, out: &mut Vec<u8>) {
    // What the first byte holds beside the kind, and what comes after the moment.
    let mut rest: [Option<u32>; 6] = [None; 6];
    let (kind, detail) = match message.body {
        Body::Fact { place, provided, phone } => {
            let ids = [Some(place.unit), Some(place.service), place.mfc].map(of_id);
            rest[..3].copy_from_slice(&ids);
            rest[3] = Some(of_day(provided));
            (FACT, u8::from(phone) | u8::from(place.mfc.is_some()) << 1)
        }
        Body::Sms { digit, text } => {
            rest[..2].copy_from_slice(&[Some(text as u32), Some((text >> 32) as u32)]);
            (SMS, digit.map_or(0, Score::get))
        }
        Body::Survey { scores } => {
            rest[0] = Some(scores.bits());
            (SURVEY, 0)
        }
        Body::Call(outcome) => (CALL, position(&OUTCOMES, outcome)),
        Body::Form { kind, scores, unit, service, mfc, provided, text } => {
            let text = Some(text).filter(|text| *text != 0);
            let fields = [of_id(unit), of_id(service), of_id(mfc), provided.map(of_day), text];
            let there = fields.iter().rev().fold(0, |all, one| all << 1 | u32::from(one.is_some()));
            // Scores have 24 bits; which fields there are goes into the others.
            rest[0] = Some(scores.bits() | there << 24);
            rest[1..].copy_from_slice(&fields);
            (FORM, position(&FORMS, kind))
        }
        Body::Answer => (ANSWER, 0),
        Body::Retract(channel) => (RETRACT, position(&Channel::ALL, channel)),
    };
    out.push(kind | detail << 3);
    out.extend(message.received.bits().to_le_bytes());
    rest.iter().flatten().for_each(|number| out.extend(number.to_le_bytes()));
}

/// Appends the messages that were packed into `bytes`, after which there may be zeros.
pub fn unpack(bytes: &[u8], out: &mut Vec<Message>) {
    let mut bytes = bytes;
    while let Some((&first, rest)) = bytes.split_first()
        && first != 0
    {
        bytes = rest;
        let received = Moment::of_bits(i64::from_le_bytes(take(&mut bytes)));
        let detail = first >> 3;
        let body = match first & 7 {
            FACT => {
                let [unit, service] = [(); 2].map(|()| id(&mut bytes));
                let mfc = (detail & 2 != 0).then(|| id(&mut bytes));
                let provided = day(&mut bytes);
                let place = Place { unit, service, mfc };
                Body::Fact { place, provided, phone: detail & 1 != 0 }
            }
            SMS => {
                Body::Sms { digit: Score::new(detail), text: u64::from_le_bytes(take(&mut bytes)) }
            }
            SURVEY => Body::Survey { scores: Scores::of_bits(number(&mut bytes)) },
            CALL => Body::Call(OUTCOMES[usize::from(detail)]),
            FORM => {
                let head = number(&mut bytes);
                let there = |field: u32| head >> (24 + field) & 1 != 0;
                let ids = [0, 1, 2].map(|field| there(field).then(|| id(&mut bytes)));
                let [unit, service, mfc] = ids;
                let provided = there(3).then(|| day(&mut bytes));
                let text = if there(4) { number(&mut bytes) } else { 0 };
                let scores = Scores::of_bits(head & 0x00ff_ffff);
                let kind = FORMS[usize::from(detail)];
                Body::Form { kind, scores, unit, service, mfc, provided, text }
            }
            ANSWER => Body::Answer,
            _ => Body::Retract(Channel::ALL[usize::from(detail)]),
        };
        out.push(Message { received, body });
    }
}

fn position<T: PartialEq>(all: &[T], one: T) -> u8 {
    all.iter().position(|other| *other == one).expect("all are listed") as u8
}

fn of_id(id: Option<Id>) -> Option<u32> {
    id.map(Id::number)
}

fn of_day(day: Day) -> u32 {
    day.0.cast_unsigned()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (taken, rest) = bytes.split_first_chunk().expect("it was packed here");
    *bytes = rest;
    *taken
}

fn number(bytes: &mut &[u8]) -> u32 {
    u32::from_le_bytes(take(bytes))
}

fn id(bytes: &mut &[u8]) -> Id {
    Id::of_number(number(bytes))
}

fn day(bytes: &mut &[u8]) -> Day {
    Day(number(bytes).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Criterion;

    /// Every kind, with each of its fields there, absent, least and greatest.
    fn bodies() -> Vec<Body> {
        let [a, b, c] = ["a", "b", "c"].map(Id::of);
        let score = |score| Score::new(score).expect("1..5");
        let full =
            Criterion::ALL.into_iter().fold(Scores::NONE, |all, one| all.with(one, score(5)));
        let one = Scores::NONE.with(Criterion::ALL[7], score(1));
        let mut bodies = vec![Body::Answer];
        for (mfc, phone, day) in
            [(None, true, i32::MIN), (Some(c), false, i32::MAX), (None, false, 0)]
        {
            let place = Place { unit: a, service: b, mfc };
            bodies.push(Body::Fact { place, provided: Day(day), phone });
        }
        for (digit, text) in [(None, u64::MAX), (Some(score(1)), 0), (Some(score(5)), 1 << 32)] {
            bodies.push(Body::Sms { digit, text });
        }
        bodies.extend([full, one].map(|scores| Body::Survey { scores }));
        bodies.extend(OUTCOMES.map(Body::Call));
        bodies.extend(Channel::ALL.map(Body::Retract));
        for there in 0..32_u8 {
            let has = |field: u8| there >> field & 1 != 0;
            bodies.push(Body::Form {
                kind: FORMS[usize::from(there % 3)],
                scores: if has(0) { full } else { one },
                unit: has(0).then_some(a),
                service: has(1).then_some(b),
                mfc: has(2).then_some(c),
                provided: has(3).then_some(Day(i32::from(there) - 16)),
                text: if has(4) { u32::MAX - u32::from(there) } else { 0 },
            });
        }
        bodies
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let moments = [(0, 0), ((1 << 52) - 1, 1023), (1 - (1 << 52), -1023)];
        let moments = moments.map(|(micros, offset)| Moment::new(micros, offset).expect("fits"));
        let messages: Vec<Message> = bodies()
            .into_iter()
            .flat_map(|body| moments.map(|received| Message { received, body }))
            .collect();
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| pack(message, &mut bytes));
        let mut unpacked = Vec::new();
        for zeros in 0..3 {
            unpacked.clear();
            bytes.extend(std::iter::repeat_n(0, zeros));
            unpack(&bytes, &mut unpacked);
            assert_eq!(unpacked, messages);
        }
    }
}
