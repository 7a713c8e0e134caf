//! What adds up: the difference types that ride through the dataflow, and all arithmetic on them.
//!
//! Counts are integers and sums of them are exact, so a figure does not depend on the order in
//! which its parts arrive. Rounding happens here and only where a person looks.

use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use serde::{Deserialize, Serialize};

use crate::domain::{Channel, Criterion, Score};

/// Implements element-wise addition for a struct of arrays of `i32` and their like.
macro_rules! elementwise {
    ($name:ident { $($($field:ident).+),* }) => {
        impl IsZero for $name {
            fn is_zero(&self) -> bool {
                *self == $name::default()
            }
        }
        impl Semigroup for $name {
            fn plus_equals(&mut self, rhs: &$name) {
                $(for (sum, part) in self.$($field).+.iter_mut().zip(&rhs.$($field).+) { *sum += part; })*
            }
        }
        impl Multiply<isize> for $name {
            type Output = $name;
            fn multiply(mut self, rhs: &isize) -> $name {
                if *rhs != 1 {
                    let factor = i32::try_from(*rhs).expect("a few copies of a row");
                    $(for sum in &mut self.$($field).+ { *sum *= factor; })*
                }
                self
            }
        }
    };
}

/// The ratings of a manager's period: what every formula of the Order needs.
///
/// `scores` counts the ratings by score 1..5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tally {
    /// By criterion and channel.
    pub shares: Shares,
    scores: [i32; 5],
}

elementwise!(Tally { shares.criteria, shares.channels, scores });

/// How many ratings are positive of how many, by criterion and by channel: what a manager is shown.
///
/// `criteria` is by criterion 1..8 and then the integral, `(positive, all)` flattened; `channels`
/// likewise by sms, phone, kiosk, epgu.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shares {
    criteria: [i32; 18],
    channels: [i32; 8],
}

impl Shares {
    /// Of `(positive, all)` by criterion 1..8 and the integral, and by channel sms, phone, kiosk, epgu.
    pub fn new(criteria: [[i32; 2]; 9], channels: [[i32; 2]; 4]) -> Shares {
        let mut shares = Shares::default();
        let all = shares.criteria.chunks_exact_mut(2).chain(shares.channels.chunks_exact_mut(2));
        all.zip(criteria.iter().chain(&channels)).for_each(|(pair, of)| pair.copy_from_slice(of));
        shares
    }

    /// p. 12 and 13: K positive of N.
    pub fn value(&self) -> Value {
        let sum = |sum: Value, one: Value| Value { k: sum.k + one.k, n: sum.n + one.n };
        pairs(&self.channels).fold(Value::default(), sum)
    }

    /// `(criterion 1..8, or 9 for the integral; value)` of those that occur.
    pub fn criteria(&self) -> impl Iterator<Item = (u8, Value)> {
        (1..).zip(pairs(&self.criteria)).filter(|(_, value)| value.n != 0)
    }

    /// By channel, of those that occur.
    pub fn channels(&self) -> impl Iterator<Item = (Channel, Value)> {
        Channel::ALL.into_iter().zip(pairs(&self.channels)).filter(|(_, v)| v.n != 0)
    }
}

/// What a rating is of: a criterion, or the SMS digit itself (7.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// A criterion of 1..8.
    Criterion(Criterion),
    /// The integral rating.
    Integral,
}

impl Tally {
    /// p. 12 and 13: K positive of N.
    pub fn value(&self) -> Value {
        self.spread().value()
    }

    /// The counts by score.
    pub fn spread(&self) -> Spread {
        Spread { scores: self.scores, records: [0], facts: [0] }
    }
}

/// The ratings of one side of a place's day, electronic (ЕПГУ) or not, in full: each criterion by
/// channel. Whoever has it knows the side.
///
/// `pairs` is `(positive, all)` flattened: of ЕПГУ by criterion 1..8; else of SMS by criterion 1..5
/// and the integral, then of phone and kiosk by criterion 1..5. `scores` counts by score 1..5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Detail {
    pairs: [i32; 32],
    scores: [i32; 5],
}

elementwise!(Detail { pairs, scores });

/// Where the pairs of a channel begin among those of its side.
const PHONE: usize = 12;
const KIOSK: usize = 22;
/// The pair of the integral rating.
const INTEGRAL: usize = 10;
/// The number under which the integral rating is listed after the criteria.
const INTEGRAL_NUMBER: u8 = 9;

impl Detail {
    /// Adds one rating; all of one side.
    pub fn rate(&mut self, channel: Channel, aspect: Aspect, score: Score) {
        let pair = match aspect {
            Aspect::Criterion(criterion) => 2 * (usize::from(criterion.get()) - 1),
            Aspect::Integral => INTEGRAL,
        };
        let first = match channel {
            Channel::Sms | Channel::Epgu => 0,
            Channel::Survey => PHONE,
            Channel::Kiosk => KIOSK,
            Channel::Site => unreachable!("reviews of the site are no ratings"),
        };
        self.pairs[first + pair] += i32::from(score.is_positive());
        self.pairs[first + pair + 1] += 1;
        self.scores[usize::from(score.get()) - 1] += 1;
    }

    /// K positive of N.
    pub fn value(&self) -> Value {
        self.spread().value()
    }

    /// The counts by score.
    pub fn spread(&self) -> Spread {
        Spread { scores: self.scores, records: [0], facts: [0] }
    }

    /// What the formulas need of it.
    pub fn tally(&self, electronic: bool) -> Tally {
        let mut shares = Shares::default();
        let parts: &[(usize, usize, Channel)] = match electronic {
            true => &[(0, 16, Channel::Epgu)],
            false => &[
                (0, INTEGRAL, Channel::Sms),
                (PHONE, KIOSK, Channel::Survey),
                (KIOSK, 32, Channel::Kiosk),
            ],
        };
        for &(first, end, channel) in parts {
            let of_channel = 2 * channel as usize;
            for (at, pair) in self.pairs[first..end].chunks_exact(2).enumerate() {
                shares.criteria[2 * at] += pair[0];
                shares.criteria[2 * at + 1] += pair[1];
                shares.channels[of_channel] += pair[0];
                shares.channels[of_channel + 1] += pair[1];
            }
        }
        if !electronic {
            for count in [0, 1] {
                shares.criteria[16 + count] = self.pairs[INTEGRAL + count];
                shares.channels[count] += self.pairs[INTEGRAL + count];
            }
        }
        Tally { shares, scores: self.scores }
    }

    /// `(criterion 1..8, or 9 for the integral; channel; value)` of those that occur.
    pub fn crossed(&self, electronic: bool) -> Vec<(u8, Channel, Value)> {
        let named = |at: usize| match (electronic, 2 * at) {
            (true, pair) => (pair / 2 + 1, Channel::Epgu),
            (false, INTEGRAL) => (usize::from(INTEGRAL_NUMBER), Channel::Sms),
            (false, pair) if pair < INTEGRAL => (pair / 2 + 1, Channel::Sms),
            (false, pair) if pair < KIOSK => ((pair - PHONE) / 2 + 1, Channel::Survey),
            (false, pair) => ((pair - KIOSK) / 2 + 1, Channel::Kiosk),
        };
        let all = pairs(&self.pairs).enumerate().filter(|(_, value)| value.n != 0);
        all.map(|(at, value)| {
            let (criterion, channel) = named(at);
            (criterion as u8, channel, value)
        })
        .collect()
    }

    /// In `N` bytes, if no count passes 255: the first `N - 3` of the pairs, and how often scores 1,
    /// 2 and 4 are given; what the others are follows. The pairs left out must be nothing.
    pub fn pack<const N: usize>(&self) -> Option<[u8; N]> {
        let [one, two, _, four, _] = self.scores;
        let mut packed = [0; N];
        let counts = self.pairs[..N - 3].iter().chain([&one, &two, &four]);
        for (byte, count) in packed.iter_mut().zip(counts) {
            *byte = u8::try_from(*count).ok()?;
        }
        Some(packed)
    }

    /// What was packed.
    pub fn unpack<const N: usize>(packed: &[u8; N]) -> Detail {
        let mut detail = Detail::default();
        let (pairs, scores) = packed.split_at(N - 3);
        let (mut k, mut n) = (0, 0);
        for (pair, bytes) in detail.pairs.chunks_exact_mut(2).zip(pairs.chunks_exact(2)) {
            let [positive, all] = [0, 1].map(|count| i32::from(bytes[count]));
            (pair[0], pair[1]) = (positive, all);
            k += positive;
            n += all;
        }
        let [one, two, four] = [0, 1, 2].map(|score| i32::from(scores[score]));
        detail.scores = [one, two, n - k - one - two, four, k - four];
        detail
    }
}

fn pairs(flat: &[i32]) -> impl Iterator<Item = Value> {
    flat.chunks_exact(2).map(|pair| Value { k: i64::from(pair[0]), n: i64::from(pair[1]) })
}

/// What phone surveys replaced (7.10): SMS values, each of a criterion of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Replaced {
    /// Records of which something was replaced.
    pub records: [i32; 1],
    /// Values replaced, one each by one of the survey.
    pub values: [i32; 1],
    /// Those of them that were positive.
    pub before: [i32; 1],
    /// Those that are positive now.
    pub after: [i32; 1],
}

elementwise!(Replaced { records, values, before, after });

/// Ratings by score 1..5, with the records rated and the facts beside them: what a unit, a
/// service, a month or a territory shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spread {
    /// Ratings by score.
    pub scores: [i32; 5],
    /// Records with at least one counted rating.
    pub records: [i32; 1],
    /// Standing facts.
    pub facts: [i32; 1],
}

elementwise!(Spread { scores, records, facts });

impl Spread {
    /// K positive of N.
    pub fn value(&self) -> Value {
        let [bad1, bad2, bad3, good4, good5] = self.scores.map(i64::from);
        Value { k: good4 + good5, n: bad1 + bad2 + bad3 + good4 + good5 }
    }

    /// Hundredths of the mean score, half up; `None` without ratings.
    pub fn average(&self) -> Option<i64> {
        let n = self.value().n;
        let sum: i64 = (1..).zip(self.scores).map(|(score, count)| score * i64::from(count)).sum();
        (n > 0).then(|| (200 * sum + n).div_euclid(2 * n))
    }
}

/// Rating messages by channel (sms, survey, kiosk, epgu), and how many records they are of, where
/// they are not of ЕПГУ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Messages {
    channels: [i32; 4],
    records: [i32; 1],
}

elementwise!(Messages { channels, records });

impl Messages {
    /// The messages behind one record's ratings at a place: one of each channel.
    pub fn of(channels: impl Iterator<Item = Channel>) -> Messages {
        let mut messages = Messages::default();
        for channel in channels {
            messages.channels[channel as usize] += 1;
            messages.records = [i32::from(channel != Channel::Epgu)];
        }
        messages
    }

    /// `(channel, messages)` of those that occur.
    pub fn channels(&self) -> impl Iterator<Item = (Channel, isize)> + use<> {
        let counts = self.channels.map(|count| count as isize);
        Channel::ALL.into_iter().zip(counts).filter(|(_, count)| *count != 0)
    }

    /// The records rated, as territories count them.
    pub fn records(&self) -> Spread {
        Spread { records: self.records, ..Spread::default() }
    }
}

/// A satisfaction value (сводное значение): the exact pair, K positive of N ratings.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Value {
    /// Positive ratings.
    pub k: i64,
    /// All ratings.
    pub n: i64,
}

impl Value {
    /// Hundredths of a per cent, half up; `None` without ratings. For showing, never for judging.
    pub fn hundredths(self) -> Option<i64> {
        (self.n > 0).then(|| (20_000 * self.k + self.n).div_euclid(2 * self.n))
    }

    /// D9: ⌊10⁸·K/N + ½⌋ millionths of a per cent; `None` without ratings.
    pub fn millionths(self) -> Option<i64> {
        (self.n > 0).then(|| (200_000_000 * self.k + self.n).div_euclid(2 * self.n))
    }

    /// Whether K/N is at least `micropercent` millionths of a per cent, exactly.
    pub fn reaches(self, micropercent: i64) -> bool {
        i128::from(self.k) * 100_000_000 >= i128::from(micropercent) * i128::from(self.n)
    }

    /// Whether K/N exceeds `other` by more than 5 percentage points, exactly.
    pub fn exceeds_by_five_points(self, other: Value) -> bool {
        let [k, n, ok, on] = [self.k, self.n, other.k, other.n].map(i128::from);
        // k/n - ok/on > 1/20
        20 * (k * on - ok * n) > n * on
    }

    /// Orders by the exact K/N; both must have ratings.
    pub fn compare(self, other: Value) -> std::cmp::Ordering {
        (i128::from(self.k) * i128::from(other.n)).cmp(&(i128::from(other.k) * i128::from(self.n)))
    }
}

/// The sum of managers' values and their number: p. 14's mean before the division.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mean {
    sum: [i64; 1],
    managers: [i64; 1],
}

impl IsZero for Mean {
    fn is_zero(&self) -> bool {
        *self == Mean::default()
    }
}

impl Semigroup for Mean {
    fn plus_equals(&mut self, rhs: &Mean) {
        self.sum[0] += rhs.sum[0];
        self.managers[0] += rhs.managers[0];
    }
}

impl Multiply<isize> for Mean {
    type Output = Mean;
    fn multiply(self, rhs: &isize) -> Mean {
        let factor = *rhs as i64;
        Mean { sum: [self.sum[0] * factor], managers: [self.managers[0] * factor] }
    }
}

impl Mean {
    /// Of one manager, in millionths of a per cent.
    pub fn of(millionths: i64) -> Mean {
        Mean { sum: [millionths], managers: [1] }
    }

    /// Sn: how many managers.
    pub fn managers(&self) -> i64 {
        self.managers[0]
    }

    /// D9: Rf = ⌊(2·ΣR + Sn) / (2·Sn)⌋ in millionths of a per cent; `None` without managers.
    pub fn millionths(&self) -> Option<i64> {
        let (sum, managers) = (self.sum[0], self.managers[0]);
        (managers > 0).then(|| (2 * sum + managers).div_euclid(2 * managers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(k: i64, n: i64) -> Value {
        Value { k, n }
    }

    #[test]
    fn values_are_rounded_half_up_and_only_to_be_shown() {
        let cases = [
            (value(465, 505), Some(9208), Some(92_079_208)),
            (value(555, 600), Some(9250), Some(92_500_000)),
            (value(1, 3), Some(3333), Some(33_333_333)),
            (value(1, 800), Some(13), Some(125_000)),
            (value(0, 1), Some(0), Some(0)),
            (value(0, 0), None, None),
        ];
        for (value, hundredths, millionths) in cases {
            assert_eq!((value.hundredths(), value.millionths()), (hundredths, millionths));
        }
    }

    #[test]
    fn thresholds_are_exact() {
        assert!(
            value(3, 4).reaches(75_000_000) && !value(2_999_999, 4_000_000).reaches(75_000_000)
        );
        assert!(!value(85, 100).exceeds_by_five_points(value(80, 100)));
        assert!(value(8501, 10_000).exceeds_by_five_points(value(80, 100)));
    }

    /// p. 14, D9.
    #[test]
    fn a_mean_is_of_managers_not_of_ratings() {
        let mut mean = Mean::of(100_000_000);
        mean.plus_equals(&Mean::of(33_333_333));
        assert_eq!((mean.millionths(), mean.managers()), (Some(66_666_667), 2));
        assert_eq!(Mean::default().millionths(), None);
    }

    #[test]
    fn a_detail_knows_its_parts() {
        let mut detail = Detail::default();
        let score = |s| Score::new(s).expect("1..5");
        for criterion in Criterion::COMMON {
            detail.rate(Channel::Sms, Aspect::Criterion(criterion), score(4));
        }
        detail.rate(Channel::Sms, Aspect::Integral, score(4));
        detail.rate(Channel::Survey, Aspect::Criterion(Criterion::COMMON[0]), score(1));
        detail.rate(Channel::Kiosk, Aspect::Criterion(Criterion::COMMON[4]), score(3));
        let tally = detail.tally(false);
        assert_eq!((tally.value(), detail.value()), (value(6, 8), value(6, 8)));
        let criteria: Vec<_> = tally.shares.criteria().collect();
        assert_eq!(criteria[0], (1, value(1, 2)));
        assert_eq!(criteria[4..], [(5, value(1, 2)), (9, value(1, 1))]);
        let channels = [
            (Channel::Sms, value(6, 6)),
            (Channel::Survey, value(0, 1)),
            (Channel::Kiosk, value(0, 1)),
        ];
        assert!(tally.shares.channels().eq(channels));
        assert_eq!(tally.spread().average(), Some(350));
        let crossed = detail.crossed(false);
        assert_eq!(crossed[4..6], [(5, Channel::Sms, value(1, 1)), (9, Channel::Sms, value(1, 1))]);
        assert_eq!(crossed[6], (1, Channel::Survey, value(0, 1)));
        assert_eq!(crossed[7], (5, Channel::Kiosk, value(0, 1)));
        let minus = detail.multiply(&-1);
        let mut sum = detail;
        sum.plus_equals(&minus);
        assert!(sum.is_zero());
    }

    #[test]
    fn the_form_of_the_portal_has_eight_criteria_and_a_side_of_its_own() {
        let mut detail = Detail::default();
        for (criterion, score) in Criterion::ALL.into_iter().zip([1, 2, 3, 4, 5, 5, 5, 4]) {
            let score = Score::new(score).expect("1..5");
            detail.rate(Channel::Epgu, Aspect::Criterion(criterion), score);
        }
        let tally = detail.tally(true);
        assert_eq!(tally.value(), value(5, 8));
        assert!(tally.shares.channels().eq([(Channel::Epgu, value(5, 8))]));
        assert_eq!(tally.shares.criteria().last(), Some((8, value(1, 1))));
        assert_eq!(detail.crossed(true)[7], (8, Channel::Epgu, value(1, 1)));
        assert_eq!(detail.pack().map(|packed| Detail::unpack::<19>(&packed)), Some(detail));
    }

    #[test]
    fn what_fits_in_bytes_is_packed() {
        let mut detail = Detail::default();
        for (score, times) in [(1, 3), (2, 5), (3, 7), (4, 11), (5, 13)] {
            let score = Score::new(score).expect("1..5");
            for _ in 0..times {
                let criterion = Aspect::Criterion(Criterion::COMMON[1]);
                detail.rate(Channel::Kiosk, criterion, score);
                detail.rate(Channel::Sms, Aspect::Integral, score);
            }
        }
        assert_eq!(detail.pack().map(|packed| Detail::unpack::<35>(&packed)), Some(detail));
        assert_eq!(detail.multiply(&-1).pack::<35>(), None);
        assert_eq!(detail.multiply(&7).pack::<35>(), None);
    }
}
