//! gorouter's registration JSON, on the subjects `router.register` and `router.unregister`, and
//! beside it one of our own for TCP routes, which gorouter ignores.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// The subject that announces an endpoint; repeated as its heartbeat.
pub const REGISTER: &str = "router.register";
/// The subject that withdraws one.
pub const UNREGISTER: &str = "router.unregister";
/// The subject that announces an endpoint of a TCP route; repeated as its heartbeat.
pub const REGISTER_TCP: &str = "router.register-tcp";
/// The subject that withdraws one.
pub const UNREGISTER_TCP: &str = "router.unregister-tcp";
/// The subject routers publish when they start; emitters answer by registering everything.
pub const START: &str = "router.start";
/// The subject on which emitters ask whether a router is there.
pub const GREET: &str = "router.greet";

/// One endpoint and the host names that lead to it. Unknown keys are ignored, as gorouter does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Registration {
    /// The endpoint's address.
    #[serde(deserialize_with = "said")]
    pub host: String,
    /// The endpoint's port.
    #[serde(deserialize_with = "said")]
    pub port: u16,
    /// Replaces `port` and turns TLS on when it is not 0.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub tls_port: u16,
    /// Host names, each of which may carry a path and may begin with `*.`.
    #[serde(deserialize_with = "said")]
    pub uris: Vec<String>,
    /// The app's log guid.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub app: String,
    /// The instance guid.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub private_instance_id: String,
    /// The instance's index as text.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub private_instance_index: String,
    /// Copied to metrics; `component` names who registered.
    #[serde(deserialize_with = "each_said", skip_serializing_if = "is_default")]
    pub tags: BTreeMap<String, String>,
    /// Seconds after which the endpoint is forgotten without a heartbeat; 0 is the router's own.
    #[serde(deserialize_with = "clamped", skip_serializing_if = "is_default")]
    pub stale_threshold_in_seconds: u32,
    /// A service each request passes first.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub route_service_url: String,
    /// The name to verify in the endpoint's certificate.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub server_cert_domain_san: String,
    /// Which routers carry it, where routers are told to carry only some.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub isolation_segment: String,
    /// `http1` or `http2`; empty for `http1`.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub protocol: String,
    /// Where the endpoint stands, for routers that prefer those nearby.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub availability_zone: String,
    /// When the endpoint last changed, in nanoseconds since 1970; 0 where it was not told.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub endpoint_updated_at_ns: i64,
    /// How requests are spread over the route's endpoints.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub options: Options,
}

/// One endpoint and the port of the router that leads to it. Unknown keys are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpRegistration {
    /// The endpoint's address.
    #[serde(deserialize_with = "said")]
    pub host: String,
    /// The endpoint's port.
    #[serde(deserialize_with = "said")]
    pub port: u16,
    /// The router's port.
    #[serde(deserialize_with = "said")]
    pub external_port: u16,
    /// The name a client must ask for in the greeting of TLS; empty for any, and for none.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub sni_hostname: String,
    /// The app's log guid.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub app: String,
    /// The instance guid.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub private_instance_id: String,
    /// The instance's index as text.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub private_instance_index: String,
    /// Seconds after which the endpoint is forgotten without a heartbeat; 0 is the router's own.
    #[serde(deserialize_with = "clamped", skip_serializing_if = "is_default")]
    pub stale_threshold_in_seconds: u32,
}

/// What a registration asks for its route.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// `round-robin`, `least-connection` or `hash`; empty for the router's own.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub loadbalancing: String,
    /// For `hash`: the header whose value decides.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub hash_header: String,
    /// For `hash`: how many times the average an instance may have under way; 0 for any number.
    #[serde(deserialize_with = "said", skip_serializing_if = "is_default")]
    pub hash_balance: f64,
}

/// JSON has no number that differs from itself.
impl Eq for Options {}

/// A value, or the default where it is `null`, which is what Go writes for a map or a list of nothing.
fn said<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// The same for a number, which gorouter takes as any `int`: those beyond ours are the nearest.
fn clamped<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let told: i64 = said(from)?;
    Ok(u32::try_from(told.max(0)).unwrap_or(u32::MAX))
}

/// The same for each value of a map, and for all of it.
fn each_said<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let told: BTreeMap<String, Option<String>> = said(from)?;
    Ok(told.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_any_integer_of_go_and_becomes_the_nearest() {
        for (told, expected) in [
            ("60", Some(60)),
            ("null", Some(0)),
            ("0", Some(0)),
            ("-1", Some(0)),
            ("-9223372036854775808", Some(0)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", Some(u32::MAX)),
            ("9223372036854775807", Some(u32::MAX)),
            ("1.5", None),
            (r#""60""#, None),
        ] {
            let told = format!(r#"{{"stale_threshold_in_seconds":{told}}}"#);
            let http: Option<Registration> = serde_json::from_str(&told).ok();
            let tcp: Option<TcpRegistration> = serde_json::from_str(&told).ok();
            assert_eq!(http.map(|read| read.stale_threshold_in_seconds), expected, "{told}");
            assert_eq!(tcp.map(|read| read.stale_threshold_in_seconds), expected, "{told}");
        }
    }
}
