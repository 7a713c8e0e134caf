//! A connection that delivers one batch at a time, again and again until it is acknowledged.
//!
//! Sending a batch again is harmless: the node counts a repeat once. So whatever leaves its fate
//! open (a broken connection, no answer in time) ends in sending it again, in the same place of
//! the order.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

/// The first pause before sending again, where the node does not say how long.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer; one that refuses every line of the largest batch has less.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Characters of an answer that end up in an error.
const QUOTED_CHARS: usize = 200;

/// The node's answer to a batch.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// Events that are in the log now.
    pub accepted: u64,
    /// Lines that are not, and never will be.
    pub refused: Vec<Refused>,
    /// The epoch they are in.
    pub epoch: u64,
}

/// A line that the node refused.
#[derive(Debug, Deserialize)]
pub struct Refused {
    /// Stable.
    pub code: String,
    /// For a person.
    #[serde(default)]
    pub detail: String,
}

/// Why batches were sent again, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Retries {
    /// The node had no room: 413 or 429 or 503.
    pub busy: u64,
    /// The connection failed, or there was no answer in time.
    pub connection: u64,
    /// The node failed: another status of 5xx, or 408.
    pub failed: u64,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Delivery {
    /// The answer and when it was there, or why there is none.
    pub outcome: Result<(Answer, Instant), Undelivered>,
    /// How often it was sent again.
    pub retries: Retries,
}

/// Why a batch is not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// Sending it again would change nothing.
    #[error("{0}")]
    Rejected(String),
    /// It failed for as long as was allowed.
    #[error("gave up after {} s of trying: {cause}", after.as_secs())]
    GaveUp {
        /// How long it was tried.
        after: Duration,
        /// The last failure.
        cause: String,
    },
    /// The replay was stopped while it waited to send it again.
    #[error("stopped while trying again: {0}")]
    Stopped(String),
}

/// An attempt that failed.
#[derive(Debug)]
enum Failure {
    Rejected(String),
    Again { cause: String, reason: Reason, after: Option<Duration> },
}

#[derive(Clone, Copy, Debug)]
enum Reason {
    Busy,
    Connection,
    Failed,
}

/// One connection, kept alive, with one request in flight at most.
#[derive(Debug)]
pub struct Lane {
    client: Client,
    events: Url,
    give_up: Duration,
}

/// A client of one connection that speaks plain HTTP/1.1 to the node and to nobody else.
pub fn client(configure: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder) -> Client {
    let builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(1)
        .connect_timeout(CONNECT_TIMEOUT);
    configure(builder).build().expect("a client without TLS has nothing to load")
}

/// An error of the client with its causes, without the address, which everyone knows.
pub fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Lane {
    /// A lane to `POST {events}`. An attempt takes `timeout` at most, a batch is tried for `give_up`.
    pub fn new(events: Url, timeout: Duration, give_up: Duration) -> Lane {
        Lane { client: client(|builder| builder.timeout(timeout)), events, give_up }
    }

    /// Sends a batch of `lines` until it is acknowledged, rejected, or tried for too long. After
    /// `stop` it is not sent again, but an answer that is owed is waited for.
    pub async fn deliver(&self, body: Bytes, lines: u32, stop: &CancellationToken) -> Delivery {
        let mut retries = Retries::default();
        let mut pause = PAUSE_MIN;
        let mut failing_since = None;
        let outcome = loop {
            let began = Instant::now();
            let (cause, reason, after) = match self.attempt(body.clone(), lines).await {
                Ok(answer) => break Ok((answer, Instant::now())),
                Err(Failure::Rejected(why)) => break Err(Undelivered::Rejected(why)),
                Err(Failure::Again { cause, reason, after }) => (cause, reason, after),
            };
            let since = *failing_since.get_or_insert(began);
            let left = self.give_up.saturating_sub(since.elapsed());
            if left.is_zero() {
                break Err(Undelivered::GaveUp { after: since.elapsed(), cause });
            }
            let wait = after.unwrap_or(pause).min(left);
            pause = (pause * 2).min(PAUSE_MAX);
            tokio::select! {
                biased;
                () = stop.cancelled() => break Err(Undelivered::Stopped(cause)),
                () = tokio::time::sleep(wait) => retries.count(reason),
            }
        };
        Delivery { outcome, retries }
    }

    async fn attempt(&self, body: Bytes, lines: u32) -> Result<Answer, Failure> {
        let again = |cause| Failure::Again {
            cause: causes(cause),
            reason: Reason::Connection,
            after: None,
        };
        let request = self.client.post(self.events.clone());
        let request = request.header(CONTENT_TYPE, "application/x-ndjson").body(body);
        let response = request.send().await.map_err(again)?;
        let (status, after) = (response.status(), retry_after(response.headers()));
        let text = bounded_text(response).await.map_err(again)?;
        match status {
            StatusCode::OK => answer(&text, lines).map_err(Failure::Rejected),
            _ => Err(failure(status, after, &text, lines)),
        }
    }
}

impl Retries {
    /// Adds those of another batch.
    pub fn add(&mut self, more: Retries) {
        self.busy += more.busy;
        self.connection += more.connection;
        self.failed += more.failed;
    }

    /// All of them.
    pub fn total(self) -> u64 {
        self.busy + self.connection + self.failed
    }

    fn count(&mut self, reason: Reason) {
        match reason {
            Reason::Busy => self.busy += 1,
            Reason::Connection => self.connection += 1,
            Reason::Failed => self.failed += 1,
        }
    }
}

/// The body of an answer, cut off where no answer goes.
async fn bounded_text(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut text = Vec::new();
    while let Some(piece) = response.chunk().await? {
        text.extend_from_slice(&piece);
        if text.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(text)
}

/// The answer, if it accounts for every line that was sent.
fn answer(text: &[u8], lines: u32) -> Result<Answer, String> {
    let answer: Answer = serde_json::from_slice(text)
        .map_err(|error| format!("the answer is not one of /v1/events: {error}"))?;
    let answered = answer.accepted.saturating_add(answer.refused.len() as u64);
    if answered != u64::from(lines) {
        return Err(format!("the answer accounts for {answered} of {lines} lines"));
    }
    Ok(answer)
}

/// Seconds; the other form, a date, is no more than a hint to wait.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    Some(text.trim().parse().map_or(PAUSE_MAX, Duration::from_secs))
}

/// What an answer other than 200 means.
fn failure(status: StatusCode, after: Option<Duration>, text: &[u8], lines: u32) -> Failure {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let detail = serde_json::from_slice(text).map_or_else(
        |_| String::from_utf8_lossy(text).trim().to_owned(),
        |problem: Problem| problem.detail,
    );
    let detail: String = detail.chars().take(QUOTED_CHARS).collect();
    let cause = match detail.is_empty() {
        true => format!("the node answers {status}"),
        false => format!("the node answers {status}: {detail}"),
    };
    let reason = match status.as_u16() {
        413 if after.is_none() => {
            let hint = format!("{cause} (a batch of {lines} lines; a smaller --batch may pass)");
            return Failure::Rejected(hint);
        }
        413 | 429 | 503 => Reason::Busy,
        408 | 500.. => Reason::Failed,
        _ => return Failure::Rejected(cause),
    };
    Failure::Again { cause, reason, after }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_accounts_for_every_line() {
        let text =
            br#"{"accepted":2,"refused":[{"line":1,"code":"empty","detail":"x"}],"epoch":7}"#;
        let three = answer(text, 3).expect("three lines");
        assert_eq!((three.accepted, three.epoch, three.refused[0].code.as_str()), (2, 7, "empty"));
        assert_eq!(
            answer(text, 4).expect_err("four lines"),
            "the answer accounts for 3 of 4 lines"
        );
        assert!(answer(b"<html>", 1).is_err());
    }

    #[test]
    fn a_status_says_whether_to_try_again() {
        let second = Some(Duration::from_secs(1));
        let cases = [
            (503, second, Some(second)),
            (503, None, Some(None)),
            (429, second, Some(second)),
            (413, second, Some(second)),
            (413, None, None),
            (500, None, Some(None)),
            (408, None, Some(None)),
            (400, None, None),
            (404, second, None),
            (301, None, None),
        ];
        for (status, after, expected) in cases {
            let code = StatusCode::from_u16(status).expect("a status");
            let again = match failure(code, after, b"{\"detail\":\"full\"}", 5) {
                Failure::Again { after, cause, .. } => {
                    assert!(cause.ends_with(": full"), "{cause}");
                    Some(after)
                }
                Failure::Rejected(_) => None,
            };
            assert_eq!(again, expected, "{status}");
        }
    }

    #[test]
    fn how_long_to_wait_is_in_seconds_or_a_guess() {
        let after = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            retry_after(&headers)
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Thu, 01 Mar 2018 12:00:00 GMT"), Some(PAUSE_MAX));
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
