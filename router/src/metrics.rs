//! Everything the router counts.

mod components;
mod histogram;

use core::time::Duration;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use lattice_model::Time;
use tokio::runtime::RuntimeMetrics;

use crate::table::{Pruned, Registered};
use crate::verdict::{DISTRUSTS, Distrust};
pub use components::{COMPONENTS_MAX, Components};
pub use histogram::{Arrivals, Histogram, Lookups, Own, Requests, Times};

/// The groups of statuses: 1xx to 5xx in their places, and in the first all others.
pub const GROUPS: usize = 6;

/// What the owner of the table counts.
#[derive(Debug, Default)]
pub struct Registrations {
    /// Who they came from.
    pub components: Components,
    /// By component.
    by_component: [Messages; COMPONENTS_MAX],
    /// Endpoints forgotten for want of heartbeats.
    pub pruned: AtomicU64,
    /// Messages or uris that were ignored.
    pub ignored: AtomicU64,
    /// Routes in the table.
    pub routes: AtomicU64,
    /// Ports of TCP routes that are open.
    pub ports: AtomicU64,
    /// Messages that wait to be read.
    pub waiting: AtomicU64,
    /// Messages that found the queue full.
    pub dropped: AtomicU64,
    /// When the last message came, in nanoseconds since 1970.
    pub heard_at: AtomicI64,
    /// How long new endpoints were on their way.
    arrivals: Histogram<Arrivals>,
}

#[derive(Debug, Default)]
struct Messages {
    added: AtomicU64,
    updated: AtomicU64,
    unmodified: AtomicU64,
    removed: AtomicU64,
}

/// What one worker counts; each has its own, so that no two cores write to one line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Traffic {
    /// Requests taken.
    pub requests: AtomicU64,
    /// Requests answered by the router itself.
    pub answered_here: AtomicU64,
    /// Requests whose framing was refused before they were read.
    pub refused: AtomicU64,
    /// Requests with a `Content-Length` that says nothing.
    pub empty_lengths: AtomicU64,
    /// Requests answered 404 or 400 for want of a route.
    pub unrouted: AtomicU64,
    /// Requests answered because an endpoint failed.
    pub failed: AtomicU64,
    /// Requests for which every endpoint had enough to do.
    pub busy: AtomicU64,
    /// Attempts after the first.
    pub retries: AtomicU64,
    /// Clients that left before their answer was complete.
    pub cancelled: AtomicU64,
    /// Connections that were upgraded.
    pub upgrades: AtomicU64,
    /// Upgrades that an endpoint did not carry out.
    pub upgrades_failed: AtomicU64,
    /// Connections opened to endpoints.
    pub dials: AtomicU64,
    /// Access lines that found the log's queue full.
    pub lines_lost: AtomicU64,
    /// Client connections open now, upgraded ones included.
    pub connections: AtomicU64,
    /// What TCP routes carry.
    pub tcp: TcpTraffic,
    /// Who knows how many tasks the worker has.
    pub runtime: OnceLock<RuntimeMetrics>,
    responses: [AtomicU64; GROUPS],
    responses_of_services: [AtomicU64; GROUPS],
    latencies: [Histogram<Requests>; COMPONENTS_MAX],
    /// Those that no endpoint was asked for.
    latency_here: Histogram<Requests>,
    lookups: Histogram<Lookups>,
    own: Histogram<Own>,
    /// Requests answered because two ends of TLS did not come together, by the reason.
    distrusts: [AtomicU64; DISTRUSTS],
}

/// What one worker counts of TCP routes.
#[derive(Debug, Default)]
pub struct TcpTraffic {
    /// Client connections taken.
    pub taken: AtomicU64,
    /// Client connections open now.
    pub open: AtomicU64,
    /// Client connections for which no endpoint was found.
    pub failed: AtomicU64,
    /// Endpoints tried after the first of a connection.
    pub retries: AtomicU64,
    /// Bytes from clients.
    pub received: AtomicU64,
    /// Bytes to clients.
    pub sent: AtomicU64,
}

/// Sums of what is counted of TCP routes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TcpTotals {
    /// Ports that are open now.
    pub ports: u64,
    /// Client connections taken.
    pub taken: u64,
    /// Client connections open now.
    pub open: u64,
    /// Client connections for which no endpoint was found.
    pub failed: u64,
    /// Endpoints tried after the first of a connection.
    pub retries: u64,
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
}

/// How long the parts of what the router does took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// From hosts and paths to routes.
    pub lookups: Times,
    /// From requests' heads until endpoints were asked.
    pub own: Times,
    /// From endpoints' changes to their places in the table, where registrations tell the first.
    pub arrivals: Times,
}

/// Sums of all that is counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Routes in the table.
    pub routes: u64,
    /// Registrations and uris ignored.
    pub registrations_ignored: u64,
    /// Endpoints forgotten for want of heartbeats.
    pub endpoints_pruned: u64,
    /// Requests taken.
    pub requests: u64,
    /// Requests answered by the router itself.
    pub answered_here: u64,
    /// Requests whose framing was refused before they were read.
    pub refused: u64,
    /// Requests with a `Content-Length` that says nothing.
    pub empty_lengths: u64,
    /// Requests answered for want of a route.
    pub unrouted: u64,
    /// Requests answered because an endpoint failed.
    pub failed: u64,
    /// Requests for which every endpoint had enough to do.
    pub busy: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Clients that left before their answer was complete.
    pub cancelled: u64,
    /// Connections that were upgraded.
    pub upgrades: u64,
    /// Upgrades that failed.
    pub upgrades_failed: u64,
    /// Connections opened to endpoints.
    pub dials: u64,
    /// Access lines lost.
    pub lines_lost: u64,
    /// Client connections open now.
    pub connections: u64,
    /// Tasks of all workers: two for each, one for each address, and those of connections.
    pub tasks: usize,
    /// Answers by the group of their status.
    pub responses: [u64; GROUPS],
    /// The same for answers of route services.
    pub responses_of_services: [u64; GROUPS],
    /// Of the failed ones, those where TLS did not come about, by [`Distrust`].
    pub distrusts: [u64; DISTRUSTS],
    /// What TCP routes carry.
    pub tcp: TcpTotals,
}

/// What is known of one component.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OfComponent {
    /// Its name; empty for those without.
    pub name: Arc<str>,
    /// Registrations that added an endpoint.
    pub added: u64,
    /// That changed one.
    pub updated: u64,
    /// That said nothing new.
    pub unmodified: u64,
    /// Endpoints withdrawn.
    pub removed: u64,
    /// How long its requests took.
    pub latency: Times,
}

/// Adds one; only one thread writes a counter, or some would be lost.
pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Adds more, with the same restriction.
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

// === impl Registrations ===

impl Registrations {
    pub(crate) fn registered(&self, what: Registered, component: u8) {
        let messages = &self.by_component[usize::from(component)];
        count(match what {
            Registered::Added => &messages.added,
            Registered::Updated => &messages.updated,
            Registered::Refreshed => &messages.unmodified,
            Registered::Outdated | Registered::Full => return,
        });
    }

    pub(crate) fn unregistered(&self, component: u8) {
        count(&self.by_component[usize::from(component)].removed);
    }

    /// Notes a new endpoint that changed so long ago.
    pub(crate) fn arrived(&self, after: Duration) {
        self.arrivals.add(after);
    }

    pub(crate) fn ignored(&self) {
        count(&self.ignored);
    }

    pub(crate) fn pruned(&self, pruned: Pruned, routes: usize) {
        add(&self.pruned, pruned.endpoints as u64);
        self.routes_now(routes);
    }

    pub(crate) fn routes_now(&self, routes: usize) {
        self.routes.store(routes as u64, Ordering::Relaxed);
    }

    pub(crate) fn ports_now(&self, ports: usize) {
        self.ports.store(ports as u64, Ordering::Relaxed);
    }

    pub(crate) fn heard(&self, at: Time) {
        self.heard_at.store(at.0, Ordering::Relaxed);
    }

    pub(crate) fn queue_is(&self, waiting: usize, dropped: u64) {
        self.waiting.store(waiting as u64, Ordering::Relaxed);
        self.dropped.store(dropped, Ordering::Relaxed);
    }
}

// === impl Traffic ===

impl Traffic {
    /// Notes how long a route was looked for.
    pub(crate) fn looked_up(&self, took: Duration) {
        self.lookups.add(took);
    }

    /// Notes how long a request took until an endpoint was asked.
    pub(crate) fn passed_on(&self, took: Duration) {
        self.own.add(took);
    }

    /// Notes a request that has come to its end.
    pub(crate) fn ended(&self, status: u16, component: u8, took: Duration) {
        count(&self.responses[group_of(status)]);
        self.latencies[usize::from(component)].add(took);
    }

    /// Notes a request that no endpoint was asked for.
    pub(crate) fn ended_here(&self, took: Duration) {
        self.latency_here.add(took);
    }

    /// Notes a request that failed for want of trust.
    pub(crate) fn distrusted(&self, distrust: Distrust) {
        count(&self.distrusts[distrust as usize]);
    }

    /// How long those took that no endpoint was asked for.
    pub(crate) fn times_here(&self) -> Times {
        self.latency_here.read()
    }

    /// The same of a request that went to a route service; it comes again.
    pub(crate) fn service_ended(&self, status: u16) {
        count(&self.responses_of_services[group_of(status)]);
    }
}

fn group_of(status: u16) -> usize {
    let group = usize::from(status / 100);
    if group < GROUPS { group } else { 0 }
}

// === impl Totals ===

impl Totals {
    /// Requests answered because two ends of TLS did not come together for this reason.
    pub fn distrusted(&self, distrust: Distrust) -> u64 {
        self.distrusts[distrust as usize]
    }

    /// Requests answered because an endpoint failed in another way than those told apart.
    pub fn bad_gateways(&self) -> u64 {
        let told_apart = self.distrusts.iter().sum::<u64>() - self.distrusted(Distrust::Late);
        self.failed.saturating_sub(told_apart)
    }

    /// Adds everything up.
    pub fn sum<'t>(
        registrations: &Registrations,
        workers: impl Iterator<Item = &'t Traffic>,
    ) -> Self {
        let mut totals = Self {
            routes: read(&registrations.routes),
            registrations_ignored: read(&registrations.ignored),
            endpoints_pruned: read(&registrations.pruned),
            tcp: TcpTotals { ports: read(&registrations.ports), ..TcpTotals::default() },
            ..Self::default()
        };
        for worker in workers {
            totals.requests += read(&worker.requests);
            totals.answered_here += read(&worker.answered_here);
            totals.refused += read(&worker.refused);
            totals.empty_lengths += read(&worker.empty_lengths);
            totals.unrouted += read(&worker.unrouted);
            totals.failed += read(&worker.failed);
            totals.busy += read(&worker.busy);
            totals.retries += read(&worker.retries);
            totals.cancelled += read(&worker.cancelled);
            totals.upgrades += read(&worker.upgrades);
            totals.upgrades_failed += read(&worker.upgrades_failed);
            totals.dials += read(&worker.dials);
            totals.lines_lost += read(&worker.lines_lost);
            totals.connections += read(&worker.connections);
            totals.tasks += worker.runtime.get().map_or(0, RuntimeMetrics::num_alive_tasks);
            totals.tcp.add(&worker.tcp);
            for (sums, groups) in [
                (&mut totals.responses, &worker.responses),
                (&mut totals.responses_of_services, &worker.responses_of_services),
            ] {
                for (sum, group) in sums.iter_mut().zip(groups) {
                    *sum += read(group);
                }
            }
            for (sum, reason) in totals.distrusts.iter_mut().zip(&worker.distrusts) {
                *sum += read(reason);
            }
        }
        totals
    }
}

// === impl Parts ===

impl Parts {
    /// Adds everything up.
    pub fn sum<'t>(
        registrations: &Registrations,
        workers: impl Iterator<Item = &'t Traffic>,
    ) -> Self {
        let (lookups, own) = (Times::none::<Lookups>(), Times::none::<Own>());
        let mut sum = Self { lookups, own, arrivals: registrations.arrivals.read() };
        for worker in workers {
            sum.lookups += worker.lookups.read();
            sum.own += worker.own.read();
        }
        sum
    }
}

// === impl TcpTotals ===

impl TcpTotals {
    fn add(&mut self, worker: &TcpTraffic) {
        self.taken += read(&worker.taken);
        self.open += read(&worker.open);
        self.failed += read(&worker.failed);
        self.retries += read(&worker.retries);
        self.received += read(&worker.received);
        self.sent += read(&worker.sent);
    }
}

// === impl OfComponent ===

impl OfComponent {
    /// What is known of every component, in the order in which they were first heard of.
    pub fn all<'t>(
        registrations: &Registrations,
        workers: impl Iterator<Item = &'t Traffic> + Clone,
    ) -> Vec<Self> {
        let of = |(place, messages): (usize, &Messages)| {
            let mut sum = Self {
                name: registrations.components.name(place)?,
                added: read(&messages.added),
                updated: read(&messages.updated),
                unmodified: read(&messages.unmodified),
                removed: read(&messages.removed),
                ..Self::default()
            };
            for worker in workers.clone() {
                sum.latency += worker.latencies[place].read();
            }
            Some(sum)
        };
        registrations.by_component.iter().enumerate().filter_map(of).collect()
    }

    /// How many requests it had.
    pub fn requests(&self) -> u64 {
        self.latency.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_by_status_component_and_time() {
        let (registrations, traffic) = (Registrations::default(), Traffic::default());
        let web = registrations.components.place("web");
        for (status, micros) in [(200, 900), (204, 1000), (200, 1001), (404, 999_999), (777, 0)] {
            traffic.ended(status, web, Duration::from_micros(micros));
        }
        traffic.ended(503, 0, Duration::from_secs(2));
        registrations.registered(Registered::Added, web);
        let totals = Totals::sum(&registrations, [&traffic].into_iter());
        assert_eq!(totals.responses, [1, 0, 3, 0, 1, 1]);
        let all = OfComponent::all(&registrations, [&traffic].into_iter());
        assert_eq!(all.iter().map(OfComponent::requests).collect::<Vec<_>>(), [1, 5, 0]);
        assert_eq!(all[1].latency.buckets[..3], [3, 1, 0]);
        assert_eq!(all[1].latency.buckets[11..], [1, 0]);
        assert_eq!((all[0].latency.buckets[12], all[1].added), (1, 1));
    }
}
