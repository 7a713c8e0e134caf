//! `otklik generate`: data of realistic shape (order-120 § 8), the same bytes for the same seed.
//!
//! Chance comes from ChaCha by number and every decision is made in integers, so that neither the
//! machine nor a release changes a byte; where one must change, the test of the bytes says so.
//! Nothing here reads the log or the rules: it makes input, and does not know what is right.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use dataflows::calendar::Day;
use indicatif::{ProgressBar, ProgressStyle};

use crate::event::parse_day;
use chance::Chance;
use corrections::corrections;
use offices::Country;
use rhythm::Rhythm;
use staff::Staff;

mod catalogue;
mod chance;
mod corrections;
mod lines;
mod mood;
mod odds;
mod offices;
mod queue;
mod rhythm;
mod staff;
mod story;
mod stream;
mod territory;

/// What the lines of the stream are counted by.
const TYPES: [&str; 9] =
    ["fact", "sms", "survey", "kiosk", "epgu", "site", "answer", "retract", "corrections"];

/// Arguments of `otklik generate`.
#[derive(Clone, Debug, clap::Args)]
pub struct GenerateArgs {
    /// Lines of events.ndjson.
    #[arg(long, value_name = "N")]
    pub events: u64,
    /// The same seed gives the same bytes.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Directory for reference.ndjson and events.ndjson; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// First day of the stream.
    #[arg(long, value_name = "DATE", default_value = "2017-01-01", value_parser = date)]
    pub from: Day,
    /// First day after the stream.
    #[arg(long, value_name = "DATE", default_value = "2019-01-01", value_parser = date)]
    pub until: Day,
}

fn date(text: &str) -> Result<Day, String> {
    parse_day(text.as_bytes()).ok_or_else(|| "not a date YYYY-MM-DD".to_owned())
}

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Lines of the stream.
    pub events: u64,
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// First day of the stream, by the clock of each territory.
    pub from: Day,
    /// First day after the stream.
    pub until: Day,
}

impl Params {
    fn check(&self) -> io::Result<()> {
        let &Params { from, until, .. } = self;
        if from < until && from.civil().0 >= 1970 && until.civil().0 <= 2100 {
            return Ok(());
        }
        let message = format!("{from} to {until} is no span of days from 1970 until 2100");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}

/// What was generated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Lines of reference data.
    pub reference: u64,
    /// Lines of the stream: its messages by type, and corrections of reference data.
    pub events: u64,
    /// Lines of the stream by `type`; `corrections` are reference data in it.
    pub types: [(&'static str, u64); TYPES.len()],
    /// Subjects of the Federation that have offices.
    pub regions: usize,
    /// Agencies.
    pub agencies: usize,
    /// Units, МФЦ included.
    pub units: usize,
    /// Managers.
    pub managers: usize,
}

/// Runs `otklik generate`.
///
/// # Errors
/// If the parameters make no sense, or the files cannot be written.
pub fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    let &GenerateArgs { events, seed, from, until, .. } = args;
    let params = Params { events, seed, from, until };
    // Before any file of an earlier run is gone.
    params.check()?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("failed to make the directory {}", args.out.display()))?;
    let bar =
        if io::stderr().is_terminal() { ProgressBar::new(events) } else { ProgressBar::hidden() };
    let style = "{bar:40} {human_pos}/{human_len} events, {per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).context("failed to draw a progress bar")?);

    let started = Instant::now();
    let (reference_path, events_path) =
        (args.out.join("reference.ndjson"), args.out.join("events.ndjson"));
    let mut reference = create(&reference_path)?;
    let mut stream = create(&events_path)?;
    let summary = generate(&params, &mut reference, &mut stream, &mut |n| bar.set_position(n))
        .with_context(|| format!("failed to generate into {}", args.out.display()))?;
    bar.finish_and_clear();

    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "{} lines in {}, {} in {}: {} regions, {} agencies, {} units, {} managers; {seconds:.1} s",
        summary.reference,
        reference_path.display(),
        summary.events,
        events_path.display(),
        summary.regions,
        summary.agencies,
        summary.units,
        summary.managers,
    );
    Ok(())
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("failed to create {}", path.display()))
}

/// Writes reference data, and exactly `params.events` lines of a stream that starts after it.
/// `progress` is told the lines of the stream written so far, every hour of the stream at most.
///
/// Lines stand in the order of their arrival, which for few is hours to days after what they say
/// of their receipt. Memory depends on the number of offices and of open stories, not on `events`.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] unless 1970 ≤ `from` < `until` ≤ 2100; those of the writers,
/// which need no buffer of their own.
pub fn generate(
    params: &Params,
    reference: &mut dyn Write,
    events: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Summary> {
    params.check()?;
    let &Params { from, until, seed, .. } = params;
    let mut chance = Chance::new(seed, 0);
    let mut country = Country::new(params.events, from, until, &mut chance);
    let mut staff = Staff::new(&country, from, until, &mut chance);
    let late = corrections(
        correction_count(params.events),
        (from, until),
        &mut country,
        &mut staff,
        &mut Chance::new(seed, 1),
    );
    let mut summary = Summary {
        reference: write_reference(&country, &staff, reference)?,
        events: 0,
        types: TYPES.map(|name| (name, 0)),
        regions: country.territories.len(),
        agencies: country.agencies.len(),
        units: country.units.len(),
        managers: staff.managers.len(),
    };
    let rhythm = Rhythm { from, until, calendar: territory::working_days(from, until) };
    stream::write_stream(params, &country, &rhythm, &late, events, progress, &mut summary)?;
    Ok(summary)
}

/// One line in 2,500, but enough to see each kind, and not so many that nothing stands.
fn correction_count(events: u64) -> usize {
    if events < 500 { 0 } else { (events / 2500).clamp(8, 400) as usize }
}

/// Writes what is told from the start, and returns how many lines that is.
fn write_reference(country: &Country, staff: &Staff, out: &mut dyn Write) -> io::Result<u64> {
    let mut bytes = Vec::new();
    country.agencies.iter().for_each(|agency| lines::agency(&mut bytes, agency));
    for (index, service) in country.services.iter().enumerate().filter(|(_, s)| s.told) {
        lines::service(&mut bytes, country, index, service.listed);
    }
    for unit in country.units.iter().filter(|unit| unit.told) {
        lines::unit(&mut bytes, country, unit, unit.parent);
    }
    for tenure in staff.tenures.iter().filter(|tenure| tenure.told) {
        lines::tenure(&mut bytes, country, staff, tenure);
    }
    staff.targets.iter().for_each(|target| lines::target(&mut bytes, country, target));
    out.write_all(&bytes)?;
    out.flush()?;
    Ok(bytes.iter().filter(|&&byte| byte == b'\n').count() as u64)
}

#[cfg(test)]
mod tests;
