//! Decides: what is wanted, what runs where, what to mend.
//!
//! | Part | Is |
//! |---|---|
//! | [`board`] | desired LRPs, instances' records, tasks, domains, cells; pure |
//! | [`converge`], [`crash`] | what to mend, and when to restart; pure |
//! | [`auction`] | which cell runs what; pure |
//! | [`moves`] | what to move where, when a cell is drained or instances are spread anew; pure |
//! | [`store`] | the board's records on disk; SQLite on a thread of its own |
//! | [`acme`] | orders certificates from an authority, and renews them |
//! | [`actor`] | the one task that owns the board: apply, commit, answer, publish, release |
//! | [`custom_domains`] | certificates for hosts of people's own, for the router's side to follow |
//! | [`dispatch`] | the only caller of cells: holds auctions, delivers orders |
//! | [`callbacks`] | tells tasks' owners how they ended |
//! | [`events`] | tells readers what changed |
//! | [`http`] | the Receptor API, `/v1`, and the dashboard |
//! | [`blobs`] | the registry that people push to and cells pull from |
//!
//! Requests reach the actor through one bounded queue. What it decides goes to the dispatcher and
//! the callbacks through an [`dispatch::Outbox`], which holds each item once.

pub mod acme;
pub mod actor;
pub mod auction;
pub mod blobs;
pub mod board;
pub mod callbacks;
pub mod config;
pub mod converge;
pub mod crash;
pub mod custom_domains;
pub mod dispatch;
pub mod events;
pub mod http;
pub mod moves;
mod start;
pub mod store;

#[cfg(test)]
mod testing;

pub use actor::Handle;
pub use config::Config;
pub use start::{StartError, start, start_with};
