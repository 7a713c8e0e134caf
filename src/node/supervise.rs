//! The worker's keeper: starts the process, tells it which epochs to close, takes what it reports,
//! and starts it again when it dies or hangs.
//!
//! A worker is replaced whole: the new one begins with the newest checkpoint or the start of the
//! log and reports every row, so nothing it may have said before needs to be known. Until then the last complete epoch is served,
//! and the door goes on as if nothing had happened.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, BufReader};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command as Process};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dataflows::ask::{Answer, Ask};
use dataflows::calendar::Hour;
use dataflows::domain::Epoch;
use dataflows::views::{Row, View};
use tokio::sync::oneshot;
use tracing::{error, info};

use super::status::{Closing, Status, WorkerStage};
use crate::chain::Chain;
use crate::config::{Config, Worker};
use crate::log::Position;
use crate::mesh::{Generation, Mesh, hand};
use crate::protocol::{self, Command, Listener, Report, Seat};
use crate::tether;
use crate::views::{Served, Snapshot, Updates};

/// The first wait before a worker is started again; each time after doubles it.
const RESTART: Duration = Duration::from_millis(100);

/// How long a worker may take to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(2);

/// Questions that may wait for their answers at the same time.
const QUESTIONS_MAX: usize = 64;

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// What the threads around a worker share.
#[derive(Debug)]
pub struct Supervisor {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The latest epoch that the log has closed, and where it ends.
    latest: Option<(Position, Closing)>,
    /// What the present worker is to report before all else, or a later epoch that it begins with.
    first: Option<Closing>,
    /// What the present worker was told to close and has not reported, oldest first, and where the
    /// log goes on after each.
    owed: VecDeque<(Position, Closing)>,
    /// The epoch it was told to close last.
    asked: Option<Epoch>,
    /// Every hour that is told since what it may begin with, by epoch.
    hours: BTreeMap<Epoch, Hour>,
    /// Data directories of nodes that are no more, and where their logs end.
    adopted: Vec<(PathBuf, Position)>,
    /// The latest generation of the cluster that is over, and why.
    over: Option<(u64, String)>,
    /// When it last said something of what it computes, and when anything at all.
    heard: Instant,
    alive: Instant,
    /// Whether what it said is being taken in, which for all rows there are may take long: nothing
    /// else is heard meanwhile.
    taking: bool,
    /// Why it will not be heard of any more.
    lost: Option<String>,
    /// Whether the present worker has reported an epoch, and can be asked.
    answers: bool,
    /// The questions it is still to be told.
    questions: VecDeque<Question>,
    /// Whose they are that it was told, where they are of a cluster.
    told: HashMap<u64, Asker>,
    /// Who waits for which answer.
    waiting: HashMap<u64, Waiting>,
    /// The number of the next question.
    next_question: u64,
    /// Whether somebody waits for the next [`Moment`], and the one that is there for him.
    wanted: bool,
    moment: Option<Moment>,
    /// The node is stopping.
    stopping: bool,
}

/// An epoch that has just been served, as a checkpoint of it needs it.
#[derive(Debug)]
pub struct Moment {
    /// The epoch.
    pub epoch: Epoch,
    /// Where the log goes on after it.
    pub position: Position,
    /// The rows of `survey_sample` and `survey_lists`.
    pub drawn: Vec<Row>,
    /// The digests of all rows.
    pub chain: Chain,
}

/// Who asked in a cluster: the number of the node, and that of the question there.
pub type Asker = (usize, u64);

/// Something to ask the worker.
#[derive(Debug)]
struct Question {
    /// Its number, or who asked in a cluster, and the `upper` as of which all workers answer.
    of: Result<u64, (Asker, Epoch)>,
    ask: Ask,
}

/// Somebody who waits for an answer.
#[derive(Debug)]
struct Waiting {
    reply: oneshot::Sender<Reply>,
    /// The rows as of which this node's own part of the answer is, once that is there.
    rows: Option<Snapshot>,
}

/// An answer, and all rows at its epoch.
#[derive(Debug)]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// The rows.
    pub rows: Snapshot,
}

/// Why a question is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// There is no worker yet that could, or not again.
    #[error("the figures are still being computed from the log")]
    NotReady,
    /// The worker ended meanwhile.
    #[error("the worker ended before it had answered, and is started again")]
    Lost,
    /// So many wait already.
    #[error("{QUESTIONS_MAX} questions wait for their answers already")]
    TooMany,
    /// It takes too long.
    #[error("the worker has not answered within {} s", ANSWER_WAIT.as_secs())]
    Late,
}

/// What there is to do for a worker.
enum Next {
    Ask(u64, Ask),
    Close(Position, Epoch, Vec<(Epoch, Hour)>),
    Stop,
    /// End it, for this reason.
    Replace(String),
}

/// What the supervisor works with.
#[derive(Debug)]
pub struct Post<'a> {
    /// The configuration of the node.
    pub config: &'a Config,
    /// The executable whose subcommand `worker` is the worker.
    pub program: &'a PathBuf,
    /// Where the rows go.
    pub served: &'a Served,
    /// What is told how the worker stands.
    pub status: &'a Status,
    /// The cluster, if the worker is one of several.
    pub mesh: Option<&'a Mesh>,
}

impl Default for Supervisor {
    fn default() -> Supervisor {
        let state = State {
            latest: None,
            first: None,
            owed: VecDeque::new(),
            asked: None,
            hours: BTreeMap::new(),
            adopted: Vec::new(),
            over: None,
            heard: Instant::now(),
            alive: Instant::now(),
            taking: false,
            lost: None,
            answers: false,
            questions: VecDeque::new(),
            told: HashMap::new(),
            waiting: HashMap::new(),
            next_question: 0,
            wanted: false,
            moment: None,
            stopping: false,
        };
        Supervisor { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Supervisor {
    /// The log has closed the epochs below `closing.upper`, all of which is before `end`. Never
    /// waits: where the worker is behind, it is told of the latest only.
    pub fn close(&self, end: Position, closing: Closing) {
        self.lock().latest = Some((end, closing));
        self.changed.notify_all();
    }

    /// These hours are told, each in its epoch: before the log closes that.
    pub fn hours(&self, hours: &[(Epoch, Hour)]) {
        self.lock().hours.extend(hours.iter().copied());
    }

    /// These data directories of nodes that are no more are read too, up to where they end.
    pub fn adopt(&self, adopted: Vec<(PathBuf, Position)>) {
        self.lock().adopted = adopted;
    }

    /// This generation of the cluster is over: its worker is to end.
    pub fn abandon(&self, generation: u64, reason: &str) {
        self.lock().over = Some((generation, reason.to_owned()));
        self.changed.notify_all();
    }

    /// The epoch that the worker was told to close last.
    pub fn asked(&self) -> Option<Epoch> {
        self.lock().asked
    }

    /// Asks the worker, in a cluster those of all nodes, and waits for what they say; the rows are
    /// those of the same epoch.
    ///
    /// # Errors
    /// [`NoAnswer`]; asking again later may help.
    pub async fn ask(&self, mesh: Option<&Mesh>, ask: Ask) -> Result<Reply, NoAnswer> {
        let (number, waiting) = {
            let mut state = self.lock();
            if !state.answers {
                return Err(NoAnswer::NotReady);
            }
            // Who has gone away waits no more.
            state.waiting.retain(|_, waiting| !waiting.reply.is_closed());
            if state.waiting.len() >= QUESTIONS_MAX {
                return Err(NoAnswer::TooMany);
            }
            let number = state.next_question;
            state.next_question += 1;
            let (reply, waiting) = oneshot::channel();
            state.waiting.insert(number, Waiting { reply, rows: None });
            if mesh.is_none() {
                state.questions.push_back(Question { of: Ok(number), ask: ask.clone() });
            }
            (number, waiting)
        };
        match mesh {
            // It comes back with an epoch, as of which everybody answers.
            Some(mesh) => mesh.ask(number, ask),
            None => self.changed.notify_all(),
        }
        match tokio::time::timeout(ANSWER_WAIT, waiting).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(NoAnswer::Lost),
            Err(_) => Err(NoAnswer::Late),
        }
    }

    /// Somebody in the cluster asks, as of `upper`, which the log has not closed yet.
    pub fn asked_by(&self, asker: Asker, upper: Epoch, ask: Ask) {
        let mut state = self.lock();
        if state.answers {
            state.questions.push_back(Question { of: Err((asker, upper)), ask });
        }
    }

    /// All nodes have answered this question.
    pub fn answered(&self, number: u64, answer: Answer) {
        let waiting = self.lock().waiting.remove(&number);
        if let Some(Waiting { reply, rows: Some(rows) }) = waiting {
            // Who asked may have gone away.
            let _ = reply.send(Reply { answer, rows });
        }
    }

    /// The worker that was asked is no more, or is not asked yet.
    fn forget_questions(&self) {
        let mut state = self.lock();
        state.answers = false;
        state.questions.clear();
        state.told.clear();
        state.waiting.clear();
    }

    /// Makes [`Supervisor::run`] stop the worker and return.
    pub fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Waits for the next epoch that is served; `None` once the node stops.
    pub fn moment(&self) -> Option<Moment> {
        let mut state = self.lock();
        state.wanted = true;
        loop {
            if state.stopping {
                return None;
            }
            if let Some(moment) = state.moment.take() {
                return Some(moment);
            }
            state = self.wait(state, PATIENCE);
        }
    }

    /// Waits so long, and no longer than the node runs; true while it does.
    pub fn pause(&self, time: Duration) -> bool {
        let over = Instant::now() + time;
        let mut state = self.lock();
        while !state.stopping {
            let left = over.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self.wait(state, left);
        }
        false
    }

    /// How many epochs the worker owes.
    pub fn owed(&self) -> usize {
        self.lock().owed.len()
    }

    /// Keeps a worker running until [`Supervisor::stop`].
    pub fn run(&self, post: &Post<'_>) {
        let wait_max = Duration::from_millis(post.config.worker.restart_ms_max);
        let mut failures = 0;
        loop {
            // In a cluster the first node waits, for all.
            let pause = post.mesh.map_or(wait_before(failures, wait_max), |_| Duration::ZERO);
            if !self.wait_to_start(pause) {
                return;
            }
            let goes_on = post.served.goes_on_from();
            // What was told in a cluster others may go on from, and so all come to it again.
            let goes_on = goes_on.or(post.mesh.and_then(|_| post.served.epoch()));
            let generation = match post.mesh.map(|mesh| mesh.next_generation(goes_on)) {
                Some(None) => return,
                begun => begun.flatten(),
            };
            if failures > 0 {
                post.status.metrics.worker_restarts.inc();
            }
            let started = Instant::now();
            let number = generation.as_ref().map(|generation| generation.number);
            let outcome = self.keep(post, generation, goes_on);
            self.forget_questions();
            post.status.worker_ended();
            if self.lock().stopping {
                return;
            }
            let reason = outcome.unwrap_or_else(|error| format!("it cannot be started: {error}"));
            // Once more, now that it is known how, and if it was not even started.
            if let (Some(mesh), Some(number)) = (post.mesh, number) {
                mesh.ended(number, &reason);
            }
            error!("the worker is started again, the last figures stay: {reason}");
            failures = if started.elapsed() > 2 * wait_max { 1 } else { failures + 1 };
        }
    }

    /// Waits until there is something to compute, and `pause` is over; false if there will be none.
    fn wait_to_start(&self, pause: Duration) -> bool {
        let over = Instant::now() + pause;
        let mut state = self.lock();
        loop {
            let left = over.saturating_duration_since(Instant::now());
            if state.stopping {
                return false;
            }
            if state.latest.is_some() && left.is_zero() {
                return true;
            }
            let wait = if left.is_zero() { PATIENCE } else { left };
            state = self.wait(state, wait);
        }
    }

    /// Runs one worker to its end; returns why it ended.
    fn keep(
        &self,
        post: &Post<'_>,
        generation: Option<Generation>,
        goes_on: Option<Epoch>,
    ) -> io::Result<String> {
        let (ours, theirs) = UnixStream::pair()?;
        // The other way out of the worker: for its connections to the others, and what each of us
        // notices by that the other is no more.
        let (handing, taking) = UnixStream::pair()?;
        // A group of its own, so that Ctrl-C in a terminal reaches the node only, and in order.
        let mut child = Process::new(post.program)
            .arg("worker")
            .stdin(OwnedFd::from(theirs))
            .stdout(OwnedFd::from(taking))
            .process_group(0)
            .spawn()?;
        info!("worker {} computes from the log", child.id());
        let number = generation.as_ref().map_or(0, |generation| generation.number);
        let (seat, sockets) = match generation {
            Some(Generation { seat, sockets, .. }) => (Some(seat), sockets),
            None => (None, Vec::new()),
        };
        // Without them it ends by itself, and is replaced.
        let given = sockets.iter().map(AsFd::as_fd).chain(tether::ends().iter().map(AsFd::as_fd));
        if let Err(error) = hand::send(&handing, given) {
            error!("the worker does not get its connections: {error}");
        }
        drop(sockets);
        if let Some(mesh) = post.mesh {
            mesh.started(number);
        }
        post.status.worker_started(child.id());
        {
            let mut state = self.lock();
            state.owed.clear();
            let latest = state.latest.map(|(_, closing)| closing.upper);
            let first = goes_on.map(|epoch| epoch + 1).filter(|upper| {
                post.mesh.is_some() || latest.is_some_and(|latest| *upper < latest)
            });
            state.first = first.map(|upper| Closing::past(upper, upper * post.config.epoch_ms));
            (state.asked, state.lost) = (None, None);
            (state.heard, state.alive) = (Instant::now(), Instant::now());
            state.taking = false;
        }
        let reason = thread::scope(|scope| {
            scope.spawn(|| {
                let lost = match self.listen(&ours, post) {
                    Ok(()) => "it closed the connection".to_owned(),
                    Err(error) => format!("the connection failed: {error}"),
                };
                self.lock().lost.get_or_insert(lost);
                self.changed.notify_all();
            });
            scope.spawn(|| {
                let ends = hand::receive(&handing).unwrap_or_default();
                if ends.len() == tether::ENDS {
                    tether::wait(&ends);
                    self.worker_is_no_more();
                }
            });
            let told = self.tell(&ours, post, seat, number);
            let reason = told.unwrap_or_else(|error| format!("it cannot be told: {error}"));
            // Before its memory is free, which may take long.
            info!("worker {} is no more: {reason}", child.id());
            if let Some(mesh) = post.mesh {
                mesh.ended(number, &reason);
            }
            // Ends who listens, whoever else may hold the other ends.
            end(&mut child);
            let _ = ours.shutdown(Shutdown::Both);
            let _ = handing.shutdown(Shutdown::Both);
            reason
        });
        let status = child.wait()?;
        Ok(format!("{reason} ({status})"))
    }

    /// Tells the worker what to do until it is lost or the node stops; returns why that is.
    fn tell(
        &self,
        mut stream: &UnixStream,
        post: &Post<'_>,
        seat: Option<Seat>,
        generation: u64,
    ) -> io::Result<String> {
        let Config { data, workers, rules, worker, .. } = post.config;
        let (first, adopted) = {
            let state = self.lock();
            (state.first.map(|closing| closing.upper), state.adopted.clone())
        };
        let (data, workers, rules) = (data.clone(), *workers, rules.clone());
        let until = seat.as_ref().map_or(0, |seat| seat.until);
        let start = Command::Start { data, adopted, workers, rules, first, seat };
        protocol::send(&mut stream, &start)?;
        loop {
            match self.next(worker, generation, until) {
                Next::Close(end, epoch, hours) => {
                    protocol::send(&mut stream, &Command::Advance { end, epoch, hours })?;
                }
                Next::Ask(number, ask) => {
                    protocol::send(&mut stream, &Command::Ask { number, ask })?;
                }
                Next::Stop => {
                    protocol::send(&mut stream, &Command::Stop)?;
                    self.wait_for_end();
                    return Ok("the node stops".to_owned());
                }
                Next::Replace(reason) => return Ok(reason),
            }
        }
    }

    /// Waits for something to do. Nothing below `until` is to be closed.
    fn next(&self, limits: &Worker, generation: u64, until: Epoch) -> Next {
        let silence_max = Duration::from_secs(limits.silent_seconds);
        let hang_max = Duration::from_secs(limits.hang_seconds);
        let mut state = self.lock();
        loop {
            if let Some(reason) = &state.lost {
                return Next::Replace(reason.clone());
            }
            if let Some((over, reason)) = &state.over
                && *over >= generation
                && generation > 0
            {
                return Next::Replace(reason.clone());
            }
            if state.stopping {
                return Next::Stop;
            }
            let closed = state.asked;
            let is_due = |question: &mut Question| match question.of {
                Ok(_) => true,
                Err((_, upper)) => closed.is_some_and(|closed| closed >= upper),
            };
            if let Some(Question { of, ask }) = state.questions.pop_front_if(is_due) {
                let number = of.unwrap_or_else(|(asker, _)| {
                    let number = state.next_question;
                    state.next_question += 1;
                    state.told.insert(number, asker);
                    number
                });
                return Next::Ask(number, ask);
            }
            // A question waits for the epoch that it is about to be closed by itself.
            let upper = state.questions.front().and_then(|question| question.of.as_ref().err());
            let upper = upper.map_or(Epoch::MAX, |(_, upper)| *upper);
            let latest = state.latest.map(|(end, closing)| {
                (end, Closing { upper: closing.upper.min(upper), ..closing })
            });
            if let Some((end, closing)) = latest
                && closing.upper >= until
                && state.asked.is_none_or(|asked| asked < closing.upper)
                && state.owed.len() < limits.epochs_owed
            {
                if state.owed.is_empty() {
                    state.heard = Instant::now();
                }
                let asked = state.asked.replace(closing.upper).unwrap_or(0);
                let hours = state.hours.range(asked..closing.upper);
                let hours = hours.map(|(epoch, hour)| (*epoch, *hour)).collect();
                state.owed.push_back((end, closing));
                return Next::Close(end, closing.upper, hours);
            }
            let (silence, hang) = state.quiet();
            if !state.owed.is_empty() && silence >= silence_max {
                return Next::Replace(format!("it has said nothing for {} s", silence.as_secs()));
            }
            if hang >= hang_max {
                return Next::Replace(format!("it hangs since {} s", hang.as_secs()));
            }
            let wait = silence_max.saturating_sub(silence).min(hang_max.saturating_sub(hang));
            state = self.wait(state, wait.max(RESTART));
        }
    }

    /// It has ended, perhaps without having closed its connection yet. Where it was told to, the
    /// connection tells.
    fn worker_is_no_more(&self) {
        let mut state = self.lock();
        if !state.stopping {
            state.lost.get_or_insert_with(|| "it has ended".to_owned());
            self.changed.notify_all();
        }
    }

    /// Waits until the worker has closed its end, or for so long as it may take.
    fn wait_for_end(&self) {
        let since = Instant::now();
        let mut state = self.lock();
        while state.lost.is_none() && since.elapsed() < PATIENCE {
            state = self.wait(state, PATIENCE);
        }
    }

    /// Takes reports until the worker closes its end.
    fn listen(&self, stream: &UnixStream, post: &Post<'_>) -> io::Result<()> {
        let mut worker = Listener::new(BufReader::new(stream));
        let mut changes = Updates::default();
        let mut first = true;
        while let Some(report) = worker.hear()? {
            match report {
                Report::Restoring { epoch, bytes, of } => {
                    post.status.worker(WorkerStage::Restoring { epoch, bytes, of });
                }
                Report::Reading { events } => {
                    // Later on it is only behind.
                    if first {
                        post.status.worker(WorkerStage::Replaying { events });
                    }
                }
                Report::Alive => {
                    self.lock().alive = Instant::now();
                    continue;
                }
                Report::Part { changes: part } => changes.add(part),
                Report::Closed { upper, after, changes: part, chain } => {
                    self.lock().taking = true;
                    changes.add(part);
                    let (position, closing) = self.closed(upper)?;
                    let changes = std::mem::take(&mut changes);
                    let epoch = match std::mem::take(&mut first) {
                        true => post.served.replace(upper, changes),
                        false => post.served.apply_after(after, upper, changes),
                    };
                    // In a cluster the first is what was served before, and the rest is still read.
                    let is_current = position.is_some() || post.mesh.is_none();
                    if is_current {
                        post.status.worker(WorkerStage::Running);
                    }
                    if !post.served.digests(epoch).is_some_and(|digests| chain.is_of(&digests)) {
                        let reason = format!("rows and digests of epoch {epoch} do not agree");
                        return Err(io::Error::other(reason));
                    }
                    if let Some(position) = position {
                        self.offer(epoch, position, &chain, post);
                    }
                    post.status.served(closing, *chain);
                    post.status.metrics.epoch_served.set(epoch as i64);
                    self.lock().answers |= is_current;
                }
                Report::Answer { number, answer } => {
                    let rows = post.served.snapshot();
                    let asker = self.lock().told.remove(&number);
                    match (asker, post.mesh) {
                        (Some((process, number)), Some(mesh)) => {
                            if process == mesh.place().0
                                && let Some(waiting) = self.lock().waiting.get_mut(&number)
                            {
                                waiting.rows = rows;
                            }
                            mesh.answer((process, number), *answer);
                        }
                        _ => {
                            if let Some(waiting) = self.lock().waiting.get_mut(&number) {
                                waiting.rows = rows;
                            }
                            self.answered(number, *answer);
                        }
                    }
                }
            }
            let mut state = self.lock();
            (state.heard, state.alive) = (Instant::now(), Instant::now());
            state.taking = false;
        }
        Ok(())
    }

    /// Gives the epoch to who waits for one.
    fn offer(&self, epoch: Epoch, position: Position, chain: &Chain, post: &Post<'_>) {
        if !std::mem::take(&mut self.lock().wanted) {
            return;
        }
        let Some(snapshot) = post.served.snapshot() else { return };
        let views = [View::SurveySample, View::SurveyLists];
        let rows = views.into_iter().flat_map(|view| snapshot.table(view).iter());
        let drawn = rows.map(|row| Row::clone(row)).collect();
        self.lock().moment = Some(Moment { epoch, position, drawn, chain: chain.clone() });
        self.changed.notify_all();
    }

    /// What the worker owed and now has closed: one epoch, or several taken together; or a part of
    /// that, whose place in the log is not known.
    fn closed(&self, upper: Epoch) -> io::Result<(Option<Position>, Closing)> {
        let mut closing = None;
        {
            let mut state = self.lock();
            let is_before_owed = state.owed.front().is_none_or(|(_, owed)| upper < owed.upper);
            match state.first.take() {
                Some(first) if first.upper <= upper && is_before_owed => {
                    return Ok((None, Closing { upper, ..first }));
                }
                _ => {}
            }
            while let Some(owed) = state.owed.pop_front_if(|(_, owed)| owed.upper <= upper) {
                closing = Some(owed);
            }
            if closing.is_none_or(|(_, closing)| closing.upper < upper)
                && let Some((_, owed)) = state.owed.front()
            {
                self.changed.notify_all();
                return Ok((None, Closing { upper, ..*owed }));
            }
        }
        self.changed.notify_all();
        closing
            .filter(|(_, closing)| closing.upper == upper)
            .map(|(position, closing)| (Some(position), closing))
            .ok_or_else(|| io::Error::other(format!("it closed {upper}, which it did not owe")))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl State {
    /// For how long the worker has said nothing of what it computes, and nothing at all, though it
    /// was listened to.
    fn quiet(&self) -> (Duration, Duration) {
        if self.taking {
            return (Duration::ZERO, Duration::ZERO);
        }
        (self.heard.elapsed(), self.alive.elapsed())
    }
}

/// How long to wait after so many failures in a row: nothing after the first.
pub fn wait_before(failures: u32, wait_max: Duration) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => RESTART.saturating_mul(1 << (more - 2).min(20)).min(wait_max),
    }
}

/// Ends the process if it has not ended by itself.
fn end(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(Some(_))) {
        // It can only fail where the process has just ended.
        let _ = child.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten million events on a busy machine: their rows took longer than the wait for a beat, the
    /// worker was replaced, and so was the next.
    #[test]
    fn a_worker_does_not_hang_while_the_node_is_busy_with_what_it_said() {
        let supervisor = Supervisor::default();
        let mut state = supervisor.lock();
        std::thread::sleep(Duration::from_millis(20));
        let long = Duration::from_millis(20);
        assert!(state.quiet().0 >= long && state.quiet().1 >= long);
        state.taking = true;
        assert_eq!(state.quiet(), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_worker_may_close_several_epochs_at_once_but_only_what_it_owes() {
        let supervisor = Supervisor::default();
        let end = Position { segment: 1, offset: 44, sequence: 0 };
        let owe = |upper| supervisor.lock().owed.push_back((end, Closing::now(upper)));
        [5, 7, 9].into_iter().for_each(owe);
        assert_eq!(supervisor.closed(7).expect("owed").1.upper, 7);
        assert_eq!(supervisor.owed(), 1);
        assert!(supervisor.closed(8).is_ok_and(|(position, _)| position.is_none()));
        assert!(supervisor.closed(10).is_err());
        owe(11);
        assert_eq!(supervisor.closed(11).expect("owed").1.upper, 11);
        assert!(supervisor.closed(11).is_err());
    }

    #[test]
    fn a_worker_that_dies_is_started_again_at_once_and_then_ever_later() {
        let waits = (0..9).map(|n| wait_before(n, Duration::from_secs(5)).as_millis());
        assert!(waits.eq([0, 0, 100, 200, 400, 800, 1600, 3200, 5000]));
        assert_eq!(wait_before(u32::MAX, Duration::from_secs(5)), Duration::from_secs(5));
    }
}
