//! Many connections at once through each proxy: what one costs that stands still, and what is
//! still to be had beside them. They are held by processes of their own, because a process has only
//! so many files.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::fronts::{HOST, SERVER_PORT, serve};
use super::load::Load;
use super::proxies::{Case, Proxy, compare};
use crate::alone::{self, Alone, Ends, start};
use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::Sides;
use crate::peers::{Backend, Peer};

const MANY: usize = 10_000;
/// What a proxy needs beside its connections.
const FILES_BESIDE: usize = 600;
/// So many are opened at once.
const AT_ONCE: usize = 100;
/// A message of a websocket, as far as a proxy is concerned.
const MESSAGE: [u8; 128] = [b'm'; 128];
/// Where what one proxy leads to says everything back; those of the next are higher by one.
const ECHO_PORT: u16 = 19101;

/// Key and answer are those of RFC 6455 1.3.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const IDLE: &str = "idle";
const UPGRADED: &str = "upgraded";

/// Who holds connections, and says so.
struct Holder {
    _process: Ends,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

pub(super) fn run(effort: Effort, files: usize, sides: &Sides) {
    let dir = tempfile::tempdir().unwrap();
    let _server = serve(dir.path());
    idle((effort, sides), dir.path());
    // An upgraded connection is two of a proxy's files.
    upgraded((effort, sides), dir.path(), MANY.min(files.saturating_sub(FILES_BESIDE) / 2));
}

/// Connections that are kept after one request, and requests on others beside them.
fn idle((effort, sides): (Effort, &Sides), dir: &Path) {
    let name = "alone-idle-10k";
    let backend = backend(format!("127.0.0.1:{SERVER_PORT}"), dir, sides);
    let peers = [Peer::nginx(&backend), Peer::haproxy(&backend)];
    let router = Alone::plain(0, sides.workers);
    router.route(HOST, &backend.address);
    let mut proxies = all(&peers, &router, sides);
    let _held = hold(name, (IDLE, MANY), &proxies);
    let load = Load::Http1 { connections: 50, words: &[], script: "" };
    let case = Case { name, scheme: "http", host: HOST, path: "/kilobyte", load };
    compare(case, &mut proxies, effort, dir);
}

/// Connections that were upgraded, and messages over all of them.
fn upgraded((effort, sides): (Effort, &Sides), dir: &Path, count: usize) {
    let name = "alone-websockets-10k";
    let _echoes = [0, 1, 2].map(|nth| {
        let echo = start(&itself(), &["--echo", &(ECHO_PORT + nth).to_string()]);
        alone::listens(ECHO_PORT + nth);
        echo
    });
    let to = |nth| backend(format!("127.0.0.1:{}", ECHO_PORT + nth), dir, sides);
    let peers = [Peer::nginx(&to(0)), Peer::haproxy(&to(1))];
    let router = Alone::plain(0, sides.workers);
    router.route(HOST, &to(2).address);
    let proxies = all(&peers, &router, sides);
    let mut held = hold(name, (UPGRADED, count), &proxies);
    speak((name, count), &mut held, &proxies, effort);
}

fn backend(address: String, dir: &Path, sides: &Sides) -> Backend {
    let (dir, workers) = (dir.into(), sides.workers);
    Backend { address, is_logged: false, certificate: None, dir, workers }
}

fn all(peers: &[Peer], router: &Alone, sides: &Sides) -> Vec<Proxy> {
    let ours = Proxy::new("lattice", router.port(), vec![router.pid()]);
    let all = peers.iter().map(Proxy::of).chain([ours]);
    all.map(|proxy| proxy.keep_to(sides)).collect()
}

/// Opens many connections through each, and prints how much memory one costs there.
fn hold(case: &str, (kind, count): (&str, usize), all: &[Proxy]) -> Vec<Holder> {
    let (mut held, mut bytes) = (Vec::new(), Vec::new());
    for proxy in all {
        eprintln!("{case}: {count} connections through {}", proxy.name);
        let before = proxy.memory_mb();
        held.push(Holder::start(proxy.port, count, kind));
        bytes.push((proxy.memory_mb() - before) * 1e6 / count as f64);
    }
    let Some((ours, theirs)) = bytes.split_last() else { return held };
    Figure { bench: "router", case, metric: "connections", unit: "" }.print(&[count as f64]);
    let figure = Figure { bench: "router", case, metric: "memory_per_connection", unit: "B" };
    for (peer, their) in all.iter().zip(theirs) {
        figure.print_below(&[*ours], peer.name, &[*their]);
    }
    held
}

/// Messages there and back over all of them.
fn speak((case, count): (&str, usize), held: &mut [Holder], all: &[Proxy], effort: Effort) {
    let mut per_cpu_second: Vec<Vec<f64>> = vec![Vec::new(); all.len()];
    for round in 1..=effort.rounds {
        eprintln!("{case}: round {round} of {}", effort.rounds);
        for ((proxy, holder), rounds) in all.iter().zip(&mut *held).zip(&mut per_cpu_second) {
            let before = proxy.cpu();
            holder.order("speak");
            let spent = (proxy.cpu() - before).max(Duration::from_millis(1));
            rounds.push(count as f64 / spent.as_secs_f64());
        }
    }
    let Some((ours, theirs)) = per_cpu_second.split_last() else { return };
    let figure = Figure { bench: "router", case, metric: "messages_per_cpu_s", unit: "1/s" };
    for (peer, theirs) in all.iter().zip(theirs) {
        figure.print_beside(ours, peer.name, theirs);
    }
}

fn itself() -> String {
    std::env::current_exe().unwrap().to_str().unwrap().to_owned()
}

// === impl Holder ===

impl Holder {
    fn start(port: u16, count: usize, kind: &str) -> Self {
        let mut process: Child = Command::new(itself())
            .args(["--hold", &port.to_string(), &count.to_string(), kind])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut holder = Self { _process: Ends(process), orders, answers };
        holder.hear();
        holder
    }

    fn order(&mut self, what: &str) {
        writeln!(self.orders, "{what}").unwrap();
        self.hear();
    }

    fn hear(&mut self) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line, "done\n", "a holder of connections ended");
    }
}

/// Holds connections for another process, and sends messages over them when it says so.
pub(crate) fn child(port: &str, count: &str, kind: &str) -> ExitCode {
    alone::open_many_files();
    let (port, count) = (port.parse().unwrap(), count.parse().unwrap());
    let asks = if kind == UPGRADED { UPGRADE } else { "" };
    let asks = format!("GET /kilobyte HTTP/1.1\r\nHost: {HOST}\r\n{asks}\r\n");
    let runtime = runtime();
    let mut streams = runtime.block_on(open(port, count, &asks));
    println!("done");
    for line in io::stdin().lock().lines() {
        assert_eq!(line.unwrap(), "speak");
        runtime.block_on(async {
            for some in streams.chunks_mut(AT_ONCE) {
                let spoken = some.iter_mut().map(exchange);
                futures_util::future::try_join_all(spoken).await.unwrap();
            }
        });
        println!("done");
    }
    ExitCode::SUCCESS
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn open(port: u16, count: usize, asks: &str) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    while streams.len() < count {
        let mut opening = JoinSet::new();
        for _ in 0..AT_ONCE.min(count - streams.len()) {
            let asks = asks.to_owned();
            opening.spawn(async move { ask(port, &asks).await.unwrap() });
        }
        streams.extend(opening.join_all().await);
    }
    streams
}

/// A connection that was asked for something, and has answered.
async fn ask(port: u16, asks: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    stream.set_nodelay(true)?;
    stream.write_all(asks.as_bytes()).await?;
    let head = head(&mut stream).await?.to_ascii_lowercase();
    assert!(["101", "200"].iter().any(|status| head[9..].starts_with(status)), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|text| text.parse().ok()).unwrap_or(0);
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(stream)
}

/// The next head, and not a byte more.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn exchange(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&MESSAGE).await?;
    stream.read_exact(&mut [0; MESSAGE.len()]).await.map(drop)
}

/// Upgrades every connection, and says everything back.
pub(crate) fn echo_child(port: &str) -> ExitCode {
    alone::open_many_files();
    runtime().block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).await.unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    ExitCode::SUCCESS
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    head(&mut stream).await?;
    stream.write_all(SWITCHES.as_bytes()).await?;
    let mut bytes = [0; MESSAGE.len()];
    loop {
        match stream.read(&mut bytes).await? {
            0 => return Ok(()),
            n => stream.write_all(&bytes[..n]).await?,
        }
    }
}
