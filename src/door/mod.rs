//! The door: `POST /v1/events`, where ratings and reference data come in (contract § 3).
//!
//! A body is taken in within its bounds, its lines are judged one by one, and those that pass go to
//! the log as one batch. The answer is given after the batch is durable, never before. The door
//! knows nothing of the dataflow: that it is down or behind changes no answer here.

mod batch;
mod body;
mod places;
pub mod sources;

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::header::EXPECT;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use dataflows::domain::Epoch;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tower_http::set_header::SetResponseHeaderLayer;

pub use batch::Refused;

use crate::config::Limits;
use crate::http::problem::{self, Problem};
use crate::log::FrameBuilder;
use crate::node::commit::Work;
use crate::node::status::Status;
use body::{BodyError, PERMIT_BYTES, Taken};
use places::Places;
use sources::{Sources, Told};

/// Seconds after which a sender should try again where a disk is full.
const FULL_RETRY_SECONDS: u32 = 5;

/// Events that wait to become durable.
#[derive(Debug)]
pub struct Submission {
    /// The events; may be none.
    pub frame: FrameBuilder,
    /// Told when they are durable, with the epoch they are in.
    pub reply: oneshot::Sender<Result<Epoch, NotWritten>>,
    /// The room they take in memory.
    pub room: OwnedSemaphorePermit,
}

/// Why events did not become durable. Dropping the reply means that the node is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// Nothing of them is in the log.
    #[error("the disk is full: nothing of the batch is accepted until there is room")]
    Full,
}

/// What the door needs of the node.
#[derive(Debug)]
pub struct Door {
    limits: Limits,
    /// Of the requests that may be taken in at the same time.
    places: Places,
    /// A permit for each [`PERMIT_BYTES`] that may wait for the disk.
    room: Arc<Semaphore>,
    log: SyncSender<Work>,
    status: Arc<Status>,
    sources: Sources,
}

/// What is in the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Batches being read or waiting for the disk.
    pub batches: usize,
    /// Bytes of their events.
    pub bytes: usize,
}

/// The answer to a batch.
#[derive(Debug, Serialize)]
struct Answer {
    accepted: u64,
    refused: Vec<Refused>,
    epoch: Epoch,
}

impl Door {
    /// A door that hands what it accepts to `log`, whose bound should be `limits.requests`.
    pub fn new(limits: Limits, log: SyncSender<Work>, status: Arc<Status>) -> Door {
        Door {
            places: Places::new(limits.requests),
            room: Arc::new(Semaphore::new(limits.waiting_bytes / PERMIT_BYTES)),
            limits,
            log,
            status,
            sources: Sources::default(),
        }
    }

    /// What is in the door now.
    pub fn waiting(&self) -> Waiting {
        let room = self.limits.waiting_bytes / PERMIT_BYTES - self.room.available_permits();
        Waiting { batches: self.places.taken(), bytes: room * PERMIT_BYTES }
    }
}

/// `POST /v1/events`, `GET /v1/sources`.
pub fn routes(door: Arc<Door>) -> Router {
    let no_store = SetResponseHeaderLayer::overriding(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    Router::new()
        .route("/v1/sources", get(tell_sources))
        .layer(no_store)
        .route("/v1/events", post(submit))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(door)
}

/// From when on messages are counted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    from: Option<String>,
}

/// `GET /v1/sources`: who sends, how much since `from`, and when last.
async fn tell_sources(
    State(door): State<Arc<Door>>,
    query: Result<Query<Since>, QueryRejection>,
) -> Result<Json<Told>, Problem> {
    let Query(Since { from }) =
        query.map_err(|error| Problem::bad("bad_request", error.body_text()))?;
    let time = |text: String| {
        let detail = format!("from {text:?} is not a time of RFC 3339");
        text.parse::<Timestamp>().map_err(|_| Problem::bad("bad_value", detail))
    };
    let from = from.map(time).transpose()?;
    Ok(Json(door.sources.told(from)))
}

async fn submit(State(door): State<Arc<Door>>, request: Request) -> Result<Json<Answer>, Problem> {
    let (head, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let answer = door.take(&head.headers, &mut body).await;
    let status = answer.as_ref().map_or_else(|problem| problem.status, |_| StatusCode::OK);
    door.status.metrics.answered(status.as_u16());
    // Who waits for "100 Continue" has sent nothing, and must not be asked for it now.
    if answer.is_err() && !head.headers.contains_key(EXPECT) {
        body::linger(&mut body, door.limits.body_bytes).await;
    }
    answer.map(Json)
}

impl Door {
    /// From the request to what is durable.
    async fn take(
        &self,
        headers: &HeaderMap,
        body: &mut BodyDataStream,
    ) -> Result<Answer, Problem> {
        let place = self.places.take().ok_or_else(|| {
            let detail = format!("{} batches are being taken in already", self.limits.requests);
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail);
            Problem { retry_after_s: Some(1), ..problem }
        })?;
        if !self.status.is_accepting() {
            return Err(Problem::later("not_accepting", "the log is being read, or closed", 1));
        }
        let time = Duration::from_secs(self.limits.body_seconds);
        let taking = body::take(headers, body, &self.limits, &self.room, &place);
        let Taken { batch, room } = tokio::select! {
            taken = tokio::time::timeout(time, taking) => {
                taken.map_err(|_| BodyError::Slow(self.limits.body_seconds))??
            }
            () = place.given_away() => return Err(BodyError::GaveWay.into()),
        };
        place.complete();

        let accepted = u64::from(batch.frame.events());
        let (reply, written) = oneshot::channel();
        self.log.try_send(Work::Write(Submission { frame: batch.frame, reply, room })).map_err(
            |error| match error {
                TrySendError::Full(_) => BodyError::NoRoom.into(),
                TrySendError::Disconnected(_) => stopping(),
            },
        )?;
        let epoch = written.await.map_err(|_| stopping())?.map_err(|NotWritten::Full| {
            Problem::later("disk_full", NotWritten::Full.to_string(), FULL_RETRY_SECONDS)
        })?;
        let metrics = &self.status.metrics;
        metrics.taken(&batch.accepted, &batch.refused);
        for (type_name, sender, events) in self.sources.taken(batch.accepted) {
            metrics.sent(type_name, &sender, events);
        }
        Ok(Answer { accepted, refused: batch.refused, epoch })
    }
}

/// Sending again is right: the same events change no figure twice.
fn stopping() -> Problem {
    Problem::later("stopping", "the node is stopping: send the batch again", 1)
}
