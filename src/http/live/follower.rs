//! A reader of a live stream: what it asked for, and the frame that comes next.
//!
//! It is asked for a frame when its connection takes one. So a reader costs a position, not a queue:
//! what it missed while its connection was full is in the history, and comes an epoch a frame or,
//! where it is far behind, merged.

use std::sync::Arc;
use std::time::Duration;

use dataflows::domain::Epoch;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::frame::{Frame, write_changes};
use super::seats::Seat;
use crate::http::problem::Problem;
use crate::http::{Shared, aside};
use crate::views::digest::Digest;
use crate::views::row_json::{write_integer, write_row};
use crate::views::{Filter, Held, Lost, Position, Rows, Step, Subscription, Table};

/// Rows of one `snapshot` frame at most: a megabyte or two.
const PART_ROWS_MAX: usize = 5000;
/// Rows written before other streams have their turn.
const TURN_ROWS_MAX: usize = 256;

/// How long a reader may have to wait for an epoch it says it has seen and that is not here yet.
const AHEAD_WAIT: Duration = Duration::from_secs(5);
/// An epoch that is further ahead will not come meanwhile.
const AHEAD_MS_MAX: u64 = 60_000;

/// Where a reader wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the rows there are.
    Now,
    /// With the rows of an epoch.
    AsOf(Epoch),
    /// After the epoch it has seen, which had this digest.
    After(Epoch, Option<Digest>),
}

/// What is done for a reader that is far behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSlow {
    /// Epochs are merged, and where they are forgotten it gets a snapshot.
    Merge,
    /// The stream ends, with the position it has reached.
    Disconnect,
}

/// What a reader asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Of which rows.
    pub filter: Filter,
    /// From where.
    pub begin: Begin,
    /// Whether the rows come first where it does not go on from a position.
    pub snapshot: bool,
    /// The last epoch, where there is one.
    pub up_to: Option<Epoch>,
    /// What to do when it is slow.
    pub on_slow: OnSlow,
}

/// One reader.
pub struct Follower {
    shared: Shared,
    seat: Seat,
    subscription: Subscription,
    epochs: watch::Receiver<Option<Epoch>>,
    wish: Wish,
    phase: Phase,
    /// When it has been silent for long enough.
    due: Instant,
    /// Where it is by the last frame that had an id.
    told: Position,
    /// Whether it has been at the last complete epoch.
    caught_up: bool,
}

enum Phase {
    /// It cannot go on from this epoch, and is to be told so.
    Lost(Epoch, Lost),
    /// It begins with the rows there are when its turn comes: of this epoch or a later one.
    Waiting(Epoch),
    Snapshot(Box<Parts>),
    Following,
    Ended,
}

/// A snapshot that is being sent.
struct Parts {
    /// Those that are not found yet.
    rows: Rows,
    /// Those of the first part, where they were found as all were counted.
    found: Vec<Arc<Held>>,
    part: usize,
    sent: usize,
    /// Rows that match; counted when the first part is written.
    total: Option<usize>,
}

impl Follower {
    /// Takes a place and finds where to begin.
    ///
    /// # Errors
    /// There is no place or nothing to serve yet; what it asks for is forgotten or makes no sense.
    pub async fn open(shared: &Shared, wish: Wish, seat: Seat) -> Result<Follower, Problem> {
        let epochs = shared.served.epochs();
        let (subscription, phase) = begin(shared, &wish).await?;
        let told = subscription.position();
        if wish.up_to.is_some_and(|up_to| up_to < told.epoch) {
            let detail = format!("up_to is before the first epoch, {}", told.epoch);
            return Err(Problem::bad("bad_value", detail));
        }
        seat.reached(told.epoch);
        let subscription = subscription.up_to(wish.up_to.unwrap_or(Epoch::MAX));
        // Who begins without rows is told at once where it is.
        let due = Instant::now();
        let shared = shared.clone();
        Ok(Follower {
            shared,
            seat,
            subscription,
            epochs,
            wish,
            phase,
            due,
            told,
            caught_up: false,
        })
    }

    /// The next frame, when there is something to say; `None` after the last.
    pub async fn next(&mut self) -> Option<Frame> {
        let is_whole = matches!(self.phase, Phase::Following);
        let frame = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Ended => return None,
            // It has no whole snapshot, so no position to go on from.
            _ if !is_whole && self.shared.live.shutdown.is_cancelled() => {
                Frame::end(self.told, "stopping").without_id()
            }
            Phase::Lost(epoch, lost) => {
                self.wait_for_rows();
                Frame::lagged(epoch, lost)
            }
            Phase::Waiting(asked) => self.first_part(asked).await,
            Phase::Snapshot(parts) => {
                let turn = self.shared.turn().await;
                self.part(parts, turn).await
            }
            Phase::Following => {
                self.phase = Phase::Following;
                self.news().await
            }
        };
        if let Some(position) = frame.id {
            self.told = position;
            self.seat.reached(position.epoch);
        }
        self.seat.sent();
        self.due = Instant::now() + self.shared.live.progress_interval;
        Some(frame)
    }

    /// It cannot go on, and begins anew.
    fn wait_for_rows(&mut self) {
        self.phase = Phase::Waiting(self.shared.served.epoch().unwrap_or_default());
    }

    /// The rows there are now, or those of an epoch that has come since it asked and which were
    /// written for another reader: of many who wait for their turn one has the work.
    async fn first_part(&mut self, asked: Epoch) -> Frame {
        if let Some(frame) = self.written_for_another(asked) {
            return frame;
        }
        let turn = self.shared.turn().await;
        if let Some(frame) = self.written_for_another(asked) {
            return frame;
        }
        let Ok(snapshot) = self.shared.snapshot().await else {
            return Frame::end(self.told, "stopping").without_id();
        };
        let filter = self.wish.filter.clone();
        self.begin_at(snapshot.position(filter.view()));
        let table = snapshot.table(filter.view()).clone();
        drop(snapshot);
        let frame = self.part(Parts::new(table, filter.clone()), turn).await;
        self.shared.live.written.keep_snapshot(&filter, &frame);
        frame
    }

    fn written_for_another(&mut self, asked: Epoch) -> Option<Frame> {
        let frame = self.shared.live.written.snapshot(&self.wish.filter, asked)?;
        self.begin_at(frame.id?);
        self.phase = Phase::Following;
        Some(frame)
    }

    fn begin_at(&mut self, position: Position) {
        let up_to = self.wish.up_to.unwrap_or(Epoch::MAX);
        let filter = self.wish.filter.clone();
        self.subscription = Subscription::begin(&self.shared.served, filter, position).up_to(up_to);
    }

    /// `{"epoch":…,"part":…,"sent":…,"total":…,"last":…,"rows":[…]}`; the last part has the id.
    async fn part(&mut self, mut parts: Box<Parts>, turn: OwnedSemaphorePermit) -> Frame {
        let position = self.subscription.position();
        let total = parts.total().await;
        let (rows, is_last) = parts.write().await;
        drop(turn);
        let mut data = format!("{{\"epoch\":{}", position.epoch).into_bytes();
        let numbers = [("part", parts.part), ("sent", parts.sent), ("total", total)];
        for (name, number) in numbers {
            data.extend_from_slice(format!(",\"{name}\":").as_bytes());
            write_integer(number as i64, &mut data);
        }
        data.extend_from_slice(format!(",\"last\":{is_last},\"rows\":").as_bytes());
        data.extend_from_slice(&rows);
        self.phase = if is_last { Phase::Following } else { Phase::Snapshot(parts) };
        Frame::snapshot(is_last.then_some(position), data.into())
    }

    /// Waits for something to say.
    async fn news(&mut self) -> Frame {
        let live = Arc::clone(&self.shared.live);
        loop {
            if live.shutdown.is_cancelled() {
                return self.end("stopping");
            }
            if self.is_done() {
                return self.end("up_to");
            }
            let merges = self.wish.on_slow == OnSlow::Merge;
            if !merges && self.caught_up && self.subscription.behind() > live.behind_max {
                return self.end("slow");
            }
            self.epochs.mark_unchanged();
            match self.subscription.step(if merges { live.behind_max } else { usize::MAX }) {
                Step::Changes(sets) => {
                    let filter = self.subscription.filter();
                    let (changes, merged) = match sets.as_slice() {
                        [set] => (live.written.changes(filter, set), 1),
                        sets => {
                            let merged = sets.iter().filter(|set| filter.sees(set)).count();
                            (write_changes(&filter.changes(sets)).into(), merged)
                        }
                    };
                    if !changes.is_empty() {
                        self.seat.merged(merged - 1);
                        let position = self.subscription.position();
                        return Frame::changes(self.told, position, merged, changes);
                    }
                    // Who is far behind and sees little of it lets others have the thread.
                    tokio::task::consume_budget().await;
                }
                Step::Lagged if merges => {
                    self.wait_for_rows();
                    return Frame::lagged(self.told.epoch, Lost::Forgotten);
                }
                Step::Lagged => return self.end("slow"),
                // The last epoch asked for is over, and had no changes.
                Step::Nothing if self.is_done() => {}
                Step::Nothing => {
                    self.caught_up = true;
                    if Instant::now() >= self.due {
                        return Frame::progress(self.told, self.subscription.position());
                    }
                    tokio::select! {
                        () = live.shutdown.cancelled() => {}
                        _ = self.epochs.changed() => {}
                        () = sleep_until(self.due) => {}
                    }
                }
            }
        }
    }

    /// Whether it has all that it asked for.
    fn is_done(&self) -> bool {
        self.wish.up_to.is_some_and(|up_to| self.subscription.position().epoch >= up_to)
    }

    /// The last frame: the reader has what it was told, and may go on from there.
    fn end(&mut self, reason: &'static str) -> Frame {
        self.phase = Phase::Ended;
        let id = if reason == "slow" { self.told } else { self.subscription.position() };
        Frame::end(id, reason)
    }
}

/// Where to begin, and with what.
async fn begin(shared: &Shared, wish: &Wish) -> Result<(Subscription, Phase), Problem> {
    let filter = wish.filter.clone();
    let view = filter.view();
    let (epoch, table) = match wish.begin {
        Begin::Now if wish.snapshot && wish.up_to.is_none() => {
            let position = shared.snapshot().await?.position(view);
            let subscription = Subscription::begin(&shared.served, filter, position);
            return Ok((subscription, Phase::Waiting(position.epoch)));
        }
        Begin::Now => {
            let snapshot = shared.snapshot().await?;
            (snapshot.epoch, snapshot.table(view).clone())
        }
        Begin::AsOf(epoch) => {
            wait_for(shared, epoch).await;
            let served = Arc::clone(&shared.served);
            let table = aside(move || served.table_at(view, epoch)).await?;
            (epoch, table.ok_or_else(|| forgotten(shared, epoch))?)
        }
        Begin::After(epoch, digest) => {
            let snapshot = shared.snapshot().await?;
            wait_for(shared, epoch).await;
            let resumed = Subscription::resume(&shared.served, filter.clone(), epoch, digest);
            return Ok(match resumed {
                Ok(subscription) => (subscription, Phase::Following),
                Err(lost) => {
                    let position = snapshot.position(view);
                    let subscription = Subscription::begin(&shared.served, filter, position);
                    (subscription, Phase::Lost(epoch, lost))
                }
            });
        }
    };
    let position = Position { epoch, digest: table.digest() };
    let subscription = Subscription::begin(&shared.served, filter.clone(), position);
    let phase = match wish.snapshot {
        true => Phase::Snapshot(Parts::new(table, filter)),
        false => Phase::Following,
    };
    Ok((subscription, phase))
}

/// Waits a little for an epoch that is to come: another node may be ahead, or this one may have
/// just been started again.
async fn wait_for(shared: &Shared, epoch: Epoch) {
    let ahead = epoch.saturating_sub(shared.served.epoch().unwrap_or_default());
    if ahead.saturating_mul(shared.live.epoch_ms) <= AHEAD_MS_MAX {
        // Either way it is looked at again.
        let _ = timeout(AHEAD_WAIT, shared.served.wait_for(epoch)).await;
    }
}

fn forgotten(shared: &Shared, epoch: Epoch) -> Problem {
    if shared.served.epoch().is_none() {
        return Problem::not_ready();
    }
    Problem::gone(format!("epoch {epoch} is not within the history that is kept"))
}

impl Parts {
    fn new(table: Table, filter: Filter) -> Box<Parts> {
        let total = filter.is_all().then(|| table.len());
        Box::new(Parts {
            rows: Rows::of(table, filter),
            found: Vec::new(),
            part: 0,
            sent: 0,
            total,
        })
    }

    async fn total(&mut self) -> usize {
        if let Some(total) = self.total {
            return total;
        }
        let mut rest = None;
        let mut total = 0;
        loop {
            let missing = PART_ROWS_MAX - self.found.len();
            let page = match &mut rest {
                None if missing == 0 => rest.insert(self.rows.clone()).page(usize::MAX),
                None => self.rows.page(missing),
                Some(rest) => rest.page(usize::MAX),
            };
            let Some(page) = page else { break };
            total += page.len();
            if rest.is_none() {
                self.found.extend(page);
            }
            tokio::task::yield_now().await;
        }
        *self.total.insert(total)
    }

    /// The next rows as a list, and whether they are the last.
    async fn write(&mut self) -> (Vec<u8>, bool) {
        let total = self.total().await;
        self.part += 1;
        let end = (self.part * PART_ROWS_MAX).min(total);
        let mut out = vec![b'['];
        let mut found = std::mem::take(&mut self.found).into_iter();
        while self.sent < end {
            let mut page: Vec<_> = found.by_ref().take(TURN_ROWS_MAX).collect();
            if page.is_empty() {
                let Some(next) = self.rows.page((end - self.sent).min(TURN_ROWS_MAX)) else {
                    break;
                };
                page = next;
            }
            for row in &page {
                if out.len() > 1 {
                    out.push(b',');
                }
                write_row(row, &mut out);
            }
            self.sent += page.len();
            tokio::task::yield_now().await;
        }
        out.push(b']');
        (out, self.sent == total)
    }
}
