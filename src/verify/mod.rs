//! The plain recomputation: every view from the events, from scratch, to compare the dataflow with.
//!
//! It follows the Order paragraph by paragraph and shares with the dataflow only the words of
//! [`dataflows::domain`] and the ids: no operator, no calendar arithmetic, no rounding, no rule. It
//! keeps all messages by record and computes all rows in one pass, so it is slow to follow a stream
//! and quick to check one.

mod command;
mod compare;
pub mod dataflow;
mod deadlines;
mod horizon;
mod judge;
mod message;
mod recompute;
mod reference;
mod rows;
mod sample;
mod served;
mod source;
mod spans;
mod sums;
mod time;

pub use command::{VerifyArgs, run};
pub use compare::{ActualError, Comparison, Counts, Differences, compare};
pub use dataflow::dataflow_views;
pub use recompute::{Recomputation, Row, VIEWS, Views, key};
pub use spans::{Counts as SpanCounts, Span};
