//! One router's process after the other, on the same sockets and under load.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::nats::{Nats, free_port};
use crate::process::{PATIENCE, Router, eventually, file, instance, registration};

/// Clients at once.
const CLIENTS: usize = 8;
/// Every so many requests a client leaves its connection for a new one.
const REQUESTS_A_CONNECTION: usize = 25;

/// The files of routers that follow each other.
struct Stage {
    nats: Nats,
    dir: tempfile::TempDir,
    port: u16,
    tcp: u16,
}

impl Stage {
    fn new() -> Self {
        let stage = Self {
            nats: Nats::start(),
            dir: tempfile::tempdir().unwrap(),
            port: free_port(),
            tcp: free_port(),
        };
        let (health, metrics, nats) = (free_port(), free_port(), stage.nats.port);
        let (port, tcp) = (stage.port, stage.tcp);
        let ours = format!(
            "listen = [\"0.0.0.0:{port}\"]\nworkers = 3\n\
             [tcp]\nlisten = [\"127.0.0.1\"]\nports = [{tcp}, {tcp}]\n\
             [lifecycle]\nstart_delay = \"300ms\"\n[limits]\ndrain = \"20s\"\n\
             [status]\nhealth = \"127.0.0.1:{health}\"\nmetrics = \"127.0.0.1:{metrics}\"\n\
             [nats]\nservers = [\"localhost:{nats}\"]\nuser = \"nats\"\npassword = \"12345\"\n",
        );
        fs::write(stage.path("router.toml"), &ours).unwrap();
        fs::write(stage.path("fewer.toml"), ours.replace("workers = 3", "workers = 1")).unwrap();
        let more = format!(
            "start_response_delay_interval: 300ms\ndrain_timeout: 20s\ngo_max_procs: 2\n\
             status: {{port: {}, routes: {{port: {}}}}}\n",
            free_port(),
            free_port()
        );
        fs::write(stage.path("gorouter.yml"), file(&[&stage.nats], port, &more)).unwrap();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn begin(&self, option: &str, name: &str) -> Router {
        let (file, handover) = (self.path(name), self.path("handover"));
        let words = ["router", option, text(&file), "--handover", text(&handover)];
        Router::run(tempfile::tempdir().unwrap(), self.port, &words)
    }

    /// Runs the next one until it serves.
    fn next(&self, option: &str, name: &str) -> Router {
        let router = self.begin(option, name);
        eventually("it serves", || router.has_said("gorouter.started"));
        eventually("it can be followed", || router.has_said("a successor may take over"));
        router
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Tells all to stop, however the test ends.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client's connection, and whether the router has announced its end.
struct Connection {
    stream: TcpStream,
    is_over: bool,
}

impl Connection {
    fn new(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, is_over: false })
    }

    fn ask(&mut self) -> std::io::Result<()> {
        self.stream.write_all(b"GET / HTTP/1.1\r\nHost: web.test\r\n\r\n")?;
        let (mut answer, mut chunk) = (Vec::new(), [0; 1024]);
        while !answer.ends_with(b"\r\n\r\nweb") {
            match self.stream.read(&mut chunk)? {
                0 => return Err(std::io::Error::other(String::from_utf8_lossy(&answer))),
                n => answer.extend_from_slice(&chunk[..n]),
            }
        }
        let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        self.is_over = head.contains("connection: close");
        if head.starts_with("http/1.1 200") { Ok(()) } else { Err(std::io::Error::other(head)) }
    }
}

/// Asks again and again until told to stop; how often, or what went wrong first.
fn load(port: u16, stop: &AtomicBool, served: &AtomicUsize) -> Result<(), String> {
    while !stop.load(Ordering::Relaxed) {
        let mut connection = Connection::new(port).map_err(|e| format!("connect: {e}"))?;
        for n in 0..REQUESTS_A_CONNECTION {
            connection.ask().map_err(|e| format!("request {n} of a connection: {e}"))?;
            served.fetch_add(1, Ordering::Relaxed);
            if connection.is_over {
                break;
            }
        }
    }
    Ok(())
}

/// Repeats what routers have to hear, as an emitter does.
fn emit(nats: &Nats, port: u16, tcp: u16, stop: &AtomicBool) {
    let mut bus = nats.client();
    let web = registration("web.test", port, "");
    let tcp = format!("{{\"host\":\"127.0.0.1\",\"port\":{port},\"external_port\":{tcp}}}");
    while !stop.load(Ordering::Relaxed) {
        bus.publish("router.register", &web);
        bus.publish("router.register-tcp", &tcp);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn routers_follow_each_other_under_load_and_no_request_is_lost() {
    let stage = Stage::new();
    let (stop, web) = (AtomicBool::new(false), instance("web"));
    let served = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let mut router = stage.next("--config", "router.toml");
    let outcome: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let stopping = Stop(&stop);
        scope.spawn(|| emit(&stage.nats, web, stage.tcp, &stop));
        router.answers("web.test", 200);
        eventually("the TCP port is open", || Connection::new(stage.tcp).is_ok());
        let client = |n: usize| {
            let (port, served) = [(stage.port, &served[0]), (stage.tcp, &served[1])][n % 2];
            let stop = &stop;
            scope.spawn(move || load(port, stop, served))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        let goes_on = |what: &str| {
            let before = served[0].load(Ordering::Relaxed);
            eventually(what, || served[0].load(Ordering::Relaxed) > before + 200);
        };
        for name in ["fewer.toml", "router.toml", "router.toml"] {
            goes_on("requests are served before");
            let next = stage.next("--config", name);
            let before = std::mem::replace(&mut router, next);
            assert_eq!(before.wait().code(), Some(0));
            goes_on("requests are served after");
        }
        drop(stopping);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let lost: Vec<&String> = outcome.iter().filter_map(|ended| ended.as_ref().err()).collect();
    assert!(lost.is_empty(), "{lost:?} of {served:?}");
}

#[test]
fn gorouters_file_and_ours_may_follow_each_other() {
    let stage = Stage::new();
    let first = stage.next("-c", "gorouter.yml");
    let mut silent = TcpStream::connect(("127.0.0.1", stage.port)).unwrap();
    let second = stage.next("--config", "router.toml");
    silent.write_all(b"GET / HTTP/1.0\r\nHost: nobody.test\r\n\r\n").unwrap();
    let mut answer = String::new();
    silent.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 404 "), "who spoke late is heard: {answer:?}");
    assert_eq!(first.wait().code(), Some(0));
    let third = stage.next("-c", "gorouter.yml");
    assert_eq!(second.wait().code(), Some(0));
    assert_eq!(third.get("nobody.test").status, 404);
    let unwanted = "closed: the router before this one listened there";
    eventually("it says what it does not want", || third.has_said(unwanted));
    assert!(stage.path("handover").exists());
    third.signal("TERM");
    assert_eq!(third.wait().code(), Some(0));
    assert!(!stage.path("handover").exists());
}

#[test]
fn a_successor_that_dies_before_it_serves_changes_nothing() {
    let stage = Stage::new();
    let first = stage.next("-c", "gorouter.yml");
    let second = stage.begin("-c", "gorouter.yml");
    eventually("it has the sockets", || second.has_said("sockets taken from the router"));
    drop(second);
    eventually("the first notices", || first.has_said("a successor did not take over"));
    assert_eq!(first.get("nobody.test").status, 404);
    let third = stage.next("-c", "gorouter.yml");
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(third.get("nobody.test").status, 404);
}
