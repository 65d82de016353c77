//! TLS in front: which certificate is shown, which clients are let in, and what endpoints are told
//! of them (family S21).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lattice_router::tls::{Certificates, Clients, Front, Subject, SubjectRule, Version, Versions};
use lattice_router::{Config, ForwardedCertificate};
use rustls::{CipherSuite, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Authority, Leaf, client, connect};
use crate::support::{Endpoint, Wire, World};

const BOTH: Versions = Versions { min: Version::Tls12, max: Version::Tls13 };

/// A router that listens under TLS.
async fn world(
    certificates: &Arc<Certificates>,
    (clients, versions): (Clients, Versions),
    change: impl FnOnce(&mut Config),
) -> World {
    let (certificates, cipher_suites) = (certificates.clone(), Vec::new());
    let front = Front {
        certificates,
        clients,
        subject_rules: Vec::new(),
        versions,
        cipher_suites,
        speaks_http2: true,
        answers_challenges: false,
    };
    World::with(|config| {
        config.front_tls = Some(Arc::new(front.config().unwrap()));
        config.listeners[0].is_tls = true;
        change(config);
    })
    .await
}

fn shown(leaves: &[&Leaf]) -> Arc<Certificates> {
    let identities = leaves.iter().map(|leaf| leaf.identity()).collect();
    Arc::new(Certificates::new(identities).unwrap())
}

const GET: &str = "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n";

#[tokio::test]
async fn the_certificate_is_that_of_the_name_and_is_replaced_at_once() {
    let authority = Authority::new("one");
    let (first, wild) = (authority.leaf(&["first.test"]), authority.leaf(&["*.wild.test"]));
    let certificates = shown(&[&first, &wild]);
    let world = world(&certificates, (Clients::Unasked, BOTH), |_| {}).await;
    let is_shown = async |name: &str, authority: &Authority| {
        connect(world.addr, name, client(authority, None)).await.is_ok()
    };
    assert!(is_shown("first.test", &authority).await);
    assert!(is_shown("a.wild.test", &authority).await);
    assert!(!is_shown("web.test", &authority).await, "it shows the first, for another name");
    let mut kept = connect(world.addr, "first.test", client(&authority, None)).await.unwrap();
    let other = Authority::new("other");
    certificates.replace(vec![other.leaf(&["web.test"]).identity()]).unwrap();
    assert!(is_shown("web.test", &other).await);
    assert!(!is_shown("first.test", &other).await);
    kept.send(GET).await;
    assert_eq!(kept.response().await.status, 404, "what is open stays");
}

#[tokio::test]
async fn requests_bodies_and_upgrades_pass_under_tls() {
    let authority = Authority::new("one");
    let world =
        world(&shown(&[&authority.leaf(&["web.test"])]), (Clients::Unasked, BOTH), |_| {}).await;
    let endpoint = Endpoint::new(|mut wire| async move {
        while let Some(request) = wire.request().await {
            if request.head.contains("Upgrade: echo") {
                wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n").await;
                let said = wire.take(5).await;
                wire.send(said).await;
                return;
            }
            let told = request.header("x-forwarded-proto").unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Told: {told}\r\n\r\n",
                request.body.len()
            );
            wire.send([head.as_bytes(), &request.body].concat()).await;
        }
    })
    .await;
    world.route("web.test", endpoint.addr).await;
    let mut wire = connect(world.addr, "web.test", client(&authority, None)).await.unwrap();
    for length in [0, 1, 5_000, 3_000_000] {
        let body: Vec<u8> = (0..length).map(|n: u32| n.to_le_bytes()[0]).collect();
        let head = format!("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: {length}\r\n\r\n");
        wire.send([head.as_bytes(), &body].concat()).await;
        let answer = wire.response().await;
        assert_eq!((answer.status, answer.header("x-told").as_deref()), (200, Some("https")));
        assert!(answer.body == body, "{length} bytes came back otherwise");
    }
    assert_eq!(endpoint.connections(), 1);
    let upgrade =
        "GET / HTTP/1.1\r\nHost: web.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    wire.send(upgrade).await;
    assert_eq!(wire.response().await.status, 101);
    wire.send("hello").await;
    assert_eq!(wire.rest().await, b"hello");
}

#[tokio::test]
async fn who_does_not_speak_tls_is_hung_up_on() {
    let authority = Authority::new("one");
    let newest = Versions { min: Version::Tls13, max: Version::Tls13 };
    let certificates = shown(&[&authority.leaf(&["web.test"])]);
    let impatient =
        |config: &mut Config| config.limits.header_read_timeout = Duration::from_millis(300);
    let world = world(&certificates, (Clients::Unasked, newest), impatient).await;
    let endpoint = Endpoint::saying("ok").await;
    world.route("web.test", endpoint.addr).await;
    let mut neighbour = connect(world.addr, "web.test", client(&authority, None)).await.unwrap();
    let greeting = b"\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03xxxxxxxxx";
    let beyond = [b"\x16\x03\x01\xff\xff\x01".as_slice(), &[b'x'; 70_000]].concat();
    for nonsense in [
        GET.as_bytes(),
        b"\x16\x03\x01\x7f\x7fxxxxxxxxxxxxxx",
        b"\x15\x03\x01\0\x02\x01\0",
        // Half a greeting, and no more; a record beyond all; an empty one again and again.
        greeting,
        &beyond,
        &b"\x16\x03\x01\0\0".repeat(1000),
    ] {
        let mut plain = world.client().await;
        let _ = plain.try_send(nonsense).await;
        let rest = plain.rest().await;
        assert!(!rest.starts_with(b"HTTP/"), "{rest:?}");
    }
    // In the clear where records are due.
    let secured = connect(world.addr, "web.test", client(&authority, None)).await.unwrap();
    let mut beneath = Wire::over(secured.into_stream().into_inner().0);
    beneath.send(GET).await;
    let rest = beneath.rest().await;
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/"), "{rest:?}");
    neighbour.send(GET).await;
    assert_eq!(neighbour.response().await.text(), "ok", "others notice nothing");
    let old = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12])
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    assert!(connect(world.addr, "web.test", old).await.is_err());
    assert!(connect(world.addr, "web.test", client(&authority, None)).await.is_ok());
}

#[tokio::test]
async fn a_certificate_may_be_demanded_and_must_be_vouched_for() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let certificates = shown(&[&ours.leaf(&["web.test"])]);
    let good = theirs.leaf(&["person"]);
    let (stranger, expired) = (ours.leaf(&["person"]), theirs.expired(&["person"]));
    for (clients, rows) in [
        (Clients::Required(theirs.roots()), [true, false, false, false]),
        (Clients::Asked(theirs.roots()), [true, false, false, true]),
        (Clients::Unasked, [true, true, true, true]),
    ] {
        let world = world(&certificates, (clients.clone(), BOTH), |_| {}).await;
        for (leaf, is_served) in
            [Some(&good), Some(&stranger), Some(&expired), None].into_iter().zip(rows)
        {
            let served = async {
                let mut wire = connect(world.addr, "web.test", client(&ours, leaf)).await.ok()?;
                wire.try_send(GET).await.ok()?;
                wire.head().await
            };
            assert_eq!(served.await.is_some(), is_served, "{clients:?}");
        }
    }
}

#[tokio::test]
async fn endpoints_are_told_of_the_clients_certificate_as_the_mode_says() {
    use ForwardedCertificate::{AlwaysForward, Forward, SanitizeSet};
    let authority = Authority::new("one");
    let person = authority.leaf(&["person"]);
    let told = STANDARD.encode(person.der());
    let told = told.as_str();
    let certificates = shown(&[&authority.leaf(&["web.test"])]);
    for (mode, has_certificate, says, expected) in [
        (AlwaysForward, false, Some("forged"), Some("forged")),
        (AlwaysForward, true, Some("forged"), Some("forged")),
        (AlwaysForward, true, None, None),
        (Forward, false, Some("forged"), None),
        (Forward, true, Some("proxied"), Some("proxied")),
        (Forward, true, None, None),
        (SanitizeSet, false, Some("forged"), None),
        (SanitizeSet, false, None, None),
        (SanitizeSet, true, Some("forged"), Some(told)),
        (SanitizeSet, true, None, Some(told)),
    ] {
        let asked = (Clients::Asked(authority.roots()), BOTH);
        let change = |config: &mut Config| config.headers.client_certificate = mode;
        let world = world(&certificates, asked, change).await;
        let endpoint = Endpoint::echoing_heads().await;
        world.route("web.test", endpoint.addr).await;
        let config = client(&authority, has_certificate.then_some(&person));
        let mut wire = connect(world.addr, "web.test", config).await.unwrap();
        let line =
            says.map_or(String::new(), |says| format!("x-Forwarded-client-cert: {says}\r\n"));
        wire.send(format!("GET / HTTP/1.1\r\nHost: web.test\r\n{line}\r\n")).await;
        let seen = wire.response().await;
        let seen = seen.text().lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("x-forwarded-client-cert").then_some(value)
        });
        assert_eq!(seen, expected, "{mode:?} {has_certificate} {says:?}");
    }
}

#[tokio::test]
async fn in_clear_nobody_has_shown_a_certificate() {
    for (mode, expected) in [
        (ForwardedCertificate::AlwaysForward, true),
        (ForwardedCertificate::Forward, false),
        (ForwardedCertificate::SanitizeSet, false),
    ] {
        let world = World::with(|config| config.headers.client_certificate = mode).await;
        let endpoint = Endpoint::echoing_heads().await;
        world.route("web.test", endpoint.addr).await;
        let request = "GET / HTTP/1.1\r\nHost: web.test\r\nX-Forwarded-Client-Cert: forged\r\n\r\n";
        let seen = world.ask(request).await;
        assert_eq!(seen.text().contains("forged"), expected, "{mode:?}");
    }
}

#[tokio::test]
async fn an_authority_vouches_only_for_whom_its_rule_names() {
    let authority = Authority::new("one");
    let certificates = shown(&[&authority.leaf(&["web.test"])]);
    let leaf = authority.leaf(&["client.test"]);
    let named = |name: &str| Subject { common_name: name.to_owned(), ..Subject::default() };
    for (issuer, valid, is_let_in) in
        [("one", "leaf", true), ("one", "other", false), ("two", "other", true)]
    {
        let rule =
            SubjectRule { issuer_in_chain: named(issuer), valid_cert_subjects: vec![named(valid)] };
        let front = Front {
            certificates: certificates.clone(),
            clients: Clients::Required(authority.roots()),
            subject_rules: vec![rule],
            versions: BOTH,
            cipher_suites: Vec::new(),
            speaks_http2: false,
            answers_challenges: false,
        };
        let world = World::with(|config| {
            config.front_tls = Some(Arc::new(front.config().unwrap()));
            config.listeners[0].is_tls = true;
        })
        .await;
        let connected = connect(world.addr, "web.test", client(&authority, Some(&leaf))).await;
        // In TLS 1.3 a client is through before it learns that it is refused.
        let is_served = match connected {
            Err(_) => false,
            Ok(mut wire) => wire.try_send(GET).await.is_ok() && wire.head().await.is_some(),
        };
        assert_eq!(is_served, is_let_in, "{issuer} {valid}");
    }
}

#[tokio::test]
async fn sessions_are_resumed() {
    use rustls::HandshakeKind::{Full, Resumed};
    let authority = Authority::new("one");
    let certificates = shown(&[&authority.leaf(&["web.test"])]);
    let leaf = authority.leaf(&["client.test"]);
    for (clients, versions) in [
        (Clients::Unasked, BOTH),
        (Clients::Unasked, Versions { max: Version::Tls12, ..BOTH }),
        (Clients::Required(authority.roots()), BOTH),
        (Clients::Asked(authority.roots()), Versions { max: Version::Tls12, ..BOTH }),
    ] {
        let world = world(&certificates, (clients, versions), |_| {}).await;
        let config = Arc::new(client(&authority, Some(&leaf)));
        for expected in [Full, Resumed, Resumed] {
            let tcp = TcpStream::connect(world.addr).await.unwrap();
            let name = "web.test".try_into().unwrap();
            let stream = TlsConnector::from(config.clone()).connect(name, tcp).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected), "{versions:?}");
            let mut wire = Wire::over(stream);
            wire.send(GET).await;
            // A ticket comes before the answer.
            assert_eq!(wire.response().await.status, 404);
        }
    }
}

#[tokio::test]
async fn the_routers_order_of_suites_is_taken() {
    use rustls::crypto::ring;
    let authority = Authority::new("one");
    let certificates = shown(&[&authority.leaf(&["web.test"])]);
    for (versions, suite) in [
        (BOTH, CipherSuite::TLS13_AES_128_GCM_SHA256),
        (
            Versions { max: Version::Tls12, ..BOTH },
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ),
    ] {
        let world = world(&certificates, (Clients::Unasked, versions), |_| {}).await;
        let mut provider = ring::default_provider();
        // ChaCha20 first.
        provider.cipher_suites.reverse();
        let config = ClientConfig::builder_with_provider(Arc::new(provider));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(authority.roots()).with_no_client_auth();
        let tcp = TcpStream::connect(world.addr).await.unwrap();
        let name = "web.test".try_into().unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let agreed = stream.get_ref().1.negotiated_cipher_suite().map(|suite| suite.suite());
        assert_eq!(agreed, Some(suite));
    }
}
