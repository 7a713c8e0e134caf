//! What the node says of itself over HTTP: to whoever restarts it, to whoever routes to it, to
//! Prometheus, and to the page.
//!
//! `/v1/status` is ours, not the contract's:
//! `{"stage", "epoch", "epoch_at_ms", "age_ms", "accepted", "accepted_per_second": [60 numbers,
//! oldest first], "rules": {…}, "worker": {"stage", "pid", "restarts"}, "log": {"stage", "events",
//! "bytes", "segments"}, "subscribers"}`, where `epoch`, `epoch_at_ms` (milliseconds since 1970)
//! and `age_ms` are null until the first epoch is complete, and `accepted` counts from the start.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use dataflows::views::View;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower_http::set_header::SetResponseHeaderLayer;

use super::status::{LogStage, Standing, Status, WorkerStage};
use super::supervise::Supervisor;
use crate::door::Door;
use crate::http::live::Live;
use crate::http::problem::{self, Problem};
use crate::mesh::lead::{Member, Roster};
use crate::mesh::{self, Mesh};
use crate::rules::Rules;
use crate::views::Served;

/// What these pages look at.
#[derive(Debug)]
pub struct Health {
    /// How the node stands.
    pub status: Arc<Status>,
    /// For how much waits there.
    pub door: Arc<Door>,
    /// For how much the worker owes.
    pub supervisor: Arc<Supervisor>,
    /// For how many rows there are.
    pub served: Arc<Served>,
    /// For how many subscribers there are.
    pub live: Arc<Live>,
    /// The cluster, if there is one.
    pub mesh: Option<Arc<Mesh>>,
    /// Where the node listens.
    pub address: SocketAddr,
    /// The rules in force.
    pub rules: Rules,
}

/// How far the node has come, for a person and for a progress bar.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    /// `recovering`, `restoring`, `replaying`, `ready`, `stopping`.
    stage: &'static str,
    /// The stage in words, with its numbers.
    detail: String,
    epoch: Option<u64>,
    age_ms: Option<u64>,
}

/// `/healthz`, `/readyz`, `/metrics`, `/v1/status`.
pub fn routes(health: Arc<Health>) -> Router {
    let no_store = HeaderValue::from_static("no-store");
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/digests", get(digests))
        .route("/v1/cluster", get(cluster))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, no_store))
        .with_state(health)
}

/// The process is up: it answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 once the log is recovered and the first epoch is complete. It stays so while a worker is
/// started again: the last epoch is served, and `age_ms` says how old it is.
async fn readyz(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let readiness = Readiness::of(&health.status.standing());
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let metrics = &health.status.metrics;
    let waiting = health.door.waiting();
    metrics.queue_batches.set(waiting.batches as i64);
    metrics.queue_bytes.set(waiting.bytes as i64);
    metrics.epochs_owed.set(health.supervisor.owed() as i64);
    metrics.subscribers.set(health.live.subscribers() as i64);
    let (place, roster) = health.roster();
    metrics.cluster_nodes.set(roster.nodes.len() as i64);
    let connected = roster.nodes.iter().filter(|node| node.connected).count();
    metrics.cluster_connected.set(connected as i64);
    metrics.cluster_generation.set(roster.generation as i64);
    metrics.cluster_ended.set(roster.ended as i64);
    let holds = roster.frontier.is_some_and(|(process, _)| process == place);
    metrics.cluster_holds_frontier.set(i64::from(holds));
    if let Some(served) = health.status.standing().served {
        metrics.served_age_seconds.set(served.age().as_secs_f64());
    }
    if let Some(snapshot) = health.served.snapshot() {
        for view in View::ALL {
            metrics.rows(view, snapshot.table(view).len());
        }
    }
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, openmetrics)], metrics.encode())
}

async fn status(State(health): State<Arc<Health>>) -> Json<Value> {
    let standing = health.status.standing();
    let Readiness { stage, epoch, age_ms, .. } = Readiness::of(&standing);
    let metrics = &health.status.metrics;
    Json(json!({
        "stage": stage,
        "epoch": epoch,
        "epoch_at_ms": standing.served.map(|served| served.wall_ms),
        "age_ms": age_ms,
        "accepted": standing.accepted,
        "rules": {
            "integral": health.rules.integral,
            "attribution": health.rules.attribution,
            "horizon_days": health.rules.horizon_days,
        },
        "worker": {
            "stage": standing.worker.name(),
            "pid": standing.worker_pid,
            "restarts": metrics.worker_restarts.get(),
        },
        "log": {
            "stage": standing.log.name(),
            "events": metrics.log_events.get(),
            "bytes": metrics.log_bytes.get(),
            "segments": metrics.log_segments.get(),
        },
        "checkpoint": standing.checkpoint,
        "subscribers": health.live.subscribers(),
        "accepted_per_second": standing.per_second(),
    }))
}

/// `/v1/cluster`: `{"process", "hosts", "linked", "generation", "phase", "ended", "error",
/// "frontier": {"process", "why"} or null, "nodes": […]}`. A node is `{"process", "address",
/// "connected", "age_ms", "http", "epoch", "asked", "served", "log", "worker", "log_events",
/// "log_bytes", "restarts", "error"}`, with nulls after `connected` for one that has not been there.
///
/// All of it is what the first node tells twice a second, and when a generation begins or ends; `linked` is false while that is away, and
/// then a node knows only itself. A node without a cluster is the only one of its own.
async fn cluster(State(health): State<Arc<Health>>) -> Json<Value> {
    let (process, roster) = health.roster();
    let linked = health.mesh.as_ref().is_none_or(|mesh| mesh.roster().is_some());
    let Roster { generation, phase, ended, error, nodes, frontier } = roster;
    let hosts: Vec<&str> = nodes.iter().map(|node| node.address.as_str()).collect();
    let nodes: Vec<Value> = nodes
        .iter()
        .enumerate()
        .map(|(process, node)| {
            let mut json = json!({
                "process": process,
                "address": node.address,
                "connected": node.connected,
                "age_ms": node.standing.as_ref().map(|_| node.age_ms),
            });
            let standing = json!(node.standing.clone().unwrap_or_default());
            for (key, value) in standing.as_object().into_iter().flatten() {
                json[key] = if node.standing.is_some() { value.clone() } else { Value::Null };
            }
            json
        })
        .collect();
    Json(json!({
        "process": process,
        "hosts": hosts,
        "linked": linked,
        "generation": generation,
        "phase": phase,
        "ended": ended,
        "error": error,
        "frontier": frontier.map(|(process, why)| json!({ "process": process, "why": why })),
        "nodes": nodes,
    }))
}

impl Health {
    /// This node's number, and how all stand, as far as it knows: itself at least.
    fn roster(&self) -> (usize, Roster) {
        let own = [self.address.to_string()];
        let (process, hosts) = match &self.mesh {
            Some(mesh) => mesh.place(),
            None => (0, &own[..]),
        };
        if let Some(roster) = self.mesh.as_ref().and_then(|mesh| mesh.roster()) {
            return (process, roster);
        }
        let nodes = hosts.iter().enumerate().map(|(n, address)| Member {
            address: address.clone(),
            connected: n == process,
            standing: (n == process)
                .then(|| mesh::Standing::of(&self.status, &self.supervisor, self.address)),
            age_ms: 0,
        });
        let phase = if self.mesh.is_none() { "running" } else { "unknown" };
        let nodes = nodes.collect();
        (process, Roster { phase: phase.to_owned(), nodes, ..Roster::default() })
    }
}

/// Which epoch, the last complete one if none is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfEpoch {
    epoch: Option<u64>,
}

/// `{"epoch", "views": {view: digest}, "link": {"epoch", "digest"}}`: what tells whether two nodes,
/// or a node and a replay of its log, have the same rows. `?epoch=` asks for one that the history
/// reaches back to, and that was not computed together with later ones; `link`, the end of the chain
/// of hours, is of the last.
async fn digests(
    State(health): State<Arc<Health>>,
    query: Result<Query<OfEpoch>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(OfEpoch { epoch }) =
        query.map_err(|error| Problem::bad("bad_request", error.body_text()))?;
    let served = health.served.epoch().ok_or_else(Problem::not_ready)?;
    let epoch = epoch.unwrap_or(served);
    let digests = health.served.digests(epoch).ok_or_else(|| {
        let detail = format!(
            "the history does not reach back to epoch {epoch}, or it is to come, or was computed \
             together with later ones"
        );
        Problem::new(StatusCode::NOT_FOUND, "unknown_epoch", detail)
    })?;
    let views = View::ALL.into_iter().zip(digests);
    let views = views.map(|(view, digest)| (view.name().to_owned(), json!(digest.to_string())));
    let link = health.status.standing().chain.latest();
    Ok(Json(json!({
        "epoch": epoch,
        "views": views.collect::<serde_json::Map<_, _>>(),
        "link": { "epoch": link.epoch, "digest": link.digest.to_string() },
    })))
}

impl Readiness {
    fn of(standing: &Standing) -> Readiness {
        let (stage, detail) = match (standing.stopping, standing.log, standing.worker) {
            (true, ..) => ("stopping", "the node is stopping".to_owned()),
            (_, LogStage::Recovering { checked, of }, _) => {
                let percent = (checked * 100).checked_div(of).unwrap_or(0);
                ("recovering", format!("recovering log {percent}%"))
            }
            (_, LogStage::Closed, _) => ("recovering", "the log is not open".to_owned()),
            _ if standing.served.is_some() => ("ready", "ready".to_owned()),
            (_, _, WorkerStage::Restoring { epoch, bytes, of }) => {
                let percent = (bytes * 100).checked_div(of).unwrap_or(0);
                ("restoring", format!("restoring the checkpoint of epoch {epoch}: {percent}%"))
            }
            (_, _, WorkerStage::Replaying { events }) => {
                ("replaying", format!("replaying {events} events of {}", standing.found))
            }
            _ => ("replaying", "the worker is not up".to_owned()),
        };
        Readiness {
            ready: stage == "ready",
            stage,
            detail,
            epoch: standing.served.map(|served| served.epoch()),
            age_ms: standing.served.map(|served| served.age().as_millis() as u64),
        }
    }
}
