//! Routes as people type them (`-R`, `-T`), as LRPs carry them, and as they are shown. Pure.

use std::collections::BTreeMap;

use lattice_model::route::{CF_ROUTER, RESERVED_TCP_PORTS, TCP_ROUTER, TcpRoute, listed};
use lattice_model::{HttpRoute, Routes};

/// The group all TCP routes are in (ltc A.4).
const ROUTER_GROUP: &str = "bad25cff-9332-48a6-8603-b619858e7992";
/// The port of the SSH daemon in a container; never a default for routes.
const SSH_PORT: u16 = 2222;

/// Why routes cannot be what was typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No hostname.
    #[error("malformed route '{0}'; write HOST or HOST:PORT, e.g. -R web:8080")]
    MalformedHttp(String),
    /// No port.
    #[error(
        "malformed TCP route '{0}'; write EXTERNAL or EXTERNAL:CONTAINER, e.g. -T 50000:6379, or \
         NAME:EXTERNAL:CONTAINER for TLS clients that ask for NAME"
    )]
    MalformedTcp(String),
    /// No container port is given and there is none to assume.
    #[error("route '{0}' names no container port and the app exposes none; write {0}:PORT")]
    NoPort(String),
    /// No container port is given and there are several.
    #[error(
        "route '{route}' names no container port and the app exposes {ports}; write {route}:PORT"
    )]
    ManyPorts {
        /// What was typed.
        route: String,
        /// The exposed ports.
        ports: String,
    },
    /// The container port is none of the app's.
    #[error("route '{route}' leads to port {port}, and the app listens on {ports}; see --ports")]
    NotExposed {
        /// What was typed.
        route: String,
        /// Where it leads.
        port: u16,
        /// The exposed ports.
        ports: String,
    },
    /// The platform listens there.
    #[error(
        "external port {0} is reserved by the platform; take one above 50000, or any other but \
         {reserved}", reserved = listed(&RESERVED_TCP_PORTS)
    )]
    Reserved(u16),
}

/// One route for showing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A hostname, perhaps with a path.
    Http {
        /// The hostname.
        hostname: String,
        /// The container port it leads to.
        port: u16,
    },
    /// A port of the router.
    Tcp {
        /// The router's port.
        external_port: u16,
        /// The name that clients must ask for by TLS, if they must.
        sni: Option<String>,
        /// The container port it leads to.
        port: u16,
    },
}

/// Reads `-R HOST[:PORT]`; a host without a dot gets `.domain`.
pub fn parse_http(typed: &str, ports: &[u16], domain: &str) -> Result<(String, u16), RouteError> {
    let malformed = || RouteError::MalformedHttp(typed.to_owned());
    let (host, port) = match typed.rsplit_once(':') {
        Some((host, port)) => {
            let port = port.parse().ok().filter(|p| *p > 0);
            (host, Some(port.ok_or_else(malformed)?))
        }
        None => (typed, None),
    };
    let (name, path) = match host.find('/') {
        Some(slash) => host.split_at(slash),
        None => (host, ""),
    };
    if name.is_empty() || name.contains(':') || name.contains(char::is_whitespace) {
        return Err(malformed());
    }
    let port = match port {
        Some(port) => exposed(typed, port, ports)?,
        None => default_port(typed, ports)?,
    };
    let suffix = if name.contains('.') { String::new() } else { format!(".{domain}") };
    Ok((format!("{}{suffix}{path}", name.to_ascii_lowercase()), port))
}

/// Reads `-T [NAME:]EXTERNAL[:CONTAINER]`; a name is what is no number.
pub fn parse_tcp(typed: &str, ports: &[u16]) -> Result<TcpRoute, RouteError> {
    let malformed = || RouteError::MalformedTcp(typed.to_owned());
    let number = |text: &str| text.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(malformed);
    let (name, rest) = match typed.split_once(':') {
        Some((name, rest)) if is_host_name(name) => (Some(name.to_ascii_lowercase()), rest),
        Some(_) | None => (None, typed),
    };
    let (external_port, container_port) = match rest.split_once(':') {
        Some((external, container)) => {
            (number(external)?, exposed(typed, number(container)?, ports)?)
        }
        None => (number(rest)?, default_port(typed, ports)?),
    };
    if RESERVED_TCP_PORTS.contains(&external_port) {
        return Err(RouteError::Reserved(external_port));
    }
    let router_group_guid = ROUTER_GROUP.to_owned();
    Ok(TcpRoute { router_group_guid, external_port, container_port, sni_hostname: name })
}

/// A name as the greeting of TLS carries it: not an address, and not a number.
fn is_host_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.bytes().all(allowed) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// `-R` flags as `cf-router` entries, one a port, in the order they were typed.
pub fn http_routes(
    typed: &[String],
    ports: &[u16],
    domain: &str,
) -> Result<Vec<HttpRoute>, RouteError> {
    let mut routes: Vec<HttpRoute> = Vec::new();
    for text in typed {
        let (hostname, port) = parse_http(text, ports, domain)?;
        match routes.iter_mut().find(|r| r.port == port) {
            Some(route) if route.hostnames.contains(&hostname) => {}
            Some(route) => route.hostnames.push(hostname),
            None => {
                routes.push(HttpRoute { hostnames: vec![hostname], port, route_service_url: None })
            }
        }
    }
    Ok(routes)
}

/// What an app gets that asked for nothing: `NAME-PORT.domain`, and `NAME.domain` first on the
/// primary port.
pub fn default_routes(name: &str, ports: &[u16], primary: u16, domain: &str) -> Vec<HttpRoute> {
    let of_port = |port: &u16| {
        let mut hostnames = vec![format!("{name}-{port}.{domain}")];
        if *port == primary {
            hostnames.insert(0, format!("{name}.{domain}"));
        }
        HttpRoute { hostnames, port: *port, route_service_url: None }
    };
    ports.iter().map(of_port).collect()
}

/// Puts HTTP routes into the opaque map.
pub fn set_http(routes: &mut Routes, http: &[HttpRoute]) {
    let value = serde_json::to_value(http).expect("hostnames and ports are JSON");
    routes.0.insert(CF_ROUTER.to_owned(), value);
}

/// Puts TCP routes into the opaque map.
pub fn set_tcp(routes: &mut Routes, tcp: &[TcpRoute]) {
    let value = serde_json::to_value(tcp).expect("ports are JSON");
    routes.0.insert(TCP_ROUTER.to_owned(), value);
}

/// The routes that lead to one of `ports`, HTTP first, by port.
pub fn shown(routes: &Routes, ports: &[u16]) -> Vec<Shown> {
    let mut by_port: BTreeMap<u16, Vec<Shown>> = BTreeMap::new();
    for route in routes.http() {
        let hosts = route.hostnames.into_iter();
        let of_host = |hostname| Shown::Http { hostname, port: route.port };
        by_port.entry(route.port).or_default().extend(hosts.map(of_host));
    }
    for route in routes.tcp() {
        let TcpRoute { external_port, container_port: port, sni_hostname: sni, .. } = route;
        by_port.entry(port).or_default().push(Shown::Tcp { external_port, sni, port });
    }
    by_port.into_iter().filter(|(port, _)| ports.contains(port)).flat_map(|(_, r)| r).collect()
}

/// The only exposed port, the SSH daemon's aside.
fn default_port(typed: &str, ports: &[u16]) -> Result<u16, RouteError> {
    let candidates: Vec<u16> = ports.iter().copied().filter(|p| *p != SSH_PORT).collect();
    match candidates.as_slice() {
        [] => Err(RouteError::NoPort(typed.to_owned())),
        [port] => Ok(*port),
        several => Err(RouteError::ManyPorts { route: typed.to_owned(), ports: join(several) }),
    }
}

/// A port that leads somewhere: the router reaches no others.
fn exposed(typed: &str, port: u16, ports: &[u16]) -> Result<u16, RouteError> {
    match ports.contains(&port) {
        true => Ok(port),
        false => Err(RouteError::NotExposed { route: typed.to_owned(), port, ports: join(ports) }),
    }
}

fn join(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames_get_the_domain_unless_they_have_one() {
        for (typed, ports, hostname, port) in [
            ("web", &[8080][..], "web.l.test", 8080),
            ("web:9090", &[8080, 9090], "web.l.test", 9090),
            ("web.example.com", &[80], "web.example.com", 80),
            ("web/api", &[80], "web.l.test/api", 80),
            ("web.example.com/api:81", &[80, 81], "web.example.com/api", 81),
            ("web", &[2222, 7000], "web.l.test", 7000),
            ("Web/Api", &[80], "web.l.test/Api", 80),
        ] {
            let expected = Ok((hostname.to_owned(), port));
            assert_eq!(parse_http(typed, ports, "l.test"), expected, "{typed}");
        }
    }

    #[test]
    fn a_route_without_a_port_needs_exactly_one_to_lead_to() {
        assert_eq!(parse_http("web", &[2222], "t"), Err(RouteError::NoPort("web".into())));
        let several = RouteError::ManyPorts { route: "web".into(), ports: "80, 90".into() };
        assert_eq!(parse_http("web", &[80, 90], "t"), Err(several));
        assert_eq!(parse_tcp("50000", &[]), Err(RouteError::NoPort("50000".into())));
    }

    #[test]
    fn a_route_to_a_port_that_is_not_the_apps_is_refused() {
        let refused = |route: &str, port| RouteError::NotExposed {
            route: route.to_owned(),
            port,
            ports: "80, 90".into(),
        };
        assert_eq!(parse_http("web:8", &[80, 90], "t").unwrap_err(), refused("web:8", 8));
        assert_eq!(parse_tcp("50000:81", &[80, 90]).unwrap_err(), refused("50000:81", 81));
    }

    #[test]
    fn malformed_routes_are_named() {
        for bad in ["", ":80", "/x", "web:", "web:0", "web:70000", "a b", "a:b:80"] {
            let error = parse_http(bad, &[80], "t");
            assert_eq!(error, Err(RouteError::MalformedHttp(bad.to_owned())), "{bad}");
        }
        for bad in ["", "x", "1:", ":1", "0:1", "50000:x", "db.test:x", "db.test:", "a b:1:80"] {
            let error = parse_tcp(bad, &[80]);
            assert_eq!(error, Err(RouteError::MalformedTcp(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn the_platforms_own_ports_are_not_given_away() {
        for port in [22, 80, 443, 2222, 8444, 8888, 44445] {
            assert_eq!(parse_tcp(&port.to_string(), &[1]), Err(RouteError::Reserved(port)));
        }
        let told = RouteError::Reserved(22).to_string();
        assert!(told.contains("reserved") && told.contains("22, 53, 80, 443"), "{told}");
    }

    #[test]
    fn a_tcp_route_leads_from_a_port_and_perhaps_a_name() {
        for (typed, external, container, name) in [
            ("50001:8080", 50001, 8080, None),
            ("50001", 50001, 8080, None),
            ("DB.test:50001:8080", 50001, 8080, Some("db.test")),
            ("db.test:50001", 50001, 8080, Some("db.test")),
        ] {
            let route = parse_tcp(typed, &[8080]).unwrap();
            assert_eq!((route.external_port, route.container_port), (external, container));
            assert_eq!(route.sni_hostname.as_deref(), name, "{typed}");
        }
    }

    #[test]
    fn hostnames_of_one_port_are_one_entry() {
        let typed: Vec<String> = ["a:80", "b:81", "c:80", "a:80"].map(String::from).into();
        let routes = http_routes(&typed, &[80, 81], "t").unwrap();
        let as_pairs: Vec<_> = routes.iter().map(|r| (r.port, r.hostnames.join(" "))).collect();
        assert_eq!(as_pairs, [(80, "a.t c.t".to_owned()), (81, "b.t".to_owned())]);
    }

    #[test]
    fn an_app_is_reached_by_its_name_on_the_primary_port() {
        let routes = default_routes("web", &[80, 90], 90, "t");
        assert_eq!(routes[0].hostnames, ["web-80.t"]);
        assert_eq!(routes[1].hostnames, ["web.t", "web-90.t"]);
    }

    #[test]
    fn only_routes_to_the_apps_ports_are_shown_and_foreign_kinds_are_left_alone() {
        let mut routes = Routes::default();
        routes.0.insert("diego-ssh".into(), serde_json::json!({"container_port": 2222}));
        set_http(&mut routes, &default_routes("web", &[80, 90], 80, "t"));
        set_tcp(&mut routes, &[parse_tcp("50000:80", &[80]).unwrap()]);
        let expected = [
            Shown::Http { hostname: "web.t".into(), port: 80 },
            Shown::Http { hostname: "web-80.t".into(), port: 80 },
            Shown::Tcp { external_port: 50000, sni: None, port: 80 },
        ];
        assert_eq!(shown(&routes, &[80]), expected);
    }
}
