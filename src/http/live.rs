//! `GET /v1/views/{view}/live`: a view as server-sent events.
//!
//! `snapshot` and then `changes`, each event one epoch or several merged ones, with the last of
//! them as its id; `progress` when nothing changed for a while, so that a reader always knows how
//! old its figures are; `lagged` and the end when the history no longer reaches back to what the
//! reader has seen. A reader costs a position, not a queue: what it missed while its socket was
//! full is merged when it reads again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use dataflows::domain::Epoch;
use futures::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::api::{Request, RowsJson, ViewPath, ViewQuery};
use super::problem::Problem;
use crate::views::row_json::{write_integer, write_key, write_row};
use crate::views::{Change, Rows, Step, Subscription};

/// How soon a client that lost its stream is asked to come back.
const RETRY_MS: u32 = 1000;

/// What all live streams share: how many there may be, and the end of them.
#[derive(Debug)]
pub struct Live {
    places: Arc<Semaphore>,
    subscribers_max: usize,
    progress_interval: Duration,
    shutdown: CancellationToken,
}

impl Live {
    /// At most `subscribers_max` streams, each of which says something every `progress_interval`;
    /// all of them end when `shutdown` is cancelled.
    pub fn new(
        subscribers_max: usize,
        progress_interval: Duration,
        shutdown: CancellationToken,
    ) -> Live {
        let places = Arc::new(Semaphore::new(subscribers_max));
        Live { places, subscribers_max, progress_interval, shutdown }
    }

    /// How many streams there are.
    pub fn subscribers(&self) -> usize {
        self.subscribers_max - self.places.available_permits()
    }
}

/// `GET /v1/views/{view}/live`.
pub(super) async fn follow(
    State(shared): State<Shared>,
    headers: HeaderMap,
    path: ViewPath,
    query: ViewQuery,
) -> Result<Response, Problem> {
    let mut request = Request::parse(path, query)?;
    // A browser that reconnects sends the header, and the parameter it began with once more.
    let parameter = request.take("last_event_id");
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let last_event_id = header.or(parameter.as_deref()).and_then(|id| id.parse::<Epoch>().ok());
    let filter = request.filter()?;

    let live = shared.live.clone();
    let place = live.places.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("all {} places of live streams are taken", live.subscribers_max);
        Problem::later("too_many_subscribers", detail, 5)
    })?;
    let mut opening = format!("retry: {RETRY_MS}\n").into_bytes();
    let resumed = last_event_id.and_then(|id| Subscription::resume(&shared.served, &filter, id));
    let (phase, subscription) = match resumed {
        Some(subscription) => (Phase::Following, subscription),
        None => {
            let snapshot = shared.snapshot().await?;
            open_event("snapshot", snapshot.epoch, &mut opening);
            let rows = Rows::new(&snapshot, filter.clone());
            let rows = RowsJson::new(snapshot.epoch, rows, usize::MAX);
            let subscription = Subscription::begin(&shared.served, filter, &snapshot);
            (Phase::Snapshot(rows), subscription)
        }
    };
    // A resumed reader is told at once that it is up to date, if it is.
    let follower = Follower {
        subscription,
        epochs: shared.served.epochs(),
        live,
        opening,
        phase,
        due: Instant::now(),
        _place: place,
    };
    Ok(event_stream(Body::from_stream(stream::unfold(follower, Follower::next).fuse())))
}

fn event_stream(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // Said to the proxies that would otherwise collect events before passing them on.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

enum Phase {
    Snapshot(RowsJson),
    Following,
    Ended,
}

/// One stream; it is asked for the next bytes when its socket takes them.
struct Follower {
    subscription: Subscription,
    epochs: watch::Receiver<Option<Epoch>>,
    live: Arc<Live>,
    /// What goes before everything else.
    opening: Vec<u8>,
    phase: Phase,
    /// When it has been silent for long enough.
    due: Instant,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Follower)> {
        let mut out = std::mem::take(&mut self.opening);
        match &mut self.phase {
            _ if self.live.shutdown.is_cancelled() => return None,
            Phase::Ended => return None,
            Phase::Snapshot(body) => {
                if !body.write_piece(&mut out).await {
                    close_event(&mut out);
                    self.phase = Phase::Following;
                    self.due = Instant::now() + self.live.progress_interval;
                }
            }
            Phase::Following => self.write_step(&mut out).await?,
        }
        Some((Ok(Bytes::from(out)), self))
    }

    /// Waits for something to say and writes it; `None` at the end of the node.
    async fn write_step(&mut self, out: &mut Vec<u8>) -> Option<()> {
        loop {
            self.epochs.mark_unchanged();
            match self.subscription.step() {
                Step::Changes { epoch, changes } => write_changes(epoch, &changes, out),
                Step::Lagged { epoch } => {
                    write_position("lagged", epoch, out);
                    self.phase = Phase::Ended;
                }
                Step::Nothing { epoch } if Instant::now() >= self.due => {
                    write_position("progress", epoch, out);
                }
                Step::Nothing { .. } => {
                    tokio::select! {
                        () = self.live.shutdown.cancelled() => return None,
                        _ = self.epochs.changed() => {}
                        () = tokio::time::sleep_until(self.due) => {}
                    }
                    continue;
                }
            }
            self.due = Instant::now() + self.live.progress_interval;
            return Some(());
        }
    }
}

/// `{"epoch":…,"changes":[{"op":…,"key":…,"row":…}]}`; the row of a delete is null.
fn write_changes(epoch: Epoch, changes: &[Change], out: &mut Vec<u8>) {
    open_event("changes", epoch, out);
    write_epoch(epoch, out);
    out.extend_from_slice(b",\"changes\":[");
    for (n, change) in changes.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        let op = if change.after.is_some() { "upsert" } else { "delete" };
        out.extend_from_slice(b"{\"op\":\"");
        out.extend_from_slice(op.as_bytes());
        out.extend_from_slice(b"\",\"key\":");
        write_key(change.any_row(), out);
        out.extend_from_slice(b",\"row\":");
        match &change.after {
            Some(row) => write_row(row, out),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
    out.push(b']');
    close_event(out);
}

/// An event that says an epoch and nothing else.
fn write_position(name: &str, epoch: Epoch, out: &mut Vec<u8>) {
    open_event(name, epoch, out);
    write_epoch(epoch, out);
    close_event(out);
}

/// An event up to its data, which are one object on one line.
fn open_event(name: &str, epoch: Epoch, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("event: {name}\nid: {epoch}\ndata: ").as_bytes());
}

fn write_epoch(epoch: Epoch, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"epoch\":");
    write_integer(i64::try_from(epoch).expect("epochs are milliseconds"), out);
}

fn close_event(out: &mut Vec<u8>) {
    out.extend_from_slice(b"}\n\n");
}
