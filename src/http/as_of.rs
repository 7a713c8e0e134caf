//! Rows as they were: at an epoch, or at a time.

use std::sync::Arc;

use dataflows::domain::Epoch;
use dataflows::views::View;
use jiff::Timestamp;

use super::aside;
use super::problem::Problem;
use crate::views::{Forgotten, Served, Snapshot, Table};

/// When the rows were to be seen.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// At an epoch.
    Epoch(Epoch),
    /// At a time.
    Time(Timestamp),
}

impl Moment {
    /// What the parameter `name` says.
    ///
    /// # Errors
    /// 400 where it is neither.
    pub fn parse(name: &str, text: &str) -> Result<Moment, Problem> {
        let epoch = text.parse().map(Moment::Epoch).ok();
        let moment = epoch.or_else(|| text.parse().map(Moment::Time).ok());
        moment.ok_or_else(|| {
            let detail = format!("{name} {text:?} is neither an epoch nor a time of RFC 3339");
            Problem::bad("bad_value", detail)
        })
    }

    /// The rows of a view as they were then, and the epoch they are of; `now` are those there are.
    ///
    /// # Errors
    /// 410 where what is kept does not reach back.
    pub async fn table(
        self,
        served: &Arc<Served>,
        now: &Snapshot,
        epoch_ms: u64,
        view: View,
    ) -> Result<(Epoch, Table), Problem> {
        let epoch = match self {
            Moment::Epoch(epoch) => epoch,
            // The epoch that was complete then is the one before the one it was.
            Moment::Time(time) => {
                let ms = u64::try_from(time.as_millisecond()).unwrap_or_default();
                (ms / epoch_ms).saturating_sub(1)
            }
        };
        if epoch >= now.epoch && matches!(self, Moment::Time(_)) {
            return Ok((now.epoch, now.table(view).clone()));
        }
        let served = Arc::clone(served);
        aside(move || served.published_at(view, epoch)).await?.map_err(|forgotten| {
            let reach = match forgotten {
                Forgotten::Changes(floor) => format!(
                    "the history of changes begins after epoch {floor}, bounded by history.changes, \
                     history.seconds and history.bytes"
                ),
                Forgotten::Published(Some(first)) => format!(
                    "what was published is kept from epoch {first} on, bounded by \
                     history.published_bytes"
                ),
                Forgotten::Published(None) => "nothing that was published is kept yet".to_owned(),
            };
            Problem::gone(format!("epoch {epoch} is not within the history kept: {reach}"))
        })
    }
}
