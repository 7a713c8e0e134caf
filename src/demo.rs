//! `otklik demo`: the main job, live, with nothing to prepare: events are made, a node is started,
//! a year of them is loaded and the rest sent as if it came in now.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use dataflows::calendar::Day;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError, Flags};
use crate::generate::{self, Params};
use crate::node::{self, NodeError, Running};
use crate::replay::{self, Pace, PerSecond, Plan, Progress};
use crate::{clock, world};

/// How many days of events are made, up to today: a full accounting period and some.
const DAYS: i32 = 400;
/// Records older than this can no longer change (`rules.horizon_days`).
const HORIZON_DAYS: u32 = 90;
/// The share of the events that is loaded before the rest is sent live: so many of ten.
const LOADED_TENTHS: u64 = 8;

/// A node with realistic ratings coming in live, to look at.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Events to make; most are loaded at the start, the rest come in live
    #[arg(long, default_value_t = 400_000, value_name = "N",
        value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    events: u64,
    /// Events a second that come in live
    #[arg(long, default_value = "200", value_name = "N/s")]
    rate: PerSecond,
    /// The same seed makes the same events on the same day
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
    /// Address and port; another port is taken if this one is
    #[arg(long, default_value = "127.0.0.1:8140", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where to keep the log and the events; a temporary directory otherwise, gone at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs the command until Ctrl-C or SIGTERM.
///
/// # Errors
/// No room for the files; a node that does not start or fails.
pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new().prefix("otklik-demo-").tempdir();
    let temporary = temporary.context("cannot create a temporary directory")?;
    let directory = args.data.clone().unwrap_or_else(|| temporary.path().to_owned());
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let ended = runtime.block_on(async {
        let stop = stop_signal()?;
        let files = {
            let (args, directory) = (args.clone(), directory.clone());
            tokio::task::spawn_blocking(move || make_events(&args, &directory))
        };
        let files = files.await.context("making events failed")??;
        let running = start(args, &directory).await?;
        let shows = show(args, &files, &running, &stop);
        let shown = tokio::select! {
            shown = shows => shown,
            () = running.stop.cancelled() => Ok(()),
        };
        running.stop.cancel();
        let ended = running.ended().await.map_err(anyhow::Error::from);
        shown.and(ended)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// The files of events: the reference data, what is loaded, and what comes live.
struct Files {
    reference: PathBuf,
    loaded: PathBuf,
    live: PathBuf,
}

fn make_events(args: &DemoArgs, directory: &Path) -> anyhow::Result<Files> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let files = Files {
        reference: directory.join("reference.ndjson"),
        loaded: directory.join("loaded.ndjson"),
        live: directory.join("live.ndjson"),
    };
    let today = clock::hour().day(world::world().zone(0));
    let params = Params {
        events: args.events,
        seed: args.seed,
        from: Day(today.0 - DAYS),
        until: Day(today.0 + 1),
    };
    let bar = bar("making events", args.events);
    let make = || -> io::Result<()> {
        let mut reference = BufWriter::new(File::create(&files.reference)?);
        let mut events = Split {
            lines: args.events * LOADED_TENTHS / 10,
            first: BufWriter::new(File::create(&files.loaded)?),
            then: BufWriter::new(File::create(&files.live)?),
        };
        let mut progress = |made| bar.set_position(made);
        generate::generate(&params, &mut reference, &mut events, &mut progress)?;
        reference.flush()?;
        events.flush()
    };
    make().with_context(|| format!("cannot write events to {}", directory.display()))?;
    bar.finish_and_clear();
    Ok(files)
}

/// Writes the first `lines` lines to one file and the others to another.
struct Split {
    lines: u64,
    first: BufWriter<File>,
    then: BufWriter<File>,
}

impl Write for Split {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.lines == 0 {
            return self.then.write(text);
        }
        match text.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                self.first.write_all(&text[..=end])?;
                self.lines -= 1;
                Ok(end + 1)
            }
            None => self.first.write(text),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.first.flush()?;
        self.then.flush()
    }
}

/// Starts the node, on another port if the wanted one is taken.
async fn start(args: &DemoArgs, directory: &Path) -> anyhow::Result<Running> {
    let program = std::env::current_exe().context("cannot find the program's own file")?;
    let config = |listen| {
        let data = Some(directory.join("data"));
        let flags = Flags { listen: Some(listen), data, ..Flags::default() };
        let mut config = Config::load(None, std::env::vars(), flags)?;
        // As most nodes should have it; what is loaded is older, and closes at the next full hour.
        if config.rules.horizon_days == 0 {
            config.rules.horizon_days = HORIZON_DAYS;
        }
        Ok::<_, ConfigError>(config)
    };
    match node::start(config(args.listen)?, program.clone()).await {
        Err(NodeError::Listen { address, .. }) => {
            eprintln!("{address} is taken; taking another port");
            let any = SocketAddr::new(args.listen.ip(), 0);
            Ok(node::start(config(any)?, program).await?)
        }
        started => Ok(started?),
    }
}

/// Loads most events, says where to look, and sends the others live until they end or `stop`.
async fn show(
    args: &DemoArgs,
    files: &Files,
    running: &Running,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let address = format!("http://{}", running.address);
    println!("\n  Отклик is running: {address}/\n");
    let to = || address.parse().map_err(anyhow::Error::msg);
    let history = vec![files.reference.clone(), files.loaded.clone()];
    let loaded = args.events * LOADED_TENTHS / 10;
    let plan = Plan::new(history, to()?, Pace::Max);
    send(plan, bar("loading a year of ratings", loaded), stop).await?;
    if !stop.is_cancelled() {
        println!("  ratings now come in live, {} a second; Ctrl-C ends it\n", args.rate.get());
        let plan = Plan::new(vec![files.live.clone()], to()?, Pace::Rate(args.rate));
        send(plan, ProgressBar::hidden(), stop).await?;
    }
    if !stop.is_cancelled() {
        println!("  all events are sent; the node goes on until Ctrl-C\n");
        stop.cancelled().await;
    }
    Ok(())
}

async fn send(plan: Plan, bar: ProgressBar, stop: &CancellationToken) -> anyhow::Result<()> {
    let (progress, mut watched) = watch::channel(Progress::default());
    let shown = tokio::spawn(async move {
        while watched.changed().await.is_ok() {
            bar.set_position(watched.borrow().acknowledged);
        }
        bar.finish_and_clear();
    });
    let report = replay::replay(plan, progress, stop.clone()).await?;
    let _ = shown.await;
    if !stop.is_cancelled() && !report.is_acknowledged() {
        let why = report.failure.as_deref().unwrap_or("stopped");
        anyhow::bail!("not everything was acknowledged: {why}");
    }
    Ok(())
}

fn stop_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        told.cancel();
        // A second one does not wait.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(1);
    });
    Ok(stop)
}

fn bar(what: &'static str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(what);
    let style = ProgressStyle::with_template("  {msg} {bar:40} {human_pos}/{human_len} {eta}");
    bar.set_style(style.expect("the template is right"));
    bar
}
