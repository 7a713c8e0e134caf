//! `otklik compute`: the dataflow over files, to the end; one file a view.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::iter::repeat_n;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use dataflows::calendar::Day;
use dataflows::domain::{Epoch, Turn};
use dataflows::graph::Base;
use dataflows::views::{Row, View};
use indicatif::{ProgressBar, ProgressStyle};

use crate::engine::{self, Batch, Results};
use crate::event::{Event, Refusal, parse_day};
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
/// So many pieces are one epoch: large enough to sum before passing on, small enough for memory.
const PIECES_PER_EPOCH: usize = 128;
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
    /// The rows of all views, in their order.
    pub rows: Vec<Row>,
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
    let hour = world::hour_of(as_of, &world::world());
    let bytes: u64 = input.iter().filter_map(|path| path.metadata().ok()).map(|m| m.len()).sum();
    let bar = progress_bar(bytes, progress);
    let records = (bytes as usize / RECORD_BYTES).min(RECORDS) / workers;
    let base = Base { hour: Some(hour), open: records, ..Base::default() };
    let (mut feed, results) = engine::start(workers, rules, base);
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

/// The rows that are there when all is computed, in their order.
pub fn collect(results: Results) -> Vec<Row> {
    let mut rows = Gathered::default();
    results.for_all(|changes| rows.take(changes));
    rows.done()
}

/// Rows as they come and go, in hardly more memory than those that are there: 32 bytes each, and
/// 40 for each change that waits.
#[derive(Default)]
struct Gathered {
    /// Those that were there when changes were last settled, in their order.
    settled: Vec<Row>,
    /// What has changed since, in no order, in room that stays: for a quarter as many, so that all that
    /// is ever moved to make place is some five times the rows.
    changes: Vec<(Row, isize)>,
}

/// So many changes may wait in any case.
const CHANGES: usize = 1 << 19;

impl Gathered {
    fn take(&mut self, changes: Vec<(Row, Epoch, isize)>) {
        if self.changes.len() + changes.len() > self.changes.capacity() {
            self.settle();
            let room = CHANGES.max(self.settled.len() / 4) + self.changes.len() + changes.len();
            if room > self.changes.capacity() / 4 * 5 {
                let waiting = std::mem::replace(&mut self.changes, Vec::with_capacity(room));
                self.changes.extend(waiting);
            }
        }
        self.changes.extend(changes.into_iter().map(|(row, _, count)| (row, count)));
    }

    fn settle(&mut self) {
        let changes = &mut self.changes;
        // Not unstably: clocks, most of the rows, come in their order.
        changes.sort_by(|(one, _), (other, _)| one.cmp(other));
        changes.dedup_by(|(row, count), (before, sum)| {
            let same = row == before;
            *sum += if same { *count } else { 0 };
            same
        });
        changes.retain(|(_, count)| *count != 0);
        // What goes before it has come, as rows of several workers may, waits until then.
        let mut gone = changes.iter_mut().filter(|(_, count)| *count < 0).peekable();
        self.settled.retain(|row| {
            while gone.next_if(|(gone, _)| gone < row).is_some() {}
            let Some((_, count)) = gone.peek_mut().filter(|(gone, _)| gone == row) else {
                return true;
            };
            *count += 1;
            if *count == 0 {
                gone.next();
            }
            false
        });
        // No room to grow into, which would be as much again; and two runs that are in order are
        // merged by this sort, in room for the shorter.
        let come = changes.iter().map(|(_, count)| usize::try_from(*count).unwrap_or(0)).sum();
        self.settled.reserve_exact(come);
        let come = changes.extract_if(.., |(_, count)| *count > 0);
        self.settled.extend(come.flat_map(|(row, count)| repeat_n(row, count as usize)));
        changes.retain(|(_, count)| *count != 0);
        self.settled.sort();
    }

    fn done(mut self) -> Vec<Row> {
        self.settle();
        assert!(self.changes.is_empty(), "a row that goes was there: {:?}", self.changes);
        let twice = self.settled.windows(2).find(|rows| rows[0] == rows[1]);
        assert!(twice.is_none(), "a row is there once: {twice:?}");
        self.settled
    }
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
pub fn write_views(directory: &Path, mut rows: Vec<Row>) -> anyhow::Result<usize> {
    rows.sort();
    let mut rest = &mut rows[..];
    thread::scope(|scope| {
        let write = |view: View| {
            let path = directory.join(format!("{}.ndjson", view.name()));
            let end = rest.partition_point(|row| row.view() <= view);
            let of_view = rest.split_off_mut(..end).expect("so many are there");
            scope.spawn(move || {
                // Not by ranks: in `deadlines`, nearly all of the rows, numbers stand in order already.
                of_view.sort_by_key(Row::key);
                write_view(&path, of_view)
                    .with_context(|| format!("cannot write {}", path.display()))
            })
        };
        let written: Vec<_> = View::ALL.into_iter().map(write).collect();
        written.into_iter().try_for_each(|view| view.join().expect("a panic ends the process"))
    })?;
    Ok(rows.len())
}

/// Writes rows to a file. The cores make their texts by turns.
fn write_view(path: &Path, rows: &[Row]) -> std::io::Result<()> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let cores = cores.min(rows.len().div_ceil(ROWS_A_TEXT));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dataflows::calendar::Day;
    use dataflows::id::Id;

    use super::*;

    /// Epoch after epoch of rows that come, change and go, settled now and then.
    #[test]
    fn rows_are_gathered() {
        let (mut gathered, mut late) = (Gathered::default(), Vec::new());
        let (mut rows, mut random) = (BTreeMap::new(), 7_u64);
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let row = |record, order| {
            let unit = Id::of("a");
            Row::SurveySample { unit, day: Day(0), record, order }
        };
        for epoch in 0..100_u32 {
            let mut changes = Vec::new();
            for _ in 0..next(3000) {
                let record = next(100_000);
                let before =
                    if next(3) == 0 { rows.remove(&record) } else { rows.insert(record, epoch) };
                changes.extend(before.map(|order| (row(record, order), 1, -1)));
                changes.extend(rows.get(&record).map(|order| (row(record, *order), 1, 1)));
            }
            // Some late, so that what goes may come first.
            let later = changes.split_off(changes.len() - changes.len() / 3);
            gathered.take(std::mem::replace(&mut late, later));
            gathered.take(changes);
            if next(10) == 0 {
                gathered.settle();
            }
        }
        gathered.take(late);
        let expected: Vec<Row> = rows.iter().map(|(record, order)| row(*record, *order)).collect();
        let gathered = gathered.done();
        assert!(expected.len() > 10_000 && gathered == expected);
        assert!(gathered.capacity() < 2 * expected.len(), "no room is kept to grow into");
    }
}
