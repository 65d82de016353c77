//! Bytes that several roles speak.

pub mod dropsonde;
pub mod event_stream;
pub mod registration;
