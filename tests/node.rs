//! A node from outside: what it answers to senders, good ones and bad ones, and how it starts,
//! goes on and stops. Every bad input gets its own clear answer, and nothing else is affected.

mod node {
    pub mod bad_bodies;
    pub mod bad_disks;
    pub mod bad_lines;
    pub mod checkpoints;
    pub mod described;
    pub mod fixture;
    pub mod history;
    pub mod life;
    pub mod program;
    pub mod worker;
}
