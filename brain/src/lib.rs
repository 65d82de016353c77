//! Decides: what runs where. To come beside this: the board, the auction, the store.

pub mod blobs;
pub mod http;
