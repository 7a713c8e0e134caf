//! Nothing disappears: every accepted rating message is counted, apart, pending, refused, a
//! duplicate or retracted, and the six add up (order-120 § 2, contract § 4).

use differential_dataflow::difference::{IsZero, Multiply, Semigroup};
use serde::{Deserialize, Serialize};

use crate::domain::Channel;
use crate::epochs::{Rows, sums};
use crate::id::Id;
use crate::records::Outcome;
use crate::reference::Placing;
use crate::views::{Conservation, PendingReason, RefusalCode, Row, Subject};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// It is in the log.
    Accepted,
    /// Its ratings are in the values.
    Counted,
    /// It is a review of the site.
    Apart,
    /// It waits for what it names.
    Pending(PendingReason),
    /// The rules say no.
    Refused(RefusalCode, Subject),
    /// It is a copy.
    Duplicate,
    /// It was withdrawn.
    Retracted,
}

/// The verdicts that need no place, and that of units whose parents run in a circle.
pub fn verdicts<'s>(outcomes: Rows<'s, Outcome>, circling: Rows<'s, Id>) -> Rows<'s, Verdict> {
    let of_messages = outcomes.flat_map(|outcome| match outcome {
        Outcome::Accepted => Some(Verdict::Accepted),
        Outcome::Duplicate => Some(Verdict::Duplicate),
        Outcome::Retracted(_) => Some(Verdict::Retracted),
        Outcome::Refused(code, channel) => Some(Verdict::Refused(code, channel.into())),
        Outcome::Apart => Some(Verdict::Apart),
        Outcome::NoRecord(_) => Some(Verdict::Pending(PendingReason::NoRecord)),
        Outcome::Late => Some(Verdict::Refused(RefusalCode::Closed, Subject::Record)),
        Outcome::Rated(..)
        | Outcome::Lost(..)
        | Outcome::Twice(..)
        | Outcome::Fact(_)
        | Outcome::Due(..)
        | Outcome::Negative(..)
        | Outcome::Called(..) => None,
    });
    let of_units = circling.map(|_| Verdict::Refused(RefusalCode::Cycle, Subject::Unit));
    of_messages.concat(of_units)
}

/// The verdict on a message whose ratings are at a place.
///
/// - rule: order-120 § 2, "pending", p. 12 last paragraph, p. 13 last
pub fn verdict(placing: &Placing<'_>, channel: Channel) -> Verdict {
    match placing {
        Placing::Pending(reason) => Verdict::Pending(*reason),
        Placing::Known(seat) if seat.counts(channel == Channel::Epgu) => Verdict::Counted,
        Placing::Known(_) => Verdict::Refused(RefusalCode::NotListed, channel.into()),
    }
}

/// The rows of `pending`, `refused` and `conservation`; the last is there from the first epoch on.
pub fn rows<'s>(verdicts: Rows<'s, Verdict>, always: Rows<'s, ()>) -> Rows<'s, Row> {
    let totals = verdicts.clone().explode(|verdict| {
        // A unit in a circle and a late fact are no rating messages.
        let is_message = !matches!(verdict, Verdict::Refused(_, Subject::Unit | Subject::Record));
        is_message.then(|| ((), Totals::of(verdict)))
    });
    let always = always.explode(|()| [((), Totals { rows: 1, sums: [0; 7] })]);
    let conservation = sums(totals.concat(always), "Conservation", |(), totals| {
        [Some(Row::Conservation(Box::new(totals.row())))]
    });
    let apart =
        verdicts.filter(|verdict| matches!(verdict, Verdict::Pending(_) | Verdict::Refused(..)));
    let apart = sums(apart, "Pending and refused", |verdict, count: &isize| {
        let count = *count as i64;
        [match *verdict {
            Verdict::Pending(reason) => Some(Row::Pending { reason, count }),
            Verdict::Refused(code, channel) => Some(Row::Refused { code, channel, count }),
            _ => None,
        }]
    });
    apart.concat(conservation)
}

/// The columns of `conservation`, as a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Totals {
    rows: isize,
    sums: [isize; 7],
}

impl Totals {
    fn of(verdict: Verdict) -> Totals {
        let column = match verdict {
            Verdict::Accepted => 0,
            Verdict::Counted => 1,
            Verdict::Apart => 2,
            Verdict::Pending(_) => 3,
            Verdict::Refused(..) => 4,
            Verdict::Duplicate => 5,
            Verdict::Retracted => 6,
        };
        let mut totals = Totals::default();
        totals.sums[column] = 1;
        totals
    }

    fn row(&self) -> Conservation {
        let [accepted, counted, apart, pending, refused, duplicate, retracted] =
            self.sums.map(|sum| sum as i64);
        Conservation { accepted, counted, apart, pending, refused, duplicate, retracted }
    }
}

impl IsZero for Totals {
    fn is_zero(&self) -> bool {
        *self == Totals::default()
    }
}

impl Semigroup for Totals {
    fn plus_equals(&mut self, rhs: &Totals) {
        self.rows += rhs.rows;
        self.sums.iter_mut().zip(rhs.sums).for_each(|(sum, part)| *sum += part);
    }
}

impl Multiply<isize> for Totals {
    type Output = Totals;
    fn multiply(self, rhs: &isize) -> Totals {
        Totals { rows: self.rows * rhs, sums: self.sums.map(|sum| sum * rhs) }
    }
}
