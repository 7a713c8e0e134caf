//! A subscriber: follows `conservation` by server-sent events and notes when it sees which epoch.
//!
//! All views of an epoch become visible together, so one view tells of all.

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::lane::{causes, client};

/// A stream that is silent for so long is dead; a node says something every second by default.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// The first pause before coming back.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause before coming back.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Bytes of a line; the row of `conservation` has some hundred.
const LINE_BYTES_MAX: usize = 1 << 20;

/// What the subscriber has to say.
#[derive(Debug)]
pub enum Notice {
    /// It has seen this epoch now.
    Seen {
        /// The epoch; all before it are seen as well.
        epoch: u64,
        /// When.
        at: Instant,
    },
    /// It lost its stream or could not have one, and comes back.
    Lost(String),
}

/// Follows `live` until nobody listens; ends early if there is no such stream.
pub async fn follow(live: Url, notices: mpsc::Sender<Notice>) {
    let client = client(|builder| builder.read_timeout(SILENT_MAX));
    let mut last_event_id = None;
    let mut pause = PAUSE_MIN;
    loop {
        let ended = tokio::select! {
            ended = stream(&client, &live, &mut last_event_id, &mut pause, &notices) => ended,
            () = notices.closed() => return,
        };
        let (Ended::Lost(cause) | Ended::Never(cause)) = &ended;
        if notices.send(Notice::Lost(cause.clone())).await.is_err()
            || matches!(ended, Ended::Never(_))
        {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

enum Ended {
    Lost(String),
    Never(String),
}

/// One connection, from where the last one ended. The pause is short again once it works.
async fn stream(
    client: &Client,
    live: &Url,
    last_event_id: &mut Option<HeaderValue>,
    pause: &mut Duration,
    notices: &mpsc::Sender<Notice>,
) -> Ended {
    let mut request = client.get(live.clone()).header(ACCEPT, "text/event-stream");
    if let Some(id) = last_event_id.clone() {
        request = request.header("last-event-id", id);
    }
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Ended::Lost(causes(error)),
    };
    let status = response.status();
    if !status.is_success() {
        let cause = format!("the node answers {status}");
        let never = status.is_client_error() && !matches!(status.as_u16(), 408 | 429);
        return if never { Ended::Never(cause) } else { Ended::Lost(cause) };
    }
    let mut reading = Reading::default();
    loop {
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ended::Lost("the node ended the stream".to_owned()),
            Err(error) => return Ended::Lost(causes(error)),
        };
        let at = Instant::now();
        let Ok(epoch) = reading.push(&piece) else {
            return Ended::Lost(format!("a line is longer than {LINE_BYTES_MAX} bytes"));
        };
        if let Some(id) = reading.id.take().and_then(|id| HeaderValue::from_bytes(&id).ok()) {
            *last_event_id = Some(id);
        }
        if let Some(epoch) = epoch {
            *pause = PAUSE_MIN;
            if notices.send(Notice::Seen { epoch, at }).await.is_err() {
                return Ended::Never("nobody listens".to_owned());
            }
        }
    }
}

/// A stream of server-sent events in the reading.
#[derive(Debug, Default)]
struct Reading {
    line: Vec<u8>,
    /// Of the event that is being read.
    name: Vec<u8>,
    data: Vec<u8>,
    next_id: Option<Vec<u8>>,
    /// Of the last whole event that had one.
    id: Option<Vec<u8>>,
}

/// A line too long to be kept.
#[derive(Debug, PartialEq, Eq)]
struct TooLong;

#[derive(Deserialize)]
struct Position {
    epoch: u64,
}

impl Reading {
    /// Takes the next bytes; the last epoch among the events that are whole now, if any.
    fn push(&mut self, bytes: &[u8]) -> Result<Option<u64>, TooLong> {
        let mut epoch = None;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + self.data.len() + piece.len() > LINE_BYTES_MAX {
                return Err(TooLong);
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                epoch = self.take_line(line.trim_ascii_end()).or(epoch);
            }
        }
        Ok(epoch)
    }

    /// Takes a line without its break; the epoch if it ends an event that says one.
    fn take_line(&mut self, line: &[u8]) -> Option<u64> {
        if line.is_empty() {
            return self.dispatch();
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = value.to_vec(),
            b"data" => self.data.extend_from_slice(value),
            b"id" => self.next_id = Some(value.to_vec()),
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<u64> {
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        self.id = self.next_id.take().or(self.id.take());
        // What a `lagged` says is what was seen long ago.
        let says = matches!(name.as_slice(), b"snapshot" | b"changes" | b"progress");
        let position = says.then(|| serde_json::from_slice::<Position>(&data).ok());
        position.flatten().map(|position| position.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 1000\nevent: snapshot\nid: 5-ab\ndata: {\"epoch\":5,\"rows\":[]}\n\n\
        : a comment\r\nevent: changes\r\nid: 7-cd\r\ndata: {\"epoch\":7,\r\ndata: \"changes\":[]}\r\n\r\n\
        event:progress\ndata:{\"epoch\":8}\n\nevent: lagged\nid: 9\ndata: {\"epoch\":99}\n\n\
        event: changes\ndata: no JSON\n\nevent: changes\nid: 10\ndata: {\"epoch\":10}\n";

    #[test]
    fn epochs_are_seen_when_their_event_is_whole_however_the_bytes_come() {
        for size in 1..STREAM.len() {
            let mut reading = Reading::default();
            let (mut epochs, mut ids) = (Vec::new(), Vec::new());
            for piece in STREAM.as_bytes().chunks(size) {
                epochs.extend(reading.push(piece).expect("short lines"));
                ids.extend(reading.id.take());
            }
            assert_eq!(epochs.last(), Some(&8), "pieces of {size} bytes");
            assert_eq!(ids.last(), Some(&b"9".to_vec()), "pieces of {size} bytes");
            if size < 20 {
                assert_eq!(epochs, [5, 7, 8], "pieces of {size} bytes");
                assert_eq!(ids, [&b"5-ab"[..], b"7-cd", b"9"], "pieces of {size} bytes");
            }
        }
    }

    #[test]
    fn an_endless_event_is_not_kept() {
        let mut reading = Reading::default();
        let data = format!("data: {}\n", "x".repeat(1 << 16));
        let taken = (0..100).try_for_each(|_| reading.push(data.as_bytes()).map(|_| ()));
        assert_eq!(taken, Err(TooLong));
    }
}
