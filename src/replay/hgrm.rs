//! A histogram as HdrHistogram's percentile distribution, which its plotter and others read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use hdrhistogram::Histogram;

use super::report::Report;

/// Lines for each halving of the distance to 100 %.
const TICKS_PER_HALF: u32 = 5;

/// Writes the distributions of a report, each into its file in a directory, made if it is not there.
///
/// # Errors
/// Of the files.
pub fn write_all(report: &Report, directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    for (name, histogram) in &report.distributions {
        let path = directory.join(format!("{name}.hgrm"));
        let write = || {
            let mut file = BufWriter::new(File::create(&path)?);
            write(histogram, &mut file)?;
            file.flush()
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Writes latencies kept in microseconds in milliseconds.
fn write(histogram: &Histogram<u64>, out: &mut impl Write) -> io::Result<()> {
    let ms = |us: f64| us / 1e3;
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        let value = ms(step.value_iterated_to() as f64);
        let quantile = step.quantile_iterated_to();
        total += step.count_since_last_iteration();
        write!(out, "{value:>12.3} {quantile:>14.12} {total:>10}")?;
        if quantile < 1.0 {
            writeln!(out, " {:>14.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out)?;
        }
    }
    let (mean, deviation) = (ms(histogram.mean()), ms(histogram.stdev()));
    let (max, total) = (ms(histogram.max() as f64), histogram.len());
    writeln!(out, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]")?;
    writeln!(out, "#[Max     = {max:>12.3}, Total count    = {total:>12}]")?;
    let parts = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    let buckets = histogram.buckets();
    writeln!(out, "#[Buckets = {buckets:>12}, SubBuckets     = {parts:>12}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_as_its_plotter_reads_it() {
        let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 3).expect("fits");
        (1..=1000).for_each(|us| histogram.record(us).expect("in bounds"));
        let mut out = Vec::new();
        write(&histogram, &mut out).expect("in memory");
        let text = String::from_utf8(out).expect("UTF-8");
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|n| n.parse().expect("a number")).collect())
            .collect();
        assert_eq!(rows.last().map(|row| (row[1], row[2], row.len())), Some((1.0, 1000.0, 3)));
        let half = rows.iter().find(|row| row[1] == 0.5).expect("the median");
        assert_eq!(half[..], [0.5, 0.5, 500.0, 2.0]);
        assert!(
            text.contains("#[Max     =        1.000, Total count    =         1000]"),
            "{text}"
        );
        assert!(text.contains("SubBuckets     =         2048]"), "{text}");
    }
}
