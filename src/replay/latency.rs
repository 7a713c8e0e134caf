//! Latencies: of every event from its own scheduled time, not of every request from its sending.
//!
//! An event that waits in us because the node stalls has waited all the same; leaving such events
//! out, or counting them from when they were sent at last, is how load tests flatter.

use std::collections::{BTreeMap, VecDeque};

use hdrhistogram::Histogram;

use super::batch::Due;
use super::windows::Windows;

/// Ten minutes: what takes longer is counted as that.
pub const LATENCY_US_MAX: u64 = 600_000_000;
/// Epochs whose moment is kept for batches that are acknowledged after they were seen: at 100
/// epochs a second, more than the time that a request may take.
const SEEN_MAX: usize = 8192;
/// Scheduled times of events that wait to be seen; beyond, they are not measured but counted.
const WAITING_MAX: usize = 1 << 22;

/// Two histograms, the same by window, and what waits to be seen.
#[derive(Debug)]
pub struct Latency {
    /// Scheduled to acknowledged, in microseconds.
    pub acknowledged: Histogram<u64>,
    /// Scheduled to seen by a subscriber, in microseconds.
    pub visible: Histogram<u64>,
    /// Events that are not in `visible`, because nothing would show when they are.
    pub unobserved: u64,
    /// Both, window by window.
    pub windows: Windows,
    waiting: BTreeMap<u64, Vec<Due>>,
    waiting_len: usize,
    /// `(epoch, when it was first seen)`, both ascending.
    seen: VecDeque<(u64, u64)>,
}

impl Latency {
    /// Nothing measured yet.
    pub fn new() -> Latency {
        let empty = || {
            Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("three digits up to 10 min fit")
        };
        Latency {
            acknowledged: empty(),
            visible: empty(),
            unobserved: 0,
            windows: Windows::new(),
            waiting: BTreeMap::new(),
            waiting_len: 0,
            seen: VecDeque::new(),
        }
    }

    /// A batch was acknowledged at `at_us` as part of `epoch`. `observable` says whether a
    /// subscriber gets to know the epoch as soon as it is complete.
    pub fn acknowledge(&mut self, due: Vec<Due>, at_us: u64, epoch: u64, observable: bool) {
        record(&mut self.acknowledged, &due, at_us);
        self.windows.acknowledge(&due, at_us);
        let first_seen = self.seen.partition_point(|(seen, _)| *seen < epoch);
        if !observable || self.waiting_len + due.len() > WAITING_MAX {
            self.unobserved += events(&due);
        } else if let Some((_, seen_us)) = self.seen.get(first_seen) {
            record(&mut self.visible, &due, *seen_us);
            self.windows.see(&due, *seen_us);
        } else {
            self.waiting_len += due.len();
            self.waiting.entry(epoch).or_default().extend(due);
        }
    }

    /// A subscriber has seen `epoch`, and so all before it, at `at_us`.
    pub fn see(&mut self, epoch: u64, at_us: u64) {
        if self.seen.back().is_some_and(|(last, _)| *last >= epoch) {
            return;
        }
        if self.seen.len() == SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back((epoch, at_us));
        let later = self.waiting.split_off(&(epoch + 1));
        for due in std::mem::replace(&mut self.waiting, later).into_values() {
            self.waiting_len -= due.len();
            record(&mut self.visible, &due, at_us);
            self.windows.see(&due, at_us);
        }
    }

    /// When the first of the events that wait to be seen were due, in microseconds.
    pub fn waiting_since_us(&self) -> Option<u64> {
        let (_, due) = self.waiting.first_key_value()?;
        due.iter().map(|due| due.at_us).min()
    }

    /// Whether acknowledged events still wait to be seen.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many of them.
    pub fn waiting(&self) -> u64 {
        self.waiting.values().map(|due| events(due)).sum()
    }
}

fn events(due: &[Due]) -> u64 {
    due.iter().map(|due| u64::from(due.events)).sum()
}

fn record(histogram: &mut Histogram<u64>, due: &[Due], at_us: u64) {
    for due in due {
        let latency_us = at_us.saturating_sub(due.at_us).max(1);
        histogram.saturating_record_n(latency_us, u64::from(due.events));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_ms(from: u64, until: u64) -> Vec<Due> {
        (from..until).map(|ms| Due { at_us: ms * 1000, events: 1 }).collect()
    }

    /// 1000 events, one a millisecond; the first 900 take 1 ms, then the node stalls for 100 ms.
    #[test]
    fn a_stall_counts_for_every_event_that_was_due_in_it() {
        let mut latency = Latency::new();
        for ms in 0..900 {
            latency.acknowledge(every_ms(ms, ms + 1), (ms + 1) * 1000, 1, false);
        }
        latency.acknowledge(every_ms(900, 1000), 1_000_000, 1, false);
        let at = |q| latency.acknowledged.value_at_quantile(q) / 1000;
        assert_eq!(latency.acknowledged.len(), 1000);
        assert_eq!((at(0.5), at(0.9), at(0.95), at(0.99), at(1.0)), (1, 1, 50, 90, 100));
    }

    #[test]
    fn an_event_is_visible_when_an_epoch_at_or_after_its_own_is_seen() {
        let mut latency = Latency::new();
        latency.see(10, 1_000);
        latency.acknowledge(vec![Due { at_us: 0, events: 2 }], 500, 12, true);
        latency.acknowledge(vec![Due { at_us: 2_000, events: 1 }], 2_500, 13, true);
        assert_eq!((latency.visible.len(), latency.waiting()), (0, 3));
        latency.see(11, 3_000);
        assert!(latency.is_waiting() && latency.visible.is_empty());
        latency.see(13, 7_000);
        assert_eq!((latency.visible.len(), latency.is_waiting()), (3, false));
        assert_eq!((latency.visible.min(), latency.visible.max()), (5_000, 7_003));
    }

    #[test]
    fn seen_before_acknowledged_counts_from_when_it_was_first_seen() {
        let mut latency = Latency::new();
        for (epoch, at_us) in [(5, 1_000), (7, 2_000), (7, 2_500), (6, 2_600), (9, 3_000)] {
            latency.see(epoch, at_us);
        }
        latency.acknowledge(vec![Due { at_us: 100, events: 1 }], 9_000, 6, true);
        assert_eq!(latency.visible.max(), 1_900);
        latency.acknowledge(vec![Due { at_us: 100, events: 4 }], 9_000, 9, false);
        assert_eq!((latency.visible.len(), latency.unobserved, latency.waiting()), (1, 4, 0));
    }

    #[test]
    fn what_takes_longer_than_can_be_told_is_counted_as_that() {
        let mut latency = Latency::new();
        latency.acknowledge(vec![Due { at_us: 0, events: 3 }], LATENCY_US_MAX * 2, 1, true);
        assert_eq!(latency.acknowledged.len(), 3);
        assert!(latency.acknowledged.max() >= LATENCY_US_MAX);
    }
}
