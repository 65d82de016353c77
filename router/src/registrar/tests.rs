//! Messages in, table out, with a clock that the test winds.

use std::sync::atomic::{AtomicI64, Ordering};

use lattice_daemon::bus::{InProcessBus, PENDING_MAX};
use lattice_daemon::log_ingress;

use super::*;
use crate::config::{Balance, Reserved};
use crate::metrics::Parts;
use crate::table;
use crate::tcp::NoDoors;

#[derive(Default)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Time {
        Time::from_secs(self.0.load(Ordering::Relaxed))
    }
}

struct Bench {
    registrar: Registrar,
    clock: Arc<HandClock>,
}

impl Bench {
    fn new(keep_when_silent: bool) -> Self {
        let clock = Arc::new(HandClock::default());
        let mut config = Config::new("test");
        let endpoint = "127.0.0.1:8888".parse().unwrap();
        config.reserved = vec![Reserved { host: "receptor.test".into(), endpoint }];
        config.freshness.keep_when_silent = keep_when_silent;
        let rules = table::Rules { routes_max: 4, ..table::Rules::of(&config) };
        let doors = Arc::new(NoDoors);
        let ports =
            Ports::new(config.tcp.clone(), rules, 0, doors, Arc::new(log_ingress::channel().0));
        let registrar = Registrar::new(
            (Editor::new(rules, 0), ports),
            Arc::new(ReservedHosts::new(&config)),
            Rules::of(&config),
            clock.clone(),
            Arc::new(InProcessBus::default()),
        );
        Self { registrar, clock }
    }

    fn hear(&mut self, subject: &str, payload: &str) -> &mut Self {
        let message =
            Message { subject: subject.into(), payload: payload.as_bytes().into(), reply: None };
        self.registrar.hear(&message);
        self
    }

    fn wind(&mut self, secs: i64) -> &mut Self {
        self.clock.0.store(secs, Ordering::Relaxed);
        self
    }

    fn prune(&mut self) -> &mut Self {
        self.registrar.prune();
        self
    }

    #[track_caller]
    fn holds(&self, expected: &[(&str, &[&str])]) {
        let routes = self.registrar.editor.table().routes();
        let held: Vec<(String, Vec<String>)> = routes
            .iter()
            .map(|route| {
                let pool = route.pool.load();
                let endpoints = pool.iter().map(|e| e.backend.label().to_owned()).collect();
                (route.uri.to_string(), endpoints)
            })
            .collect();
        let expected: Vec<(String, Vec<String>)> = expected
            .iter()
            .map(|(uri, all)| ((*uri).to_owned(), all.iter().map(|e| (*e).to_owned()).collect()))
            .collect();
        assert_eq!(held, expected);
    }
}

const WEB: &str = r#"{"host":"10.0.0.1","port":80,"uris":["Web.test","web.test/a"],"dea":1}"#;

#[test]
fn a_message_registers_each_uri_and_unregisters_it() {
    let mut bench = Bench::new(false);
    bench.hear(REGISTER, WEB);
    bench.holds(&[("web.test", &["10.0.0.1:80"]), ("web.test/a", &["10.0.0.1:80"])]);
    bench.hear(UNREGISTER, WEB);
    bench.holds(&[("web.test", &[]), ("web.test/a", &[])]);
}

#[test]
fn other_subjects_neither_register_nor_withdraw() {
    let mut bench = Bench::new(false);
    bench.hear("router.other", WEB).holds(&[]);
    bench.hear(REGISTER, WEB).hear("router.other", WEB);
    bench.holds(&[("web.test", &["10.0.0.1:80"]), ("web.test/a", &["10.0.0.1:80"])]);
}

#[test]
fn what_cannot_be_a_route_is_ignored_and_counted() {
    for payload in [
        "",
        "{",
        "[]",
        r#"{"host":"no name","port":80,"uris":["a.test"]}"#,
        r#"{"host":"a..test","port":80,"uris":["a.test"]}"#,
        r#"{"host":"10.0.0.256","port":80,"uris":["a.test"]}"#,
        r#"{"host":"","port":80,"uris":["a.test"]}"#,
        r#"{"host":"name.test","port":0,"uris":["a.test"]}"#,
        r#"{"host":"10.0.0.1","port":0,"uris":["a.test"]}"#,
        r#"{"host":"10.0.0.1","port":99999,"uris":["a.test"]}"#,
        r#"{"host":"10.0.0.1","port":80,"uris":["", "a b", "/x"]}"#,
        r#"{"host":"10.0.0.1","tls_port":99999,"uris":["a.test"]}"#,
        r#"{"host":"10.0.0.1","port":80,"app":"a\nb","uris":["a.test"]}"#,
        r#"{"host":"10.0.0.1","port":80,"uris":["a.test"],"route_service_url":"http://x"}"#,
        r#"{"host":"10.0.0.1","port":80,"uris":["receptor.test/v1"]}"#,
        r#"{"host":"127.0.0.1","port":8889,"uris":["RECEPTOR.test"]}"#,
    ] {
        let mut bench = Bench::new(false);
        bench.hear(REGISTER, payload).holds(&[]);
        assert!(bench.registrar.counts.ignored.load(Ordering::Relaxed) > 0, "{payload}");
    }
}

#[test]
fn an_endpoint_may_have_a_name_and_is_known_by_it() {
    let mut bench = Bench::new(false);
    let named = |host: &str, id: &str| {
        format!(r#"{{"host":"{host}","port":80,"uris":["a.test"],"private_instance_id":"{id}"}}"#)
    };
    let long = "a".repeat(241);
    bench.hear(REGISTER, &named(&long, "")).holds(&[]);
    bench.hear(REGISTER, &named("DB-1.internal", "g1")).hear(REGISTER, &named("db-2_x", "g2"));
    bench.hear(REGISTER, &named("db-1.internal", "g1"));
    bench.holds(&[("a.test", &["db-1.internal:80", "db-2_x:80"])]);
    bench.hear(REGISTER, &named("db-2_x", "g3"));
    bench.holds(&[("a.test", &["db-1.internal:80", "db-2_x:80"])]);
    bench.hear(UNREGISTER, &named("db-1.internal", ""));
    bench.holds(&[("a.test", &["db-2_x:80"])]);
    bench.wind(1000).prune().holds(&[("a.test", &[])]);
}

#[test]
fn the_last_registration_says_what_service_a_route_has() {
    let mut bench = Bench::new(false);
    let with = |port: u16, service: &str| {
        format!(
            r#"{{"host":"10.0.0.1","port":{port},"uris":["a.test","b.test"],"route_service_url":"{service}"}}"#
        )
    };
    for (port, service, expected) in [
        (80, "", None),
        (80, "https://rs.test/a", Some("https://rs.test/a")),
        (80, "https://rs.test/a", Some("https://rs.test/a")),
        (81, "https://other.test", Some("https://other.test")),
        (80, "https-is-enough-to-be-kept", Some("https-is-enough-to-be-kept")),
        (81, "http://refused.test", Some("https-is-enough-to-be-kept")),
        (81, "", None),
    ] {
        bench.hear(REGISTER, &with(port, service));
        let routes = bench.registrar.editor.table().routes();
        assert_eq!(routes.len(), 2);
        let known: Vec<_> = routes.iter().map(|route| route.service()).collect();
        for service in &known {
            assert_eq!(service.as_ref().map(|service| &*service.url), expected, "{service:?}");
        }
        let is_same = |(a, b): (&Arc<_>, &Arc<_>)| Arc::ptr_eq(a, b);
        assert!(known[0].as_ref().zip(known[1].as_ref()).is_none_or(is_same));
    }
}

#[test]
fn a_stranger_can_neither_serve_nor_withdraw_a_platform_host() {
    let rightful = r#"{"host":"127.0.0.1","port":8888,"uris":["receptor.test"]}"#;
    let stranger = r#"{"host":"10.0.0.1","port":8888,"uris":["receptor.test"]}"#;
    let mut bench = Bench::new(false);
    bench.hear(REGISTER, rightful).hear(REGISTER, stranger).hear(UNREGISTER, stranger);
    bench.holds(&[("receptor.test", &["127.0.0.1:8888"])]);
    bench.wind(100_000).prune().holds(&[("receptor.test", &["127.0.0.1:8888"])]);
    bench.hear(UNREGISTER, rightful).holds(&[("receptor.test", &[])]);
}

#[test]
fn an_endpoint_that_proves_itself_needs_no_heartbeat_and_is_forgotten_when_it_fails_to() {
    let mut bench = Bench::new(false);
    let tls = r#"{"host":"10.0.0.1","port":80,"tls_port":443,"uris":["web.test"],
        "server_cert_domain_san":"guid"}"#;
    bench.hear(REGISTER, tls).wind(100_000).prune().holds(&[("web.test", &["10.0.0.1:443"])]);
    let route = bench.registrar.editor.table().find("web.test", "/").unwrap();
    let backend = route.pool.load()[0].backend.clone();
    assert_eq!(backend.tls(), Some("guid"));
    bench.registrar.evict(&backend);
    bench.registrar.evict(&backend);
    bench.holds(&[("web.test", &[])]);
    assert!(backend.is_gone());
}

#[test]
fn an_unreachable_bus_prunes_nothing_if_told_so_and_makes_everything_fresh_when_it_is_back() {
    let mut bench = Bench::new(false);
    let empty = r#"{"host":"10.0.0.2","port":80,"uris":["empty.test"]}"#;
    bench.hear(REGISTER, WEB).hear(REGISTER, empty).hear(UNREGISTER, empty);
    bench.registrar.linked(Link { is_up: false, ups: 1 });
    let web: [(&str, &[&str]); 2] =
        [("web.test", &["10.0.0.1:80"]), ("web.test/a", &["10.0.0.1:80"])];
    bench.wind(500).prune().holds(&[("empty.test", &[]), web[0], web[1]]);
    bench.registrar.linked(Link { is_up: true, ups: 2 });
    bench.wind(600).prune().holds(&web);
    bench.wind(621).prune().holds(&[("web.test", &[]), ("web.test/a", &[])]);
}

#[test]
fn a_hash_needs_a_header_and_no_share_below_the_average() {
    for (options, expected) in [
        (r#""hash_header":"X","hash_balance":1.5"#, Balance::Hash),
        (r#""hash_header":"X""#, Balance::Hash),
        (r#""hash_header":"X","hash_balance":0.5"#, Balance::RoundRobin),
        (r#""hash_balance":1.5"#, Balance::RoundRobin),
    ] {
        let mut bench = Bench::new(false);
        let told = format!(
            r#"{{"host":"10.0.0.1","port":80,"uris":["web.test"],
                "options":{{"loadbalancing":"hash",{options}}}}}"#
        );
        bench.hear(REGISTER, &told).holds(&[("web.test", &["10.0.0.1:80"])]);
        let route = bench.registrar.editor.table().find("web.test", "/").unwrap();
        assert_eq!(route.balance(), expected, "{options}");
        assert_eq!(route.hash_by().is_some(), expected == Balance::Hash);
    }
}

#[test]
fn what_is_not_heard_of_is_pruned() {
    let mut bench = Bench::new(false);
    let short = r#"{"host":"10.0.0.2","port":80,"uris":["web.test"],
        "stale_threshold_in_seconds":10}"#;
    let long = r#"{"host":"10.0.0.3","port":80,"uris":["web.test"],
        "stale_threshold_in_seconds":9999}"#;
    let web = r#"{"host":"10.0.0.1","port":80,"uris":["web.test"]}"#;
    bench.hear(REGISTER, short).hear(REGISTER, long).hear(REGISTER, web);
    bench.wind(11).prune().holds(&[("web.test", &["10.0.0.3:80", "10.0.0.1:80"])]);
    bench.wind(100).hear(REGISTER, web);
    bench.wind(121).prune().holds(&[("web.test", &["10.0.0.1:80"])]);
    bench.wind(221).prune().holds(&[("web.test", &[])]);
    bench.wind(260).prune().holds(&[]);
}

#[test]
fn a_life_beyond_all_bounds_is_the_usual_one() {
    let mut bench = Bench::new(false);
    for (nth, secs) in ["-1", "4294967296", "9223372036854775807"].iter().enumerate() {
        let told = format!(
            r#"{{"host":"10.0.0.{nth}","port":80,"uris":["web.test"],
                "stale_threshold_in_seconds":{secs}}}"#
        );
        bench.hear(REGISTER, &told);
    }
    let all: &[&str] = &["10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80"];
    bench.wind(120).prune().holds(&[("web.test", all)]);
    bench.wind(121).prune().holds(&[("web.test", &[])]);
}

#[test]
fn silence_of_everyone_prunes_nothing() {
    let mut bench = Bench::new(true);
    bench.hear(REGISTER, WEB).wind(5000).prune();
    bench.holds(&[("web.test", &["10.0.0.1:80"]), ("web.test/a", &["10.0.0.1:80"])]);
    let other = r#"{"host":"10.0.0.9","port":80,"uris":["other.test"]}"#;
    bench.hear(REGISTER, other).prune();
    bench.holds(&[("other.test", &["10.0.0.9:80"]), ("web.test", &[]), ("web.test/a", &[])]);
}

#[test]
fn the_table_has_a_limit_that_is_counted() {
    let mut bench = Bench::new(false);
    let five = r#"{"host":"10.0.0.1","port":80,"uris":["a","b","c","d","e"]}"#;
    bench.hear(REGISTER, five);
    assert_eq!(bench.registrar.editor.len(), 4);
    assert_eq!(bench.registrar.counts.ignored.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_router_that_starts_or_is_greeted_asks_for_registrations() {
    let bus = Arc::new(InProcessBus::default());
    let mut heard = bus.subscribe(START);
    let mut bench = Bench::new(false);
    bench.registrar.bus = bus;
    bench.hear(GREET, "");
    let body: serde_json::Value =
        serde_json::from_slice(&heard.next().await.unwrap().payload).unwrap();
    assert_eq!(body["minimumRegisterIntervalInSeconds"], 20);
    assert_eq!(body["pruneThresholdInSeconds"], 120);
}

#[test]
fn how_long_new_endpoints_were_on_their_way_is_measured_once_the_table_is_full() {
    let mut bench = Bench::new(false);
    let told = |port: u16, at: i64| {
        format!(
            r#"{{"host":"10.0.0.1","port":{port},"uris":["web.test"],"endpoint_updated_at_ns":{at}}}"#
        )
    };
    let (second, never) = (1_000_000_000, 0);
    for (secs, message, expected) in [
        (0, told(1, second), 0),
        (30, told(2, second), 0),
        (31, told(3, 30 * second), 1),
        (32, told(3, 32 * second), 1),
        (33, told(4, never), 1),
        (34, told(5, 99 * second), 2),
    ] {
        bench.wind(secs).hear(REGISTER, &message);
        let times = Parts::sum(&bench.registrar.counts, std::iter::empty()).arrivals;
        assert_eq!(times.count(), expected, "after {secs} s: {message}");
    }
    let times = Parts::sum(&bench.registrar.counts, std::iter::empty()).arrivals;
    assert_eq!(times.nanos, 1_000_000_000, "one came after a second, and one before its time");
}

#[tokio::test]
async fn what_was_lost_in_a_full_queue_is_asked_for_again_and_once() {
    let bus = Arc::new(InProcessBus::default());
    let mut heard = bus.subscribe(START);
    let mut bench = Bench::new(false);
    bench.registrar.bus = bus;
    for dropped in [0, 3, 3, 5] {
        bench.registrar.resync_if_missed(dropped);
    }
    assert_eq!(heard.waiting(), 2);
    heard.next().await;
}

#[tokio::test]
async fn a_full_queue_is_noticed_however_seldom_routes_are_pruned() {
    let bus = Arc::new(InProcessBus::default());
    let mut heard = bus.subscribe(START);
    let mut bench = Bench::new(false);
    bench.registrar.bus = bus.clone();
    bench.registrar.rules.freshness.prune_interval = Duration::from_secs(3600);
    bench.registrar.rules.queue_poll = Duration::from_millis(1);
    let (messages, shutdown) = (bus.subscribe("router.*"), CancellationToken::new());
    let (_suspects, suspects) = mpsc::channel(1);
    let (_telling, told) = mpsc::channel(1);
    let running = tokio::spawn(bench.registrar.run(messages, suspects, told, shutdown.clone()));
    heard.next().await.expect("it starts");
    // Nobody reads meanwhile: the reader is on this thread.
    for _ in 0..=PENDING_MAX {
        bus.publish("router.other", b"");
    }
    heard.next().await.expect("it asks again");
    shutdown.cancel();
    running.await.unwrap();
}
