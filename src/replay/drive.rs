//! The replay itself: takes what is due into batches, gives batches to free lanes, and notes what
//! comes back.
//!
//! The schedule stands still for nobody. While all lanes are busy nothing more is taken from the
//! input, so memory is bounded, but every line keeps the time it was given, and its latency counts
//! from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Batcher, Due};
use super::follow::{self, Notice};
use super::input::{self, Chunk, Kind};
use super::lane::{Delivery, Lane};
use super::latency::Latency;
use super::plan::Plan;
use super::report::Report;
use super::schedule::Pace;
use super::tally::Tally;
use crate::lines::LinesError;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// The shortest wait for the next line: timers are no finer.
const TICK_US: u64 = 1_000;
/// How long the start waits for the subscriber to be there.
const SUBSCRIBER_WAIT: Duration = Duration::from_secs(1);
/// How long a stopped replay waits for the last epochs to be seen.
const STOPPED_WAIT: Duration = Duration::from_secs(2);
/// Notices of the subscriber that wait to be taken; each has its time already.
const NOTICES: usize = 1024;

/// How far a replay is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// Bytes of the input files that are read.
    pub bytes_read: u64,
    /// Events that were sent at least once.
    pub sent: u64,
    /// Events that the node has answered for, those it refused included.
    pub acknowledged: u64,
    /// Events that the node refused.
    pub refused: u64,
    /// Batches that were sent again.
    pub retries: u64,
    /// How long the oldest event that is due waits to be sent.
    pub behind: Duration,
    /// How long ago the oldest event was due that is acknowledged and not seen by a subscriber.
    pub views_behind: Duration,
}

/// Replays a plan to its end, to the first batch that cannot be delivered, or until `stop`; then
/// no batch is sent any more, and the answers that are owed are waited for. `progress` is told
/// where it is five times a second.
///
/// # Errors
/// An input file that cannot be opened. All that goes wrong later is in the report.
pub async fn replay(
    plan: Plan,
    progress: watch::Sender<Progress>,
    stop: CancellationToken,
) -> Result<Report, LinesError> {
    let read = Arc::new(AtomicU64::new(0));
    let chunks = input::read_ahead(&plan, &read)?;
    let (sender, mut notices) = mpsc::channel(NOTICES);
    let subscriber = tokio::spawn(follow::follow(plan.node.live(), sender));
    let mut tally = Tally::default();
    let mut latency = Latency::new();
    if let Ok(Some(first)) = tokio::time::timeout(SUBSCRIBER_WAIT, notices.recv()).await {
        notice(first, Instant::now(), &mut tally, &mut latency);
    }
    let mut drive = Drive {
        start: Instant::now(),
        routes: [route(&plan, 1), route(&plan, plan.connections)],
        chunks,
        chunk: Chunk::default(),
        next: 0,
        ended: false,
        cut_short: false,
        flights: JoinSet::new(),
        halt: stop.child_token(),
        stop,
        notices,
        tally,
        latency,
        read,
        progress,
        plan,
    };
    drive.send_all().await;
    drive.await_visible().await;
    drive.tell();
    subscriber.abort();
    let unfinished = drive.cut_short || drive.tally.failure.is_some();
    let stopped = unfinished && drive.stop.is_cancelled();
    Ok(Report::new(&drive.plan, drive.tally, &drive.latency, stopped))
}

/// The lanes of one kind, and the batch that goes next over one of them.
struct Route {
    batcher: Batcher,
    idle: Vec<Lane>,
}

fn route(plan: &Plan, lanes: u16) -> Route {
    let lane = || Lane::new(plan.node.events(), plan.timeout, plan.give_up);
    let idle = (0..lanes).map(|_| lane()).collect();
    Route { batcher: Batcher::new(plan.batch_lines), idle }
}

/// A batch that has been on its way, and the lane it gives back.
struct Flight {
    route: usize,
    lane: Lane,
    lines: u32,
    ratings: u32,
    bytes: u64,
    due: Vec<Due>,
    delivery: Delivery,
}

struct Drive {
    plan: Plan,
    start: Instant,
    /// Reference data over one lane, so that none overtakes another; everything else over many.
    routes: [Route; 2],
    chunks: mpsc::Receiver<Result<Chunk, LinesError>>,
    chunk: Chunk,
    /// The line of `chunk` that comes next.
    next: usize,
    /// Nothing more comes from the input, or is wanted.
    ended: bool,
    /// Lines of the input are left out.
    cut_short: bool,
    flights: JoinSet<Flight>,
    /// Asked to stop from outside.
    stop: CancellationToken,
    /// Stopped for that or for a failure: nothing is sent any more.
    halt: CancellationToken,
    notices: mpsc::Receiver<Notice>,
    tally: Tally,
    latency: Latency,
    read: Arc<AtomicU64>,
    progress: watch::Sender<Progress>,
}

/// What ends a wait.
enum Event {
    Halted,
    Chunk(Option<Result<Chunk, LinesError>>),
    Landed(Flight),
    Notice(Notice),
    Due,
    Tick,
}

impl Drive {
    /// Sends everything there is, and takes every answer.
    async fn send_all(&mut self) {
        let mut ticks = tokio::time::interval(PROGRESS_EVERY);
        let halt = self.halt.clone();
        loop {
            let now_us = self.now_us();
            self.take_due(now_us);
            while self.send_ripe(now_us) {
                self.take_due(now_us);
            }
            let drained = self.next == self.chunk.lines.len();
            if drained && self.ended && self.flights.is_empty() && self.is_nothing_open() {
                return;
            }
            let wake_us = self.wake_us(now_us);
            let wake_at = self.start + Duration::from_micros(wake_us.unwrap_or_default());
            let event = tokio::select! {
                () = halt.cancelled(), if !self.ended || !drained || !self.is_nothing_open() => {
                    Event::Halted
                }
                chunk = self.chunks.recv(), if drained && !self.ended => Event::Chunk(chunk),
                Some(flight) = self.flights.join_next() => {
                    Event::Landed(flight.expect("a delivery does not panic, and none is aborted"))
                }
                Some(notice) = self.notices.recv() => Event::Notice(notice),
                () = tokio::time::sleep_until(wake_at.into()), if wake_us.is_some() => Event::Due,
                _ = ticks.tick() => Event::Tick,
            };
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Halted => self.drop_unsent(),
            Event::Chunk(None) => self.ended = true,
            Event::Chunk(Some(Ok(chunk))) => {
                self.tally.digest = chunk.digest;
                (self.chunk, self.next) = (chunk, 0);
            }
            Event::Chunk(Some(Err(error))) => {
                self.ended = true;
                let error = anyhow::Error::new(error);
                self.tally.failure.get_or_insert_with(|| format!("{error:#}"));
            }
            Event::Landed(flight) => self.land(flight),
            Event::Notice(news) => notice(news, self.start, &mut self.tally, &mut self.latency),
            Event::Due => {}
            Event::Tick => {
                self.tell();
                self.give_up_waiting();
            }
        }
    }

    /// By how much the views are further behind than is allowed, where that is asked.
    fn beyond(&self, now_us: u64) -> Option<Duration> {
        let Pace::Following(lag_s) = self.plan.pace else { return None };
        self.views_behind(now_us).checked_sub(Duration::from_secs(lag_s.into()))
    }

    fn views_behind(&self, now_us: u64) -> Duration {
        let since_us = self.latency.waiting_since_us().unwrap_or(now_us);
        Duration::from_micros(now_us.saturating_sub(since_us))
    }

    /// Whether nothing may be sent until the views have followed.
    fn is_held(&self, now_us: u64) -> bool {
        self.beyond(now_us).is_some()
    }

    /// They may not follow ever: nobody may see them.
    fn give_up_waiting(&mut self) {
        let given_up = self.beyond(self.now_us()).is_some_and(|beyond| beyond > self.plan.give_up);
        if given_up && !self.halt.is_cancelled() {
            let error = self.tally.subscriber_error.as_deref().unwrap_or("the views stand still");
            let failure = format!("what was sent is not seen: {error}");
            self.tally.failure.get_or_insert(failure);
            self.halt.cancel();
        }
    }

    fn now_us(&self) -> u64 {
        since_us(self.start, Instant::now())
    }

    fn is_nothing_open(&self) -> bool {
        self.routes.iter().all(|route| route.batcher.first_due_us().is_none())
    }

    /// Takes lines that are due into the open batches, until one is full.
    fn take_due(&mut self, now_us: u64) {
        while let Some(line) = self.chunk.lines.get(self.next) {
            let due_us = if self.plan.pace.is_closed_loop() { now_us } else { line.due_us };
            let route = &mut self.routes[usize::from(line.kind != Kind::Reference)];
            let text = &self.chunk.text[line.start..line.end];
            if due_us > now_us || !route.batcher.offer(text, line.kind, due_us) {
                return;
            }
            self.next += 1;
        }
    }

    /// Gives batches that wait no longer to lanes that are free; whether there was one.
    fn send_ripe(&mut self, now_us: u64) -> bool {
        if self.is_held(now_us) {
            return false;
        }
        let next_due_us = self.chunk.lines.get(self.next).map(|line| line.due_us);
        let last = next_due_us.is_none() && self.ended;
        let mut sent = false;
        for index in 0..self.routes.len() {
            let route = &mut self.routes[index];
            let Some(ripe_at_us) = route.batcher.ripe_at_us() else { continue };
            // Waiting is for others to come along; nobody does before the time is up.
            let alone = next_due_us.is_some_and(|next_us| next_us > ripe_at_us);
            if ripe_at_us <= now_us || last || alone {
                let Some(lane) = route.idle.pop() else { continue };
                let batch = route.batcher.take();
                self.send(index, lane, batch, now_us);
                sent = true;
            }
        }
        sent
    }

    fn send(&mut self, route: usize, lane: Lane, batch: Batch, now_us: u64) {
        let Batch { body, lines, ratings, mut due } = batch;
        let last_due_us = due.last().map_or(now_us, |due| due.at_us);
        if self.plan.pace.is_closed_loop() {
            due = vec![Due { at_us: now_us, events: lines }];
        }
        self.tally.send(lines, last_due_us, now_us);
        let halt = self.halt.clone();
        self.flights.spawn(async move {
            let bytes = body.len() as u64;
            let delivery = lane.deliver(Bytes::from(body), lines, &halt).await;
            Flight { route, lane, lines, ratings, bytes, due, delivery }
        });
    }

    /// When there is something to do that nothing else wakes us for.
    fn wake_us(&self, now_us: u64) -> Option<u64> {
        if self.is_held(now_us) {
            return None;
        }
        let free = self.routes.iter().filter(|route| !route.idle.is_empty());
        let ripe = free.filter_map(|route| route.batcher.ripe_at_us()).min();
        let line = self.chunk.lines.get(self.next).map(|line| line.due_us);
        // A line that is due already waits for a lane.
        let line = line.filter(|due_us| !self.plan.pace.is_closed_loop() && *due_us > now_us);
        ripe.into_iter().chain(line.map(|due_us| due_us.max(now_us + TICK_US))).min()
    }

    fn land(&mut self, flight: Flight) {
        let Flight { route, lane, lines, ratings, bytes, due, delivery } = flight;
        self.routes[route].idle.push(lane);
        self.tally.retries.add(delivery.retries);
        match delivery.outcome {
            Ok((answer, at)) => {
                let at_us = since_us(self.start, at);
                // One rating at least is in the log, so the row of `conservation` changes.
                let observable = answer.refused.len() < ratings as usize;
                self.latency.acknowledge(due, at_us, answer.epoch, observable);
                self.tally.acknowledge(lines, bytes, at_us, answer);
            }
            Err(undelivered) => {
                self.tally.undelivered(&undelivered);
                self.halt.cancel();
                // At once: no reference data may follow those that are not acknowledged.
                self.drop_unsent();
            }
        }
    }

    /// Lets go of what is not sent yet.
    fn drop_unsent(&mut self) {
        self.chunks.close();
        (self.ended, self.cut_short) = (true, true);
        (self.chunk, self.next) = (Chunk::default(), 0);
        self.routes.iter_mut().for_each(|route| drop(route.batcher.take()));
    }

    /// Waits for the subscriber to see what was acknowledged last.
    async fn await_visible(&mut self) {
        let stop = self.stop.clone();
        let wait = if self.halt.is_cancelled() { STOPPED_WAIT } else { self.plan.give_up };
        let deadline = tokio::time::sleep(wait);
        tokio::pin!(deadline);
        let mut ticks = tokio::time::interval(PROGRESS_EVERY);
        let stopped = stop.is_cancelled();
        while self.latency.is_waiting() {
            let event = tokio::select! {
                notice = self.notices.recv() => match notice {
                    Some(notice) => Event::Notice(notice),
                    None => return,
                },
                () = &mut deadline => return,
                () = stop.cancelled(), if !stopped => return,
                _ = ticks.tick() => Event::Tick,
            };
            self.handle(event);
        }
    }

    fn tell(&self) {
        let now_us = self.now_us();
        let open = self.routes.iter().filter_map(|route| route.batcher.first_due_us());
        let line = self.chunk.lines.get(self.next).map(|line| line.due_us);
        let oldest_us = open.chain(line).min().unwrap_or(now_us);
        let behind_us = match self.plan.pace {
            Pace::Max | Pace::Following(_) => 0,
            _ => now_us.saturating_sub(oldest_us),
        };
        // Nobody may be listening any more, which is nobody's loss.
        self.progress.send_replace(Progress {
            elapsed: Duration::from_micros(now_us),
            bytes_read: self.read.load(Ordering::Relaxed),
            sent: self.tally.sent,
            acknowledged: self.tally.acknowledged,
            refused: self.tally.refused(),
            retries: self.tally.retries.total(),
            behind: Duration::from_micros(behind_us),
            views_behind: self.views_behind(now_us),
        });
    }
}

fn notice(notice: Notice, start: Instant, tally: &mut Tally, latency: &mut Latency) {
    match notice {
        Notice::Seen { epoch, at } => latency.see(epoch, since_us(start, at)),
        Notice::Lost(cause) => tally.subscriber_lost(cause),
    }
}

fn since_us(start: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(start).as_micros()).unwrap_or(u64::MAX)
}
