//! The agreements between the roles: per server a trait, its routes, its bodies, and the client
//! that implements the trait over HTTP. In one process the server's own handle implements it.

pub mod brain;
pub mod cell;
pub mod localhost;
pub mod log_aggregator;
pub mod registry;
pub mod router;
