//! Short pieces of bytes, by the hundred million: each in a slot of its size, slots in large chunks.
//! So a piece costs its bytes and at most three more, not an allocation of its own, and nothing
//! moves when there are more of them.

/// Slots of one size are allocated so many at a time.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 12;
/// Sizes of slots are [`LEAST`] bytes and so many more, …
const STEP: usize = 4;
const LEAST: usize = 20;
/// … up to 76 bytes; the last of so many sizes stands for all that are longer.
const SIZES: usize = 1 << SIZE_BITS;
const SIZE_BITS: u32 = 4;
const LONG: usize = SIZES - 1;

/// Where a piece is: which slot, and in the low bits of which size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

impl Slot {
    fn new(number: usize, size: usize) -> Slot {
        assert!(number < 1 << (u32::BITS - SIZE_BITS), "fewer than 2^28 pieces of a size");
        Slot((number << SIZE_BITS | size) as u32)
    }

    /// The number among those of its size, and the size.
    fn parts(self) -> (usize, usize) {
        ((self.0 >> SIZE_BITS) as usize, self.0 as usize % SIZES)
    }
}

/// Pieces of bytes.
#[derive(Default)]
pub struct Slots {
    chunks: [Vec<Box<[u8]>>; LONG],
    long: Vec<Box<[u8]>>,
    /// By size: how many slots have been taken, and those of them that are free again.
    taken: [usize; SIZES],
    free: [Vec<Slot>; SIZES],
}

impl Slots {
    /// A piece, with zeros after it up to its slot's size.
    pub fn get(&self, slot: Slot) -> &[u8] {
        let (number, size) = slot.parts();
        if size == LONG {
            return &self.long[number];
        }
        let length = LEAST + size * STEP;
        &self.chunks[size][number >> CHUNK_BITS][number % CHUNK * length..][..length]
    }

    /// Puts a piece somewhere.
    pub fn insert(&mut self, piece: &[u8]) -> Slot {
        let size = size_of(piece);
        let slot = self.free[size].pop().unwrap_or_else(|| {
            let number = self.taken[size];
            self.taken[size] += 1;
            if size == LONG {
                self.long.push(Box::default());
            } else if number.is_multiple_of(CHUNK) {
                let length = LEAST + size * STEP;
                self.chunks[size].push(vec![0; CHUNK * length].into());
            }
            Slot::new(number, size)
        });
        self.put(slot, piece);
        slot
    }

    /// Puts a piece where another was, if it is of that size, or else elsewhere.
    pub fn replace(&mut self, slot: Slot, piece: &[u8]) -> Slot {
        if slot.parts().1 == size_of(piece) {
            self.put(slot, piece);
            return slot;
        }
        self.remove(slot);
        self.insert(piece)
    }

    /// Its slot is free for another.
    pub fn remove(&mut self, slot: Slot) {
        let (number, size) = slot.parts();
        if size == LONG {
            self.long[number] = Box::default();
        }
        self.free[size].push(slot);
    }

    fn put(&mut self, slot: Slot, piece: &[u8]) {
        let (number, size) = slot.parts();
        if size == LONG {
            self.long[number] = piece.into();
            return;
        }
        let length = LEAST + size * STEP;
        let chunk = &mut self.chunks[size][number >> CHUNK_BITS];
        let (text, rest) = chunk[number % CHUNK * length..][..length].split_at_mut(piece.len());
        text.copy_from_slice(piece);
        rest.fill(0);
    }
}

/// Which of the sizes a piece has.
fn size_of(piece: &[u8]) -> usize {
    piece.len().saturating_sub(LEAST).div_ceil(STEP).min(LONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of every length come, change and go; each is what was put in last, and slots that
    /// are free are taken before new ones.
    #[test]
    fn pieces_are_what_was_put_in() {
        let (mut slots, mut held, mut random) = (Slots::default(), Vec::new(), 7_u64);
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        for turn in 0..600_000 {
            let piece = vec![turn as u8 | 1; next(100)];
            match next(5) {
                0 | 1 => held.push((slots.insert(&piece), piece)),
                2 | 3 if !held.is_empty() => {
                    let place = next(held.len());
                    held[place] = (slots.replace(held[place].0, &piece), piece);
                }
                _ if !held.is_empty() => slots.remove(held.swap_remove(next(held.len())).0),
                _ => {}
            }
        }
        for (slot, piece) in &held {
            let (text, rest) = slots.get(*slot).split_at(piece.len());
            assert!(text == piece && rest.iter().all(|byte| *byte == 0), "{piece:?}");
        }
        let free: usize = slots.free.iter().map(Vec::len).sum();
        assert_eq!(slots.taken.iter().sum::<usize>(), held.len() + free);
        assert!(slots.taken.iter().all(|taken| *taken > CHUNK), "each size fills a chunk");
    }

    #[test]
    fn short_pieces_cost_three_bytes_more_at_most() {
        for length in LEAST..LEAST + LONG * STEP {
            let mut slots = Slots::default();
            let slot = slots.insert(&vec![1; length]);
            assert!((length..length + STEP).contains(&slots.get(slot).len()), "{length}");
        }
    }
}
