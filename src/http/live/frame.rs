//! The frames of a live stream, whichever way they travel.
//!
//! A frame is an event's name, an id where a reader may go on after it, and one JSON object. What an
//! epoch changed is written once for all readers with the same filter, and not copied for each.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use dataflows::domain::Epoch;

use crate::views::row_json::{write_integer, write_key, write_row, write_text};
use crate::views::{Change, ChangeSet, Filter, Lost, Position};

/// Epochs whose changes are kept as they were written: those that readers who keep up are in.
const EPOCHS_KEPT: usize = 4;
/// Bytes of changes from which on they are passed on as a piece of their own: fewer are sooner
/// copied than written to a socket apart.
const SHARED_BYTES_MIN: usize = 4 << 10;
/// Filters for which an epoch's changes are kept; those of more are written for each reader.
const FILTERS_KEPT: usize = 256;

/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `snapshot`, `changes`, `progress`, `lagged` or `end`.
    pub event: &'static str,
    /// Where a reader is that has taken it in; none within a snapshot and where it must begin anew.
    pub id: Option<Position>,
    /// One JSON object on one line, as far as the changes and the brace at its end.
    head: Vec<u8>,
    /// The changes, as all readers of the filter get them; empty where the head has all.
    changes: Bytes,
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
    pub fn changes(after: Position, id: Position, merged: usize, changes: Bytes) -> Frame {
        let mut head = open(id.epoch);
        write_after(after, &mut head);
        head.extend_from_slice(b",\"merged\":");
        write_integer(merged as i64, &mut head);
        head.extend_from_slice(b",\"changes\":");
        Frame { event: "changes", id: Some(id), head, changes }
    }

    /// A part of a snapshot: `head`, which lacks the brace at its end; with an id where it is the
    /// last.
    pub fn snapshot(id: Option<Position>, head: Vec<u8>) -> Frame {
        Frame { event: "snapshot", id, head, changes: Bytes::new() }
    }

    /// `{"epoch":…,"after":…}`: nothing changed since.
    pub fn progress(after: Position, id: Position) -> Frame {
        let mut head = open(id.epoch);
        write_after(after, &mut head);
        Frame { event: "progress", id: Some(id), head, changes: Bytes::new() }
    }

    /// `{"epoch":…,"reason":…}`: the reader cannot go on from this epoch, and a snapshot follows.
    pub fn lagged(epoch: Epoch, lost: Lost) -> Frame {
        let head = with_reason(epoch, lost.as_str());
        Frame { event: "lagged", id: None, head, changes: Bytes::new() }
    }

    /// `{"epoch":…,"reason":…}`: the last frame.
    pub fn end(id: Position, reason: &'static str) -> Frame {
        let head = with_reason(id.epoch, reason);
        Frame { event: "end", id: Some(id), head, changes: Bytes::new() }
    }

    /// The same where there is nothing to go on from.
    pub fn without_id(self) -> Frame {
        Frame { id: None, ..self }
    }

    /// As it travels, in pieces, after what is in `out` already.
    pub fn pieces(self, wire: Wire, mut out: Vec<u8>) -> impl Iterator<Item = Bytes> {
        let end: &'static [u8] = match wire {
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
                b"}\n\n"
            }
            Wire::Lines => {
                self.open_object(None, &mut out);
                b"}}\n"
            }
        };
        out.extend_from_slice(&self.head);
        let rest = if self.changes.len() < SHARED_BYTES_MIN {
            out.extend_from_slice(&self.changes);
            out.extend_from_slice(end);
            None
        } else {
            Some([self.changes, Bytes::from_static(end)])
        };
        std::iter::once(Bytes::from(out)).chain(rest.into_iter().flatten())
    }

    /// `{"name":…,"event":…,"id":…,"data":…}`; without `id` where there is none.
    pub fn object(&self, name: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.head.len() + self.changes.len() + 256);
        self.open_object(Some(name), &mut out);
        for piece in [&self.head[..], &self.changes, b"}}"] {
            out.extend_from_slice(piece);
        }
        out
    }

    /// As far as the data.
    fn open_object(&self, name: Option<&str>, out: &mut Vec<u8>) {
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
    }
}

fn open(epoch: Epoch) -> Vec<u8> {
    format!("{{\"epoch\":{epoch}").into_bytes()
}

fn write_after(after: Position, data: &mut Vec<u8>) {
    data.extend_from_slice(format!(",\"after\":\"{after}\"").as_bytes());
}

fn with_reason(epoch: Epoch, reason: &str) -> Vec<u8> {
    format!("{{\"epoch\":{epoch},\"reason\":\"{reason}\"").into_bytes()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether its changes are copied or passed on, a frame is the same bytes.
    #[test]
    fn a_frame_is_the_same_in_one_piece_or_several() {
        let at = |epoch| Position { epoch, digest: Default::default() };
        let (after, id) = (at(1).to_string(), at(2).to_string());
        for length in [10, SHARED_BYTES_MIN - 1, SHARED_BYTES_MIN, 100_000] {
            let changes = format!("[{}]", "x".repeat(length - 2));
            let frame = Frame::changes(at(1), at(2), 1, Bytes::from(changes.clone()));
            let data = format!(r#"{{"epoch":2,"after":"{after}","merged":1,"changes":{changes}}}"#);
            let whole = |wire| -> (usize, String) {
                let pieces: Vec<Bytes> = frame.clone().pieces(wire, b"retry: 1\n".into()).collect();
                (pieces.len(), String::from_utf8(pieces.concat()).expect("text"))
            };
            let pieces = if length < SHARED_BYTES_MIN { 1 } else { 3 };
            let events = format!("retry: 1\nevent: changes\nid: {id}\ndata: {data}\n\n");
            assert_eq!(whole(Wire::Events), (pieces, events));
            let object = format!(r#""event":"changes","id":"{id}","data":{data}}}"#);
            assert_eq!(whole(Wire::Lines), (pieces, format!("retry: 1\n{{{object}\n")));
            let named = String::from_utf8(frame.object("a")).expect("text");
            assert_eq!(named, format!(r#"{{"name":"a",{object}"#));
        }
    }
}
