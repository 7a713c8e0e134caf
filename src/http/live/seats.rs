//! Who follows: how many there may be, and how far each of them is (`GET /v1/subscribers`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataflows::domain::Epoch;
use dataflows::views::View;
use serde_json::{Value as Json, json};

use crate::clock;

/// The places of subscribers.
#[derive(Debug)]
pub struct Seats {
    taken: Mutex<BTreeMap<u64, Arc<Card>>>,
    seats_max: usize,
    next: AtomicU64,
}

/// What is known of a subscriber.
#[derive(Debug)]
struct Card {
    number: u64,
    view: View,
    /// Its conditions, as it wrote them.
    conditions: String,
    transport: &'static str,
    client: String,
    since_ms: u64,
    epoch: AtomicU64,
    frames: AtomicU64,
    merged: AtomicU64,
}

/// The place of one subscriber; it is free again when this is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    card: Arc<Card>,
}

/// Who takes a place, for people to read.
#[derive(Clone, Debug)]
pub struct Guest {
    /// What it follows.
    pub view: View,
    /// Its conditions, as it wrote them.
    pub conditions: String,
    /// `sse`, `ndjson` or `websocket`.
    pub transport: &'static str,
    /// What it says it is.
    pub client: String,
}

impl Seats {
    /// Places for so many.
    pub fn new(seats_max: usize) -> Seats {
        Seats { taken: Mutex::default(), seats_max, next: AtomicU64::new(1) }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.lock().len()
    }

    /// How many there are.
    pub fn seats_max(&self) -> usize {
        self.seats_max
    }

    /// A place, if there is one.
    pub fn take(self: &Arc<Seats>, guest: Guest) -> Option<Seat> {
        let Guest { view, conditions, transport, client } = guest;
        let mut taken = self.lock();
        if taken.len() >= self.seats_max {
            return None;
        }
        let number = self.next.fetch_add(1, Relaxed);
        let [epoch, frames, merged] = [0, 0, 0].map(AtomicU64::new);
        let since_ms = clock::wall_ms();
        let card =
            Card { number, view, conditions, transport, client, since_ms, epoch, frames, merged };
        let card = Arc::new(card);
        taken.insert(number, Arc::clone(&card));
        Some(Seat { seats: Arc::clone(self), card })
    }

    /// `[{"subscriber":…,"view":…,"conditions":…,"transport":…,"client":…,"since_ms":…,"epoch":…,
    /// "lag_ms":…,"frames":…,"merged":…}]`, those that are furthest behind `last` first; `lag_ms`
    /// is in milliseconds of epochs.
    pub fn list(&self, last: Epoch, epoch_ms: u64, limit: usize) -> Vec<Json> {
        let mut cards: Vec<Arc<Card>> = self.lock().values().cloned().collect();
        cards.sort_by_key(|card| (card.epoch.load(Relaxed), card.number));
        let describe = |card: Arc<Card>| {
            let epoch = card.epoch.load(Relaxed);
            json!({
                "subscriber": card.number,
                "view": card.view.name(),
                "conditions": card.conditions,
                "transport": card.transport,
                "client": card.client,
                "since_ms": card.since_ms,
                "epoch": epoch,
                "lag_ms": last.saturating_sub(epoch) * epoch_ms,
                "frames": card.frames.load(Relaxed),
                "merged": card.merged.load(Relaxed),
            })
        };
        cards.into_iter().take(limit).map(describe).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Card>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// It has been given all up to this epoch.
    pub fn reached(&self, epoch: Epoch) {
        self.card.epoch.store(epoch, Relaxed);
    }

    /// It has been given a frame.
    pub fn sent(&self) {
        self.card.frames.fetch_add(1, Relaxed);
    }

    /// So many epochs came to it as part of a later one.
    pub fn merged(&self, epochs: usize) {
        self.card.merged.fetch_add(epochs as u64, Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().remove(&self.card.number);
    }
}
