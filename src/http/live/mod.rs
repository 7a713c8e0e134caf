//! Live streams of views: `GET /v1/views/{view}/live` as server-sent events or as lines of JSON,
//! and several at once over the WebSocket at `GET /v1/live`.
//!
//! The frames are the same on every way ([docs/live.md](../../../docs/live.md) is their contract):
//! a `snapshot` in parts; then `changes`, one frame an epoch, all of it or nothing; `progress` when
//! there is nothing to say, so that a reader always knows how old its figures are; `lagged` and a
//! new snapshot when it cannot go on from where it was; `end` at the end. Every frame says which
//! position it goes on from, so a reader knows by itself that nothing is missing.

mod follower;
mod frame;
mod seats;
mod socket;
mod wish;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use dataflows::views::View;
use futures::{StreamExt, stream};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::problem::Problem;
use super::request::{Request, ViewPath, ViewQuery};
use crate::config;
use follower::Follower;
use frame::{Wire, Written};
use seats::{Guest, Seat, Seats};

pub(super) use socket::socket;

/// How soon a client that lost its stream is asked to come back.
const RETRY_MS: u32 = 1000;
/// Characters kept of what a client says it is.
const CLIENT_CHARS_MAX: usize = 128;
/// For so long the rows that were written for one reader are good for those who asked before.
const SNAPSHOT_MS: u64 = 1000;
/// Subscribers of an answer that asks for no number.
const LIST_DEFAULT: usize = 1000;

/// What all live streams share: how many there may be, what they are given, and their end.
#[derive(Debug)]
pub struct Live {
    seats: Arc<Seats>,
    written: Written,
    progress_interval: Duration,
    behind_max: usize,
    epoch_ms: u64,
    shutdown: CancellationToken,
}

impl Live {
    /// As the configuration says; all streams end when `shutdown` is cancelled.
    pub fn new(config: &config::Live, epoch_ms: u64, shutdown: CancellationToken) -> Live {
        Live {
            seats: Arc::new(Seats::new(config.subscribers)),
            written: Written::new(SNAPSHOT_MS / epoch_ms.max(1), config.behind_epochs),
            progress_interval: Duration::from_millis(config.progress_ms),
            behind_max: config.behind_epochs,
            epoch_ms,
            shutdown,
        }
    }

    /// How many streams there are.
    pub fn subscribers(&self) -> usize {
        self.seats.taken()
    }

    /// Milliseconds of an epoch.
    pub(super) fn epoch_ms(&self) -> u64 {
        self.epoch_ms
    }

    /// A place for a stream of a view; `conditions` is what it says beside the view's name.
    fn seat(
        &self,
        view: View,
        conditions: String,
        transport: &'static str,
        headers: &HeaderMap,
    ) -> Result<Seat, Problem> {
        let client = headers.get(header::USER_AGENT).and_then(|name| name.to_str().ok());
        let client = client.unwrap_or_default().chars().take(CLIENT_CHARS_MAX).collect();
        let guest = Guest { view, conditions, transport, client };
        self.seats.take(guest).ok_or_else(|| {
            let detail = format!("all {} places of live streams are taken", self.seats.seats_max());
            Problem::later("too_many_subscribers", detail, 5)
        })
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
    let wire = wire(&mut request, &headers)?;
    let wish = wish::of_request(&mut request, &headers)?;
    let transport = if wire == Wire::Events { "sse" } else { "ndjson" };
    let seat = shared.live.seat(request.view(), request.conditions(), transport, &headers)?;
    let follower = Follower::open(&shared, wish, seat).await?;
    let opening = match wire {
        Wire::Events => format!("retry: {RETRY_MS}\n").into_bytes(),
        Wire::Lines => Vec::new(),
    };
    let frames = stream::unfold((follower, opening), move |(mut follower, out)| async move {
        let pieces = follower.next().await?.pieces(wire, out);
        Some((stream::iter(pieces.map(Ok::<Bytes, Infallible>)), (follower, Vec::new())))
    });
    let frames = frames.flatten();
    let content_type = match wire {
        Wire::Events => "text/event-stream",
        Wire::Lines => "application/x-ndjson",
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        // Said to the proxies that would otherwise collect events before passing them on.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(frames.fuse())).into_response())
}

/// As asked for by `format`, or else by `Accept`.
fn wire(request: &mut Request, headers: &HeaderMap) -> Result<Wire, Problem> {
    let format = request.take("format");
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    match format.as_deref() {
        Some("sse") => Ok(Wire::Events),
        Some("ndjson") => Ok(Wire::Lines),
        Some(_) => Err(Problem::bad("bad_value", "format is sse or ndjson")),
        None if accept.is_some_and(|accept| accept.contains("application/x-ndjson")) => {
            Ok(Wire::Lines)
        }
        None => Ok(Wire::Events),
    }
}

/// `GET /v1/subscribers`: `{"epoch":…,"count":…,"subscribers":[…]}`, the slowest first.
pub(super) async fn subscribers(
    State(shared): State<Shared>,
    query: ViewQuery,
) -> Result<axum::Json<Json>, Problem> {
    let mut request = Request::of_query(query)?;
    let limit = request.limit()?.unwrap_or(LIST_DEFAULT);
    request.end()?;
    let (live, epoch) = (&shared.live, shared.served.epoch());
    Ok(axum::Json(json!({
        "epoch": epoch,
        "count": live.subscribers(),
        "subscribers": live.seats.list(epoch.unwrap_or_default(), live.epoch_ms, limit),
    })))
}
