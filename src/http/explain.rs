//! `GET /v1/explain/{view}`: how a row of `manager_periods` or `agencies` comes about, from the live
//! state. What is asked goes to the worker, and the answer is of the epoch of the row it explains.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use dataflows::ask::{Ask, Days, Scope};
use dataflows::calendar::Day;
use dataflows::domain::Epoch;
use dataflows::id::Id;
use dataflows::views::{Key, ManagerPeriod, Part, Row, View};
use serde_json::{Map, Value as Json, json};
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::error;

use super::api;
use super::as_of::Moment;
use super::problem::{self, Problem};
use super::request::{Request, ViewQuery};
use super::values::{day, required, values};
use crate::ask::{self, NotTheRow};
use crate::mesh::Mesh;
use crate::node::supervise::{NoAnswer, Reply, Supervisor};
use crate::rules::Rules;
use crate::views::{Served, Snapshot, Table};

/// What is needed to ask.
#[derive(Clone, Debug)]
pub struct Asking {
    /// For the rows.
    pub served: Arc<Served>,
    /// For the worker.
    pub supervisor: Arc<Supervisor>,
    /// For the workers of others, if there are any.
    pub mesh: Option<Arc<Mesh>>,
    /// Milliseconds in an epoch.
    pub epoch_ms: u64,
    /// The rules in force, which every explanation says.
    pub rules: Rules,
}

/// `/v1/values`, `/v1/explain/manager_periods` and `/v1/explain/agencies`.
pub fn routes(asking: Asking) -> Router {
    let no_store = HeaderValue::from_static("no-store");
    Router::new()
        .route("/v1/values", get(values))
        .route("/v1/explain/manager_periods", get(manager_periods))
        .route("/v1/explain/agencies", get(agencies))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(CompressionLayer::new())
        .layer(SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, no_store))
        .with_state(asking)
}

impl Asking {
    /// Asks the worker.
    ///
    /// # Errors
    /// 503 where it does not answer now.
    pub async fn ask(&self, ask: Ask) -> Result<Reply, Problem> {
        self.supervisor.ask(self.mesh.as_deref(), ask).await.map_err(|error| {
            let code = match error {
                NoAnswer::NotReady => "not_ready",
                NoAnswer::Lost => "worker_lost",
                NoAnswer::TooMany => "too_many_questions",
                NoAnswer::Late => "no_answer",
            };
            Problem::later(code, error.to_string(), 1)
        })
    }

    async fn snapshot(&self) -> Result<Snapshot, Problem> {
        let served = Arc::clone(&self.served);
        let snapshot = tokio::task::spawn_blocking(move || served.snapshot()).await;
        snapshot.expect("it does not panic").ok_or_else(Problem::not_ready)
    }

    /// What the body has of every explanation.
    async fn body(
        &self,
        reply: &Reply,
        row: &Row,
        since: Option<Moment>,
        explained: Result<Map<String, Json>, NotTheRow>,
    ) -> Result<Response, Problem> {
        let epoch = reply.rows.epoch;
        let mut fields = explained.map_err(|error| {
            error!("epoch {epoch}, {:?}: {error}", row.key());
            let detail = "the parts do not add up to the figure: a fault of this program";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "does_not_add_up", detail)
        })?;
        fields.insert("epoch".to_owned(), epoch.into());
        let rules = json!({
            "integral": self.rules.integral,
            "attribution": self.rules.attribution,
            "horizon_days": self.rules.horizon_days,
        });
        fields.insert("rules".to_owned(), rules);
        if let Some(moment) = since {
            let view = row.view();
            let then = moment.table(&self.served, &reply.rows, self.epoch_ms, view).await?;
            let (then_epoch, table): (Epoch, Table) = then;
            let before = table.get(&row.key()).map(|held| held.row());
            let mut since = ask::since(before, Some(row));
            since.insert("epoch".to_owned(), then_epoch.into());
            fields.insert("since".to_owned(), since.into());
        }
        Ok(api::json(Json::from(fields).to_string()))
    }
}

/// `GET /v1/explain/manager_periods?tenure=…&period=…`, or `?manager=…&from=…`.
async fn manager_periods(
    State(asking): State<Asking>,
    query: ViewQuery,
) -> Result<Response, Problem> {
    let mut request = Request::of_query(query)?;
    let (min_epoch, patience) = api::waiting(&mut request)?;
    let since = request.take("since").map(|text| Moment::parse("since", &text)).transpose()?;
    let wanted = Wanted::parse(&mut request)?;
    request.end()?;
    if let Some(epoch) = min_epoch {
        api::wait(&asking.served, epoch, patience).await?;
    }
    let (tenure, period) = wanted.find(&asking.snapshot().await?)?;
    let days = Days::Period(i32::try_from(period).map_err(|_| no_row())?);
    let id = tenure.text().to_owned();
    let ask = Ask { scope: Scope::Tenure, id, days, explain: true };
    let reply = asking.ask(ask).await?;
    // It may have gone between the two.
    let row = row_of(&reply.rows, tenure, period).ok_or_else(no_row)?;
    let explained = ask::manager_period(&row, &reply.answer);
    asking.body(&reply, &Row::ManagerPeriod(row), since, explained).await
}

/// `GET /v1/explain/agencies?agency=…`.
async fn agencies(State(asking): State<Asking>, query: ViewQuery) -> Result<Response, Problem> {
    let mut request = Request::of_query(query)?;
    let (min_epoch, patience) = api::waiting(&mut request)?;
    let since = request.take("since").map(|text| Moment::parse("since", &text)).transpose()?;
    let id = required(&mut request, "agency")?;
    request.end()?;
    if let Some(epoch) = min_epoch {
        api::wait(&asking.served, epoch, patience).await?;
    }
    let agency = Id::known(&id).ok_or_else(no_row)?;
    let days = Days::Between(Day::BEFORE_ALL, Day::NEVER);
    let reply = asking.ask(Ask { scope: Scope::Agency, id, days, explain: true }).await?;
    let key = key(View::Agencies, [Part::Id(agency), Part::Absent, Part::Absent]);
    let row = match reply.rows.table(View::Agencies).get(&key).map(|held| held.row().clone()) {
        Some(Row::Agency(row)) => row,
        _ => return Err(no_row()),
    };
    let explained = ask::agency(&row, &reply.answer);
    asking.body(&reply, &Row::Agency(row), since, explained).await
}

/// Which row of `manager_periods`.
enum Wanted {
    Key(String, u64),
    Manager(String, Day),
}

impl Wanted {
    fn parse(request: &mut Request) -> Result<Wanted, Problem> {
        if let Some(manager) = request.take("manager") {
            let from = day(request, "from")?.ok_or_else(|| {
                Problem::bad("missing_parameter", "manager needs from, the period's first day")
            })?;
            return Ok(Wanted::Manager(manager, from));
        }
        let tenure = required(request, "tenure")?;
        let period = request.number("period")?.ok_or_else(|| {
            Problem::bad("missing_parameter", "tenure needs period, counted from 0")
        })?;
        Ok(Wanted::Key(tenure, period))
    }

    fn find(&self, rows: &Snapshot) -> Result<(Id, u32), Problem> {
        let (manager, from) = match self {
            Wanted::Key(tenure, period) => {
                let tenure = Id::known(tenure).ok_or_else(no_row)?;
                let period = u32::try_from(*period).map_err(|_| no_row())?;
                let row = row_of(rows, tenure, period).ok_or_else(no_row)?;
                return Ok((row.tenure, row.period));
            }
            Wanted::Manager(manager, from) => (manager, *from),
        };
        let periods = rows.table(View::ManagerPeriods).iter().filter_map(|held| match held.row() {
            Row::ManagerPeriod(row) => Some(row),
            _ => None,
        });
        let mut found = periods.filter(|row| row.manager.text() == manager && row.from == from);
        let row = found.next().ok_or_else(no_row)?;
        match found.next() {
            None => Ok((row.tenure, row.period)),
            Some(other) => {
                let detail = format!(
                    "the manager is in several posts from that day on: ask with tenure={} or \
                     tenure={} and period",
                    row.tenure, other.tenure
                );
                Err(Problem::bad("ambiguous", detail))
            }
        }
    }
}

fn row_of(rows: &Snapshot, tenure: Id, period: u32) -> Option<Box<ManagerPeriod>> {
    let parts = [Part::Id(tenure), Part::Number(i64::from(period)), Part::Absent];
    let key = key(View::ManagerPeriods, parts);
    match rows.table(View::ManagerPeriods).get(&key)?.row() {
        Row::ManagerPeriod(row) => Some(row.clone()),
        _ => None,
    }
}

fn key(view: View, parts: [Part; 3]) -> Key {
    Key { view, parts }
}

fn no_row() -> Problem {
    let detail = "the view has no such row: it has no ratings, or what names it is not known";
    Problem::new(StatusCode::NOT_FOUND, "unknown_row", detail)
}
