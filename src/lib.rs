//! Otklik (отклик: a response, feedback): satisfaction values of public services, live and exact.

pub mod cli;

pub mod event;
pub mod http;
pub mod views;
