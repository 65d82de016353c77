//! The router's process, an instance behind it, and a person in front.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::nats::{Nats, free_port};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The process; it ends with its value.
pub(crate) struct Router {
    pub(crate) port: u16,
    pub(crate) dir: tempfile::TempDir,
    process: Child,
    said: Arc<Mutex<String>>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Waits for a level.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A file of gorouter's, with what every test wants.
pub(crate) fn file(servers: &[&Nats], port: u16, more: &str) -> String {
    let host = |nats: &&Nats| format!("{{hostname: localhost, port: {}}}", nats.port);
    let hosts: Vec<String> = servers.iter().map(host).collect();
    let keys = servers.first().map_or("", |nats| &nats.keys);
    let status = match more.contains("status:") {
        true => String::new(),
        false => {
            let (health, routes) = (free_port(), free_port());
            format!("status: {{host: 127.0.0.1, port: {health}, routes: {{port: {routes}}}}}")
        }
    };
    let delay = match more.contains("start_response_delay_interval") {
        true => "",
        false => "start_response_delay_interval: 0s",
    };
    let logging = match more.contains("logging:") {
        true => "",
        false => "logging: {level: debug}",
    };
    format!(
        "port: {port}\nnats: {{hosts: [{}], user: nats, pass: 12345{keys}}}\n\
         {delay}\n{logging}\n{status}\n{more}\n",
        hosts.join(", ")
    )
}

/// The command, to be given more.
pub(crate) fn lattice() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lattice"));
    command.stdin(Stdio::null());
    command
}

impl Router {
    /// Runs it until it serves, and until the first server knows what it wants to hear: it says who
    /// it is behind that.
    pub(crate) fn start(servers: &[&Nats], more: &str) -> Self {
        Self::start_by(lattice(), servers, more)
    }

    /// The same, where another command runs the words that follow it.
    pub(crate) fn start_by(command: Command, servers: &[&Nats], more: &str) -> Self {
        let mut bus = servers[0].client();
        bus.subscribe("router.start");
        let router = Self::begin_by(command, servers, more);
        eventually("it serves", || router.has_said("gorouter.started"));
        assert_eq!(bus.next().subject, "router.start");
        router
    }

    /// Runs it.
    pub(crate) fn begin(servers: &[&Nats], more: &str) -> Self {
        Self::begin_by(lattice(), servers, more)
    }

    fn begin_by(command: Command, servers: &[&Nats], more: &str) -> Self {
        let port = free_port();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gorouter.yml");
        // No certificate has such characters in it.
        let more = more.replace("<dir>", dir.path().to_str().unwrap());
        std::fs::write(&path, file(servers, port, &more)).unwrap();
        Self::run_by(command, dir, port, &["router", "-c", path.to_str().unwrap()])
    }

    pub(crate) fn run(dir: tempfile::TempDir, port: u16, args: &[&str]) -> Self {
        Self::run_by(lattice(), dir, port, args)
    }

    fn run_by(mut command: Command, dir: tempfile::TempDir, port: u16, args: &[&str]) -> Self {
        let command = command.args(args).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = command.spawn().unwrap();
        let said = Arc::<Mutex<String>>::default();
        let (hears, lines) = (said.clone(), BufReader::new(process.stdout.take().unwrap()).lines());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = hears.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { port, dir, process, said }
    }

    pub(crate) fn has_said(&self, what: &str) -> bool {
        self.said().contains(what)
    }

    /// Waits until it has said so.
    #[track_caller]
    pub(crate) fn has_eventually_said(&self, what: &str) {
        eventually(&format!("it says {what}"), || self.has_said(what));
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(self.dir.path()).join(name)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        let mut status = None;
        eventually("it ends", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn get(&self, host: &str) -> Answer {
        ask(self.port, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    }

    /// Waits until a host is answered so.
    #[track_caller]
    pub(crate) fn answers(&self, host: &str, status: u16) {
        eventually(&format!("{host} is answered {status}"), || self.get(host).status == status);
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One request on a connection of its own.
pub(crate) fn ask(port: u16, request: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// An instance that answers every request with its name; its port.
pub(crate) fn instance(name: &'static str) -> u16 {
    instance_at("127.0.0.1", name)
}

/// The same at this address.
pub(crate) fn instance_at(ip: &str, name: &'static str) -> u16 {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream, name));
        }
    });
    port
}

fn serve(mut stream: TcpStream, name: &str) {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        seen.extend_from_slice(&chunk[..n]);
        while let Some(end) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            seen.drain(..end + 4);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// A registration's JSON.
pub(crate) fn registration(host: &str, port: u16, more: &str) -> String {
    format!(
        "{{\"host\":\"127.0.0.1\",\"port\":{port},\"uris\":[\"{host}\"],\"app\":\"app\"{more}}}"
    )
}
