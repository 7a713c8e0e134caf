//! A server of views in this process, on a free port, and a client that knows what it reads.

use std::sync::Arc;
use std::time::Duration;

use dataflows::calendar::{Day, Month};
use dataflows::id::Id;
use dataflows::tally::Spread;
use dataflows::views::{PendingReason, Row, Scope};
use otklik::config::Config;
use otklik::http::listen::{self, Bounded};
use otklik::http::{answers, live::Live, problem, routes};
use otklik::views::{Bounds, Served};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longer than any test.
pub const NEVER: Duration = Duration::from_secs(3600);
/// As if the clock ticked so often.
pub const EPOCH_MS: u64 = 100;
/// As many may be open.
pub const CONNECTIONS_MAX: usize = 20;
/// What is waited for comes sooner, or the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Node {
    pub served: Arc<Served>,
    pub live: Arc<Live>,
    pub shutdown: CancellationToken,
    pub url: String,
    pub client: Client,
}

/// A server on a free port, with places for two subscribers.
pub async fn node(history_changes_max: usize, progress_interval: Duration) -> Node {
    let bounds = Bounds { changes_max: history_changes_max, epochs_max: u64::MAX };
    let served = Arc::new(Served::new(bounds));
    let shutdown = CancellationToken::new();
    let mut config = Config::default().live;
    config.subscribers = 2;
    config.progress_ms = progress_interval.as_millis() as u64;
    let live = Arc::new(Live::new(&config, EPOCH_MS, shutdown.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let app = routes(served.clone(), live.clone()).fallback(problem::not_found);
    let mut limits = Config::default().limits;
    limits.connections = CONNECTIONS_MAX;
    let listener = Bounded::new(listener, &limits);
    tokio::spawn(listen::serve(listener, answers(app), CancellationToken::new()));
    Node { served, live, shutdown, url, client: Client::new() }
}

impl Node {
    pub async fn get(&self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.url)).send();
        tokio::time::timeout(PATIENCE, request).await.expect("in time").expect("an answer")
    }

    pub async fn json(&self, path: &str) -> Json {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json");
        // Rows may be kept by whoever asks whether they are still the same.
        let is_tagged = response.headers().contains_key("etag");
        let caching = if is_tagged { "no-cache" } else { "no-store" };
        assert_eq!(response.headers()["cache-control"], caching);
        response.json().await.expect("JSON")
    }

    pub async fn problem(&self, path: &str, status: StatusCode, code: &str) -> Json {
        let response = self.get(path).await;
        assert_eq!(response.status(), status, "{path}");
        let retry_after = response.headers().contains_key("retry-after");
        assert_eq!(retry_after, status == StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: Json = response.json().await.expect("JSON");
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status.as_u16())));
        assert_eq!(problem["type"], format!("urn:otklik:problem:{code}"));
        assert!(problem["title"].is_string());
        problem
    }

    pub async fn follow(&self, path: &str, last_event_id: Option<&str>) -> Events {
        let mut request = self.client.get(format!("{}{path}", self.url));
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Events { response, text: Vec::new() }
    }
}

pub struct Events {
    pub response: Response,
    pub text: Vec<u8>,
}

#[derive(Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Json,
}

impl Events {
    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let text: Vec<u8> = self.text.drain(..end + 2).collect();
                return Some(Event::parse(std::str::from_utf8(&text).expect("UTF-8")));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            match chunk.expect("an event in time").expect("an open stream") {
                Some(chunk) => self.text.extend_from_slice(&chunk),
                None => return None,
            }
        }
    }

    /// The next event, which is of this name and epoch.
    pub async fn event(&mut self, name: &str, epoch: u64) -> Event {
        let event = self.next().await.expect("an event");
        assert_eq!((event.name.as_str(), &event.data["epoch"]), (name, &json!(epoch)));
        if let Some(id) = &event.id {
            assert!(id.starts_with(&format!("{epoch}-")), "{id}");
        }
        event
    }

    /// Its data.
    pub async fn expect(&mut self, name: &str, epoch: u64) -> Json {
        self.event(name, epoch).await.data
    }
}

impl Event {
    pub fn parse(text: &str) -> Event {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
        };
        let data = serde_json::from_str(&field("data").expect("data")).expect("data are JSON");
        Event { name: field("event").expect("a name"), id: field("id"), data }
    }
}

pub fn pending(reason: PendingReason, count: i64) -> Row {
    Row::Pending { reason, count }
}

pub fn sample(unit: &str, record: u64, order: u32) -> Row {
    Row::SurveySample { unit: Id::of(unit), day: Day(0), record, order }
}

pub fn month(scope: Scope, id: &str, month: i32) -> Row {
    let spread = Spread { scores: [0, 0, 0, 0, month], records: [1], facts: [1] };
    let spread = Box::new(spread);
    Row::Month { scope, id: Id::of(id), month: Month(2018 * 12 + month - 1), spread }
}

pub fn all(rows: impl IntoIterator<Item = Row>) -> Vec<(Row, i64)> {
    rows.into_iter().map(|row| (row, 1)).collect()
}

pub fn len(list: &Json) -> usize {
    list.as_array().expect("a list").len()
}

/// Waits until the server has noticed that clients went away.
pub async fn free(live: &Live, subscribers: usize) {
    let freed = async {
        while live.subscribers() > subscribers {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.expect("the place is free again");
}
