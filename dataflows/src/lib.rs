//! The rules of Order N 120 as differential dataflows: collections in, collections out.
//!
//! Nothing here can fail, wait or see the world: no clock, no file, no float, no randomness.
//! A figure is a function of the events, and the same bit for bit on any number of workers.

pub mod calendar;
pub mod domain;
pub mod id;
pub mod tally;
pub mod views;
pub mod world;

pub mod epochs;
pub mod graph;

pub mod ledger;
mod packed;
pub mod records;
pub mod reference;
mod slots;

pub mod cells;
pub mod places;
mod shelf;

pub mod ask;

pub mod assess;
pub mod attribute;
pub mod conservation;
pub mod deadlines;
pub mod ranking;
pub mod rollup;
pub mod survey;
