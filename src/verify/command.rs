//! `otklik verify`: recomputes, compares, and says what differs.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dataflows::calendar::Day;
use dataflows::domain::Epoch;
use reqwest::Url;

use super::compare::{Comparison, Differences};
use super::dataflow;
use super::recompute::{Recomputation, VIEWS};
use super::served::{self, ByEpoch};
use super::source::{Read, Source};
use crate::compute::day;
use crate::rules::{Attribution, Integral, Rules};

/// Recompute every view by a plain program and compare
#[derive(clap::Args, Debug)]
pub struct VerifyArgs {
    /// The data directory of a node, of a cluster all of them, running or not: the logs are read
    #[arg(long, value_name = "DIR", num_args = 1.., required_unless_present = "input")]
    pub data: Vec<PathBuf>,
    /// Files of events instead, as `compute` reads them
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "as_of")]
    #[arg(conflicts_with_all = ["data", "url"])]
    pub input: Vec<PathBuf>,
    /// The day as of which the files are read
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day, requires = "input")]
    pub as_of: Option<Day>,
    /// Compare with what a running node says; without it and --compute, with the dataflow, run here
    #[arg(long, value_name = "URL")]
    pub url: Option<Url>,
    /// Compare with what `compute` wrote
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub compute: Option<PathBuf>,
    /// Timely workers of the dataflow run here
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
    /// Days after its last message at which a record can no longer change, 0 for never; as the node
    /// has it (rules.horizon_days)
    #[arg(long, default_value_t = 0, value_name = "DAYS")]
    pub horizon_days: u32,
}

impl VerifyArgs {
    fn rules(&self) -> Rules {
        Rules {
            integral: self.integral,
            attribution: self.attribution,
            sample_seed: self.sample_seed.clone(),
            survey_cap: self.survey_cap,
            horizon_days: self.horizon_days,
        }
    }

    fn source(&self) -> anyhow::Result<Source> {
        match (&self.data[..], self.as_of) {
            (data @ [_, ..], None) => Ok(Source::Logs(data.to_vec())),
            ([], Some(as_of)) => Ok(Source::Files(self.input.clone(), as_of)),
            _ => bail!("give either --data, or --input with --as-of"),
        }
    }
}

/// Runs the command: prints the first differences, then counts by view.
///
/// # Errors
/// What cannot be read; and that something differs, so that the program exits with 1.
pub fn run(args: &VerifyArgs) -> anyhow::Result<()> {
    let (source, rules) = (args.source()?, args.rules());
    let views = match (&args.url, &args.compute) {
        (Some(url), _) => served::read(url)?,
        (None, Some(directory)) => at_the_end(written(directory)?),
        (None, None) => {
            let mut comparison = all_views();
            let workers = usize::from(args.workers);
            let take = |view, json: &str| Ok(comparison.actual(view, json)?);
            dataflow::rows(&rules, workers, |give| source.each(give), take)?;
            at_the_end(comparison)
        }
    };
    let (read, differences) = verify(&source, &rules, views)?;
    let mut out = std::io::stdout().lock();
    write!(out, "{differences}")?;
    let Read { events, refused } = read;
    writeln!(out, "{events} events, {refused} lines refused")?;
    writeln!(out, "integral = {}, attribution = {}", rules.integral, rules.attribution)?;
    match differences.count() {
        0 => Ok(()),
        count => bail!("{count} rows differ from the recomputation"),
    }
}

fn all_views() -> Comparison {
    let mut comparison = Comparison::default();
    for (view, _) in VIEWS {
        comparison.expect_view(view);
    }
    comparison
}

/// A comparison with all events there are.
fn at_the_end(comparison: Comparison) -> ByEpoch {
    ByEpoch::from([(Epoch::MAX, comparison)])
}

/// What `compute` wrote.
fn written(directory: &Path) -> anyhow::Result<Comparison> {
    let mut comparison = all_views();
    for (view, _) in VIEWS {
        let path = directory.join(format!("{view}.ndjson"));
        let cannot_read = || format!("cannot read {}", path.display());
        let file = File::open(&path).with_context(cannot_read)?;
        for line in BufReader::with_capacity(1 << 18, file).lines() {
            comparison.actual(view, &line.with_context(cannot_read)?).with_context(cannot_read)?;
        }
    }
    Ok(comparison)
}

/// Recomputes, and compares at each of the epochs.
fn verify(
    source: &Source,
    rules: &Rules,
    mut views: ByEpoch,
) -> anyhow::Result<(Read, Differences)> {
    let mut recomputation = Recomputation::new(rules.clone());
    let mut differences = Differences::default();
    let mut open = 0;
    let read = source.each(|epoch, event| {
        if epoch > open {
            recomputation.close_epoch();
            while let Some(first) = views.first_entry().filter(|first| *first.key() < epoch) {
                differences.add(compared(&recomputation, first.remove()));
            }
            open = epoch;
        }
        recomputation.apply(event);
    })?;
    recomputation.close_epoch();
    for comparison in views.into_values() {
        differences.add(compared(&recomputation, comparison));
    }
    Ok((read, differences))
}

fn compared(recomputation: &Recomputation, mut comparison: Comparison) -> Differences {
    recomputation.give(&mut |view, row| comparison.expected(view, &row));
    comparison.finish()
}
