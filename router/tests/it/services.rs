//! Route services (family S14): who is asked first, with what, and who may come back.

mod returning;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use lattice_router::services::{Hairpins, Keys, Services};
use lattice_router::tls::BackendTls;
use lattice_router::{AccessLines, Config, Reserved};

use crate::support::{Endpoint, Response, Wire, World, eventually, registration};
use crate::tls::{Authority, Leaf, server};

/// A router with a route `web.test`, whose app says what it was sent, and a service for it that
/// does the same.
pub(crate) struct Town {
    pub(crate) world: World,
    pub(crate) service: Endpoint,
    /// What the service was sent.
    pub(crate) seen: Seen,
    pub(crate) app: Endpoint,
    pub(crate) url: String,
    /// Who vouches for the service.
    authority: Authority,
}

type Seen = Arc<Mutex<Vec<Response>>>;

/// Making keys takes long.
static OURS: LazyLock<Keys> = LazyLock::new(|| Keys::new("ours", None));

/// What a router knows about services, with the secret `ours`.
pub(crate) fn known(authority: &Authority) -> Services {
    Services {
        keys: OURS.clone(),
        timeout: Duration::from_secs(60),
        recommends_https: false,
        hairpins: Hairpins::Never,
        attempts_max: 3,
        is_strict: false,
        tls: BackendTls::new(&[authority.der()], None, true).unwrap(),
    }
}

/// A service that notes requests, and answers them with one head.
async fn noting(leaf: &Leaf, seen: Seen, head: &'static str) -> Endpoint {
    Endpoint::secured(server(leaf, None), move |mut wire| {
        let seen = seen.clone();
        async move {
            while let Some(request) = wire.request().await {
                seen.lock().unwrap().push(request);
                wire.send(head).await;
            }
        }
    })
    .await
}

const SERVED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-CF-Proxy-Signature: s\r\n\
                      Set-Cookie: JSESSIONID=1\r\n\r\nserved";

impl Town {
    pub(crate) async fn new(change: impl FnOnce(&mut Config, &mut Services)) -> Self {
        lattice_daemon::install_crypto();
        let authority = Authority::new("services");
        let world = World::with(|config| {
            let mut services = known(&authority);
            config.workers = 1;
            change(config, &mut services);
            config.services = Some(services);
        })
        .await;
        let seen = Seen::default();
        let service = noting(&authority.leaf(&["rs.localhost"]), seen.clone(), SERVED).await;
        let app = Endpoint::echoing_heads().await;
        let url = format!("https://rs.localhost:{}/rs?x=1", service.addr.port());
        let town = Self { world, service, seen, app, url, authority };
        town.serve("web.test", &town.url.clone()).await;
        town
    }

    /// Registers the app with a service.
    pub(crate) async fn serve(&self, uri: &str, service: &str) {
        let mut told = registration(uri, self.app.addr);
        told.route_service_url = service.to_owned();
        self.world.register(&told).await;
    }

    /// The three headers that the service got last.
    pub(crate) fn signed(&self) -> [String; 3] {
        let seen = self.seen.lock().unwrap();
        let last = seen.last().expect("the service was asked");
        ["x-cf-proxy-signature", "x-cf-proxy-metadata", "x-cf-forwarded-url"]
            .map(|name| last.header(name).expect("it is told"))
    }
}

#[tokio::test]
async fn a_service_is_asked_first_and_told_where_to_go_on() {
    for (recommends_https, sends, first_line, url) in [
        (false, "GET /a?b=c HTTP/1.1\r\nHost: web.test", "GET", "http://web.test/a?b=c"),
        (true, "GET /a HTTP/1.1\r\nHost: web.test:8080", "GET", "https://web.test/a"),
        (true, "GET / HTTP/1.1\r\nHost: WEB.test", "GET", "https://WEB.test/"),
        (false, "GET /a%2fb;c?d HTTP/1.1\r\nHost: web.test", "GET", "http://web.test/a%2fb;c?d"),
        (false, "DELETE //x HTTP/1.1\r\nHost: web.test", "DELETE", "http://web.test//x"),
        (false, "GET http://web.test/abs HTTP/1.1\r\nHost: web.test", "GET", "http://web.test/abs"),
        (
            false,
            "PUT / HTTP/1.1\r\nHost: web.test\r\nX-CF-Forwarded-Url: http://forged/\r\n\
             X-CF-Proxy-Metadata: forged\r\nX-CF-Proxy-Signature:",
            "PUT",
            "http://web.test/",
        ),
    ] {
        let town = Town::new(|_, services| services.recommends_https = recommends_https).await;
        let answer = town.world.ask(&format!("{sends}\r\n\r\n")).await;
        assert_eq!((answer.status, answer.text()), (200, "served"), "{sends}");
        assert_eq!(answer.header("x-cf-proxy-signature"), None);
        let seen = town.seen.lock().unwrap()[0].clone();
        let host = format!("rs.localhost:{}", town.service.addr.port());
        let line = format!("{first_line} /rs?x=1 HTTP/1.1\r\nHost: {host}\r\n");
        assert!(seen.head.starts_with(&line), "{}", seen.head);
        assert_eq!(seen.header("x-cf-forwarded-url").as_deref(), Some(url), "{sends}");
        for name in ["x-cf-forwarded-url", "x-cf-proxy-signature", "x-cf-proxy-metadata", "host"] {
            let lines = seen.head.to_lowercase();
            assert_eq!(lines.matches(&format!("\r\n{name}: ")).count(), 1, "{name} {lines}");
        }
        assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("http"));
        assert_eq!(seen.header("x-cf-applicationid"), None);
        assert_eq!(town.app.connections(), 0);
    }
}

#[tokio::test]
async fn bodies_and_answers_pass_and_no_cookie_names_the_service() {
    let town = Town::new(|_, _| {}).await;
    let body = "b".repeat(100_000);
    let head = "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 100000\r\n\r\n";
    let answer = town.world.ask(&format!("{head}{body}")).await;
    assert_eq!(answer.header("set-cookie").as_deref(), Some("JSESSIONID=1"));
    assert_eq!(answer.head.matches("Set-Cookie").count(), 1);
    assert_eq!(town.seen.lock().unwrap()[0].body, body.as_bytes());
    eventually("it is counted", || town.world.router.totals().responses_of_services[2] == 1).await;
    assert_eq!(town.world.router.totals().responses[2], 0);
    town.world.get("web.test", "/").await;
    assert_eq!(town.service.connections(), 1, "the connection is kept");
}

#[tokio::test]
async fn a_request_comes_back_from_its_service_and_reaches_its_app() {
    let town = Town::new(|_, _| {}).await;
    let router = town.world.addr;
    let tls = server(&town.authority.leaf(&["pass.localhost"]), None);
    let passing = Endpoint::secured(tls, move |mut wire| async move {
        while let Some(request) = wire.request().await {
            let mut onward = Wire::connect(router).await;
            let (_, lines) = request.head.split_once("\r\n").unwrap();
            let (_, lines) = lines.split_once("\r\n").unwrap();
            onward.send(format!("GET /a HTTP/1.1\r\nHost: other.test\r\n{lines}")).await;
            let answer = onward.response().await;
            wire.answer(answer.text()).await;
        }
    })
    .await;
    town.serve("other.test", &format!("https://pass.localhost:{}", passing.addr.port())).await;
    let saw = town.world.get("other.test", "/a").await;
    assert_eq!(saw.status, 200);
    let saw = saw.text().to_lowercase();
    assert!(saw.starts_with("get /a http/1.1\r\nhost: other.test\r\n"), "{saw}");
    assert!(saw.contains("x-forwarded-for: 127.0.0.1, 127.0.0.1\r\n"), "{saw}");
    assert!(!saw.contains("x-cf-proxy") && !saw.contains("x-cf-forwarded-url"), "{saw}");
    eventually("both are counted", || {
        let totals = town.world.router.totals();
        (totals.responses_of_services[2], totals.responses[2]) == (1, 1)
    })
    .await;
}

#[tokio::test]
async fn lines_show_what_was_asked_for_and_no_app() {
    let mut town = Town::new(|config, _| config.lines = AccessLines::All).await;
    town.world.get("web.test", "/a?b").await;
    let envelope = town.world.logs.envelopes.recv().await.unwrap();
    assert_eq!(&*envelope.source_id, "");
    let lattice_model::envelope::Message::Log(log) = envelope.message else { panic!("a line") };
    let line = String::from_utf8(log.payload.to_vec()).unwrap();
    assert!(line.starts_with("web.test - ["), "{line}");
    assert!(line.contains("\"GET /a?b HTTP/1.1\" 200 0 6 \"-\" \"-\""), "{line}");
    assert!(line.contains("\" \"-\" x_forwarded_for:\"127.0.0.1\""), "{line}");
    assert!(line.contains("app_id:\"-\" app_index:\"-\" instance_id:\"-\""), "{line}");
}

#[tokio::test]
async fn what_cannot_pass_a_service_is_told_why() {
    let town = Town::new(|_, _| {}).await;
    let websocket = "GET / HTTP/1.1\r\nHost: web.test\r\nConnection: Upgrade\r\n\
                     Upgrade: WebSocket\r\n\r\n";
    let answer = town.world.ask(websocket).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-cf-routererror").as_deref(), Some("route_service_unsupported"));
    assert_eq!(
        answer.text(),
        "503 Service Unavailable: Websocket requests are not supported for routes bound to Route \
         Services.\n"
    );
    town.serve("lost.test", "https//nowhere").await;
    let answer = town.world.get("lost.test", "/").await;
    assert_eq!(answer.text(), "500 Internal Server Error: Route service request failed.\n");
    assert_eq!((town.service.connections(), town.app.connections()), (0, 0));
    let world = World::start().await;
    let mut told = registration("web.test", town.app.addr);
    told.route_service_url = town.url.clone();
    world.register(&told).await;
    let answer = world.get("web.test", "/").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("x-cf-routererror").as_deref(), Some("route_service_unsupported"));
    assert_eq!(answer.text(), "502 Bad Gateway: Support for route services is disabled.\n");
}

#[tokio::test]
async fn a_service_must_prove_itself_and_may_ask_the_same_of_us() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let good = ours.leaf(&["rs.localhost"]);
    let shown = theirs.leaf(&["router"]);
    let open = |leaf: &Leaf| server(leaf, None);
    let spoken = |identity, verifies| BackendTls::new(&[ours.der()], identity, verifies).unwrap();
    let us = || Some(shown.identity());
    for (about, tls, speaks, expected) in [
        ("good", open(&good), spoken(None, true), 200),
        ("another name", open(&ours.leaf(&["x.localhost"])), spoken(None, true), 503),
        ("a stranger", open(&theirs.leaf(&["rs.localhost"])), spoken(None, true), 526),
        ("one of old", open(&ours.expired(&["rs.localhost"])), spoken(None, true), 526),
        ("a stranger, believed", open(&theirs.leaf(&["x"])), spoken(None, false), 200),
        ("one that asks", server(&good, Some(&theirs)), spoken(us(), true), 200),
        ("one that asks in vain", server(&good, Some(&theirs)), spoken(None, true), 496),
        ("one that asks for another", server(&good, Some(&ours)), spoken(us(), true), 496),
    ] {
        let town = Town::new(|_, services| services.tls = speaks).await;
        let service = Endpoint::secured(tls, |mut wire| async move {
            while wire.request().await.is_some() {
                wire.answer("served").await;
            }
        })
        .await;
        let url = format!("https://rs.localhost:{}", service.addr.port());
        town.serve("other.test", &url).await;
        assert_eq!(town.world.get("other.test", "/").await.status, expected, "{about}");
    }
    let town = Town::new(|_, _| {}).await;
    let plain = Endpoint::new(|mut wire| async move {
        wire.take(1).await;
        wire.answer("no tls").await;
    })
    .await;
    town.serve("plain.test", &format!("https://rs.localhost:{}", plain.addr.port())).await;
    assert_eq!(town.world.get("plain.test", "/").await.status, 525);
}

#[tokio::test]
async fn a_service_that_takes_no_request_is_asked_again_as_often_as_may_be() {
    for (attempts_max, failures, method, expected) in
        [(3, 2, "GET", 200), (2, 2, "GET", 502), (1, 1, "GET", 502), (3, 1, "POST", 502)]
    {
        let town = Town::new(|_, services| services.attempts_max = attempts_max).await;
        let left = Arc::new(AtomicUsize::new(failures));
        let tls = server(&town.authority.leaf(&["rs.localhost"]), None);
        let service = Endpoint::secured(tls, move |mut wire| {
            let left = left.clone();
            async move {
                wire.request().await;
                let fails = left.fetch_update(Relaxed, Relaxed, |n: usize| n.checked_sub(1));
                if fails.is_err() {
                    wire.answer("at last").await;
                }
            }
        })
        .await;
        town.serve("other.test", &format!("https://rs.localhost:{}", service.addr.port())).await;
        let length = if method == "POST" { "Content-Length: 1\r\n" } else { "" };
        let body = if method == "POST" { "x" } else { "" };
        let request = format!("{method} / HTTP/1.1\r\nHost: other.test\r\n{length}\r\n{body}");
        let answer = town.world.ask(&request).await;
        assert_eq!(answer.status, expected, "{attempts_max} {failures} {method}");
        let tried = if method == "POST" { 1 } else { attempts_max.min(failures + 1) };
        assert_eq!(service.connections(), tried, "{attempts_max} {failures} {method}");
    }
    let town = Town::new(|_, _| {}).await;
    let nobody = Endpoint::refusing().await;
    town.serve("none.test", &format!("https://rs.localhost:{}", nobody.port())).await;
    let answer = town.world.get("none.test", "/").await;
    assert_eq!(answer.status, 502);
    let error = answer.header("x-cf-routererror").unwrap();
    assert!(error.starts_with("endpoint_failure (dial: "), "{error}");
    assert_eq!(town.world.router.totals().dials, 3);
}

#[tokio::test]
async fn a_host_of_the_platform_is_never_taken_for_a_service_among_our_own_routes() {
    let platform = Endpoint::saying("the platform's").await;
    let town = Town::new(|config, services| {
        services.hairpins = Hairpins::Always;
        let host = "rs.localhost".to_owned();
        config.reserved = vec![Reserved { host, endpoint: platform.addr }];
    })
    .await;
    town.world.register(&registration("rs.localhost", platform.addr)).await;
    let answer = town.world.get("web.test", "/").await;
    assert_eq!((answer.status, answer.text()), (200, "served"), "by who is there in the network");
    assert_eq!(platform.connections(), 0);
}

#[tokio::test]
async fn a_service_among_our_own_routes_is_asked_without_the_network() {
    for (hairpins, expected) in [
        (Hairpins::Never, None),
        (Hairpins::Always, Some("own")),
        (Hairpins::listed(&["*.apps.test".to_owned()]).unwrap(), Some("own")),
        (Hairpins::listed(&["rs.apps.test".to_owned()]).unwrap(), Some("own")),
        (Hairpins::listed(&["*.other.test".to_owned()]).unwrap(), None),
    ] {
        let town = Town::new(|_, services| services.hairpins = hairpins.clone()).await;
        let seen = Seen::default();
        let noted = seen.clone();
        let own = Endpoint::new(move |mut wire| {
            let noted = noted.clone();
            async move {
                while let Some(request) = wire.request().await {
                    noted.lock().unwrap().push(request);
                    wire.answer("own").await;
                }
            }
        })
        .await;
        let mut told = registration("rs.apps.test", own.addr);
        told.private_instance_id = "service-0".to_owned();
        town.world.register(&told).await;
        town.serve("app.test", "https://rs.apps.test/check").await;
        let answer = town.world.get("app.test", "/a").await;
        let got = Some(answer.text()).filter(|_| answer.status == 200);
        assert_eq!(got, expected, "{hairpins:?}: {}", answer.head);
        if expected.is_some() {
            let seen = seen.lock().unwrap()[0].clone();
            assert!(seen.head.starts_with("GET /check HTTP/1.1\r\nHost: rs.apps.test\r\n"));
            let told = seen.header("x-cf-forwarded-url");
            assert_eq!(told.as_deref(), Some("http://app.test/a"));
            assert_eq!(seen.header("x-cf-instanceid").as_deref(), Some("service-0"));
        }
    }
}
