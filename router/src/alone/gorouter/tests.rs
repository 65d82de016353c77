//! Files as operators of gorouter have them.

use super::*;
use crate::services::Hairpins;

/// As a deployment writes it, junk of Go's own included.
const USUAL: &str = r#"
status: {port: 8080, user: admin, pass: secret, routes: {port: 8082}}
nats:
  hosts:
  - {hostname: nats-1.internal, port: 4222}
  - {hostname: nats-2.internal, port: 4223}
  user: nats
  pass: 12345
logging:
  level: info
  loggregator_enabled: true
  metron_address: 127.0.0.1:3457
  format: {timestamp: rfc3339}
port: 80
index: 3
zone: z1
enable_proxy: true
balancing_algorithm_az_preference: locally-optimistic
go_max_procs: -1
prune_stale_droplets_interval: 30s
droplet_stale_threshold: 1m40s
endpoint_timeout: 900s
drain_wait: 20s
start_response_delay_interval: 20s
suspend_pruning_if_nats_unavailable: true
isolation_segments: [is1, is2]
routing_table_sharding_mode: shared-and-segments
balancing_algorithm: least-connection
backends: {max_conns: 500, max_attempts: 5}
max_idle_conns_per_host: 100
http_rewrite:
  responses:
    add_headers_if_not_present: [{name: X-A, value: "1"}]
    remove_headers: [{name: Server}]
tracing: {enable_w3c: true, w3c_tenant_id: tenant}
sticky_session_cookie_names: [JSESSIONID, SID]
hop_by_hop_headers_to_filter: null
access_log: {file: /var/log/access.log}
clientauthcertificate: {}
headers: ~
route_services_timeout: 60s
"#;

fn mistakes(text: &str) -> Vec<String> {
    match read(text) {
        Err(Refused::Wrong(mistakes)) => mistakes,
        Err(Refused::Malformed(why)) => vec![why],
        Ok(_) => Vec::new(),
    }
}

#[test]
fn a_usual_file_is_understood() {
    let settings = read(USUAL).unwrap();
    let router = &settings.router;
    assert_eq!(router.listeners[0].addr, "0.0.0.0:80".parse().unwrap());
    assert_eq!((router.identity.index, router.workers > 0), (3, true));
    assert!(router.identity.id.starts_with("3-"));
    assert_eq!(router.freshness.stale_after, Duration::from_secs(100));
    assert!(router.freshness.keep_when_cut && !router.freshness.keep_when_silent);
    assert_eq!(router.freshness.empty_route_kept, Duration::ZERO);
    let segments = vec!["is1".to_owned(), "is2".to_owned()];
    assert_eq!(router.sharding, Sharding::SharedAndSegments(segments));
    assert_eq!(router.balance, Balance::LeastConnection);
    assert_eq!((router.zone.as_deref(), router.reads_preamble), (Some("z1"), true));
    assert_eq!(router.limits.proxy_header_timeout, Duration::from_millis(100), "as gorouter");
    assert_eq!(router.limits.attempts_max, 5);
    assert_eq!(router.limits.in_flight_per_endpoint_max, 500);
    assert_eq!(router.limits.failed_for, Duration::from_secs(25));
    assert_eq!(router.limits.drain, Duration::from_secs(900), "as long as endpoints may take");
    assert_eq!(router.headers.removed_from_answers, ["Server"]);
    assert_eq!(router.headers.tracing.w3c_tenant.as_deref(), Some("tenant"));
    assert_eq!(router.sticky.cookies, ["JSESSIONID", "SID"]);
    assert_eq!(settings.nats.servers, ["nats-1.internal:4222", "nats-2.internal:4223"]);
    assert_eq!(settings.nats.password, "12345");
    let metron = settings.access.metron.unwrap();
    assert_eq!((&*metron.address, metron.index), ("127.0.0.1:3457", 3));
    assert!(metron.tells_lines && !metron.tells_served && !metron.tells_asked);
    assert_eq!(settings.report.map(|report| report.agent).as_deref(), Some("127.0.0.1:3457"));
    assert_eq!(settings.status.health, Some("0.0.0.0:8080".parse().unwrap()));
    assert_eq!(settings.status.routes, Some("127.0.0.1:8082".parse().unwrap()));
    assert_eq!((&*settings.status.user, &*settings.status.password), ("admin", "secret"));
    assert_eq!(settings.lifecycle.start_delay, Duration::from_secs(20));
}

#[test]
fn unknown_keys_are_named_and_known_ones_without_effect_are_not() {
    let text = "colour: red\nnats: {hosts: [{hostname: a, port: 1, weight: 2}], shape: x}\n\
                debug_addr: x\nroute_services: {max_attempts: 3}\nstatus: {prot: 1}\n\
                extra_access_log_fields: [tls_time]\n";
    let unknown = read(text).unwrap().unknown_keys;
    assert_eq!(unknown, ["colour", "nats.shape", "status.prot", "extra_access_log_fields"]);
}

#[test]
fn lines_show_what_the_file_asks_for() {
    let rules = |text: &str| read(text).unwrap().router.line_rules;
    for (text, expected) in [
        ("logging: {redact_query_params: none}", Query::Shown),
        ("logging: {redact_query_params: all}", Query::Hidden),
        ("logging: {redact_query_params: hash}", Query::Hashed),
    ] {
        assert_eq!(rules(text).query, expected, "{text}");
    }
    for (text, expected) in [
        ("tracing: {enable_zipkin: true}", &ZIPKIN[..]),
        ("tracing: {enable_w3c: true}", &W3C[..]),
        ("extra_headers_to_log: [A, B3]", &["A", "B3"]),
        (
            "tracing: {enable_zipkin: true}\nextra_headers_to_log: [A, B3]",
            &["A", "B3", "X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId"],
        ),
    ] {
        assert_eq!(rules(text).headers, expected, "{text}");
    }
    assert!(read("per_app_prometheus_http_metrics_reporting: true").unwrap().router.measures_apps);
}

#[test]
fn lines_have_each_further_field_once_and_what_is_none_is_named() {
    let settings =
        |fields: &str| read(&format!("logging: {{extra_access_log_fields: {fields}}}")).unwrap();
    let found = settings("[tls_time, shoe_size, dns_time, tls_time]");
    assert_eq!(found.router.line_rules.extra, [ExtraField::TlsTime, ExtraField::DnsTime]);
    let remark = "logging.extra_access_log_fields: there is no field `shoe_size`";
    assert_eq!(found.remarks, [remark]);
    for none in ["[]", "~"] {
        assert!(settings(none).router.line_rules.extra.is_empty(), "{none}");
    }
}

#[test]
fn lines_go_to_a_syslog_server_on_this_machine_unless_another_is_named() {
    let syslog = |text: &str| read(text).unwrap().access.syslog;
    assert!(syslog("").is_none());
    for (more, expected) in [
        ("", (Network::Udp, "127.0.0.1:514", 0)),
        ("logging: {syslog_truncate: 0}", (Network::Udp, "127.0.0.1:514", 0)),
        ("logging: {syslog_truncate: -1}", (Network::Udp, "127.0.0.1:514", 0)),
        (
            "logging: {syslog_network: tcp, syslog_addr: \"a:1\", syslog_truncate: 900}",
            (Network::Tcp, "a:1", 900),
        ),
    ] {
        let found = syslog(&format!("access_log: {{enable_streaming: true}}\n{more}")).unwrap();
        assert_eq!((found.network, &*found.address, found.bytes_max), expected, "{more}");
    }
}

#[test]
fn answers_heads_are_bounded_as_the_file_says_and_dials_of_websockets_too() {
    let limits = |text: &str| {
        let limits = read(text).unwrap().router.limits;
        (limits.answer_header_bytes_max, limits.answer_headers_max, limits.upgrade_dial_timeout)
    };
    let secs = Duration::from_secs;
    for (text, expected) in [
        ("", (1024 * 1024, 256, None)),
        ("max_response_header_bytes: 5000\nmax_response_headers: 7", (5000, 7, None)),
        ("max_response_header_bytes: 9000000\nmax_response_headers: 900", (1024 * 1024, 256, None)),
        ("websocket_dial_timeout: 2s", (1024 * 1024, 256, Some(secs(2)))),
        ("websocket_dial_timeout: 0s", (1024 * 1024, 256, None)),
    ] {
        assert_eq!(limits(text), expected, "{text}");
    }
}

#[test]
fn a_time_of_0_sets_no_limit_as_in_gorouter() {
    let limits = |text: &str| read(text).unwrap().router.limits;
    for (key, time) in [
        ("endpoint_timeout", (|l| l.endpoint_timeout) as fn(Limits) -> Duration),
        ("endpoint_dial_timeout", |l| l.dial_timeout),
        ("tls_handshake_timeout", |l| l.handshake_timeout),
        ("frontend_idle_timeout", |l| l.keep_alive_idle),
        ("read_header_timeout", |l| l.header_read_timeout),
    ] {
        for (text, expected) in [("0", FOREVER), ("0s", FOREVER), ("7s", Duration::from_secs(7))] {
            assert_eq!(time(limits(&format!("{key}: {text}"))), expected, "{key}: {text}");
        }
    }
    let secs = Duration::from_secs;
    let ours = limits("");
    assert_eq!((ours.handshake_timeout, ours.header_read_timeout), (secs(10), secs(30)));
    for (text, expected) in [
        ("drain_timeout: 0s", secs(60)),
        ("drain_timeout: 0s\nendpoint_timeout: 9s", secs(9)),
        ("drain_timeout: 3s\nendpoint_timeout: 0s", secs(3)),
        ("drain_timeout: 0s\nendpoint_timeout: 0s", secs(0)),
    ] {
        assert_eq!(limits(text).drain, expected, "{text}");
    }
}

#[test]
fn an_answer_may_stand_still_as_long_as_an_endpoint_may_take() {
    let idle = |text: &str| read(text).unwrap().router.limits.stream_idle;
    for (text, expected) in [
        ("", 900),
        ("endpoint_timeout: 20s", 900),
        ("endpoint_timeout: 3600s", 3600),
        ("endpoint_timeout: 0", FOREVER.as_secs()),
    ] {
        assert_eq!(idle(text), Duration::from_secs(expected), "{text}");
    }
}

#[test]
fn connections_and_routes_are_as_many_as_the_machine_carries() {
    let router = read("").unwrap().router;
    assert_eq!(
        (router.limits.connections_max, router.freshness.routes_max),
        (usize::MAX, usize::MAX)
    );
}

#[test]
fn nats_is_asked_as_often_as_either_key_says_and_on_this_machine_where_none_is_named() {
    for (text, server, secs) in [
        ("", "localhost:4222", 20),
        ("nats_client_ping_interval: 3s", "localhost:4222", 3),
        ("nats: {ping_interval: 4s}\nnats_client_ping_interval: 3s", "localhost:4222", 4),
        ("nats: {hosts: [{hostname: a, port: 1}]}", "a:1", 20),
    ] {
        let settings = read(text).unwrap();
        assert!(settings.unknown_keys.is_empty(), "{text}");
        assert_eq!(settings.nats.servers, [server], "{text}");
        assert_eq!(settings.nats.ping_interval, Duration::from_secs(secs), "{text}");
    }
    assert!(read("nats: {hosts: []}").unwrap().nats.servers.is_empty());
}

#[test]
fn a_connection_of_a_100_continue_is_kept_where_the_file_says_so() {
    let closes = |text: &str| read(text).unwrap().router.headers.closes_after_continue;
    assert!(closes("") && closes("keep_alive_100_continue_requests: false"));
    assert!(!closes("keep_alive_100_continue_requests: true"));
}

#[test]
fn requests_are_told_to_the_agent_where_the_file_says_so() {
    let told = |text: &str| {
        let metron = read(text).unwrap().access.metron?;
        Some((metron.tells_lines, metron.tells_served, metron.tells_asked))
    };
    const SERVER: &str = "send_http_start_stop_server_event: true";
    for (text, expected) in [
        ("".to_owned(), None),
        ("send_http_start_stop_server_event: false".to_owned(), None),
        (SERVER.to_owned(), Some((false, true, false))),
        ("send_http_start_stop_client_event: true".to_owned(), Some((false, false, true))),
        ("logging: {loggregator_enabled: true}".to_owned(), Some((true, false, false))),
        (format!("{SERVER}\nenable_envelope_v1_metrics: false"), None),
    ] {
        assert_eq!(told(&text), expected, "{text}");
    }
}

#[test]
fn metrics_are_shown_on_their_port_unless_that_is_turned_off() {
    let shown = |text: &str| read(text).unwrap().status.metrics.is_some();
    assert!(shown("prometheus: {port: 9100}") && shown("prometheus: {port: 9100, enabled: true}"));
    assert!(!shown("prometheus: {port: 9100, enabled: false}"));
    assert!(!shown("prometheus: {enabled: true}"));
}

#[test]
fn what_is_asked_for_and_not_done_is_named() {
    assert!(read("publish_active_apps_interval: 0s").unwrap().remarks.is_empty());
    for (text, named) in [
        ("publish_active_apps_interval: 5s", "publish_active_apps_interval: "),
        (
            "status: {enable_deprecated_varz_healthz_endpoints: true}",
            "status.enable_deprecated_varz_healthz_endpoints: ",
        ),
        ("prometheus: {meters: {latency: {buckets: [1]}}}", "prometheus.meters: "),
    ] {
        let settings = read(text).unwrap();
        assert!(settings.unknown_keys.is_empty(), "{:?}", settings.unknown_keys);
        let remarks = settings.remarks;
        assert!(remarks.len() == 1 && remarks[0].starts_with(named), "{remarks:?}");
    }
}

#[test]
fn the_error_page_is_that_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("error.html");
    let key = format!("html_error_template_file: {}", path.display());
    let missing = mistakes(&key);
    let expected = format!("Could not read HTML error template file: open {}", path.display());
    assert!(missing[0].starts_with(&expected), "{missing:?}");
    std::fs::write(&path, "{{.Status}}{{range .Header}}").unwrap();
    assert!(mistakes(&key)[0].contains("`range .Header` is not understood"));
    std::fs::write(&path, "<b>{{.Status}}</b>").unwrap();
    assert!(read(&key).unwrap().router.error_page.is_some());
    assert!(read("").unwrap().router.error_page.is_none());
}

#[test]
fn route_services_are_known_to_who_has_a_secret() {
    assert!(read("route_services_timeout: 5s").unwrap().router.services.is_none());
    let services = read("route_services_secret: s").unwrap().router.services.unwrap();
    assert_eq!(services.timeout, Duration::from_secs(60));
    assert_eq!((services.attempts_max, services.hairpins), (3, Hairpins::Never));
    assert!(!services.recommends_https && !services.is_strict);
    let text = "
route_services_secret: new
route_services_secret_decrypt_only: old
route_services_timeout: 5s
route_services_recommend_https: true
route_services_hairpinning: true
route_services_hairpinning_allowlist: [\"*.a.test\", b.test]
route_services_internal_server_port: 7070
route_services: {max_attempts: 5, strict_signature_validation: true}
";
    let settings = read(text).unwrap();
    assert!(settings.unknown_keys.is_empty(), "{:?}", settings.unknown_keys);
    let services = settings.router.services.unwrap();
    assert_eq!(services.timeout, Duration::from_secs(5));
    let hosts = vec![".a.test".to_owned(), "b.test".to_owned()];
    assert_eq!((services.attempts_max, services.hairpins), (5, Hairpins::Only(hosts)));
    assert!(services.recommends_https && services.is_strict);
    for (more, part) in [
        ("route_services_hairpinning_allowlist: [nowhere]", "`nowhere` is neither"),
        ("route_services: {cert_chain: x, private_key: y}", "there is no private key"),
        ("route_services_timeout: soon", "`soon` is no duration"),
    ] {
        let text = format!("route_services_secret: s\nroute_services_hairpinning: true\n{more}");
        let found = mistakes(&text);
        assert!(found.iter().any(|mistake| mistake.contains(part)), "{more}: {found:?}");
    }
}

#[test]
fn an_empty_file_means_gorouters_defaults() {
    for text in ["", "{}", "--- {}"] {
        let settings = read(text).unwrap();
        assert_eq!(settings.router.listeners[0].addr.port(), 8081);
        assert_eq!(settings.router.limits.endpoint_timeout, Duration::from_secs(60));
        let checker = settings.router.headers.health_check_user_agent.as_deref();
        assert_eq!(checker, Some("HTTP-Monitor/1.1"));
        assert!(settings.access.is_empty());
    }
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    for (text, part) in [
        ("routing_table_sharding_mode: segments", "name some in isolation_segments"),
        ("routing_table_sharding_mode: none", "take all, segments or shared-and-segments"),
        ("balancing_algorithm: dice", "take round-robin or least-connection"),
        ("logging: {level: loud}", "take debug, info"),
        ("logging: {loggregator_enabled: true, metron_address: \"\"}", "logging.metron_address"),
        ("logging: {metron_address: \"\"}", "logging.metron_address"),
        (
            "enable_envelope_v1_metrics: false\nlogging: {metron_address: \"\"}",
            "logging.metron_address",
        ),
        (
            "access_log: {enable_streaming: true}\nlogging: {syslog_addr: \"\"}",
            "logging.syslog_addr",
        ),
        ("logging: {syslog_truncate: short}", "syslog_truncate"),
        ("logging: {syslog_network: pigeon}", "take udp or tcp"),
        ("disable_http: true", "nothing would listen"),
        ("logging: {redact_query_params: some}", "take none, all or hash"),
        ("balancing_algorithm: hash", "take round-robin or least-connection"),
        ("balancing_algorithm_az_preference: locally-optimistic", "name the zone"),
        ("balancing_algorithm_az_preference: far", "take none or locally-optimistic"),
        ("enable_ssl: true", "give at least one cert_chain and private_key"),
        ("enable_ssl: true\ntls_pem: [{cert_chain: x, private_key: y}]", "no private key in it"),
        ("forwarded_client_cert: maybe", "take always_forward, forward or sanitize_set"),
        ("ca_certs: [\"no PEM\"]", "ca_certs: there is no certificate in it"),
        ("backends: {cert_chain: x}", "backends.cert_chain: there is no private key in it"),
        ("nats: {tls_enabled: true, ca_certs: x}", "nats.ca_certs: there is no certificate in it"),
        ("status: {host: here}", "take an IP address"),
        ("status: {tls: {key: x, certificate: y}}", "status.tls: there is no private key in it"),
        ("prometheus: {port: 1, cert_path: /nowhere}", "prometheus: cannot read /nowhere"),
        (
            "status: {enable_nontls_health_checks: false, \
             enable_deprecated_varz_healthz_endpoints: true}",
            "which enable_nontls_health_checks closes",
        ),
        ("endpoint_timeout: soon", "`soon` is no duration"),
        ("port: 99999", "port"),
        ("port: [", ""),
        ("nats: 5", ""),
        ("a: &a [*a, *a]", ""),
    ] {
        let found = mistakes(text);
        assert!(found.iter().any(|mistake| mistake.contains(part)), "{text}: {found:?}");
    }
    assert_eq!(mistakes("balancing_algorithm: x\nlogging: {level: y}").len(), 2);
}

/// A file with TLS, and with this in it.
fn secured(more: &str) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["web.test".to_owned()]).unwrap();
    let indented = |pem: String| {
        let lines = pem.lines().map(|line| format!("    {line}\n"));
        lines.collect::<String>()
    };
    let (cert, key) = (indented(made.cert.pem()), indented(made.signing_key.serialize_pem()));
    format!(
        "enable_ssl: true\nssl_port: 8443\ntls_pem:\n- cert_chain: |\n{cert}  private_key: |\n{key}\
         client_ca_certs: |\n{cert}only_trust_client_ca_certs: true\n{more}\n"
    )
}

#[test]
fn tls_in_front_is_as_the_file_says() {
    let suites =
        "cipher_suites: ECDHE-RSA-AES128-GCM-SHA256:TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    for more in [
        "",
        suites,
        "max_tls_version: TLSv1.3",
        "min_tls_version: \"\"\nmax_tls_version: \"\"",
        "client_cert_validation: require",
    ] {
        let settings = read(&secured(more)).unwrap();
        let listeners: Vec<_> =
            settings.router.listeners.iter().map(|l| (l.addr.port(), l.is_tls)).collect();
        assert_eq!(listeners, [(8081, false), (8443, true)], "{more}");
        assert!(settings.router.front_tls.is_some() && settings.router.backend_tls.is_some());
    }
    for (more, spoken) in [
        ("", vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
        ("enable_http2: true", vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
        ("enable_http2: false", vec![b"http/1.1".to_vec()]),
    ] {
        let front = read(&secured(more)).unwrap().router.front_tls.unwrap();
        assert_eq!(front.server.alpn_protocols, spoken, "{more}");
    }
    for (more, part) in [
        ("min_tls_version: TLSv1.0", "take TLSv1.2 or TLSv1.3"),
        ("min_tls_version: TLSv1.3", "nothing would be spoken"),
        ("cipher_suites: RC4-SHA", "is no cipher suite of this router"),
        ("client_cert_validation: perhaps", "take none, request or require"),
        (
            "enable_verify_client_certificate_metadata: true\nverify_client_certificate_metadata:\n\
             - {issuer_in_chain: {common_name: nobody}}",
            "no certificate of client_ca_certs is that of `nobody`",
        ),
    ] {
        let found = mistakes(&secured(more));
        assert!(found.iter().any(|mistake| mistake.contains(part)), "{more}: {found:?}");
    }
}
