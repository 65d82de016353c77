//! How much is done for a figure.

use std::time::Duration;

/// How often and how long something is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Rounds of each case.
    pub(crate) rounds: usize,
    /// The load of a round.
    pub(crate) seconds: Duration,
    /// The idleness of a round.
    pub(crate) idle: Duration,
}

impl Effort {
    /// What makes a figure.
    pub(crate) const FULL: Self =
        Self { rounds: 5, seconds: Duration::from_secs(5), idle: Duration::from_secs(60) };
    /// What shows that the measurement works, and says nothing else.
    pub(crate) const SMOKE: Self =
        Self { rounds: 1, seconds: Duration::from_secs(1), idle: Duration::from_secs(1) };
}
