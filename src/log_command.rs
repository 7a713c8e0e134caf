//! `otklik log`: what is in the log of a node, whether it is sound, and its events as NDJSON again.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use dataflows::calendar::Hour;
use dataflows::domain::Epoch;
use indicatif::{ProgressBar, ProgressStyle};

use crate::export::export;
use crate::log::{Inspection, Segment, inspect};

/// Look into the log of a node.
#[derive(Clone, Debug, clap::Args)]
pub struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum LogCommand {
    /// Say what is in the log: segments, epochs, hours, events, and whether it is sound
    Inspect {
        /// Data directory of the node; it may be running
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Read everything, archive and all, and compare every checksum; exit 1 at the first damage
    Check {
        /// Data directory of the node; it may be running
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Write the events as NDJSON to standard output, as `compute` takes them
    Export {
        /// Data directory of the node, of a cluster all of them; they may be running
        #[arg(long, value_name = "DIR", required = true, num_args = 1..)]
        data: Vec<PathBuf>,
        /// Leave out what was logged in earlier epochs
        #[arg(long, value_name = "EPOCH", default_value_t = 0)]
        from_epoch: Epoch,
        /// Leave out what was logged in later epochs
        #[arg(long, value_name = "EPOCH", default_value_t = Epoch::MAX, hide_default_value = true)]
        to_epoch: Epoch,
    },
}

/// Runs the command.
///
/// # Errors
/// A log that is damaged or cannot be read; standard output that cannot be written.
pub fn run(args: &LogArgs) -> anyhow::Result<()> {
    let out = &mut io::stdout().lock();
    let done = match &args.command {
        LogCommand::Inspect { data } => read(data).and_then(|found| show(found, out)),
        LogCommand::Check { data } => read(data).and_then(|found| check(found, out)),
        LogCommand::Export { data, from_epoch, to_epoch } => {
            export(data, &(*from_epoch..=*to_epoch), out)
        }
    };
    match done {
        // The reader has seen enough, like `head`.
        Err(error) if is_closed_pipe(&error) => Ok(()),
        done => done,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Reads the whole log, with a bar on a terminal.
fn read(data: &Path) -> anyhow::Result<Inspection> {
    let bar =
        if io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
    let style =
        ProgressStyle::with_template("{bar:20} {percent:>3}% {bytes} of {total_bytes} {eta}");
    bar.set_style(style.context("the template is right")?);
    let found = inspect(data, |read, of| {
        bar.set_length(of);
        bar.set_position(read);
    });
    bar.finish_and_clear();
    Ok(found?)
}

fn show(found: Inspection, out: &mut impl Write) -> anyhow::Result<()> {
    let mut by_type: BTreeMap<&str, u64> = BTreeMap::new();
    let head = ["segment", "bytes", "packed", "frames", "events"];
    let [segment, bytes, packed, frames, events] = head;
    writeln!(
        out,
        "{segment:<16} {bytes:>14} {packed:>12} {frames:>10} {events:>12}  {:<27}  hours told (UTC)",
        "epochs"
    )?;
    for segment in &found.segments {
        let Segment { file, bytes, packed, frames, events, epochs, hours, .. } = segment;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let packed = packed.map_or("-".to_owned(), |packed| packed.to_string());
        let epochs = epochs.map_or("-".to_owned(), |(first, last)| format!("{first}..{last}"));
        let hours = hours.map_or("-".to_owned(), |(first, last)| span(first, last));
        writeln!(
            out,
            "{name:<16} {bytes:>14} {packed:>12} {frames:>10} {events:>12}  {epochs:<27}  {hours}"
        )?;
        for (kind, count) in &segment.by_type {
            *by_type.entry(kind).or_default() += count;
        }
    }
    writeln!(out)?;
    for (kind, count) in by_type {
        writeln!(out, "{kind:<16} {count:>14}")?;
    }
    writeln!(out)?;
    if let Some(torn) = &found.torn {
        writeln!(
            out,
            "unfinished tail: {} bytes from {}: {}",
            torn.bytes, torn.position, torn.fault
        )?;
    }
    match found.damage {
        Some(damage) => Err(damage.into()),
        None => Ok(writeln!(out, "sound up to {}", found.position)?),
    }
}

/// `2026-11-26 08:00 .. 2026-11-26 11:00`.
fn span(first: Hour, last: Hour) -> String {
    let text = |hour: Hour| {
        let moment = hour.0.checked_mul(3600).map(jiff::Timestamp::from_second);
        // What no calendar has is told as it is.
        match moment {
            Some(Ok(moment)) => moment.strftime("%Y-%m-%d %H:00").to_string(),
            _ => format!("hour {}", hour.0),
        }
    };
    if first == last { text(first) } else { format!("{} .. {}", text(first), text(last)) }
}

fn check(found: Inspection, out: &mut impl Write) -> anyhow::Result<()> {
    if let Some(damage) = found.damage {
        return Err(damage.into());
    }
    let sum = |of: fn(&Segment) -> u64| found.segments.iter().map(of).sum::<u64>();
    let archived = found.segments.iter().filter(|segment| segment.packed.is_some()).count();
    writeln!(
        out,
        "sound: {} segments ({archived} archived), {} bytes, {} frames, {} events, up to {}",
        found.segments.len(),
        sum(|segment| segment.bytes),
        sum(|segment| segment.frames),
        sum(|segment| segment.events),
        found.position
    )?;
    if let Some(torn) = &found.torn {
        writeln!(
            out,
            "behind it an unfinished tail of {} bytes, which the next start cuts: {}",
            torn.bytes, torn.fault
        )?;
    }
    Ok(())
}
