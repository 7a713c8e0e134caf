//! `otklik replay`: an open-loop load test of a node, and the way recorded events come in again.
//!
//! Every event has its time before anything is sent; latency counts from there, to the
//! acknowledgement (the event is durable) and to a subscriber who sees it. Nothing here knows how
//! a node works: it speaks HTTP as any sender would (contract § 3).

mod batch;
mod compare;
mod drive;
mod follow;
mod hgrm;
mod input;
mod lane;
mod latency;
mod moved;
mod plan;
mod progress;
mod report;
mod schedule;
mod shape;
mod tally;
mod windows;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{clock, world};

pub use compare::{CompareArgs, run as run_compare};
pub use drive::{Progress, replay};
pub use lane::Retries;
pub use plan::{Node, Plan};
pub use report::{End, Events, Options, Quantiles, Refusals, Report, Visible, Workload};
pub use schedule::{Factor, Pace, PerSecond};
pub use shape::Shape;
pub use windows::Window;

/// Send recorded events to a node, and measure how long it takes them.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// Files of events, one JSON object a line; plain, gzip or zstd. Sent in the order given
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// The node, like http://127.0.0.1:8140
    #[arg(long, value_name = "URL")]
    pub to: Node,
    /// Events per second, evenly: 5000 or 5000/s. Latency counts from when each was due, however
    /// late it was sent
    #[arg(long, value_name = "N/s", group = "pace")]
    pub rate: Option<PerSecond>,
    /// So many times faster than the events were received, by their received_at or answered_at;
    /// below 1 is slower
    #[arg(long, value_name = "X", group = "pace")]
    pub speedup: Option<Factor>,
    /// As fast as the node acknowledges; this is the default. For throughput: the latencies of
    /// such a closed loop hide stalls
    #[arg(long, group = "pace")]
    pub max: bool,
    /// With --max: nothing is sent while what was sent so many seconds ago is not seen by a
    /// subscriber, so that the views follow. For the throughput that can last
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["rate", "speedup"],
        value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub lag: Option<u32>,
    /// How the rate comes and goes: constant, ramp:SECONDS, steps:COUNTxSECONDS, or day:SECONDS for
    /// working days of eleven zones that take so long each. --rate is the greatest
    #[arg(long, value_name = "SHAPE", default_value_t, requires = "rate")]
    pub shape: Shape,
    /// How often the files are sent: each time as later events of other records
    #[arg(long = "loop", value_name = "TIMES", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub passes: u32,
    /// Move all dates so that the first receipt is today
    #[arg(long)]
    pub shift_to_now: bool,
    /// Connections for ratings, with one batch in flight each. Reference data go over one more, in
    /// their order
    #[arg(long, value_name = "C", default_value_t = Plan::CONNECTIONS,
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub connections: u16,
    /// Events of a batch at most; a batch goes after 5 ms even if it has fewer
    #[arg(long, value_name = "N", default_value_t = Plan::BATCH_LINES,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch: u32,
    /// How long a batch is tried again that finds no room or no node, before all is given up
    #[arg(long, value_name = "SECONDS", default_value_t = Plan::GIVE_UP_S,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub give_up: u32,
    /// How long an answer may take, before the batch is sent again over a new connection
    #[arg(long, value_name = "SECONDS", default_value_t = Plan::TIMEOUT_S,
        value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub timeout: u32,
    /// Where to write the report as JSON as well
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Where to write the latencies as HdrHistogram's percentile distributions, in milliseconds:
    /// acknowledged.hgrm and visible.hgrm
    #[arg(long, value_name = "DIR")]
    pub hgrm: Option<PathBuf>,
}

impl ReplayArgs {
    /// The plan they make.
    pub fn plan(&self) -> Plan {
        let rate = self.rate.map(|rate| match self.shape {
            Shape::Constant => Pace::Rate(rate),
            shape => Pace::Shaped(rate, shape),
        });
        Plan {
            input: self.input.clone(),
            node: self.to.clone(),
            pace: rate
                .or(self.speedup.map(Pace::Speedup))
                .or(self.lag.map(Pace::Following))
                .unwrap_or(Pace::Max),
            passes: self.passes,
            first_day: self.shift_to_now.then(|| clock::hour().day(world::world().zone(0))),
            connections: self.connections,
            batch_lines: self.batch,
            give_up: Duration::from_secs(self.give_up.into()),
            timeout: Duration::from_secs(self.timeout.into()),
        }
    }
}

/// Runs the command. Ctrl-C stops the sending and still reports; a second one ends at once.
///
/// # Errors
/// A file that cannot be read or written; events that were not sent or not acknowledged, unless
/// Ctrl-C kept them from being sent. The report is printed all the same.
pub fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let report_file = args.report.as_ref().map(|path| {
        File::create(path).with_context(|| format!("cannot create {}", path.display()))
    });
    // Before anything is sent, so that an hour's measurement does not end in an error.
    let report_file = report_file.transpose()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let report = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_ctrl_c(stop.clone()));
        let (progress, watched) = watch::channel(Progress::default());
        let shown = tokio::spawn(progress::show(args.input.clone(), watched));
        let report = replay(args.plan(), progress, stop).await;
        // It ends with the sender of what it shows.
        let _ = shown.await;
        report
    })?;
    print!("{report}");
    if let (Some(mut file), Some(path)) = (report_file, &args.report) {
        serde_json::to_writer_pretty(&mut file, &report)
            .map_err(anyhow::Error::from)
            .and_then(|()| Ok(writeln!(file)?))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(directory) = &args.hgrm {
        hgrm::write_all(&report, directory)?;
    }
    if !report.is_acknowledged() {
        let why = report.failure.as_deref().unwrap_or("stopped");
        bail!("not everything was acknowledged by {}: {why}", report.to);
    }
    Ok(())
}

async fn stop_on_ctrl_c(stop: CancellationToken) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if stop.is_cancelled() {
            std::process::exit(1);
        }
        eprintln!("stopping: waiting for what is sent; Ctrl-C again to wait no longer");
        stop.cancel();
    }
}
