//! `GET /v1/live`: any number of subscriptions over one WebSocket.
//!
//! A client writes `subscribe`, `unsubscribe` and `ack`; it gets the frames of all its subscriptions
//! as `{"name":…,"event":…,"id":…,"data":…}`, and what it wrote wrongly as an `error` whose data is
//! a problem. Nothing is queued: while the socket takes no more, subscriptions wait in the history.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures::{SinkExt, Stream, StreamExt, stream};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_stream::StreamMap;

use super::follower::Follower;
use super::frame::Frame;
use super::wish::Subscribe;
use crate::http::Shared;
use crate::http::problem::Problem;

/// Bytes of a message of a client.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Subscriptions of one socket.
const SUBSCRIPTIONS_MAX: usize = 64;
/// Characters of the name of a subscription.
const NAME_CHARS_MAX: usize = 64;
/// How long a socket may be open without a subscription.
const IDLE: Duration = Duration::from_secs(60);

/// What a client writes.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    Subscribe(Box<Subscribe>),
    Unsubscribe {
        name: String,
    },
    /// It has taken in all frames up to this id.
    Ack {
        name: String,
        id: String,
    },
}

type Frames = Pin<Box<dyn Stream<Item = Frame> + Send>>;

/// `GET /v1/live`.
pub async fn socket(
    State(shared): State<Shared>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|error| {
        let detail = format!("this is a WebSocket: {error}");
        Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail)
    })?;
    if !is_same_origin(&headers) {
        let detail = "pages of other hosts may not read these figures";
        return Err(Problem::new(StatusCode::FORBIDDEN, "cross_origin", detail));
    }
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| Session::run(shared, headers, socket)))
}

/// Browsers let any page open a socket to any host, and say which page it was.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else { return true };
    origin.split_once("://").map(|(_, host)| host) == text(header::HOST)
}

/// One socket.
struct Session {
    shared: Shared,
    headers: HeaderMap,
    frames: StreamMap<String, Frames>,
    windows: HashMap<String, Arc<Window>>,
}

impl Session {
    async fn run(shared: Shared, headers: HeaderMap, socket: WebSocket) {
        let shutdown = shared.live.shutdown.clone();
        let mut session =
            Session { shared, headers, frames: StreamMap::new(), windows: HashMap::new() };
        let (mut sender, mut receiver) = socket.split();
        loop {
            let idle = session.frames.is_empty();
            let text = tokio::select! {
                said = receiver.next() => match said {
                    Some(Ok(Message::Text(text))) => session.hear(text.as_bytes()).await,
                    Some(Ok(Message::Binary(bytes))) => session.hear(&bytes).await,
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                },
                Some((name, frame)) = session.frames.next(), if !idle => {
                    Some(session.tell(&name, &frame))
                }
                () = shutdown.cancelled(), if idle => break,
                () = sleep(IDLE), if idle => break,
            };
            if let Some(text) = text
                && sender.send(Message::text(text)).await.is_err()
            {
                return;
            }
        }
        let code = if shutdown.is_cancelled() { close_code::AWAY } else { close_code::NORMAL };
        // Who is gone need not be told.
        let _ = sender.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await;
    }

    /// Does what the client says; returns what is to be answered at once.
    async fn hear(&mut self, text: &[u8]) -> Option<String> {
        let said = serde_json::from_slice(text).map_err(|error| {
            (None, Problem::bad("bad_message", format!("no message of this protocol: {error}")))
        });
        let done = match said {
            Ok(Said::Subscribe(asked)) => {
                let name = asked.name.clone();
                self.subscribe(*asked).await.map_err(|problem| (Some(name), problem))
            }
            Ok(Said::Unsubscribe { name }) => match self.frames.remove(&name) {
                Some(_) => {
                    self.windows.remove(&name);
                    return Some(unsubscribed(&name));
                }
                None => Err((Some(name), no_subscription())),
            },
            Ok(Said::Ack { name, id }) => match self.windows.get(&name) {
                Some(window) => {
                    window.acknowledge(&id);
                    Ok(())
                }
                None => Err((Some(name), no_subscription())),
            },
            Err(wrong) => Err(wrong),
        };
        done.err().map(|(name, problem)| error(name.as_deref(), &problem))
    }

    async fn subscribe(&mut self, asked: Subscribe) -> Result<(), Problem> {
        if self.frames.contains_key(&asked.name) {
            return Err(Problem::bad("bad_value", "there is a subscription of that name"));
        }
        if asked.name.is_empty() || asked.name.chars().count() > NAME_CHARS_MAX {
            let detail = format!("a name has 1..{NAME_CHARS_MAX} characters");
            return Err(Problem::bad("bad_value", detail));
        }
        if self.frames.len() >= SUBSCRIPTIONS_MAX {
            let detail = format!("a socket has {SUBSCRIPTIONS_MAX} subscriptions at most");
            return Err(Problem::later("too_many_subscribers", detail, 5));
        }
        let wish = asked.wish()?;
        let conditions: Vec<String> =
            asked.pairs().map(|(column, value)| format!("{column}={value}")).collect();
        let live = &self.shared.live;
        let seat = live.seat(asked.view()?, conditions.join("&"), "websocket", &self.headers)?;
        let follower = Follower::open(&self.shared, wish, seat).await?;
        let window = Arc::new(Window::new(asked.window));
        let frames = stream::unfold((follower, window.clone()), async |(mut follower, window)| {
            window.enter().await;
            let frame = follower.next().await?;
            window.sent(&frame);
            Some((frame, (follower, window)))
        });
        self.windows.insert(asked.name.clone(), window);
        self.frames.insert(asked.name, Box::pin(frames));
        Ok(())
    }

    /// A frame as it is written; the subscription is over with its last.
    fn tell(&mut self, name: &str, frame: &Frame) -> String {
        if frame.event == "end" {
            self.frames.remove(name);
            self.windows.remove(name);
        }
        String::from_utf8(frame.object(name)).expect("JSON is UTF-8")
    }
}

/// How many frames a client lets be under way.
#[derive(Debug)]
struct Window {
    /// None where it does not count.
    free: Option<Semaphore>,
    unheard: Mutex<VecDeque<String>>,
}

impl Window {
    fn new(frames: Option<u32>) -> Window {
        let free = frames.map(|frames| Semaphore::new(frames.max(1) as usize));
        Window { free, unheard: Mutex::default() }
    }

    /// Waits until one more frame may be under way.
    async fn enter(&self) {
        if let Some(free) = &self.free {
            free.acquire().await.expect("it is never closed").forget();
        }
    }

    /// A frame is under way; one without an id cannot be acknowledged and does not count.
    fn sent(&self, frame: &Frame) {
        let Some(free) = &self.free else { return };
        match frame.id {
            Some(id) => self.unheard().push_back(id.to_string()),
            None => free.add_permits(1),
        }
    }

    /// The client has all frames up to this one.
    fn acknowledge(&self, id: &str) {
        let Some(free) = &self.free else { return };
        let mut unheard = self.unheard();
        if let Some(last) = unheard.iter().rposition(|other| other == id) {
            free.add_permits(unheard.drain(..=last).count());
        }
    }

    fn unheard(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_subscription() -> Problem {
    Problem::bad("unknown_subscription", "there is no subscription of that name")
}

fn unsubscribed(name: &str) -> String {
    serde_json::json!({"name": name, "event": "end", "data": {"reason": "unsubscribed"}})
        .to_string()
}

fn error(name: Option<&str>, problem: &Problem) -> String {
    serde_json::json!({"name": name, "event": "error", "data": problem.json()}).to_string()
}
