//! What can be said of an epoch in a line: a digest of each view, and a chain of them through the
//! hours.
//!
//! Digests are a function of the log: the same for any number of workers, live or replayed, from
//! its first event or from a checkpoint. The chain has a link for every epoch in which the log
//! tells the time, because those are the epochs that every replay computes by themselves; equal
//! links say that all hours before were equal too.

use dataflows::domain::Epoch;
use dataflows::views::View;
use serde::{Deserialize, Serialize};

use crate::views::Held;
use crate::views::digest::Digest;

/// The digests of all views at an epoch, and the chain so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    views: [Digest; View::ALL.len()],
    link: Link,
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The epoch it is of, 0 before the first hour.
    pub epoch: Epoch,
    /// Over the link before, the epoch, and the digest of every view then.
    pub digest: Digest,
}

impl Chain {
    /// Rows came (+1) or went (-1).
    pub fn change(&mut self, changes: &[(Held, isize)]) {
        for (row, diff) in changes {
            let view = &mut self.views[row.view() as usize];
            for _ in 0..diff.unsigned_abs() {
                if *diff > 0 { *view += row.digest() } else { *view -= row.digest() }
            }
        }
    }

    /// The rows are now those at the end of an epoch that tells the time.
    pub fn link(&mut self, epoch: Epoch) {
        let before = self.link.digest;
        let mut text = format!("{before} {epoch}");
        for digest in self.views {
            text.push_str(&format!(" {digest}"));
        }
        self.link = Link { epoch, digest: Digest::of_json(text.as_bytes()) };
    }

    /// The digest of a view's rows.
    pub fn view(&self, view: View) -> Digest {
        self.views[view as usize]
    }

    /// Whether these are the digests of all views, in the order of [`View::ALL`].
    pub fn is_of(&self, digests: &[Digest; View::ALL.len()]) -> bool {
        self.views == *digests
    }

    /// The latest link.
    pub fn latest(&self) -> Link {
        self.link
    }

    /// The views whose digests differ.
    pub fn differing(&self, other: &Chain) -> Vec<View> {
        View::ALL.into_iter().filter(|view| self.view(*view) != other.view(*view)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::views::{PendingReason, Row};

    #[test]
    fn a_link_holds_all_before_it() {
        let row = |count| Held::from(Row::Pending { reason: PendingReason::NoUnit, count });
        let (mut one, mut other) = (Chain::default(), Chain::default());
        one.change(&[(row(1), 1)]);
        one.link(7);
        one.change(&[(row(1), -1), (row(2), 1)]);
        other.change(&[(row(2), 1)]);
        assert!(one.differing(&other).is_empty());
        one.link(8);
        other.link(8);
        assert_ne!(one.latest(), other.latest(), "hour 7 was another");
        other.change(&[(row(2), -1)]);
        assert_eq!(other.view(View::Pending), Digest::default());
        assert_eq!(one.differing(&other), [View::Pending]);
    }
}
