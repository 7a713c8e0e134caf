//! `GET /v1/views` and `GET /v1/views/{view}`: what there is, and the rows of one epoch.

use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dataflows::domain::Epoch;
use dataflows::views::View;
use futures::{StreamExt, stream};
use tokio::time::timeout;

use super::as_of::Moment;
use super::problem::Problem;
use super::request::{Request, ViewPath, ViewQuery};
use super::written::{Format, Written};
use super::{Shared, aside};
use crate::views::digest::Digest;
use crate::views::{Order, Rows, Served, Table, columns};

/// Rows of a JSON answer that asks for no number; lines and CSV come whole.
const LIMIT_DEFAULT: usize = 1000;
/// How long an answer waits for `min_epoch` if it is not asked otherwise.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// How long it waits at most, in seconds.
const WAIT_SECONDS_MAX: u64 = 60;
/// The epoch of the rows, where the body has no place for it.
const EPOCH: HeaderName = HeaderName::from_static("otklik-epoch");

/// `GET /v1/views`.
pub(super) async fn catalogue() -> Response {
    static CATALOGUE: LazyLock<Bytes> =
        LazyLock::new(|| columns::catalogue().to_string().into_bytes().into());
    json(CATALOGUE.clone())
}

/// `GET /v1/views/{view}`: `{"epoch":…,"rows":[…],"next":…}`, or the rows alone as lines or CSV.
pub(super) async fn rows(
    State(shared): State<Shared>,
    headers: HeaderMap,
    path: ViewPath,
    query: ViewQuery,
) -> Result<Response, Problem> {
    let asked = Asked::parse(&mut Request::parse(path, query)?, &headers)?;
    if let Some(epoch) = asked.min_epoch {
        wait(&shared.served, epoch, asked.wait).await?;
    }
    let turn = shared.turn().await;
    let (epoch, table) = asked.table(&shared).await?;
    let tag = asked.tag(table.digest());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let is_known = known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
    let of_all = [
        (header::ETAG, HeaderValue::try_from(tag).expect("hexadecimal digits and quotes")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::VARY, HeaderValue::from_static("accept")),
        (EPOCH, HeaderValue::from(epoch)),
    ];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, of_all, Body::empty()).into_response());
    }
    let (filter, order, limit) = (asked.filter, asked.order, asked.limit);
    let after = asked.after;
    // Sorting, or looking through many rows that do not match, is nothing for a thread that serves.
    let page = aside(move || order.page(Rows::of(table, filter), after.as_deref(), limit));
    let page = page.await??;
    drop(turn);
    let link = page.next.as_deref().filter(|_| asked.format != Format::Json).map(|next| {
        let link = asked.link.replace("{after}", &encode(next));
        (header::LINK, HeaderValue::try_from(link).expect("it is encoded"))
    });
    let content_type =
        (header::CONTENT_TYPE, HeaderValue::from_static(asked.format.content_type()));
    let written = Written::new(asked.view, epoch, page, asked.format, asked.fields);
    // A piece is written when the connection takes it, and then others have their turn.
    let pieces = stream::unfold((shared, written), async |(shared, mut written)| {
        let turn = shared.turn().await;
        let piece = written.next()?;
        drop(turn);
        Some((Ok::<_, Infallible>(Bytes::from(piece)), (shared, written)))
    });
    let mut response = ([content_type], of_all, Body::from_stream(pieces.fuse())).into_response();
    response.headers_mut().extend(link);
    Ok(response)
}

pub(super) fn json(body: impl Into<Body>) -> Response {
    let content_type = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}

/// `min_epoch` and `wait_seconds`.
///
/// # Errors
/// 400 where they are wrong.
pub(super) fn waiting(request: &mut Request) -> Result<(Option<Epoch>, Duration), Problem> {
    let wait = request.number("wait_seconds")?;
    if wait.is_some_and(|seconds| seconds > WAIT_SECONDS_MAX) {
        let detail = format!("wait_seconds is {WAIT_SECONDS_MAX} at most");
        return Err(Problem::bad("bad_value", detail));
    }
    Ok((request.number("min_epoch")?, wait.map_or(WAIT_DEFAULT, Duration::from_secs)))
}

/// Waits until an epoch is served: who has submitted events knows the epoch they are in.
///
/// # Errors
/// 503 where it does not come in time.
pub(super) async fn wait(served: &Served, epoch: Epoch, patience: Duration) -> Result<(), Problem> {
    timeout(patience, served.wait_for(epoch)).await.map_err(|_| {
        let detail = format!("epoch {epoch} has not come within {} s", patience.as_secs());
        Problem::later("epoch_not_reached", detail, 1)
    })
}

/// What is asked of a view.
struct Asked {
    view: View,
    filter: crate::views::Filter,
    order: Order,
    after: Option<String>,
    limit: usize,
    /// By place of the column.
    fields: Vec<bool>,
    format: Format,
    as_of: Option<Moment>,
    min_epoch: Option<Epoch>,
    wait: Duration,
    /// The same request for the rows after `{after}`.
    link: String,
}

impl Asked {
    fn parse(request: &mut Request, headers: &HeaderMap) -> Result<Asked, Problem> {
        let view = request.view();
        let link = link(request);
        let format = Format::asked(request, headers)?;
        let all = if format == Format::Json { LIMIT_DEFAULT } else { usize::MAX };
        let limit = request.limit()?.unwrap_or(all);
        let order = match request.take("sort") {
            Some(columns) => Order::parse(view, &columns)?,
            None => Order::by_key(view),
        };
        let fields = fields(view, request.take("fields").as_deref())?;
        let (min_epoch, wait) = waiting(request)?;
        Ok(Asked {
            view,
            order,
            limit,
            fields,
            format,
            link,
            after: request.take("after"),
            as_of: request.take("as_of").map(|text| Moment::parse("as_of", &text)).transpose()?,
            min_epoch,
            wait,
            filter: request.filter()?,
        })
    }

    /// The rows of the last complete epoch, or of the one asked for.
    async fn table(&self, shared: &Shared) -> Result<(Epoch, Table), Problem> {
        match &self.as_of {
            None => {
                let snapshot = shared.snapshot().await?;
                Ok((snapshot.epoch, snapshot.table(self.view).clone()))
            }
            Some(moment) => {
                let snapshot = shared.snapshot().await?;
                moment.table(&shared.served, &snapshot, shared.live.epoch_ms(), self.view).await
            }
        }
    }

    /// Weak, because the body may be compressed on its way, and says the epoch.
    fn tag(&self, digest: Digest) -> String {
        format!("W/\"{digest}.{}\"", self.format.name())
    }
}

/// Which columns are named, or all.
fn fields(view: View, names: Option<&str>) -> Result<Vec<bool>, Problem> {
    let Some(names) = names else { return Ok(vec![true; columns::columns(view).count()]) };
    let mut wanted: Vec<&str> = names.split(',').collect();
    let fields = columns::columns(view).map(|column| {
        let before = wanted.len();
        wanted.retain(|name| *name != column.name);
        wanted.len() < before
    });
    let fields = fields.collect();
    match wanted.first() {
        Some(name) => Err(crate::views::unknown_column(view, name).into()),
        None => Ok(fields),
    }
}

/// `<path?parameters&after={after}>; rel="next"`, with the parameters of the request.
fn link(request: &Request) -> String {
    let mut link = format!("</v1/views/{}?", request.view().name());
    for (name, value) in request.parameters().filter(|(name, _)| *name != "after") {
        link.push_str(&format!("{}={}&", encode(name), encode(value)));
    }
    link + "after={after}>; rel=\"next\""
}

/// As part of a query: what is not a letter or digit by its bytes.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
