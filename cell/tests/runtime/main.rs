//! One contract for every runtime, and what only real containers can show. Needs root, Debian's
//! `runc` and `busybox-static`.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod attached;
mod contract;
mod elders;
mod killed;
mod machine;
mod real;
mod scripted;
mod security;
