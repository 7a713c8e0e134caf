//! `otklik compare`: two reports of the same workload, and whether they differ by more than noise.
//!
//! Each report holds its windows. If the two programs were equally fast, the windows of both would
//! be drawn from one distribution; Mann and Whitney's test says how likely such a difference of
//! ranks would be then. Windows of one run resemble each other more than those of two runs, so a
//! difference must be large too before it is called one.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::report::{End, Workload};
use super::windows::Window;

/// What is compared of a window.
type Figure = fn(&Window) -> f64;

/// Fewer windows tell nothing.
const WINDOWS_MIN: usize = 8;
/// A difference is one beyond so many standard deviations: one comparison of a thousand by chance.
const DEVIATIONS: f64 = 3.3;
/// And beyond such a part of the figure: runs differ by as much on a quiet machine.
const PART_MIN: f64 = 0.03;

/// Compare two reports of `otklik replay`.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareArgs {
    /// The report of the replay before
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// The report of the replay after
    #[arg(value_name = "B")]
    pub after: PathBuf,
}

/// What of a report is compared.
#[derive(Debug, Deserialize)]
struct Compared {
    workload: Workload,
    end: End,
    window_s: f64,
    windows: Vec<Window>,
}

/// What the windows of two reports say of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Difference {
    before: f64,
    after: f64,
    /// How many standard deviations the ranks are apart.
    deviations: f64,
}

/// Runs the command.
///
/// # Errors
/// A file that is no report; reports of different workloads, or of replays that did not end well;
/// too few windows.
pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    let [before, after] = [read(&args.before)?, read(&args.after)?];
    print!("{}", compare(&before, &after)?);
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Compared> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_reader(BufReader::new(file))
        .with_context(|| format!("{} is not a report of this version", path.display()))
}

fn compare(before: &Compared, after: &Compared) -> anyhow::Result<String> {
    if before.workload != after.workload {
        bail!(
            "the workloads differ, so the figures do not compare:\n  {}\n  {}",
            before.workload,
            after.workload
        );
    }
    for (name, report) in [("first", before), ("second", after)] {
        if report.end != End::Complete {
            bail!("the {name} replay did not end well: its figures are of a part");
        }
        if report.windows.len() < WINDOWS_MIN {
            let (found, length) = (report.windows.len(), report.window_s);
            bail!(
                "the {name} replay has {found} whole windows of {length} s, too few to tell noise \
                 from change; {WINDOWS_MIN} are needed"
            );
        }
    }
    let mut text = format!("{}\n", before.workload);
    let figures: [(&str, Figure, bool); 3] = [
        ("acknowledged, events/s", |window| window.acknowledged_per_s, true),
        ("visible p50, ms", |window| window.visible_p50_ms, false),
        ("visible p99, ms", |window| window.visible_p99_ms, false),
    ];
    for (name, figure, more_is_better) in figures {
        let of = |report: &Compared| -> Vec<f64> {
            let seen = report.windows.iter().filter(|window| more_is_better || window.visible > 0);
            seen.map(figure).collect()
        };
        let difference = Difference::between(&of(before), &of(after));
        let said = difference.map(|difference| difference.say(more_is_better));
        let said = said.as_deref().unwrap_or("not measured");
        text += &format!("{name:24} {said}\n");
    }
    Ok(text)
}

impl Difference {
    /// `None` where one side has no windows.
    fn between(before: &[f64], after: &[f64]) -> Option<Difference> {
        Some(Difference {
            before: median(before)?,
            after: median(after)?,
            deviations: deviations(before, after),
        })
    }

    fn is_real(&self) -> bool {
        self.deviations.abs() > DEVIATIONS && (self.after / self.before - 1.0).abs() > PART_MIN
    }

    fn say(&self, more_is_better: bool) -> String {
        let Difference { before, after, deviations } = self;
        let ratio = after / before;
        let verdict = match (self.is_real(), (ratio > 1.0) == more_is_better) {
            (false, _) => "no change that is more than noise",
            (true, true) => "better",
            (true, false) => "WORSE",
        };
        format!("{before:>12.2} → {after:>12.2}  ×{ratio:.3}, {deviations:+.1} σ: {verdict}")
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        _ if sorted.is_empty() => None,
        0 => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
        _ => Some(sorted[middle]),
    }
}

/// Mann and Whitney's U of `after` against `before`, in standard deviations from what equal
/// distributions would give; equal values share their ranks.
fn deviations(before: &[f64], after: &[f64]) -> f64 {
    let (n, m) = (before.len() as f64, after.len() as f64);
    let wins: f64 = after
        .iter()
        .flat_map(|a| before.iter().map(move |b| a.total_cmp(b)))
        .map(|order| f64::from(order as i8 + 1) / 2.0)
        .sum();
    let mut all: Vec<f64> = before.iter().chain(after).copied().collect();
    all.sort_by(f64::total_cmp);
    let ties = all.chunk_by(|a, b| a == b).map(|same| same.len() as f64);
    let ties: f64 = ties.map(|t| t * t * t - t).sum();
    let variance = n * m / 12.0 * ((n + m + 1.0) - ties / ((n + m) * (n + m - 1.0)));
    if variance > 0.0 { (wins - n * m / 2.0) / variance.sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(digest: &str, per_s: impl Fn(usize) -> f64) -> Compared {
        let window = |n| Window {
            acknowledged_per_s: per_s(n),
            visible: 10,
            visible_p50_ms: 50.0 + (n % 3) as f64,
            visible_p99_ms: 90.0,
        };
        Compared {
            workload: Workload {
                digest: digest.to_owned(),
                events: 1000,
                pace: "as fast as acknowledged".to_owned(),
                connections: 8,
                batch: 1000,
            },
            end: End::Complete,
            window_s: 1.0,
            windows: (0..20).map(window).collect(),
        }
    }

    #[test]
    fn noise_is_told_from_change() {
        let wave = |n: usize| 1000.0 + 40.0 * ((n * 7) % 5) as f64;
        let before = report("a", wave);
        let same = compare(&before, &report("a", |n| wave(n + 3) * 1.001)).expect("compares");
        assert_eq!(same.matches("no change").count(), 3, "{same}");
        let faster = compare(&before, &report("a", |n| wave(n) * 1.3)).expect("compares");
        assert!(faster.contains(": better") && !faster.contains("WORSE"), "{faster}");
        let slower = compare(&before, &report("a", |n| wave(n) * 0.8)).expect("compares");
        assert!(slower.contains(": WORSE"), "{slower}");
    }

    #[test]
    fn what_does_not_compare_is_refused() {
        let refused = |a: &Compared, b: &Compared| compare(a, b).expect_err("refused").to_string();
        let before = report("a", |_| 1.0);
        assert!(refused(&before, &report("b", |_| 1.0)).contains("workloads differ"));
        let stopped = Compared { end: End::Stopped, ..report("a", |_| 1.0) };
        assert!(refused(&before, &stopped).contains("second replay"));
        let short = Compared { windows: Vec::new(), ..report("a", |_| 1.0) };
        assert!(refused(&short, &before).contains("too few"));
    }

    /// By hand: of the 30 pairs the second is greater in 1+2+3+4+5+5 = 20; the deviation is √30.
    #[test]
    fn ranks_are_compared_as_mann_and_whitney_do() {
        let z = deviations(&[1.0, 3.0, 5.0, 7.0, 9.0], &[2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
        assert!((z - (20.0 - 15.0) / (30.0_f64).sqrt()).abs() < 1e-9, "{z}");
        assert_eq!(deviations(&[1.0, 1.0], &[1.0, 1.0]), 0.0);
    }
}
