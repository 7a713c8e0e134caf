//! How a rate comes and goes: steps, a slow start, a working day that moves over eleven zones.

use std::fmt;
use std::str::FromStr;

/// How a rate comes and goes; what is given as the rate is its greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Shape {
    /// As it is given.
    #[default]
    Constant,
    /// From nothing to the rate, evenly, and then constant.
    Ramp {
        /// How long it rises.
        seconds: f64,
    },
    /// In equal steps up to the rate, which then holds: how much a node bears.
    Steps {
        /// How many, from 1.
        count: u32,
        /// How long each lasts.
        seconds: f64,
    },
    /// Working days of the country, one after the other, from midnight in Moscow: each zone opens
    /// with a rush, and eleven of them one after the other.
    Day {
        /// How long a day takes.
        seconds: f64,
    },
}

/// Messages by hour of a local working day, relative: offices are open from ten to seven.
const LOCAL_DAY: [f64; 24] = [
    0.02, 0.01, 0.01, 0.01, 0.01, 0.01, 0.02, 0.03, 0.2, 0.5, 1.0, 0.96, 0.65, 0.5, 0.58, 0.57,
    0.5, 0.37, 0.2, 0.1, 0.08, 0.06, 0.04, 0.03,
];
/// `(hours ahead of Moscow, share of the population)` of the eleven zones.
const ZONES: [(i64, f64); 11] = [
    (-1, 0.007),
    (0, 0.660),
    (1, 0.060),
    (2, 0.145),
    (3, 0.015),
    (4, 0.060),
    (5, 0.018),
    (6, 0.012),
    (7, 0.015),
    (8, 0.006),
    (9, 0.002),
];

/// A stretch of the shape: the rate goes evenly from one part of the greatest to another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stretch {
    seconds: f64,
    from: f64,
    to: f64,
}

impl Shape {
    /// The n-th stretch.
    fn stretch(self, n: u64) -> Stretch {
        let held = Stretch { seconds: f64::INFINITY, from: 1.0, to: 1.0 };
        match self {
            Shape::Constant => held,
            Shape::Ramp { seconds } if n == 0 => Stretch { seconds, from: 0.0, to: 1.0 },
            Shape::Ramp { .. } => held,
            Shape::Steps { count, seconds } if n < u64::from(count) => {
                let part = (n + 1) as f64 / f64::from(count);
                Stretch { seconds, from: part, to: part }
            }
            Shape::Steps { .. } => held,
            Shape::Day { seconds } => {
                let [from, to] = [n, n + 1].map(|hour| country(hour) / greatest());
                Stretch { seconds: seconds / 24.0, from, to }
            }
        }
    }
}

/// The country's messages at an hour of Moscow's, relative.
fn country(hour: u64) -> f64 {
    let local = |ahead: i64| LOCAL_DAY[(hour as i64 + ahead).rem_euclid(24) as usize];
    ZONES.iter().map(|(ahead, share)| share * local(*ahead)).sum()
}

fn greatest() -> f64 {
    (0..24).map(country).fold(0.0, f64::max)
}

/// The times of events of a shape, one after the other.
#[derive(Clone, Debug)]
pub struct Flow {
    shape: Shape,
    /// Events a second at the most.
    peak: f64,
    /// The stretch we are in, when it began, and how many events came before it.
    number: u64,
    stretch: Stretch,
    began_s: f64,
    before: f64,
}

impl Flow {
    /// The flow of a shape whose greatest rate is `peak` events a second, above 0.
    pub fn new(shape: Shape, peak: f64) -> Flow {
        Flow { shape, peak, number: 0, stretch: shape.stretch(0), began_s: 0.0, before: 0.0 }
    }

    /// When event `n`, from 0, is due, in seconds after the start; `n` must not fall.
    pub fn due_s(&mut self, n: u64) -> f64 {
        let n = n as f64;
        loop {
            let Stretch { seconds, from, to } = self.stretch;
            let events = self.peak * seconds * (from + to) / 2.0;
            let left = n - self.before;
            if left < events {
                // Rounding must not reach into the next stretch.
                return self.began_s + self.seconds_into(left).min(seconds);
            }
            self.began_s += seconds;
            self.before += events;
            self.number += 1;
            self.stretch = self.shape.stretch(self.number);
        }
    }

    /// How many seconds into the stretch so many of its events have come.
    fn seconds_into(&self, events: f64) -> f64 {
        let Stretch { seconds, from, to } = self.stretch;
        let (start, end) = (self.peak * from, self.peak * to);
        let rise = (end - start) / seconds;
        if events == 0.0 {
            return 0.0;
        }
        if rise == 0.0 {
            return events / start;
        }
        // events = start·t + rise·t²/2, in the form that does not cancel.
        2.0 * events / (start + (start * start + 2.0 * rise * events).max(0.0).sqrt())
    }
}

impl FromStr for Shape {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Shape, Self::Err> {
        let wrong = "not a shape: constant, ramp:SECONDS, steps:COUNTxSECONDS or day:SECONDS";
        let seconds = |text: &str| {
            let seconds = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
            seconds.filter(|seconds| *seconds > 0.0 && seconds.is_finite()).ok_or(wrong)
        };
        match text.split_once(':') {
            None if text == "constant" => Ok(Shape::Constant),
            Some(("ramp", rest)) => Ok(Shape::Ramp { seconds: seconds(rest)? }),
            Some(("day", rest)) => Ok(Shape::Day { seconds: seconds(rest)? }),
            Some(("steps", rest)) => {
                let (count, rest) = rest.split_once('x').ok_or(wrong)?;
                let count = count.parse().ok().filter(|count| *count > 0).ok_or(wrong)?;
                Ok(Shape::Steps { count, seconds: seconds(rest)? })
            }
            _ => Err(wrong),
        }
    }
}

impl fmt::Display for Shape {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Constant => f.write_str("constant"),
            Shape::Ramp { seconds } => write!(f, "ramp:{seconds}"),
            Shape::Steps { count, seconds } => write!(f, "steps:{count}x{seconds}"),
            Shape::Day { seconds } => write!(f, "day:{seconds}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the first events are due in each second.
    fn by_second(shape: &str, peak: f64, seconds: usize) -> Vec<usize> {
        let mut flow = Flow::new(shape.parse().expect("a shape"), peak);
        let mut counts = vec![0; seconds];
        let mut last = 0.0;
        for n in 0.. {
            let due_s = flow.due_s(n);
            assert!(due_s >= last, "time does not run back");
            last = due_s;
            match counts.get_mut(due_s as usize) {
                Some(count) => *count += 1,
                None => return counts,
            }
        }
        counts
    }

    #[test]
    fn a_rate_holds_rises_or_steps() {
        assert_eq!(by_second("constant", 100.0, 3), [100, 100, 100]);
        assert_eq!(by_second("steps:4x1", 100.0, 5), [25, 50, 75, 100, 100]);
        // 200·t²/(2·4): 25, 75, 125, 175 of the rise.
        assert_eq!(by_second("ramp:4", 200.0, 5), [25, 75, 125, 175, 200]);
    }

    #[test]
    fn a_day_has_its_rush_and_comes_again() {
        let day = by_second("day:24", 1000.0, 48);
        assert!(day[10] > 900 && day[10] <= 1000, "{day:?}");
        // By the two tables, summed by hand: at four Moscow sleeps as at one, and the east is up.
        let morning = [21, 27, 40, 60, 86, 135, 202, 339, 560, 839, 961];
        assert!(day.iter().zip(morning).all(|(a, b)| a.abs_diff(b) <= 1), "{day:?}");
        let (one, two) = day.split_at(24);
        assert!(one.iter().zip(two).all(|(a, b)| a.abs_diff(*b) <= 1), "{day:?}");
    }

    #[test]
    fn shapes_are_read_as_they_are_written_or_refused() {
        for text in ["constant", "ramp:30", "steps:5x12.5", "day:600"] {
            assert_eq!(text.parse::<Shape>().map(|shape| shape.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "ramp", "ramp:0", "ramp:x", "steps:0x3", "steps:3", "day:-1", "week:3"] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }
}
