//! A cluster: nodes that compute together, and share one fate.
//!
//! Every node has its log, its door, its served views and a worker; the workers form one timely
//! cluster, over connections that the nodes make and hand to them. The first node guides the
//! others: it tells the epoch ([`Down::Pace`]), so that all close the same ones, and it begins and
//! ends *generations*. A generation is one life of all workers together. It begins when every node
//! is there and has no worker; when any worker, node or connection fails, it ends for all, and the
//! next begins from the logs. Meanwhile nodes accept, answer and serve the last epoch.
//!
//! - [`hello`] says who is there, on every connection; whoever else connects changes nothing
//! - [`lead`] is what only the first node does
//! - [`Mesh`] is a node's side: it follows the first node (which follows itself, over loopback)
//! - [`hand`] gives the connections to the worker

pub mod hand;
pub mod hello;
pub mod lead;

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dataflows::ask::{Answer, Ask};
use dataflows::calendar::Hour;
use dataflows::domain::Epoch;
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use crate::clock;
use crate::config::Config;
use crate::node::commit::Work;
use crate::node::status::Status;
use crate::node::supervise::{Asker, Supervisor};
use crate::protocol::{self, Seat};
use hello::{HelloError, Identity, Purpose};
use lead::{Leader, Roster};

/// How often a node says how it stands.
const BEAT: Duration = Duration::from_millis(200);
/// How long to wait before connecting again: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long the connections of a generation may take.
const CONNECTING: Duration = Duration::from_secs(3);
/// Connections that are being heard out at a time; more are dropped.
const STRANGERS_MAX: usize = 64;

/// Node → first node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Up {
    /// It has no worker, and could have one.
    Ready(Ready),
    /// Its worker of this generation is there.
    Started(u64),
    /// Its worker of this generation is no more, and why.
    Ended(u64, String),
    /// How it stands.
    Beat(Standing),
    /// A question to the workers of all, by its number there.
    Ask(u64, Ask),
    /// Its worker's part of the answer.
    Answer(Asker, Box<Answer>),
}

/// What the first node must know of a node to begin a generation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ready {
    /// The latest generation it has heard of.
    pub seen: u64,
    /// The epoch it serves, and wants to go on from.
    pub served: Option<Epoch>,
    /// The hours in its logs.
    pub hours: Vec<(Epoch, Hour)>,
    /// The numbers of its logs.
    pub logs: Vec<u64>,
    /// The latest epoch it has stamped.
    pub epoch: Epoch,
}

/// How a node stands, as everybody is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Where it answers HTTP.
    pub http: String,
    /// The epoch that is open for events there.
    pub epoch: Epoch,
    /// The epoch that its worker was told to close last.
    pub asked: Option<Epoch>,
    /// The epoch it serves.
    pub served: Option<Epoch>,
    /// The stages of its log and worker.
    pub log: String,
    /// As above.
    pub worker: String,
    /// Events in its log, with those of logs it has adopted.
    pub log_events: u64,
    /// Bytes of it.
    pub log_bytes: u64,
    /// Times its worker was started again.
    pub restarts: u64,
    /// Why a worker of it ended last.
    pub error: Option<String>,
}

impl Standing {
    /// How a node stands that answers HTTP at `http`.
    pub fn of(status: &Status, supervisor: &Supervisor, http: SocketAddr) -> Standing {
        let standing = status.standing();
        let metrics = &status.metrics;
        Standing {
            http: http.to_string(),
            epoch: metrics.epoch_closed.get() as Epoch,
            asked: supervisor.asked(),
            served: standing.served.map(|served| served.epoch()),
            log: standing.log.name().to_owned(),
            worker: standing.worker.name().to_owned(),
            log_events: metrics.log_events.get() as u64,
            log_bytes: metrics.log_bytes.get() as u64,
            restarts: metrics.worker_restarts.get(),
            error: None,
        }
    }
}

/// First node → node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Down {
    /// A generation begins: connect, and start the worker.
    Begin(Begin),
    /// Everything below this epoch is to be closed; these hours were told since the last time; and
    /// these questions are to be answered as of this epoch.
    Pace(Epoch, Vec<(Epoch, Hour)>, Vec<(Asker, Ask)>),
    /// The answer of all to a question of this node.
    Answer(u64, Box<Answer>),
    /// The generation is over for all, and why.
    End(u64, String),
    /// How all nodes stand.
    Roster(Roster),
}

/// A generation that begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begin {
    /// Its number: greater than those before.
    pub generation: u64,
    /// A number that only its nodes know.
    pub run: u128,
    /// What is below was closed by all nodes before.
    pub until: Epoch,
    /// Epochs that all workers close by themselves, that one among them.
    pub breaks: Vec<Epoch>,
    /// The hours told so far.
    pub hours: Vec<(Epoch, Hour)>,
}

/// What a worker of a generation is started with.
#[derive(Debug)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// The worker's place.
    pub seat: Seat,
    /// To all other nodes, in their order.
    pub sockets: Vec<TcpStream>,
}

/// A node's side of its cluster.
#[derive(Debug)]
pub struct Mesh {
    identity: Identity,
    hosts: Vec<String>,
    silent: Duration,
    http: SocketAddr,
    told: Arc<clock::Told>,
    status: Arc<Status>,
    supervisor: Arc<Supervisor>,
    log: SyncSender<Work>,
    /// What only the first node does.
    leader: Option<Arc<Leader>>,
    link: Mutex<Option<TcpStream>>,
    state: Mutex<State>,
    changed: Condvar,
    strangers: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// What the logs had in them when they were opened; none before.
    found: Option<Found>,
    /// Whether there is no worker and one could start, and the epoch that it is to go on from.
    waiting: bool,
    served: Option<Epoch>,
    /// A generation that the supervisor has not taken up.
    begin: Option<Begin>,
    /// Connections of generations that begin, by generation, run and node.
    incoming: HashMap<(u64, u128, usize), TcpStream>,
    /// The latest generation that was heard of, and the latest that is over.
    seen: u64,
    over: u64,
    /// Why a worker ended last.
    error: Option<String>,
    roster: Option<Roster>,
    stopping: bool,
}

/// What was found in the logs of a node.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The hours in them.
    pub hours: Vec<(Epoch, Hour)>,
    /// Their numbers.
    pub logs: Vec<u64>,
}

impl Mesh {
    /// A node's side of the cluster that the configuration describes: it has the port when this
    /// returns, and connects meanwhile.
    ///
    /// # Errors
    /// The port cannot be had, or a thread.
    pub fn start(
        config: &Config,
        http: SocketAddr,
        told: Arc<clock::Told>,
        status: Arc<Status>,
        supervisor: Arc<Supervisor>,
        log: SyncSender<Work>,
    ) -> io::Result<Arc<Mesh>> {
        let cluster = &config.cluster;
        let own = if cluster.listen.is_empty() {
            &cluster.hosts[cluster.process]
        } else {
            &cluster.listen
        };
        let listener = TcpListener::bind(own).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen for other nodes on {own}: {error}"))
        })?;
        let silent = Duration::from_millis(cluster.silent_ms);
        let leader = (cluster.process == 0)
            .then(|| Arc::new(Leader::new(cluster.hosts.clone(), silent, Arc::clone(&told))));
        let mesh = Arc::new(Mesh {
            identity: Identity {
                cluster: cluster.name.clone(),
                secret: cluster.secret.clone(),
                configuration: config.in_common(),
                process: cluster.process,
                processes: cluster.hosts.len(),
            },
            hosts: cluster.hosts.clone(),
            silent,
            http,
            told,
            status,
            supervisor,
            log,
            leader,
            link: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            strangers: AtomicUsize::new(0),
        });
        info!("{:?}, other nodes on {own}", mesh.identity);
        spawn("mesh-accept", &mesh, move |mesh| mesh.accept(&listener))?;
        spawn("mesh-follow", &mesh, |mesh| mesh.follow())?;
        spawn("mesh-beat", &mesh, |mesh| mesh.beat())?;
        if let Some(leader) = mesh.leader.clone() {
            thread::Builder::new().name("mesh-lead".to_owned()).spawn(move || leader.lead())?;
        }
        Ok(mesh)
    }

    /// The first node's part, at the first node.
    pub fn leader(&self) -> Option<&Leader> {
        self.leader.as_deref()
    }

    /// The logs are open, and this was found in them.
    pub fn found(&self, found: Found) {
        self.state().found = Some(found);
        self.say_ready();
    }

    /// Waits for the next generation, and connects to all others of it; `None` once the node stops.
    /// `served` is the epoch that the node goes on from: all workers will close it by itself.
    pub fn next_generation(&self, served: Option<Epoch>) -> Option<Generation> {
        loop {
            {
                let mut state = self.state();
                (state.waiting, state.served) = (true, served);
            }
            self.say_ready();
            let begin = {
                let mut state = self.state();
                loop {
                    if state.stopping {
                        return None;
                    }
                    if let Some(begin) = state.begin.take() {
                        state.waiting = false;
                        break begin;
                    }
                    state = self.wait(state, Duration::from_secs(1));
                }
            };
            let number = begin.generation;
            match self.sockets(&begin) {
                Ok(sockets) => {
                    let Identity { process, processes, .. } = self.identity;
                    let Begin { until, breaks, .. } = begin;
                    let seat = Seat { process, processes, until, breaks };
                    return Some(Generation { number, seat, sockets });
                }
                Err(error) => {
                    warn!("generation {number} does not come about: {error}");
                    self.ended(number, &error.to_string());
                }
            }
        }
    }

    /// The worker of this generation is there.
    pub fn started(&self, generation: u64) {
        self.say(&Up::Started(generation));
    }

    /// The worker of this generation is no more.
    pub fn ended(&self, generation: u64, reason: &str) {
        self.state().error = Some(reason.to_owned());
        self.say(&Up::Ended(generation, reason.to_owned()));
    }

    /// Puts a question to the workers of all nodes.
    pub fn ask(&self, number: u64, ask: Ask) {
        self.say(&Up::Ask(number, ask));
    }

    /// This node's part of an answer.
    pub fn answer(&self, asker: Asker, answer: Answer) {
        self.say(&Up::Answer(asker, Box::new(answer)));
    }

    /// How all nodes stand, as the first node has told last; none while it is away.
    pub fn roster(&self) -> Option<Roster> {
        let is_linked = self.link().is_some();
        self.state().roster.clone().filter(|_| is_linked)
    }

    /// This node's number, and the addresses of all.
    pub fn place(&self) -> (usize, &[String]) {
        (self.identity.process, &self.hosts)
    }

    /// Ends everything: nothing begins any more.
    pub fn stop(&self) {
        self.state().stopping = true;
        self.changed.notify_all();
        if let Some(link) = &*self.link() {
            // It may be broken already.
            let _ = link.shutdown(Shutdown::Both);
        }
    }

    fn is_stopping(&self) -> bool {
        self.state().stopping
    }

    /// Connects to all nodes before this one, and waits for those after it.
    fn sockets(&self, begin: &Begin) -> Result<Vec<TcpStream>, HelloError> {
        let until = Instant::now() + CONNECTING;
        let purpose = Purpose { generation: begin.generation, run: begin.run };
        let mut sockets = Vec::new();
        for to in 0..self.identity.process {
            sockets.push(self.connect(to, purpose)?);
        }
        for from in self.identity.process + 1..self.identity.processes {
            let mut state = self.state();
            let key = (begin.generation, begin.run, from);
            let socket = loop {
                if let Some(socket) = state.incoming.remove(&key) {
                    break socket;
                }
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() || state.stopping || state.over >= begin.generation {
                    let what = format!("node {from} has not connected");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, what).into());
                }
                state = self.wait(state, left);
            };
            sockets.push(socket);
        }
        Ok(sockets)
    }

    fn connect(&self, to: usize, purpose: Purpose) -> Result<TcpStream, HelloError> {
        let addresses: Vec<SocketAddr> = self.hosts[to].to_socket_addrs()?.collect();
        self.identity.connect(&addresses, to, purpose)
    }

    /// Hears out whoever connects.
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.is_stopping() {
                return;
            }
            let Ok(stream) = stream else {
                // Out of files, most likely: that passes.
                thread::sleep(AGAIN.0);
                continue;
            };
            if self.strangers.fetch_add(1, Ordering::Relaxed) >= STRANGERS_MAX {
                self.strangers.fetch_sub(1, Ordering::Relaxed);
                debug!("a connection is dropped: {STRANGERS_MAX} others are being heard out");
                continue;
            }
            let mesh = Arc::clone(self);
            let heard = thread::Builder::new().name("mesh-hello".to_owned()).spawn(move || {
                let peer = stream.peer_addr();
                let accepted =
                    mesh.identity.accept(stream, |from, purpose| mesh.wants(from, purpose));
                mesh.strangers.fetch_sub(1, Ordering::Relaxed);
                match accepted {
                    Ok((from, Purpose::CONTROL, stream)) => {
                        if let Some(leader) = &mesh.leader {
                            leader.guide(from, stream);
                        }
                    }
                    Ok((from, purpose, stream)) => mesh.came(from, purpose, stream),
                    Err(error) => {
                        let peer = peer.map_or_else(|_| "somebody".to_owned(), |p| p.to_string());
                        info!("a connection from {peer} is dropped: {error}");
                    }
                }
            });
            if heard.is_err() {
                self.strangers.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether there is anything here for a node that wants this.
    fn wants(&self, from: usize, purpose: Purpose) -> bool {
        if purpose == Purpose::CONTROL {
            return self.leader.is_some();
        }
        let state = self.state();
        // It may have heard of its generation before this node has.
        from > self.identity.process
            && purpose.generation >= state.seen
            && purpose.generation > state.over
    }

    fn came(&self, from: usize, purpose: Purpose, stream: TcpStream) {
        let mut state = self.state();
        state.incoming.insert((purpose.generation, purpose.run, from), stream);
        self.changed.notify_all();
    }

    /// Follows the first node for as long as this node runs.
    fn follow(&self) {
        let mut wait = AGAIN.0;
        let mut said = String::new();
        while !self.is_stopping() {
            match self.connect(0, Purpose::CONTROL).and_then(|stream| {
                stream.set_read_timeout(Some(self.silent))?;
                stream.set_write_timeout(Some(self.silent))?;
                Ok((stream.try_clone()?, stream))
            }) {
                Ok((reader, writer)) => {
                    info!("the first node is there");
                    (wait, said) = (AGAIN.0, String::new());
                    *self.link() = Some(writer);
                    self.say_ready();
                    let lost = self.listen(reader);
                    if let Some(link) = self.link().take() {
                        // The other side may have closed it.
                        let _ = link.shutdown(Shutdown::Both);
                    }
                    self.told.follow(false);
                    let seen = self.state().seen;
                    self.over(seen, &format!("the first node is gone: {lost}"));
                    if !self.is_stopping() {
                        warn!("the first node is gone ({lost}); this one goes on by itself");
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    if error != said && !self.is_stopping() {
                        warn!("cannot reach the first node at {}: {error}", self.hosts[0]);
                        said = error;
                    }
                    thread::sleep(wait);
                    wait = (wait * 2).min(AGAIN.1);
                }
            }
        }
    }

    /// Does what the first node says, until it is gone; returns how that was noticed.
    fn listen(&self, mut stream: TcpStream) -> String {
        loop {
            match protocol::receive(&mut stream) {
                Ok(Some(Down::Begin(begin))) => {
                    info!("generation {} begins", begin.generation);
                    self.supervisor.hours(&begin.hours);
                    let mut state = self.state();
                    state.seen = state.seen.max(begin.generation);
                    let over = state.over;
                    state.incoming.retain(|(generation, ..), _| *generation > over);
                    state.begin = Some(begin);
                    self.changed.notify_all();
                }
                Ok(Some(Down::Answer(number, answer))) => {
                    self.supervisor.answered(number, *answer);
                }
                Ok(Some(Down::Pace(epoch, hours, questions))) => {
                    self.supervisor.hours(&hours);
                    self.told.at_least(epoch);
                    // The first node's log has closed this epoch, and knows the questions.
                    if self.leader.is_none() {
                        for (asker, ask) in questions {
                            self.supervisor.asked_by(asker, epoch, ask);
                        }
                        self.told.follow(true);
                        // A queue that is full is being worked off, and this is looked at then.
                        let _ = self.log.try_send(Work::Pace);
                    }
                }
                Ok(Some(Down::End(generation, reason))) => self.over(generation, &reason),
                Ok(Some(Down::Roster(roster))) => self.state().roster = Some(roster),
                Ok(None) => return "it closed the connection".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    }

    /// This generation is over, and those before it.
    fn over(&self, generation: u64, reason: &str) {
        {
            let mut state = self.state();
            state.over = state.over.max(generation);
            state.seen = state.seen.max(generation);
            state.begin.take_if(|begin| begin.generation <= generation);
            state.incoming.retain(|(of, ..), _| *of > generation);
        }
        self.changed.notify_all();
        self.supervisor.abandon(generation, reason);
        self.say_ready();
    }

    /// Tells the first node that a generation may begin, if that is so.
    fn say_ready(&self) {
        let ready = {
            let state = self.state();
            let Some(found) = state.found.as_ref().filter(|_| state.waiting) else { return };
            Ready {
                seen: state.seen,
                served: state.served,
                hours: found.hours.clone(),
                logs: found.logs.clone(),
                epoch: self.status.metrics.epoch_closed.get() as Epoch,
            }
        };
        self.say(&Up::Ready(ready));
    }

    fn say(&self, up: &Up) {
        let mut link = self.link();
        if let Some(stream) = &mut *link
            && protocol::send(stream, up).is_err()
        {
            // Who listens notices, and connects again.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Says how this node stands, again and again.
    fn beat(&self) {
        while !self.is_stopping() {
            thread::sleep(BEAT);
            let standing = Standing::of(&self.status, &self.supervisor, self.http);
            let error = self.state().error.clone();
            self.say(&Up::Beat(Standing { error, ..standing }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self) -> MutexGuard<'_, Option<TcpStream>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

fn spawn(
    name: &str,
    mesh: &Arc<Mesh>,
    run: impl FnOnce(Arc<Mesh>) + Send + 'static,
) -> io::Result<()> {
    let mesh = Arc::clone(mesh);
    thread::Builder::new().name(name.to_owned()).spawn(move || run(mesh)).map(drop)
}
