//! What the log-aggregator is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use lattice_daemon::gate::Gate;

/// Where to listen, whom to let in, and how much to keep.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of the websocket and HTTP paths; port 0 takes any.
    pub listen: SocketAddr,
    /// Who may pass; [`crate::gate`] makes it.
    pub gate: Gate,
    /// How much is kept.
    pub limits: Limits,
}

/// Every bound of the log-aggregator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The latest lines kept of one app.
    pub lines_per_app: usize,
    /// The latest lines answered where the request names no number (`?limit=`).
    pub lines_answered: usize,
    /// The bytes kept of one app; its oldest lines give way.
    pub bytes_per_app: usize,
    /// The instances of one app whose newest measurement is kept; further ones are not.
    pub instances_per_app: usize,
    /// The apps kept; the one that was silent longest gives way.
    pub apps: usize,
    /// The bytes kept of all apps; the ones that were silent longest give way.
    pub bytes: usize,
    /// How long a measurement is worth telling.
    pub metric_ttl: Duration,
    /// The envelopes that wait for one listener.
    pub listener_envelopes: usize,
    /// The bytes that wait for one listener.
    pub listener_bytes: usize,
    /// The connections served at a time, listeners included.
    pub connections: usize,
    /// How often a listener is pinged; without an answer until the next it is gone.
    pub ping_every: Duration,
    /// How long a listener may take nothing at all before it is given up.
    pub write_patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lines_per_app: 1000,
            lines_answered: 100,
            bytes_per_app: 1024 * 1024,
            instances_per_app: 4096,
            apps: 10_000,
            bytes: 64 * 1024 * 1024,
            metric_ttl: Duration::from_secs(120),
            listener_envelopes: 16_384,
            listener_bytes: 8 * 1024 * 1024,
            connections: 1024,
            ping_every: Duration::from_secs(30),
            write_patience: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// The first limit that is zero, as an error.
    pub fn check(&self) -> Result<(), &'static str> {
        let amounts = [
            ("lines_per_app", self.lines_per_app),
            ("lines_answered", self.lines_answered),
            ("bytes_per_app", self.bytes_per_app),
            ("instances_per_app", self.instances_per_app),
            ("apps", self.apps),
            ("bytes", self.bytes),
            ("listener_envelopes", self.listener_envelopes),
            ("listener_bytes", self.listener_bytes),
            ("connections", self.connections),
        ];
        let periods = [
            ("metric_ttl", self.metric_ttl),
            ("ping_every", self.ping_every),
            ("write_patience", self.write_patience),
        ];
        let zero_amount = amounts.iter().find(|(_, amount)| *amount == 0).map(|(name, _)| *name);
        let zero_period =
            periods.iter().find(|(_, period)| period.is_zero()).map(|(name, _)| *name);
        zero_amount.or(zero_period).map_or(Ok(()), Err)
    }
}
