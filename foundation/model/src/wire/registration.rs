//! gorouter's registration JSON, on the subjects `router.register` and `router.unregister`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The subject that announces an endpoint; repeated as its heartbeat.
pub const REGISTER: &str = "router.register";
/// The subject that withdraws one.
pub const UNREGISTER: &str = "router.unregister";
/// The subject routers publish when they start; emitters answer by registering everything.
pub const START: &str = "router.start";

/// One endpoint and the host names that lead to it. Unknown keys are ignored, as gorouter does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Registration {
    /// The endpoint's address.
    pub host: String,
    /// The endpoint's port.
    pub port: u16,
    /// Replaces `port` and turns TLS on when it is not 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub tls_port: u16,
    /// Host names, each of which may carry a path and may begin with `*.`.
    pub uris: Vec<String>,
    /// The app's log guid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// The instance guid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub private_instance_id: String,
    /// The instance's index as text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub private_instance_index: String,
    /// Copied to metrics; `component` names who registered.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Seconds after which the endpoint is forgotten without a heartbeat; 0 is the router's own.
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub stale_threshold_in_seconds: u32,
    /// A service each request passes first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub route_service_url: String,
    /// The name to verify in the endpoint's certificate.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_cert_domain_san: String,
    /// How requests are spread over the route's endpoints.
    #[serde(skip_serializing_if = "Options::is_empty")]
    pub options: Options,
}

/// What a registration asks for its route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// `round-robin` or `least-connection`; empty for the router's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub loadbalancing: String,
}

impl Options {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.loadbalancing.is_empty()
    }
}

fn is_zero(n: &u16) -> bool {
    *n == 0
}

fn is_zero_u32(n: &u32) -> bool {
    *n == 0
}
