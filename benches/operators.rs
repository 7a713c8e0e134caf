//! What each operator of the dataflow takes, and what goes from worker to worker between them.
//!
//! ```sh
//! otklik generate --events 1000000 --seed 1 --out DIR
//! cargo run --release --example operators -- DIR 2 100000
//! ```
//!
//! Feeds the files of `generate` to the dataflow of so many workers, in epochs of so many events, and prints
//! what timely logs of it: by operator how often it ran and how long, in microseconds an event, beside what is
//! left for timely itself; and by channel how many records went to another worker, and of what type: within a
//! process they go as they lie in memory. Logging takes time itself: compare within a run.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use dataflows::domain::{Input, Turn};
use dataflows::graph::{self, Base};
use otklik::event::Event;
use otklik::rules::Rules;
use otklik::world;
use timely::dataflow::operators::probe::Probe;
use timely::logging::{StartStop, TimelyEvent, TimelyEventBuilder};

/// So many events are taken in before the dataflow works, as by the engine.
const PIECE: usize = 6_000;

/// What was logged by all workers.
#[derive(Default)]
struct Logged {
    /// By address: its name, how often it was scheduled, and how long it ran.
    operators: BTreeMap<Vec<usize>, (String, usize, Duration)>,
    /// By scope and source: the type that is sent, and how many records went to another worker.
    channels: BTreeMap<(Vec<usize>, usize), (String, i64)>,
    /// How long all of it ran.
    ran: Duration,
}

/// What one worker's events are of.
#[derive(Default)]
struct Log {
    addresses: BTreeMap<usize, (Vec<usize>, String)>,
    channels: BTreeMap<usize, ((Vec<usize>, usize), String)>,
    started: BTreeMap<usize, Duration>,
}

impl Log {
    fn take(&mut self, at: Duration, event: TimelyEvent, logged: &mut Logged) {
        match event {
            TimelyEvent::Operates(of) => drop(self.addresses.insert(of.id, (of.addr, of.name))),
            TimelyEvent::Channels(of) => {
                self.channels.insert(of.id, ((of.scope_addr, of.source.0), of.typ));
            }
            TimelyEvent::Schedule(of) => match of.start_stop {
                StartStop::Start => drop(self.started.insert(of.id, at)),
                StartStop::Stop => {
                    let Some(started) = self.started.remove(&of.id) else { return };
                    let Some((address, name)) = self.addresses.get(&of.id) else { return };
                    let zero = || (name.clone(), 0, Duration::ZERO);
                    let (_, times, ran) =
                        logged.operators.entry(address.clone()).or_insert_with(zero);
                    (*times, *ran) = (*times + 1, *ran + (at - started));
                    // The dataflow itself holds all others.
                    if address.len() == 1 {
                        logged.ran += at - started;
                    }
                }
            },
            TimelyEvent::Messages(of) if of.is_send && of.source != of.target => {
                let Some((channel, typ)) = self.channels.get(&of.channel) else { return };
                let zero = || (typ.clone(), 0);
                logged.channels.entry(channel.clone()).or_insert_with(zero).1 += of.record_count;
            }
            _ => {}
        }
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().context("the first argument is a directory of generate")?;
    let workers = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let of_epoch: usize = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let mut inputs: Vec<Vec<Input>> = Vec::new();
    for name in ["reference.ndjson", "events.ndjson"] {
        let file = std::fs::File::open(Path::new(&directory).join(name))?;
        let mut epoch = Vec::new();
        for line in std::io::BufReader::new(file).lines() {
            epoch.push(Event::parse(line?.as_bytes())?.input());
            if epoch.len() == of_epoch {
                inputs.push(std::mem::take(&mut epoch));
            }
        }
        inputs.push(epoch);
    }
    let events: usize = inputs.iter().map(Vec::len).sum();
    let epochs = inputs.len();
    let logged = Arc::new(Mutex::new(Logged::default()));
    let (inputs, of_all) = (Arc::new(inputs), Arc::clone(&logged));
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (mut log, all) = (Log::default(), Arc::clone(&of_all));
        let mut registry = worker.log_register().expect("logging is not turned off");
        registry.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
            let mut logged = all.lock().expect("no panic");
            for (at, event) in events.iter_mut().flat_map(|events| events.drain(..)) {
                log.take(at, event, &mut logged);
            }
        });
        drop(registry);
        let (index, peers) = (worker.index(), worker.peers());
        let (switches, world) = (world::switches(&Rules::default()), world::world());
        let (mut feed, probe) = worker.dataflow(|scope| {
            let (feed, rows, _) = graph::build(scope, &switches, world, &Base::default());
            (feed, rows.inner.probe().0)
        });
        for (epoch, events) in (1..).zip(inputs.iter()) {
            for (number, input) in events.iter().enumerate().skip(index).step_by(peers) {
                feed.push(Turn::only(number as u64), input.clone());
                if number % PIECE < peers {
                    worker.step();
                }
            }
            feed.advance_to(epoch);
            worker.step_while(|| probe.less_than(&epoch));
        }
    });
    let guards = guards.map_err(anyhow::Error::msg)?;
    drop(guards);
    report(&logged.lock().expect("no panic"), events, epochs);
    Ok(())
}

fn report(logged: &Logged, events: usize, epochs: usize) {
    let micros = |ran: Duration| ran.as_secs_f64() * 1e6;
    let each = |ran: Duration| micros(ran) / events as f64;
    // What a scope takes is what is in it, and its own.
    let scopes: Vec<&Vec<usize>> = logged.channels.keys().map(|(scope, _)| scope).collect();
    let mut operators: Vec<_> = logged
        .operators
        .iter()
        .filter(|(address, _)| address.len() > 1 && !scopes.contains(address))
        .collect();
    operators.sort_by_key(|(_, (_, _, ran))| std::cmp::Reverse(*ran));
    println!("{events} events in {epochs} epochs, {} operators", operators.len());
    println!("{:>10} {:>12} {:>10}  operator", "us/event", "us/epoch", "times");
    for (address, (name, times, ran)) in &operators {
        let per_epoch = micros(*ran) / epochs as f64;
        println!("{:10.3} {per_epoch:12.1} {times:10}  {name} {address:?}", each(*ran));
    }
    let all: Duration = operators.iter().map(|(_, (_, _, ran))| *ran).sum();
    let timely = logged.ran.saturating_sub(all);
    println!("{:10.3} {:12.1} {:>10}  timely", each(timely), micros(timely) / epochs as f64, "");
    println!("\n{:>12} {:>12}  to another worker", "records", "an event");
    for ((scope, source), (typ, records)) in &logged.channels {
        let mut address = scope.clone();
        address.push(*source);
        let name = logged.operators.get(&address).map_or("", |(name, ..)| name);
        println!("{records:12} {:12.3}  {name} {address:?} {typ}", *records as f64 / events as f64);
    }
}
