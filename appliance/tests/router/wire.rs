//! The cases of the router's own suite that say nothing of its configuration (families S1 to S4, and
//! hostile requests), played by its process.

#[path = "../../../router/tests/it/wire/bodies.rs"]
mod bodies;
#[path = "../../../router/tests/it/wire/case.rs"]
mod case;
#[path = "../../../router/tests/it/wire/forwarded.rs"]
mod forwarded;
#[path = "../../../router/tests/it/wire/hostile.rs"]
mod hostile;
#[path = "../../../router/tests/it/wire/informational.rs"]
mod informational;
#[path = "../../../router/tests/it/wire/targets.rs"]
mod targets;

pub(crate) use case::{Case, GETS_OK, OK, SAW, Then, normal, seen};

use crate::tables::{Exchange, Town};

/// Plays every case of a table, and reports all that fail.
pub(crate) async fn check(cases: &[Case]) {
    let mut town = Town::new("");
    let faults = cases.iter().filter_map(|case| {
        let fault = town.exchange(case.answers, |exchange| play(case, exchange)).err()?;
        Some(format!("{}\n    {:?}\n{fault}", case.about, case.sends))
    });
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

fn play(case: &Case, exchange: &mut Exchange) -> Result<(), String> {
    exchange.send(case.sends);
    let mut methods = case.methods();
    for expected in case.gets {
        let method = methods.next().unwrap_or("GET");
        let got = exchange.next(method == "HEAD").map(|message| comparable(&message));
        let got = got.unwrap_or_else(|| "nothing".to_owned());
        if !Case::expects(expected, &got) {
            return Err(format!("    client got {got:?}\n    instead of {expected:?}"));
        }
    }
    if case.then == Then::Stays {
        exchange.send("GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n");
    }
    let rest = exchange.rest();
    let is_so = match case.then {
        Then::Stays => rest.starts_with("HTTP/1.1 404 "),
        Then::Closes => rest.is_empty(),
    };
    if !is_so {
        return Err(format!("    {:?}, and the client got {rest:?}", case.then));
    }
    let seen = exchange.seen(case.saw.len());
    let seen: Vec<String> = seen.iter().map(|message| comparable(message)).collect();
    match seen == case.saw {
        true => Ok(()),
        false => Err(format!("    endpoint saw {seen:?}\n    instead of {:?}", case.saw)),
    }
}

/// A message in the form that messages are compared in: its chunks joined, its trailers behind.
fn comparable(message: &str) -> String {
    let (head, body) = message.split_once("\r\n\r\n").unwrap_or((message, ""));
    match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        true => normal(head, &joined(body)),
        false => normal(head, body),
    }
}

fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk has its size");
        if size == 0 {
            for trailer in rest.lines().filter(|line| !line.is_empty()) {
                body.push_str(&format!(" + {trailer}"));
            }
            break;
        }
        body.push_str(&rest[..size]);
        chunks = &rest[size + 2..];
    }
    body
}
