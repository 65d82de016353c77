//! Where the fuzz targets enter; not in the product.

mod cookies;
mod hosts;
mod lines;
mod routing_api;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lattice_daemon::bus::{InProcessBus, Message};
use lattice_daemon::clock::SystemClock;
use lattice_daemon::log_ingress;
use lattice_model::Time;
use lattice_model::wire::registration::{REGISTER, REGISTER_TCP, UNREGISTER};

use crate::config::{Config, HeaderRules};
use crate::h1::Body;
use crate::h1::head::{HeadEnd, LINES_CEILING, LineEnds, Slots};
use crate::h1::reading::Reading;
use crate::h1::response::ResponseHead;
use crate::preamble::Preamble;
use crate::proxy::answer::{self, Added};
use crate::registrar::{Registrar, Rules};
use crate::reserved::ReservedHosts;
use crate::services::Keys;
use crate::services::place::Place;
use crate::table::key::Key;
use crate::table::{self, Editor};
use crate::tcp::NoDoors;
use crate::tcp::greeting::{self, Greeting};
use crate::tcp::ports::Ports;
pub use cookies::cookies;
pub use hosts::{asked, route_uri};
pub use lines::access_line;
pub use routing_api::routing_api;

/// Reads a text as gorouter's configuration, which may be refused and nothing else.
pub fn gorouter_file(text: &str) {
    let _ = crate::alone::gorouter::read(text);
}

/// Reads bytes as the header of the PROXY protocol, which never reaches beyond them.
pub fn preamble(bytes: &[u8]) {
    if let Preamble::Header { length, .. } = Preamble::read(bytes) {
        assert!(length <= bytes.len());
        assert_eq!(Preamble::read(&bytes[..length]), Preamble::read(bytes));
    }
}

/// Reads bytes as what comes back from a route service: nothing is believed that nobody signed.
pub fn signature(signature: &[u8], metadata: &[u8]) {
    static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::new("secret", Some("old")));
    let window = (Time(0), Duration::from_secs(60));
    assert!(KEYS.verify(signature, metadata, window).is_err());
}

/// Reads a text as the URL of a route service, which says one host and one target.
pub fn service_url(text: &str) {
    if let Some(place) = Place::parse(text) {
        assert!(place.target.starts_with('/') && place.target.is_ascii());
        assert!(!place.authority.contains(['/', '@', ' ', '\r', '\n']));
    }
}

/// Reads bytes as the greeting of TLS; what is decided stays so, whatever follows.
pub fn tcp_greeting(bytes: &[u8]) {
    let decided = greeting::read(bytes);
    if decided != Greeting::Partial {
        assert_eq!(greeting::read(&[bytes, &b"x"[..]].concat()), decided);
    }
}

/// A registrar of a router that carries so many routes.
fn registrar(routes_max: usize) -> Registrar {
    let mut config = Config::new("test");
    config.freshness.routes_max = routes_max;
    config.tcp.addrs = vec![core::net::Ipv4Addr::LOCALHOST.into()];
    let (rules, tcp) = (table::Rules::of(&config), config.tcp.clone());
    let logs = Arc::new(log_ingress::channel().0);
    Registrar::new(
        (Editor::new(rules, 0), Ports::new(tcp, rules, 0, Arc::new(NoDoors), logs)),
        Arc::new(ReservedHosts::new(&config)),
        Rules::of(&config),
        Arc::new(SystemClock),
        Arc::new(InProcessBus::default()),
    )
}

/// A registration as it is heard.
fn heard(payload: &[u8]) -> Message {
    heard_of(REGISTER, payload)
}

fn heard_of(subject: &str, payload: &[u8]) -> Message {
    Message { subject: subject.into(), payload: payload.to_vec().into(), reply: None }
}

/// Registers what each line says, or withdraws it when a `-` stands before it, `+` for TCP routes,
/// and checks that every route of the table is found.
pub fn register(lines: &[u8]) {
    const ROUTES_MAX: usize = 64;
    let mut registrar = registrar(ROUTES_MAX);
    for line in lines.split(|&b| b == b'\n') {
        let (subject, payload) = match line.strip_prefix(b"-") {
            Some(payload) => (UNREGISTER, payload),
            None => match line.strip_prefix(b"+") {
                Some(payload) => (REGISTER_TCP, payload),
                None => (REGISTER, line),
            },
        };
        registrar.hear(&heard_of(subject, payload));
    }
    let routes = registrar.editor.table().routes();
    assert_eq!(routes.len(), registrar.editor.len());
    assert!(routes.len() <= ROUTES_MAX);
    for route in &routes {
        let key = Key::parse(&route.uri).expect("a route's uri is one");
        assert_eq!(key.uri(), *route.uri);
        assert!(
            registrar.editor.table().find_exact(&key.host, &format!("/{}", key.path)).is_some()
        );
    }
    registrar.prune();
}

/// Reads bytes as requests, at once and cut in two, which must come to the same; how many bytes
/// belong to whole requests.
pub fn requests(bytes: &[u8], cut: usize) -> usize {
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    let whole = Reading::of(&[bytes]).unframed();
    assert_eq!(Reading::of(&[first, second]).unframed(), whole);
    whole.used
}

/// Reads bytes as an answer, and what goes on from it as an answer again: it must come through,
/// and say the same.
pub fn answers(bytes: &[u8], is_head: bool) {
    let mut slots = Slots::new();
    let Ok(Some(length)) = HeadEnd::default().find(bytes, LineEnds::Lenient) else { return };
    let Ok(head) = ResponseHead::parse(&bytes[..length], 100, is_head, &mut slots) else { return };
    let mut out = Vec::new();
    let rules = HeaderRules::default();
    answer::relay(&mut out, &head, Added::for_test(is_head, &rules));
    let end = HeadEnd::default().find(&out, LineEnds::Strict).expect("our own lines are strict");
    assert_eq!(end, Some(out.len()), "what we write is one head");
    let mut again = Slots::new();
    let read =
        ResponseHead::parse(&out, LINES_CEILING, is_head, &mut again).expect("ours is a head");
    assert_eq!((read.status, read.body == Body::Empty), (head.status, head.body == Body::Empty));
}

#[cfg(test)]
proptest::proptest! {
    #[test]
    fn whatever_an_endpoint_answers_the_client_gets_one_head(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "HTTP/1.1 200 OK\r\n", "HTTP/1.0 304 \n", "A: b\r\n", "\r\n", " c\r\n", "\t\n", "X:\n",
            "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Set-Cookie: a=b; c\r\n",
            "Connection: a, close\r\n", "Date: \u{e9}\r\n", "\r", ":", "Trailer: a\r\n",
        ]), 0..12),
        is_head in proptest::bool::ANY,
    ) {
        answers(format!("HTTP/1.1 200 OK\r\n{}\r\n", parts.concat()).as_bytes(), is_head);
        answers(parts.concat().as_bytes(), is_head);
    }

    #[test]
    fn whatever_a_client_sends_reads_the_same_in_two_pieces(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        cut in 0usize..300,
    ) {
        requests(&bytes, cut);
    }

    #[test]
    fn whatever_comes_back_from_a_service_is_not_believed(
        text in "[-_a-zA-Z0-9=]{0,80}", metadata in "[-_a-zA-Z0-9=]{0,60}",
        url in "(https://)?[-a-z0-9.:@/?#\\[\\] \u{e9}]{0,40}",
    ) {
        signature(text.as_bytes(), metadata.as_bytes());
        service_url(&url);
    }
}
