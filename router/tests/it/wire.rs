//! Requests and answers as bytes: what a client sends, what the endpoint sees, what the endpoint
//! answers, what the client gets. One table a family; the families are those of
//! `docs/router-scenarios.md`.
//!
//! What a client of HTTP/2 could say is said in HTTP/2, too, and must come to the same.
//!
//! Heads are compared without their order and the case of their names, and without what every
//! request and answer gains on its way (`ALWAYS`); what a case says, it says exactly.

mod bodies;
mod case;
mod forwarded;
mod hostile;
mod in_http2;
mod informational;
mod rules;
mod targets;

use std::sync::{Arc, Mutex};

use lattice_router::Config;

pub(crate) use case::{Case, GETS_OK, OK, SAW, Then, normal, seen};

use crate::support::{Endpoint, Wire, World, eventually};

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
    let mut methods = case.methods();
    for expected in case.gets {
        let method = methods.next().unwrap_or("GET");
        let got = next(&mut client, method).await.unwrap_or_else(|| "nothing".to_owned());
        if !Case::expects(expected, &got) {
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
