//! Who is being taken in: so many requests at a time, and where all places are taken, the one whose
//! body comes most slowly gives way.
//!
//! Without that, a few hundred senders of a byte a second would shut the door to all others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// No body is called slow before it has had so much time.
const GRACE: Duration = Duration::from_secs(1);
/// A body that comes at this rate or faster gives way to nobody.
const SLOW_BYTES_PER_SECOND: u128 = 16 << 10;

/// The places.
#[derive(Debug)]
pub struct Places {
    taken: Mutex<Taken>,
    places_max: usize,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    guests: BTreeMap<u64, Arc<Guest>>,
}

/// A request that is being taken in.
#[derive(Debug)]
struct Guest {
    since: Instant,
    /// Of its body so far, as it was sent.
    bytes: AtomicUsize,
    /// Whether all of its body is here.
    is_read: AtomicBool,
    gives_way: CancellationToken,
}

/// One place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place<'p> {
    places: &'p Places,
    number: u64,
    guest: Arc<Guest>,
}

impl Places {
    /// So many.
    pub fn new(places_max: usize) -> Places {
        Places { taken: Mutex::default(), places_max }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.lock().guests.len()
    }

    /// A place, if there is one or one that is slow gives way.
    pub fn take(&self) -> Option<Place<'_>> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Option<Place<'_>> {
        let mut taken = self.lock();
        if taken.guests.len() >= self.places_max {
            let slowest = taken.guests.iter().filter_map(|(number, guest)| {
                guest.bytes_per_second(now).map(|rate| (rate, *number))
            });
            let (_, number) = slowest.min()?;
            let guest = taken.guests.remove(&number).expect("it was found");
            guest.gives_way.cancel();
        }
        let number = taken.next;
        taken.next += 1;
        let guest = Arc::new(Guest {
            since: now,
            bytes: AtomicUsize::new(0),
            is_read: AtomicBool::new(false),
            gives_way: CancellationToken::new(),
        });
        taken.guests.insert(number, Arc::clone(&guest));
        Some(Place { places: self, number, guest })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// How fast its body comes; none where it may keep its place.
    fn bytes_per_second(&self, now: Instant) -> Option<u128> {
        let time = now.saturating_duration_since(self.since);
        if self.is_read.load(Relaxed) || time < GRACE {
            return None;
        }
        let rate = self.bytes.load(Relaxed) as u128 * 1000 / time.as_millis();
        (rate < SLOW_BYTES_PER_SECOND).then_some(rate)
    }
}

impl Place<'_> {
    /// Counts bytes of the body; yields how many there are.
    pub fn came(&self, bytes: usize) -> usize {
        self.guest.bytes.fetch_add(bytes, Relaxed) + bytes
    }

    /// All of the body is here: what is waited for now is not its sender.
    pub fn complete(&self) {
        self.guest.is_read.store(true, Relaxed);
    }

    /// Waits until the place is given to another.
    pub async fn given_away(&self) {
        self.guest.gives_way.cancelled().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.lock().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_gives_way_and_nobody_else() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let is_out = |place: &Place<'_>| place.guest.gives_way.is_cancelled();
        let places = Places::new(3);
        let quick = places.take_at(start).expect("free");
        let slow = places.take_at(start).expect("free");
        let read = places.take_at(start).expect("free");
        quick.came(1 << 20);
        slow.came(100);
        read.complete();
        assert!(places.take_at(after(999)).is_none(), "it has had no time yet");
        let next = places.take_at(after(1000)).expect("the slow one gives way");
        assert_eq!([&quick, &slow, &read].map(is_out), [false, true, false]);
        assert_eq!(places.taken(), 3);
        // Its end frees no place: it has none any more.
        drop(slow);
        assert_eq!(places.taken(), 3);
        // In time one that was quick is slow, but one that sends nothing is slower.
        assert_eq!(next.came(7), 7);
        let another = places.take_at(after(70_000)).expect("one gives way");
        assert_eq!([&quick, &next, &read].map(is_out), [false, true, false]);
        assert!(places.take_at(after(70_001)).is_some(), "1 MiB in 70 s is slow");
        assert!(is_out(&quick) && !is_out(&another));
    }

    #[test]
    fn places_are_given_back() {
        let places = Places::new(1);
        let place = places.take().expect("free");
        assert!(places.take().is_none());
        drop(place);
        assert!(places.take().is_some());
        assert_eq!(places.taken(), 0);
    }
}
