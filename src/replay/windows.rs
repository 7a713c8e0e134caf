//! A replay window by window: whether two replays differ is seen by how their own parts differ.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::batch::Due;
use super::latency::LATENCY_US_MAX;

/// Windows at most; with one more, all become twice as long.
const WINDOWS_MAX: usize = 240;

/// What happened in a stretch of a replay. Field names are those of the JSON and stay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Events acknowledged in it, a second.
    pub acknowledged_per_s: f64,
    /// Events in it that were seen by a subscriber, and so are in the quantiles.
    pub visible: u64,
    /// Scheduled to seen, of half of them.
    pub visible_p50_ms: f64,
    /// Of 99 of a hundred.
    pub visible_p99_ms: f64,
}

/// The windows of a replay that goes on, of equal length.
#[derive(Debug)]
pub struct Windows {
    length_us: u64,
    windows: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    acknowledged: u64,
    visible: Histogram<u64>,
}

impl Windows {
    /// Windows of a second, to begin with.
    pub fn new() -> Windows {
        Windows { length_us: 1_000_000, windows: Vec::new() }
    }

    /// Seconds of a window.
    pub fn seconds(&self) -> f64 {
        self.length_us as f64 / 1e6
    }

    /// Events were acknowledged.
    pub fn acknowledge(&mut self, due: &[Due], at_us: u64) {
        self.at(at_us).acknowledged += due.iter().map(|due| u64::from(due.events)).sum::<u64>();
    }

    /// Events were seen.
    pub fn see(&mut self, due: &[Due], at_us: u64) {
        let visible = &mut self.at(at_us).visible;
        for due in due {
            let latency_us = at_us.saturating_sub(due.at_us).max(1);
            visible.saturating_record_n(latency_us, u64::from(due.events));
        }
    }

    /// All but the first and the last, which are not whole.
    pub fn whole(&self) -> Vec<Window> {
        let within = self.windows.len().saturating_sub(1);
        let whole = self.windows.get(1..within).unwrap_or_default();
        whole.iter().map(|open| open.close(self.seconds())).collect()
    }

    fn at(&mut self, at_us: u64) -> &mut Open {
        while at_us / self.length_us >= WINDOWS_MAX as u64 {
            self.length_us *= 2;
            let halves = std::mem::take(&mut self.windows);
            let mut halves = halves.into_iter();
            while let Some(mut first) = halves.next() {
                if let Some(second) = halves.next() {
                    first.acknowledged += second.acknowledged;
                    first.visible.add(second.visible).expect("all have the same bounds");
                }
                self.windows.push(first);
            }
        }
        let place = (at_us / self.length_us) as usize;
        while self.windows.len() <= place {
            self.windows.push(Open::new());
        }
        &mut self.windows[place]
    }
}

impl Open {
    fn new() -> Open {
        let visible = Histogram::new_with_bounds(1, LATENCY_US_MAX, 2);
        Open { acknowledged: 0, visible: visible.expect("two digits up to 10 min fit") }
    }

    fn close(&self, seconds: f64) -> Window {
        let at = |quantile| self.visible.value_at_quantile(quantile) as f64 / 1e3;
        Window {
            acknowledged_per_s: self.acknowledged as f64 / seconds,
            visible: self.visible.len(),
            visible_p50_ms: at(0.5),
            visible_p99_ms: at(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_grow_with_the_replay_and_lose_nothing() {
        let mut windows = Windows::new();
        let total = 1000;
        for second in 0..total {
            let due = [Due { at_us: second * 1_000_000, events: 3 }];
            windows.acknowledge(&due, second * 1_000_000 + 500);
            windows.see(&due, second * 1_000_000 + 2_000);
        }
        assert_eq!(windows.seconds(), 8.0);
        let whole = windows.whole();
        assert_eq!(whole.len(), 125 - 2);
        for window in whole {
            assert_eq!((window.acknowledged_per_s, window.visible), (3.0, 24));
            assert!((window.visible_p50_ms - 2.0).abs() < 0.05, "{window:?}");
        }
        assert!(Windows::new().whole().is_empty());
    }
}
