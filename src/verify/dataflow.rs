//! What the dataflow says of the same events, computed in this process.
//!
//! The only part of `verify` that touches the dataflow: it drives the engine and takes its rows as
//! the JSON that everybody gets.

use std::collections::BTreeMap;
use std::thread;

use anyhow::Context;
use dataflows::domain::{Epoch, Input, Turn};
use dataflows::graph::Base;
use dataflows::views::View;

use super::recompute::{VIEWS, Views, key};
use crate::engine::{self, Batch, Feed};
use crate::event::Event;
use crate::gather::{ByView, collect};
use crate::rules::Rules;
use crate::views::row_json::write_row;

/// Events handed to a worker at once.
const BATCH_EVENTS: usize = 4096;
/// So many events are taken as one epoch, unless one tells the time: only the survey sample
/// depends on epochs, and it is drawn in those.
const EPOCH_EVENTS: u64 = 1 << 18;

/// Gives every row that the dataflow computes on `workers` threads, by view and as JSON. `feed`
/// gives the events with their epochs.
///
/// # Errors
/// Those of `feed`, or the receiver's refusal of a row.
pub fn rows<T>(
    rules: &Rules,
    workers: usize,
    feed: impl FnOnce(&mut dyn FnMut(Epoch, &Event<'_>)) -> anyhow::Result<T>,
    mut give: impl FnMut(&'static str, &str) -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    let (way_in, results) = engine::start(workers, rules, Base::default());
    let collector = thread::spawn(move || collect(results));
    let mut feeding = Feeding { feed: way_in, inputs: Vec::new(), sequence: 0, epoch: 0, taken: 0 };
    let fed = feed(&mut |epoch, event| feeding.take(epoch, event));
    feeding.finish();
    let rows: ByView = collector.join().expect("a panic ends the process");
    let mut json = Vec::new();
    for row in rows.iter() {
        let Some(view) = compared(row.key().view) else { continue };
        json.clear();
        write_row(row, &mut json);
        give(view, std::str::from_utf8(&json).context("a row is UTF-8")?)?;
    }
    fed
}

/// All rows that the dataflow computes of some events, to be compared in memory.
///
/// # Panics
/// Where a row is not JSON, or a key is there twice: a bug of the dataflow.
pub fn dataflow_views<'a>(
    rules: &Rules,
    workers: usize,
    events: impl IntoIterator<Item = (Epoch, Event<'a>)>,
) -> Views {
    let mut views: Views = VIEWS.iter().map(|(view, _)| (*view, BTreeMap::new())).collect();
    let feed = |give: &mut dyn FnMut(Epoch, &Event<'_>)| {
        events.into_iter().for_each(|(epoch, event)| give(epoch, &event));
        Ok(())
    };
    let took = rows(rules, workers, feed, |view, json| {
        let row = serde_json::from_str(json)?;
        let before = views.entry(view).or_default().insert(key(view, &row), row);
        assert!(before.is_none(), "view {view} has a row twice: {json}");
        Ok(())
    });
    took.expect("rows of the dataflow are JSON");
    views
}

/// The view's name, if it is one that is recomputed.
fn compared(view: View) -> Option<&'static str> {
    VIEWS.iter().map(|(name, _)| *name).find(|name| *name == view.name())
}

/// The way of the events into the dataflow.
struct Feeding {
    feed: Feed,
    inputs: Vec<Input>,
    /// Number of the next event to be handed over: what orders upserts.
    sequence: u64,
    epoch: Epoch,
    /// Events of what the dataflow takes as one epoch.
    taken: u64,
}

impl Feeding {
    fn take(&mut self, epoch: Epoch, event: &Event<'_>) {
        if epoch > self.epoch {
            if self.taken >= EPOCH_EVENTS {
                self.close(epoch);
            }
            self.epoch = epoch;
        }
        self.taken += 1;
        if let Event::Clock(hour) = event {
            self.hand_over();
            self.feed.tell(*hour);
            self.taken = EPOCH_EVENTS;
            return;
        }
        self.inputs.push(event.input());
        if self.inputs.len() == BATCH_EVENTS {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let inputs = std::mem::take(&mut self.inputs);
        let count = inputs.len() as u64;
        if count > 0 {
            self.feed.batch(Turn::only(self.sequence), Batch::Inputs(inputs));
            self.sequence += count;
        }
    }

    /// Closes every epoch below `epoch`.
    fn close(&mut self, epoch: Epoch) {
        self.hand_over();
        self.feed.close(epoch);
        self.taken = 0;
    }

    fn finish(mut self) {
        let after = self.epoch + 1;
        self.close(after);
    }
}
