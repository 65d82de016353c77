//! `lattice router` as a process, with gorouter's file, on Debian's nats-server.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod authority;
mod bus;
mod bus_tls;
mod ends;
mod files;
mod handover;
mod lines;
mod names;
mod nats;
mod process;
mod reload;
mod routing_api;
mod soak;
mod status;
mod tables;
mod wire;
