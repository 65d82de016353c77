//! What is counted, for a metron agent: dropsonde's counters and values under gorouter's names
//! (facts 1.14). gorouter counts by an event for each request; here requests are summed up, and sums
//! and averages are sent every few seconds, which costs requests nothing.

use std::time::Duration;

use lattice_daemon::tasks::Tasks;
use lattice_model::wire::dropsonde::{self, Metric};

use super::agent::Agent;
use crate::Handle;
use crate::http::open_files;
use crate::metrics::{OfComponent, Parts, Times, Totals};
use crate::verdict::Distrust;

/// How often the uptime is told.
const BEAT: Duration = Duration::from_secs(1);
/// All else is told every so many beats.
const BEATS_OF_REPORT: u64 = 5;
const NANOS_OF_MS: f64 = 1e6;
const NANOS_OF_SECOND: f64 = 1e9;

/// What agents know a router as.
pub(super) const ORIGIN: &str = "gorouter";

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The UDP address of a metron agent, `host:port`.
    pub agent: String,
}

/// All that is counted at a moment.
#[derive(Debug)]
struct Seen {
    totals: Totals,
    components: Vec<OfComponent>,
    parts: Parts,
    since_heard: Duration,
    /// Registrations that wait, and that found the queue full.
    queue: (u64, u64),
    files: usize,
}

// === impl Report ===

impl Report {
    /// Tells until shutdown. A router without its agent is one all the same.
    pub(super) fn start(&self, handle: Handle, tasks: &Tasks) {
        let agent = Agent::at(&self.agent, tasks);
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("router-report", async move {
            shutdown.run_until_cancelled(tell(handle, agent)).await;
        });
    }
}

/// Tells an agent every few seconds.
async fn tell(handle: Handle, agent: Agent) {
    let mut before = Seen::of(&handle);
    let mut beats = tokio::time::interval(BEAT);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for uptime in 0_u64.. {
        beats.tick().await;
        let mut metrics = vec![value("uptime", uptime as f64, "seconds")];
        if uptime.is_multiple_of(BEATS_OF_REPORT) {
            let now = Seen::of(&handle);
            metrics.extend(now.since(&before));
            before = now;
        }
        for metric in metrics {
            agent.send(&dropsonde::encode_metric(ORIGIN, handle.now(), &metric));
        }
    }
}

// === impl Seen ===

impl Seen {
    fn of(handle: &Handle) -> Self {
        Self {
            totals: handle.totals(),
            components: handle.components(),
            parts: handle.parts(),
            since_heard: handle.since_heard(),
            queue: handle.queue(),
            files: open_files(),
        }
    }

    /// What there is to tell after `before`: counters that moved, averages of what was measured
    /// since, and values.
    fn since(&self, before: &Self) -> Vec<Metric> {
        let counters = self.counters().into_iter().zip(before.counters());
        let mut metrics: Vec<_> =
            counters.filter_map(|((name, now), (_, before))| counter(name, now, before)).collect();
        for component in &self.components {
            let known = before.components.iter().find(|known| known.name == component.name);
            let known = known.cloned().unwrap_or_default();
            metrics.extend(of_component(component, &known));
        }
        let (now, then) = (latency(&self.components), latency(&before.components));
        let (parts, old) = (&self.parts, &before.parts);
        metrics.extend(
            [
                mean("latency", &now, &then, (NANOS_OF_MS, "ms")),
                mean("route_lookup_time", &parts.lookups, &old.lookups, (1.0, "ns")),
                mean("gorouter_time", &parts.own, &old.own, (NANOS_OF_SECOND, "s")),
                mean(
                    "route_registration_latency",
                    &parts.arrivals,
                    &old.arrivals,
                    (NANOS_OF_MS, "ms"),
                ),
            ]
            .into_iter()
            .flatten(),
        );
        metrics.extend([
            value("total_routes", self.totals.routes as f64, ""),
            value("ms_since_last_registry_update", self.since_heard.as_millis() as f64, "ms"),
            value("buffered_messages", self.queue.0 as f64, "message"),
            value("total_dropped_messages", self.queue.1 as f64, "message"),
            value("file_descriptors", self.files as f64, "file"),
        ]);
        metrics
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let totals = &self.totals;
        let [other, _, second, third, fourth, fifth] = totals.responses;
        let requests = self.components.iter().map(OfComponent::requests).sum();
        vec![
            ("total_requests", requests),
            ("responses", totals.responses.iter().sum()),
            ("responses.2xx", second),
            ("responses.3xx", third),
            ("responses.4xx", fourth),
            ("responses.5xx", fifth),
            ("responses.xxx", other),
            ("routes_pruned", totals.endpoints_pruned),
            ("rejected_requests", totals.unrouted + totals.refused),
            ("bad_gateways", totals.bad_gateways()),
            ("empty_content_length_header", totals.empty_lengths),
            ("backend_invalid_id", totals.distrusted(Distrust::Name)),
            ("backend_invalid_tls_cert", totals.distrusted(Distrust::Certificate)),
            ("backend_tls_handshake_failed", totals.distrusted(Distrust::Handshake)),
            ("backend_exhausted_conns", totals.busy),
            ("websocket_upgrades", totals.upgrades),
            ("websocket_failures", totals.upgrades_failed),
        ]
    }
}

/// How long all requests took, whoever registered.
fn latency(components: &[OfComponent]) -> Times {
    let mut sum = Times::default();
    components.iter().for_each(|component| sum += component.latency);
    sum
}

fn of_component(now: &OfComponent, before: &OfComponent) -> Vec<Metric> {
    let of = |name: &str| match &*now.name {
        "" => name.to_owned(),
        component => format!("{name}.{component}"),
    };
    let messages = |of: &OfComponent| of.added + of.updated + of.unmodified;
    let mut metrics = vec![
        counter(&of("registry_message"), messages(now), messages(before)),
        counter(&of("unregistry_message"), now.removed, before.removed),
    ];
    if !now.name.is_empty() {
        metrics.push(counter(&of("requests"), now.requests(), before.requests()));
        let unit = (NANOS_OF_MS, "ms");
        metrics.push(mean(&of("latency"), &now.latency, &before.latency, unit));
    }
    metrics.into_iter().flatten().collect()
}

/// A counter that moved.
fn counter(name: &str, total: u64, before: u64) -> Option<Metric> {
    let delta = total.saturating_sub(before);
    (delta > 0).then(|| Metric::Counter { name: name.to_owned(), delta, total })
}

/// What was measured since, on average, in a unit of so many nanoseconds.
fn mean(
    name: &str,
    now: &Times,
    before: &Times,
    (nanos, unit): (f64, &'static str),
) -> Option<Metric> {
    let count = now.count().saturating_sub(before.count());
    let took = now.nanos.saturating_sub(before.nanos) as f64 / nanos;
    (count > 0).then(|| value(name, took / count as f64, unit))
}

fn value(name: &str, value: f64, unit: &'static str) -> Metric {
    Metric::Value { name: name.to_owned(), value, unit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Arrivals, Lookups, Own};

    fn nothing() -> Seen {
        Seen {
            totals: Totals::default(),
            components: Vec::new(),
            parts: Parts {
                lookups: Times::none::<Lookups>(),
                own: Times::none::<Own>(),
                arrivals: Times::none::<Arrivals>(),
            },
            since_heard: Duration::from_millis(1500),
            queue: (3, 4),
            files: 5,
        }
    }

    fn times(of: Times, count: u64, nanos: u64) -> Times {
        let mut times = of;
        times.buckets[0] = count;
        times.nanos = nanos;
        times
    }

    #[test]
    fn only_what_moved_and_what_was_measured_is_told() {
        let before = nothing();
        let mut now = nothing();
        now.totals.routes = 7;
        now.totals.responses = [0, 0, 2, 0, 1, 0];
        let latency = times(Times::default(), 3, 6_000_000);
        let web = OfComponent { name: "web".into(), added: 2, latency, ..OfComponent::default() };
        now.components = vec![OfComponent { removed: 1, ..OfComponent::default() }, web];
        now.parts.lookups = times(now.parts.lookups, 4, 2_000);
        now.parts.arrivals = times(now.parts.arrivals, 1, 10_000_000_000);
        let counter =
            |name: &str, delta| Metric::Counter { name: name.to_owned(), delta, total: delta };
        let expected = [
            counter("total_requests", 3),
            counter("responses", 3),
            counter("responses.2xx", 2),
            counter("responses.4xx", 1),
            counter("unregistry_message", 1),
            counter("registry_message.web", 2),
            counter("requests.web", 3),
            value("latency.web", 2.0, "ms"),
            value("latency", 2.0, "ms"),
            value("route_lookup_time", 500.0, "ns"),
            value("route_registration_latency", 10_000.0, "ms"),
            value("total_routes", 7.0, ""),
            value("ms_since_last_registry_update", 1500.0, "ms"),
            value("buffered_messages", 3.0, "message"),
            value("total_dropped_messages", 4.0, "message"),
            value("file_descriptors", 5.0, "file"),
        ];
        assert_eq!(now.since(&before), expected);
        let still = now.since(&now);
        assert!(still.iter().all(|metric| matches!(metric, Metric::Value { .. })), "{still:?}");
        assert_eq!(still.len(), 5, "no average of nothing: {still:?}");
    }
}
