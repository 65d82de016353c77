//! A router with its own bus and log, endpoints that follow a script, clients that see every byte.

mod silent;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lattice_daemon::bus::{Bus, InProcessBus};
use lattice_daemon::clock::{Clock, SystemClock};
use lattice_daemon::log_ingress::{self, ChannelEgress};
use lattice_daemon::tasks::Tasks;
use lattice_model::envelope::Message;
use lattice_model::wire::registration::{REGISTER, Registration, UNREGISTER};
use lattice_router::{Config, Handle, Listener, Side};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) use silent::Silent;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running router.
pub(crate) struct World {
    pub(crate) router: Handle,
    pub(crate) addr: SocketAddr,
    pub(crate) bus: Arc<InProcessBus>,
    pub(crate) tasks: Tasks,
    pub(crate) logs: ChannelEgress,
}

/// An endpoint that follows a script on each connection.
pub(crate) struct Endpoint {
    pub(crate) addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    ends: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

/// One end of a connection.
pub(crate) struct Wire<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// The loopback address with a free port.
pub(crate) fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Waits for a level.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let what = what.to_owned();
    async move {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "never: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

// === impl World ===

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::by(Arc::new(SystemClock), change).await
    }

    /// One that takes the time from this clock.
    pub(crate) async fn by(clock: Arc<dyn Clock>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("test");
        config.workers = 2;
        config.listeners = vec![Listener { addr: anywhere(), side: Side::Public, is_tls: false }];
        change(&mut config);
        let (tasks, bus) = (Tasks::default(), Arc::new(InProcessBus::default()));
        let (ingress, logs) = log_ingress::channel();
        let router =
            lattice_router::start(config, bus.clone(), Arc::new(ingress), clock, &tasks).await;
        let router = router.unwrap();
        let addr = router.listeners()[0].addr;
        Self { router, addr, bus, tasks, logs }
    }

    /// Announces an endpoint of the app `web`, instance 0.
    pub(crate) async fn route(&self, uri: &str, addr: SocketAddr) {
        self.register(&registration(uri, addr)).await;
    }

    pub(crate) async fn register(&self, registration: &Registration) {
        self.publish(REGISTER, registration);
        let port = match registration.tls_port {
            0 => registration.port,
            port => port,
        };
        let address = format!("{}:{port}", registration.host);
        let uri = registration.uris[0].clone();
        eventually("the route is visible", || {
            let routes = self.router.routes();
            routes.get(&uri).is_some_and(|all| all.iter().any(|e| e.address == address))
        })
        .await;
    }

    pub(crate) async fn unregister(&self, uri: &str, addr: SocketAddr) {
        self.publish(UNREGISTER, &registration(uri, addr));
        let address = addr.to_string();
        eventually("the route is gone", || {
            let routes = self.router.routes();
            routes.get(uri).is_none_or(|all| all.iter().all(|e| e.address != address))
        })
        .await;
    }

    pub(crate) fn publish(&self, subject: &str, registration: &Registration) {
        self.bus.publish(subject, &serde_json::to_vec(registration).unwrap());
    }

    pub(crate) async fn client(&self) -> Wire {
        Wire::connect(self.addr).await
    }

    /// One request on a connection of its own, up to the end of the answer.
    pub(crate) async fn ask(&self, request: &str) -> Response {
        let mut client = self.client().await;
        client.send(request).await;
        client.response().await
    }

    pub(crate) async fn get(&self, host: &str, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }

    /// The body that a tenant of `web.test` gets.
    pub(crate) async fn ask_for(&self, tenant: u32) -> String {
        let request = format!("GET / HTTP/1.1\r\nHost: web.test\r\nX-Tenant: {tenant}\r\n\r\n");
        self.ask(&request).await.text().to_owned()
    }

    /// The next access line.
    pub(crate) async fn line(&mut self) -> String {
        let next = tokio::time::timeout(PATIENCE, self.logs.envelopes.recv()).await;
        let envelope = next.expect("an access line").expect("the router runs");
        let Message::Log(log) = envelope.message else { panic!("a log line") };
        assert_eq!(&*log.source_type, "RTR");
        assert_eq!(&*envelope.source_id, "web");
        String::from_utf8(log.payload.to_vec()).unwrap()
    }

    /// Whether no access line waits.
    pub(crate) fn has_no_line(&mut self) -> bool {
        self.logs.envelopes.try_recv().is_err()
    }
}

pub(crate) fn registration(uri: &str, addr: SocketAddr) -> Registration {
    Registration {
        host: addr.ip().to_string(),
        port: addr.port(),
        uris: vec![uri.to_owned()],
        app: "web".to_owned(),
        private_instance_id: "guid-0".to_owned(),
        private_instance_index: "0".to_owned(),
        ..Registration::default()
    }
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) async fn new<F, R>(script: F) -> Self
    where
        F: Fn(Wire) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(anywhere()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let ends = Arc::new(AtomicUsize::new(0));
        let (counted, ended) = (connections.clone(), ends.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // What a script sends is sent then, and not when the last of it was acknowledged.
                let _ = stream.set_nodelay(true);
                counted.fetch_add(1, Ordering::Relaxed);
                let (work, ended) = (script(Wire { stream, buffer: Vec::new() }), ended.clone());
                tokio::spawn(async move {
                    work.await;
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self { addr, connections, ends, accepting }
    }

    /// As [`Endpoint::new`], under TLS; a connection whose handshake fails has no script.
    pub(crate) async fn secured<F, R>(tls: rustls::ServerConfig, script: F) -> Self
    where
        F: Fn(Wire<TlsStream<TcpStream>>) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let (acceptor, script) = (TlsAcceptor::from(Arc::new(tls)), Arc::new(script));
        Self::new(move |wire| {
            let (acceptor, script) = (acceptor.clone(), script.clone());
            async move {
                if let Ok(stream) = acceptor.accept(wire.into_stream()).await {
                    script(Wire::over(stream)).await;
                }
            }
        })
        .await
    }

    /// Answers every request with 200 and this body.
    pub(crate) async fn saying(body: &'static str) -> Self {
        Self::new(move |mut wire| async move {
            while wire.request().await.is_some() {
                wire.answer(body).await;
            }
        })
        .await
    }

    /// Answers with the head it was sent.
    pub(crate) async fn echoing_heads() -> Self {
        Self::new(|mut wire| async move {
            while let Some(request) = wire.request().await {
                wire.answer(&request.head).await;
            }
        })
        .await
    }

    /// An address that refuses connections.
    pub(crate) async fn refusing() -> SocketAddr {
        TcpListener::bind(anywhere()).await.unwrap().local_addr().unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many connections' scripts have come to their end.
    pub(crate) fn ends(&self) -> usize {
        self.ends.load(Ordering::Relaxed)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

// === impl Wire ===

impl Wire {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Ends the connection with a reset instead of an orderly end.
    pub(crate) fn reset(self) {
        let socket = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        socket.unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn into_stream(self) -> S {
        assert!(self.buffer.is_empty());
        self.stream
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    pub(crate) async fn answer(&mut self, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = self.try_send(head + body).await;
    }

    /// More bytes; false at the end.
    async fn more(&mut self) -> bool {
        let mut chunk = vec![0; 64 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk)).await;
        match read.expect("bytes in time") {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                true
            }
        }
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Exactly `n` bytes, or fewer if the connection ends.
    pub(crate) async fn take(&mut self, n: usize) -> Vec<u8> {
        while self.buffer.len() < n && self.more().await {}
        let n = n.min(self.buffer.len());
        self.buffer.drain(..n).collect()
    }

    /// Reads and forgets `n` bytes; how many there were.
    pub(crate) async fn skip(&mut self, n: usize) -> usize {
        let mut skipped = self.buffer.len().min(n);
        self.buffer.drain(..skipped);
        let mut chunk = vec![0; 64 * 1024];
        while skipped < n {
            let want = chunk.len().min(n - skipped);
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk[..want])).await;
            match read.expect("bytes in time") {
                Ok(0) | Err(_) => return skipped,
                Ok(got) => skipped += got,
            }
        }
        skipped
    }

    /// A head with its empty line.
    pub(crate) async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = self.buffer.drain(..at + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// A whole request.
    pub(crate) async fn request(&mut self) -> Option<Response> {
        let head = self.head().await?;
        let body = self.body(&head, false).await;
        Some(Response { status: 0, head, body })
    }

    /// A whole answer; an informational one is skipped.
    pub(crate) async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    pub(crate) async fn response_to(&mut self, method: &str) -> Response {
        let head = self.head().await.expect("an answer");
        let status: u16 = head[9..12].parse().unwrap();
        let is_bodiless = method == "HEAD" || [101, 204, 304].contains(&status);
        let body = if is_bodiless { Vec::new() } else { self.body(&head, true).await };
        Response { status, head, body }
    }

    /// A body and its trailers as text: `body + Name: value`.
    pub(crate) async fn framed_body(&mut self, head: &str, is_response: bool) -> String {
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let (body, trailers) = if is_chunked {
            self.chunks().await
        } else {
            (self.body(head, is_response).await, Vec::new())
        };
        let trailers: String = trailers.iter().map(|line| format!(" + {line}")).collect();
        format!("{}{trailers}", String::from_utf8_lossy(&body))
    }

    async fn body(&mut self, head: &str, is_response: bool) -> Vec<u8> {
        let head = head.to_ascii_lowercase();
        if head.contains("transfer-encoding: chunked") {
            return self.chunks().await.0;
        }
        match header_in(&head, "content-length") {
            Some(length) => self.take(length.parse().unwrap()).await,
            None if is_response => self.rest().await,
            None => Vec::new(),
        }
    }

    async fn chunks(&mut self) -> (Vec<u8>, Vec<String>) {
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        loop {
            let size = self.line().await;
            let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
                return (body, trailers);
            };
            body.extend(self.take(size).await);
            if size == 0 {
                loop {
                    let line = self.line().await.trim().to_owned();
                    if line.is_empty() {
                        return (body, trailers);
                    }
                    trailers.push(line);
                }
            }
            self.line().await;
        }
    }

    pub(crate) async fn line(&mut self) -> String {
        while !self.buffer.contains(&b'\n') && self.more().await {}
        let end = self.buffer.iter().position(|&b| b == b'\n').map_or(self.buffer.len(), |i| i + 1);
        String::from_utf8(self.buffer.drain(..end).collect()).unwrap()
    }

    /// Whether the other end closes without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.rest().await.is_empty()
    }
}

// === impl Response ===

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header_in(&self.head, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn header_in(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}
