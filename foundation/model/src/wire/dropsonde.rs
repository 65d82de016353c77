//! Dropsonde v1 envelopes (proto2).
