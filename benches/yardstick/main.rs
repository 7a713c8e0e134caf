//! The yardstick: one thread of plain code doing `compute`'s main work, from the same lines to the
//! same rows. What the dataflow costs on top of it is what being incremental costs.
//!
//! It reads everything, judges each record once, adds up, and writes `manager_periods`, `agencies`,
//! `territories` and `units`. It shares with `compute` the language of events (`Event::parse`), the
//! words of the domain and the shape of rows; no rule, no operator, no figure.

mod figures;
mod judge;
mod offices;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use otklik::compute::{ComputeArgs, write_views};
use otklik::event::Event;

/// As `otklik compute`; `--workers` changes nothing here.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    compute: ComputeArgs,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse().compute;
    std::fs::create_dir_all(&args.out)?;
    let started = Instant::now();
    let mut yardstick = figures::Yardstick::new(args.rules());
    let mut line = Vec::new();
    for path in &args.input {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut file = BufReader::with_capacity(1 << 18, file);
        while file.read_until(b'\n', &mut line)? > 0 {
            if let Ok(event) = Event::parse(line.trim_ascii_end()) {
                yardstick.take(event.input());
            }
            line.clear();
        }
    }
    let read = started.elapsed();
    let rows = yardstick.rows(args.as_of);
    let computed = started.elapsed() - read;
    let written = write_views(&args.out, rows.into_iter().collect())?;
    eprintln!("{written} rows; read in {read:.2?}, computed in {computed:.2?}");
    Ok(())
}
