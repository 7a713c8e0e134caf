//! Which request it was: an id that is in the answer and in what the node writes of itself, and the
//! trace of the caller (W3C Trace Context), which is given back as it came.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::debug;

use crate::clock;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE: HeaderName = HeaderName::from_static("traceparent");
/// Characters of an id that a caller may choose.
const ID_CHARS_MAX: usize = 64;

/// Answers with `x-request-id`, the caller's or one of ours, and with a valid `traceparent`.
pub async fn context(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let trace = headers.get(TRACE).filter(|trace| is_trace(trace.as_bytes())).cloned();
    let id = headers.get(REQUEST_ID).filter(|id| is_id(id.as_bytes())).cloned();
    let id = id.unwrap_or_else(next_id);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    debug!("request {id:?}, trace {trace:?}: {method} {path} is answered with {status}");
    response.headers_mut().insert(REQUEST_ID, id);
    response.headers_mut().extend(trace.map(|trace| (TRACE, trace)));
    response
}

/// When the process began, and a number.
fn next_id() -> HeaderValue {
    static BEGAN_MS: LazyLock<u64> = LazyLock::new(clock::wall_ms);
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    HeaderValue::try_from(format!("{:x}-{number:x}", *BEGAN_MS)).expect("hexadecimal digits")
}

fn is_id(id: &[u8]) -> bool {
    (1..=ID_CHARS_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// `version-trace-parent-flags`, all hexadecimal: 2, 32, 16 and 2 small digits; the version is not
/// ff, trace and parent are not zero, and only a later version may go on.
fn is_trace(trace: &[u8]) -> bool {
    let mut parts = trace.split(|byte| *byte == b'-');
    let mut next = |digits: usize| {
        let part = parts.next().unwrap_or_default();
        let is_digit = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (part.len() == digits && part.iter().all(is_digit)).then_some(part)
    };
    let (Some(version), Some(id), Some(parent), Some(_)) = (next(2), next(32), next(16), next(2))
    else {
        return false;
    };
    let is_zero = |part: &[u8]| part.iter().all(|digit| *digit == b'0');
    let goes_on = parts.next().is_some();
    let is_void = version == b"ff" || is_zero(id) || is_zero(parent);
    let is_longer = version == b"00" && goes_on;
    !is_void && !is_longer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_those_of_the_recommendation() {
        let table = [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes", true),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
            ("", false),
        ];
        for (trace, expected) in table {
            assert_eq!(is_trace(trace.as_bytes()), expected, "{trace}");
        }
    }
}
