//! Files of gorouter's that a router cannot be run with (family S22): each ends the process with 1
//! and says what is wrong and what to do.

use std::fs;

use crate::process::lattice;

/// A file's text, and words of what is said.
const WRONG: &[(&str, &str)] = &[
    ("port: [", "gorouter.yml"),
    ("port: web", "port"),
    ("port: 99999", "port"),
    ("port: -1", "port"),
    ("index: -1", "index"),
    ("nats: 5", "nats"),
    ("nats: {hosts: {hostname: a}}", "hosts"),
    ("nats: {hosts: [{hostname: a, port: x}]}", "port"),
    ("nats: {ping_interval: soon}", "`soon` is no duration"),
    ("nats: {tls_enabled: true, ca_certs: x}", "nats.ca_certs: there is no certificate in it"),
    ("status: {port: x}", "port"),
    ("status: {host: here}", "take an IP address"),
    ("status: {tls: {key: x, certificate: y}}", "status.tls: there is no private key in it"),
    (
        "status: {enable_nontls_health_checks: false, \
         enable_deprecated_varz_healthz_endpoints: true}",
        "which enable_nontls_health_checks closes",
    ),
    ("prometheus: {port: 1, cert_path: /nowhere}", "prometheus: cannot read /nowhere"),
    ("logging: {level: loud}", "take debug, info, warn, error or fatal"),
    ("logging: {metron_address: \"\"}", "logging.metron_address is empty: name the agent"),
    (
        "enable_envelope_v1_metrics: false\nlogging: {metron_address: \"\"}",
        "logging.metron_address is empty: name the agent",
    ),
    ("logging: {syslog_network: pigeon}", "take udp or tcp"),
    ("logging: {redact_query_params: some}", "take none, all or hash"),
    ("logging: {format: {timestamp: sundial}}", "sundial"),
    (
        "access_log: {enable_streaming: true}\nlogging: {syslog_addr: \"\"}",
        "name the server in logging.syslog_addr",
    ),
    ("logging: {syslog_truncate: short}", "syslog_truncate"),
    ("logging: {extra_access_log_fields: tls_time}", "extra_access_log_fields"),
    ("balancing_algorithm: dice", "take round-robin or least-connection"),
    ("balancing_algorithm: hash", "take round-robin or least-connection"),
    ("balancing_algorithm_az_preference: far", "take none or locally-optimistic"),
    ("balancing_algorithm_az_preference: locally-optimistic", "name the zone"),
    ("routing_table_sharding_mode: none", "take all, segments or shared-and-segments"),
    ("routing_table_sharding_mode: segments", "name some in isolation_segments"),
    ("isolation_segments: is1", "isolation_segments"),
    ("routing_api: {uri: http://routing-api, port: 3000}", "UAA client requires TLS enabled"),
    (
        "routing_api: {uri: http://routing-api, port: 3000}\n\
         oauth: {token_endpoint: uaa, port: -1}",
        "UAA client requires TLS enabled",
    ),
    (
        "routing_api: {uri: routing-api, port: 3000, auth_disabled: true}",
        "routing_api.uri: take http://HOST or https://HOST",
    ),
    (
        "routing_api: {uri: https://routing-api, port: 3000, auth_disabled: true, ca_certs: x}",
        "routing_api: ca_certs: there is no certificate in it",
    ),
    (
        "routing_api: {uri: http://routing-api, port: 3000}\n\
         oauth: {token_endpoint: uaa, port: 8443, ca_certs: /nowhere}",
        "oauth: ca_certs: cannot read /nowhere",
    ),
    ("disable_http: true", "nothing would listen"),
    ("enable_ssl: true", "give at least one cert_chain and private_key"),
    ("enable_ssl: true\ntls_pem: [{cert_chain: x, private_key: y}]", "no private key in it"),
    ("forwarded_client_cert: maybe", "take always_forward, forward or sanitize_set"),
    ("ca_certs: [\"no PEM\"]", "ca_certs: there is no certificate in it"),
    ("ca_certs: 5", "ca_certs"),
    ("backends: {cert_chain: x}", "backends.cert_chain: there is no private key in it"),
    ("backends: {max_conns: many}", "max_conns"),
    ("backends: {max_conns: -1}", "max_conns"),
    ("endpoint_timeout: soon", "`soon` is no duration"),
    ("endpoint_dial_timeout: 1x", "duration"),
    ("drain_wait: -1s", "duration"),
    ("drain_timeout: 1 s", "duration"),
    ("droplet_stale_threshold: s", "duration"),
    ("prune_stale_droplets_interval: \"\"", "duration"),
    ("frontend_idle_timeout: 1m1", "duration"),
    ("max_request_headers: few", "max_request_headers"),
    ("sticky_session_cookie_names: JSESSIONID", "sticky_session_cookie_names"),
    ("tracing: {enable_w3c: perhaps}", "enable_w3c"),
    ("http_rewrite: {responses: {remove_headers: [Server]}}", "remove_headers"),
    (
        "html_error_template_file: /nowhere",
        "Could not read HTML error template file: open /nowhere",
    ),
    ("route_services_secret: s\nroute_services_timeout: soon", "`soon` is no duration"),
    (
        "route_services_secret: s\nroute_services_hairpinning: true\n\
         route_services_hairpinning_allowlist: [nowhere]",
        "`nowhere` is neither",
    ),
    ("a: &a [*a, *a]", "gorouter.yml"),
    ("balancing_algorithm: dice\nlogging: {level: loud}", "; logging.level is `loud`"),
];

#[test]
fn a_file_that_cannot_be_used_ends_the_process_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gorouter.yml");
    let mut faults = Vec::new();
    for (text, part) in WRONG {
        fs::write(&path, text).unwrap();
        let output = lattice().args(["router", "-c"]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let is_told = said.contains("Error loading config") && said.contains(part);
        if !is_told || output.status.code() != Some(1) {
            faults.push(format!("{text}: {:?} {said}", output.status.code()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
