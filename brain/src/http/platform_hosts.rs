//! Hostnames that belong to the platform, and must not be taken by an app's routes.

use lattice_model::route::CF_ROUTER;
use lattice_model::{ErrorName, Refusal, Routes};
use serde_json::Value;

/// What the platform itself answers at, under its domain.
const OWN: [&str; 4] = ["receptor", "doppler", "registry", "dashboard"];

/// Refuses routes that name one of the platform's own hostnames, or a wildcard over them.
pub(super) fn check(routes: &Routes, domain: &str) -> Result<(), Refusal> {
    let entries = routes.0.get(CF_ROUTER).and_then(Value::as_array).into_iter().flatten();
    let hostnames = entries.filter_map(|entry| entry.get("hostnames")?.as_array()).flatten();
    let hosts = hostnames.filter_map(Value::as_str).map(host_of);
    match hosts.into_iter().find(|host| is_own(host, domain)) {
        None => Ok(()),
        Some(host) => {
            let message = format!("Invalid field: routes: {host} belongs to the platform");
            Err(Refusal::new(ErrorName::InvalidLRP, message))
        }
    }
}

/// The host in a route's hostname, without scheme, path, port and final dot; in lower case.
fn host_of(hostname: &str) -> String {
    let text = hostname.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = text.split('/').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn is_own(host: &str, domain: &str) -> bool {
    let is_covered = |own: &str| {
        let own = format!("{own}.{}", domain.to_ascii_lowercase());
        own == host || host.strip_prefix('*').is_some_and(|suffix| own.ends_with(suffix))
    };
    OWN.into_iter().any(is_covered)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(hostname: &str) -> Option<String> {
        let entry = json!([{"hostnames": ["web.lattice.localhost", hostname], "port": 8080}]);
        let routes = Routes([(CF_ROUTER.to_owned(), entry)].into());
        check(&routes, "Lattice.Localhost").err().map(|refusal| refusal.message)
    }

    #[test]
    fn the_platforms_own_hostnames_are_not_for_apps() {
        for hostname in [
            "receptor.lattice.localhost",
            "RECEPTOR.Lattice.Localhost",
            "doppler.lattice.localhost:80",
            "registry.lattice.localhost/v2",
            "dashboard.lattice.localhost.",
            " receptor.lattice.localhost",
            "http://receptor.lattice.localhost/",
            "*.lattice.localhost",
            "*.localhost",
            "*",
        ] {
            assert!(refused(hostname).is_some(), "{hostname}");
        }
        assert_eq!(
            refused("Receptor.lattice.localhost:80/x").as_deref(),
            Some("Invalid field: routes: receptor.lattice.localhost belongs to the platform")
        );
    }

    #[test]
    fn every_other_hostname_is() {
        for hostname in [
            "receptor.example.com",
            "my-receptor.lattice.localhost",
            "a.receptor.lattice.localhost",
            "*.example.com",
            "*.web.lattice.localhost",
            "",
        ] {
            assert_eq!(refused(hostname), None, "{hostname}");
        }
    }

    #[test]
    fn routes_of_an_odd_shape_are_none_of_its_business() {
        for odd in [json!(null), json!(7), json!([null, {"hostnames": 1}, {"hostnames": [null]}])] {
            let routes = Routes([(CF_ROUTER.to_owned(), odd.clone())].into());
            assert_eq!(check(&routes, "lattice.localhost"), Ok(()), "{odd}");
        }
    }
}
