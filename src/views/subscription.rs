//! A reader that follows a view: all it has is its filter and its position in the shared history.
//!
//! It reads when it can, an epoch at a time while it keeps up. What happened while it did not is
//! given to it as one set of changes, be it of two epochs or of a thousand; if the history is
//! forgotten past its position it is told so.

use std::fmt;
use std::sync::Arc;

use dataflows::domain::Epoch;

use super::digest::Digest;
use super::history::ChangeSet;
use super::{Filter, Served};

/// Where a reader is: the last epoch it has seen, and the digest of the whole view then, whatever
/// its filter. Written `epoch-digest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The epoch.
    pub epoch: Epoch,
    /// Of the view at that epoch.
    pub digest: Digest,
}

impl Position {
    /// What a reader says of its position; the digest may be left out, and is then not compared.
    pub fn parse(text: &str) -> Option<(Epoch, Option<Digest>)> {
        match text.split_once('-') {
            Some((epoch, digest)) => Some((epoch.parse().ok()?, Some(digest.parse().ok()?))),
            None => Some((text.parse().ok()?, None)),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.digest)
    }
}

/// Why a reader cannot go on from where it says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The history begins later.
    Forgotten,
    /// The epoch has not come yet.
    Ahead,
    /// The view was another one then: other rules, another log, a history that was lost.
    Digest,
}

impl Lost {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Lost::Forgotten => "forgotten",
            Lost::Ahead => "ahead",
            Lost::Digest => "digest",
        }
    }
}

/// A place in the history of the matching rows of a view.
#[derive(Debug)]
pub struct Subscription {
    served: Arc<Served>,
    filter: Filter,
    position: Position,
    up_to: Epoch,
}

/// What happened since the last step.
#[derive(Debug)]
pub enum Step {
    /// Changes, of one epoch or of all that the reader is behind; whether any of them are of rows
    /// that match is for [`Filter::changes`] to say.
    Changes(Vec<Arc<ChangeSet>>),
    /// No row of any view is another in the epochs since.
    Nothing,
    /// The history is forgotten past the position.
    Lagged,
}

impl Subscription {
    /// What comes after the rows of an epoch of which the reader has been given them all.
    pub fn begin(served: &Arc<Served>, filter: Filter, position: Position) -> Subscription {
        Subscription { served: served.clone(), filter, position, up_to: Epoch::MAX }
    }

    /// From the last epoch a reader has seen, and the digest of the view then if it has it.
    ///
    /// # Errors
    /// [`Lost`].
    pub fn resume(
        served: &Arc<Served>,
        filter: Filter,
        epoch: Epoch,
        digest: Option<Digest>,
    ) -> Result<Subscription, Lost> {
        let last = served.epoch();
        let Some(digests) = served.digests(epoch) else {
            let ahead = last.is_none_or(|last| epoch > last);
            return Err(if ahead { Lost::Ahead } else { Lost::Forgotten });
        };
        let held = digests[filter.view() as usize];
        if digest.is_some_and(|claimed| claimed != held) {
            return Err(Lost::Digest);
        }
        Ok(Subscription::begin(served, filter, Position { epoch, digest: held }))
    }

    /// The same, which never goes beyond an epoch.
    pub fn up_to(self, up_to: Epoch) -> Subscription {
        Subscription { up_to, ..self }
    }

    /// What happened since the last step: the next epoch that had changes or, where the reader is
    /// behind by more than `behind_max` of them, all that there are.
    pub fn step(&mut self, behind_max: usize) -> Step {
        let Some(ahead) = self.served.since(self.position.epoch, behind_max.saturating_add(1))
        else {
            return Step::Lagged;
        };
        let is_behind = ahead.sets.len() > behind_max;
        let mut sets = match is_behind.then(|| self.served.since(self.position.epoch, usize::MAX)) {
            Some(Some(all)) => all.sets,
            Some(None) => return Step::Lagged,
            None => ahead.sets.into_iter().take(1).collect(),
        };
        sets.retain(|set| set.epoch <= self.up_to);
        match sets.last() {
            Some(set) => {
                let digest = set.digests[self.filter.view() as usize];
                self.position = Position { epoch: set.epoch, digest };
                Step::Changes(sets)
            }
            None => {
                self.position.epoch = ahead.last.min(self.up_to).max(self.position.epoch);
                Step::Nothing
            }
        }
    }

    /// How many epochs that had changes are ahead; as many as there can be where they are forgotten.
    pub fn behind(&self) -> usize {
        self.served.behind(self.position.epoch).unwrap_or(usize::MAX)
    }

    /// The last epoch the reader was given.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Which rows.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }
}
