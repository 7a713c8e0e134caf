//! What the first node does for all: tells the epoch, and begins and ends generations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dataflows::ask::{Answer, Ask};
use dataflows::calendar::Hour;
use dataflows::domain::Epoch;
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::{Begin, Down, Ready, Standing, Up, hello};
use crate::clock;
use crate::node::supervise::{Asker, wait_before};
use crate::protocol;

/// How often it is looked whether anything is due.
const LOOK: Duration = Duration::from_millis(50);
/// How often everybody is told how all stand, besides when that changes.
const ROSTER: Duration = Duration::from_millis(500);
/// How long the workers of a generation may take to be there.
const STARTING: Duration = Duration::from_secs(10);
/// A generation that has lived so long did not fail at its start.
const LIVED: Duration = Duration::from_secs(10);
/// By how many epochs what a node has told may differ from what it says that it serves: one that was
/// killed may not remember the last, and one that was slow not have come to them.
const TOLD_EPOCHS: u64 = 16;
/// The longest wait before the next generation.
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// How all nodes stand.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Roster {
    /// The latest generation.
    pub generation: u64,
    /// `gathering`, `starting`, `running`.
    pub phase: String,
    /// Generations that failed since the first node started.
    pub ended: u64,
    /// Why the latest of them did.
    pub error: Option<String>,
    /// By number.
    pub nodes: Vec<Member>,
    /// Who holds the frontier: its number, and why.
    pub frontier: Option<(usize, String)>,
}

/// A node, as the first one sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Member {
    /// Where other nodes reach it.
    pub address: String,
    /// Whether it is there.
    pub connected: bool,
    /// What it said last; none if it has not been there.
    pub standing: Option<Standing>,
    /// Milliseconds since then.
    pub age_ms: u64,
}

/// The first node's part.
#[derive(Debug)]
pub struct Leader {
    silent: Duration,
    told: Arc<clock::Told>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    members: Vec<Seen>,
    phase: Phase,
    generation: u64,
    /// Every hour that any log tells, by epoch.
    hours: BTreeMap<Epoch, Hour>,
    /// Those that were not told to the others yet.
    untold: Vec<(Epoch, Hour)>,
    /// What all were told to close last.
    paced: Epoch,
    /// Generations that failed one soon after the other, all that did, and why the last did.
    failures: u32,
    ended: u64,
    error: Option<String>,
    retry_at: Instant,
    /// Questions that wait for the next epoch, and what nodes have answered to those before: how
    /// many have, and their sum.
    questions: Vec<(Asker, Ask)>,
    answers: HashMap<Asker, (usize, Box<Answer>)>,
    /// Of connections.
    links: u64,
}

#[derive(Debug, Default)]
struct Seen {
    address: String,
    /// The connection to it: which, and the way in.
    link: Option<(u64, Sender<Down>)>,
    ready: Option<Ready>,
    standing: Option<(Standing, Instant)>,
}

#[derive(Debug)]
enum Phase {
    Gathering,
    Starting { since: Instant, started: BTreeSet<usize> },
    Running { since: Instant },
}

impl Leader {
    /// Of nodes at these addresses, each of which is gone when it says nothing for `silent`.
    pub fn new(hosts: Vec<String>, silent: Duration, told: Arc<clock::Told>) -> Leader {
        let members = hosts.into_iter().map(|address| Seen { address, ..Seen::default() });
        let state = State {
            members: members.collect(),
            phase: Phase::Gathering,
            generation: 0,
            hours: BTreeMap::new(),
            untold: Vec::new(),
            paced: 0,
            failures: 0,
            ended: 0,
            error: None,
            retry_at: Instant::now(),
            questions: Vec::new(),
            answers: HashMap::new(),
            links: 0,
        };
        Leader { silent, told, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The first node's log tells an hour.
    pub fn hour(&self, epoch: Epoch, hour: Hour) {
        let mut state = self.state();
        state.hours.insert(epoch, hour);
        state.untold.push((epoch, hour));
    }

    /// The questions that are to be answered as of the next epoch that is closed.
    pub fn questions(&self) -> Vec<(Asker, Ask)> {
        std::mem::take(&mut self.state().questions)
    }

    /// The first node's log has closed everything below `epoch`, and so shall all; and answer these
    /// questions as of that.
    pub fn pace(&self, epoch: Epoch, questions: Vec<(Asker, Ask)>) {
        let mut state = self.state();
        let hours = std::mem::take(&mut state.untold);
        state.paced = epoch;
        state.to_all(&Down::Pace(epoch, hours, questions));
    }

    /// Begins what can begin, and tells how all stand, for as long as the process lives.
    pub fn lead(&self) {
        let mut told_at = Instant::now();
        let mut state = self.state();
        loop {
            state.look();
            if told_at.elapsed() >= ROSTER {
                told_at = Instant::now();
                state.tell_roster();
            }
            state =
                self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Guides a node over its connection until that ends.
    pub fn guide(&self, process: usize, stream: TcpStream) {
        let (down, orders) = mpsc::channel();
        let Ok(mut writer) = stream.try_clone() else { return };
        // Both ends give up on one who neither says nor takes anything.
        let timed = stream.set_read_timeout(Some(self.silent)).is_ok()
            && stream.set_write_timeout(Some(self.silent)).is_ok();
        if !timed {
            return;
        }
        let link = {
            let mut state = self.state();
            state.links += 1;
            let link = state.links;
            if state.members[process].link.is_some() {
                state.end(&format!("node {process} has connected anew"));
            }
            let member = &mut state.members[process];
            (member.link, member.ready) = (Some((link, down)), None);
            link
        };
        info!("node {process} is there");
        let told = thread::Builder::new().name("mesh-guide".to_owned()).spawn(move || {
            for order in orders {
                if protocol::send(&mut writer, &order).is_err() {
                    break;
                }
            }
            // The one who listens notices, and so does the other side.
            let _ = writer.shutdown(Shutdown::Both);
        });
        let lost = match told {
            Ok(_) => self.listen(process, stream),
            Err(error) => error.to_string(),
        };
        let mut state = self.state();
        let member = &mut state.members[process];
        if member.link.as_ref().is_some_and(|(of, _)| *of == link) {
            (member.link, member.ready) = (None, None);
            warn!("node {process} is gone: {lost}");
            state.end(&format!("node {process} is gone: {lost}"));
        }
    }

    /// Takes what a node says until it is gone; returns how that was noticed.
    fn listen(&self, process: usize, mut stream: TcpStream) -> String {
        loop {
            let up = match protocol::receive(&mut stream) {
                Ok(Some(up)) => up,
                Ok(None) => return "it closed the connection".to_owned(),
                Err(error) => return error.to_string(),
            };
            let mut state = self.state();
            match up {
                Up::Ready(ready) => {
                    self.told.at_least(ready.epoch);
                    state.hours.extend(ready.hours.iter().copied());
                    state.members[process].ready = Some(ready);
                    self.changed.notify_all();
                }
                Up::Started(generation) if generation == state.generation => {
                    state.started(process);
                }
                Up::Ended(generation, reason) if generation == state.generation => {
                    state.end(&format!("node {process}: {reason}"));
                }
                Up::Started(_) | Up::Ended(..) => {}
                Up::Ask(number, ask) => state.questions.push(((process, number), ask)),
                Up::Answer(asker, answer) => state.answer(asker, answer),
                Up::Beat(standing) => {
                    self.told.at_least(standing.epoch);
                    state.members[process].standing = Some((standing, Instant::now()));
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Begins a generation if it is time, and ends one that does not come about.
    fn look(&mut self) {
        match &self.phase {
            Phase::Gathering if Instant::now() >= self.retry_at => self.begin(),
            Phase::Starting { since, started } if since.elapsed() > STARTING => {
                let missing: Vec<_> =
                    (0..self.members.len()).filter(|process| !started.contains(process)).collect();
                self.end(&format!("the workers of nodes {missing:?} have not started"));
            }
            Phase::Running { since } if since.elapsed() > LIVED => self.failures = 0,
            _ => {}
        }
    }

    fn begin(&mut self) {
        let ready: Option<Vec<&Ready>> =
            self.members.iter().map(|member| member.ready.as_ref()).collect();
        // Up to what is closed by all, the logs are read as they lie.
        let can_begin = self.paced > 0 && self.members.iter().all(|m| m.link.is_some());
        let Some(ready) = ready.filter(|_| can_begin) else { return };
        let mut logs: Vec<u64> = ready.iter().flat_map(|ready| ready.logs.clone()).collect();
        logs.sort_unstable();
        if logs.windows(2).any(|pair| pair[0] == pair[1]) {
            error!("two nodes have the same log: is one's data directory a copy of another's?");
            self.retry_at = Instant::now() + AGAIN_MAX;
            return;
        }
        let run = match hello::run_number() {
            Ok(run) => run,
            Err(failed) => {
                error!("no generation can begin: {failed}");
                self.retry_at = Instant::now() + AGAIN_MAX;
                return;
            }
        };
        let seen = ready.iter().map(|ready| ready.seen).max().unwrap_or(0);
        self.generation = self.generation.max(seen) + 1;
        let served: Vec<Epoch> = ready.iter().filter_map(|ready| ready.served).collect();
        let begin = Begin {
            generation: self.generation,
            run,
            until: self.paced,
            breaks: breaks(&served, self.paced),
            hours: self.hours.iter().map(|(epoch, hour)| (*epoch, *hour)).collect(),
        };
        info!("generation {} begins with {} nodes", self.generation, self.members.len());
        // All of them are in it.
        self.untold.clear();
        self.phase = Phase::Starting { since: Instant::now(), started: BTreeSet::new() };
        self.members.iter_mut().for_each(|member| member.ready = None);
        self.to_all(&Down::Begin(begin));
        self.tell_roster();
    }

    fn started(&mut self, process: usize) {
        let Phase::Starting { started, .. } = &mut self.phase else { return };
        started.insert(process);
        if started.len() == self.members.len() {
            info!("generation {} has all its workers", self.generation);
            self.phase = Phase::Running { since: Instant::now() };
            self.tell_roster();
        }
    }

    /// What has begun is over.
    fn end(&mut self, reason: &str) {
        if matches!(self.phase, Phase::Gathering) {
            return;
        }
        warn!("generation {} is over: {reason}", self.generation);
        self.phase = Phase::Gathering;
        self.failures += 1;
        self.ended += 1;
        self.error = Some(reason.to_owned());
        self.retry_at = Instant::now() + wait_before(self.failures, AGAIN_MAX);
        // Who asked is told by its own worker's end.
        self.questions.clear();
        self.answers.clear();
        // Whoever is ready says so once more: its worker of this generation may still live.
        self.members.iter_mut().for_each(|member| member.ready = None);
        self.to_all(&Down::End(self.generation, reason.to_owned()));
        self.tell_roster();
    }

    fn tell_roster(&self) {
        self.to_all(&Down::Roster(self.roster()));
    }

    /// A node has answered its part of a question; the last one completes it.
    fn answer(&mut self, asker: Asker, part: Box<Answer>) {
        let (count, answer) = self.answers.entry(asker).or_default();
        *count += 1;
        answer.add(*part);
        if *count == self.members.len()
            && let Some((_, answer)) = self.answers.remove(&asker)
            && let Some((_, link)) = &self.members[asker.0].link
        {
            // One that is gone does not wait for it.
            let _ = link.send(Down::Answer(asker.1, answer));
        }
    }

    fn to_all(&self, down: &Down) {
        for (_, link) in self.members.iter().filter_map(|member| member.link.as_ref()) {
            // One that is gone is noticed by who listens to it.
            let _ = link.send(down.clone());
        }
    }

    fn roster(&self) -> Roster {
        let nodes: Vec<Member> = self
            .members
            .iter()
            .map(|member| Member {
                address: member.address.clone(),
                connected: member.link.is_some(),
                standing: member.standing.as_ref().map(|(standing, _)| standing.clone()),
                age_ms: member
                    .standing
                    .as_ref()
                    .map_or(0, |(_, at)| at.elapsed().as_millis() as u64),
            })
            .collect();
        Roster {
            generation: self.generation,
            phase: self.phase.name().to_owned(),
            ended: self.ended,
            error: self.error.clone(),
            frontier: holder(&nodes),
            nodes,
        }
    }
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Phase::Gathering => "gathering",
            Phase::Starting { .. } => "starting",
            Phase::Running { .. } => "running",
        }
    }
}

/// Epochs that all workers close by themselves, of nodes that have served these: each that any node
/// may have told its readers, who may be at another when it is computed again.
fn breaks(served: &[Epoch], until: Epoch) -> Vec<Epoch> {
    let mut breaks: BTreeSet<Epoch> = served.iter().map(|served| served + 1).collect();
    if let (Some(least), Some(most)) = (served.iter().min(), served.iter().max()) {
        let from = *least.max(&most.saturating_sub(TOLD_EPOCHS)) + 1;
        breaks.extend(from..(most + 1 + TOLD_EPOCHS).min(until));
    }
    breaks.insert(until);
    breaks.into_iter().collect()
}

/// Who holds the frontier back, and why; none where nobody does.
fn holder(nodes: &[Member]) -> Option<(usize, String)> {
    let away = nodes.iter().position(|node| !node.connected);
    if let Some(process) = away {
        return Some((process, "it is not there".to_owned()));
    }
    let standing = |node: &Member| node.standing.clone();
    let all: Vec<Standing> = nodes.iter().map(standing).collect::<Option<_>>()?;
    if let Some((process, one)) = all.iter().enumerate().find(|(_, one)| one.log != "open") {
        return Some((process, format!("its log is {}", one.log)));
    }
    if let Some((process, one)) = all.iter().enumerate().find(|(_, one)| one.worker != "running") {
        return Some((process, format!("its worker is {}", one.worker)));
    }
    let (process, behind) = all.iter().enumerate().min_by_key(|(_, one)| one.asked)?;
    let ahead = all.iter().map(|one| one.epoch).max()?;
    let owes = ahead.saturating_sub(behind.asked?);
    (owes > 5).then(|| (process, format!("its worker is {owes} epochs behind")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(served: u64) -> Member {
        let standing = Standing {
            epoch: 100,
            asked: Some(served),
            log: "open".to_owned(),
            worker: "running".to_owned(),
            ..Standing::default()
        };
        Member { connected: true, standing: Some(standing), ..Member::default() }
    }

    #[test]
    fn who_holds_the_frontier_is_named() {
        assert_eq!(holder(&[node(100), node(99)]), None);
        let named = |nodes: &[Member]| holder(nodes).map(|(process, _)| process);
        assert_eq!(named(&[node(100), node(80), node(90)]), Some(1));
        let mut away = node(100);
        away.connected = false;
        assert_eq!(named(&[node(10), node(100), away]), Some(2));
        let mut reading = node(100);
        reading.standing.as_mut().expect("there").worker = "replaying".to_owned();
        assert_eq!(named(&[node(100), reading]), Some(1));
    }

    #[test]
    fn what_a_node_may_have_told_is_computed_by_itself() {
        assert_eq!(breaks(&[], 100), [100]);
        // Up to some epochs after what is known, but not while figures stood still for long.
        let expected: Vec<Epoch> = (71..74 + TOLD_EPOCHS).chain([10_000]).collect();
        assert_eq!(breaks(&[73, 70, 72], 10_000), expected);
        // A node with an old disk.
        let expected: Vec<Epoch> = [4].into_iter().chain(74 - TOLD_EPOCHS..=80).collect();
        assert_eq!(breaks(&[73, 3], 80), expected);
    }

    /// The life of a generation, as the first node sees it.
    #[test]
    fn a_generation_needs_all_and_ends_with_any() {
        let leader = Leader::new(
            vec!["a".to_owned(), "b".to_owned()],
            Duration::from_secs(1),
            Arc::default(),
        );
        let mut state = leader.state();
        let (to_first, first) = mpsc::channel();
        let (to_second, second) = mpsc::channel();
        state.members[0].link = Some((1, to_first));
        state.members[1].link = Some((2, to_second));
        state.paced = 80;
        state.members[0].ready = Some(Ready { seen: 4, served: Some(70), ..Ready::default() });
        let next = |orders: &mpsc::Receiver<Down>| {
            orders.try_iter().find(|order| !matches!(order, Down::Roster(_)))
        };
        state.look();
        assert!(next(&first).is_none(), "one is not ready");
        let hours = vec![(60, Hour(5))];
        state.hours.extend(hours.iter().copied());
        state.members[1].ready = Some(Ready { logs: vec![1], hours, ..Ready::default() });
        state.look();
        for orders in [&first, &second] {
            let Some(Down::Begin(begin)) = next(orders) else { panic!("it begins") };
            assert_eq!((begin.generation, begin.until), (5, 80));
            assert_eq!(begin.breaks, Vec::from_iter(71..=80));
            assert_eq!(begin.hours, [(60, Hour(5))]);
        }
        state.started(1);
        assert_eq!(state.phase.name(), "starting");
        state.started(0);
        assert_eq!(state.phase.name(), "running");
        state.end("node 1: killed");
        assert!(matches!(next(&second), Some(Down::End(5, reason)) if reason.contains("killed")));
        state.look();
        assert!(next(&second).is_none(), "nobody is ready");
        for member in &mut state.members {
            member.ready = Some(Ready { logs: vec![7], ..Ready::default() });
        }
        state.look();
        assert!(next(&second).is_none(), "both have the same log");
    }
}
