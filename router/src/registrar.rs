//! The owner of the route table: turns the bus's registrations into changes, and prunes.

mod reading;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::bus::{Bus, Link, Message, Subscription};
use lattice_daemon::clock::Clock;
use lattice_model::Time;
use lattice_model::wire::registration::{
    GREET, REGISTER, REGISTER_TCP, START, TcpRegistration, UNREGISTER, UNREGISTER_TCP,
};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::{Config, Freshness, Identity, Sharding};
use crate::metrics::Registrations;
use crate::pool::Backend;
use crate::reserved::ReservedHosts;
use crate::table::{Editor, Registered};
use crate::tcp::ports::Ports;
use reading::{Ignored, Read};

/// How many offences are remembered, so that each is told of once.
const OFFENDERS_MAX: usize = 1024;

/// The owner task's state.
pub(crate) struct Registrar {
    pub(crate) editor: Editor,
    pub(crate) ports: Ports,
    pub(crate) reserved: Arc<ReservedHosts>,
    pub(crate) counts: Arc<Registrations>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bus: Arc<dyn Bus>,
    rules: Rules,
    link: Link,
    began_at: Time,
    heard_at: Time,
    offenders: HashSet<String>,
    missed: u64,
}

/// What the owner is told of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) freshness: Freshness,
    pub(crate) sharding: Sharding,
    pub(crate) identity: Identity,
    /// How often the queue of messages is looked at, and whether some were lost in it.
    queue_poll: Duration,
    pub(crate) http2_to_endpoints: bool,
}

// === impl Rules ===

impl Rules {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            freshness: config.freshness,
            sharding: config.sharding.clone(),
            identity: config.identity.clone(),
            queue_poll: Duration::from_secs(5),
            http2_to_endpoints: config.http2_to_endpoints,
        }
    }
}

// === impl Registrar ===

impl Registrar {
    pub(crate) fn new(
        (editor, ports): (Editor, Ports),
        reserved: Arc<ReservedHosts>,
        rules: Rules,
        clock: Arc<dyn Clock>,
        bus: Arc<dyn Bus>,
    ) -> Self {
        let (heard_at, counts) = (clock.now(), Arc::<Registrations>::default());
        counts.heard(heard_at);
        Self {
            editor,
            ports,
            reserved,
            counts,
            began_at: heard_at,
            heard_at,
            clock,
            link: *bus.link().borrow(),
            bus,
            rules,
            offenders: HashSet::new(),
            missed: 0,
        }
    }

    /// Announces the router and follows the bus, and what is told beside it, until shutdown.
    pub(crate) async fn run(
        mut self,
        mut messages: Subscription,
        mut suspects: mpsc::Receiver<Arc<Backend>>,
        mut told: mpsc::Receiver<Message>,
        shutdown: CancellationToken,
    ) {
        self.announce(START);
        let interval = self.rules.freshness.prune_interval;
        // Of their own: messages, however many, do not put them off.
        let mut looks = every(interval.max(Duration::from_nanos(1)));
        let mut polls = every(self.rules.queue_poll);
        let mut retries = every(PORT_RETRY);
        let mut link = self.bus.link();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = looks.tick(), if !interval.is_zero() => self.prune(),
                _ = polls.tick() => {
                    self.counts.queue_is(messages.waiting(), messages.dropped());
                    self.resync_if_missed(messages.dropped());
                }
                Ok(()) = link.changed() => {
                    let now = *link.borrow_and_update();
                    self.linked(now);
                }
                _ = retries.tick(), if self.ports.has_shut() => self.retry_ports(),
                Some(suspect) = suspects.recv() => self.evict(&suspect),
                Some(message) = told.recv() => self.hear(&message),
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
            REGISTER_TCP => self.take_tcp(&message.payload, true),
            UNREGISTER_TCP => self.take_tcp(&message.payload, false),
            GREET => self.announce(message.reply.as_deref().unwrap_or(START)),
            _ => {}
        }
    }

    /// Forgets an endpoint that is not what was registered.
    pub(crate) fn evict(&mut self, suspect: &Backend) {
        let routes = self.editor.evict(suspect, self.clock.now());
        if routes > 0 {
            warn!(
                endpoint = suspect.label(),
                instance = suspect.instance_id(),
                routes,
                "prune-failed-endpoint"
            );
        }
        self.counts.routes_now(self.editor.len());
    }

    /// Acts on a bus that was lost or found.
    pub(crate) fn linked(&mut self, link: Link) {
        let was = std::mem::replace(&mut self.link, link);
        if link.ups == was.ups {
            return;
        }
        if self.rules.freshness.keep_when_cut {
            self.editor.refresh(self.clock.now());
            self.ports.refresh(self.clock.now());
        }
        self.announce(START);
    }

    /// Forgets what has not been heard of for too long.
    pub(crate) fn prune(&mut self) {
        let now = self.clock.now();
        let freshness = &self.rules.freshness;
        let is_silent = now.since(self.heard_at) > freshness.stale_after;
        let keep_stale = (is_silent && freshness.keep_when_silent)
            || (!self.link.is_up && freshness.keep_when_cut);
        if keep_stale && !self.editor.is_empty() {
            debug!("no registration arrives at all; nothing is pruned");
        }
        let mut pruned = self.editor.prune(now, keep_stale);
        pruned.endpoints += self.ports.prune(now, keep_stale).endpoints;
        self.counts.pruned(pruned, self.editor.len());
        self.counts.ports_now(self.ports.open_count());
        if pruned.endpoints > 0 {
            warn!(endpoints = pruned.endpoints, "endpoints without heartbeat forgotten");
        }
    }

    /// Says who this is and how often it wants to hear. On [`START`] that asks emitters to register
    /// everything again.
    fn announce(&self, subject: &str) {
        let identity = &self.rules.identity;
        let body = serde_json::json!({
            "id": identity.id,
            "hosts": identity.hosts,
            "minimumRegisterIntervalInSeconds": identity.register_interval.as_secs(),
            "pruneThresholdInSeconds": self.rules.freshness.stale_after.as_secs(),
        });
        self.bus.publish(subject, body.to_string().as_bytes());
    }

    fn resync_if_missed(&mut self, dropped: u64) {
        if dropped > self.missed {
            info!("registrations were lost in a full queue; asking for all again");
            self.missed = dropped;
            self.announce(START);
        }
    }

    fn take(&mut self, payload: &[u8], is_register: bool) {
        let now = self.clock.now();
        self.heard_at = now;
        self.counts.heard(now);
        let mut read = match reading::read(payload, self.rules.freshness.stale_after, is_register) {
            Ok(read) => read,
            Err(why) => {
                self.ignore(&why);
                return;
            }
        };
        if is_register && !self.rules.sharding.carries(&read.segment) {
            return;
        }
        if let Some(odd) = &read.odd {
            self.ignore(odd);
        }
        read.name(&self.counts.components);
        read.limit(self.rules.http2_to_endpoints);
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
        self.counts.registered(registered, told.facts.component);
        match registered {
            Registered::Added => {
                self.arrived(read.changed_at, now);
                info!(route = %key.uri(), endpoint = told.label(), app = %told.facts.app, "endpoint added");
            }
            Registered::Full => return Err(Ignored::Full { routes: self.editor.len() }),
            Registered::Updated | Registered::Refreshed | Registered::Outdated => {}
        }
        Ok(())
    }

    /// Notes how long a new endpoint was on its way.
    fn arrived(&self, changed_at: Option<Time>, now: Time) {
        if now.since(self.began_at) > self.rules.freshness.arrivals_unmeasured
            && let Some(changed_at) = changed_at
        {
            self.counts.arrived(now.since(changed_at));
        }
    }

    fn unregister(&mut self, uri: &str, read: &Read, now: Time) -> Result<(), Ignored> {
        let (key, told) = read.for_uri(uri, &self.reserved)?;
        if self.editor.unregister(&key, &told, now) {
            self.counts.unregistered(told.facts.component);
            info!(route = %key.uri(), endpoint = told.label(), app = %told.facts.app, "endpoint removed");
        }
        Ok(())
    }

    fn take_tcp(&mut self, payload: &[u8], is_register: bool) {
        let now = self.clock.now();
        self.heard_at = now;
        self.counts.heard(now);
        let read = reading::read_tcp(payload, self.rules.freshness.stale_after);
        let (told, addr, stale_after) = match read {
            Ok(read) => read,
            Err(why) => {
                self.ignore(&why);
                return;
            }
        };
        let changed = if is_register {
            let registered = self.ports.register(&told, (addr, stale_after), now);
            registered.map(|registered| registered == Registered::Added)
        } else {
            self.ports.unregister(&told, addr, now)
        };
        self.counts.ports_now(self.ports.open_count());
        match changed {
            Ok(false) => {}
            Ok(true) => {
                let TcpRegistration { external_port: port, sni_hostname: name, app, .. } = &told;
                let what = if is_register { "TCP endpoint added" } else { "TCP endpoint removed" };
                info!(port, name, endpoint = %addr, app, "{what}");
            }
            Err(why) => {
                let why = why.into();
                self.ignore(&why);
                // Each app is told once, whoever else was told the same.
                if self.is_new(format!("{}: {why}", told.app)) {
                    self.ports.tell(&told, &why.to_string(), now);
                }
            }
        }
    }

    fn retry_ports(&mut self) {
        self.ports.retry();
        self.counts.ports_now(self.ports.open_count());
    }

    /// Says why a registration was ignored, once for each reason and offender.
    fn ignore(&mut self, why: &Ignored) {
        self.counts.ignored();
        if !self.is_new(why.to_string()) {
            return;
        }
        match why {
            // gorouter's word for what is no message.
            Ignored::NotJson(_) | Ignored::RouteService { .. } => {
                warn!(reason = %why, "validation-error");
            }
            _ => warn!(reason = %why, "registration ignored"),
        }
    }

    fn is_new(&mut self, offence: String) -> bool {
        self.offenders.len() < OFFENDERS_MAX && self.offenders.insert(offence)
    }
}

/// How long a port that could not be opened is left alone.
const PORT_RETRY: Duration = Duration::from_millis(250);

fn every(interval: Duration) -> Interval {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests;
