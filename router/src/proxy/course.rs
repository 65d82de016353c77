//! When what happened to one request, for its access line.

use core::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::access_log::{Amount, ExtraField};
use crate::connections::Effort;

/// When what happened.
#[derive(Debug)]
pub(crate) struct Course {
    pub(super) started: Instant,
    /// When the first endpoint was asked, and the last.
    pub(super) asked: Option<(Instant, Instant)>,
    /// When the answer's last byte was passed on.
    pub(super) ended: Option<Instant>,
    attempts: usize,
    /// How many of them failed, and when the last one of those had.
    failed: usize,
    failed_at: Option<Instant>,
    /// The router's own address on the connection to the last one, where lines show it.
    pub(crate) local: Option<SocketAddr>,
    /// What the connection to the last one took.
    pub(crate) effort: Effort,
}

// === impl Course ===

impl Course {
    pub(super) fn begin() -> Self {
        Self {
            started: Instant::now(),
            asked: None,
            ended: None,
            attempts: 0,
            failed: 0,
            failed_at: None,
            local: None,
            effort: Effort::default(),
        }
    }

    /// Notes that an endpoint is asked now.
    pub(crate) fn attempt(&mut self) -> Instant {
        let now = Instant::now();
        self.asked = Some((self.asked.map_or(now, |(first, _)| first), now));
        self.attempts += 1;
        self.effort = Effort::default();
        now
    }

    /// Notes that the endpoint asked last has failed.
    pub(crate) fn fails(&mut self) {
        self.failed = self.attempts;
        self.failed_at = Some(Instant::now());
    }

    /// Whether endpoints were asked for that long.
    pub(crate) fn has_sought_for(&self, limit: Duration) -> bool {
        self.asked.is_some_and(|(first, _)| first.elapsed() > limit)
    }

    /// How long all of it took by now.
    pub(super) fn took(&self) -> Duration {
        self.ended.map_or_else(|| self.started.elapsed(), |at| at.duration_since(self.started))
    }

    /// How long the router took by itself.
    pub(super) fn here(&self, took: Duration) -> Duration {
        self.asked.map_or(took, |(first, _)| first.duration_since(self.started))
    }

    pub(super) fn value(&self, field: ExtraField, took: Duration) -> Option<Amount> {
        let (first, last) = self.asked.unzip();
        let since = |at: Instant| took.saturating_sub(at.duration_since(self.started));
        match field {
            ExtraField::BackendTime => {
                last.filter(|_| self.attempts > self.failed).map(since).map(Amount::Time)
            }
            ExtraField::DialTime => self.effort.dial.map(Amount::Time),
            ExtraField::TlsTime => self.effort.tls.map(Amount::Time),
            ExtraField::DnsTime => self.effort.dns.map(Amount::Time),
            ExtraField::FailedAttempts => Some(Amount::Count(self.failed)),
            ExtraField::FailedAttemptsTime => {
                let failed = first.zip(self.failed_at);
                failed.map(|(first, last)| Amount::Time(last.duration_since(first)))
            }
            ExtraField::LocalAddress => self.local.map(|addr| Amount::Text(addr.to_string())),
        }
    }
}
