//! The other side of the wire, as a test wants it, and lines to send there.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::future::BoxFuture;
use futures::{FutureExt, stream};
use otklik::replay::{self, Node, Pace, PerSecond, Plan, Progress, Report};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the other side does with a batch: its number (from 0, repeats count) and its text.
pub type Answering = Arc<dyn Fn(usize, String) -> BoxFuture<'static, Response> + Send + Sync>;

/// The other side of the wire: `POST /v1/events` answered by a test, and no view to follow.
pub struct OtherSide {
    answering: Answering,
    received: Mutex<Vec<String>>,
    count: AtomicUsize,
}

async fn receive(State(side): State<Arc<OtherSide>>, body: String) -> Response {
    let number = side.count.fetch_add(1, Ordering::SeqCst);
    side.received.lock().expect("no panics").push(body.clone());
    (side.answering)(number, body).await
}

impl OtherSide {
    pub fn new<F, A>(answering: F) -> Arc<OtherSide>
    where
        F: Fn(usize, String) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let answering: Answering = Arc::new(move |number, body| answering(number, body).boxed());
        Arc::new(OtherSide { answering, received: Mutex::default(), count: AtomicUsize::new(0) })
    }

    pub fn routes(self: &Arc<Self>) -> Router {
        Router::new().route("/v1/events", post(receive)).with_state(self.clone())
    }

    pub async fn serve(self: &Arc<Self>) -> Node {
        serve(self.routes()).await
    }

    pub fn received(&self) -> Vec<String> {
        self.received.lock().expect("no panics").clone()
    }

    /// Each line that was received, once.
    pub fn lines(&self) -> BTreeSet<String> {
        self.received().iter().flat_map(|body| body.lines()).map(str::to_owned).collect()
    }
}

pub async fn listen() -> (TcpListener, Node) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, format!("http://{address}").parse().expect("an address"))
}

pub async fn serve(routes: Router) -> Node {
    let (listener, node) = listen().await;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    node
}

/// The answer of a node that accepts every line, in `epoch`.
pub fn accept(body: &str, epoch: u64) -> Response {
    let accepted = body.lines().count();
    Json(serde_json::json!({"accepted": accepted, "refused": [], "epoch": epoch})).into_response()
}

pub fn busy(status: StatusCode, after: &'static str) -> Response {
    (status, [(header::RETRY_AFTER, after)]).into_response()
}

/// An answer whose connection breaks in the middle of it.
pub fn broken() -> Response {
    let pieces = [Ok(Bytes::from_static(b"{\"accepted\":")), Err(io::Error::other("broken"))];
    Response::new(Body::from_stream(stream::iter(pieces)))
}

pub fn sms(record: usize) -> String {
    format!(
        r#"{{"type":"sms","record":{record},"text":"5","received_at":"2018-03-01T10:00:00+03:00"}}"#
    )
}

pub fn agency(number: usize) -> String {
    format!(r#"{{"type":"agency","id":"A","name":"name {number}"}}"#)
}

/// A file of lines; it goes with the directory.
pub fn input(lines: impl IntoIterator<Item = String>) -> (TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("events.ndjson");
    let text: String = lines.into_iter().map(|line| line + "\n").collect();
    std::fs::write(&path, text).expect("writes");
    (directory, vec![path])
}

pub fn per_second(events: f64) -> Pace {
    Pace::Rate(PerSecond::new(events).expect("above 0"))
}

pub async fn replayed(plan: Plan) -> Report {
    let (progress, _) = watch::channel(Progress::default());
    replay::replay(plan, progress, CancellationToken::new()).await.expect("the files are there")
}
