//! Tables, pages and subscriptions against a plain map, over random histories.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::calendar::Day;
use dataflows::domain::Epoch;
use dataflows::id::Id;
use dataflows::views::{Row, View};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::json;
use crate::views::digest::Digest;
use crate::views::row_json::{write_key, write_row};
use crate::views::rows::cursor;
use crate::views::{Bounds, Change, Filter, Lost, Position, Rows, Served, Step, Subscription};

/// A history of so many changes, however old.
fn changes(changes_max: usize) -> Bounds {
    Bounds { changes_max, epochs_max: u64::MAX }
}

fn sample_row(unit: u8, record: u16, order: u32) -> Row {
    let unit = Id::of(&format!("U{unit}"));
    Row::SurveySample { unit, day: Day(0), record: u64::from(record), order }
}

/// A batch that makes `held` into what `set` says of some keys.
fn batch(
    held: &mut BTreeMap<(u8, u16), u32>,
    set: &BTreeMap<(u8, u16), Option<u32>>,
) -> Vec<(Row, i64)> {
    let mut changes = Vec::new();
    for (&(unit, record), &new) in set {
        let old = match new {
            Some(order) => held.insert((unit, record), order),
            None => held.remove(&(unit, record)),
        };
        if old != new {
            changes.extend(new.map(|order| (sample_row(unit, record, order), 1)));
            changes.extend(old.map(|order| (sample_row(unit, record, order), -1)));
        }
    }
    changes
}

fn table_rows(served: &Served, filter: Filter, page: usize) -> Vec<(String, Row)> {
    let snapshot = served.snapshot().expect("an epoch is complete");
    let mut rows = Rows::new(&snapshot, filter.clone());
    let mut all = Vec::new();
    while let Some(some) = rows.page(page) {
        assert!(some.len() <= page);
        all.extend(some.iter().map(|row| (cursor(row), row.row().clone())));
        // As a reader that comes back with the cursor of its last row.
        if let Some((last, _)) = all.last().filter(|_| !some.is_empty()) {
            let again = Rows::new(&snapshot, filter.clone());
            rows = again.after(last).expect("our own cursor");
        }
    }
    all
}

type Sets = BTreeMap<(u8, u16), Option<u32>>;

fn sets(records: u16, size: usize) -> impl Strategy<Value = Sets> {
    prop::collection::btree_map(
        (0_u8..3, 0..records),
        prop_oneof![3 => (0_u32..3).prop_map(Some), 1 => Just(None)],
        0..size,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A table is the map it was made of, at every size, however it is read.
    #[test]
    fn a_table_is_a_sorted_map(history in prop::collection::vec(sets(400, 600), 1..6), page in 1_usize..700) {
        let served = Served::new(changes(0));
        let mut held = BTreeMap::new();
        served.replace(1, Vec::new());
        let mut kept = Vec::new();
        for (epoch, set) in history.iter().enumerate() {
            served.apply(epoch as u64 + 2, batch(&mut held, set));
            kept.push((served.snapshot().expect("an epoch is complete"), held.clone()));
        }
        // What a reader keeps stays as it was.
        for (snapshot, held) in kept {
            let rows = held.iter().map(|((unit, record), order)| sample_row(*unit, *record, *order));
            prop_assert!(snapshot.table(View::SurveySample).iter().map(|row| row.row().clone()).eq(rows));
        }
        let plain = |keep: &dyn Fn(u8, u32) -> bool| -> Vec<Row> {
            held.iter()
                .filter(|((unit, _), order)| keep(*unit, **order))
                .map(|((unit, record), order)| sample_row(*unit, *record, *order))
                .collect()
        };
        let filter = |pairs: &[(&'static str, &'static str)]| {
            Filter::parse(View::SurveySample, pairs.iter().copied()).expect("columns of the view")
        };
        let read = |filter| {
            table_rows(&served, filter, page).into_iter().map(|(_, row)| row).collect::<Vec<_>>()
        };
        let snapshot = served.snapshot().expect("an epoch is complete");
        let table = snapshot.table(View::SurveySample);
        prop_assert_eq!(table.len(), held.len());
        prop_assert!(table.iter().map(|held| held.row()).eq(&plain(&|_, _| true)));
        prop_assert_eq!(read(Filter::all(View::SurveySample)), plain(&|_, _| true));
        prop_assert_eq!(
            read(filter(&[("unit", "U2"), ("unit", "U0"), ("unit", "nowhere")])),
            plain(&|unit, _| unit != 1)
        );
        prop_assert_eq!(
            read(filter(&[("unit", "U1"), ("day", "1970-01-01"), ("order", "2")])),
            plain(&|unit, order| unit == 1 && order == 2)
        );
        prop_assert_eq!(read(filter(&[("order", "0")])), plain(&|_, order| order == 0));
    }
}

/// The same condition as a filter's, without it.
type Matches = fn(u8, u32) -> bool;

/// What a subscriber holds: rows by key, as JSON.
struct Reader {
    filter: Filter,
    matches: Matches,
    subscription: Subscription,
    rows: BTreeMap<String, String>,
    epoch: Epoch,
}

impl Reader {
    fn begin(served: &Arc<Served>, filter: Filter, matches: Matches) -> Reader {
        let snapshot = served.snapshot().expect("an epoch is complete");
        let mut rows = Rows::new(&snapshot, filter.clone());
        let position = snapshot.position(filter.view());
        let subscription = Subscription::begin(served, filter.clone(), position);
        let epoch = snapshot.epoch;
        let mut held = BTreeMap::new();
        while let Some(page) = rows.page(7) {
            held.extend(page.iter().map(|row| (json(write_key, row), json(write_row, row))));
        }
        Reader { filter, matches, subscription, rows: held, epoch }
    }

    /// Reads what there is, by the epoch while it is behind by no more than `behind_max` of them.
    /// Every change must change something.
    fn step(&mut self, served: &Arc<Served>, behind_max: usize) {
        loop {
            match self.subscription.step(behind_max) {
                Step::Changes(sets) => {
                    assert!(sets.len() == 1 || sets.len() > behind_max);
                    self.take(self.filter.changes(&sets));
                }
                Step::Nothing => {
                    self.epoch = self.subscription.position().epoch;
                    return;
                }
                Step::Lagged => {
                    *self = Reader::begin(served, self.filter.clone(), self.matches);
                }
            }
        }
    }

    fn take(&mut self, changes: Vec<Change>) {
        let Position { epoch, digest } = self.subscription.position();
        assert!(epoch > self.epoch);
        self.epoch = epoch;
        for change in changes {
            let key = json(write_key, change.any_row());
            let before = change.before.as_ref().map(|row| json(write_row, row));
            let after = change.after.as_ref().map(|row| json(write_row, row));
            assert_eq!(self.rows.get(&key), before.as_ref(), "a gap at {key}");
            assert_ne!(before, after, "a repeat at {key}");
            match after {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
        if self.filter == Filter::all(self.filter.view()) {
            assert_eq!(self.digest(), digest, "the rows of epoch {epoch}");
        }
    }

    fn digest(&self) -> Digest {
        self.rows.values().map(|row| Digest::of_json(row.as_bytes())).sum()
    }

    /// Comes back with the last position it has seen.
    fn reconnect(&mut self, served: &Arc<Served>) {
        let Position { digest, .. } = self.subscription.position();
        match Subscription::resume(served, self.filter.clone(), self.epoch, Some(digest)) {
            Ok(subscription) => self.subscription = subscription,
            Err(lost) => {
                assert_eq!(lost, Lost::Forgotten);
                *self = Reader::begin(served, self.filter.clone(), self.matches);
            }
        }
    }

    fn check(&self, held: &BTreeMap<(u8, u16), u32>, epoch: Epoch) {
        let expected: Vec<String> = held
            .iter()
            .filter(|((unit, _), order)| (self.matches)(*unit, **order))
            .map(|((unit, record), order)| json(write_row, &sample_row(*unit, *record, *order)))
            .collect();
        let mut rows: Vec<String> = self.rows.values().cloned().collect();
        let record = |row: &String| {
            let row: Json = serde_json::from_str(row).expect("a row is JSON");
            (row["unit"].to_string(), row["record"].as_u64())
        };
        rows.sort_by_key(record);
        assert_eq!((rows, self.epoch), (expected, epoch));
    }
}

/// One epoch: what is set, whether the worker was started again, and who reads or reconnects.
#[derive(Debug, Clone)]
struct Tick {
    sets: Sets,
    epochs: u64,
    restarted: bool,
    reads: [bool; 5],
    reconnects: [bool; 5],
    behind_max: usize,
}

fn tick() -> impl Strategy<Value = Tick> {
    let rarely = || prop::array::uniform5(prop::bool::weighted(0.2));
    let often = || prop::array::uniform5(prop::bool::weighted(0.4));
    (sets(12, 8), 1_u64..4, prop::bool::weighted(0.1), often(), rarely(), 0_usize..4).prop_map(
        |(sets, epochs, restarted, reads, reconnects, behind_max)| Tick {
            sets,
            epochs,
            restarted,
            reads,
            reconnects,
            behind_max,
        },
    )
}

proptest! {
    /// However seldom it reads and whenever it comes back, a subscriber that applies what it gets
    /// has the rows of the epoch it was told, and gets nothing that it has.
    #[test]
    fn subscribers_see_what_is_served(ticks in prop::collection::vec(tick(), 1..40), history in 0_usize..60) {
        let served = Arc::new(Served::new(changes(history)));
        let mut held = BTreeMap::new();
        let mut upper = 100;
        served.replace(upper, Vec::new());
        let filter = |pairs: &[(&'static str, &'static str)]| {
            Filter::parse(View::SurveySample, pairs.iter().copied()).expect("columns of the view")
        };
        let kinds: [(Filter, Matches); 5] = [
            (filter(&[]), |_, _| true),
            (filter(&[("order", "1")]), |_, order| order == 1),
            (filter(&[("order", "2"), ("order", "0")]), |_, order| order != 1),
            (filter(&[("unit", "U2"), ("unit", "U0")]), |unit, _| unit != 1),
            (filter(&[("unit", "U1"), ("order", "0"), ("order", "2")]), |unit, order| unit == 1 && order != 1),
        ];
        let mut readers = kinds.map(|(filter, matches)| Reader::begin(&served, filter, matches));
        for tick in &ticks {
            upper += tick.epochs;
            let changes = batch(&mut held, &tick.sets);
            if tick.restarted {
                let all = held.iter().map(|((unit, record), order)| (sample_row(*unit, *record, *order), 1));
                served.replace(upper, all.rev().collect::<Vec<_>>());
                // A worker that comes to the same epoch once more says nothing new.
                let all = held.iter().map(|((unit, record), order)| (sample_row(*unit, *record, *order), 1));
                served.replace(upper, all.collect::<Vec<_>>());
            } else {
                served.apply(upper, changes);
            }
            for ((reader, reads), reconnects) in readers.iter_mut().zip(tick.reads).zip(tick.reconnects) {
                if reconnects {
                    reader.reconnect(&served);
                }
                if reads {
                    reader.step(&served, tick.behind_max);
                    reader.check(&held, upper - 1);
                }
            }
        }
        for reader in &mut readers {
            reader.step(&served, 0);
            reader.check(&held, upper - 1);
            prop_assert!(matches!(reader.subscription.step(0), Step::Nothing));
            prop_assert_eq!(reader.subscription.position().epoch, upper - 1);
        }
    }
}

/// Readers that come at any moment see rows of one epoch, and nothing is missing after them.
#[test]
fn readers_and_the_writer_do_not_disturb_each_other() {
    const EPOCHS: Epoch = 300;
    const ROWS: u16 = 200;
    let served = Arc::new(Served::new(changes(usize::MAX)));
    served.replace(1, (0..ROWS).map(|record| (sample_row(0, record, 0), 1)).collect::<Vec<_>>());
    let read = || {
        while served.epoch() < Some(EPOCHS) {
            let mut reader = Reader::begin(&served, Filter::all(View::SurveySample), |_, _| true);
            for _ in 0..10 {
                let held = (0..ROWS).map(|record| ((0, record), reader.epoch as u32)).collect();
                reader.check(&held, reader.epoch);
                reader.step(&served, 0);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(read);
        scope.spawn(read);
        for epoch in 1..=EPOCHS {
            let order = epoch as u32;
            let changes = (0..ROWS).flat_map(|record| {
                [(sample_row(0, record, order - 1), -1), (sample_row(0, record, order), 1)]
            });
            served.apply(epoch + 1, changes.collect::<Vec<_>>());
        }
    });
}

#[test]
fn the_history_is_bounded_and_keeps_the_newest_epoch() {
    let served = Arc::new(Served::new(changes(3)));
    let all = Filter::all(View::SurveySample);
    assert_eq!(served.epoch(), None);
    let resume = |epoch| Subscription::resume(&served, all.clone(), epoch, None).err();
    assert_eq!(resume(0), Some(Lost::Ahead));
    served.replace(11, vec![(sample_row(0, 0, 0), 1)]);
    assert_eq!((served.epoch(), served.history_changes()), (Some(10), 0));
    let reaches = |epoch| resume(epoch).is_none();
    assert_eq!([9, 10, 11].map(reaches), [false, true, false]);
    served.apply(12, (1..3).map(|n| (sample_row(0, n, 0), 1)).collect::<Vec<_>>());
    served.apply(15, (3..5).map(|n| (sample_row(0, n, 0), 1)).collect::<Vec<_>>());
    // Of 12 and 13, which were computed together with 14, nobody knows what there was.
    assert_eq!([10, 11, 13, 14, 15].map(reaches), [false, true, false, true, false]);
    served.apply(16, (5..15).map(|n| (sample_row(0, n, 0), 1)).collect::<Vec<_>>());
    assert_eq!([13, 14, 15, 16].map(reaches), [false, true, true, false]);
    assert_eq!(served.history_changes(), 10);
}

#[test]
#[should_panic(expected = "the worker says")]
fn a_row_that_is_not_held_cannot_go() {
    let served = Served::new(changes(10));
    served.replace(1, vec![(sample_row(0, 0, 0), 1)]);
    served.apply(2, vec![(sample_row(0, 0, 1), -1)]);
}

#[test]
#[should_panic(expected = "comes 1 times beside")]
fn a_key_never_has_two_rows() {
    Served::new(changes(10)).replace(1, vec![(sample_row(0, 0, 0), 1), (sample_row(0, 0, 1), 1)]);
}

#[test]
#[should_panic(expected = "epoch 4 comes after epoch 4")]
fn epochs_rise() {
    let served = Served::new(changes(10));
    served.replace(5, Vec::new());
    served.apply(5, Vec::new());
}
