//! `otklik compute`: the dataflow over files, to the end; one file a view.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use dataflows::calendar::Day;
use dataflows::domain::Turn;
use dataflows::graph::Base;
use dataflows::views::{Row, View};
use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::{self, Batch};
use crate::event::{Event, Refusal, parse_day};
use crate::gather::{ByView, collect};
use crate::lines::{Lines, LinesError};
use crate::rules::{Attribution, Integral, Rules};
use crate::views::row_json::write_row;
use crate::world;

/// Events are handed to the workers in pieces of so many bytes of lines.
const PIECE_BYTES: usize = 1 << 20;
/// About as long is the line of an event.
const LINE_BYTES: usize = 128;
/// About as long are the lines of all events of a record: there is room for so many from the beginning, …
const RECORD_BYTES: usize = 256;
/// … or for so many.
const RECORDS: usize = 1 << 26;
/// So many pieces are one epoch: large enough to sum before passing on, small beside the state of as many events.
const PIECES_PER_EPOCH: usize = 512;
/// So many pieces may have been read that no worker has taken in yet.
const PIECES_AHEAD: usize = 128;
/// So many rows are written at a time.
const ROWS_A_TEXT: usize = 1 << 12;
/// How many refused lines are shown one by one.
const REFUSED_SHOWN: usize = 10;

/// Compute every view of files of events.
#[derive(clap::Args, Debug)]
pub struct ComputeArgs {
    /// Files of events, one JSON object a line; plain, gzip or zstd. Read in the order given
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// The day as of which periods are complete, managers serve and deadlines run out
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub as_of: Day,
    /// Where to write the views, one VIEW.ndjson each
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Timely workers, one thread each; the views do not depend on it
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// D4: for which records the SMS digit also counts as an integral rating
    #[arg(long, value_enum, default_value_t)]
    pub integral: Integral,
    /// D6: which date a rating has
    #[arg(long, value_enum, default_value_t)]
    pub attribution: Attribution,
    /// D10: the key of the draw of the survey sample
    #[arg(long, default_value = "otklik", value_name = "TEXT")]
    pub sample_seed: String,
    /// D10: the most records a list of the survey asks for, 0 for no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub survey_cap: u32,
}

impl ComputeArgs {
    /// The switches of the rules.
    pub fn rules(&self) -> Rules {
        Rules {
            integral: self.integral,
            attribution: self.attribution,
            sample_seed: self.sample_seed.clone(),
            survey_cap: self.survey_cap,
            horizon_days: 0,
        }
    }
}

/// A day as an argument.
pub fn day(text: &str) -> Result<Day, String> {
    parse_day(text.as_bytes()).ok_or_else(|| "not a date YYYY-MM-DD".to_owned())
}

/// Runs the command.
///
/// # Errors
/// A file that cannot be read or written. Lines that are no events are reported and left out, as
/// the door of a node leaves them out.
pub fn run(args: &ComputeArgs) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot create {}", args.out.display()))?;
    let computed =
        compute(&args.input, args.as_of, usize::from(args.workers), &args.rules(), true)?;
    report_refused(&args.input, &computed.refused);
    let written = write_views(&args.out, computed.rows)?;
    eprintln!(
        "{} lines, {} refused, {written} rows in {} views under {}; integral = {}, attribution = {}",
        computed.lines,
        computed.refused.len(),
        View::ALL.len(),
        args.out.display(),
        args.integral,
        args.attribution,
    );
    Ok(())
}

/// What files of events come to.
pub struct Computed {
    /// The rows of all views, each in their order.
    pub rows: ByView,
    /// Lines read.
    pub lines: u64,
    /// `(file, line from 1, why)` of the lines that are no events.
    pub refused: Vec<(usize, u64, Refusal)>,
}

/// The views of files of events as of a day, with `workers` timely workers.
///
/// # Errors
/// A file that cannot be read.
pub fn compute(
    input: &[PathBuf],
    as_of: Day,
    workers: usize,
    rules: &Rules,
    progress: bool,
) -> Result<Computed, LinesError> {
    let read = Arc::new(AtomicU64::new(0));
    // Opened before anything runs, so that a missing file is said at once.
    let files = input
        .iter()
        .map(|path| Lines::open(path, PIECE_BYTES, &read))
        .collect::<Result<Vec<_>, _>>()?;
    let hour = world::hour_of(as_of, world::world());
    let bytes: u64 = input.iter().filter_map(|path| path.metadata().ok()).map(|m| m.len()).sum();
    let bar = progress_bar(bytes, progress);
    let records = (bytes as usize / RECORD_BYTES).min(RECORDS) / workers;
    let base = Base { hour: Some(hour), open: records, ..Base::default() };
    let (mut feed, results) =
        engine::start_ahead(workers, rules, base, (PIECES_AHEAD / workers).max(1));
    let collector = thread::spawn(move || collect(results));
    let (mut lines, mut refused) = (0, Vec::new());
    let (mut taken, mut epoch, mut pieces) = (0, 1, 0);
    for (file, of_file) in files.into_iter().enumerate() {
        let mut last = 0;
        for piece in of_file {
            let piece = piece?;
            last = piece.line - 1;
            let mut inputs = Vec::with_capacity(piece.text.len() / LINE_BYTES);
            for line in lines_of(&piece.text) {
                last += 1;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                match Event::parse(line) {
                    Ok(event) => inputs.push(event.input()),
                    Err(refusal) => refused.push((file, last, refusal)),
                }
            }
            let turn = Turn::only(taken);
            taken += inputs.len() as u64;
            feed.batch(turn, Batch::Inputs(inputs));
            pieces += 1;
            if pieces % PIECES_PER_EPOCH == 0 {
                epoch += 1;
                feed.close(epoch);
            }
            bar.set_position(read.load(Ordering::Relaxed));
        }
        lines += last;
        // The ratings of the next file find the reference data of this one there.
        epoch += 1;
        feed.close(epoch);
    }
    bar.set_message("closing");
    // The present is told last, so that lists of the survey are drawn from all there is.
    feed.tell(hour);
    feed.close(epoch + 1);
    drop(feed);
    let rows = collector.join().expect("a panic ends the process");
    bar.finish_and_clear();
    Ok(Computed { rows, lines, refused })
}

/// The lines of a text, without their breaks.
fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = (!rest.is_empty()).then(|| &rest[..end]);
        rest = rest.get(end + 1..).unwrap_or_default();
        line
    })
}

fn progress_bar(bytes: u64, shown: bool) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let style = "{bar:40} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} {msg}";
    let bar = ProgressBar::new(bytes);
    bar.set_style(ProgressStyle::with_template(style).expect("the template is right"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Says which lines are no events, the first of them one by one.
fn report_refused(input: &[PathBuf], refused: &[(usize, u64, Refusal)]) {
    for (file, line, refusal) in refused.iter().take(REFUSED_SHOWN) {
        eprintln!("{}:{line}: {refusal}", input[*file].display());
    }
    let mut by_code: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, _, refusal) in refused {
        *by_code.entry(refusal.code.as_str()).or_default() += 1;
    }
    if refused.len() > REFUSED_SHOWN {
        eprintln!("… in all {by_code:?}");
    }
}

/// Writes each view as `<view>.ndjson`, its rows sorted by key; yields how many there are. Rows that
/// are in their order already, as [`collect`] gives them, cost the least.
///
/// # Errors
/// Of the files.
pub fn write_views(directory: &Path, rows: ByView) -> anyhow::Result<usize> {
    let count = rows.iter().count();
    thread::scope(|scope| {
        let write = |(view, mut rows): (View, Vec<Row>)| {
            let path = directory.join(format!("{}.ndjson", view.name()));
            scope.spawn(move || {
                if !are_in_order(&rows) {
                    rows.sort_by_key(Row::key);
                }
                write_view(&path, &rows).with_context(|| format!("cannot write {}", path.display()))
            })
        };
        let written: Vec<_> = rows.into_views().map(write).collect();
        written.into_iter().try_for_each(|view| view.join().expect("a panic ends the process"))
    })?;
    Ok(count)
}

/// Whether rows are in the order of keys, which all cores see together: `deadlines`, nearly all of the rows,
/// are, since their keys are numbers.
fn are_in_order(rows: &[Row]) -> bool {
    thread::scope(|scope| {
        let part = rows.len() / cores_for(rows).max(1) + 1;
        let see = |first| {
            // With the first of the next part.
            let rows = &rows[first..rows.len().min(first + part + 1)];
            scope.spawn(move || rows.is_sorted_by_key(Row::key))
        };
        let parts: Vec<_> = (0..rows.len()).step_by(part).map(see).collect();
        parts.into_iter().all(|part| part.join().expect("a panic ends the process"))
    })
}

/// So many cores have something to do with so many rows.
fn cores_for(rows: &[Row]) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    cores.min(rows.len().div_ceil(ROWS_A_TEXT))
}

/// Writes rows to a file. The cores make their texts by turns.
fn write_view(path: &Path, rows: &[Row]) -> std::io::Result<()> {
    let cores = cores_for(rows);
    let mut file = File::create(path)?;
    thread::scope(|scope| {
        let of_core = |core| {
            let (give, texts) = mpsc::sync_channel(2);
            scope.spawn(move || {
                let mut room = 0;
                for rows in rows.chunks(ROWS_A_TEXT).skip(core).step_by(cores) {
                    let mut text = Vec::with_capacity(room);
                    for row in rows {
                        write_row(row, &mut text);
                        text.push(b'\n');
                    }
                    room = text.capacity();
                    if give.send(text).is_err() {
                        return;
                    }
                }
            });
            texts
        };
        let texts: Vec<mpsc::Receiver<Vec<u8>>> = (0..cores).map(of_core).collect();
        let mut turns = texts.iter().cycle();
        while let Some(Ok(text)) = turns.next().map(mpsc::Receiver::recv) {
            file.write_all(&text)?;
        }
        file.sync_all()
    })
}
