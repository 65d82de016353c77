//! Routes of an LRP: opaque JSON by router name, of which we know `cf-router`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The key of HTTP routes.
pub const CF_ROUTER: &str = "cf-router";
/// The key of TCP routes.
pub const TCP_ROUTER: &str = "tcp-router";

/// Routes by router name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Routes(pub BTreeMap<String, serde_json::Value>);

/// One entry of `cf-router`: hostnames that lead to one container port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRoute {
    /// Host names, each of which may carry a `/path`.
    pub hostnames: Vec<String>,
    /// The container port.
    pub port: u16,
    /// A service the request passes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_service_url: Option<String>,
}

/// One entry of `tcp-router`: a port of the router that leads to a container port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpRoute {
    /// Which group of TCP routers; opaque.
    #[serde(default)]
    pub router_group_guid: String,
    /// The router's port.
    pub external_port: u16,
    /// The container port.
    pub container_port: u16,
}

impl Routes {
    /// The HTTP routes; empty when there are none or they are not of the known shape.
    pub fn http(&self) -> Vec<HttpRoute> {
        self.known(CF_ROUTER)
    }

    /// The TCP routes; empty when there are none or they are not of the known shape.
    pub fn tcp(&self) -> Vec<TcpRoute> {
        self.known(TCP_ROUTER)
    }

    /// True when there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn known<T: serde::de::DeserializeOwned>(&self, key: &str) -> Vec<T> {
        self.0.get(key).and_then(|v| Vec::<T>::deserialize(v).ok()).unwrap_or_default()
    }
}
