//! How long a registration takes from its emitter's hand, through NATS and a router alone, to the
//! first request that it serves.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use lattice_tests::PATIENCE;

use crate::alone::Alone;
use crate::effort::Effort;
use crate::figure::Figure;

/// Routes that are registered in a round.
const ROUTES: usize = 500;
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

pub(crate) fn run(effort: Effort) {
    let router = Alone::plain(0, 2);
    let instance = serve();
    let mut emitter = router.emitter();
    let mut client = TcpStream::connect(("127.0.0.1", router.port())).unwrap();
    client.set_nodelay(true).unwrap();
    let (mut medians, mut slowest) = (Vec::new(), Vec::new());
    for round in 1..=effort.rounds {
        eprintln!("registration: round {round} of {}", effort.rounds);
        let mut times: Vec<f64> = (0..ROUTES)
            .map(|n| {
                let host = format!("r{round}-{n}.test");
                visible_after(&mut emitter, &mut client, &host, instance).as_secs_f64() * 1000.0
            })
            .collect();
        times.sort_by(f64::total_cmp);
        medians.push(times[ROUTES / 2]);
        slowest.push(times[ROUTES * 99 / 100]);
    }
    let figure = |metric| Figure { bench: "registration", case: "nats", metric, unit: "ms" };
    figure("visible_p50").print(&medians);
    figure("visible_p99").print(&slowest);
}

/// From the message to the first answer that is the instance's.
fn visible_after(
    emitter: &mut TcpStream,
    client: &mut TcpStream,
    host: &str,
    instance: u16,
) -> Duration {
    let told = format!("{{\"host\":\"127.0.0.1\",\"port\":{instance},\"uris\":[\"{host}\"]}}");
    let message = format!("PUB router.register {}\r\n{told}\r\n", told.len());
    let begun = Instant::now();
    emitter.write_all(message.as_bytes()).unwrap();
    while status(client, host) != 200 {
        assert!(begun.elapsed() < PATIENCE, "{host} is never served");
    }
    begun.elapsed()
}

/// The status of one request; the answer is read to its end.
fn status(client: &mut TcpStream, host: &str) -> u16 {
    client.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = BufReader::new(client);
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        assert!(answer.read_line(&mut line).unwrap() > 0, "the router hung up");
        let line = line.trim_end().to_ascii_lowercase();
        if status == 0 {
            status = line.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap();
        } else if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().unwrap();
        } else if line.is_empty() {
            answer.read_exact(&mut vec![0; length]).unwrap();
            return status;
        }
    }
}

/// An instance that answers every request with nothing; its port.
fn serve() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                // A head comes in one piece over loopback, and one after the other.
                while matches!(stream.read(&mut head), Ok(1..)) && stream.write_all(OK).is_ok() {}
            });
        }
    });
    port
}
