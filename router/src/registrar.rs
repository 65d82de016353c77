//! The owner of the route table: turns the bus's registrations into changes, and prunes.

mod reading;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::bus::{Bus, Message, Subscription};
use lattice_daemon::clock::Clock;
use lattice_model::Time;
use lattice_model::wire::registration::{REGISTER, START, UNREGISTER};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Freshness;
use crate::metrics::Registrations;
use crate::reserved::ReservedHosts;
use crate::table::{Editor, Registered};
use reading::{Ignored, Read};

/// The subject on which emitters ask whether a router is there.
const GREET: &str = "router.greet";
/// How many offenders are remembered, so that each is warned of once.
const OFFENDERS_MAX: usize = 1024;
/// How often emitters should repeat themselves, as told in `router.start`.
const HEARTBEAT_SECS: u64 = 20;

/// The owner task's state.
pub(crate) struct Registrar {
    pub(crate) editor: Editor,
    pub(crate) reserved: Arc<ReservedHosts>,
    pub(crate) freshness: Freshness,
    pub(crate) counts: Arc<Registrations>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bus: Arc<dyn Bus>,
    heard_at: Time,
    offenders: HashSet<String>,
    missed: u64,
}

// === impl Registrar ===

impl Registrar {
    pub(crate) fn new(
        editor: Editor,
        reserved: Arc<ReservedHosts>,
        freshness: Freshness,
        clock: Arc<dyn Clock>,
        bus: Arc<dyn Bus>,
    ) -> Self {
        let heard_at = clock.now();
        let (counts, offenders) = (Arc::default(), HashSet::new());
        Self { editor, reserved, freshness, counts, clock, bus, heard_at, offenders, missed: 0 }
    }

    /// Announces the router and follows the bus until shutdown.
    pub(crate) async fn run(mut self, mut messages: Subscription, shutdown: CancellationToken) {
        self.announce();
        let mut prune = tokio::time::interval(self.freshness.prune_interval.max(MIN_INTERVAL));
        prune.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = prune.tick() => {
                    self.resync_if_missed(messages.dropped());
                    self.prune();
                }
                message = messages.next() => match message {
                    Some(message) => self.hear(&message),
                    None => return,
                },
            }
        }
    }

    /// Acts on one message.
    pub(crate) fn hear(&mut self, message: &Message) {
        match &*message.subject {
            REGISTER => self.take(&message.payload, true),
            UNREGISTER => self.take(&message.payload, false),
            GREET => self.announce(),
            _ => {}
        }
    }

    /// Forgets what has not been heard of for too long.
    pub(crate) fn prune(&mut self) {
        let now = self.clock.now();
        let silent = now.since(self.heard_at) > self.freshness.stale_after;
        let keep_stale = silent && self.freshness.keep_when_silent;
        if keep_stale && !self.editor.is_empty() {
            debug!("no registration arrives at all; nothing is pruned");
        }
        let pruned = self.editor.prune(now, self.freshness.empty_route_kept, keep_stale);
        self.counts.pruned(pruned, self.editor.len());
        if pruned.endpoints > 0 {
            warn!(endpoints = pruned.endpoints, "endpoints without heartbeat forgotten");
        }
    }

    /// Asks emitters to register everything again, as a router that has just started.
    fn announce(&self) {
        let body = serde_json::json!({
            "id": "lattice-router",
            "hosts": [],
            "minimumRegisterIntervalInSeconds": HEARTBEAT_SECS,
            "pruneThresholdInSeconds": self.freshness.stale_after.as_secs(),
        });
        self.bus.publish(START, body.to_string().as_bytes());
    }

    fn resync_if_missed(&mut self, dropped: u64) {
        if dropped > self.missed {
            info!("registrations were lost in a full queue; asking for all again");
            self.missed = dropped;
            self.announce();
        }
    }

    fn take(&mut self, payload: &[u8], is_register: bool) {
        let now = self.clock.now();
        self.heard_at = now;
        let read = match reading::read(payload, self.freshness.stale_after, is_register) {
            Ok(read) => read,
            Err(why) => return self.ignore(&why),
        };
        if let Some(odd) = &read.odd {
            self.ignore(odd);
        }
        for uri in &read.uris {
            let changed = if is_register {
                self.register(uri, &read, now)
            } else {
                self.unregister(uri, &read, now)
            };
            if let Err(why) = changed {
                self.ignore(&why);
            }
        }
        self.counts.routes_now(self.editor.len());
    }

    fn register(&mut self, uri: &str, read: &Read, now: Time) -> Result<(), Ignored> {
        let (key, told) = read.for_uri(uri, &self.reserved)?;
        let registered = self.editor.register(&key, &told, now);
        self.counts.registered(registered);
        match registered {
            Registered::Added => {
                info!(route = %key.uri(), endpoint = %told.addr, app = %told.app, "endpoint added");
            }
            Registered::Full => return Err(Ignored::Full { routes: self.editor.len() }),
            Registered::Updated | Registered::Refreshed | Registered::Outdated => {}
        }
        Ok(())
    }

    fn unregister(&mut self, uri: &str, read: &Read, now: Time) -> Result<(), Ignored> {
        let (key, told) = read.for_uri(uri, &self.reserved)?;
        if self.editor.unregister(&key, &told, now) {
            self.counts.unregistered();
            info!(route = %key.uri(), endpoint = %told.addr, app = %told.app, "endpoint removed");
        }
        Ok(())
    }

    /// Says why a registration was ignored, once for each reason and offender.
    fn ignore(&mut self, why: &Ignored) {
        self.counts.ignored();
        let text = why.to_string();
        if self.offenders.len() < OFFENDERS_MAX && self.offenders.insert(text) {
            warn!(reason = %why, "registration ignored");
        }
    }
}

const MIN_INTERVAL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
