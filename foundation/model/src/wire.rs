//! Bytes that several roles speak.

pub mod dropsonde;
pub mod registration;
