//! Routes of a routing API beside those of NATS, with gorouter's file.

mod servers;

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use crate::authority::certificates;
use crate::nats::Nats;
use crate::process::{Router, eventually, instance, registration};
use servers::{Api, Uaa, tls};

/// Nothing is listed but at the start and whenever events are followed anew.
const NO_LISTINGS: &str = "prune_stale_droplets_interval: 1h";
/// Routes are listed, and pruned, all the time.
const LISTINGS: &str = "prune_stale_droplets_interval: 200ms";

fn route(host: &str, port: u16, more: &str) -> String {
    format!(
        "{{\"route\":\"{host}\",\"port\":{port},\"ip\":\"127.0.0.1\",\"ttl\":120,\
         \"log_guid\":\"app\"{more}}}"
    )
}

fn open_api(api: &Api) -> String {
    format!("routing_api: {{uri: \"http://127.0.0.1\", port: {}, auth_disabled: true}}", api.port())
}

/// The keys of an API that wants a token of UAA's.
fn guarded_api(api: &Api, uaa_port: u16, dir: &Path) -> String {
    format!(
        "routing_api: {{uri: \"http://127.0.0.1\", port: {}}}\n\
         oauth: {{token_endpoint: 127.0.0.1, port: {uaa_port}, client_name: gorouter, \
         client_secret: \"hush:hush\", ca_certs: {}}}\n\
         token_fetcher_max_retries: 1\ntoken_fetcher_retry_interval: 10ms",
        api.port(),
        dir.join("ca.pem").display()
    )
}

fn started(nats: &Nats, api: &str, more: &str) -> Router {
    Router::start(&[nats], &format!("{api}\n{more}"))
}

/// Waits until it has ended with 1 and said all of this.
fn fails(nats: &Nats, keys: &str, expected: &[&str]) {
    let router = Router::begin(&[nats], keys);
    for words in expected {
        router.has_eventually_said(words);
    }
    assert!(!router.has_said("gorouter.started"));
    assert_eq!(router.wait().code(), Some(1));
}

#[test]
fn routes_appear_and_vanish_by_events_beside_those_of_nats() {
    let (nats, port) = (Nats::start(), instance("web"));
    let api = Api::start(&format!("[{}]", route("listed.test", port, "")));
    let router = started(&nats, &open_api(&api), NO_LISTINGS);
    router.answers("listed.test", 200);
    for said in ["setting-up-routing-api", "using-noop-token-fetcher", "syncer-started"] {
        router.has_eventually_said(said);
    }
    nats.client().publish("router.register", &registration("nats.test", port, ""));
    router.answers("nats.test", 200);
    api.says("Upsert", &route("event.test", port, ""));
    router.answers("event.test", 200);
    router.has_eventually_said("Successfully-subscribed-to-routing-api-event-stream");
    api.says("Delete", &route("listed.test", port, ""));
    router.answers("listed.test", 404);
    api.says("Delete", &route("event.test", port, ""));
    router.answers("event.test", 404);
    assert_eq!(router.get("nats.test").status, 200);
}

#[test]
fn an_event_that_is_older_than_the_route_changes_nothing() {
    let (nats, port) = (Nats::start(), instance("web"));
    let api = Api::start("[]");
    let router = started(&nats, &open_api(&api), NO_LISTINGS);
    let tagged = |host: &str, index: u32| {
        route(host, port, &format!(",\"modification_tag\":{{\"guid\":\"g\",\"index\":{index}}}"))
    };
    api.says("Upsert", &tagged("web.test", 5));
    api.says("Delete", &tagged("web.test", 4));
    api.says("Upsert", &tagged("last.test", 0));
    router.answers("last.test", 200);
    assert_eq!(router.get("web.test").status, 200);
    api.says("Delete", &tagged("web.test", 5));
    router.answers("web.test", 404);
}

#[test]
fn routes_are_listed_where_there_are_no_events() {
    let (nats, port) = (Nats::start(), instance("web"));
    let api = Api::start(&format!("[{}]", route("first.test", port, "")));
    let router = started(&nats, &open_api(&api), LISTINGS);
    api.has_no_more_events();
    router.has_eventually_said("failed-getting-next-event");
    router.has_eventually_said("failed-subscribing-to-routing-api-event-stream");
    api.lists(&format!("[{}]", route("second.test", port, "")));
    router.answers("second.test", 200);
    router.answers("first.test", 404);
}

#[test]
fn what_was_missed_while_the_stream_was_broken_is_made_up_for() {
    let (nats, port) = (Nats::start(), instance("web"));
    let api = Api::start(&format!("[{}]", route("first.test", port, "")));
    let router = started(&nats, &open_api(&api), NO_LISTINGS);
    api.says("Upsert", &route("event.test", port, ""));
    router.answers("event.test", 200);
    api.lists(&format!("[{}]", route("second.test", port, "")));
    api.breaks_off();
    router.answers("second.test", 200);
    router.answers("first.test", 404);
    router.answers("event.test", 404);
    api.says("Upsert", &route("third.test", port, ""));
    router.answers("third.test", 200);
}

#[test]
fn a_route_that_is_not_told_of_any_more_ends_with_its_ttl() {
    let (nats, port) = (Nats::start(), instance("web"));
    let brief = route("brief.test", port, "").replace("\"ttl\":120", "\"ttl\":1");
    let api = Api::start(&format!("[{brief},{}]", route("lasting.test", port, "")));
    let router = started(&nats, &open_api(&api), LISTINGS);
    router.answers("brief.test", 200);
    drop(api);
    router.answers("brief.test", 404);
    assert_eq!(router.get("lasting.test").status, 200);
}

#[test]
fn what_is_no_route_harms_none() {
    let (nats, port) = (Nats::start(), instance("web"));
    let good = route("good.test", port, "");
    let api = Api::start(&format!("[{good}]"));
    let router = started(&nats, &open_api(&api), LISTINGS);
    router.answers("good.test", 200);
    api.lists("<html>not today</html>");
    router.has_eventually_said("failed-to-fetch-routes");
    assert_eq!(router.get("good.test").status, 200);
    api.lists(&format!("[5,{{\"port\":-1}},{{}},{good}]"));
    router.has_eventually_said("the routing API lists what is no route");
    router.has_eventually_said("registration ignored");
    assert_eq!(router.get("good.test").status, 200);
}

#[test]
fn what_is_no_event_is_passed_over_and_what_never_ends_broken_off() {
    let (nats, port) = (Nats::start(), instance("web"));
    let api = Api::start("[]");
    let router = started(&nats, &open_api(&api), NO_LISTINGS);
    api.says("Upsert", "{\"port\":");
    api.says("Surprise", "{}");
    api.streams(": nothing\n\n\u{0}\n\n");
    api.says("Upsert", &route("good.test", port, ""));
    router.answers("good.test", 200);
    router.has_eventually_said("an event without a route is passed over");
    api.lists(&format!("[{}]", route("again.test", port, "")));
    api.streams(&"x".repeat(1024 * 1024 + 1));
    router.has_eventually_said("an event of more than 1048576 bytes");
    router.answers("again.test", 200);
}

#[test]
fn a_token_that_is_refused_is_replaced() {
    let (nats, port, dir) = (Nats::start(), instance("web"), tempfile::tempdir().unwrap());
    certificates(dir.path());
    let (api, uaa) = (Api::start("[]"), Uaa::start(dir.path(), 43200));
    api.takes_token("token-1");
    let router = started(&nats, &guarded_api(&api, uaa.port(), dir.path()), LISTINGS);
    router.has_eventually_said("started-fetching-token");
    api.is_followed();
    assert_eq!(uaa.granted(), 1);
    api.takes_token("token-2");
    api.lists(&format!("[{}]", route("web.test", port, "")));
    router.answers("web.test", 200);
    assert_eq!(uaa.granted(), 2, "one for all requests");
    api.breaks_off();
    api.is_followed();
    let said = router.said();
    assert!(!said.contains("hush") && !said.contains("token-1"), "{said}");
}

#[test]
fn without_uaa_what_is_known_stays_and_events_go_on() {
    let (nats, port, dir) = (Nats::start(), instance("web"), tempfile::tempdir().unwrap());
    certificates(dir.path());
    let api = Api::start(&format!("[{}]", route("listed.test", port, "")));
    // Each token is used once.
    let uaa = Uaa::start(dir.path(), 0);
    let router = started(&nats, &guarded_api(&api, uaa.port(), dir.path()), LISTINGS);
    router.answers("listed.test", 200);
    api.is_followed();
    drop(uaa);
    router.has_eventually_said("unable-to-fetch-token");
    api.says("Upsert", &route("event.test", port, ""));
    router.answers("event.test", 200);
    assert_eq!(router.get("listed.test").status, 200);
}

#[test]
fn a_router_that_gets_no_token_does_not_start() {
    let (nats, dir) = (Nats::start(), tempfile::tempdir().unwrap());
    certificates(dir.path());
    let (api, uaa) = (Api::start("[]"), Uaa::start(dir.path(), 43200));
    let failed = ["routing-api-connection-failed", "unable-to-fetch-token"];
    let keys = guarded_api(&api, uaa.port(), dir.path());
    let stranger = keys.replace("client_name: gorouter", "client_name: stranger");
    fails(&nats, &stranger, &[failed[0], failed[1], "retry-fetching-token"]);
    let distrusting = keys.replace("ca_certs", "unknown_key");
    fails(&nats, &distrusting, &[failed[0], failed[1], "invalid peer certificate"]);
    let careless = distrusting.replace("oauth: {", "oauth: {skip_ssl_validation: true, ");
    drop(Router::start(&[&nats], &careless));
    drop(uaa);
    fails(&nats, &keys, &failed);
}

#[test]
fn a_router_that_does_not_reach_the_api_does_not_start() {
    let nats = Nats::start();
    let api = Api::start("no listing");
    fails(&nats, &open_api(&api), &["routing-api-connection-failed", "expected ident"]);
    api.takes_token("any");
    fails(&nats, &open_api(&api), &["routing-api-connection-failed", "unauthorized"]);
    let keys = open_api(&api);
    drop(api);
    fails(&nats, &keys, &["setting-up-routing-api", "routing-api-connection-failed"]);
}

#[test]
fn a_router_that_waits_for_the_api_can_be_ended() {
    let nats = Nats::start();
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let keys =
        format!("routing_api: {{uri: \"http://127.0.0.1\", port: {port}, auth_disabled: true}}");
    let router = Router::begin(&[&nats], &keys);
    let (_waiting, _) = silent.accept().unwrap();
    router.signal("TERM");
    router.has_eventually_said("gorouter.stopped");
    assert_eq!(router.wait().code(), Some(0));
}

#[test]
fn the_api_is_spoken_to_under_tls_with_a_certificate() {
    let (nats, port) = (Nats::start(), instance("web"));
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(dir.path());
    certificates(other.path());
    let listing = format!("[{}]", route("web.test", port, ""));
    let api = Api::start_with(&listing, Some(tls(dir.path(), true)));
    let keys = |ca: &Path, own: &Path| {
        let pem =
            |path: &Path, name: &str| Value::from(fs::read_to_string(path.join(name)).unwrap());
        format!(
            "routing_api: {{uri: \"https://localhost\", port: {}, auth_disabled: true, \
             ca_certs: {}, cert_chain: {}, private_key: {}}}",
            api.port(),
            pem(ca, "ca.pem"),
            pem(own, "cert.pem"),
            pem(own, "key.pem")
        )
    };
    let (ours, theirs) = (dir.path(), other.path());
    let router = started(&nats, &keys(ours, ours), NO_LISTINGS);
    router.answers("web.test", 200);
    api.says("Upsert", &route("event.test", port, ""));
    router.answers("event.test", 200);
    fails(
        &nats,
        &keys(theirs, ours),
        &["routing-api-connection-failed", "invalid peer certificate"],
    );
    fails(&nats, &keys(ours, theirs), &["routing-api-connection-failed"]);
}

#[test]
fn thousands_of_routes_are_listed_at_once() {
    let (nats, port) = (Nats::start(), instance("web"));
    let routes: Vec<String> =
        (0..5000).map(|nth| route(&format!("r{nth}.test"), port, "")).collect();
    let api = Api::start(&format!("[{}]", routes.join(",")));
    let router = started(&nats, &open_api(&api), NO_LISTINGS);
    for nth in [0, 2500, 4999] {
        router.answers(&format!("r{nth}.test"), 200);
    }
    eventually("all are there", || router.said().matches("endpoint added").count() == 5000);
}
