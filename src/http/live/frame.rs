//! The frames of a live stream, whichever way they travel.
//!
//! A frame is an event's name, an id where a reader may go on after it, and one JSON object. What an
//! epoch changed is written once for all readers with the same filter, and not copied for each.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use dataflows::domain::Epoch;

use crate::views::row_json::{write_integer, write_key, write_row, write_text};
use crate::views::{Change, ChangeSet, Filter, Lost, Position};

/// Of all changes that are kept as they were written.
const CHANGES_BYTES_MAX: usize = 64 << 20;
/// Bytes that are shared from which on they are passed on as a piece of their own: fewer are sooner
/// copied than written to a socket apart.
const SHARED_BYTES_MIN: usize = 4 << 10;
/// Filters for which an epoch's changes are kept; those of more are written for each reader. Those
/// that are found by key may take half of the places: they are soon written.
const FILTERS_KEPT: usize = 2048;
/// Of all snapshots that are kept.
const SNAPSHOT_BYTES_MAX: usize = 64 << 20;

/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `snapshot`, `changes`, `progress`, `lagged` or `end`.
    pub event: &'static str,
    /// Where a reader is that has taken it in; none within a snapshot and where it must begin anew.
    pub id: Option<Position>,
    /// One JSON object on one line, as far as what is shared and the brace at its end.
    head: Vec<u8>,
    /// What all readers of the filter get, the changes or the snapshot; empty where the head has all.
    data: Bytes,
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
        Frame { event: "changes", id: Some(id), head, data: changes }
    }

    /// A part of a snapshot: `data`, which lacks the brace at its end; with an id where it is the
    /// last.
    pub fn snapshot(id: Option<Position>, data: Bytes) -> Frame {
        Frame { event: "snapshot", id, head: Vec::new(), data }
    }

    /// `{"epoch":…,"after":…}`: nothing changed since.
    pub fn progress(after: Position, id: Position) -> Frame {
        let mut head = open(id.epoch);
        write_after(after, &mut head);
        Frame { event: "progress", id: Some(id), head, data: Bytes::new() }
    }

    /// `{"epoch":…,"reason":…}`: the reader cannot go on from this epoch, and a snapshot follows.
    pub fn lagged(epoch: Epoch, lost: Lost) -> Frame {
        let head = with_reason(epoch, lost.as_str());
        Frame { event: "lagged", id: None, head, data: Bytes::new() }
    }

    /// `{"epoch":…,"reason":…}`: the last frame.
    pub fn end(id: Position, reason: &'static str) -> Frame {
        let head = with_reason(id.epoch, reason);
        Frame { event: "end", id: Some(id), head, data: Bytes::new() }
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
        let rest = if self.data.len() < SHARED_BYTES_MIN {
            out.extend_from_slice(&self.data);
            out.extend_from_slice(end);
            None
        } else {
            Some([self.data, Bytes::from_static(end)])
        };
        std::iter::once(Bytes::from(out)).chain(rest.into_iter().flatten())
    }

    /// `{"name":…,"event":…,"id":…,"data":…}`; without `id` where there is none.
    pub fn object(&self, name: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.head.len() + self.data.len() + 256);
        self.open_object(Some(name), &mut out);
        for piece in [&self.head[..], &self.data, b"}}"] {
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

/// What is written for the readers of a filter, once for all of them: what the last epochs changed,
/// and the rows where many begin at the same time, as after a start of the node.
#[derive(Debug)]
pub struct Written {
    kept: Mutex<Kept>,
    /// A snapshot is kept for so many epochs.
    fresh_epochs: u64,
    /// The changes of so many epochs at most: who is further behind gets them merged.
    behind_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    /// Oldest epoch first.
    changes: VecDeque<(Epoch, HashMap<Filter, Bytes>)>,
    changes_bytes: usize,
    snapshots: HashMap<Filter, (Position, Bytes)>,
}

impl Written {
    /// Nothing yet; snapshots are kept for so many epochs, and changes for who is behind by so many.
    pub fn new(fresh_epochs: u64, behind_max: usize) -> Written {
        Written { kept: Mutex::default(), fresh_epochs, behind_max }
    }

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
        let kept = self.kept();
        let (_, by_filter) = kept.changes.iter().rev().find(|(other, _)| *other == epoch)?;
        by_filter.get(filter).cloned()
    }

    fn keep(&self, filter: &Filter, epoch: Epoch, written: Bytes) {
        let mut kept = self.kept();
        let Kept { changes, changes_bytes, snapshots } = &mut *kept;
        if changes.back().is_none_or(|(newest, _)| *newest < epoch) {
            changes.push_back((epoch, HashMap::new()));
            snapshots.retain(|_, (of, _)| of.epoch + self.fresh_epochs >= epoch);
        }
        let filters_max = if filter.looks_at_all() { FILTERS_KEPT } else { FILTERS_KEPT / 2 };
        let of_epoch = changes.iter_mut().find(|(other, _)| *other == epoch);
        if let Some((_, by_filter)) = of_epoch
            && by_filter.len() < filters_max
        {
            *changes_bytes += written.len();
            let twice = by_filter.insert(filter.clone(), written);
            *changes_bytes -= twice.map_or(0, |written| written.len());
        }
        while changes.len() > self.behind_max.max(1) || *changes_bytes > CHANGES_BYTES_MAX {
            let Some((_, by_filter)) = changes.pop_front() else { break };
            *changes_bytes -= by_filter.values().map(Bytes::len).sum::<usize>();
        }
    }

    /// All rows of a reader who asked at an epoch, as they were written meanwhile for another.
    pub fn snapshot(&self, filter: &Filter, asked: Epoch) -> Option<Frame> {
        let (position, data) = self.kept().snapshots.get(filter).cloned()?;
        (position.epoch >= asked).then(|| Frame::snapshot(Some(position), data))
    }

    /// Keeps a snapshot of one part for who comes next.
    pub fn keep_snapshot(&self, filter: &Filter, frame: &Frame) {
        let Some(position) = frame.id.filter(|_| filter.looks_at_all()) else { return };
        let mut kept = self.kept();
        let others = kept.snapshots.iter().filter(|(other, _)| *other != filter);
        let bytes: usize = others.map(|(_, (_, data))| data.len()).sum();
        if bytes + frame.data.len() <= SNAPSHOT_BYTES_MAX {
            kept.snapshots.insert(filter.clone(), (position, frame.data.clone()));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use dataflows::views::View;

    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_a_snapshot_is_for_who_asked_before() {
        let written = Written::new(10, 3);
        let (all, other) = (Filter::all(View::Units), Filter::all(View::Agencies));
        let snapshot = |epoch, bytes: usize| {
            let id = Position { epoch, digest: Default::default() };
            Frame::snapshot(Some(id), vec![b'x'; bytes].into())
        };
        let found = |filter, asked| written.snapshot(filter, asked).and_then(|frame| frame.id);
        written.keep_snapshot(&all, &snapshot(5, 100));
        assert_eq!(found(&all, 5).map(|id| id.epoch), Some(5));
        assert_eq!((found(&all, 6), found(&other, 5)), (None, None));
        written.keep_snapshot(&all, &snapshot(7, SNAPSHOT_BYTES_MAX));
        written.keep_snapshot(&other, &snapshot(7, 1));
        assert_eq!(found(&all, 6).map(|id| id.epoch), Some(7));
        assert_eq!(found(&other, 6), None, "there is no room");

        for epoch in 8..=17 {
            written.keep(&all, epoch, vec![b'x'; CHANGES_BYTES_MAX / 4].into());
            assert_eq!(written.known(&all, epoch).map(|w| w.len()), Some(CHANGES_BYTES_MAX / 4));
        }
        let known: Vec<Epoch> = (0..20).filter(|e| written.known(&all, *e).is_some()).collect();
        assert_eq!(known, [15, 16, 17]);
        assert!(found(&all, 6).is_some());
        written.keep(&other, 18, vec![b'x'; CHANGES_BYTES_MAX / 2 + 1].into());
        assert_eq!((written.known(&all, 16), found(&all, 6)), (None, None));
        assert!(written.known(&all, 17).is_some() && written.known(&other, 18).is_some());
    }

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
