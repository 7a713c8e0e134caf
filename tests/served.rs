//! The served views over real sockets: pages, live streams, and what is answered when there is
//! nothing to serve.

mod served {
    pub mod clients;
    pub mod described;
    pub mod fixture;
    pub mod heads;
    pub mod malformed;
    pub mod pages;
    pub mod sockets;
    pub mod streams;
    pub mod unsteady;
    pub mod wrongs;
}
#[path = "common/ports.rs"]
mod ports;
