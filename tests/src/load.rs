//! Requests straight to instances, without the router between.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

/// As many ask at once; each has its share of the instances.
const ASKERS_MAX: usize = 4;
/// How long an instance may take to answer on a busy machine.
const ANSWER: Duration = Duration::from_secs(30);

/// Where an instance of an app on port 8080 answers by itself.
pub fn address(lrp: &Value) -> SocketAddr {
    let ip = lrp["instance_address"].as_str().unwrap();
    format!("{ip}:8080").parse().unwrap()
}

/// Does something while every address is asked all the time; none may fail once.
pub fn under_load(addresses: &[SocketAddr], work: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    let ask_all = |share: &[SocketAddr]| {
        let mut answers = 0;
        while !is_over.load(Ordering::Relaxed) {
            for at in share {
                assert_eq!(get(*at, "/index").unwrap(), 200, "{at} after {answers} answers");
                answers += 1;
            }
        }
        answers
    };
    std::thread::scope(|scope| {
        let shares = addresses.chunks(addresses.len().div_ceil(ASKERS_MAX));
        let askers: Vec<_> = shares.map(|share| scope.spawn(|| ask_all(share))).collect();
        work();
        is_over.store(true, Ordering::Relaxed);
        for asker in askers {
            let answers = asker.join().expect("every request is answered");
            assert!(answers > 0, "it was asked");
        }
    });
}

/// The status of one request on a connection of its own.
pub fn get(at: SocketAddr, path: &str) -> std::io::Result<u16> {
    ask(at, path).map(|(status, _)| status)
}

/// The same with what it answered.
pub fn ask(at: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&at, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    status.map(|status| (status, body)).ok_or_else(|| std::io::Error::other(answer))
}
