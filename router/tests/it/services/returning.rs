//! Who comes back from a route service, or claims to.

use std::time::Duration;

use lattice_router::services::Keys;
use lattice_router::tls::{Certificates, Clients, Front, Version, Versions};
use lattice_router::{ForwardedCertificate, ForwardedProto};

use super::Town;
use crate::support::{Response, World, registration};
use crate::tls::{Authority, client, connect};

/// Asks with a signature, or what is left of one.
async fn ask(world: &World, host: &str, lines: &[(&str, &str)]) -> Response {
    let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    world.ask(&format!("GET /a HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n")).await
}

const SIGNATURE: &str = "X-CF-Proxy-Signature";
const METADATA: &str = "X-CF-Proxy-Metadata";
const URL: &str = "X-CF-Forwarded-Url";

#[tokio::test]
async fn what_was_signed_reaches_the_app_without_the_signature() {
    let town = Town::new(|_, _| {}).await;
    town.world.get("web.test", "/a?b").await;
    let [signature, metadata, url] = town.signed();
    let lines = [(SIGNATURE, &*signature), (METADATA, &*metadata), (URL, &*url), ("X-A", "1")];
    let answer = ask(&town.world, "web.test", &lines).await;
    assert_eq!(answer.status, 200);
    let saw = answer.text().to_lowercase();
    assert!(saw.starts_with("get /a http/1.1\r\nhost: web.test\r\nx-a: 1\r\n"), "{saw}");
    for name in [SIGNATURE, METADATA, URL] {
        assert!(!saw.contains(&name.to_lowercase()), "{saw}");
    }
    assert!(saw.contains("x-cf-applicationid: web\r\n"), "{saw}");
    // The service may have changed path and query, and need not repeat the URL.
    let other = format!(
        "GET /other?x HTTP/1.1\r\nHost: web.test\r\n{SIGNATURE}: {signature}\r\n{METADATA}: {metadata}\r\n\r\n"
    );
    assert_eq!(town.world.ask(&other).await.status, 200);
    assert_eq!(town.seen.lock().unwrap().len(), 1, "the service is not asked again");
}

#[tokio::test]
async fn what_no_router_has_signed_for_the_route_is_refused() {
    const INVALID: &str = "502 Bad Gateway: Failed to validate Route Service Signature: ";
    let town = Town::new(|_, _| {}).await;
    town.serve("web.test/path", &town.url).await;
    town.serve("other.test", &town.url).await;
    town.world.get("web.test", "/").await;
    let [signature, metadata, _] = town.signed();
    let theirs = Town::new(|_, services| services.keys = Keys::new("theirs", None)).await;
    theirs.world.get("web.test", "/").await;
    let [forged, of_forged, _] = theirs.signed();
    let gone = Town::new(|_, _| {}).await;
    gone.serve("gone.test", &gone.url).await;
    gone.world.get("gone.test", "/x").await;
    let [of_gone, metadata_of_gone, _] = gone.signed();
    for (about, host, signature, metadata, why) in [
        ("forged", "web.test", &*forged, &*of_forged, "cipher: message authentication failed"),
        (
            "of another",
            "web.test",
            &*signature,
            &*of_forged,
            "cipher: message authentication failed",
        ),
        ("no base64", "web.test", "%", &*metadata, "illegal base64 data at input byte 0"),
        ("no metadata", "web.test", &*signature, "", "No metadata found"),
        (
            "for another route",
            "other.test",
            &*signature,
            &*metadata,
            "route service forwarded URL other.test does not match the original request URL \
             web.test/",
        ),
        (
            "for no route",
            "web.test",
            &*of_gone,
            &*metadata_of_gone,
            "original request URL gone.test/x does not exist in the routing table",
        ),
    ] {
        let answer = ask(&town.world, host, &[(SIGNATURE, signature), (METADATA, metadata)]).await;
        assert_eq!(answer.status, 502, "{about}");
        assert_eq!(answer.text(), format!("{INVALID}{why}\n"), "{about}");
        assert_eq!(answer.header("x-cf-routererror"), None, "{about}");
    }
    let path = format!(
        "GET /path/x HTTP/1.1\r\nHost: web.test\r\n{SIGNATURE}: {signature}\r\n{METADATA}: {metadata}\r\n\r\n"
    );
    assert_eq!(town.world.ask(&path).await.status, 502, "for another path");
    assert_eq!(town.app.connections(), 0);
}

#[tokio::test]
async fn who_comes_back_late_is_told_so() {
    let town = Town::new(|_, services| services.timeout = Duration::ZERO).await;
    town.world.get("web.test", "/").await;
    let [signature, metadata, _] = town.signed();
    let lines = [(SIGNATURE, &*signature), (METADATA, &*metadata)];
    let answer = ask(&town.world, "web.test", &lines).await;
    assert_eq!(answer.status, 504);
    assert_eq!(
        answer.text(),
        "504 Gateway Timeout: Failed to validate Route Service Signature: route service request \
         expired\n"
    );
}

#[tokio::test]
async fn what_was_signed_before_the_secret_changed_is_believed() {
    let before = Town::new(|_, _| {}).await;
    before.world.get("web.test", "/").await;
    let [signature, metadata, _] = before.signed();
    let lines = [(SIGNATURE, &*signature), (METADATA, &*metadata)];
    for (keys, expected) in [
        (Keys::new("new", Some("ours")), 200),
        (Keys::new("new", Some("older")), 502),
        (Keys::new("new", None), 502),
    ] {
        let town = Town::new(|_, services| services.keys = keys.clone()).await;
        assert_eq!(ask(&town.world, "web.test", &lines).await.status, expected, "{keys:?}");
    }
}

#[tokio::test]
async fn stray_signatures_are_looked_at_where_that_is_wished() {
    let town = Town::new(|_, _| {}).await;
    town.world.get("web.test", "/").await;
    let [good, of_good, _] = town.signed();
    for (is_strict, timeout, signature, metadata, expected) in [
        (false, 60, "forged", "", (200, None)),
        (true, 60, &*good, &*of_good, (200, None)),
        (true, 60, "forged", &*of_good, (400, Some("invalid_route_service_signature"))),
        (true, 60, "", "", (400, Some("invalid_route_service_signature"))),
        (true, 0, &*good, &*of_good, (504, Some("expired_route_service_signature"))),
    ] {
        let town = Town::new(|_, services| {
            services.is_strict = is_strict;
            services.timeout = Duration::from_secs(timeout);
        })
        .await;
        town.world.register(&registration("plain.test", town.app.addr)).await;
        let lines = [(SIGNATURE, signature), (METADATA, metadata)];
        let answer = ask(&town.world, "plain.test", &lines).await;
        let got = (answer.status, answer.header("x-cf-routererror"));
        assert_eq!((got.0, got.1.as_deref()), expected, "{is_strict} {signature}");
        if answer.status == 400 {
            let body = "400 Bad Request: invalid route service signature detected\n";
            assert_eq!(answer.text(), body);
        }
        assert_eq!(ask(&town.world, "plain.test", &[]).await.status, 200);
    }
}

/// What an app is told in one header when a request has come back, over TLS or in clear.
async fn told(
    (name, said): (&str, Option<&str>),
    is_tls: bool,
    rules: (ForwardedProto, ForwardedCertificate),
) -> Option<String> {
    let authority = Authority::new("front");
    let leaf = authority.leaf(&["web.test"]).identity();
    let front = Front {
        certificates: std::sync::Arc::new(Certificates::new(vec![leaf]).unwrap()),
        clients: Clients::Unasked,
        subject_rules: Vec::new(),
        versions: Versions { min: Version::Tls12, max: Version::Tls13 },
        cipher_suites: Vec::new(),
        speaks_http2: false,
        answers_challenges: false,
    };
    let town = Town::new(|config, _| {
        config.front_tls = Some(std::sync::Arc::new(front.config().unwrap()));
        let tls = lattice_router::Listener { is_tls: true, ..config.listeners[0] };
        config.listeners.push(tls);
        (config.headers.forwarded_proto, config.headers.client_certificate) = rules;
    })
    .await;
    town.world.get("web.test", "/").await;
    let [signature, metadata, _] = town.signed();
    let line = said.map_or(String::new(), |said| format!("{name}: {said}\r\n"));
    let request = format!(
        "GET / HTTP/1.1\r\nHost: web.test\r\n{SIGNATURE}: {signature}\r\n{METADATA}: {metadata}\r\n{line}\r\n"
    );
    let saw = if is_tls {
        let addr = town.world.router.listeners()[1].addr;
        let mut wire = connect(addr, "web.test", client(&authority, None)).await.unwrap();
        wire.send(request).await;
        wire.response().await
    } else {
        town.world.ask(&request).await
    };
    assert_eq!(saw.status, 200);
    let saw = saw.text();
    saw.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

#[tokio::test]
async fn what_a_router_said_before_the_service_counts_afterwards() {
    use ForwardedCertificate::{AlwaysForward, Forward, SanitizeSet};
    use ForwardedProto::{Https, Keep, Sanitize};
    let proto = "X-Forwarded-Proto";
    for (rule, said, expected) in [
        (Keep, Some("https"), Some("https")),
        (Keep, None, None),
        (Sanitize, Some("https"), Some("https")),
        (Https, Some("http"), Some("http")),
    ] {
        let got = told((proto, said), false, (rule, AlwaysForward)).await;
        assert_eq!(got.as_deref(), expected, "{rule:?} {said:?}");
    }
    let certificate = ("X-Forwarded-Client-Cert", Some("c"));
    for (mode, is_tls, expected) in [
        (AlwaysForward, false, true),
        (AlwaysForward, true, true),
        (SanitizeSet, false, false),
        (SanitizeSet, true, true),
        (Forward, false, false),
        (Forward, true, false),
    ] {
        let got = told(certificate, is_tls, (Keep, mode)).await;
        assert_eq!(got.is_some(), expected, "{mode:?} {is_tls}");
    }
}
