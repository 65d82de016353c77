//! TCP routes: ports that come and go, what goes over them, and who gets it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lattice_daemon::bus::Bus as _;
use lattice_model::wire::registration::{REGISTER_TCP, TcpRegistration, UNREGISTER_TCP};
use lattice_router::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Endpoint, PATIENCE, Wire, World, anywhere, eventually};
use crate::tls::{self, Authority};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn carries_tcp(config: &mut Config) {
    config.tcp.addrs = vec![LOOPBACK];
}

/// A port that nobody has.
fn free_port() -> u16 {
    std::net::TcpListener::bind(anywhere()).unwrap().local_addr().unwrap().port()
}

fn told(external_port: u16, name: &str, addr: SocketAddr) -> TcpRegistration {
    TcpRegistration {
        host: addr.ip().to_string(),
        port: addr.port(),
        external_port,
        sni_hostname: name.to_owned(),
        app: "web".to_owned(),
        private_instance_id: format!("guid-{addr}"),
        private_instance_index: "0".to_owned(),
        stale_threshold_in_seconds: 0,
    }
}

impl World {
    fn tell_tcp(&self, subject: &str, told: &TcpRegistration) {
        self.bus.publish(subject, &serde_json::to_vec(told).unwrap());
    }

    async fn tcp_route(&self, port: u16, name: &str, addr: SocketAddr) {
        self.tell_tcp(REGISTER_TCP, &told(port, name, addr));
        let uri = if name.is_empty() { port.to_string() } else { format!("{port}/{name}") };
        eventually("the TCP route is visible", || {
            let routes = self.router.tcp_routes();
            routes.get(&uri).is_some_and(|all| all.iter().any(|e| e.address == addr.to_string()))
        })
        .await;
    }

    /// Takes a TCP route away, and waits until nobody listens there.
    async fn tcp_unroute(&self, port: u16, addr: SocketAddr) {
        self.tell_tcp(UNREGISTER_TCP, &told(port, "", addr));
        eventually("the port is closed", || {
            std::net::TcpStream::connect((LOOPBACK, port)).is_err()
        })
        .await;
    }
}

/// Says its name at once, and then everything back.
async fn echo(name: &'static str) -> Endpoint {
    Endpoint::new(move |mut wire| async move {
        if wire.try_send(name).await.is_err() {
            return;
        }
        let mut stream = wire.into_stream();
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    })
    .await
}

async fn client(port: u16) -> Wire {
    Wire::connect(SocketAddr::new(LOOPBACK, port)).await
}

/// How a connection ends that gets nowhere; it may be over before it has begun.
async fn refusal(port: u16) -> io::Error {
    match TcpStream::connect((LOOPBACK, port)).await {
        Ok(mut stream) => stream.read_u8().await.unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test]
async fn each_end_may_speak_first_and_stop_first_and_all_is_counted() {
    let mut world = World::with(carries_tcp).await;
    let (endpoint, port) = (echo("hello").await, free_port());
    world.tcp_route(port, "", endpoint.addr).await;
    let mut stream = client(port).await.into_stream();
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"hello");
    let sent = vec![7; 300_000];
    let (mut from, mut to) = stream.split();
    let mut heard = Vec::new();
    let sending = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let ((), read) = tokio::join!(sending, from.read_to_end(&mut heard));
    read.unwrap();
    assert!(heard == sent, "{} of {} bytes came back", heard.len(), sent.len());
    let line = world.line().await;
    let (from, far) = (format!("TCP {port} - ["), format!("-> \"{}\" ", endpoint.addr));
    assert!(line.starts_with(&from) && line.contains(&far), "{line}");
    assert!(
        line.contains("received:300000 sent:300005 ") && line.ends_with("error:\"-\""),
        "{line}"
    );
    let tcp = world.router.totals().tcp;
    assert_eq!((tcp.ports, tcp.taken, tcp.open, tcp.failed), (1, 1, 0, 0));
    assert_eq!((tcp.received, tcp.sent), (300_000, 300_005));
}

#[tokio::test]
async fn a_route_comes_moves_and_goes_and_connections_stay() {
    let world = World::with(carries_tcp).await;
    let (one, two) = (echo("1").await, echo("2").await);
    let (before, after) = (free_port(), free_port());
    world.tcp_route(before, "", one.addr).await;
    let mut old = client(before).await;
    assert_eq!(old.take(1).await, b"1");
    world.tcp_route(after, "", two.addr).await;
    world.tcp_unroute(before, one.addr).await;
    assert_eq!(client(after).await.take(1).await, b"2");
    old.send("still here").await;
    assert_eq!(old.take(10).await, b"still here");
    world.tcp_route(before, "", two.addr).await;
    eventually("the port is open again", || world.router.totals().tcp.ports == 2).await;
    assert_eq!(client(before).await.take(1).await, b"2");
    old.send("!").await;
    assert_eq!(old.take(1).await, b"!");
}

#[tokio::test]
async fn instances_take_turns_and_one_that_takes_no_connection_is_passed_over() {
    let world = World::with(carries_tcp).await;
    let (one, two, port) = (echo("1").await, echo("2").await, free_port());
    let gone = Endpoint::refusing().await;
    for addr in [one.addr, gone, two.addr] {
        world.tcp_route(port, "", addr).await;
    }
    let mut heard = Vec::new();
    for _ in 0..6 {
        heard.extend(client(port).await.take(1).await);
    }
    let count = |name: u8| heard.iter().filter(|&&said| said == name).count();
    assert_eq!((heard.len(), count(b'1') > 0, count(b'2') > 0), (6, true, true), "{heard:?}");
    let tcp = world.router.totals().tcp;
    assert_eq!((tcp.taken, tcp.failed, tcp.retries), (6, 0, 1), "it is marked for a while");
}

#[tokio::test]
async fn a_connection_that_no_instance_takes_is_reset_and_the_app_is_told() {
    let mut world = World::with(carries_tcp).await;
    let (gone, port) = (Endpoint::refusing().await, free_port());
    world.tcp_route(port, "", gone).await;
    let error = refusal(port).await;
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    let line = world.line().await;
    assert!(line.contains(&format!("error:\"endpoint_failure ({gone}: Dial")), "{line}");
    assert_eq!(world.router.totals().tcp.failed, 1);
}

#[tokio::test]
async fn an_end_that_breaks_off_breaks_the_other_off() {
    let world = World::with(carries_tcp).await;
    let port = free_port();
    let endpoint = Endpoint::new(|mut wire| async move {
        wire.take(1).await;
        wire.reset();
    })
    .await;
    world.tcp_route(port, "", endpoint.addr).await;
    let mut stream = client(port).await.into_stream();
    stream.write_all(b"x").await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    eventually("nothing is left", || world.router.totals().tcp.open == 0).await;
}

#[tokio::test]
async fn clients_of_tls_get_where_the_name_they_ask_for_leads() {
    let world = World::with(carries_tcp).await;
    let (authority, port) = (Authority::new("tcp"), free_port());
    let leaf = authority.leaf(&["a.test", "b.test", "c.test"]);
    let saying = |name: &'static str| {
        Endpoint::secured(tls::server(&leaf, None), move |mut wire| async move {
            wire.send(name).await;
        })
    };
    let (a, b) = (saying("A").await, saying("B").await);
    let other = echo("other").await;
    world.tcp_route(port, "a.test", a.addr).await;
    world.tcp_route(port, "b.test", b.addr).await;
    world.tcp_route(port, "", other.addr).await;
    let addr = SocketAddr::new(LOOPBACK, port);
    for (name, expected) in [("a.test", b"A"), ("b.test", b"B")] {
        let mut wire = tls::connect(addr, name, tls::client(&authority, None)).await.unwrap();
        assert_eq!(wire.take(1).await, expected);
    }
    let mut plain = client(port).await;
    plain.send("not TLS").await;
    assert_eq!(plain.take(12).await, b"othernot TLS", "what was read is not lost");
}

#[tokio::test]
async fn who_says_no_name_in_time_or_ends_first_gets_to_the_ports_own_route() {
    let world = World::with(|config| {
        carries_tcp(config);
        config.tcp.greeting_timeout = Duration::from_millis(20);
    })
    .await;
    let (one, port) = (echo("1").await, free_port());
    world.tcp_route(port, "a.test", one.addr).await;
    let error = refusal(port).await;
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "no route without a name");
    world.tcp_route(port, "", one.addr).await;
    assert_eq!(client(port).await.take(1).await, b"1", "a silent client");
    let mut ended = client(port).await.into_stream();
    ended.write_all(b"\x16").await.unwrap();
    ended.shutdown().await.unwrap();
    let mut heard = Vec::new();
    ended.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"1\x16");
}

#[tokio::test]
async fn a_port_that_routes_cannot_have_is_named_in_the_apps_log() {
    let mut world = World::with(carries_tcp).await;
    let endpoint = echo("1").await;
    for _ in 0..2 {
        world.tell_tcp(REGISTER_TCP, &told(22, "", endpoint.addr));
    }
    let line = world.line().await;
    let words = "TCP route 22: the port belongs to the platform; take any but 22, 53, 80, 443";
    assert!(line.contains(words), "{line}");
    let others = TcpRegistration { app: "other".to_owned(), ..told(22, "", endpoint.addr) };
    world.tell_tcp(REGISTER_TCP, &others);
    let next = tokio::time::timeout(PATIENCE, world.logs.envelopes.recv()).await;
    assert_eq!(&*next.unwrap().unwrap().source_id, "other", "each app is told");
    let taken = tokio::net::TcpListener::bind(anywhere()).await.unwrap();
    let port = taken.local_addr().unwrap().port();
    world.tell_tcp(REGISTER_TCP, &told(port, "", endpoint.addr));
    let line = world.line().await;
    assert!(line.contains("is not listened for, and tried again: 127.0.0.1"), "{line}");
    drop(taken);
    eventually("it is listened for", || world.router.totals().tcp.ports == 1).await;
    assert_eq!(client(port).await.take(1).await, b"1");
    assert!(world.has_no_line(), "each is said once");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let world = World::with(|config| {
        carries_tcp(config);
        config.workers = 1;
        config.tcp.connections_max = 1;
    })
    .await;
    let (endpoint, port) = (echo("1").await, free_port());
    world.tcp_route(port, "", endpoint.addr).await;
    let mut first = client(port).await;
    assert_eq!(first.take(1).await, b"1");
    let mut second = client(port).await;
    assert_eq!(endpoint.connections(), 1);
    first.send("x").await;
    assert_eq!(first.take(1).await, b"x");
    drop(first);
    assert_eq!(second.take(1).await, b"1");
}

#[tokio::test]
async fn one_port_leaves_places_to_the_others_and_closes_even_while_it_has_none() {
    let world = World::with(|config| {
        carries_tcp(config);
        config.workers = 1;
        config.tcp.connections_per_port_max = 1;
    })
    .await;
    let (one, two) = (echo("1").await, echo("2").await);
    let (full, other) = (free_port(), free_port());
    world.tcp_route(full, "", one.addr).await;
    world.tcp_route(other, "", two.addr).await;
    let mut first = client(full).await;
    assert_eq!(first.take(1).await, b"1");
    let mut second = client(full).await;
    assert_eq!(client(other).await.take(1).await, b"2");
    assert_eq!(one.connections(), 1, "one waits for a place");
    world.tcp_unroute(full, one.addr).await;
    assert!(second.is_closed().await, "it waits no more");
    first.send("!").await;
    assert_eq!(first.take(1).await, b"!");
}

#[tokio::test]
async fn a_connection_that_stands_still_is_broken_off_and_the_app_is_told() {
    let mut world = World::with(|config| {
        carries_tcp(config);
        config.tcp.idle_timeout = Duration::from_millis(50);
    })
    .await;
    let (endpoint, port) = (echo("1").await, free_port());
    world.tcp_route(port, "", endpoint.addr).await;
    let error = loop {
        let mut stream = TcpStream::connect((LOOPBACK, port)).await.unwrap();
        match stream.read_u8().await {
            Ok(said) => assert_eq!(said, b'1'),
            // A machine that stood still itself broke it off before the first byte.
            Err(_) => continue,
        }
        break stream.read_u8().await.unwrap_err();
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    let line = world.line().await;
    assert!(line.ends_with("error:\"broke_off (no byte went either way for 0.05 s)\""), "{line}");
}

#[tokio::test]
async fn at_the_end_connections_have_a_while_and_are_then_broken_off() {
    let world = World::with(|config| {
        carries_tcp(config);
        config.limits.drain = Duration::from_millis(300);
    })
    .await;
    let (endpoint, port) = (echo("1").await, free_port());
    world.tcp_route(port, "", endpoint.addr).await;
    let (mut done, mut stays) = (client(port).await, client(port).await);
    assert_eq!((done.take(1).await, stays.take(1).await), (b"1".to_vec(), b"1".to_vec()));
    world.tasks.shutdown().cancel();
    eventually("nobody listens", || std::net::TcpStream::connect((LOOPBACK, port)).is_err()).await;
    done.send("under way").await;
    assert_eq!(done.take(9).await, b"under way");
    let mut stays: TcpStream = stays.into_stream();
    let error = stays.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}
