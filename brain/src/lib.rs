//! Decides: what runs where. To come.
