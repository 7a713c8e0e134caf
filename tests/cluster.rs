//! Several nodes that compute together: the same figures at all of them, whichever node an event
//! entered, and whatever happens to nodes, workers and connections.
//!
//! More than the gate's short run is asked for by `OTKLIK_HISTORIES` (random histories).

mod cluster {
    pub mod agree;
    pub mod engine;
    pub mod fail;
    pub mod fixture;
    pub mod size;
}
#[path = "common/histories.rs"]
mod histories;
