//! Says why a check may have failed, from what the app does listen on; pure.

use core::net::SocketAddr;
use std::collections::BTreeSet;

/// One or two sentences for the app's log: what was checked, what is there, what to do.
/// `checked` is the port of the built-in check; `None` for a command.
pub fn explain(checked: Option<u16>, listening: &[SocketAddr]) -> String {
    let Some(checked) = checked else {
        return format!("the app {}", listens(listening));
    };
    let on_port: Vec<&SocketAddr> = listening.iter().filter(|at| at.port() == checked).collect();
    if on_port.is_empty() {
        let what = listens(listening);
        return format!(
            "the app {what}; the port that is checked is {checked}: {}",
            advice(listening)
        );
    }
    if on_port.iter().all(|at| at.ip().is_loopback()) {
        let loopback = on_port[0].ip();
        return format!(
            "the app listens on {checked} only at {loopback}, where nothing from outside its \
             container can reach it: let it listen on 0.0.0.0"
        );
    }
    format!(
        "the app listens on {checked}, which is the port that is checked, but did not answer well"
    )
}

fn listens(listening: &[SocketAddr]) -> String {
    let (open, loopback): (Vec<_>, Vec<_>) =
        listening.iter().partition(|at| !at.ip().is_loopback());
    let open = ports(&open);
    let loopback: Vec<u16> =
        ports(&loopback).into_iter().filter(|port| !open.contains(port)).collect();
    match (open.is_empty(), loopback.is_empty()) {
        (true, true) => "listens on no TCP port".to_owned(),
        (false, true) => format!("listens on {}", join(&open)),
        (true, false) => format!("listens on {} at 127.0.0.1 only", join(&loopback)),
        (false, false) => {
            format!("listens on {}, and at 127.0.0.1 only on {}", join(&open), join(&loopback))
        }
    }
}

fn advice(listening: &[SocketAddr]) -> String {
    let open = ports(&listening.iter().filter(|at| !at.ip().is_loopback()).collect::<Vec<_>>());
    match open.as_slice() {
        [] => "let it listen on 0.0.0.0 and the port in $PORT".to_owned(),
        [port] => format!("use --monitor-port {port}, or let it listen on the port in $PORT"),
        _ => {
            "use --monitor-port with one of them, or let it listen on the port in $PORT".to_owned()
        }
    }
}

fn ports(addresses: &[&SocketAddr]) -> Vec<u16> {
    let ports: BTreeSet<u16> = addresses.iter().map(|at| at.port()).collect();
    ports.into_iter().collect()
}

fn join(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_port_the_wrong_address_and_no_port_at_all_are_told_apart() {
        let check = |checked: Option<u16>, listening: &[&str], expected: &str| {
            let listening: Vec<SocketAddr> = listening.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(explain(checked, &listening), expected);
        };
        check(
            Some(8080),
            &["0.0.0.0:9090", "[::]:9090"],
            "the app listens on 9090; the port that is checked is 8080: use --monitor-port 9090, \
             or let it listen on the port in $PORT",
        );
        check(
            Some(8080),
            &["0.0.0.0:9090", "10.0.0.2:9091"],
            "the app listens on 9090, 9091; the port that is checked is 8080: use --monitor-port \
             with one of them, or let it listen on the port in $PORT",
        );
        check(
            Some(8080),
            &["127.0.0.1:8080"],
            "the app listens on 8080 only at 127.0.0.1, where nothing from outside its container \
             can reach it: let it listen on 0.0.0.0",
        );
        check(
            Some(8080),
            &["127.0.0.1:9090"],
            "the app listens on 9090 at 127.0.0.1 only; the port that is checked is 8080: let it \
             listen on 0.0.0.0 and the port in $PORT",
        );
        check(
            Some(8080),
            &["127.0.0.1:7070", "0.0.0.0:9090"],
            "the app listens on 9090, and at 127.0.0.1 only on 7070; the port that is checked is \
             8080: use --monitor-port 9090, or let it listen on the port in $PORT",
        );
        check(
            Some(8080),
            &[],
            "the app listens on no TCP port; the port that is checked is 8080: let it listen on \
             0.0.0.0 and the port in $PORT",
        );
        check(
            Some(8080),
            &["127.0.0.1:8080", "0.0.0.0:8080"],
            "the app listens on 8080, which is the port that is checked, but did not answer well",
        );
        check(None, &["0.0.0.0:9090"], "the app listens on 9090");
    }
}
