//! Requests and answers as bytes: what a client sends, what the endpoint sees, what the endpoint
//! answers, what the client gets. One table a family; the families are those of
//! `docs/router-scenarios.md`.
//!
//! What a client of HTTP/2 could say is said in HTTP/2, too, and must come to the same.
//!
//! Heads are compared without their order and the case of their names, and without what every
//! request and answer gains on its way (`ALWAYS`); what a case says, it says exactly.

mod bodies;
mod forwarded;
mod hostile;
mod in_http2;
mod informational;
mod rules;
mod targets;

use std::sync::{Arc, Mutex};

use lattice_router::Config;

use crate::support::{Endpoint, Wire, World, eventually};

/// One exchange on one client connection.
pub(crate) struct Case {
    /// What it shows.
    pub(crate) about: &'static str,
    /// What the client sends.
    pub(crate) sends: &'static str,
    /// What the endpoint answers, request by request.
    pub(crate) answers: &'static [&'static str],
    /// What the endpoint sees, message by message.
    pub(crate) saw: &'static [&'static str],
    /// What the client gets, message by message; a status alone stands for any answer with it.
    pub(crate) gets: &'static [&'static str],
    /// What becomes of the client's connection.
    pub(crate) then: Then,
}

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It serves another request.
    Stays,
    /// The router closes it.
    Closes,
}

/// An endpoint's usual answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// What the client gets of it.
pub(crate) const GETS_OK: &str = "HTTP/1.1 200 OK | content-length: 2 || ok";
/// What the endpoint sees of a plain request.
pub(crate) const SAW: &str = "GET / HTTP/1.1 | host: web.test";

/// What every request gains; shown only where a case is about it, by another value.
const ALWAYS: [&str; 6] = [
    "x-cf-applicationid: web",
    "x-cf-instanceid: guid-0",
    "x-cf-instanceindex: 0",
    "x-forwarded-for: 127.0.0.1",
    "x-forwarded-proto: http",
    "connection: close",
];

/// A plain GET with some header lines, and what the endpoint sees of them.
macro_rules! seen {
    ($about:literal, $given:literal, $seen:literal) => {
        $crate::wire::Case {
            about: $about,
            sends: concat!("GET / HTTP/1.1\r\nHost: web.test\r\n", $given, "\r\n"),
            answers: &[$crate::wire::OK],
            saw: &[concat!("GET / HTTP/1.1 | ", $seen)],
            gets: &[$crate::wire::GETS_OK],
            then: $crate::wire::Then::Stays,
        }
    };
}
pub(crate) use seen;

/// Runs every case of a table, and reports all that fail.
pub(crate) async fn check(cases: &[Case]) {
    check_with(|_| (), cases).await;
}

/// As [`check`], with a router that is told more.
pub(crate) async fn check_with(change: fn(&mut Config), cases: &[Case]) {
    let mut faults = Vec::new();
    for case in cases {
        let (in_http1, in_http2) = (run(case, change).await, in_http2::run(case, change).await);
        for (fault, version) in [(in_http1, "HTTP/1"), (in_http2, "HTTP/2")] {
            if let Err(fault) = fault {
                faults.push(format!("{} in {version}\n    {:?}\n{fault}", case.about, case.sends));
            }
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

async fn run(case: &Case, change: fn(&mut Config)) -> Result<(), String> {
    let world = World::with(change).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let endpoint = scripted(case.answers, seen.clone()).await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    let _ = client.try_send(case.sends).await;
    let methods = case.sends.split("\r\n\r\n").map(|head| head.split(' ').next().unwrap_or(""));
    let mut methods = methods.map(str::trim).collect::<Vec<_>>().into_iter();
    for expected in case.gets {
        let method = methods.next().unwrap_or("GET");
        let got = next(&mut client, method).await.unwrap_or_else(|| "nothing".to_owned());
        if got != *expected && got.get(9..12) != Some(*expected) {
            return Err(format!("    client got {got:?}\n    instead of {expected:?}"));
        }
    }
    match case.then {
        Then::Stays => {
            let last = "GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n";
            let _ = client.try_send(last).await;
            let rest = String::from_utf8_lossy(&client.rest().await).into_owned();
            if !rest.starts_with("HTTP/1.1 404 ") {
                return Err(format!("    the connection did not stay: {rest:?}"));
            }
        }
        Then::Closes => {
            let rest = client.rest().await;
            if !rest.is_empty() {
                let rest = String::from_utf8_lossy(&rest);
                return Err(format!("    the client got more: {rest:?}"));
            }
        }
    }
    drop(client);
    eventually("the endpoint saw it", || seen.lock().unwrap().len() >= case.saw.len()).await;
    let seen = seen.lock().unwrap().clone();
    if seen != case.saw {
        return Err(format!("    endpoint saw {seen:?}\n    instead of {:?}", case.saw));
    }
    Ok(())
}

/// An endpoint that notes each message and gives the answers in turn, the last one again and again.
async fn scripted(answers: &'static [&'static str], seen: Arc<Mutex<Vec<String>>>) -> Endpoint {
    Endpoint::new(move |mut wire| {
        let seen = seen.clone();
        async move {
            while let Some(head) = wire.head().await {
                let nth = seen.lock().unwrap().len();
                let body = wire.framed_body(&head, false).await;
                seen.lock().unwrap().push(normal(&head, &body));
                let answer = answers.get(nth).or(answers.last()).copied().unwrap_or_default();
                if wire.try_send(answer).await.is_err() || closes(answer) {
                    return;
                }
            }
        }
    })
    .await
}

/// Whether an endpoint ends its connection after this answer.
fn closes(answer: &str) -> bool {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
    let is_framed = head.contains("content-length") || head.contains("transfer-encoding");
    let is_bodiless = [" 204 ", " 304 ", " 101 "].iter().any(|s| head.contains(s));
    head.contains("connection: close") || !(is_framed || is_bodiless)
}

/// The next message, in normal form.
pub(crate) async fn next(wire: &mut Wire, method: &str) -> Option<String> {
    let head = wire.head().await?;
    let status = head.get(9..12).unwrap_or_default().to_owned();
    let is_bodiless =
        method == "HEAD" || status.starts_with('1') || ["204", "304"].contains(&&*status);
    let body = if is_bodiless { String::new() } else { wire.framed_body(&head, true).await };
    Some(normal(&head, &body))
}

/// `first line | name: value | ... || body`, sorted, without what always is there.
fn normal(head: &str, body: &str) -> String {
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let mut fields: Vec<String> = lines.map(field).filter(|field| !is_usual(field)).collect();
    fields.sort();
    fields.insert(0, first);
    let head = fields.join(" | ");
    if body.is_empty() { head } else { format!("{head} || {body}") }
}

fn field(line: &str) -> String {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    format!("{}: {}", name.to_ascii_lowercase(), value.trim())
}

fn is_usual(field: &str) -> bool {
    let (name, value) = field.split_once(": ").unwrap_or((field, ""));
    ALWAYS.contains(&field)
        || name == "date"
        || (name == "x-vcap-request-id" && value.len() == 36)
        || (name == "x-request-start" && value.len() == 13)
}
