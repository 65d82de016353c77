//! Status endpoints (family S23) and metrics (family S24).

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::authority::certificates;
use crate::nats::{Nats, free_port};
use crate::process::{Answer, PATIENCE, Router, ask, eventually, instance, registration};

/// Ports of a router's status.
struct Ports {
    health: u16,
    routes: u16,
    metrics: u16,
}

impl Ports {
    fn pick() -> Self {
        Self { health: free_port(), routes: free_port(), metrics: free_port() }
    }

    fn keys(&self, more: &str) -> String {
        let Self { health, routes, metrics } = self;
        format!(
            "status: {{host: 127.0.0.1, port: {health}, user: admin, pass: secret, \
             routes: {{port: {routes}}}{more}}}\nprometheus: {{port: {metrics}}}"
        )
    }
}

/// A page, asked for with these header lines.
fn page(port: u16, path: &str, lines: &str) -> Answer {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n"))
}

/// `admin:secret`.
const KNOWN: &str = "Authorization: Basic YWRtaW46c2VjcmV0\r\n";

fn json(port: u16, path: &str) -> Value {
    let answer = page(port, path, KNOWN);
    assert_eq!(answer.status, 200);
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn health_is_told_without_a_password_and_routes_with_one() {
    let (nats, ports) = (Nats::start(), Ports::pick());
    let router = Router::start(&[&nats], &ports.keys(""));
    let health = page(ports.health, "/health", "");
    assert_eq!((health.status, &*health.body), (200, "ok\n"));
    assert!(health.head.to_lowercase().contains("cache-control: private, max-age=0"));
    assert!(health.head.to_lowercase().contains("expires: 0"), "{}", health.head);
    let alive = "/is-process-alive-do-not-use-for-loadbalancing";
    assert_eq!(page(ports.health, alive, "").status, 200);
    for old in ["/healthz", "/varz", "/routes"] {
        assert_eq!(page(ports.health, old, KNOWN).status, 404, "{old}");
    }
    for wrong in ["", "Authorization: Basic YWRtaW46\r\n", "Authorization: Basic %\r\n"] {
        let refused = page(ports.routes, "/routes", wrong);
        assert_eq!((refused.status, &*refused.body), (401, "401 Unauthorized\n"), "{wrong}");
        assert!(refused.head.to_lowercase().contains("www-authenticate: basic"));
    }
    assert_eq!(json(ports.routes, "/routes"), serde_json::json!({}));
    drop(router);
}

#[test]
fn while_the_last_requests_end_it_is_said_that_no_more_are_taken() {
    for signal in ["USR1", "TERM"] {
        let (nats, ports) = (Nats::start(), Ports::pick());
        let keys = format!("{}\ndrain_wait: 0s\ndrain_timeout: 60s", ports.keys(""));
        let router = Router::start(&[&nats], &keys);
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        nats.client().publish("router.register", &registration("slow.test", port, ""));
        eventually("it is known", || router.has_said("slow.test"));
        let mut client = TcpStream::connect(("127.0.0.1", router.port)).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: slow.test\r\n\r\n").unwrap();
        let (mut instance, _) = listener.accept().unwrap();
        router.signal(signal);
        eventually("it is told", || page(ports.health, "/health", "").status == 503);
        let process = page(ports.health, "/is-process-alive-do-not-use-for-loadbalancing", "");
        assert_eq!(process.status, 200, "{signal}");
        instance.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{signal}: {answer}");
        assert_eq!(router.wait().code(), Some(0));
    }
}

#[test]
fn each_page_is_on_its_own_port_and_nothing_else_is() {
    let (nats, ports) = (Nats::start(), Ports::pick());
    let router = Router::start(&[&nats], &ports.keys(""));
    let (health, routes, metrics) = (ports.health, ports.routes, ports.metrics);
    let alive = "/is-process-alive-do-not-use-for-loadbalancing";
    for (port, path, lines, status) in [
        (health, "/health", "", 200),
        (health, "/health?x=y", "", 200),
        (health, "/health", "Authorization: Basic %\r\n", 200),
        (health, alive, "", 200),
        (health, "/", "", 404),
        (health, "/Health", "", 404),
        (health, "/health/", "", 404),
        (health, "/metrics", KNOWN, 404),
        (health, "/routes", KNOWN, 404),
        (routes, "/routes", KNOWN, 200),
        (routes, "/routes?x=y", KNOWN, 200),
        (routes, "/routes", "Authorization: Basic YWRtaW46d3Jvbmc=\r\n", 401),
        (routes, "/routes", "Authorization: Basic eDpzZWNyZXQ=\r\n", 401),
        (routes, "/routes", "Authorization: Bearer YWRtaW46c2VjcmV0\r\n", 401),
        (routes, "/health", KNOWN, 404),
        (routes, "/metrics", KNOWN, 404),
        (metrics, "/metrics", "", 200),
        (metrics, "/health", "", 404),
        (metrics, "/routes", KNOWN, 404),
    ] {
        assert_eq!(page(port, path, lines).status, status, "{path} with {lines:?}");
    }
    drop(router);
}

#[test]
fn routes_are_shown_as_gorouter_shows_them() {
    let (nats, ports) = (Nats::start(), Ports::pick());
    let router = Router::start(&[&nats], &ports.keys(""));
    let more = ",\"private_instance_id\":\"guid-1\",\"tags\":{\"component\":\"emitter\"},\
                \"availability_zone\":\"z1\",\"isolation_segment\":\"is1\",\
                \"stale_threshold_in_seconds\":60,\"options\":{\"loadbalancing\":\"least-connection\"}";
    let (mut bus, port) = (nats.client(), instance("web"));
    bus.publish("router.register", &registration("Web.test/Path", port, more));
    bus.publish("router.register", &registration("plain.test", port, ""));
    let mut shown = Value::Null;
    eventually("both are shown", || {
        shown = json(ports.routes, "/routes");
        shown.get("plain.test").is_some()
    });
    let address = format!("127.0.0.1:{port}");
    let plain = serde_json::json!([{
        "address": address, "availability_zone": "", "protocol": "http1", "tls": false,
        "ttl": 120, "tags": {}, "load_balancing_algorithm": "round-robin",
    }]);
    assert_eq!(shown["plain.test"], plain);
    let web = serde_json::json!([{
        "address": address, "availability_zone": "z1", "protocol": "http1", "tls": false,
        "ttl": 60, "tags": {"component": "emitter"}, "isolation_segment": "is1",
        "private_instance_id": "guid-1", "load_balancing_algorithm": "least-connection",
    }]);
    assert_eq!(shown["web.test/path"], web);
    drop(router);
}

#[test]
fn old_tooling_finds_its_paths_if_they_are_asked_for() {
    let (nats, ports) = (Nats::start(), Ports::pick());
    let old = ", enable_deprecated_varz_healthz_endpoints: true";
    let router = Router::start(&[&nats], &format!("index: 4\n{}", ports.keys(old)));
    let tagged = ",\"tags\":{\"component\":\"emitter\"}";
    nats.client().publish("router.register", &registration("web.test", instance("web"), tagged));
    router.answers("web.test", 200);
    let before = json(ports.health, "/varz")["responses_4xx"].as_u64().unwrap();
    router.get("nobody.test");
    assert_eq!(page(ports.health, "/healthz", "").status, 200);
    assert_eq!(page(ports.health, "/varz", "").status, 401);
    assert_eq!(page(ports.health, "/routes", KNOWN).status, 200);
    let varz = json(ports.health, "/varz");
    assert_eq!((&varz["type"], &varz["index"]), (&"Router".into(), &4.into()));
    assert_eq!((&varz["urls"], &varz["droplets"]), (&1.into(), &1.into()));
    assert_eq!(varz["responses_4xx"].as_u64().unwrap(), before + 1);
    assert!(varz["tags"]["component"]["emitter"]["requests"].as_u64().unwrap() >= 1, "{varz}");
    assert!(varz["bad_requests"].as_u64().unwrap() > before, "{varz}");
    let keys: Vec<&str> = varz.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "bad_gateways bad_requests cpu credentials droplets host index latency log_counts \
        mem ms_since_last_registry_update num_cores rate requests requests_per_sec responses_2xx \
        responses_3xx responses_4xx responses_5xx responses_xxx start tags top10_app_requests type \
        uptime urls uuid";
    assert_eq!(keys.join(" "), expected);
    assert!(varz["host"].as_str().unwrap().ends_with(&format!(":{}", ports.health)), "{varz}");
    assert!(varz["mem"].as_u64().unwrap() > 1000, "{varz}");
}

#[test]
fn prometheus_reads_what_is_counted() {
    let (nats, ports) = (Nats::start(), Ports::pick());
    let router = Router::start(&[&nats], &ports.keys(""));
    let tagged = ",\"tags\":{\"component\":\"emitter\"}";
    let web = registration("web.test", instance("web"), tagged);
    let dead = registration("dead.test", free_port(), "");
    let mut bus = nats.client();
    for message in [&web, &web, &dead] {
        bus.publish("router.register", message);
    }
    router.answers("web.test", 200);
    router.answers("dead.test", 502);
    router.get("nobody.test");
    let read = || page(ports.metrics, "/metrics", "").body;
    eventually("all is counted", || read().contains("responses{status_group=\"5xx\"} "));
    let text = read();
    for part in [
        "registry_message{action=\"added\",component=\"emitter\"} 1",
        "registry_message{action=\"unmodified\",component=\"emitter\"} 1",
        "total_routes 2",
        "bad_gateways ",
        "latency_bucket{component=\"emitter\",le=\"+Inf\"} ",
        "promhttp_metric_handler_errors_total",
        "websocket_upgrades 0",
        "route_lookup_time_count ",
        "gorouter_time_bucket{le=\"1\"} ",
        "route_registration_latency_count 0",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let of = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name} in\n{text}")).parse().unwrap()
    };
    assert!(of("bad_gateways") >= 1 && of("rejected_requests") >= 1);
    assert!(of("total_requests{component=\"emitter\"}") >= 1);
    assert!(of("file_descriptors") > 5);
}

#[test]
fn a_metron_agent_is_told_what_is_counted() {
    let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
    agent.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = agent.local_addr().unwrap().port();
    let nats = Nats::start();
    let keys = format!(
        "logging: {{level: debug, metron_address: \"127.0.0.1:{port}\"}}\n\
         route_latency_metric_muzzle_duration: 0s"
    );
    let router = Router::start(&[&nats], &keys);
    let changed = ",\"endpoint_updated_at_ns\":1,\"tags\":{\"component\":\"emitter\"}";
    nats.client().publish("router.register", &registration("web.test", instance("web"), changed));
    router.answers("web.test", 200);
    let mut missing = vec![
        "uptime",
        "total_routes",
        "total_requests",
        "responses.2xx",
        "requests.emitter",
        "latency.emitter",
        "registry_message.emitter",
        "route_lookup_time",
        "gorouter_time",
        "route_registration_latency",
        "ms_since_last_registry_update",
    ];
    let mut datagram = [0; 2048];
    while !missing.is_empty() {
        let n = agent.recv(&mut datagram).unwrap_or_else(|_| panic!("never told: {missing:?}"));
        let told = String::from_utf8_lossy(&datagram[..n]);
        assert!(told.contains("gorouter"), "{told}");
        missing.retain(|name| !told.contains(name));
    }
}

fn curl(dir: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("curl");
    let output = command.current_dir(dir).args(["-sS", "--cacert", "ca.pem"]).args(args).output();
    let output = output.expect("curl is installed: script/bootstrap");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn status_speaks_tls_and_metrics_only_to_those_with_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let indented = |name: &str| {
        let text = fs::read_to_string(dir.path().join(name)).unwrap();
        text.lines().map(|line| format!("      {line}\n")).collect::<String>()
    };
    let (nats, health, metrics) = (Nats::start(), free_port(), free_port());
    let place = dir.path().to_str().unwrap();
    let more = format!(
        "status:\n  host: 127.0.0.1\n  enable_nontls_health_checks: false\n  routes: {{port: 0}}\n  \
         tls:\n    port: {health}\n    certificate: |\n{}    key: |\n{}\
         prometheus: {{port: {metrics}, cert_path: {place}/cert.pem, key_path: {place}/key.pem, \
         ca_path: {place}/ca.pem}}",
        indented("cert.pem"),
        indented("key.pem")
    );
    let _router = Router::start(&[&nats], &more);
    let health = format!("https://127.0.0.1:{health}/health");
    assert_eq!(curl(dir.path(), &[&health]).unwrap(), "ok\n");
    let metrics = format!("https://127.0.0.1:{metrics}/metrics");
    assert!(curl(dir.path(), &[&metrics]).is_err(), "a stranger is let in");
    let known = ["--cert", "cert.pem", "--key", "key.pem", &metrics];
    let text = curl(dir.path(), &known).unwrap();
    assert!(text.contains("promhttp_metric_handler_errors_total"), "{text}");
}

#[test]
fn a_router_that_waits_or_drains_is_not_well() {
    let (nats, ports) = (Nats::start(), Ports::pick());
    let slow = "start_response_delay_interval: 3s\ndrain_wait: 3s";
    let router = Router::begin(&[&nats], &format!("{slow}\n{}", ports.keys("")));
    eventually("it waits", || router.has_said("status is shown"));
    eventually("health is told", || page(ports.health, "/health", "").status == 503);
    eventually("it serves", || page(ports.health, "/health", "").status == 200);
    router.signal("USR1");
    eventually("it drains", || page(ports.health, "/health", "").status == 503);
    let alive = "/is-process-alive-do-not-use-for-loadbalancing";
    assert_eq!(page(ports.health, alive, "").status, 200);
    assert_eq!(router.wait().code(), Some(0));
}
