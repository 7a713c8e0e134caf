//! The messages that are still to come: a calendar queue with a bucket an hour.
//!
//! Its memory is what is open (days of follow-ups), not the length of the stream.

use std::collections::VecDeque;

use super::lines::Body;

/// A line of the stream that waits for its time.
#[derive(Clone, Copy)]
pub struct Item {
    /// Seconds since 1970 UTC: its place in the stream.
    pub arrives: i64,
    pub what: What,
}

/// What an [`Item`] is.
#[derive(Clone, Copy)]
pub enum What {
    /// A message about a record.
    Message {
        territory: u16,
        record: u64,
        /// Seconds since 1970 UTC: what it says of itself, at or before its arrival.
        received: i64,
        body: Body,
    },
    /// The n-th correction of reference data.
    Correction(usize),
}

/// Items by the hour of their arrival.
pub struct Queue {
    /// The hour since 1970 UTC of the first bucket.
    hour: i64,
    buckets: VecDeque<Vec<Item>>,
}

impl Queue {
    /// An empty queue that starts with this hour since 1970 UTC.
    pub fn new(hour: i64) -> Queue {
        Queue { hour, buckets: VecDeque::new() }
    }

    /// Adds an item.
    ///
    /// # Panics
    /// If its hour is over.
    pub fn push(&mut self, item: Item) {
        let ahead = item.arrives.div_euclid(3600) - self.hour;
        let index = usize::try_from(ahead).expect("what arrives is queued before its hour is over");
        while self.buckets.len() <= index {
            self.buckets.push_back(Vec::new());
        }
        self.buckets[index].push(item);
    }

    /// Takes the items of the first hour, by arrival and then in the order they were added, and
    /// goes on to the next.
    pub fn drain_hour(&mut self, take: &mut impl FnMut(&Item)) {
        self.hour += 1;
        let Some(mut bucket) = self.buckets.pop_front() else {
            return;
        };
        bucket.sort_by_key(|item| item.arrives);
        bucket.iter().for_each(take);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_come_in_order_and_ties_as_they_were_added() {
        let mut queue = Queue::new(10);
        for (index, arrives) in [39_600, 36_005, 36_001, 36_005].into_iter().enumerate() {
            queue.push(Item { arrives, what: What::Correction(index) });
        }
        let mut taken = Vec::new();
        let mut take = |item: &Item| {
            let What::Correction(index) = item.what else { panic!("only corrections are queued") };
            taken.push(index);
        };
        queue.drain_hour(&mut take);
        queue.drain_hour(&mut take);
        queue.drain_hour(&mut take);
        assert_eq!(taken, [2, 1, 3, 0]);
    }
}
