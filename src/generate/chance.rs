//! Chance that is the same on every machine and in every release: ChaCha by number, integers only.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A sequence of draws.
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The sequence of a seed for one purpose; sequences of different purposes are independent,
    /// so that a draw more in one does not shift the others.
    pub fn new(seed: u64, purpose: u64) -> Chance {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(purpose);
        Chance(rng)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// One of `0..end`; the bias of multiply and shift is below 2⁻¹² for every `end` used here.
    pub fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(end)) >> 32) as u32
    }

    /// One of `0..end` as seconds or days.
    pub fn span(&mut self, end: i64) -> i64 {
        i64::from(self.below(u32::try_from(end).expect("spans are shorter than 136 years")))
    }

    /// True in so many cases of 10,000.
    pub fn myriad(&mut self, cases: u32) -> bool {
        self.below(10_000) < cases
    }

    /// An index below `length`.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(u32::try_from(length).expect("lists are shorter than 2^32")) as usize
    }

    /// One of the items, all equally likely.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }
}

/// Indices `0..` with weights.
#[derive(Clone, Debug, Default)]
pub struct Weighted(Vec<u32>);

impl Weighted {
    /// `index → weight`.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Weighted {
        let mut weighted = Weighted::default();
        weighted.set(weights);
        weighted
    }

    /// Weights that fall as 1/rank (Zipf), as the sizes of offices do.
    pub fn zipf(length: usize) -> Weighted {
        Weighted::new((1..=length).map(|rank| 1_000_000 / rank as u32))
    }

    /// Replaces the weights, keeping the memory.
    pub fn set(&mut self, weights: impl IntoIterator<Item = u32>) {
        self.0.clear();
        self.0.extend(weights.into_iter().scan(0_u32, |total, weight| {
            *total += weight;
            Some(*total)
        }));
    }

    /// The sum of the weights.
    pub fn total(&self) -> u32 {
        self.0.last().copied().unwrap_or(0)
    }

    /// An index, as often as it weighs.
    ///
    /// # Panics
    /// If all weights are 0.
    pub fn pick(&self, chance: &mut Chance) -> usize {
        assert!(self.total() > 0, "something to pick from");
        let drawn = chance.below(self.total());
        self.0.partition_point(|&end| end <= drawn)
    }
}

/// The indices of `weights` in an order of chance in which the heavy ones tend to come first.
pub fn weighted_order(chance: &mut Chance, weights: &[u32]) -> Vec<usize> {
    let mut left = weights.to_vec();
    let mut weighted = Weighted::default();
    let mut order = Vec::with_capacity(left.len());
    for _ in 0..left.len() {
        weighted.set(left.iter().copied());
        let index = weighted.pick(chance);
        left[index] = 0;
        order.push(index);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept() {
        let weighted = Weighted::new([1, 0, 3]);
        let mut chance = Chance::new(7, 0);
        let mut seen = [0; 3];
        for _ in 0..4000 {
            seen[weighted.pick(&mut chance)] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!((850..1150).contains(&seen[0]), "{seen:?}");
    }

    #[test]
    fn purposes_have_sequences_of_their_own() {
        let draws = |purpose| {
            let mut chance = Chance::new(1, purpose);
            [chance.bits(), chance.bits()]
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
    }
}
