//! The router against real sockets on loopback: scripted endpoints on one side, raw clients on the
//! other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod counts;
mod failures;
mod headers;
mod hostile;
mod http2;
mod instances;
mod panics;
mod preamble;
mod proxying;
mod services;
mod sides;
mod support;
mod tcp;
mod tls;
mod troubles;
mod upgrades;
mod wire;
