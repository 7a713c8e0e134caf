//! The frames of a live stream, whichever way they travel.
//!
//! A frame is an event's name, an id where a reader may go on after it, and one JSON object. What an
//! epoch changed is written once for all readers with the same filter.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use dataflows::domain::Epoch;

use crate::views::row_json::{write_integer, write_key, write_row, write_text};
use crate::views::{Change, ChangeSet, Filter, Lost, Position};

/// Epochs whose changes are kept as they were written: those that readers who keep up are in.
const EPOCHS_KEPT: usize = 4;
/// Filters for which an epoch's changes are kept; those of more are written for each reader.
const FILTERS_KEPT: usize = 256;

/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `snapshot`, `changes`, `progress`, `lagged` or `end`.
    pub event: &'static str,
    /// Where a reader is that has taken it in; none within a snapshot and where it must begin anew.
    pub id: Option<Position>,
    /// One JSON object on one line.
    pub data: Vec<u8>,
}

/// How frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Server-sent events.
    Events,
    /// A JSON object a line.
    Lines,
}

impl Frame {
    /// `{"epoch":…,"after":…,"merged":…,"changes":…}`: what changed since the position `after`.
    pub fn changes(after: Position, id: Position, merged: usize, changes: &[u8]) -> Frame {
        let mut data = open(id.epoch);
        write_after(after, &mut data);
        data.extend_from_slice(b",\"merged\":");
        write_integer(merged as i64, &mut data);
        data.extend_from_slice(b",\"changes\":");
        data.extend_from_slice(changes);
        Frame { event: "changes", id: Some(id), data: close(data) }
    }

    /// `{"epoch":…,"after":…}`: nothing changed since.
    pub fn progress(after: Position, id: Position) -> Frame {
        let mut data = open(id.epoch);
        write_after(after, &mut data);
        Frame { event: "progress", id: Some(id), data: close(data) }
    }

    /// `{"epoch":…,"reason":…}`: the reader cannot go on from this epoch, and a snapshot follows.
    pub fn lagged(epoch: Epoch, lost: Lost) -> Frame {
        Frame { event: "lagged", id: None, data: with_reason(epoch, lost.as_str()) }
    }

    /// `{"epoch":…,"reason":…}`: the last frame.
    pub fn end(id: Position, reason: &'static str) -> Frame {
        Frame { event: "end", id: Some(id), data: with_reason(id.epoch, reason) }
    }

    /// Writes it as it travels.
    pub fn write(&self, wire: Wire, out: &mut Vec<u8>) {
        match wire {
            Wire::Events => {
                out.extend_from_slice(b"event: ");
                out.extend_from_slice(self.event.as_bytes());
                match self.id {
                    Some(id) => out.extend_from_slice(format!("\nid: {id}").as_bytes()),
                    // A browser shall not come back with the id it had before.
                    None if self.event == "lagged" => out.extend_from_slice(b"\nid"),
                    None => {}
                }
                out.extend_from_slice(b"\ndata: ");
                out.extend_from_slice(&self.data);
                out.extend_from_slice(b"\n\n");
            }
            Wire::Lines => {
                self.write_object(None, out);
                out.push(b'\n');
            }
        }
    }

    /// Writes `{"name":…,"event":…,"id":…,"data":…}`; without `name` or `id` where there is none.
    pub fn write_object(&self, name: Option<&str>, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(name) = name {
            out.extend_from_slice(b"\"name\":");
            write_text(name, out);
            out.push(b',');
        }
        out.extend_from_slice(format!("\"event\":\"{}\",", self.event).as_bytes());
        if let Some(id) = self.id {
            out.extend_from_slice(format!("\"id\":\"{id}\",").as_bytes());
        }
        out.extend_from_slice(b"\"data\":");
        out.extend_from_slice(&self.data);
        out.push(b'}');
    }
}

fn open(epoch: Epoch) -> Vec<u8> {
    format!("{{\"epoch\":{epoch}").into_bytes()
}

fn close(mut data: Vec<u8>) -> Vec<u8> {
    data.push(b'}');
    data
}

fn write_after(after: Position, data: &mut Vec<u8>) {
    data.extend_from_slice(format!(",\"after\":\"{after}\"").as_bytes());
}

fn with_reason(epoch: Epoch, reason: &str) -> Vec<u8> {
    format!("{{\"epoch\":{epoch},\"reason\":\"{reason}\"}}").into_bytes()
}

/// `[{"op":…,"key":…,"row":…}]`; the row of a delete is null. Nothing where there are no changes.
pub fn write_changes(changes: &[Change]) -> Vec<u8> {
    let mut out = Vec::new();
    for change in changes {
        let op = if change.after.is_some() { "upsert" } else { "delete" };
        out.push(if out.is_empty() { b'[' } else { b',' });
        out.extend_from_slice(b"{\"op\":\"");
        out.extend_from_slice(op.as_bytes());
        out.extend_from_slice(b"\",\"key\":");
        write_key(change.any_row(), &mut out);
        out.extend_from_slice(b",\"row\":");
        match &change.after {
            Some(row) => write_row(row, &mut out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
    if !out.is_empty() {
        out.push(b']');
    }
    out
}

/// What the last epochs changed, as it is written for the readers of a filter.
#[derive(Debug, Default)]
pub struct Written {
    epochs: Mutex<VecDeque<(Epoch, HashMap<Filter, Bytes>)>>,
}

impl Written {
    /// As [`write_changes`] of what readers of the filter see of a set.
    pub fn changes(&self, filter: &Filter, set: &Arc<ChangeSet>) -> Bytes {
        if let Some(written) = self.known(filter, set.epoch) {
            return written;
        }
        let written = Bytes::from(write_changes(&filter.changes(std::slice::from_ref(set))));
        self.keep(filter, set.epoch, written.clone());
        written
    }

    fn known(&self, filter: &Filter, epoch: Epoch) -> Option<Bytes> {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, by_filter) = epochs.iter().rev().find(|(other, _)| *other == epoch)?;
        by_filter.get(filter).cloned()
    }

    fn keep(&self, filter: &Filter, epoch: Epoch, written: Bytes) {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if epochs.back().is_none_or(|(newest, _)| *newest < epoch) {
            epochs.push_back((epoch, HashMap::new()));
            if epochs.len() > EPOCHS_KEPT {
                epochs.pop_front();
            }
        }
        let of_epoch = epochs.iter_mut().find(|(other, _)| *other == epoch);
        if let Some((_, by_filter)) = of_epoch
            && by_filter.len() < FILTERS_KEPT
        {
            by_filter.insert(filter.clone(), written);
        }
    }
}
