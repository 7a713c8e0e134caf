//! A dataflow that begins with a checkpoint is the one that read the whole log: at the epoch of the
//! checkpoint and ever after, for any number of workers and a chain of checkpoints on checkpoints.

#[path = "common/histories.rs"]
mod histories;

use std::path::Path;

use dataflows::calendar::Hour;
use dataflows::domain::{Input, Turn};
use dataflows::graph::Base;
use dataflows::views::Row;
use differential_dataflow::consolidation::consolidate;
use histories::{Epoch, History};
use otklik::chain::Chain;
use otklik::checkpoint::{self, Order, Restored};
use otklik::engine::{self, Batch, Feed, Results};
use otklik::event::Event;
use otklik::log::{self, FrameBuilder, Options, Position, Writer};
use otklik::rules::Rules;
use otklik::views::Held;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

/// The epochs of a history as a log, and where each ends. The epoch of a frame is its number, from 1.
fn written(epochs: &[Epoch]) -> (TempDir, Vec<Position>) {
    let data = tempfile::tempdir().expect("a directory for tests");
    let options = Options { segment_bytes: 1 << 20 };
    let (mut writer, _) = Writer::open(data.path(), options, None, |_, _| ()).expect("empty");
    let mut frame = FrameBuilder::new();
    let mut ends = Vec::new();
    for (number, epoch) in (1..).zip(epochs) {
        frame.clear();
        for event in events(epoch) {
            frame.push(&event).expect("room");
        }
        if !frame.is_empty() {
            writer.append(number, &mut frame).expect("room on the disk");
        }
        ends.push(writer.position());
    }
    (data, ends)
}

fn events(epoch: &Epoch) -> impl Iterator<Item = Event<'_>> {
    let parsed = epoch.lines.iter().map(|line| Event::parse(line.as_bytes()).expect("valid"));
    parsed.chain(epoch.clock.map(|hour| Event::Clock(Hour(hour))))
}

/// A dataflow with the rows it has put out.
struct Live {
    feed: Feed,
    results: Results<Held>,
    rows: Vec<(Held, isize)>,
}

impl Live {
    fn from_the_start(workers: usize, rules: &Rules) -> Live {
        let (feed, results) = engine::start(workers, rules, Base::default());
        Live { feed, results, rows: Vec::new() }
    }

    /// Takes in the epoch of a number, and closes it.
    fn take(&mut self, number: u64, epoch: &Epoch) {
        for (sequence, event) in (number << 20..).zip(events(epoch)) {
            match event.input() {
                Input::Clock(hour) => self.feed.tell(hour),
                input => self.feed.batch(Turn::only(sequence), Batch::Inputs(vec![input])),
            }
        }
        self.close(number + 1);
    }

    fn close(&mut self, upper: u64) {
        self.feed.close(upper);
        loop {
            let closed = self.results.next_closed().expect("the feed is open");
            let reached = closed.upper;
            self.rows.append(&mut closed.changes());
            if reached == upper {
                break;
            }
        }
        consolidate(&mut self.rows);
    }

    fn chain(&self) -> Chain {
        let mut chain = Chain::default();
        chain.change(&self.rows);
        chain
    }

    fn order(&self, data: &Path, rules: &Rules, epoch: u64, position: Position) -> Order {
        let is_drawn =
            |row: &&Row| matches!(row, Row::SurveySample { .. } | Row::SurveyList { .. });
        Order {
            data: data.to_owned(),
            rules: rules.clone(),
            workers: 1,
            epoch,
            position,
            drawn: self.rows.iter().map(|(row, _)| row.row()).filter(is_drawn).cloned().collect(),
            chain: self.chain(),
        }
    }
}

/// Histories of the gate; `OTKLIK_HISTORIES` asks for more.
fn histories() -> std::ops::Range<u64> {
    let asked = std::env::var("OTKLIK_HISTORIES").ok().and_then(|count| count.parse().ok());
    0..asked.unwrap_or(24)
}

#[test]
fn what_begins_with_a_checkpoint_goes_on_as_if_it_had_read_all() {
    for seed in histories() {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let history = match seed % 3 {
            0 => History::new(seed),
            _ => History::with_horizon(seed),
        };
        let History { rules, epochs, .. } = &history;
        let (data, ends) = written(epochs);
        let log = log::id(data.path()).expect("written");
        let mut live = Live::from_the_start(2, rules);
        let mut restored: Option<Live> = None;
        for (number, epoch) in (1..).zip(epochs) {
            live.take(number, epoch);
            if let Some(restored) = &mut restored {
                restored.take(number, epoch);
                same(&restored.rows, &live.rows, seed, number);
            }
            if random.random_range(0..4) == 0 {
                let position = ends[number as usize - 1];
                let order = live.order(data.path(), rules, number, position);
                let written = checkpoint::make(&order).expect("it comes to what is live");
                let chosen = checkpoint::choose(data.path(), log, rules).expect("a directory");
                let (path, head) = chosen.expect("it is there");
                assert_eq!((&path, head.epoch), (&written.path, number), "seed {seed}");
                let workers = [1, 2, 4][random.random_range(0..3)];
                let Restored { feed, results, .. } =
                    checkpoint::restore(&path, workers, rules, |_, _| ()).expect("it is whole");
                let mut from_there = Live { feed, results, rows: Vec::new() };
                from_there.close(number + 1);
                same(&from_there.rows, &live.rows, seed, number);
                restored = Some(from_there);
            }
        }
    }
}

/// Shows the rows that differ, not all.
fn same(actual: &[(Held, isize)], expected: &[(Held, isize)], seed: u64, epoch: u64) {
    let mut differing = expected.to_vec();
    differing.extend(actual.iter().map(|(row, count)| (row.clone(), -count)));
    consolidate(&mut differing);
    assert!(
        differing.is_empty(),
        "seed {seed}, epoch {epoch}: missing +, too many -: {differing:?}"
    );
}

/// A damaged checkpoint is passed over for the one before; without any, the log is left.
#[test]
fn damage_falls_back_to_the_checkpoint_before() {
    let history = History::new(1);
    let History { rules, epochs, .. } = &history;
    let (data, ends) = written(epochs);
    let log = log::id(data.path()).expect("written");
    let mut live = Live::from_the_start(1, rules);
    for (number, epoch) in (1..).zip(epochs) {
        live.take(number, epoch);
        let order = live.order(data.path(), rules, number, ends[number as usize - 1]);
        checkpoint::make(&order).expect("it comes to what is live");
    }
    let all = checkpoint::list(data.path()).expect("a directory");
    assert_eq!(all.len(), checkpoint::KEPT.min(epochs.len()), "the newest are kept");
    let choose = |rules| {
        let chosen = checkpoint::choose(data.path(), log, rules).expect("a directory");
        chosen.map(|(path, _)| path)
    };
    for (newest, next) in all.iter().zip(all.iter().skip(1).map(Some).chain([None])) {
        assert_eq!(choose(rules).as_ref(), Some(newest));
        let mut bytes = std::fs::read(newest).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(newest, bytes).expect("room on the disk");
        assert_eq!(choose(rules).as_ref(), next);
    }
    let other = Rules { survey_cap: rules.survey_cap + 1, ..rules.clone() };
    assert_eq!(choose(&other), None, "made under other rules");
}

/// Figures that are not those of the log make no checkpoint.
#[test]
fn a_checkpoint_must_come_to_what_was_live() {
    let history = History::new(2);
    let History { rules, epochs, .. } = &history;
    let (data, ends) = written(epochs);
    let mut live = Live::from_the_start(1, rules);
    for (number, epoch) in (1..).zip(epochs) {
        live.take(number, epoch);
    }
    let last = epochs.len();
    let mut order = live.order(data.path(), rules, last as u64, ends[last - 1]);
    let row = live.rows[0].0.clone();
    order.chain.change(&[(row, 1)]);
    // A process before was killed while it made one.
    let directory = checkpoint::directory(data.path());
    std::fs::create_dir_all(&directory).expect("room");
    std::fs::write(directory.join("00000000000000000001.ckpt.tmp"), "otkli").expect("room");
    let error = checkpoint::make(&order).expect_err("a row too many");
    assert!(error.to_string().contains("other figures"), "{error}");
    let left = directory.read_dir().expect("a directory").count();
    assert_eq!(left, 0, "neither what is wrong nor what is half made stays");
}
