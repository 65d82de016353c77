//! gorouter's own file: YAML with gorouter's keys, of which those that nobody knows are ignored.
//! Its defaults are gorouter's, too.

mod keys;
mod ports;
mod routing_api;
mod secrets;

use std::path::Path;
use std::time::Duration;

use lattice_daemon::bus::nats::NatsConfig;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};

use super::access::{Access, Network, Syslog};
use super::metron::Metron;
use super::report::Report;
use super::settings::{self, Judge, Lifecycle, Read, Refused, Settings};
use super::stdout::Logging;
use crate::config::{
    AccessLines, Balance, Config, ExtraField, ForwardedProto, Freshness, HeaderRules, Limits,
    LineRules, Listener, Query, Sharding, Side, Sticky, Tracing,
};
use keys::File;
use ports::status;

/// Endpoints that are tried for one request where the file does not say it.
const ATTEMPTS_DEFAULT: usize = 3;
/// Requests at once on a connection in HTTP/2, as gorouter's server takes them.
const STREAMS_MAX: u32 = 250;

/// The headers of trace ids, which lines show where they are sent.
const ZIPKIN: [&str; 4] = ["X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "b3"];
const W3C: [&str; 2] = ["traceparent", "tracestate"];

/// Reads a file's text.
pub(crate) fn read(text: &str) -> Read {
    let mut unknown_keys = Vec::new();
    let file: File = serde_saphyr::with_deserializer_from_str(text, |from| {
        serde_ignored::deserialize(from, |path| unknown_keys.push(path.to_string()))
    })
    .map_err(|error| Refused::Malformed(error.to_string()))?;
    unknown_keys.retain(|key| !keys::is_without_effect(key));
    settings_of(file, unknown_keys)
}

fn settings_of(file: File, unknown_keys: Vec<String>) -> Read {
    let mut judge = Judge::default();
    if file.disable_http && !file.enable_ssl {
        judge.refuse("disable_http without enable_ssl: nothing would listen");
    }
    let mut router = Config::new("");
    // The platform's own names are not gorouter's business.
    router.apps_internal_suffix.clear();
    if !file.disable_http {
        router.listeners.push(listener(file.port, false));
    }
    if file.enable_ssl {
        router.listeners.push(listener(file.ssl_port, true));
    }
    router.front_tls = secrets::front(&file, &mut judge);
    router.backend_tls = secrets::backends(&file, &mut judge);
    router.http2_to_endpoints = file.enable_http2;
    router.services = secrets::services(&file, &mut judge);
    if let Some(workers) = file.go_max_procs.filter(|&workers| workers > 0) {
        router.workers = usize::try_from(workers).unwrap_or(router.workers);
    }
    let start_delay = file.start_response_delay_interval;
    router.identity = settings::identity(file.index, start_delay);
    router.sharding = judge.take(sharding(&file), Sharding::All);
    router.reads_preamble = file.enable_proxy;
    router.zone = judge.take(zone(&file), None);
    router.freshness = freshness(&file);
    router.balance = judge.take(balance(&file.balancing_algorithm), Balance::RoundRobin);
    router.lines = AccessLines::All;
    router.line_rules = line_rules(&file, &mut judge);
    router.headers = headers(&file);
    router.headers.client_certificate = secrets::forwarded(&file, &mut judge);
    router.sticky = Sticky {
        cookies: file.sticky_session_cookie_names.clone(),
        secure: file.secure_cookies,
        negotiate: file.sticky_sessions_for_auth_negotiate,
    };
    router.limits = limits(&file);
    let template = &file.html_error_template_file;
    if !template.is_empty() {
        router.error_page = judge.take(settings::error_page(Path::new(template)).map(Some), None);
    }
    router.measures_apps = file.per_app_prometheus_http_metrics_reporting;
    let settings = Settings {
        router,
        nats: nats(&file, &mut judge),
        reload: None,
        logging: Logging {
            level: judge.take(level(&file.logging.level), "info".to_owned()),
            timestamps: file.logging.format.timestamp,
        },
        status: status(&file, &mut judge),
        access: access(&file, &mut judge),
        report: report(&file),
        routing_api: routing_api::routing_api(&file, &mut judge),
        lifecycle: Lifecycle { start_delay, drain_wait: file.drain_wait },
        handover: None,
        remarks: remarks(&file),
        unknown_keys,
    };
    judge.over(settings)
}

/// What is asked for, and left undone.
fn remarks(file: &File) -> Vec<String> {
    let undone = [
        (
            !file.publish_active_apps_interval.is_zero(),
            "publish_active_apps_interval: router.active_apps is not published; nothing has read \
             it since DEAs are gone",
        ),
        (
            file.status.enable_deprecated_varz_healthz_endpoints,
            "status.enable_deprecated_varz_healthz_endpoints: the pages are there, but \
             vcap.component.announce is not published and vcap.component.discover not answered",
        ),
        (
            file.prometheus.meters.is_some(),
            "prometheus.meters: the buckets of histograms are those that gorouter has without it",
        ),
    ];
    let (_, unknown) = extra_fields(file);
    let unknown = unknown
        .into_iter()
        .map(|name| format!("logging.extra_access_log_fields: there is no field `{name}`"));
    let undone = undone.into_iter().filter(|(is_so, _)| *is_so).map(|(_, why)| why.to_owned());
    undone.chain(unknown).collect()
}

fn listener(port: u16, is_tls: bool) -> Listener {
    Listener { addr: ([0, 0, 0, 0], port).into(), side: Side::Public, is_tls }
}

fn sharding(file: &File) -> Result<Sharding, String> {
    let segments = file.isolation_segments.clone();
    match file.routing_table_sharding_mode.as_str() {
        "all" => Ok(Sharding::All),
        "segments" if segments.is_empty() => {
            Err("routing_table_sharding_mode is segments: name some in isolation_segments".into())
        }
        "segments" => Ok(Sharding::Segments(segments)),
        "shared-and-segments" => Ok(Sharding::SharedAndSegments(segments)),
        other => Err(format!(
            "routing_table_sharding_mode is `{other}`: take all, segments or shared-and-segments"
        )),
    }
}

fn balance(asked: &str) -> Result<Balance, String> {
    match asked {
        "round-robin" => Ok(Balance::RoundRobin),
        "least-connection" => Ok(Balance::LeastConnection),
        other => {
            Err(format!("balancing_algorithm is `{other}`: take round-robin or least-connection"))
        }
    }
}

/// The zone whose endpoints are preferred, if any is.
fn zone(file: &File) -> Result<Option<String>, String> {
    match file.balancing_algorithm_az_preference.as_str() {
        "" | "none" => Ok(None),
        "locally-optimistic" if file.zone.is_empty() => {
            Err("balancing_algorithm_az_preference is locally-optimistic: name the zone".into())
        }
        "locally-optimistic" => Ok(Some(file.zone.clone())),
        other => Err(format!(
            "balancing_algorithm_az_preference is `{other}`: take none or locally-optimistic"
        )),
    }
}

fn level(asked: &str) -> Result<String, String> {
    match asked {
        "debug" | "info" | "warn" | "error" => Ok(asked.to_owned()),
        "fatal" => Ok("error".to_owned()),
        other => Err(format!("logging.level is `{other}`: take debug, info, warn, error or fatal")),
    }
}

fn freshness(file: &File) -> Freshness {
    let keeps_empty = file.empty_pool_response_code_503;
    Freshness {
        stale_after: file.droplet_stale_threshold,
        prune_interval: file.prune_stale_droplets_interval,
        empty_route_kept: if keeps_empty { file.empty_pool_timeout } else { Duration::ZERO },
        keep_when_silent: false,
        keep_when_cut: file.suspend_pruning_if_nats_unavailable,
        routes_max: usize::MAX,
        arrivals_unmeasured: file.route_latency_metric_muzzle_duration,
    }
}

fn headers(file: &File) -> HeaderRules {
    let rewrite = &file.http_rewrite.responses;
    let checker = Some(&file.healthcheck_user_agent).filter(|name| !name.is_empty());
    let trace_key = Some(&file.trace_key).filter(|key| !key.is_empty());
    let own = settings::own_address().unwrap_or_default();
    HeaderRules {
        forwarded_proto: match (file.force_forwarded_proto_https, file.sanitize_forwarded_proto) {
            (true, _) => ForwardedProto::Https,
            (false, true) => ForwardedProto::Sanitize,
            (false, false) => ForwardedProto::Keep,
        },
        not_of_hop: file.hop_by_hop_headers_to_filter.clone(),
        removed_from_answers: rewrite.remove_headers.iter().map(|h| h.name.clone()).collect(),
        added_to_answers: rewrite
            .add_headers_if_not_present
            .iter()
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect(),
        trace_key: trace_key.map(|key| (key.clone(), own)),
        tracing: Tracing {
            zipkin: file.tracing.enable_zipkin,
            w3c: file.tracing.enable_w3c,
            w3c_tenant: Some(file.tracing.w3c_tenant_id.clone()).filter(|id| !id.is_empty()),
        },
        closes_after_continue: !file.keep_alive_100_continue_requests,
        health_check_user_agent: checker.cloned(),
        ..HeaderRules::default()
    }
}

/// How long is meant by 0, which sets no limit in gorouter.
const FOREVER: Duration = Duration::from_secs(1 << 32);

fn limits(file: &File) -> Limits {
    let ours = Limits::default();
    let time = |time: Duration| if time.is_zero() { FOREVER } else { time };
    let or = |value: usize, instead: usize| if value == 0 { instead } else { value };
    let (idle, per_host) = match file.disable_keep_alives {
        true => (0, 0),
        false => (
            file.max_idle_conns.map_or(ours.idle_max, |n| n.max(ours.idle_max)),
            or(file.max_idle_conns_per_host.unwrap_or_default(), ours.idle_per_endpoint_max),
        ),
    };
    Limits {
        header_bytes_max: or(file.max_request_header_bytes, 1024 * 1024).min(1024 * 1024),
        headers_max: or(file.max_request_headers, 256).min(256),
        answer_header_bytes_max: or(file.max_response_header_bytes, 1024 * 1024).min(1024 * 1024),
        answer_headers_max: or(file.max_response_headers, 256).min(256),
        // gorouter knows no limits of this kind: descriptors are what a machine has.
        connections_max: usize::MAX,
        proxy_header_timeout: file.proxy_header_timeout.unwrap_or(ours.proxy_header_timeout),
        header_read_timeout: file.read_header_timeout.map_or(ours.header_read_timeout, time),
        keep_alive_idle: time(file.frontend_idle_timeout),
        stream_idle: time(file.endpoint_timeout).max(ours.stream_idle),
        endpoint_timeout: time(file.endpoint_timeout),
        upload_timeout: time(file.endpoint_timeout),
        endpoint_probe: file.endpoint_keep_alive_probe_interval,
        dial_timeout: time(file.endpoint_dial_timeout),
        handshake_timeout: time(file.tls_handshake_timeout),
        upgrade_dial_timeout: Some(file.websocket_dial_timeout).filter(|time| !time.is_zero()),
        attempts_max: or(file.backends.max_attempts, ATTEMPTS_DEFAULT),
        in_flight_per_endpoint_max: file.backends.max_conns,
        failed_for: file.droplet_stale_threshold / 4,
        idle_per_endpoint_max: per_host,
        idle_max: idle,
        endpoint_idle: Duration::from_secs(90),
        drain: file.drain_timeout.filter(|t| !t.is_zero()).unwrap_or(file.endpoint_timeout),
        streams_max: STREAMS_MAX,
        ..ours
    }
}

fn nats(file: &File, judge: &mut Judge) -> NatsConfig {
    let nats = &file.nats;
    let server = |host: &keys::NatsHost| format!("{}:{}", host.hostname, host.port);
    NatsConfig {
        servers: nats.hosts.iter().map(server).collect(),
        user: nats.user.clone(),
        password: nats.pass.clone(),
        tls: secrets::nats(nats, judge),
        ping_interval: nats.ping_interval.unwrap_or(file.nats_client_ping_interval),
    }
}

fn line_rules(file: &File, judge: &mut Judge) -> LineRules {
    let query = match file.logging.redact_query_params.as_str() {
        "" | "none" => Query::Shown,
        "all" => Query::Hidden,
        "hash" => Query::Hashed,
        other => {
            let known = "take none, all or hash";
            judge.refuse(format!("logging.redact_query_params is `{other}`: {known}"));
            Query::Shown
        }
    };
    let mut headers = file.extra_headers_to_log.clone();
    let traced = [(file.tracing.enable_zipkin, &ZIPKIN[..]), (file.tracing.enable_w3c, &W3C[..])];
    for name in traced.iter().filter(|(is_on, _)| *is_on).flat_map(|(_, names)| *names) {
        if !headers.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            headers.push((*name).to_owned());
        }
    }
    LineRules {
        extra: extra_fields(file).0,
        headers,
        hides_forwarded_for: file.logging.disable_log_forwarded_for,
        hides_client: file.logging.disable_log_source_ip,
        query,
    }
}

/// The fields that lines have beside the usual, each once, and names of which there is none.
fn extra_fields(file: &File) -> (Vec<ExtraField>, Vec<&str>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for name in &file.logging.extra_access_log_fields {
        let text: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
        match ExtraField::deserialize(text) {
            Ok(field) if known.contains(&field) => {}
            Ok(field) => known.push(field),
            Err(_) => unknown.push(name.as_str()),
        }
    }
    (known, unknown)
}

fn report(file: &File) -> Option<Report> {
    let agent = file.logging.metron_address.clone();
    file.enable_envelope_v1_metrics.then_some(Report { agent })
}

fn access(file: &File, judge: &mut Judge) -> Access {
    let logging = &file.logging;
    let streams = file.access_log.enable_streaming;
    if streams && logging.syslog_addr.is_empty() {
        judge.refuse("access_log.enable_streaming: name the server in logging.syslog_addr");
    }
    // As in gorouter, even where nothing is told to it.
    if logging.metron_address.is_empty() {
        judge.refuse("logging.metron_address is empty: name the agent, or leave the key out");
    }
    let network = match logging.syslog_network.as_str() {
        "" | "udp" => Network::Udp,
        "tcp" => Network::Tcp,
        other => {
            judge.refuse(format!("logging.syslog_network is `{other}`: take udp or tcp"));
            Network::Udp
        }
    };
    let (address, tag) = (logging.syslog_addr.clone(), logging.syslog.clone());
    let tag = if tag.is_empty() { "gorouter".to_owned() } else { tag };
    let bytes_max = usize::try_from(logging.syslog_truncate).unwrap_or_default();
    Access {
        file: Some(&file.access_log.file).filter(|f| !f.is_empty()).map(Into::into),
        syslog: streams.then_some(Syslog { network, address, tag, bytes_max }),
        metron: metron(file),
    }
}

/// Who is told of each request, if anybody is.
fn metron(file: &File) -> Option<Metron> {
    let tells_events = file.enable_envelope_v1_metrics;
    let metron = Metron {
        address: file.logging.metron_address.clone(),
        index: file.index,
        tells_lines: file.logging.loggregator_enabled,
        tells_served: tells_events && file.send_http_start_stop_server_event,
        tells_asked: tells_events && file.send_http_start_stop_client_event,
    };
    (metron.tells_lines || metron.wants_served()).then_some(metron)
}

#[cfg(test)]
mod tests;
