//! The only place that asks what time it is.
//!
//! Two clocks are read here: the wall clock, for which epoch it is and which hour, and the
//! monotonic one, which keeps epochs rising at their pace while the wall clock is set back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dataflows::calendar::Hour;
use dataflows::domain::Epoch;

/// Milliseconds since 1970 UTC; 0 before that.
pub fn wall_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).expect("584 million years have not passed")
}

/// The hour it is.
pub fn hour() -> Hour {
    Hour(i64::try_from(wall_ms() / 3_600_000).expect("a number of hours fits"))
}

/// Tells the epoch: milliseconds since 1970 divided by the length of an epoch, and never less than
/// it said before.
///
/// Where the wall clock is ahead, its epoch holds; where it is behind (it was set back, or the log
/// already holds later epochs), epochs go on from the last one at the pace of the monotonic clock.
/// So figures do not freeze until a wrong clock is caught up with.
///
/// In a cluster the first node tells the epoch, so that a clock that is ahead or behind delays
/// nobody's figures; a node that does not hear from it goes on by its own.
#[derive(Debug)]
pub struct Clock {
    epoch_ms: u64,
    told: Arc<Told>,
    /// The last epoch that was not counted from an earlier one, and when it was told.
    anchor: (Epoch, Instant),
}

/// What others say of the epoch.
#[derive(Debug, Default)]
pub struct Told {
    /// The latest epoch that anybody has told.
    epoch: AtomicU64,
    /// Whether that is to be followed, and not the wall clock.
    is_led: AtomicBool,
}

impl Told {
    /// It is this epoch somewhere, and so here: none before will be told.
    pub fn at_least(&self, epoch: Epoch) {
        self.epoch.fetch_max(epoch, Ordering::SeqCst);
    }

    /// From now on epochs are those that are told, or not any more.
    pub fn follow(&self, is_led: bool) {
        self.is_led.store(is_led, Ordering::SeqCst);
    }

    /// The latest epoch that anybody has told.
    pub fn epoch(&self) -> Epoch {
        self.epoch.load(Ordering::SeqCst)
    }
}

impl Clock {
    /// A clock that starts at `last`, the latest epoch of the log, or later.
    pub fn new(epoch_ms: u64, last: Epoch, told: Arc<Told>) -> Clock {
        assert!(epoch_ms > 0, "an epoch takes time");
        Clock { epoch_ms, told, anchor: (last, Instant::now()) }
    }

    /// The epoch it is now.
    pub fn epoch(&mut self) -> Epoch {
        self.epoch_at(wall_ms(), Instant::now())
    }

    fn epoch_at(&mut self, wall_ms: u64, now: Instant) -> Epoch {
        let (epoch, since) = self.anchor;
        let elapsed_ms = now.saturating_duration_since(since).as_millis();
        let heard = self.told.epoch();
        let (counted, wall) = match self.told.is_led.load(Ordering::SeqCst) {
            true => (epoch, heard),
            false => {
                let elapsed = u64::try_from(elapsed_ms).unwrap_or(u64::MAX);
                (epoch + elapsed / self.epoch_ms, heard.max(wall_ms / self.epoch_ms))
            }
        };
        if wall > counted {
            self.anchor = (wall, now);
        }
        wall.max(counted)
    }

    /// How long until the wall clock enters its next epoch: at least a millisecond.
    pub fn until_next(&self) -> Duration {
        Duration::from_millis(self.epoch_ms - wall_ms() % self.epoch_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_follow_the_wall_clock_and_never_go_back() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut clock = Clock { epoch_ms: 100, anchor: (0, start), told: Arc::default() };
        // (what the wall clock says, milliseconds since the start, the epoch)
        let table = [
            (50_000, 0, 500),
            (50_099, 99, 500),
            (50_100, 100, 501),
            (20_000, 150, 501), // set back by half a minute: epochs go on at their pace
            (20_050, 200, 502),
            (20_150, 300, 503),
            (90_000, 350, 900), // set forward
            (90_100, 450, 901),
            (0, 550, 902), // before 1970
        ];
        for (wall, elapsed, epoch) in table {
            assert_eq!(clock.epoch_at(wall, at(elapsed)), epoch, "{wall} after {elapsed} ms");
        }
    }

    /// Set back by an hour, and by ten years, it goes on at its pace; and so does the clock of the
    /// next start, which knows only the log's last epoch.
    #[test]
    fn a_clock_set_back_far_stops_nothing() {
        const HOUR_MS: u64 = 3_600_000;
        const NOW_MS: u64 = 56 * 365 * 24 * HOUR_MS;
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for back_ms in [HOUR_MS, 10 * 365 * 24 * HOUR_MS] {
            let mut clock = Clock { epoch_ms: 100, anchor: (0, start), told: Arc::default() };
            let mut last = clock.epoch_at(NOW_MS, start);
            assert_eq!(last, NOW_MS / 100);
            for elapsed in (100..5_000).step_by(100) {
                let epoch = clock.epoch_at(NOW_MS - back_ms + elapsed, at(elapsed));
                assert_eq!(epoch, last + 1);
                last = epoch;
            }
            let mut restarted =
                Clock { epoch_ms: 100, anchor: (last, start), told: Arc::default() };
            for elapsed in (100..5_000).step_by(100) {
                let epoch = restarted.epoch_at(NOW_MS - back_ms + elapsed, at(elapsed));
                assert_eq!(epoch, last + elapsed / 100);
            }
        }
    }

    /// Led, it says what it is told, whatever its own clock says; left alone, it goes on from there.
    #[test]
    fn a_clock_follows_who_leads() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut clock = Clock { epoch_ms: 100, anchor: (0, start), told: Arc::default() };
        let told = Arc::clone(&clock.told);
        assert_eq!(clock.epoch_at(50_000, at(0)), 500);
        told.follow(true);
        told.at_least(490);
        assert_eq!(clock.epoch_at(50_500, at(500)), 500, "never back");
        told.at_least(501);
        assert_eq!(clock.epoch_at(60_000, at(600)), 501, "never ahead");
        told.at_least(505);
        assert_eq!(clock.epoch_at(50_000, at(700)), 505, "never behind");
        told.follow(false);
        assert_eq!(clock.epoch_at(50_000, at(900)), 507);
        assert_eq!(clock.epoch_at(60_000, at(1_000)), 600);
        told.at_least(700);
        assert_eq!(clock.epoch_at(60_000, at(1_000)), 700);
    }

    #[test]
    fn a_log_from_the_future_is_continued() {
        let start = Instant::now();
        let mut clock = Clock { epoch_ms: 100, anchor: (7_000, start), told: Arc::default() };
        assert_eq!(clock.epoch_at(100_000, start), 7_000);
        assert_eq!(clock.epoch_at(100_100, start + Duration::from_millis(100)), 7_001);
    }
}
