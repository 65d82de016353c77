//! `/varz`: what is counted, for old tooling.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use lattice_model::Time;
use serde_json::{Value, json};

use super::{View, process};
use crate::metrics::{OfComponent, Totals};

/// The page.
pub(super) async fn page(State(view): State<Arc<View>>) -> Json<Value> {
    let (totals, components) = (view.router.totals(), view.router.components());
    let rates = view.rates.lock().expect("no holder panics").per_second();
    let now = view.router.now();
    let uptime = view.began.elapsed();
    let mut page = json!({
        "type": "Router",
        "index": view.identity.index,
        "uuid": view.identity.id,
        "host": view.host,
        "credentials": [view.user, view.password],
        "start": rfc3339(Time(now.0 - i64::try_from(uptime.as_nanos()).unwrap_or(0))),
        "uptime": text_of(uptime),
        "num_cores": std::thread::available_parallelism().map_or(1, usize::from),
        "mem": process::memory_peak_kib(),
        "cpu": view.load.lock().expect("no holder panics").cores(),
        "log_counts": {},
        "urls": totals.routes,
        "droplets": view.router.endpoints(),
        "rate": rates,
        "requests_per_sec": rates[0],
        "bad_requests": totals.unrouted + totals.refused,
        "bad_gateways": totals.failed,
        "top10_app_requests": [],
        "ms_since_last_registry_update": view.router.since_heard().as_millis(),
    });
    if let Value::Object(page) = &mut page {
        page.extend(traffic(&totals, &sum_of(&components)));
        let tags = components.iter().filter(|component| !component.name.is_empty());
        let tags: serde_json::Map<String, Value> = tags
            .map(|component| {
                let known = traffic(&Totals::default(), component);
                (component.name.to_string(), Value::Object(known))
            })
            .collect();
        page.insert("tags".to_owned(), json!({ "component": tags }));
    }
    Json(page)
}

fn traffic(totals: &Totals, of: &OfComponent) -> serde_json::Map<String, Value> {
    let [other, _, second, third, fourth, fifth] = totals.responses;
    let known = json!({
        "requests": of.requests(),
        "responses_2xx": second,
        "responses_3xx": third,
        "responses_4xx": fourth,
        "responses_5xx": fifth,
        "responses_xxx": other,
        "latency": latency(of),
    });
    if let Value::Object(known) = known { known } else { serde_json::Map::new() }
}

/// All components' requests together.
fn sum_of(components: &[OfComponent]) -> OfComponent {
    let mut sum = OfComponent::default();
    for component in components {
        sum.latency += component.latency;
    }
    sum
}

/// Percentiles in seconds, each no better than the bounds of its bucket.
fn latency(of: &OfComponent) -> Value {
    let samples = of.requests();
    let percentile = |percent: u64| {
        let rank = (samples * percent).div_ceil(100).max(1);
        let mut below = 0;
        let bounds = of.latency.bounds.iter().chain(of.latency.bounds.last());
        let mut buckets = of.latency.buckets.iter().zip(bounds);
        let found = buckets.find(|(bucket, _)| {
            below += **bucket;
            below >= rank
        });
        Duration::from_nanos(found.map_or(0, |(_, bound)| *bound)).as_secs_f64()
    };
    json!({
        "50": percentile(50),
        "75": percentile(75),
        "90": percentile(90),
        "95": percentile(95),
        "99": percentile(99),
        "samples": samples,
        "value": Duration::from_nanos(of.latency.nanos).as_secs_f64(),
    })
}

/// `0d:0h:0m:0s`.
fn text_of(uptime: Duration) -> String {
    let secs = uptime.as_secs();
    format!("{}d:{}h:{}m:{}s", secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60)
}

fn rfc3339(at: Time) -> String {
    let mut text = String::new();
    crate::access_log::timestamp(&mut text, at);
    text
}

#[test]
fn percentiles_are_the_bounds_of_their_buckets() {
    let mut of = OfComponent::default();
    of.latency.nanos = 1_500_000_000;
    let buckets = &mut of.latency.buckets;
    (buckets[0], buckets[1], buckets[12]) = (90, 9, 1);
    let told = latency(&of);
    assert_eq!(told["50"], 0.001);
    assert_eq!(told["90"], 0.001);
    assert_eq!(told["95"], 0.002);
    assert_eq!(told["99"], 0.002);
    assert_eq!(told["samples"], 100);
    assert_eq!(told["value"], 1.5);
    assert_eq!(latency(&OfComponent::default())["99"], 0.0);
}

#[test]
fn uptime_reads_as_gorouters() {
    assert_eq!(text_of(Duration::from_secs(90_061)), "1d:1h:1m:1s");
}
