//! `GET /v1/values`: the value of a manager, unit, agency, region, МФЦ or service over any span of
//! dates (5.2 "а"), from the live state.

use axum::extract::State;
use axum::response::Response;
use dataflows::ask::{Ask, Days, Scope};
use dataflows::calendar::Day;
use serde_json::{Value as Json, json};

use super::api;
use super::explain::Asking;
use super::problem::Problem;
use super::request::{Request, ViewQuery};
use crate::ask;
use crate::event::parse_day;

/// Characters of an id at most.
pub(super) const ID_CHARS_MAX: usize = 64;

/// `{"epoch", "scope", "id", "from", "until", "k", "n", "percent", …}`.
pub(super) async fn values(
    State(asking): State<Asking>,
    query: ViewQuery,
) -> Result<Response, Problem> {
    let mut request = Request::of_query(query)?;
    let (min_epoch, patience) = api::waiting(&mut request)?;
    let (name, scope) = scope(&required(&mut request, "scope")?)?;
    let id = required(&mut request, "id")?;
    let [from, until] = [day(&mut request, "from")?, day(&mut request, "until")?];
    request.end()?;
    if let (Some(from), Some(until)) = (from, until)
        && from > until
    {
        return Err(Problem::bad("bad_value", format!("from {from} is after until {until}")));
    }
    if let Some(epoch) = min_epoch {
        api::wait(&asking.served, epoch, patience).await?;
    }
    let days = Days::Between(from.unwrap_or(Day::BEFORE_ALL), until.unwrap_or(Day::NEVER));
    let reply = asking.ask(Ask { scope, id: id.clone(), days, explain: false }).await?;
    if !reply.answer.known {
        return Err(Problem::unknown_id(name, &id));
    }
    let date = |day: Option<Day>| day.map_or(Json::Null, |day| day.to_string().into());
    let mut body = json!({
        "epoch": reply.rows.epoch,
        "scope": name,
        "id": id,
        "from": date(from),
        "until": date(until),
    });
    if let Some(body) = body.as_object_mut() {
        body.append(&mut ask::values(&reply.answer));
    }
    Ok(api::json(body.to_string()))
}

/// A parameter that must be there.
pub(super) fn required(request: &mut Request, name: &str) -> Result<String, Problem> {
    let text = request.take(name).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| {
        Problem::bad("missing_parameter", format!("the parameter {name} is needed"))
    })?;
    if text.chars().count() > ID_CHARS_MAX {
        let detail = format!("{name} has more than {ID_CHARS_MAX} characters");
        return Err(Problem::bad("bad_value", detail));
    }
    Ok(text)
}

fn scope(text: &str) -> Result<(&'static str, Scope), Problem> {
    let found = Scope::ALL.into_iter().find(|(name, _)| *name == text);
    found.ok_or_else(|| {
        let names = Scope::ALL.map(|(name, _)| name);
        let detail = format!("there is no scope {text:?}; the scopes are {}", names.join(", "));
        let problem = Problem::bad("bad_value", detail);
        Problem { known: Some(("scopes", names.to_vec())), ..problem }
    })
}

/// A parameter that is a date.
pub(super) fn day(request: &mut Request, name: &str) -> Result<Option<Day>, Problem> {
    let day = |text: String| {
        let day = parse_day(text.as_bytes());
        day.ok_or_else(|| {
            Problem::bad("bad_value", format!("{name} {text:?} is not a date YYYY-MM-DD"))
        })
    };
    request.take(name).map(day).transpose()
}
