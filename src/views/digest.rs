//! A number that says whether two sets of rows are the same, kept up to date by the rows that
//! change.
//!
//! The digest of a set is the sum of its rows', modulo 2^128; that of a row is XXH3 (128 bits) of
//! the JSON it is served as ([`write_row`]), so that whoever has the bytes can say it too, in any
//! order of rows and with no code of ours. It tells apart what happens by chance or by a bug, not
//! by intent: a sum of hashes that nobody keeps secret is no proof against a forger.

use std::fmt;
use std::iter::Sum;
use std::ops::{AddAssign, SubAssign};
use std::str::FromStr;

use dataflows::views::Row;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::row_json::write_row;

/// The digest of a set of rows; [`Digest::default`] is that of none. Written as 32 hexadecimal
/// digits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Digest(u128);

/// Not 32 hexadecimal digits in small letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 32 hexadecimal digits")]
pub struct NoDigest;

impl Digest {
    /// Of the set of this one row. Costs writing it: about a microsecond.
    pub fn of_row(row: &Row) -> Digest {
        let mut json = Vec::with_capacity(512);
        write_row(row, &mut json);
        Digest::of_json(&json)
    }

    /// Of the set of the one row that is written as `json`, to the byte.
    pub fn of_json(json: &[u8]) -> Digest {
        Digest(xxh3_128(json))
    }
}

/// The other rows as well.
impl AddAssign for Digest {
    fn add_assign(&mut self, rows: Digest) {
        self.0 = self.0.wrapping_add(rows.0);
    }
}

/// Without those rows, which must be among them.
impl SubAssign for Digest {
    fn sub_assign(&mut self, rows: Digest) {
        self.0 = self.0.wrapping_sub(rows.0);
    }
}

impl Sum for Digest {
    fn sum<I: Iterator<Item = Digest>>(rows: I) -> Digest {
        rows.fold(Digest::default(), |mut sum, rows| {
            sum += rows;
            sum
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Digest, NoDigest> {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(NoDigest);
        }
        u128::from_str_radix(text, 16).map(Digest).map_err(|_| NoDigest)
    }
}

#[cfg(test)]
mod tests {
    use dataflows::views::PendingReason;

    use super::*;

    fn row(count: i64) -> Row {
        Row::Pending { reason: PendingReason::NoUnit, count }
    }

    /// The value is that of the reference implementation (`xxhsum -H2`): a change of it would make
    /// every digest that somebody kept worthless.
    #[test]
    fn a_digest_is_the_hash_of_what_is_served() {
        let digest = Digest::of_row(&row(2));
        assert_eq!(digest, Digest::of_json(br#"{"reason":"no_unit","count":2}"#));
        assert_eq!(Digest::of_json(b"").to_string(), "99aa06d3014798d86001c324468d497f");
    }

    #[test]
    fn the_order_in_which_rows_come_and_go_leaves_no_trace() {
        let [a, b, c] = [1, 2, 3].map(|count| Digest::of_row(&row(count)));
        let mut kept: Digest = [c, a].into_iter().sum();
        kept += b;
        kept -= c;
        assert_eq!(kept, [a, b].into_iter().sum());
        kept -= a;
        kept -= b;
        assert_eq!(kept, Digest::default());
    }

    #[test]
    fn digests_are_read_as_they_are_written() {
        let digest = Digest::of_row(&row(7));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let capitals = digest.to_string().to_uppercase();
        for wrong in ["", "7", "+9aa06d3014798d86001c324468d497f", capitals.as_str()] {
            assert_eq!(wrong.parse::<Digest>(), Err(NoDigest), "{wrong}");
        }
    }
}
