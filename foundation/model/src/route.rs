//! Routes of an LRP: opaque JSON by router name, of which we know `cf-router` and `tcp-router`.

use core::{fmt, slice};
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
    /// Only connections that ask for this name in the greeting of TLS come here; all others go to
    /// the port's routes without one. TLS stays between client and instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni_hostname: Option<String>,
}

/// External ports that no TCP route gets: those of this platform, and those that the original kept
/// for its own (ltc A.4).
pub const RESERVED_TCP_PORTS: [u16; 36] = [
    22, 53, 80, 443, 1169, 1234, 1700, 1800, 2222, 2380, 4001, 4222, 4223, 7001, 7777, 8070, 8080,
    8081, 8082, 8090, 8300, 8301, 8302, 8400, 8444, 8500, 8888, 8889, 9016, 9999, 17009, 17014,
    17110, 17111, 17222, 44445,
];

/// Ports as people read them, such as `22, 53, 80`.
pub fn listed<'p>(ports: impl IntoIterator<Item = &'p u16>) -> String {
    ports.into_iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

impl Routes {
    /// The HTTP routes, without those that are not of the known shape.
    pub fn http(&self) -> Vec<HttpRoute> {
        self.read(CF_ROUTER).filter_map(Result::ok).collect()
    }

    /// The TCP routes, without those that are not of the known shape.
    pub fn tcp(&self) -> Vec<TcpRoute> {
        self.read(TCP_ROUTER).filter_map(Result::ok).collect()
    }

    /// What is not of the known shape, and so leads nowhere: each entry with what is wrong with it,
    /// for people.
    pub fn faults(&self) -> Vec<String> {
        let http = self.read::<HttpRoute>(CF_ROUTER).filter_map(Result::err);
        http.chain(self.read::<TcpRoute>(TCP_ROUTER).filter_map(Result::err)).collect()
    }

    /// True when there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries of a router's routes, or what is wrong with them.
    fn read<'a, T: Deserialize<'a>>(
        &'a self,
        key: &'a str,
    ) -> impl Iterator<Item = Result<T, String>> + 'a {
        let found = self.0.get(key).filter(|value| !value.is_null());
        let entries = found.map(|value| value.as_array().map_or(slice::from_ref(value), |v| v));
        let is_list = found.is_some_and(serde_json::Value::is_array);
        entries.unwrap_or_default().iter().map(move |entry| {
            let told = |why: &dyn fmt::Display| format!("{key}: {}: {why}", shortened(entry));
            match entry {
                _ if !is_list => Err(told(&"it is no list of routes")),
                // A list of values would do for a struct, and is no route.
                serde_json::Value::Object(_) => T::deserialize(entry).map_err(|why| told(&why)),
                _ => Err(told(&"it is no object")),
            }
        })
    }
}

/// The most characters of an entry that are shown.
const SHOWN_MAX: usize = 200;

fn shortened(entry: &serde_json::Value) -> String {
    let text = entry.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tcp_routes_are_read_with_and_without_a_name_and_faults_are_told() {
        let entries = json!([
            {"router_group_guid": "g", "external_port": 50000, "container_port": 5432},
            {"external_port": 50000, "container_port": 5433, "sni_hostname": "db.test"},
            {"external_port": 70000, "container_port": 1},
        ]);
        let routes = Routes([(TCP_ROUTER.to_owned(), entries)].into());
        let found: Vec<_> = routes.tcp().into_iter().map(|r| r.sni_hostname).collect();
        assert_eq!(found, [None, Some("db.test".to_owned())]);
        let faults = routes.faults();
        assert!(faults.len() == 1 && faults[0].starts_with("tcp-router: "), "{faults:?}");
    }

    #[test]
    fn one_bad_entry_takes_no_other_with_it_and_is_told() {
        let good = json!({"hostnames": ["web.test"], "port": 8080});
        for (entries, hosts, faults) in [
            (json!([good]), 1, &[][..]),
            (json!([good, {"hostnames": "web.test", "port": 1}]), 1, &["invalid type: string"]),
            (json!([{"port": 8080}, 7, good]), 1, &["missing field `hostnames`", "7: it is no"]),
            (json!([[["receptor.test"], 8080]]), 0, &["it is no object"]),
            (good.clone(), 0, &["it is no list"]),
            (json!([{"hostnames": ["x".repeat(300)], "port": 70000}]), 0, &["...: "]),
            (json!("nonsense"), 0, &["\"nonsense\""]),
            (json!(null), 0, &[]),
            (json!([]), 0, &[]),
        ] {
            let routes = Routes([(CF_ROUTER.to_owned(), entries.clone())].into());
            assert_eq!(routes.http().len(), hosts, "{entries}");
            let found = routes.faults();
            assert_eq!(found.len(), faults.len(), "{entries}: {found:?}");
            for (fault, words) in found.iter().zip(faults) {
                assert!(fault.starts_with("cf-router: ") && fault.contains(words), "{fault}");
            }
        }
    }
}
