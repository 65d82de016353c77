//! `/routes`: the table as gorouter shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use lattice_model::Labels;
use serde::Serialize;

use super::View;
use crate::EndpointStatus;
use crate::pool::{Balance, Endpoint, Route};

/// One endpoint, with gorouter's names.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    address: String,
    availability_zone: String,
    protocol: &'static str,
    tls: bool,
    /// Seconds without a heartbeat after which it is forgotten; -1 for never.
    ttl: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    route_service_url: Option<String>,
    tags: Labels,
    #[serde(skip_serializing_if = "String::is_empty")]
    isolation_segment: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    private_instance_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    server_cert_domain_san: String,
    load_balancing_algorithm: &'static str,
}

/// Every route and its endpoints.
pub(super) async fn page(State(view): State<Arc<View>>) -> Json<BTreeMap<String, Vec<Shown>>> {
    let table = view.router.table();
    let routes = table.routes();
    Json(routes.iter().map(|route| (route.uri.to_string(), shown(route))).collect())
}

/// Every TCP route and its endpoints, by port and perhaps `/name`.
pub(super) async fn tcp_page(
    State(view): State<Arc<View>>,
) -> Json<BTreeMap<String, Vec<EndpointStatus>>> {
    Json(view.router.tcp_routes())
}

fn shown(route: &Route) -> Vec<Shown> {
    let (balance, service) = (name(route.balance()), route.service());
    let url = service.map(|service| service.url.to_string());
    let shown = |endpoint: &Arc<Endpoint>| Shown {
        route_service_url: url.clone(),
        ..Shown::of(endpoint, balance)
    };
    route.pool.load().iter().map(shown).collect()
}

fn name(balance: Balance) -> &'static str {
    match balance {
        Balance::RoundRobin => "round-robin",
        Balance::LeastConnection => "least-connection",
        Balance::Hash => "hash",
    }
}

impl Shown {
    fn of(endpoint: &Endpoint, load_balancing_algorithm: &'static str) -> Self {
        let (backend, facts) = (&endpoint.backend, &endpoint.facts);
        let ttl = facts.stale_after.map(|after| after.as_secs());
        Self {
            address: backend.label().to_owned(),
            availability_zone: facts.availability_zone.to_string(),
            protocol: if facts.speaks_http2 { "http2" } else { "http1" },
            tls: backend.tls().is_some(),
            ttl: ttl.map_or(-1, |secs| i64::try_from(secs).unwrap_or(i64::MAX)),
            route_service_url: None,
            tags: facts.tags.clone(),
            isolation_segment: facts.isolation_segment.to_string(),
            private_instance_id: backend.instance_id().to_owned(),
            server_cert_domain_san: backend.tls().unwrap_or_default().to_owned(),
            load_balancing_algorithm,
        }
    }
}
