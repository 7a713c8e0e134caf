//! `otklik replay` over sockets: against a real node, and against an other side that stalls, refuses
//! and breaks off when a test says so.

mod replay {
    pub mod command;
    pub mod faults;
    pub mod fixture;
    pub mod measures;
    pub mod node;
}
