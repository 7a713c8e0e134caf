//! A reader that follows a view: all it has is its filter and its position in the shared history.
//!
//! It reads when it can. What happened since is given to it as one set of changes, be it of one
//! epoch or of a thousand; if the history is forgotten past its position it is told so.

use std::sync::Arc;

use dataflows::domain::Epoch;

use super::history::merge;
use super::{Change, Filter, Served, Snapshot};

/// A place in the history of the matching rows of a view.
#[derive(Debug)]
pub struct Subscription {
    served: Arc<Served>,
    filter: Filter,
    position: Epoch,
}

/// What happened since the last step.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The changes up to and with `epoch`, sorted by key, each key once; at least one.
    Changes {
        /// The last epoch they are of.
        epoch: Epoch,
        /// Of the rows that match, or did.
        changes: Vec<Change>,
    },
    /// The rows of this epoch are the same.
    Nothing {
        /// The last complete epoch.
        epoch: Epoch,
    },
    /// The history is forgotten past the position, which is this epoch.
    Lagged {
        /// The last epoch the reader has seen.
        epoch: Epoch,
    },
}

impl Subscription {
    /// What comes after the rows of a snapshot.
    pub fn begin(served: &Arc<Served>, filter: Filter, snapshot: &Snapshot) -> Subscription {
        Subscription { served: served.clone(), filter, position: snapshot.epoch }
    }

    /// From the last epoch a reader has seen; `None` where the history does not reach back to it,
    /// or it has not happened yet.
    pub fn resume(served: &Arc<Served>, filter: &Filter, position: Epoch) -> Option<Subscription> {
        served.since(position)?;
        Some(Subscription { served: served.clone(), filter: filter.clone(), position })
    }

    /// What happened since the last step. Costs what changed in the view since then.
    pub fn step(&mut self) -> Step {
        let Some((epoch, sets)) = self.served.since(self.position) else {
            return Step::Lagged { epoch: self.position };
        };
        self.position = epoch;
        let changes: Vec<Change> = match sets.as_slice() {
            [] => Vec::new(),
            [set] => {
                let concerning = self.filter.concerning(&set.changes);
                concerning.filter_map(|change| self.filter.change(change)).collect()
            }
            sets => {
                let concerning = sets.iter().flat_map(|set| self.filter.concerning(&set.changes));
                let merged = merge(concerning);
                merged.iter().filter_map(|change| self.filter.change(change)).collect()
            }
        };
        if changes.is_empty() { Step::Nothing { epoch } } else { Step::Changes { epoch, changes } }
    }
}
