//! One contract for every runtime, and what only real containers can show. Needs root, Debian's
//! `runc` and `busybox-static`.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod attached;
mod contract;
mod elders;
mod escapes;
mod killed;
mod limits;
mod machine;
mod real;
mod scripted;
mod security;
#[cfg(target_arch = "x86_64")]
mod x86;
