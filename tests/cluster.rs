//! Several nodes that compute together: the same figures at all of them, whichever node an event
//! entered, and whatever happens to nodes, workers and connections.
//!
//! More than the gate's short run is asked for by `OTKLIK_HISTORIES` (random histories),
//! `OTKLIK_ROUNDS` (of restarts of all nodes), and by `OTKLIK_EVENTS` (things that happen to a
//! cluster of network namespaces; for root, with `ip` and `nft`), those of one kind by `OTKLIK_ONLY`
//! (a part of its name), `OTKLIK_RECORDS` (in its log before), `OTKLIK_PAUSE` (milliseconds between
//! two batches of a sender), `OTKLIK_REST` (milliseconds between two things that happen),
//! `OTKLIK_SEED` and `OTKLIK_REPORT` (a file to which the outcome is appended); `OTKLIK_PROGRAM` is
//! another build of the program.

mod cluster {
    pub mod agree;
    pub mod engine;
    pub mod fail;
    pub mod fixture;
    pub mod rolling;
    pub mod size;
    pub mod torture;
}
#[path = "common/cases.rs"]
mod cases;
#[path = "torture/clients.rs"]
#[expect(dead_code, reason = "what sends here, sends to many nodes")]
mod clients;
#[path = "common/histories.rs"]
mod histories;
#[path = "common/ports.rs"]
mod ports;
