//! Apps change under load, and no request is lost: fewer instances, more, a new version, and other
//! cells.

mod draining;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lattice_tests::appliance::{Appliance, DOMAIN, HTTP_PORT};
use lattice_tests::{PATIENCE, eventually, expect, image, machine};

/// Clients at once, each with one request at a time.
const CLIENTS: usize = 6;
/// Every so many requests a client leaves its connection for a new one.
const REQUESTS_A_CONNECTION: usize = 20;

/// What the clients have seen.
#[derive(Default)]
pub(crate) struct Load {
    is_over: AtomicBool,
    served: AtomicUsize,
}

/// Ends the load, however the story ends.
struct Ends<'l>(&'l Load);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

impl Load {
    /// Asks until it is over. Every other client sends what must not be sent twice.
    fn run(&self, nth: usize) {
        let host = format!("Host: web.{DOMAIN}:{HTTP_PORT}");
        let request = match nth % 2 {
            0 => format!("GET /index HTTP/1.1\r\n{host}\r\n\r\n"),
            _ => format!("POST /upload HTTP/1.1\r\n{host}\r\nContent-Length: 4\r\n\r\nbody"),
        };
        while !self.is_over.load(Ordering::Relaxed) {
            let stream = TcpStream::connect(("127.0.0.1", HTTP_PORT)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let mut stream = BufReader::new(stream);
            for _ in 0..REQUESTS_A_CONNECTION {
                stream.get_mut().write_all(request.as_bytes()).unwrap();
                let head = answer(&mut stream).unwrap();
                assert!(head.starts_with("http/1.1 200"), "{head}");
                self.served.fetch_add(1, Ordering::Relaxed);
                if head.contains("connection: close") {
                    break;
                }
            }
        }
    }

    /// Waits until so many more requests are served.
    pub(crate) fn goes_on(&self, requests: usize) {
        let before = self.served.load(Ordering::Relaxed);
        eventually("requests are served", PATIENCE, || {
            let served = self.served.load(Ordering::Relaxed);
            expect(served >= before + requests, served)
        });
    }
}

/// Does this while clients ask for the app `web`, each of whose requests is answered.
pub(crate) fn without_loss(work: impl FnOnce(&Load)) -> usize {
    let load = &Load::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|nth| scope.spawn(move || load.run(nth))).collect();
        let ends = Ends(load);
        work(load);
        drop(ends);
        for client in clients {
            client.join().expect("every request is answered");
        }
    });
    load.served.load(Ordering::Relaxed)
}

/// The head of an answer, in lower case; its body is read as well.
fn answer(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(std::io::Error::other(format!("the connection ended after {head:?}")));
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    stream.read_exact(&mut vec![0; length])?;
    Ok(head)
}

#[test]
fn scaling_and_a_new_version_lose_no_request() {
    machine::isolate();
    let lattice = Appliance::start(&[]);
    let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
    let layout = layout.to_str().unwrap();
    lattice.ltc_ok(&["create", "web", layout, "-i", "3"]);
    let served = without_loss(|load| {
        load.goes_on(200);
        lattice.ltc_ok(&["scale", "web", "1"]);
        load.goes_on(500);
        lattice.ltc_ok(&["scale", "web", "4"]);
        load.goes_on(500);
        lattice.ltc_ok(&["create", "web-2", layout, "-R", "web", "-i", "2"]);
        load.goes_on(200);
        lattice.ltc_ok(&["remove", "web"]);
        load.goes_on(500);
    });
    assert!(served >= 1900);
}
