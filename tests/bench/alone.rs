//! A router alone, the NATS that it hears, and the emitter that registers routes there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lattice_tests::machine::run;
use lattice_tests::{PATIENCE, eventually, expect, program};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

/// Ports of the first; those of the next are higher by one.
const NATS_PORT: u16 = 14222;
const PORT: u16 = 18080;
const METRICS_PORT: u16 = 18090;
/// So many messages go in one write, when they are to come at a pace.
const BURST_MILLIS: u64 = 10;
const FILES_MAX: u64 = 65_536;

/// The router and its NATS; both end with it.
pub(crate) struct Alone {
    router: Ends,
    _nats: Ends,
    _dir: tempfile::TempDir,
    /// Which of those that run at the same time.
    nth: u16,
}

/// A process that ends with its value.
pub(crate) struct Ends(pub(crate) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // Killed, one that has workers would leave them behind.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

// === impl Alone ===

impl Alone {
    /// The nth of those that run at the same time, with so many workers and these settings beside the
    /// usual: keys, in which ADDRESS is where it listens, and tables, in which DIR is a folder of its
    /// own.
    pub(crate) fn start((nth, workers): (u16, usize), keys: &str, tables: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("nats.log");
        let (nats_port, metrics_port) = (NATS_PORT + nth, METRICS_PORT + nth);
        let (port, log) = (nats_port.to_string(), log.to_str().unwrap());
        let nats = start("nats-server", &["-a", "127.0.0.1", "-p", &port, "-l", log]);
        listens(nats_port);
        let file = dir.path().join("router.toml");
        let keys = keys.replace("ADDRESS", &format!("127.0.0.1:{}", PORT + nth));
        let tables = tables.replace("DIR", dir.path().to_str().unwrap());
        let settings = format!(
            "workers = {workers}\n{keys}\n[lifecycle]\nstart_delay = \"0s\"\n\
             [nats]\nservers = [\"localhost:{nats_port}\"]\n[log]\nlevel = \"error\"\n\
             [status]\nmetrics = \"127.0.0.1:{metrics_port}\"\n{tables}\n"
        );
        std::fs::write(&file, settings).unwrap();
        let lattice = program("lattice");
        let words = ["router", "--config", file.to_str().unwrap()];
        let router = start(lattice.to_str().unwrap(), &words);
        listens(PORT + nth);
        Self { router, _nats: nats, _dir: dir, nth }
    }

    /// One that listens in clear, keeps clients for long and has no access lines.
    pub(crate) fn plain(nth: u16, workers: usize) -> Self {
        Self::start((nth, workers), "listen = [\"ADDRESS\"]", "[limits]\nkeep_alive_idle = \"10m\"")
    }

    /// Where it listens on loopback.
    pub(crate) fn port(&self) -> u16 {
        PORT + self.nth
    }

    /// A connection to its NATS that has said who it is. NATS ends it after some minutes, because
    /// nobody here answers its questions.
    pub(crate) fn emitter(&self) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", NATS_PORT + self.nth)).unwrap();
        stream.set_nodelay(true).unwrap();
        BufReader::new(&stream).read_line(&mut String::new()).unwrap();
        stream.write_all(b"CONNECT {\"verbose\":false}\r\n").unwrap();
        stream
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.router.0.id()).unwrap()
    }

    /// Has a host lead to an address.
    pub(crate) fn route(&self, host: &str, address: &str) {
        let before = self.routes();
        self.send(&[message("router.register", host, address)], 1);
        self.has_routes(before + 1);
    }

    /// Waits until it has so many routes.
    pub(crate) fn has_routes(&self, routes: usize) {
        eventually("the routes are there", PATIENCE, || {
            let there = self.routes();
            expect(there >= routes, there)
        });
    }

    /// How many routes it has.
    pub(crate) fn routes(&self) -> usize {
        let port = METRICS_PORT + self.nth;
        let page = run("curl", &["-sS", &format!("http://127.0.0.1:{port}/metrics")]);
        let line = page.lines().find_map(|line| line.strip_prefix("total_routes "));
        line.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }

    /// Sends messages at a pace, and returns how long that took.
    pub(crate) fn send(&self, messages: &[Vec<u8>], per_second: usize) -> Duration {
        let burst = (per_second * usize::try_from(BURST_MILLIS).unwrap() / 1000).max(1);
        let mut emitter = self.emitter();
        let begun = Instant::now();
        for (nth, some) in messages.chunks(burst).enumerate() {
            let due = Duration::from_millis(BURST_MILLIS * nth as u64);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
            emitter.write_all(&some.concat()).unwrap();
        }
        begun.elapsed()
    }
}

/// What says on NATS that a host leads to an address, or does no more.
pub(crate) fn message(subject: &str, host: &str, address: &str) -> Vec<u8> {
    let (ip, port) = address.rsplit_once(':').unwrap();
    let told = format!(
        "{{\"host\":\"{ip}\",\"port\":{port},\"uris\":[\"{host}\"],\"app\":\"web\",\
         \"private_instance_id\":\"{address}\",\"private_instance_index\":\"0\"}}"
    );
    format!("PUB {subject} {}\r\n{told}\r\n", told.len()).into_bytes()
}

/// Lets this process, and those it starts, have as many files open as they may; how many.
pub(crate) fn open_many_files() -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let files = maximum.unwrap_or(FILES_MAX).min(FILES_MAX);
    let wanted = Rlimit { current: Some(files), maximum };
    setrlimit(Resource::Nofile, wanted).expect("it is within the bounds");
    usize::try_from(files).unwrap()
}

pub(crate) fn start(program: &str, words: &[&str]) -> Ends {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    Ends(command.spawn().unwrap_or_else(|e| panic!("cannot run {program}: {e}")))
}

pub(crate) fn listens(port: u16) {
    eventually("it listens", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).map(drop));
}
