//! HTTP (contract § 3): the views as pages of JSON, as live streams, and the description of it all.
//!
//! Owns the shapes on the wire and nothing else: what is served comes from [`Served`], and what
//! answers here never waits for the dataflow. Other parts of the node bring their own routes and
//! use [`problem`] for their errors.

pub mod api;
mod as_of;
mod context;
pub mod explain;
pub mod listen;
pub mod live;
pub mod openapi;
pub mod problem;
mod request;
mod values;
mod written;

use std::panic::resume_unwind;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::routing::get;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::views::{Served, Snapshot};
use live::Live;
use problem::Problem;

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    served: Arc<Served>,
    live: Arc<Live>,
    turns: Arc<Semaphore>,
}

/// Many rows are found or written by so many answers at a time, and by the others in turn: else a
/// thousand that are asked for at once would be a thousand tasks in front of whatever comes next, and
/// it may be events that wait to be accepted.
const TURNS: usize = 2;

impl Shared {
    /// All rows of the last complete epoch. Elsewhere than on this thread, because it may have to
    /// wait while an epoch is being made.
    async fn snapshot(&self) -> Result<Snapshot, Problem> {
        let served = self.served.clone();
        aside(move || served.snapshot()).await?.ok_or_else(Problem::not_ready)
    }

    /// Waits for a turn to do what takes long, which lasts until what is yielded is dropped.
    async fn turn(&self) -> OwnedSemaphorePermit {
        let turns = Arc::clone(&self.turns);
        turns.acquire_owned().await.expect("it is never closed")
    }
}

/// Does what may wait or take long on a thread that serves nobody.
///
/// # Errors
/// The node is stopping, and it was not done.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => Ok(done),
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_)) => Err(Problem::stopping()),
    }
}

/// All routes of a node, with what every answer has: the id of its request.
pub fn answers(routes: Router) -> Router {
    routes.layer(axum::middleware::from_fn(context::context))
}

/// `/v1/views`, `/v1/views/{view}`, `/v1/views/{view}/live` and `/openapi.json`.
///
/// Figures are out of date within a tick, so nothing may be stored; answers are compressed for who
/// accepts gzip, except live streams, whose events must not wait in a compressor. There is no
/// fallback: who merges the routers sets one ([`problem::not_found`]).
pub fn routes(served: Arc<Served>, live: Arc<Live>) -> Router {
    let no_store = SetResponseHeaderLayer::if_not_present(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    Router::new()
        .route("/v1/views", get(api::catalogue))
        .route("/v1/views/{view}", get(api::rows))
        .route("/openapi.json", get(openapi::document))
        .layer(CompressionLayer::new())
        .route("/v1/views/{view}/live", get(live::follow))
        .route("/v1/live", get(live::socket))
        .route("/v1/subscribers", get(live::subscribers))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(no_store)
        .with_state(Shared { served, live, turns: Arc::new(Semaphore::new(TURNS)) })
}
