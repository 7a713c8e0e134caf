//! Batches in the making: what is due together goes together, within bounds of lines, bytes, time.

use super::input::Kind;

/// How long the first event of a batch waits for others, in microseconds.
pub const LINGER_US: u64 = 5_000;
/// Bytes of a batch, unless it is of one line: a quarter of what a node takes by default.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// So many events were due at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Microseconds after the start.
    pub at_us: u64,
    /// How many.
    pub events: u32,
}

/// Lines that are sent and acknowledged together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// NDJSON.
    pub body: Vec<u8>,
    /// How many lines it has.
    pub lines: u32,
    /// How many of them are of [`Kind::Rating`].
    pub ratings: u32,
    /// When they were due, ascending; as many events as lines.
    pub due: Vec<Due>,
}

/// The batch that is being filled, for one kind of connection.
#[derive(Debug)]
pub struct Batcher {
    lines_max: u32,
    open: Batch,
    /// Whether a line did not fit.
    full: bool,
}

impl Batcher {
    /// A batcher of batches of at most `lines_max` lines.
    pub fn new(lines_max: u32) -> Batcher {
        Batcher { lines_max, open: Batch::default(), full: false }
    }

    /// Takes a line (without its line break) that is due; `false` if the batch has to go first.
    pub fn offer(&mut self, line: &[u8], kind: Kind, due_us: u64) -> bool {
        let bytes = self.open.body.len() + line.len() + 1;
        if self.full || (self.open.lines > 0 && bytes > BATCH_BYTES_MAX) {
            self.full = true;
            return false;
        }
        self.open.body.extend_from_slice(line);
        self.open.body.push(b'\n');
        self.open.lines += 1;
        self.open.ratings += u32::from(kind == Kind::Rating);
        match self.open.due.last_mut() {
            Some(last) if last.at_us == due_us => last.events += 1,
            _ => self.open.due.push(Due { at_us: due_us, events: 1 }),
        }
        self.full = self.open.lines >= self.lines_max;
        true
    }

    /// When the batch goes even if it is not full; `None` while it is empty.
    pub fn ripe_at_us(&self) -> Option<u64> {
        self.first_due_us().map(|first| if self.full { first } else { first + LINGER_US })
    }

    /// When its first event was due.
    pub fn first_due_us(&self) -> Option<u64> {
        self.open.due.first().map(|due| due.at_us)
    }

    /// The batch; a new one is begun.
    pub fn take(&mut self) -> Batch {
        self.full = false;
        let next = Batch { body: Vec::with_capacity(self.open.body.len()), ..Batch::default() };
        std::mem::replace(&mut self.open, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_goes_when_it_is_full_or_has_lingered() {
        let mut batcher = Batcher::new(3);
        assert_eq!(batcher.ripe_at_us(), None);
        assert!(batcher.offer(b"a", Kind::Rating, 100));
        assert!(batcher.offer(b"b", Kind::Other, 100));
        assert_eq!(batcher.ripe_at_us(), Some(100 + LINGER_US));
        assert!(batcher.offer(b"c", Kind::Rating, 300));
        assert_eq!(batcher.ripe_at_us(), Some(100));
        assert!(!batcher.offer(b"d", Kind::Rating, 400));
        let due = vec![Due { at_us: 100, events: 2 }, Due { at_us: 300, events: 1 }];
        let body = b"a\nb\nc\n".to_vec();
        assert_eq!(batcher.take(), Batch { body, lines: 3, ratings: 2, due });
        assert_eq!(batcher.ripe_at_us(), None);
        assert!(batcher.offer(b"d", Kind::Rating, 400));
    }

    #[test]
    fn bytes_are_bounded_but_a_long_line_still_goes() {
        let mut batcher = Batcher::new(1000);
        let long = vec![b'x'; BATCH_BYTES_MAX];
        assert!(batcher.offer(&long, Kind::Other, 0));
        assert!(!batcher.offer(b"y", Kind::Other, 0));
        assert_eq!(batcher.take().lines, 1);
        assert!(batcher.offer(b"y", Kind::Other, 0));
        assert!(!batcher.offer(&long, Kind::Other, 0));
        // What follows must not overtake the line that did not fit.
        assert!(!batcher.offer(b"z", Kind::Other, 0));
        assert_eq!(batcher.take().body, b"y\n");
    }
}
