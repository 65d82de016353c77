//! The keys of gorouter's file that mean something here, with gorouter's defaults.

use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::alone::stdout::Timestamps;
use crate::config::duration;
use crate::tls::SubjectRule;

/// Keys that gorouter knows and that need nothing done here.
const WITHOUT_EFFECT: &[&str] = &[
    "debug_addr",
    "disable_keep_alive",
    "enable_http1_concurrent_read_write",
    "load_balancer_healthy_threshold",
    "nats.hosts.",
    "per_request_metrics_reporting",
    "prometheus.meters",
    "pid_file",
    "publish_start_message_interval",
    "route_services_internal_server_port",
];

/// Whether gorouter knows a key, and nothing has to be done about it.
pub(super) fn is_without_effect(key: &str) -> bool {
    WITHOUT_EFFECT.iter().any(|known| match known.strip_suffix(['_', '.']) {
        Some(prefix) => key.starts_with(prefix),
        None => key == *known || key.strip_prefix(known).is_some_and(|rest| rest.starts_with('.')),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default = "usual")]
pub(super) struct File {
    pub(super) port: u16,
    pub(super) index: u32,
    pub(super) go_max_procs: Option<i64>,
    pub(super) trace_key: String,
    pub(super) disable_http: bool,
    pub(super) enable_ssl: bool,
    pub(super) ssl_port: u16,
    pub(super) tls_pem: Vec<TlsPem>,
    pub(super) cipher_suites: String,
    pub(super) min_tls_version: String,
    pub(super) max_tls_version: String,
    pub(super) ca_certs: Pems,
    pub(super) client_ca_certs: Pems,
    pub(super) only_trust_client_ca_certs: bool,
    pub(super) client_cert_validation: String,
    pub(super) enable_verify_client_certificate_metadata: bool,
    pub(super) verify_client_certificate_metadata: Vec<SubjectRule>,
    pub(super) forwarded_client_cert: String,
    pub(super) skip_ssl_validation: bool,
    pub(super) enable_proxy: bool,
    /// Not gorouter's, which has a fixed one.
    #[serde(with = "duration::optional")]
    pub(super) proxy_header_timeout: Option<Duration>,
    pub(super) enable_http2: bool,
    pub(super) status: Status,
    pub(super) prometheus: Prometheus,
    pub(super) nats: Nats,
    pub(super) logging: Logging,
    pub(super) access_log: AccessLog,
    pub(super) tracing: Tracing,
    pub(super) backends: Backends,
    pub(super) http_rewrite: HttpRewrite,
    pub(super) route_services_secret: String,
    pub(super) route_services_secret_decrypt_only: String,
    #[serde(with = "duration")]
    pub(super) route_services_timeout: Duration,
    pub(super) route_services_recommend_https: bool,
    pub(super) route_services_hairpinning: bool,
    #[serde(deserialize_with = "list")]
    pub(super) route_services_hairpinning_allowlist: Vec<String>,
    pub(super) route_services: RouteServices,
    pub(super) html_error_template_file: String,
    pub(super) per_app_prometheus_http_metrics_reporting: bool,
    pub(super) routing_api: Option<RoutingApi>,
    pub(super) oauth: Option<OAuth>,
    pub(super) token_fetcher_max_retries: u32,
    #[serde(with = "duration")]
    pub(super) token_fetcher_retry_interval: Duration,
    /// Seconds.
    pub(super) token_fetcher_expiration_buffer_time: i64,
    pub(super) keep_alive_100_continue_requests: bool,
    pub(super) send_http_start_stop_server_event: bool,
    pub(super) send_http_start_stop_client_event: bool,
    #[serde(deserialize_with = "list")]
    pub(super) isolation_segments: Vec<String>,
    pub(super) routing_table_sharding_mode: String,
    #[serde(deserialize_with = "list")]
    pub(super) extra_headers_to_log: Vec<String>,
    pub(super) balancing_algorithm: String,
    pub(super) balancing_algorithm_az_preference: String,
    pub(super) zone: String,
    pub(super) healthcheck_user_agent: String,
    #[serde(deserialize_with = "list")]
    pub(super) hop_by_hop_headers_to_filter: Vec<String>,
    pub(super) force_forwarded_proto_https: bool,
    pub(super) sanitize_forwarded_proto: bool,
    pub(super) sticky_session_cookie_names: Vec<String>,
    pub(super) sticky_sessions_for_auth_negotiate: bool,
    pub(super) secure_cookies: bool,
    pub(super) empty_pool_response_code_503: bool,
    pub(super) suspend_pruning_if_nats_unavailable: bool,
    pub(super) disable_keep_alives: bool,
    pub(super) max_idle_conns: Option<usize>,
    pub(super) max_idle_conns_per_host: Option<usize>,
    pub(super) max_request_header_bytes: usize,
    pub(super) max_request_headers: usize,
    pub(super) max_response_header_bytes: usize,
    pub(super) max_response_headers: usize,
    #[serde(with = "duration")]
    pub(super) droplet_stale_threshold: Duration,
    #[serde(with = "duration")]
    pub(super) route_latency_metric_muzzle_duration: Duration,
    pub(super) enable_envelope_v1_metrics: bool,
    #[serde(with = "duration")]
    pub(super) prune_stale_droplets_interval: Duration,
    #[serde(with = "duration")]
    pub(super) empty_pool_timeout: Duration,
    #[serde(with = "duration")]
    pub(super) start_response_delay_interval: Duration,
    #[serde(with = "duration")]
    pub(super) endpoint_timeout: Duration,
    #[serde(with = "duration")]
    pub(super) endpoint_dial_timeout: Duration,
    #[serde(with = "duration")]
    pub(super) endpoint_keep_alive_probe_interval: Duration,
    #[serde(with = "duration")]
    pub(super) websocket_dial_timeout: Duration,
    #[serde(with = "duration")]
    pub(super) tls_handshake_timeout: Duration,
    #[serde(with = "duration::optional")]
    pub(super) read_header_timeout: Option<Duration>,
    #[serde(with = "duration")]
    pub(super) nats_client_ping_interval: Duration,
    #[serde(with = "duration")]
    pub(super) publish_active_apps_interval: Duration,
    #[serde(with = "duration")]
    pub(super) frontend_idle_timeout: Duration,
    #[serde(with = "duration")]
    pub(super) drain_wait: Duration,
    #[serde(with = "duration::optional")]
    pub(super) drain_timeout: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) pass: String,
    pub(super) enable_nontls_health_checks: bool,
    pub(super) enable_deprecated_varz_healthz_endpoints: bool,
    pub(super) routes: StatusRoutes,
    pub(super) tls: StatusTls,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct StatusRoutes {
    pub(super) port: u16,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct StatusTls {
    pub(super) port: u16,
    pub(super) certificate: String,
    pub(super) key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Prometheus {
    pub(super) enabled: Option<bool>,
    pub(super) port: u16,
    pub(super) cert_path: String,
    pub(super) key_path: String,
    pub(super) ca_path: String,
    pub(super) meters: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Nats {
    pub(super) hosts: Vec<NatsHost>,
    pub(super) user: String,
    pub(super) pass: String,
    pub(super) tls_enabled: bool,
    pub(super) ca_certs: Pems,
    pub(super) cert_chain: String,
    pub(super) private_key: String,
    #[serde(with = "duration::optional")]
    pub(super) ping_interval: Option<Duration>,
}

/// Another source of routes, which is asked where both `uri` and `port` are there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RoutingApi {
    pub(super) uri: String,
    pub(super) port: u16,
    pub(super) auth_disabled: bool,
    pub(super) ca_certs: Pems,
    pub(super) cert_chain: String,
    pub(super) private_key: String,
}

/// Who gives tokens for it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OAuth {
    pub(super) token_endpoint: String,
    /// -1 says that it speaks no TLS.
    pub(super) port: i64,
    pub(super) skip_ssl_validation: bool,
    pub(super) client_name: String,
    pub(super) client_secret: String,
    /// The path of a file.
    pub(super) ca_certs: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NatsHost {
    pub(super) hostname: String,
    pub(super) port: u16,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Logging {
    pub(super) level: String,
    pub(super) syslog: String,
    pub(super) syslog_addr: String,
    pub(super) syslog_network: String,
    /// The longest message in bytes; 0 and less for any length.
    pub(super) syslog_truncate: i64,
    pub(super) loggregator_enabled: bool,
    pub(super) metron_address: String,
    pub(super) redact_query_params: String,
    pub(super) disable_log_forwarded_for: bool,
    pub(super) disable_log_source_ip: bool,
    pub(super) format: Format,
    #[serde(deserialize_with = "list")]
    pub(super) extra_access_log_fields: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Format {
    pub(super) timestamp: Timestamps,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccessLog {
    pub(super) file: String,
    pub(super) enable_streaming: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tracing {
    pub(super) enable_zipkin: bool,
    pub(super) enable_w3c: bool,
    pub(super) w3c_tenant_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Backends {
    pub(super) max_conns: u32,
    pub(super) max_attempts: usize,
    pub(super) cert_chain: String,
    pub(super) private_key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RouteServices {
    pub(super) max_attempts: usize,
    pub(super) strict_signature_validation: bool,
    pub(super) cert_chain: String,
    pub(super) private_key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TlsPem {
    pub(super) cert_chain: String,
    pub(super) private_key: String,
}

/// Certificates: one text, or a list of texts.
#[derive(Debug, Default)]
pub(super) struct Pems(pub(super) Vec<String>);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HttpRewrite {
    pub(super) responses: Responses,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Responses {
    pub(super) add_headers_if_not_present: Vec<Header>,
    pub(super) remove_headers: Vec<Header>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

impl<'de> Deserialize<'de> for Pems {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            One(String),
            Many(Vec<String>),
            None(()),
        }
        Ok(Self(match Either::deserialize(from)? {
            Either::One(pem) => vec![pem],
            Either::Many(pems) => pems,
            Either::None(()) => Vec::new(),
        }))
    }
}

/// A list, which Go writes as `[]`, as nothing, or as `null`.
fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(from)?.unwrap_or_default())
}

/// What holds where the file says nothing.
fn usual() -> File {
    let secs = Duration::from_secs;
    File {
        port: 8081,
        ssl_port: 443,
        min_tls_version: "TLSv1.2".to_owned(),
        max_tls_version: "TLSv1.2".to_owned(),
        client_cert_validation: "none".to_owned(),
        forwarded_client_cert: "always_forward".to_owned(),
        enable_http2: true,
        route_services_timeout: secs(60),
        routing_table_sharding_mode: "all".to_owned(),
        balancing_algorithm: "round-robin".to_owned(),
        balancing_algorithm_az_preference: "none".to_owned(),
        healthcheck_user_agent: "HTTP-Monitor/1.1".to_owned(),
        sticky_session_cookie_names: vec!["JSESSIONID".to_owned()],
        droplet_stale_threshold: secs(120),
        route_latency_metric_muzzle_duration: secs(30),
        enable_envelope_v1_metrics: true,
        prune_stale_droplets_interval: secs(30),
        start_response_delay_interval: secs(5),
        token_fetcher_max_retries: 3,
        token_fetcher_retry_interval: secs(5),
        token_fetcher_expiration_buffer_time: 30,
        endpoint_timeout: secs(60),
        endpoint_dial_timeout: secs(5),
        tls_handshake_timeout: secs(10),
        nats_client_ping_interval: secs(20),
        endpoint_keep_alive_probe_interval: secs(1),
        frontend_idle_timeout: secs(900),
        ..File::default()
    }
}

impl Default for Status {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 8080,
            user: String::new(),
            pass: String::new(),
            enable_nontls_health_checks: true,
            enable_deprecated_varz_healthz_endpoints: false,
            routes: StatusRoutes::default(),
            tls: StatusTls::default(),
        }
    }
}

impl Default for StatusRoutes {
    fn default() -> Self {
        Self { port: 8082 }
    }
}

impl Default for StatusTls {
    fn default() -> Self {
        Self { port: 8443, certificate: String::new(), key: String::new() }
    }
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            hosts: vec![NatsHost { hostname: "localhost".to_owned(), port: 4222 }],
            user: String::new(),
            pass: String::new(),
            tls_enabled: false,
            ca_certs: Pems::default(),
            cert_chain: String::new(),
            private_key: String::new(),
            ping_interval: None,
        }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: "debug".to_owned(),
            syslog: String::new(),
            syslog_addr: "127.0.0.1:514".to_owned(),
            syslog_network: "udp".to_owned(),
            syslog_truncate: 0,
            loggregator_enabled: false,
            metron_address: "localhost:3457".to_owned(),
            redact_query_params: "none".to_owned(),
            disable_log_forwarded_for: false,
            disable_log_source_ip: false,
            format: Format::default(),
            extra_access_log_fields: Vec::new(),
        }
    }
}
