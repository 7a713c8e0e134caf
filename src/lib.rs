//! Otklik (отклик: a response, feedback): satisfaction values of public services, live and exact.

/// State is much memory in little pieces, looked at here and there: pages of two megabytes are found sooner.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod cli;

pub mod chain;
pub mod checkpoint;
pub mod clock;
pub mod config;
pub mod dashboard;
pub mod door;
pub mod event;
pub mod http;
pub mod lines;
pub mod log;
pub mod mesh;
pub mod node;
pub mod protocol;
pub mod regions;
pub mod rules;
pub mod telemetry;
pub mod tether;
pub mod world;

pub mod ask;
pub mod engine;
pub mod gather;
pub mod views;

pub mod compute;
pub mod demo;
pub mod export;
pub mod generate;
pub mod log_command;
pub mod replay;
pub mod verify;
pub mod watch;
pub mod worker;
