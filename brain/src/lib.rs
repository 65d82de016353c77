//! Decides: what runs where. To come.

pub mod blobs;
pub mod http;
