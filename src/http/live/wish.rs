//! What a reader of a live stream can ask for, read from a URL or from a message.

use axum::http::HeaderMap;
use dataflows::domain::Epoch;
use dataflows::views::View;

use super::follower::{Begin, OnSlow, Wish};
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::views::{Filter, Position};

/// From the parameters of a request; all that are left are conditions on columns.
pub fn of_request(request: &mut Request, headers: &HeaderMap) -> Result<Wish, Problem> {
    // A browser that reconnects sends the header, and the parameters it began with once more.
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let (after, last_event_id) = (request.take("after"), request.take("last_event_id"));
    let after = header.filter(|id| !id.is_empty()).or(after).or(last_event_id);
    let begin = begin(after.as_deref(), request.number("as_of")?)?;
    let snapshot = request.flag("snapshot")?.unwrap_or(true);
    let up_to = request.number("up_to")?;
    let on_slow = on_slow(request.take("on_slow").as_deref())?;
    Ok(Wish { filter: request.filter()?, begin, snapshot, up_to, on_slow })
}

/// What a client writes to subscribe (`{"type":"subscribe",…}`).
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// By which its frames are known.
    pub name: String,
    /// The view.
    pub view: String,
    /// Column → its value, or one of several.
    #[serde(default, rename = "where")]
    pub conditions: std::collections::BTreeMap<String, Values>,
    after: Option<String>,
    as_of: Option<Epoch>,
    snapshot: Option<bool>,
    up_to: Option<Epoch>,
    on_slow: Option<String>,
    /// Frames that may be under way before the client has said that it has them.
    pub window: Option<u32>,
}

/// The value of a column, as in a URL.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// This one.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

impl Subscribe {
    /// The view it names.
    pub fn view(&self) -> Result<View, Problem> {
        View::named(&self.view).ok_or_else(|| Problem::unknown_view(&self.view))
    }

    /// What it asks for.
    pub fn wish(&self) -> Result<Wish, Problem> {
        Ok(Wish {
            filter: Filter::parse(self.view()?, self.pairs())?,
            begin: begin(self.after.as_deref(), self.as_of)?,
            snapshot: self.snapshot.unwrap_or(true),
            up_to: self.up_to,
            on_slow: on_slow(self.on_slow.as_deref())?,
        })
    }

    /// `(column, value)` of its conditions.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.conditions.iter().flat_map(|(column, values)| {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Any(values) => values.as_slice(),
            };
            values.iter().map(move |value| (column.as_str(), value.as_str()))
        })
    }
}

fn begin(after: Option<&str>, as_of: Option<Epoch>) -> Result<Begin, Problem> {
    match (after.filter(|after| !after.is_empty()), as_of) {
        (Some(_), Some(_)) => Err(Problem::bad("bad_value", "either after or as_of, not both")),
        (Some(after), None) => {
            let (epoch, digest) = Position::parse(after).ok_or_else(|| {
                Problem::bad("bad_value", format!("{after:?} is not the id of a frame"))
            })?;
            Ok(Begin::After(epoch, digest))
        }
        (None, Some(epoch)) => Ok(Begin::AsOf(epoch)),
        (None, None) => Ok(Begin::Now),
    }
}

fn on_slow(text: Option<&str>) -> Result<OnSlow, Problem> {
    match text {
        None | Some("merge") => Ok(OnSlow::Merge),
        Some("disconnect") => Ok(OnSlow::Disconnect),
        Some(_) => Err(Problem::bad("bad_value", "on_slow is merge or disconnect")),
    }
}
