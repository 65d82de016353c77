//! A NATS server, and a client that speaks to it in NATS's own text.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use crate::process::{PATIENCE, eventually};

/// How many ports tests are given.
const PORTS: u32 = 20_000;

/// A server; it ends with its value.
pub(crate) struct Nats {
    pub(crate) port: u16,
    /// What who connects to it has in his file beside the usual.
    pub(crate) keys: String,
    process: Child,
}

/// A client's connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

/// What was heard.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) subject: String,
    pub(crate) payload: String,
}

/// A port that nobody has, and that no other test is given as long as this one's process lives. It
/// is below those that the kernel gives to clients.
pub(crate) fn free_port() -> u16 {
    static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let mut claims = CLAIMS.lock().unwrap();
    let first = std::process::id().wrapping_mul(131);
    for nth in 0..PORTS {
        let place = first.wrapping_add(nth) % PORTS;
        let port = u16::try_from(10_000 + place).expect("30,000 is a port");
        let Ok(claim) = claim(port) else { continue };
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            claims.push(claim);
            return port;
        }
    }
    panic!("all of {PORTS} ports are taken");
}

/// A port's name among sockets, which one process at a time can have in each network, as it is with
/// the port; it is free again when the process has ended.
fn claim(port: u16) -> std::io::Result<UnixListener> {
    let name = format!("lattice-tests/router/port-{port}");
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

impl Nats {
    pub(crate) fn start() -> Self {
        Self::start_on(free_port())
    }

    pub(crate) fn start_on(port: u16) -> Self {
        Self::start_with(port, &["--user", "nats", "--pass", "12345"])
    }

    /// One that is told more; it must know the user all the same.
    pub(crate) fn start_with(port: u16, words: &[&str]) -> Self {
        let process = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server is installed: script/bootstrap");
        eventually("nats-server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { port, keys: String::new(), process }
    }

    /// A connection, as soon as the server has opened: it listens a little before it serves.
    pub(crate) fn client(&self) -> Client {
        let mut client = None;
        eventually("nats-server serves", || {
            client = self.greeted();
            client.is_some()
        });
        let mut client = client.unwrap();
        client.say("CONNECT {\"verbose\":false,\"user\":\"nats\",\"pass\":\"12345\"}");
        client.flush();
        client
    }

    fn greeted(&self) -> Option<Client> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let (mut stream, mut line) = (BufReader::new(stream), String::new());
        stream.read_line(&mut line).ok()?;
        line.starts_with("INFO ").then_some(Client { stream })
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Client {
    /// Publishes, and waits until the server has it.
    pub(crate) fn publish(&mut self, subject: &str, payload: &str) {
        self.say(&format!("PUB {subject} {}\r\n{payload}", payload.len()));
        self.flush();
    }

    pub(crate) fn subscribe(&mut self, subject: &str) {
        self.say(&format!("SUB {subject} 1"));
        self.flush();
    }

    /// Asks, and hears the answer.
    pub(crate) fn request(&mut self, subject: &str) -> Heard {
        self.subscribe("inbox.test");
        self.say(&format!("PUB {subject} inbox.test 0\r\n"));
        self.next()
    }

    pub(crate) fn next(&mut self) -> Heard {
        loop {
            let line = self.line();
            if line.starts_with("PING") {
                self.say("PONG");
            }
            let Some(head) = line.strip_prefix("MSG ") else { continue };
            let words: Vec<&str> = head.split_whitespace().collect();
            let mut payload = vec![0; words.last().unwrap().parse::<usize>().unwrap() + 2];
            self.stream.read_exact(&mut payload).unwrap();
            payload.truncate(payload.len() - 2);
            let payload = String::from_utf8(payload).unwrap();
            return Heard { subject: words[0].to_owned(), payload };
        }
    }

    fn say(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    fn flush(&mut self) {
        self.say("PING");
        while !self.line().starts_with("PONG") {}
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("NATS answers in time");
        assert!(!line.is_empty(), "NATS hung up");
        line
    }
}
