//! TLS to endpoints (family S8): who is believed, what a client is told of who is not, and what
//! becomes of the endpoint.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lattice_model::wire::registration::{REGISTER, Registration};
use lattice_router::{BackendTls, Config};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Authority, Leaf, server};
use crate::support::{Endpoint, PATIENCE, World, anywhere, eventually, registration};

/// What every instance of these tests is called.
const NAME: &str = "instance-guid";

fn told(uri: &str, addr: SocketAddr) -> Registration {
    Registration {
        tls_port: addr.port(),
        port: 1,
        server_cert_domain_san: NAME.to_owned(),
        ..registration(uri, addr)
    }
}

/// A router that believes an authority, and shows this certificate.
fn believing(authority: &Authority, own: Option<&Leaf>) -> impl FnOnce(&mut Config) {
    let own = own.map(Leaf::identity);
    let tls = BackendTls::new(&[authority.der()], own, true).unwrap();
    move |config| {
        config.backend_tls = Some(tls);
        config.limits.handshake_timeout = Duration::from_millis(300);
    }
}

async fn answering(config: ServerConfig) -> Endpoint {
    Endpoint::secured(config, |mut wire| async move {
        while wire.request().await.is_some() {
            wire.answer("ok").await;
        }
    })
    .await
}

#[tokio::test]
async fn an_endpoint_that_proves_itself_is_served_and_its_connection_kept() {
    let authority = Authority::new("one");
    let believes = believing(&authority, None);
    let one_worker = |config: &mut Config| {
        believes(config);
        config.workers = 1;
    };
    let world = World::with(one_worker).await;
    let endpoint = answering(server(&authority.leaf(&[NAME]), None)).await;
    let told = told("web.test", endpoint.addr);
    world.register(&told).await;
    for _ in 0..3 {
        assert_eq!(world.get("web.test", "/").await.text(), "ok");
        world.publish(REGISTER, &told);
    }
    assert_eq!(endpoint.connections(), 1, "tickets and heartbeats leave it as it is");
}

#[tokio::test]
async fn those_who_are_gone_cost_no_attempt() {
    for _ in 0..3 {
        let authority = Authority::new("one");
        let world = World::with(believing(&authority, None)).await;
        for nth in 0..8 {
            let gone = Registration {
                private_instance_id: format!("gone-{nth}"),
                ..told("web.test", Endpoint::refusing().await)
            };
            world.register(&gone).await;
        }
        let endpoint = answering(server(&authority.leaf(&[NAME]), None)).await;
        world.register(&told("web.test", endpoint.addr)).await;
        assert_eq!(world.get("web.test", "/").await.text(), "ok");
    }
}

/// Endpoints that take a second to prove that they are somebody else, and how many were asked.
async fn slow_impostors(count: usize) -> (Vec<SocketAddr>, Arc<AtomicUsize>) {
    let tls = TlsAcceptor::from(Arc::new(server(&Authority::new("other").leaf(&[NAME]), None)));
    let (mut addrs, asked) = (Vec::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..count {
        let listener = TcpListener::bind(anywhere()).await.unwrap();
        addrs.push(listener.local_addr().unwrap());
        let (tls, asked) = (tls.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                let _ = tls.accept(tcp).await;
            }
        });
    }
    (addrs, asked)
}

#[tokio::test]
async fn those_who_are_gone_cost_attempts_once_they_have_taken_their_time() {
    let authority = Authority::new("one");
    let believes = believing(&authority, None);
    let patient = |config: &mut Config| {
        believes(config);
        config.limits.handshake_timeout = PATIENCE;
    };
    let world = World::with(patient).await;
    let (impostors, asked) = slow_impostors(12).await;
    for addr in impostors {
        world.register(&told("web.test", addr)).await;
    }
    assert_eq!(world.get("web.test", "/").await.status, 526);
    let asked = asked.load(Ordering::Relaxed);
    assert!((4..=8).contains(&asked), "five seconds and three attempts, and {asked} were asked");
}

#[tokio::test]
async fn a_kept_connection_that_the_endpoint_closed_is_not_used_even_for_a_post() {
    let authority = Authority::new("one");
    let believes = believing(&authority, None);
    let one_worker = |config: &mut Config| {
        believes(config);
        config.workers = 1;
    };
    let world = World::with(one_worker).await;
    let tls = server(&authority.leaf(&[NAME]), None);
    let endpoint = Endpoint::secured(tls, |mut wire| async move {
        wire.request().await;
        wire.answer("x").await;
    })
    .await;
    world.register(&told("web.test", endpoint.addr)).await;
    let mut client = world.client().await;
    for asked in 1..=5 {
        client.send("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(client.response().await.status, 200);
        eventually("the endpoint has closed", || endpoint.ends() == asked).await;
    }
}

#[tokio::test]
async fn without_a_name_the_address_is_to_be_proved_and_a_pinned_one_is_believed() {
    let pinned = Leaf::self_signed(&[NAME]);
    let authority = Authority::new("one");
    let tls = BackendTls::new(&[authority.der(), pinned.der()], None, true).unwrap();
    let world = World::with(|config| config.backend_tls = Some(tls)).await;
    let by_address = answering(server(&authority.leaf(&["127.0.0.1"]), None)).await;
    let nameless =
        Registration { server_cert_domain_san: String::new(), ..told("a.test", by_address.addr) };
    world.register(&nameless).await;
    assert_eq!(world.get("a.test", "/").await.status, 200);
    let by_itself = answering(server(&pinned, None)).await;
    world.register(&told("b.test", by_itself.addr)).await;
    assert_eq!(world.get("b.test", "/").await.status, 200);
    let other = Leaf::self_signed(&[NAME]);
    let stranger = answering(server(&other, None)).await;
    world.register(&told("c.test", stranger.addr)).await;
    assert_eq!(world.get("c.test", "/").await.status, 526);
}

/// An endpoint, what a client is told of it, and whether it is forgotten.
struct Row {
    about: &'static str,
    endpoint: Endpoint,
    status: u16,
    error: &'static str,
    is_forgotten: bool,
}

async fn rows(authority: &Authority) -> Vec<Row> {
    let good = authority.leaf(&[NAME]);
    let secured = async |leaf: &Leaf, clients| answering(server(leaf, clients)).await;
    let row = |about, endpoint, status, error, is_forgotten| Row {
        about,
        endpoint,
        status,
        error,
        is_forgotten,
    };
    let other = Authority::new("other");
    let named = authority.leaf(&["somebody-else"]);
    vec![
        row("another name", secured(&named, None).await, 503, "not valid for name", true),
        row(
            "an unknown authority",
            secured(&other.leaf(&[NAME]), None).await,
            526,
            "UnknownIssuer",
            true,
        ),
        row("expired", secured(&authority.expired(&[NAME]), None).await, 526, "expired", true),
        row("wants ours", secured(&good, Some(authority)).await, 496, "alert", true),
        row(
            "no TLS at all",
            Endpoint::new(|mut wire| async move {
                wire.take(1).await;
                let _ =
                    wire.try_send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            })
            .await,
            525,
            "tls: ",
            true,
        ),
        row("hangs up", Endpoint::new(|_| async {}).await, 502, "conn", false),
        row(
            "says nothing",
            Endpoint::new(|mut wire| async move {
                wire.rest().await;
            })
            .await,
            502,
            "timed out",
            false,
        ),
    ]
}

#[tokio::test]
async fn what_is_not_as_registered_is_told_apart_and_forgotten() {
    let authority = Authority::new("one");
    let mut faults = Vec::new();
    for Row { about, endpoint, status, error, is_forgotten } in rows(&authority).await {
        let world = World::with(believing(&authority, None)).await;
        world.register(&told("web.test", endpoint.addr)).await;
        let answer = world.get("web.test", "/").await;
        let said = answer.header("x-cf-routererror").unwrap_or_default();
        if answer.status != status || !said.contains(error) {
            faults.push(format!("{about}: {} {said}", answer.status));
            continue;
        }
        assert!(said.starts_with("endpoint_failure ("), "{said}");
        if is_forgotten {
            eventually("it is forgotten", || world.router.routes()["web.test"].is_empty()).await;
        } else {
            assert_eq!(world.router.routes()["web.test"].len(), 1, "{about}");
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn who_shows_us_the_door_is_shown_our_certificate() {
    let authority = Authority::new("one");
    let own = authority.leaf(&["router"]);
    let world = World::with(believing(&authority, Some(&own))).await;
    let endpoint = answering(server(&authority.leaf(&[NAME]), Some(&authority))).await;
    world.register(&told("web.test", endpoint.addr)).await;
    assert_eq!(world.get("web.test", "/").await.status, 200);
}

#[tokio::test]
async fn another_instance_is_tried_whatever_the_request() {
    let authority = Authority::new("one");
    for request in [
        "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 4\r\n\r\nbody",
    ] {
        let world = World::with(believing(&authority, None)).await;
        let good = answering(server(&authority.leaf(&[NAME]), None)).await;
        let wrong = answering(server(&authority.leaf(&["other"]), None)).await;
        let gone = Endpoint::refusing().await;
        for addr in [wrong.addr, gone, good.addr] {
            let told = Registration {
                private_instance_id: format!("guid-{}", addr.port()),
                ..told("web.test", addr)
            };
            world.register(&told).await;
        }
        for _ in 0..3 {
            assert_eq!(world.ask(request).await.status, 200, "{request}");
        }
        eventually("the others are forgotten", || world.router.routes()["web.test"].len() == 1)
            .await;
    }
}

#[tokio::test]
async fn an_endpoint_in_clear_that_refuses_is_passed_over_and_not_forgotten() {
    let world = World::start().await;
    world.route("web.test", Endpoint::refusing().await).await;
    assert_eq!(world.get("web.test", "/").await.status, 502);
    assert_eq!(world.router.routes()["web.test"].len(), 1);
}

#[tokio::test]
async fn the_same_address_in_clear_is_another_endpoint() {
    let authority = Authority::new("one");
    let world = World::with(believing(&authority, None)).await;
    let endpoint = Endpoint::saying("plain").await;
    world.register(&told("web.test", endpoint.addr)).await;
    world.publish(REGISTER, &registration("web.test", endpoint.addr));
    // Both messages are read in their order, so a third tells when the second was.
    world.route("other.test", endpoint.addr).await;
    assert_eq!(world.get("web.test", "/").await.text(), "plain");
    assert_eq!(world.router.routes()["web.test"].len(), 1);
}
