//! Placeholder.
pub mod push;
