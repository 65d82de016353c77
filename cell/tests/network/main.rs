//! The instances' network, for real, each test in network and mount namespaces of its own. Needs
//! root and Debian's `nftables` and `iproute2`.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod cables;
mod egress;
mod isolation;
mod lifecycle;
mod place;
