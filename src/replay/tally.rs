//! The counts of a replay that goes on.

use std::collections::BTreeMap;

use super::lane::{Answer, Retries, Undelivered};
use super::report::Refusals;

/// Refusal codes that are told apart; a node has eight.
const CODES_MAX: usize = 64;

/// The counts of a replay that goes on. Times are in microseconds after the start.
#[derive(Debug, Default)]
pub struct Tally {
    /// Of the lines read so far.
    pub digest: u32,
    pub sent: u64,
    pub acknowledged: u64,
    pub retries: Retries,
    /// Why not everything was sent or acknowledged.
    pub failure: Option<String>,
    pub batches: u64,
    pub accepted: u64,
    pub bytes: u64,
    pub refusals: BTreeMap<String, Refusals>,
    pub last_due_us: u64,
    pub last_sent_us: u64,
    pub last_acknowledged_us: u64,
    pub last_epoch: Option<u64>,
    pub subscriber_losses: u64,
    pub subscriber_error: Option<String>,
}

impl Tally {
    /// A batch is sent for the first time.
    pub fn send(&mut self, lines: u32, last_due_us: u64, now_us: u64) {
        self.batches += 1;
        self.sent += u64::from(lines);
        self.last_due_us = self.last_due_us.max(last_due_us);
        self.last_sent_us = now_us;
    }

    /// A batch is acknowledged.
    pub fn acknowledge(&mut self, lines: u32, bytes: u64, at_us: u64, answer: Answer) {
        self.acknowledged += u64::from(lines);
        self.accepted += answer.accepted;
        self.bytes += bytes;
        self.last_epoch = self.last_epoch.max(Some(answer.epoch));
        self.last_acknowledged_us = self.last_acknowledged_us.max(at_us);
        for refused in answer.refused {
            let known =
                self.refusals.len() < CODES_MAX || self.refusals.contains_key(&refused.code);
            let code = if known { refused.code } else { "other".to_owned() };
            let entry = self.refusals.entry(code.clone()).or_insert_with(|| Refusals {
                code,
                count: 0,
                example: refused.detail,
            });
            entry.count += 1;
        }
    }

    /// A batch will not be acknowledged any more.
    pub fn undelivered(&mut self, undelivered: &Undelivered) {
        // What was only stopped for it comes after what it was stopped for.
        self.failure.get_or_insert_with(|| undelivered.to_string());
    }

    pub fn subscriber_lost(&mut self, cause: String) {
        self.subscriber_losses += 1;
        self.subscriber_error = Some(cause);
    }

    pub fn refused(&self) -> u64 {
        self.acknowledged - self.accepted
    }
}

#[cfg(test)]
mod tests {
    use super::super::lane::Refused;
    use super::*;

    #[test]
    fn refusals_are_counted_by_code_and_codes_are_bounded() {
        let mut tally = Tally::default();
        let refused =
            |code: usize| Refused { code: format!("c{code}"), detail: format!("d{code}") };
        let codes = (0..CODES_MAX).chain([0, 0]).chain(1000..1010);
        let answer = Answer { accepted: 5, refused: codes.map(refused).collect(), epoch: 9 };
        let lines = 5 + CODES_MAX as u32 + 12;
        tally.send(lines, 0, 0);
        tally.acknowledge(lines, 100, 7, answer);
        assert_eq!((tally.refused(), tally.last_epoch), (CODES_MAX as u64 + 12, Some(9)));
        assert_eq!(tally.refusals.len(), CODES_MAX + 1);
        let of = |code: &str| (tally.refusals[code].count, tally.refusals[code].example.clone());
        assert_eq!(of("c0"), (3, "d0".to_owned()));
        assert_eq!(of("other"), (10, "d1000".to_owned()));
    }
}
