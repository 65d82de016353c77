//! Stories: what people do with Lattice, against the real thing with real containers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture is a failed test")]

mod bad_input;
mod certificates;
mod crashes;
mod custom_domains;
mod domain;
mod egress;
mod lifecycle;
mod names;
mod outliving;
mod people;
mod placement;
mod pods;
mod push;
mod recovery;
mod routing;
mod safety;
mod service;
mod soak;
mod ssh;
mod tasks;
mod tcp_routes;
mod zero_loss;
