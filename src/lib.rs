//! Otklik (отклик: a response, feedback): satisfaction values of public services, live and exact.

pub mod event;
pub mod regions;
pub mod rules;
