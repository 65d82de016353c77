//! `/metrics`: what is counted, in Prometheus' text, under gorouter's names where it has them.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::{View, open_files};
use crate::metrics::{OfComponent, Parts, TcpTotals, Times, Totals};
use crate::verdict::Distrust;

const TEXT: [(header::HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

/// Units in nanoseconds.
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// What is not among the totals.
#[derive(Debug, Default)]
struct Levels {
    since_heard_ms: u128,
    waiting: u64,
    dropped: u64,
    files: usize,
}

/// The page.
pub(super) async fn page(State(view): State<Arc<View>>) -> Response {
    let (waiting, dropped) = view.router.queue();
    let since_heard_ms = view.router.since_heard().as_millis();
    let levels = Levels { since_heard_ms, waiting, dropped, files: open_files() };
    let apps = view.router.apps();
    let mut text = text(&view.router.totals(), &view.router.components(), &apps, &levels);
    text.push_str(&of_parts(&view.router.parts()));
    (TEXT, text).into_response()
}

fn text(
    totals: &Totals,
    components: &[OfComponent],
    apps: &[(Arc<str>, Times)],
    levels: &Levels,
) -> String {
    let mut page = Page::default();
    page.of_components(components);
    page.of_apps(apps);
    page.one("gauge", "total_routes", totals.routes);
    page.one("gauge", "ms_since_last_registry_update", levels.since_heard_ms);
    page.one("gauge", "file_descriptors", levels.files);
    page.one("gauge", "buffered_messages", levels.waiting);
    page.one("gauge", "total_dropped_messages", levels.dropped);
    for (name, value) in [
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
        ("lattice_registrations_ignored", totals.registrations_ignored),
        ("lattice_retries", totals.retries),
        ("lattice_cancelled_requests", totals.cancelled),
        ("lattice_dials", totals.dials),
        ("lattice_access_lines_lost", totals.lines_lost),
    ] {
        page.one("counter", name, value);
    }
    page.one("gauge", "lattice_client_connections", totals.connections);
    page.one("gauge", "lattice_tasks", totals.tasks);
    page.of_tcp(&totals.tcp);
    for (name, responses) in [
        ("responses", totals.responses),
        ("responses_route_services", totals.responses_of_services),
    ] {
        page.family("counter", name);
        for (group, label) in [(2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx"), (0, "xxx")] {
            page.sample(name, &format!("status_group=\"{label}\""), responses[group]);
        }
    }
    // Its reader tells by this one that the page is what it takes it for.
    page.family("counter", "promhttp_metric_handler_errors_total");
    page.sample("promhttp_metric_handler_errors_total", "cause=\"encoding\"", 0);
    page.0
}

/// How long the router's own work took.
fn of_parts(parts: &Parts) -> String {
    let mut page = Page::default();
    for (name, unit, times) in [
        ("route_lookup_time", 1, &parts.lookups),
        ("gorouter_time", SECOND, &parts.own),
        ("route_registration_latency", MILLISECOND, &parts.arrivals),
    ] {
        page.family("histogram", name);
        page.histogram(name, "", unit, times);
    }
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, kind: &str, name: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    fn one(&mut self, kind: &str, name: &str, value: impl std::fmt::Display) {
        self.family(kind, name);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn of_tcp(&mut self, tcp: &TcpTotals) {
        self.one("gauge", "lattice_tcp_ports", tcp.ports);
        self.one("gauge", "lattice_tcp_open_connections", tcp.open);
        for (name, value) in [
            ("lattice_tcp_connections", tcp.taken),
            ("lattice_tcp_failed_connections", tcp.failed),
            ("lattice_tcp_retries", tcp.retries),
            ("lattice_tcp_received_bytes", tcp.received),
            ("lattice_tcp_sent_bytes", tcp.sent),
        ] {
            self.one("counter", name, value);
        }
    }

    fn of_components(&mut self, components: &[OfComponent]) {
        self.family("counter", "registry_message");
        for component in components {
            let of = label(&component.name);
            for (action, value) in [
                ("added", component.added),
                ("updated", component.updated),
                ("unmodified", component.unmodified),
            ] {
                self.sample("registry_message", &format!("action=\"{action}\",{of}"), value);
            }
        }
        self.family("counter", "unregistry_message");
        for component in components {
            self.sample("unregistry_message", &label(&component.name), component.removed);
        }
        self.family("counter", "total_requests");
        for component in components {
            self.sample("total_requests", &label(&component.name), component.requests());
        }
        self.family("histogram", "latency");
        for component in components {
            self.histogram("latency", &label(&component.name), MILLISECOND, &component.latency);
        }
    }

    /// How long the requests of each app took, where that is asked for.
    fn of_apps(&mut self, apps: &[(Arc<str>, Times)]) {
        if apps.is_empty() {
            return;
        }
        self.family("histogram", "http_latency_seconds");
        for (name, times) in apps {
            let of = format!("source_id=\"{}\"", escaped(name));
            self.histogram("http_latency_seconds", &of, SECOND, times);
        }
    }

    /// Times in a unit of so many nanoseconds.
    fn histogram(&mut self, name: &str, of: &str, unit: u64, times: &Times) {
        let mut below = 0;
        let bucket = format!("{name}_bucket");
        let comma = if of.is_empty() { "" } else { "," };
        for (count, bound) in times.buckets.iter().zip(times.bounds) {
            below += count;
            let bound = decimal(*bound, unit);
            self.sample(&bucket, &format!("{of}{comma}le=\"{bound}\""), below);
        }
        self.sample(&bucket, &format!("{of}{comma}le=\"+Inf\""), times.count());
        self.sample(&format!("{name}_sum"), of, decimal(times.nanos, unit));
        self.sample(&format!("{name}_count"), of, times.count());
    }
}

/// `nanos` in a unit of so many, which is a power of ten; without zeros at the end.
fn decimal(nanos: u64, unit: u64) -> String {
    let (whole, rest) = (nanos / unit, nanos % unit);
    let digits = unit.to_string().len() - 1;
    let text = format!("{whole}.{rest:0digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// `component="..."`, whatever the name holds.
fn label(name: &str) -> String {
    format!("component=\"{}\"", escaped(name))
}

#[test]
fn the_page_is_what_prometheus_reads() {
    use crate::metrics::{Arrivals, Histogram, Lookups, Own};
    use std::time::Duration;

    let mut web = OfComponent { name: "a\"b".into(), added: 2, ..OfComponent::default() };
    let buckets = &mut web.latency.buckets;
    (buckets[0], buckets[2], buckets[12]) = (3, 1, 1);
    web.latency.nanos = 2_001_005_000;
    let apps = [("app\n".into(), web.latency)];
    let mut totals = Totals { routes: 7, failed: 10, ..Totals::default() };
    totals.distrusts = [3, 2, 1, 0, 5];
    totals.responses[5] = 4;
    let page = text(&totals, &[web], &apps, &Levels { files: 9, ..Levels::default() });
    for line in [
        "# TYPE latency histogram",
        "total_routes 7",
        "bad_gateways 4",
        "backend_tls_handshake_failed 3",
        "backend_invalid_id 2",
        "backend_invalid_tls_cert 1",
        "http_latency_seconds_bucket{source_id=\"app\\n\",le=\"0.004\"} 4",
        "http_latency_seconds_bucket{source_id=\"app\\n\",le=\"1\"} 4",
        "http_latency_seconds_sum{source_id=\"app\\n\"} 2.001005",
        "file_descriptors 9",
        "responses{status_group=\"5xx\"} 4",
        "registry_message{action=\"added\",component=\"a\\\"b\"} 2",
        "total_requests{component=\"a\\\"b\"} 5",
        "latency_bucket{component=\"a\\\"b\",le=\"1\"} 3",
        "latency_bucket{component=\"a\\\"b\",le=\"4\"} 4",
        "latency_bucket{component=\"a\\\"b\",le=\"1000\"} 4",
        "latency_bucket{component=\"a\\\"b\",le=\"+Inf\"} 5",
        "latency_sum{component=\"a\\\"b\"} 2001.005",
        "latency_count{component=\"a\\\"b\"} 5",
        "promhttp_metric_handler_errors_total{cause=\"encoding\"} 0",
    ] {
        assert!(page.lines().any(|written| written == line), "{line} is missing in\n{page}");
    }
    let (lookups, own) = (Histogram::<Lookups>::default(), Histogram::<Own>::default());
    let arrivals = Histogram::<Arrivals>::default();
    lookups.add(Duration::from_nanos(700));
    own.add(Duration::from_micros(120));
    arrivals.add(Duration::from_micros(5250));
    let parts =
        of_parts(&Parts { lookups: lookups.read(), own: own.read(), arrivals: arrivals.read() });
    for line in [
        "# TYPE route_lookup_time histogram",
        "route_lookup_time_bucket{le=\"10000\"} 1",
        "route_lookup_time_sum 700",
        "gorouter_time_bucket{le=\"0.0001\"} 0",
        "gorouter_time_bucket{le=\"0.0002\"} 1",
        "gorouter_time_sum 0.00012",
        "route_registration_latency_bucket{le=\"0.1\"} 0",
        "route_registration_latency_bucket{le=\"4\"} 0",
        "route_registration_latency_bucket{le=\"+Inf\"} 1",
        "route_registration_latency_sum 5.25",
        "route_registration_latency_count 1",
    ] {
        assert!(parts.lines().any(|written| written == line), "{line} is missing in\n{parts}");
    }
    let page = page + &parts;
    let types = page.lines().filter(|line| line.starts_with('#'));
    let names: std::collections::BTreeSet<&str> = types.clone().collect();
    assert_eq!(names.len(), types.count(), "each family has one head");
}
