//! `lattice router` as a process, with gorouter's file, on Debian's nats-server.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod authority;
mod bus;
mod bus_tls;
mod ends;
mod handover;
mod nats;
mod process;
mod soak;
mod status;
mod tables;
