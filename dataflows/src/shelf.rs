//! A list that only grows, in pieces: nothing moves when it does, so nobody waits for that.

use std::ops::{Index, IndexMut};

/// So many are a piece.
const PIECE: usize = 1 << 10;

/// A list of things that are found by their number, from zero.
pub struct Shelf<T>(Vec<Vec<T>>);

impl<T> Default for Shelf<T> {
    fn default() -> Shelf<T> {
        Shelf(Vec::new())
    }
}

impl<T> Shelf<T> {
    /// How many there are: the number of the next.
    pub fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * PIECE + last.len())
    }

    /// Puts one at the end.
    pub fn push(&mut self, thing: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < PIECE => last.push(thing),
            _ => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(thing);
                self.0.push(piece);
            }
        }
    }

    /// Those from a number on.
    pub fn from(&self, first: usize) -> impl Iterator<Item = &T> + Clone {
        (first..self.len()).map(|number| &self[number])
    }
}

impl<T> Index<usize> for Shelf<T> {
    type Output = T;
    fn index(&self, number: usize) -> &T {
        &self.0[number / PIECE][number % PIECE]
    }
}

impl<T> IndexMut<usize> for Shelf<T> {
    fn index_mut(&mut self, number: usize) -> &mut T {
        &mut self.0[number / PIECE][number % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_stand_at_their_numbers() {
        let mut shelf = Shelf::default();
        for number in 0..3 * PIECE + 1 {
            assert_eq!(shelf.len(), number);
            shelf.push(number);
            shelf[number] += 7;
        }
        assert_eq!((shelf[0], shelf[PIECE], shelf.len()), (7, PIECE + 7, 3 * PIECE + 1));
        let last: Vec<usize> = shelf.from(3 * PIECE - 1).copied().collect();
        assert_eq!(last, [3 * PIECE + 6, 3 * PIECE + 7]);
    }
}
