//! From a checkpoint to a dataflow that stands where the log goes on.

use std::path::Path;
use std::sync::Arc;

use dataflows::domain::{Epoch, Input, Turn};
use dataflows::graph::Base;
use dataflows::views::Row;

use super::format::{Checkpoint, CheckpointError, Head, Part};
use super::past::closed_ids;
use crate::engine::{self, Batch, Feed, Results};
use crate::rules::Rules;
use crate::views::Held;

/// Events handed to a timely worker at once.
const BATCH_EVENTS: usize = 4096;

/// Room made for open records at a worker beforehand; for more it is made when they come.
const ROOM_MAX: usize = 1 << 24;

/// A dataflow with its past put in; the epoch of the checkpoint is open until the next is closed.
pub struct Restored {
    /// What the checkpoint is of.
    pub head: Head,
    /// The way in.
    pub feed: Feed,
    /// The way out.
    pub results: Results<Held>,
}

/// Starts the dataflow from a checkpoint. `progress` is told its epoch and how many bytes are read.
///
/// # Errors
/// It is damaged.
pub fn restore(
    path: &Path,
    workers: usize,
    rules: &Rules,
    mut progress: impl FnMut(Epoch, u64),
) -> Result<Restored, CheckpointError> {
    let (head, mut parts) = Checkpoint::open(path)?;
    let mut drawn: Vec<Row> = Vec::new();
    let mut ids = Vec::new();
    // What the dataflow is built with comes first.
    let mut next = parts.next_part()?;
    loop {
        match next {
            Some(Part::Drawn(mut rows)) => drawn.append(&mut rows),
            Some(Part::Closed(mut piece)) => ids.append(&mut piece),
            other => {
                next = other;
                break;
            }
        }
        next = parts.next_part()?;
    }
    let base = Base {
        epoch: Some(head.epoch),
        hour: head.hour,
        cut: head.cut,
        open: (head.open as usize / workers).min(ROOM_MAX),
        closed: Arc::new(closed_ids(&ids)?),
        drawn: drawn.into(),
    };
    let (mut feed, results) = engine::start(workers, rules, base);
    feed.close(head.epoch);
    feed.batch(Turn::default(), Batch::Seen(head.latest));
    if let Some(hour) = head.hour {
        feed.tell(hour);
    }
    // Every row of the past has another key, and all that comes later has a later turn.
    let turn = Turn::default();
    while let Some(part) = next {
        match part {
            Part::References(rows) => {
                let rows = rows.into_iter().map(|row| Input::Reference(row.key(), Some(row)));
                feed.batch(turn, Batch::Inputs(rows.collect()));
            }
            Part::Open(records) => {
                let messages = records.into_iter().flat_map(|(record, messages)| {
                    messages.into_iter().map(move |message| Input::Message(record, message))
                });
                let mut messages: Vec<Input> = messages.collect();
                while !messages.is_empty() {
                    let rest = messages.split_off(messages.len().min(BATCH_EVENTS));
                    feed.batch(turn, Batch::Inputs(std::mem::replace(&mut messages, rest)));
                }
            }
            Part::Settled(outcomes) => {
                let outcomes = outcomes.into_iter().map(|(outcome, n)| (outcome, n as isize));
                feed.batch(turn, Batch::Settled(outcomes.collect()));
            }
            Part::Rated(places) => feed.batch(turn, Batch::Rated(places)),
            Part::Head(_) | Part::Ids(_) | Part::Drawn(_) | Part::Closed(_) => {}
        }
        progress(head.epoch, parts.position());
        next = parts.next_part()?;
    }
    Ok(Restored { head, feed, results })
}
