//! Runs containers: the authority for what runs.
//!
//! | Part | Is |
//! |---|---|
//! | [`rep`] | the auction's side: state, reservations, stop |
//! | [`instance`] | the instance state machine and the harmonisation table; pure |
//! | [`actions`] | one step per file; a tree of steps runs in a container |
//! | [`health`], [`probe`] | when to check (pure), and the check itself |
//! | [`runtime`] | containers: the real one (`oci`) and the scripted one (`fake`) |
//! | [`images`] | registry client, content store, layers, root filesystems |
//! | [`network`] | bridge, addresses, port mapping |
//! | [`logs`] | pipes to lines to envelopes |
//! | [`routes`] | route heartbeats |

pub mod actions;
pub mod health;
pub mod images;
pub mod instance;
pub mod logs;
pub mod network;
pub mod probe;
pub mod rep;
pub mod routes;
pub mod runtime;
