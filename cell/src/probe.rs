//! The built-in health check: a TCP connection, or an HTTP GET that answers 200. It replaces the
//! `healthcheck` program that clients name in a monitor action, so that no image has to hold it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use lattice_model::action::Run;
use lattice_model::checks::Check;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::go_duration::parse_go_duration;

/// The port `healthcheck` checks when none is given.
pub const PORT_DEFAULT: u16 = 8080;
/// How long it waits when nothing is said.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

/// The most bytes read while looking for the status.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// What to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The port.
    pub port: u16,
    /// The path of an HTTP check; `None` is a mere connection.
    pub path: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
}

enum Failure {
    Refused(io::Error),
    TimedOut,
    Status { code: u16, took: Duration },
}

// === impl Probe ===

impl Probe {
    /// Recognises `/any/where/healthcheck -timeout 1s -port 8080 [-uri /path]`.
    pub fn of_run(run: &Run) -> Option<Self> {
        if run.path.rsplit('/').next() != Some("healthcheck") {
            return None;
        }
        let mut probe = Self { port: PORT_DEFAULT, path: None, timeout: TIMEOUT_DEFAULT };
        let mut words = run.args.iter();
        while let Some(word) = words.next() {
            let flag = word.trim_start_matches('-');
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => (flag, words.next().cloned().unwrap_or_default()),
            };
            probe.set(name, &value);
        }
        Some(probe)
    }

    /// The same for a declarative check.
    pub fn of_check(check: &Check) -> Self {
        let path = match check {
            Check::TcpCheck(_) => None,
            Check::HttpCheck(http) if http.path.is_empty() => Some("/".to_owned()),
            Check::HttpCheck(http) => Some(http.path.clone()),
        };
        let timeout = match check.timeout_ms() {
            0 => TIMEOUT_DEFAULT,
            ms => Duration::from_millis(ms),
        };
        Self { port: check.port(), path, timeout }
    }

    fn set(&mut self, name: &str, value: &str) {
        match name {
            "port" => self.port = value.parse().unwrap_or(self.port),
            "timeout" => self.timeout = parse_go_duration(value).unwrap_or(self.timeout),
            "uri" if !value.is_empty() => self.path = Some(value.to_owned()),
            // `-network tcp` and whatever else there was changes nothing for us.
            _ => {}
        }
    }

    /// Checks; an error is the reason in Diego's words.
    pub async fn check(&self, address: IpAddr) -> Result<(), String> {
        let at = SocketAddr::new(address, self.port);
        let attempt = async {
            match &self.path {
                None => connect(at).await.map(drop),
                Some(path) => get(at, path).await,
            }
        };
        let outcome = tokio::time::timeout(self.timeout, attempt).await;
        outcome.unwrap_or(Err(Failure::TimedOut)).map_err(|failure| self.words(at, &failure))
    }

    fn words(&self, at: SocketAddr, failure: &Failure) -> String {
        let why = match failure {
            Failure::Refused(error) => refusal(error),
            Failure::TimedOut => {
                format!("timed out after {:.2} seconds", self.timeout.as_secs_f64())
            }
            Failure::Status { code, took } => {
                format!("received status code {code} in {}ms", took.as_millis())
            }
        };
        match &self.path {
            None => format!("failed to make TCP connection to {at}: {why}"),
            Some(path) => {
                format!("failed to make HTTP request to '{path}' on port {}: {why}", at.port())
            }
        }
    }
}

async fn connect(at: SocketAddr) -> Result<TcpStream, Failure> {
    TcpStream::connect(at).await.map_err(Failure::Refused)
}

async fn get(at: SocketAddr, path: &str) -> Result<(), Failure> {
    let began = Instant::now();
    let mut stream = connect(at).await?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let request = format!(
        "GET {slash}{path} HTTP/1.1\r\nHost: {at}\r\nUser-Agent: diego-healthcheck\r\n\
         X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(Failure::Refused)?;
    let code = read_status(&mut stream).await.map_err(Failure::Refused)?;
    if code == 200 { Ok(()) } else { Err(Failure::Status { code, took: began.elapsed() }) }
}

async fn read_status(stream: &mut TcpStream) -> io::Result<u16> {
    let mut head = Vec::new();
    let mut chunk = [0; 512];
    while !head.contains(&b'\n') && head.len() < HEAD_BYTES_MAX {
        match stream.read(&mut chunk).await? {
            0 => break,
            length => head.extend_from_slice(&chunk[..length]),
        }
    }
    let line = String::from_utf8_lossy(&head);
    let mut words = line.split_whitespace();
    let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/"));
    let code = words.next().and_then(|word| word.parse().ok()).filter(|_| is_http);
    code.ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

fn refusal(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn run(path: &str, args: &[&str]) -> Run {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Run { path: path.to_owned(), args, ..Run::default() }
    }

    fn probe(port: u16, path: Option<&str>) -> Probe {
        Probe { port, path: path.map(str::to_owned), timeout: Duration::from_millis(300) }
    }

    /// Answers every connection with `answer`, or, when that is empty, never.
    async fn server(answer: &'static str) -> u16 {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                if answer.is_empty() {
                    held.push(stream);
                }
            }
        });
        port
    }

    #[test]
    fn a_healthcheck_is_recognised_wherever_it_lies() {
        let second = Duration::from_secs(1);
        let check = |path: &str, args: &[&str], port: u16, uri: Option<&str>, timeout: Duration| {
            let expected = Probe { port, path: uri.map(str::to_owned), timeout };
            assert_eq!(Probe::of_run(&run(path, args)), Some(expected), "{args:?}");
        };
        check("/tmp/healthcheck", &["-timeout", "1s", "-port", "9090"], 9090, None, second);
        check("healthcheck", &[], 8080, None, second);
        check(
            "/tmp/lifecycle/healthcheck",
            &["-uri=/health", "--port=80", "-timeout", "500ms", "-network", "tcp"],
            80,
            Some("/health"),
            Duration::from_millis(500),
        );
        assert_eq!(Probe::of_run(&run("/bin/sh", &["-c", "healthcheck"])), None);
        assert_eq!(Probe::of_run(&run("/tmp/healthcheck2", &[])), None);
    }

    #[test]
    fn a_declarative_check_is_the_same_check() {
        for (json, expected) in [
            (
                serde_json::json!({"tcp_check": {"port": 80}}),
                Probe { port: 80, path: None, timeout: TIMEOUT_DEFAULT },
            ),
            (
                serde_json::json!({"http_check": {"port": 81, "request_timeout_ms": 300}}),
                probe(81, Some("/")),
            ),
            (
                serde_json::json!({"http_check": {"port": 81, "path": "/up",
                    "request_timeout_ms": 300}}),
                probe(81, Some("/up")),
            ),
        ] {
            let check: Check = serde_json::from_value(json).unwrap();
            assert_eq!(Probe::of_check(&check), expected);
        }
    }

    #[tokio::test]
    async fn a_connection_is_enough_for_tcp_and_200_is_needed_for_http() {
        let open = server("").await;
        assert_eq!(probe(open, None).check(LOOPBACK).await, Ok(()));
        let good = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(probe(good, Some("/x")).check(LOOPBACK).await, Ok(()));
    }

    #[tokio::test]
    async fn failures_are_told_in_diegos_words() {
        let closed = {
            let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let refused = probe(closed, None).check(LOOPBACK).await;
        let expected =
            format!("failed to make TCP connection to 127.0.0.1:{closed}: connection refused");
        assert_eq!(refused, Err(expected));

        let silent = server("").await;
        let late = probe(silent, Some("/x")).check(LOOPBACK).await;
        let expected = format!(
            "failed to make HTTP request to '/x' on port {silent}: timed out after 0.30 seconds"
        );
        assert_eq!(late, Err(expected));

        let bad = server("HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
        let status = probe(bad, Some("/x")).check(LOOPBACK).await.unwrap_err();
        let start = format!(
            "failed to make HTTP request to '/x' on port {bad}: received status code 503 in "
        );
        assert!(status.starts_with(&start) && status.ends_with("ms"), "{status}");

        let nonsense = server("SSH-2.0-OpenSSH\r\n").await;
        let odd = probe(nonsense, Some("/x")).check(LOOPBACK).await.unwrap_err();
        assert!(odd.ends_with("the answer is not http"), "{odd}");
    }
}
