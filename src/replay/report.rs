//! What a replay has come to: the table at its end, and the same as JSON for `--report`.

use std::fmt;
use std::path::PathBuf;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::lane::Retries;
use super::latency::Latency;
use super::plan::Plan;
use super::schedule::Pace;
use super::tally::Tally;
use super::windows::Window;

/// How late the last event may be sent without the pace being missed, beside 1 % of the schedule.
const LATE_ALLOWED_S: f64 = 0.1;
/// How long after the schedule the last acknowledgement may come, beside 1 % of the schedule.
const OWED_ALLOWED_S: f64 = 1.0;

/// A replay that is over. Field names are those of the JSON and stay.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Of this program.
    pub version: &'static str,
    /// The node's address.
    pub to: String,
    /// The input files, in their order.
    pub input: Vec<PathBuf>,
    /// What was asked for.
    pub options: Options,
    /// What must be the same for two reports to compare.
    pub workload: Workload,
    /// How it ended.
    pub end: End,
    /// Why something was not sent or not acknowledged; null if all was.
    pub failure: Option<String>,
    /// Counts of events.
    pub events: Events,
    /// The events refused, by code.
    pub refusals: Vec<Refusals>,
    /// Batches, each counted once however often it was sent.
    pub batches: u64,
    /// How often batches were sent again, and why.
    pub retries: Retries,
    /// Bytes of NDJSON acknowledged, without compression and headers.
    pub bytes: u64,
    /// The last epoch that an event of it is in; null if none was acknowledged.
    pub last_epoch: Option<u64>,
    /// Seconds from the start to the last acknowledgement.
    pub duration_s: f64,
    /// Seconds of the schedule of the events sent; null with `max`.
    pub schedule_s: Option<f64>,
    /// Events per second that were asked for, on average; null with `max`.
    pub target_per_s: Option<f64>,
    /// Events per second until the last was sent for the first time.
    pub sent_per_s: f64,
    /// Events per second until the last acknowledgement.
    pub acknowledged_per_s: f64,
    /// Millions of `bytes` per second until the last acknowledgement.
    pub megabytes_per_s: f64,
    /// How late the last event was sent, in seconds; null with `max`.
    pub last_sent_late_s: Option<f64>,
    /// Where latencies begin: `scheduled` sending, or with `max` the actual first one.
    pub latency_from: &'static str,
    /// To the acknowledgement: the event is durable.
    pub acknowledged: Quantiles,
    /// To the moment a subscriber has seen the event's epoch.
    pub visible: Visible,
    /// Seconds of a window.
    pub window_s: f64,
    /// The replay window by window, but for the first and the last, which are not whole.
    pub windows: Vec<Window>,
    /// What was asked for and not reached, in sentences.
    pub missed: Vec<String>,
    /// The latencies whole, by name, in microseconds.
    #[serde(skip)]
    pub distributions: [(&'static str, Histogram<u64>); 2],
}

/// What was sent, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// CRC-32 of the lines of the files, before they were moved in time.
    pub digest: String,
    /// Events sent.
    pub events: u64,
    /// In words.
    pub pace: String,
    /// Connections for ratings.
    pub connections: u16,
    /// Events of a batch at most.
    pub batch: u32,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Workload { digest, events, pace, connections, batch } = self;
        write!(
            f,
            "{events} events (CRC {digest}), {pace}, {connections} connections, batches of {batch}"
        )
    }
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Options {
    /// In words.
    pub pace: String,
    /// Events per second, at the most; null unless asked for.
    pub rate_per_s: Option<f64>,
    /// Times faster than recorded; null unless asked for.
    pub speedup: Option<f64>,
    /// How often the files were sent.
    pub passes: u32,
    /// Connections for ratings; reference data had one more.
    pub connections: u16,
    /// Events of a batch at most.
    pub batch: u32,
    /// Seconds a batch is tried again.
    pub give_up_s: u64,
    /// Seconds an answer may take.
    pub timeout_s: u64,
}

/// How a replay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Everything was sent and acknowledged.
    Complete,
    /// It was stopped from outside.
    Stopped,
    /// Something could not be read, sent or acknowledged.
    Failed,
}

/// Counts of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Events {
    /// Sent at least once.
    pub sent: u64,
    /// Accepted or refused by the node.
    pub acknowledged: u64,
    /// In the log.
    pub accepted: u64,
    /// Not in the log.
    pub refused: u64,
    /// Sent, but nobody knows.
    pub unacknowledged: u64,
}

/// Refusals of one code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusals {
    /// The node's code.
    pub code: String,
    /// How many events.
    pub count: u64,
    /// What the node said of the first.
    pub example: String,
}

/// A distribution of latencies, in milliseconds; 600 000 and more are one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Quantiles {
    /// Events measured.
    pub events: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// The latency to a subscriber, who follows `conservation` by server-sent events.
#[derive(Clone, Debug, Serialize)]
pub struct Visible {
    /// Of the events of batches with a rating, for only ratings change what is followed.
    #[serde(flatten)]
    pub quantiles: Quantiles,
    /// Events of other batches: that they are complete is not shown at once.
    pub unobserved: u64,
    /// Events that were not seen before the end.
    pub unseen: u64,
    /// How often the stream was lost or could not be had.
    pub losses: u64,
    /// Why it was lost the last time.
    pub error: Option<String>,
}

impl Report {
    pub(super) fn new(plan: &Plan, tally: Tally, latency: &Latency, stopped: bool) -> Report {
        let seconds = |us: u64| us as f64 / 1e6;
        let schedule_s = match plan.pace {
            Pace::Rate(rate) => Some(tally.sent as f64 / rate.get()),
            Pace::Shaped(..) | Pace::Speedup(_) => Some(seconds(tally.last_due_us)),
            Pace::Max | Pace::Following(_) => None,
        };
        let (sent_s, duration_s) =
            (seconds(tally.last_sent_us), seconds(tally.last_acknowledged_us));
        let unacknowledged = tally.sent - tally.acknowledged;
        let end = match (&tally.failure, stopped) {
            (_, true) => End::Stopped,
            (None, false) => End::Complete,
            (Some(_), false) => End::Failed,
        };
        let mut report = Report {
            version: env!("CARGO_PKG_VERSION"),
            to: plan.node.as_str().to_owned(),
            input: plan.input.clone(),
            options: Options::of(plan),
            workload: Workload {
                digest: format!("{:08x}", tally.digest),
                events: tally.sent,
                pace: plan.pace.to_string(),
                connections: plan.connections,
                batch: plan.batch_lines,
            },
            end,
            events: Events {
                sent: tally.sent,
                acknowledged: tally.acknowledged,
                accepted: tally.accepted,
                refused: tally.refused(),
                unacknowledged,
            },
            failure: tally.failure,
            refusals: tally.refusals.into_values().collect(),
            batches: tally.batches,
            retries: tally.retries,
            bytes: tally.bytes,
            last_epoch: tally.last_epoch,
            duration_s,
            schedule_s,
            target_per_s: schedule_s.map(|schedule_s| per_second(tally.sent as f64, schedule_s)),
            sent_per_s: per_second(tally.sent as f64, sent_s.max(schedule_s.unwrap_or(0.0))),
            acknowledged_per_s: per_second(tally.acknowledged as f64, duration_s),
            megabytes_per_s: per_second(tally.bytes as f64 / 1e6, duration_s),
            last_sent_late_s: schedule_s
                .map(|_| seconds(tally.last_sent_us.saturating_sub(tally.last_due_us))),
            latency_from: if plan.pace.is_closed_loop() { "sent" } else { "scheduled" },
            acknowledged: Quantiles::of(&latency.acknowledged),
            visible: Visible {
                quantiles: Quantiles::of(&latency.visible),
                unobserved: latency.unobserved,
                unseen: latency.waiting(),
                losses: tally.subscriber_losses,
                error: tally.subscriber_error,
            },
            window_s: latency.windows.seconds(),
            windows: latency.windows.whole(),
            missed: Vec::new(),
            distributions: [
                ("acknowledged", latency.acknowledged.clone()),
                ("visible", latency.visible.clone()),
            ],
        };
        report.missed = report.missed();
        report
    }

    /// Whether the node has answered for everything that was sent, and all was sent unless it was
    /// stopped.
    pub fn is_acknowledged(&self) -> bool {
        self.failure.is_none() && self.events.unacknowledged == 0
    }

    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if let (Some(schedule_s), Some(late_s)) = (self.schedule_s, self.last_sent_late_s) {
            if late_s > LATE_ALLOWED_S.max(schedule_s / 100.0) {
                missed.push(format!(
                    "the pace was not kept: the last event was sent {late_s:.1} s after its time"
                ));
            }
            let owed_s = self.duration_s - schedule_s;
            if owed_s > OWED_ALLOWED_S.max(schedule_s / 100.0) {
                missed.push(format!(
                    "the node was behind: it acknowledged the last event {owed_s:.1} s after the \
                     end of the schedule"
                ));
            }
        }
        if self.events.unacknowledged > 0 {
            missed.push(format!("{} events were not acknowledged", self.events.unacknowledged));
        }
        if self.visible.unseen > 0 {
            missed.push(format!("{} events were not seen before the end", self.visible.unseen));
        }
        missed
    }
}

fn per_second(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { amount / seconds } else { 0.0 }
}

impl Options {
    fn of(plan: &Plan) -> Options {
        let (rate_per_s, speedup) = match plan.pace {
            Pace::Rate(rate) | Pace::Shaped(rate, _) => (Some(rate.get()), None),
            Pace::Speedup(factor) => (None, Some(factor.get())),
            Pace::Max | Pace::Following(_) => (None, None),
        };
        Options {
            pace: plan.pace.to_string(),
            rate_per_s,
            speedup,
            passes: plan.passes,
            connections: plan.connections,
            batch: plan.batch_lines,
            give_up_s: plan.give_up.as_secs(),
            timeout_s: plan.timeout.as_secs(),
        }
    }
}

impl Quantiles {
    fn of(histogram: &Histogram<u64>) -> Quantiles {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Quantiles {
            events: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: histogram.max() as f64 / 1e3,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { events, retries, visible, .. } = self;
        let end = match self.end {
            End::Complete => "complete",
            End::Stopped => "stopped before the end of the input",
            End::Failed => "failed",
        };
        writeln!(f, "replay to {}, {}: {end}", self.to, self.options.pace)?;
        writeln!(
            f,
            "events        {} sent, {} accepted, {} refused, {} not acknowledged",
            events.sent, events.accepted, events.refused, events.unacknowledged
        )?;
        for refusals in &self.refusals {
            let Refusals { code, count, example } = refusals;
            writeln!(f, "  refused     {count} {code}, first: {example}")?;
        }
        write!(f, "time          {:.2} s", self.duration_s)?;
        match self.schedule_s {
            Some(schedule_s) => writeln!(f, " for a schedule of {schedule_s:.2} s")?,
            None => writeln!(f)?,
        }
        write!(
            f,
            "rate          {:.0}/s sent, {:.0}/s acknowledged",
            self.sent_per_s, self.acknowledged_per_s
        )?;
        if let Some(target) = self.target_per_s {
            write!(f, " of {target:.0}/s asked for")?;
        }
        writeln!(f, "; {:.1} MB/s", self.megabytes_per_s)?;
        writeln!(
            f,
            "sent again    {} of {} batches: {} no room, {} connection, {} failure of the node",
            retries.total(),
            self.batches,
            retries.busy,
            retries.connection,
            retries.failed
        )?;
        writeln!(
            f,
            "\nms since {:9}      p50        p90        p99      p99.9        max     events",
            self.latency_from
        )?;
        row(f, "acknowledged", &self.acknowledged)?;
        row(f, "visible", &visible.quantiles)?;
        if self.latency_from == "sent" {
            writeln!(
                f,
                "A closed loop: while the node stalls nothing is sent, so these latencies hide it. \
                 Give a rate to measure latency."
            )?;
        }
        if let Some(error) = &visible.error {
            writeln!(
                f,
                "The subscriber was without a stream {} times, last: {error}",
                visible.losses
            )?;
        }
        if let Some(failure) = &self.failure {
            writeln!(f, "FAILED: {failure}")?;
        }
        self.missed.iter().try_for_each(|missed| writeln!(f, "MISSED: {missed}"))
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, quantiles: &Quantiles) -> fmt::Result {
    let &Quantiles { events, p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = quantiles;
    if events == 0 {
        return writeln!(f, "{name:14} not measured");
    }
    writeln!(
        f,
        "{name:14} {p50_ms:>12.2} {p90_ms:>10.2} {p99_ms:>10.2} {p999_ms:>10.2} {max_ms:>10.2} \
         {events:>10}"
    )
}
