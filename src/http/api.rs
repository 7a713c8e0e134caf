//! `GET /v1/views` and `GET /v1/views/{view}`: what there is, and the rows of one epoch.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use dataflows::domain::Epoch;
use futures::{StreamExt, stream};

use super::Shared;
use super::problem::Problem;
use super::request::{Request, ViewPath, ViewQuery};
use crate::views::row_json::{write_row, write_text};
use crate::views::{Held, Rows, columns, rows};

/// Rows of an answer that asks for no number.
const LIMIT_DEFAULT: usize = 1000;
/// Rows per piece of a body that is being streamed: some tens of kilobytes.
const PIECE_ROWS_MAX: usize = 256;

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
    let limit = request.limit()?.unwrap_or(LIMIT_DEFAULT);
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

/// `{"epoch":…,"rows":[…]` in pieces: a body is never in memory as a whole.
pub(super) struct RowsJson {
    /// What goes before the next row.
    open: Vec<u8>,
    rows: Rows,
    left: usize,
    last: Option<Arc<Held>>,
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
                Some(_) => return self.last.as_deref().map(|row| rows::cursor(row)),
            }
        }
        None
    }
}
