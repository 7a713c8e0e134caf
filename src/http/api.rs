//! `GET /v1/views` and `GET /v1/views/{view}`: what there is, and the rows of one epoch.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dataflows::domain::Epoch;
use dataflows::views::{Row, View};
use futures::{StreamExt, stream};

use super::Shared;
use super::problem::Problem;
use crate::views::row_json::{write_row, write_text};
use crate::views::{Filter, Rows, columns, rows};

/// Rows of an answer that asks for no number.
const LIMIT_DEFAULT: usize = 1000;
/// Rows of an answer at most.
const LIMIT_MAX: usize = 100_000;
/// Rows per piece of a body that is being streamed: some tens of kilobytes.
const PIECE_ROWS_MAX: usize = 256;

/// The path of a request for a view.
pub(super) type ViewPath = Result<Path<String>, PathRejection>;
/// The parameters of a request for a view, as they come.
pub(super) type ViewQuery = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// `GET /v1/views`.
pub(super) async fn catalogue() -> Response {
    static CATALOGUE: LazyLock<Bytes> =
        LazyLock::new(|| columns::catalogue().to_string().into_bytes().into());
    json(CATALOGUE.clone())
}

/// `GET /v1/views/{view}`: `{"epoch":…,"rows":[…],"next":…}`, streamed.
pub(super) async fn rows(
    State(shared): State<Shared>,
    path: ViewPath,
    query: ViewQuery,
) -> Result<Response, Problem> {
    let mut request = Request::parse(path, query)?;
    let limit = match request.take("limit") {
        None => LIMIT_DEFAULT,
        Some(text) => limit(&text)?,
    };
    let after = request.take("after");
    let filter = request.filter()?;
    let snapshot = shared.snapshot().await?;
    let mut rows = Rows::new(&snapshot, filter);
    if let Some(cursor) = after {
        rows = rows.after(&cursor)?;
    }
    let body = RowsJson::new(snapshot.epoch, rows, limit);
    let pieces = stream::unfold(Some(body), async |body| {
        let mut body = body?;
        let mut piece = Vec::new();
        if body.write_piece(&mut piece).await {
            return Some((Ok::<_, Infallible>(Bytes::from(piece)), Some(body)));
        }
        piece.extend_from_slice(b",\"next\":");
        match body.next() {
            Some(cursor) => write_text(&cursor, &mut piece),
            None => piece.extend_from_slice(b"null"),
        }
        piece.push(b'}');
        Some((Ok(Bytes::from(piece)), None))
    });
    // A compressor asks once more after the end.
    Ok(json(Body::from_stream(pieces.fuse())))
}

pub(super) fn json(body: impl Into<Body>) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}

fn limit(text: &str) -> Result<usize, Problem> {
    text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
        let detail = format!("limit {text:?} is not a number of 1..{LIMIT_MAX}");
        Problem::new(StatusCode::BAD_REQUEST, "bad_limit", detail)
    })
}

/// A request for the rows of a view.
pub(super) struct Request {
    view: View,
    parameters: Vec<(String, String)>,
}

impl Request {
    /// The view and the parameters; 404 for a view that there is not.
    pub(super) fn parse(path: ViewPath, query: ViewQuery) -> Result<Request, Problem> {
        let bad = |detail| Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail);
        let Path(name) = path.map_err(|error| bad(error.body_text()))?;
        let Query(parameters) = query.map_err(|error| bad(error.body_text()))?;
        let view = View::named(&name).ok_or_else(|| {
            let names = View::ALL.map(View::name);
            let detail = format!("there is no view {name:?}; the views are {}", names.join(", "));
            let problem = Problem::new(StatusCode::NOT_FOUND, "unknown_view", detail);
            Problem { known: Some(("views", names.to_vec())), ..problem }
        })?;
        Ok(Request { view, parameters })
    }

    /// Takes a parameter that is not a column; the last one where it is repeated.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.parameters.extract_if(.., |(other, _)| other == name).last().map(|(_, value)| value)
    }

    /// All parameters that are left, as conditions on columns.
    pub(super) fn filter(&self) -> Result<Filter, Problem> {
        let pairs = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Ok(Filter::parse(self.view, pairs)?)
    }
}

/// `{"epoch":…,"rows":[…]` in pieces: a body is never in memory as a whole.
pub(super) struct RowsJson {
    /// What goes before the next row.
    open: Vec<u8>,
    rows: Rows,
    left: usize,
    last: Option<Arc<Row>>,
    ended: bool,
}

impl RowsJson {
    /// Of at most `limit` rows.
    pub(super) fn new(epoch: Epoch, rows: Rows, limit: usize) -> RowsJson {
        let open = format!("{{\"epoch\":{epoch},\"rows\":[").into_bytes();
        RowsJson { open, rows, left: limit, last: None, ended: false }
    }

    /// Writes the next rows; false when these were the last and the list is closed.
    pub(super) async fn write_piece(&mut self, out: &mut Vec<u8>) -> bool {
        out.append(&mut self.open);
        if self.left > 0 {
            match self.rows.page(self.left.min(PIECE_ROWS_MAX)) {
                None => self.ended = true,
                Some(page) => {
                    for row in &page {
                        if self.last.is_some() {
                            out.push(b',');
                        }
                        write_row(row, out);
                        self.last = Some(row.clone());
                    }
                    self.left -= page.len();
                    if page.is_empty() {
                        // Many rows looked at and none found: let others have the thread.
                        tokio::task::yield_now().await;
                    }
                    return true;
                }
            }
        }
        out.push(b']');
        false
    }

    /// The cursor of the rows that are left, if any.
    fn next(&mut self) -> Option<String> {
        while !self.ended {
            match self.rows.page(1) {
                None => self.ended = true,
                Some(page) if page.is_empty() => {}
                Some(_) => return self.last.as_deref().map(rows::cursor),
            }
        }
        None
    }
}
