//! The body of a request as a batch: unpacked, bounded, and parsed off the threads that serve.
//!
//! Every quantity a sender chooses has a bound here: bytes sent, bytes unpacked, and through
//! [`Batch`] the bytes of a line and the number of lines. A body that breaks off, or is not what
//! its `Content-Encoding` says, gives no batch at all.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::{BodyDataStream, HttpBody};
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::io::StreamReader;

use super::batch::{Batch, Overflow};
use super::places::Place;
use crate::config::Limits;
use crate::http::aside;
use crate::http::problem::Problem;

/// Bytes that are parsed in one go.
const BLOCK_BYTES: usize = 256 << 10;

/// A block up to this size is parsed where it is read: handing it over would take longer.
const AT_ONCE_BYTES: usize = 16 << 10;

/// Window of a zstd frame, as the power of two: what RFC 8878 wants every decoder to take. More
/// would let a sender choose how much memory its body needs.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How long the rest of a body that is not wanted is read.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes that one permit of the waiting room stands for.
pub const PERMIT_BYTES: usize = 1024;

/// Why a body gives no batch.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Neither gzip nor zstd.
    #[error("content encoding {0:?} is none of gzip, zstd, identity")]
    Encoding(String),
    /// More bytes than a body may have.
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
    /// More bytes after decompression.
    #[error("the body unpacks to more than {0} bytes")]
    Unpacked(usize),
    /// More of something else.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// It broke off, or is not in its encoding.
    #[error(
        "the body broke off or is not in its content encoding, and nothing of it is accepted: {0}"
    )]
    Broken(io::Error),
    /// It did not end in time.
    #[error("the body did not end within {0} seconds, and nothing of it is accepted")]
    Slow(u64),
    /// It came slowly, and others wanted its place.
    #[error("the body came so slowly that others were let in, and nothing of it is accepted")]
    GaveWay,
    /// The node is about to end.
    #[error("the node is stopping: send the batch again")]
    Stopping,
    /// There is no room for it now.
    #[error("too many events are waiting for the disk")]
    NoRoom,
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Problem {
        let (status, code) = match error {
            BodyError::Stopping => return Problem::later("stopping", error.to_string(), 1),
            BodyError::NoRoom => return Problem::later("no_room", error.to_string(), 1),
            BodyError::Encoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_encoding"),
            BodyError::TooLong(_) | BodyError::Unpacked(_) | BodyError::Overflow(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
            }
            BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "broken_body"),
            BodyError::Slow(_) | BodyError::GaveWay => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
        };
        Problem::new(status, code, error.to_string())
    }
}

/// A batch, and the room it takes until it is on disk.
#[derive(Debug)]
pub struct Taken {
    /// The batch.
    pub batch: Batch,
    /// Given back when it is dropped.
    pub room: OwnedSemaphorePermit,
}

/// Reads a body to its end; its bytes are counted at its place. `room` holds a permit for each [`PERMIT_BYTES`] that may wait.
///
/// # Errors
/// [`BodyError`]; nothing of the body is kept.
pub async fn take(
    headers: &HeaderMap,
    body: &mut BodyDataStream,
    limits: &Limits,
    room: &Arc<Semaphore>,
    place: &Place<'_>,
) -> Result<Taken, BodyError> {
    let announced = HttpBody::size_hint(body).lower();
    if announced > limits.body_bytes as u64 {
        return Err(BodyError::TooLong(limits.body_bytes));
    }
    let mut reader = unpacked(headers, body, limits.body_bytes, place)?;
    let mut room = Room { all: room, held: None };
    let mut batch = Batch::default();
    let mut block = Vec::with_capacity(AT_ONCE_BYTES);
    let mut unpacked_bytes = 0;
    loop {
        let ended = fill(&mut *reader, &mut block, limits).await?;
        unpacked_bytes += block.len();
        if unpacked_bytes > limits.unpacked_bytes {
            return Err(BodyError::Unpacked(limits.unpacked_bytes));
        }
        (batch, block) = parse(batch, block, ended, limits).await?;
        room.hold(batch.bytes())?;
        if ended {
            let room = room.held.expect("hold takes a permit at least");
            return Ok(Taken { batch, room });
        }
    }
}

/// Reads on for a moment and keeps nothing: who has sent a body that is not wanted gets the answer
/// only if it could send the rest of it, for a connection that is closed on unread bytes is reset.
pub async fn linger(body: &mut BodyDataStream, bytes_max: usize) {
    let rest = async {
        let mut bytes = 0;
        while let Some(Ok(more)) = body.next().await {
            bytes += more.len();
            if bytes > bytes_max {
                break;
            }
        }
    };
    // Whoever takes longer, or has more, may find its connection reset.
    let _ = tokio::time::timeout(LINGER, rest).await;
}

/// The body's bytes without their encoding, failing with `FileTooLarge` beyond `bytes_max` sent.
fn unpacked<'b>(
    headers: &HeaderMap,
    body: &'b mut BodyDataStream,
    bytes_max: usize,
    place: &'b Place<'_>,
) -> Result<Box<dyn AsyncRead + Send + Unpin + 'b>, BodyError> {
    let bounded = body.map_err(io::Error::other).and_then(move |bytes| {
        std::future::ready(match place.came(bytes.len()) > bytes_max {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(bytes),
        })
    });
    let reader = StreamReader::new(Box::pin(bounded));
    let encoding = headers.get(CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
    match encoding.to_ascii_lowercase().as_slice() {
        b"" | b"identity" => Ok(Box::new(reader)),
        b"gzip" | b"x-gzip" => {
            let mut decoder = GzipDecoder::new(reader);
            decoder.multiple_members(true);
            Ok(Box::new(decoder))
        }
        b"zstd" => {
            let window = DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX);
            let mut decoder = ZstdDecoder::with_params(reader, &[window]);
            decoder.multiple_members(true);
            Ok(Box::new(decoder))
        }
        other => Err(BodyError::Encoding(String::from_utf8_lossy(other).into_owned())),
    }
}

/// Reads until the block is full; returns whether the body has ended.
async fn fill(
    reader: &mut (dyn AsyncRead + Send + Unpin),
    block: &mut Vec<u8>,
    limits: &Limits,
) -> Result<bool, BodyError> {
    while block.len() < BLOCK_BYTES {
        // Decompression can go on for long without waiting for anything.
        tokio::task::consume_budget().await;
        match reader.read_buf(block).await {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(BodyError::TooLong(limits.body_bytes));
            }
            Err(error) => return Err(BodyError::Broken(error)),
        }
    }
    Ok(false)
}

/// Parses a block; a large one on a thread of its own, so that others are served meanwhile. The
/// block comes back empty.
async fn parse(
    mut batch: Batch,
    mut block: Vec<u8>,
    last: bool,
    limits: &Limits,
) -> Result<(Batch, Vec<u8>), BodyError> {
    let large = block.len() > AT_ONCE_BYTES;
    let limits = limits.clone();
    let work = move || -> Result<_, Overflow> {
        batch.push(&block, &limits)?;
        if last {
            batch.finish(&limits)?;
        }
        block.clear();
        Ok((batch, block))
    };
    match large {
        true => Ok(aside(work).await.map_err(|_| BodyError::Stopping)??),
        false => Ok(work()?),
    }
}

/// The part of the waiting room that a growing batch holds.
struct Room<'a> {
    all: &'a Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Room<'_> {
    /// Holds enough for `bytes` in all.
    fn hold(&mut self, bytes: usize) -> Result<(), BodyError> {
        let wanted = bytes / PERMIT_BYTES + 1;
        let more = wanted.saturating_sub(self.held.as_ref().map_or(0, |held| held.num_permits()));
        if more > 0 {
            let more = u32::try_from(more).map_err(|_| BodyError::NoRoom)?;
            let more =
                Arc::clone(self.all).try_acquire_many_owned(more).map_err(|_| BodyError::NoRoom)?;
            match &mut self.held {
                Some(held) => held.merge(more),
                held => *held = Some(more),
            }
        }
        Ok(())
    }
}
