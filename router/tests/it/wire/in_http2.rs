//! The cases that a client of HTTP/2 can say as well: the same must reach the endpoint, and the same
//! come back, but for what HTTP/2 has no words for.

use std::sync::{Arc, Mutex};

use http::{Request, Uri};
use lattice_router::Config;

use super::{Case, Then, normal, scripted};
use crate::http2::client::Client;
use crate::http2::world;
use crate::support::eventually;

/// What concerns a connection of HTTP/1, or says over TLS what it does not say in clear.
const ONLY_HTTP1: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-proto",
];

/// Runs a case; one that cannot be said is passed over.
pub(super) async fn run(case: &Case, change: fn(&mut Config)) -> Result<(), String> {
    let Some((request, body)) = said(case) else { return Ok(()) };
    let (world, authority) = world(change).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let endpoint = scripted(case.answers, seen.clone()).await;
    world.route("web.test", endpoint.addr).await;
    let mut client = Client::connect(&world, &authority).await;
    let answer = client.ask(request, body.as_bytes()).await.map_err(|error| error.to_string())?;
    let got = answer.messages();
    let got: Vec<String> = got.iter().map(|(head, body)| told(&normal(head, body))).collect();
    let expected = case.gets.iter().zip(&got);
    let expected: Vec<String> =
        expected.map(|(e, got)| if e.len() == 3 { got.clone() } else { told(e) }).collect();
    if got != expected || got.len() != case.gets.len() {
        return Err(format!("    client got {got:?}\n    instead of {:?}", case.gets));
    }
    eventually("the endpoint saw it", || seen.lock().unwrap().len() >= case.saw.len()).await;
    let seen = seen.lock().unwrap().iter().map(|saw| told(saw)).collect::<Vec<_>>();
    let expected = case.saw.iter().map(|saw| told(saw)).collect::<Vec<_>>();
    match seen == expected {
        true => Ok(()),
        false => Err(format!("    endpoint saw {seen:?}\n    instead of {expected:?}")),
    }
}

/// The one request of a case, if HTTP/2 has words for it.
fn said(case: &Case) -> Option<(Request<()>, &'static str)> {
    let (head, body) = case.sends.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let first = lines.next()?.strip_suffix(" HTTP/1.1")?;
    let (method, target) = first.split_once(' ')?;
    let (mut host, mut request) = (None, Request::builder().method(method));
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "host" => host = Some(value),
            name if ONLY_HTTP1.contains(&name) => return None,
            _ => request = request.header(name, value),
        }
    }
    let uri =
        Uri::builder().scheme("https").authority(host?).path_and_query(target).build().ok()?;
    let is_one = case.sends.matches(" HTTP/1.1\r\n").count() == 1;
    let is_sayable = is_one && case.then == Then::Stays && target.starts_with('/');
    let request = request.uri(uri).body(()).ok()?;
    is_sayable.then_some((request, body))
}

/// A message without the words behind its status, without what only HTTP/1 says, in lower case.
fn told(message: &str) -> String {
    let (head, body) = message.split_once(" || ").unwrap_or((message, ""));
    let mut parts = head.split(" | ");
    let first = parts.next().unwrap_or_default();
    let first = match first.strip_prefix("HTTP/1.1 ") {
        Some(status) => &status[..3],
        None => first,
    };
    let name = |part: &str| part.split(':').next().unwrap_or_default().to_owned();
    let kept = parts.filter(|part| !ONLY_HTTP1.contains(&&*name(part)));
    let head: Vec<&str> = [first].into_iter().chain(kept).collect();
    format!("{} || {}", head.join(" | "), body).to_ascii_lowercase()
}

#[test]
fn what_http_2_has_no_words_for_is_not_said() {
    const fn case(sends: &'static str) -> Case {
        Case { about: "", sends, answers: &[], saw: &[], gets: &[], then: Then::Stays }
    }
    for (sends, expected) in [
        ("GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", Some("https://a/a")),
        ("GET /a HTTP/1.1\r\nHost: a\r\nTE: gzip\r\n\r\n", None),
        ("GET /a HTTP/1.0\r\nHost: a\r\n\r\n", None),
        ("GET /a HTTP/1.1\r\n\r\n", None),
        ("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ("GET http://a/a HTTP/1.1\r\nHost: a\r\n\r\n", None),
    ] {
        let uri = said(&case(sends)).map(|(request, _)| request.uri().to_string());
        assert_eq!(uri.as_deref(), expected, "{sends}");
    }
}
