//! The past in its shortest form: the fold of the log that a checkpoint holds.
//!
//! It follows the log frame by frame with the same ledger and the same horizon as the dataflow's
//! `records`, and knows nothing of what becomes of their outcomes.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use dataflows::cells::Rated;
use dataflows::domain::{Input, Message, Place, Record, Reference, ReferenceKey};
use dataflows::id::{Id, Table};
use dataflows::ledger::{self, Horizon, Ledger};
use dataflows::records::{Outcome, closed, is_rating, outcomes};
use dataflows::views::Row;
use dataflows::world::Switches;
use roaring::RoaringTreemap;

use super::format::{Blocks, Checkpoint, CheckpointError, Head, Part};
use crate::event::Event;
use crate::log::{Position, ReadError, Reader};

/// Items of a list in one block.
const BLOCK_ITEMS: usize = 1 << 14;
/// Cells in one block, or those of one place.
const BLOCK_CELLS: usize = 1 << 15;
/// Bytes of the closed ids in one block.
const BLOCK_BYTES: usize = 1 << 20;

/// All that the log has said up to an epoch, as far as it can still make a difference.
pub struct Past {
    /// Of what; its chain and epoch are set by who knows them.
    pub head: Head,
    switches: Switches,
    references: HashMap<ReferenceKey, Reference>,
    ledger: Ledger,
    /// The messages of the record at hand.
    held: Vec<Message>,
    horizon: Horizon,
    settled: Settled,
    /// Whether an hour was told in the epoch that is being read.
    struck: bool,
}

/// What the records that are closed came to.
#[derive(Default)]
struct Settled {
    rated: Table<Place, Rated>,
    /// All but the ratings.
    others: HashMap<Outcome, i64>,
}

impl Settled {
    fn add(&mut self, outcome: Outcome) {
        if let Outcome::Rated(place, day, ratings) = outcome {
            let rated = self.rated.entry(place).or_default();
            rated.add(day, ratings.electronic(), [(&ratings, 1)].into_iter());
        } else {
            *self.others.entry(outcome).or_default() += 1;
        }
    }

    fn cells(&self) -> usize {
        self.rated.values().map(|rated| rated.cells.len()).sum()
    }
}

impl Past {
    /// Before the first event.
    pub fn beginning(head: Head, switches: Switches) -> Past {
        Past {
            head,
            references: HashMap::new(),
            ledger: Ledger::new(0, Arc::default()),
            held: Vec::new(),
            horizon: Horizon::new(switches.horizon_days),
            settled: Settled::default(),
            switches,
            struck: false,
        }
    }

    /// What a checkpoint holds.
    ///
    /// # Errors
    /// It is damaged.
    pub fn load(
        head: Head,
        mut parts: Checkpoint<impl io::Read>,
        switches: Switches,
    ) -> Result<Past, CheckpointError> {
        let mut past = Past::beginning(head, switches);
        past.horizon.see(past.head.latest);
        if let Some(cut) = past.head.cut {
            past.horizon.cut_before(cut);
        }
        if let Some(hour) = past.head.hour {
            past.horizon.strike(hour);
        }
        let mut ids = Vec::new();
        let mut open = Vec::new();
        while let Some(part) = parts.next_part()? {
            match part {
                Part::Head(_) | Part::Ids(_) | Part::Drawn(_) => {}
                Part::Closed(mut piece) => ids.append(&mut piece),
                Part::References(rows) => {
                    past.references.extend(rows.into_iter().map(|row| (row.key(), row)));
                }
                Part::Open(mut records) => open.append(&mut records),
                Part::Rated(places) => past.settled.rated.extend(places),
                Part::Settled(outcomes) => past.settled.others.extend(outcomes),
            }
        }
        past.ledger = Ledger::new(open.len(), Arc::new(closed_ids(&ids)?));
        for (record, messages) in open {
            // A record of many messages comes in pieces.
            let is_open = past.ledger.messages(record, &mut past.held);
            assert!(is_open, "open records are not closed");
            for message in messages {
                ledger::add(&mut past.held, &message);
            }
            past.ledger.keep(record, &past.held);
        }
        Ok(past)
    }

    /// Reads on in the log up to a position that ends an epoch.
    ///
    /// # Errors
    /// The log is damaged.
    pub fn read(&mut self, log: &mut Reader, until: Position) -> Result<(), ReadError> {
        while let Some(frame) = log.next_frame(until)? {
            if frame.epoch > self.head.epoch {
                self.close_epoch();
                self.head.epoch = frame.epoch;
            }
            for event in frame.events() {
                self.take(&event?);
                self.head.events += 1;
            }
        }
        self.close_epoch();
        self.head.position = until;
        Ok(())
    }

    fn take(&mut self, event: &Event<'_>) {
        match event.input() {
            Input::Reference(key, Some(row)) => drop(self.references.insert(key, row)),
            Input::Reference(key, None) => drop(self.references.remove(&key)),
            Input::Message(record, message) => self.message(record, message),
            Input::Clock(hour) if self.head.hour.is_none_or(|known| hour > known) => {
                self.head.hour = Some(hour);
                self.horizon.strike(hour);
                self.struck = true;
            }
            Input::Clock(_) => {}
        }
    }

    fn message(&mut self, record: Record, message: Message) {
        self.horizon.see(message.received.micros());
        if !self.ledger.messages(record, &mut self.held) {
            let outcome = closed(&message);
            self.settled.add(outcome);
            if outcome != Outcome::Late {
                self.settled.add(Outcome::Accepted);
            }
        } else if ledger::add(&mut self.held, &message) {
            // What stands in the ledger is counted when it is put in again, or retires.
            self.ledger.keep(record, &self.held);
        } else if is_rating(&message) {
            self.settled.add(Outcome::Accepted);
            self.settled.add(Outcome::Duplicate);
        }
    }

    fn close_epoch(&mut self) {
        if !std::mem::take(&mut self.struck) {
            return;
        }
        let Some(cut) = self.horizon.cut() else { return };
        self.head.cut = Some(cut);
        let (settled, switches) = (&mut self.settled, &self.switches);
        let mut all = Vec::new();
        self.ledger.retire(cut, |record, messages| {
            outcomes(record, messages, switches, &mut all);
            all.retain(Outcome::outlives_record);
            all.extend(messages.iter().filter(|m| is_rating(m)).map(|_| Outcome::Accepted));
            all.drain(..).for_each(|outcome| settled.add(outcome));
        });
    }

    /// Writes all of it, with the drawn lists of the same epoch.
    ///
    /// # Errors
    /// Of the writer.
    pub fn write<W: Write>(&mut self, drawn: &[Row], out: W) -> io::Result<W> {
        self.head.latest = self.horizon.latest();
        self.head.open = self.ledger.count() as u64;
        let mut blocks = Blocks::begin(out)?;
        blocks.push(&Part::Head(Box::new(self.head.clone())))?;
        for texts in Id::texts(0).chunks(BLOCK_ITEMS) {
            blocks.push(&Part::Ids(texts.iter().map(|text| (*text).to_owned()).collect()))?;
        }
        for rows in drawn.chunks(BLOCK_ITEMS) {
            blocks.push(&Part::Drawn(rows.to_vec()))?;
        }
        let mut ids = Vec::new();
        self.ledger.closed().serialize_into(&mut ids)?;
        for piece in ids.chunks(BLOCK_BYTES) {
            blocks.push(&Part::Closed(piece.to_vec()))?;
        }
        // Names may be long: few rows a block.
        let references: Vec<&Reference> = self.references.values().collect();
        for rows in references.chunks(256) {
            let rows = rows.iter().map(|row| (*row).clone()).collect();
            blocks.push(&Part::References(rows))?;
        }
        // By turns: to judge open records is work for those who compute, to unpack cells for who reads.
        let (mut open, mut rated) = (self.open_parts(), self.rated_parts());
        loop {
            let parts = [open.next(), rated.next()];
            if parts.iter().all(Option::is_none) {
                break;
            }
            parts.iter().flatten().try_for_each(|part| blocks.push(part))?;
        }
        drop((open, rated));
        let mut settled: Vec<(Outcome, i64)> =
            self.settled.others.iter().map(|(o, n)| (*o, *n)).collect();
        settled.sort_unstable();
        for outcomes in settled.chunks(BLOCK_ITEMS) {
            blocks.push(&Part::Settled(outcomes.to_vec()))?;
        }
        blocks.end()
    }

    fn open_parts(&self) -> impl Iterator<Item = Part> {
        let mut records = self.ledger.open();
        std::iter::from_fn(move || {
            let mut open = Vec::new();
            while open.len() < BLOCK_ITEMS
                && let Some((record, messages)) = records.next()
            {
                open.extend(messages.chunks(64).map(|some| (record, some.to_vec())));
            }
            (!open.is_empty()).then_some(Part::Open(open))
        })
    }

    fn rated_parts(&self) -> impl Iterator<Item = Part> {
        let mut rated: Vec<(&Place, &Rated)> = self.settled.rated.iter().collect();
        rated.sort_unstable_by_key(|(place, _)| **place);
        let mut rated = rated.into_iter();
        std::iter::from_fn(move || {
            let (mut places, mut cells) = (Vec::new(), 0);
            while cells < BLOCK_CELLS
                && let Some((place, rated)) = rated.next()
            {
                cells += rated.cells.len();
                places.push((*place, rated.clone()));
            }
            (!places.is_empty()).then_some(Part::Rated(places))
        })
    }

    /// `(open records, closed records, cells of those)`.
    pub fn sizes(&self) -> (u64, u64, u64) {
        let open = self.ledger.count() as u64;
        (open, self.ledger.closed().len(), self.settled.cells() as u64)
    }
}

/// The ids of closed records, as they were serialised.
pub fn closed_ids(bytes: &[u8]) -> Result<RoaringTreemap, CheckpointError> {
    match bytes {
        [] => Ok(RoaringTreemap::new()),
        bytes => Ok(RoaringTreemap::deserialize_from(bytes)?),
    }
}
