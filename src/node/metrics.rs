//! What the node counts and measures of itself, for Prometheus.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use dataflows::views::View;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

use crate::door::Refused;
use crate::door::sources::{Accepted, Sender};

/// One label and its value.
type Label = [(&'static str, &'static str); 1];

/// The metrics. Counters rise where things happen; gauges are set when they are asked for.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is described where it is registered")]
pub struct Metrics {
    registry: Registry,
    accepted: Family<Label, Counter>,
    senders: Family<[(&'static str, String); 2], Counter>,
    refused: Family<Label, Counter>,
    batches: Family<[(&'static str, u16); 1], Counter>,
    commit_seconds: Histogram,
    commit_events: Histogram,
    pub queue_batches: Gauge,
    pub queue_bytes: Gauge,
    pub epochs_owed: Gauge,
    pub epoch_closed: Gauge,
    pub epoch_served: Gauge,
    pub served_age_seconds: Gauge<f64, AtomicU64>,
    pub log_bytes: Gauge,
    pub log_segments: Gauge,
    pub log_events: Gauge,
    pub log_full: Gauge,
    pub worker_up: Gauge,
    pub subscribers: Gauge,
    pub checkpoint_epoch: Gauge,
    pub checkpoint_events: Gauge,
    pub checkpoints_failed: Counter,
    pub cluster_nodes: Gauge,
    pub cluster_connected: Gauge,
    pub cluster_generation: Gauge,
    pub cluster_ended: Gauge,
    pub cluster_holds_frontier: Gauge,
    rows: Family<Label, Gauge>,
    pub worker_restarts: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("otklik");
        let up: Gauge = add(&mut registry, "up", "1 while the node runs", Gauge::default());
        up.set(1);
        let mut gauge = |name, help| add(&mut registry, name, help, Gauge::default());
        let queue_batches = gauge("queue_batches", "Batches being read or waiting for the disk");
        let queue_bytes = gauge("queue_bytes", "Bytes of events taken in and not yet on disk");
        let epochs_owed = gauge("epochs_owed", "Epochs the worker has been told to close");
        let epoch_closed = gauge("epoch_closed", "First epoch still open for events");
        let epoch_served = gauge("epoch_served", "Last epoch whose figures are served");
        let log_bytes = gauge("log_bytes", "Bytes of all segments of the log");
        let log_segments = gauge("log_segments", "Segments of the log");
        let log_events = gauge("log_events", "Events in the log, the node's own hours among them");
        let log_full = gauge("log_full", "1 while the disk is full and batches are turned away");
        let worker_up = gauge("worker_up", "1 while there is a worker process");
        let checkpoint_epoch = gauge("checkpoint_epoch", "Epoch of the newest checkpoint");
        let checkpoint_events =
            gauge("checkpoint_events", "Events that the newest checkpoint stands for");
        let subscribers = gauge("subscribers", "Live streams being read");
        let cluster_nodes = gauge("cluster_nodes", "Nodes of the cluster");
        let cluster_connected = gauge("cluster_connected", "Nodes of it that are there");
        let cluster_generation = gauge("cluster_generation", "Generation of its workers");
        let cluster_ended = gauge("cluster_ended", "Generations that failed");
        let cluster_holds_frontier =
            gauge("cluster_holds_frontier", "1 while this node holds the figures of all back");
        let buckets = exponential_buckets(0.0001, 2.0, 18);
        Metrics {
            accepted: add(
                &mut registry,
                "events_accepted",
                "Events accepted and durable, by type",
                Family::default(),
            ),
            senders: add(
                &mut registry,
                "events_by_vendor",
                "Events accepted and durable, by type and vendor, of vendors a hundred a type",
                Family::default(),
            ),
            refused: add(
                &mut registry,
                "events_refused",
                "Lines refused at the door, by code",
                Family::default(),
            ),
            batches: add(
                &mut registry,
                "batches",
                "Requests to the door, by the status they were answered with",
                Family::default(),
            ),
            commit_seconds: add(
                &mut registry,
                "commit_seconds",
                "Time to make a group of batches durable",
                Histogram::new(buckets),
            ),
            commit_events: add(
                &mut registry,
                "commit_events",
                "Events made durable together",
                Histogram::new(exponential_buckets(1.0, 4.0, 10)),
            ),
            served_age_seconds: add(
                &mut registry,
                "served_age_seconds",
                "Time since the served epoch ended",
                Gauge::default(),
            ),
            rows: add(&mut registry, "rows", "Rows served, by view", Family::default()),
            checkpoints_failed: add(
                &mut registry,
                "checkpoints_failed",
                "Checkpoints that could not be made",
                Counter::default(),
            ),
            worker_restarts: add(
                &mut registry,
                "worker_restarts",
                "Times a worker was started again",
                Counter::default(),
            ),
            queue_batches,
            queue_bytes,
            epochs_owed,
            epoch_closed,
            epoch_served,
            log_bytes,
            log_segments,
            log_events,
            log_full,
            worker_up,
            subscribers,
            checkpoint_epoch,
            checkpoint_events,
            cluster_nodes,
            cluster_connected,
            cluster_generation,
            cluster_ended,
            cluster_holds_frontier,
            registry,
        }
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// A request to the door was answered with this status.
    pub fn answered(&self, status: u16) {
        self.batches.get_or_create(&[("status", status)]).inc();
    }

    /// A batch is durable: so many events of each type, and the lines that did not pass.
    pub fn taken(&self, accepted: &Accepted, refused: &[Refused]) {
        for (name, count) in accepted.types() {
            self.accepted.get_or_create(&[("type", name)]).inc_by(count);
        }
        for Refused { code, .. } in refused {
            self.refused.get_or_create(&[("code", *code)]).inc();
        }
    }

    /// So many events more came from a vendor.
    pub fn sent(&self, type_name: &'static str, sender: &Sender, events: u64) {
        if *sender != Sender::Unnamed {
            let labels = [("type", type_name.to_owned()), ("vendor", sender.label().to_owned())];
            self.senders.get_or_create(&labels).inc_by(events);
        }
    }

    /// A group commit of `events` took so long.
    pub fn committed(&self, events: u32, time: Duration) {
        self.commit_seconds.observe(time.as_secs_f64());
        self.commit_events.observe(f64::from(events));
    }

    /// A view has so many rows.
    pub fn rows(&self, view: View, rows: usize) {
        self.rows.get_or_create(&[("view", view.name())]).set(rows as i64);
    }

    /// All of them in the text format of OpenMetrics.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a string takes every line");
        text
    }
}
