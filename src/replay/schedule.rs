//! When each line is due: fixed before anything is sent, and never moved by what the node does.

use std::fmt;
use std::str::FromStr;

use super::shape::{Flow, Shape};

/// Events per second beyond this are a slip of the finger.
const PER_SECOND_MAX: f64 = 1e8;

/// How fast events are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many a second, evenly.
    Rate(PerSecond),
    /// At a rate that comes and goes; so many a second at the most.
    Shaped(PerSecond, Shape),
    /// As the lines were received, so many times faster.
    Speedup(Factor),
    /// As fast as the node acknowledges: a closed loop, whose latency hides what nobody asked for.
    Max,
    /// As fast as its views follow: likewise, and nothing is sent while something that was sent so many
    /// seconds ago is not seen.
    Following(u32),
}

impl Pace {
    /// Whether the node says when something is sent, and not a schedule.
    pub fn is_closed_loop(self) -> bool {
        matches!(self, Pace::Max | Pace::Following(_))
    }
}

/// Events per second, above 0: `5000` or `5000/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerSecond(f64);

/// How many times faster than recorded, above 0: `3600` or `3600x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor(f64);

impl PerSecond {
    /// `None` unless 0 < `events` ≤ 100 million.
    pub fn new(events: f64) -> Option<PerSecond> {
        (events > 0.0 && events <= PER_SECOND_MAX).then_some(PerSecond(events))
    }

    /// Events per second.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Factor {
    /// `None` unless `times` is a number above 0.
    pub fn new(times: f64) -> Option<Factor> {
        (times > 0.0 && times.is_finite()).then_some(Factor(times))
    }

    /// How many times faster.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for PerSecond {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<PerSecond, Self::Err> {
        let number = text.strip_suffix("/s").unwrap_or(text).trim();
        number
            .parse()
            .ok()
            .and_then(PerSecond::new)
            .ok_or("not events per second above 0 and up to 100 million, like 5000 or 5000/s")
    }
}

impl FromStr for Factor {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Factor, Self::Err> {
        let number = text.strip_suffix(['x', '×']).unwrap_or(text).trim();
        number.parse().ok().and_then(Factor::new).ok_or("not a factor above 0, like 3600 or 0.5")
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::Rate(rate) => write!(f, "{}/s", rate.get()),
            Pace::Shaped(rate, shape) => write!(f, "{}/s, {shape}", rate.get()),
            Pace::Speedup(factor) => write!(f, "{} times as fast as recorded", factor.get()),
            Pace::Max => f.write_str("as fast as acknowledged"),
            Pace::Following(lag_s) => write!(f, "as fast as seen within {lag_s} s"),
        }
    }
}

/// The times of the lines, one after the other.
#[derive(Clone, Debug)]
pub struct Schedule {
    pace: Pace,
    lines: u64,
    /// The first recorded time there was, in microseconds.
    origin: Option<i64>,
    flow: Option<Flow>,
    due_us: u64,
}

impl Schedule {
    /// The schedule of a replay that has not begun.
    pub fn new(pace: Pace) -> Schedule {
        let flow = match pace {
            Pace::Shaped(rate, shape) => Some(Flow::new(shape, rate.get())),
            Pace::Rate(_) | Pace::Speedup(_) | Pace::Max | Pace::Following(_) => None,
        };
        Schedule { pace, lines: 0, origin: None, flow, due_us: 0 }
    }

    /// When the next line is due, in microseconds after the start; never before the line before.
    ///
    /// A line without a recorded time is due with the one before it, and so is one that was
    /// received earlier: lines stand in the order of their arrival, some of them late.
    pub fn next(&mut self, recorded_us: Option<i64>) -> u64 {
        match self.pace {
            // From the number of the line each time, so that no error adds up.
            Pace::Rate(rate) => self.due_us = (self.lines as f64 * 1e6 / rate.get()) as u64,
            Pace::Shaped(..) => {
                let due_s = self.flow.as_mut().map(|flow| flow.due_s(self.lines));
                self.due_us = due_s.map_or(self.due_us, |due_s| (due_s * 1e6) as u64);
            }
            Pace::Speedup(factor) => {
                if let Some(recorded) = recorded_us {
                    let origin = *self.origin.get_or_insert(recorded);
                    let after = recorded.saturating_sub(origin).max(0);
                    self.due_us = self.due_us.max((after as f64 / factor.get()) as u64);
                }
            }
            Pace::Max | Pace::Following(_) => {}
        }
        self.lines += 1;
        self.due_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(pace: Pace, recorded: &[Option<i64>]) -> Vec<u64> {
        let mut schedule = Schedule::new(pace);
        recorded.iter().map(|at| schedule.next(*at)).collect()
    }

    #[test]
    fn a_rate_is_even_and_adds_up_no_error() {
        let rate = Pace::Rate(PerSecond::new(4000.0).expect("above 0"));
        assert_eq!(dues(rate, &[None, Some(77), None, None]), [0, 250, 500, 750]);
        let mut thirds = Schedule::new(Pace::Rate(PerSecond::new(3.0).expect("above 0")));
        let last = (0..=3_000_000).map(|_| thirds.next(None)).last();
        assert_eq!(last, Some(1_000_000_000_000));
    }

    #[test]
    fn recorded_times_shrink_and_never_run_back() {
        let speedup = Pace::Speedup(Factor::new(10.0).expect("above 0"));
        let second = 1_000_000;
        let recorded =
            [None, Some(100 * second), None, Some(101 * second), Some(90 * second), None];
        assert_eq!(dues(speedup, &recorded), [0, 0, 0, 100_000, 100_000, 100_000]);
        let slower = Pace::Speedup(Factor::new(0.5).expect("above 0"));
        assert_eq!(dues(slower, &[Some(0), Some(second)]), [0, 2_000_000]);
        // Beyond any test, but nothing to panic about.
        assert!(dues(slower, &[Some(i64::MIN), Some(i64::MAX)])[1] > 1 << 62);
    }

    #[test]
    fn the_fastest_has_no_schedule() {
        assert_eq!(dues(Pace::Max, &[None, Some(5), Some(9_000_000)]), [0, 0, 0]);
    }

    #[test]
    fn rates_and_factors_are_read_or_refused() {
        for (text, rate) in [("5000", 5000.0), ("5000/s", 5000.0), ("0.5 /s", 0.5), ("1e3", 1e3)] {
            assert_eq!(text.parse::<PerSecond>().map(PerSecond::get), Ok(rate), "{text}");
        }
        for text in ["", "0", "-1", "NaN", "inf", "1e9", "5/m", "/s"] {
            assert!(text.parse::<PerSecond>().is_err(), "{text}");
        }
        for (text, times) in [("3600", 3600.0), ("60x", 60.0), ("0.5×", 0.5)] {
            assert_eq!(text.parse::<Factor>().map(Factor::get), Ok(times), "{text}");
        }
        for text in ["", "0", "x", "-2", "inf", "NaN"] {
            assert!(text.parse::<Factor>().is_err(), "{text}");
        }
    }
}
