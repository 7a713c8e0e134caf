//! Errors to clients: `application/problem+json` (RFC 9457) with a stable code and a sentence.

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use dataflows::views::View;
use serde_json::{Value as Json, json};

use crate::views::FilterError;

/// Why a request is not answered with what it asked for.
///
/// As JSON: `type` (a URN of the code), `title`, `status`, `detail`, `code`, and for an unknown view
/// `views`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// Stable: clients may rely on it.
    pub code: &'static str,
    /// What is wrong with this request, in a sentence for a person.
    pub detail: String,
    /// When to try again, in seconds, where that may help.
    pub retry_after_s: Option<u32>,
    /// The words that would have been right, and the name under which they are listed.
    pub known: Option<(&'static str, Vec<&'static str>)>,
}

impl Problem {
    /// A problem that trying again does not solve.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into(), retry_after_s: None, known: None }
    }

    /// A problem of the moment: 503 with `Retry-After`.
    pub fn later(code: &'static str, detail: impl Into<String>, retry_after_s: u32) -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        Problem { retry_after_s: Some(retry_after_s), ..problem }
    }

    /// A request that cannot be answered as it is.
    pub fn bad(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// What is asked for was there, and is not kept any more.
    pub fn gone(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::GONE, "forgotten", detail)
    }

    /// There is no such view; names those that there are.
    pub fn unknown_view(name: &str) -> Problem {
        let names = View::ALL.map(View::name);
        let name: String = name.chars().take(64).collect();
        let detail = format!("there is no view {name:?}; the views are {}", names.join(", "));
        let problem = Problem::new(StatusCode::NOT_FOUND, "unknown_view", detail);
        Problem { known: Some(("views", names.to_vec())), ..problem }
    }

    /// Nobody has spoken of such a thing.
    pub fn unknown_id(scope: &str, id: &str) -> Problem {
        let id: String = id.chars().take(64).collect();
        let detail = format!("there is no {scope} {id:?} in the reference data");
        Problem::new(StatusCode::NOT_FOUND, "unknown_id", detail)
    }

    /// The node is about to end.
    pub fn stopping() -> Problem {
        Problem::later("stopping", "the node is stopping: ask again", 1)
    }

    /// The first epoch is not complete: there is nothing to serve yet.
    pub fn not_ready() -> Problem {
        Problem::later("not_ready", "the first epoch is still being computed from the log", 1)
    }
}

impl From<FilterError> for Problem {
    fn from(error: FilterError) -> Problem {
        let code = match error {
            FilterError::UnknownColumn { .. } => "unknown_column",
            FilterError::Compound { .. } => "not_filterable",
            FilterError::BadValue { .. } => "bad_value",
            FilterError::BadCursor { .. } => "bad_cursor",
        };
        Problem::bad(code, error.to_string())
    }
}

impl Problem {
    /// As it is written.
    pub fn json(&self) -> Json {
        let mut body = json!({
            "type": format!("urn:otklik:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let Some((name, known)) = &self.known {
            body[*name] = known.as_slice().into();
        }
        body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, self.json().to_string()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The fallback for paths that nothing answers to.
pub async fn not_found(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}; see /openapi.json", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

/// The fallback for methods that a path does not answer to.
pub async fn method_not_allowed(uri: Uri) -> Problem {
    let detail = format!("{} does not answer to this method; see /openapi.json", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
