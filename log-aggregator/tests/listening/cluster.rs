//! A log-aggregator to listen to, and ways to do so.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lattice_api::log_aggregator::{EnvelopeStream, LogClient, LogReader as _};
use lattice_daemon::credentials::Admin;
use lattice_daemon::log_ingress::{ChannelIngress, LogIngress as _, channel};
use lattice_daemon::tasks::Tasks;
use lattice_log_aggregator::{Config, Handle, Limits, gate, start};
use lattice_model::envelope::{ContainerMetric, Log, Message as Told};
use lattice_model::wire::dropsonde;
use lattice_model::{Envelope, Time};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    pub(crate) handle: Handle,
    ingress: ChannelIngress,
    tasks: Tasks,
}

// === impl Cluster ===

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default(), None).await
    }

    pub(crate) async fn start_with(limits: Limits, admin: Option<Admin>) -> Self {
        lattice_daemon::install_crypto();
        let (ingress, egress) = channel();
        let tasks = Tasks::default();
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = Config { listen, gate: gate(admin), limits };
        let handle = start(config, egress, &tasks).await.unwrap();
        Self { handle, ingress, tasks }
    }

    pub(crate) fn client(&self) -> LogClient {
        self.client_as(None)
    }

    pub(crate) fn client_as(&self, credentials: Option<(&str, &str)>) -> LogClient {
        let url = format!("http://doppler.lattice.localhost:{}", self.handle.address().port());
        LogClient::new(url, credentials.map(|(user, pass)| (user.to_owned(), pass.to_owned())))
    }

    pub(crate) fn try_emit(&self, envelope: Envelope) -> bool {
        self.ingress.emit(envelope)
    }

    /// Emits, and waits until the owner has taken it.
    pub(crate) async fn emit(&self, envelope: Envelope) {
        assert!(self.try_emit(envelope));
        // Whoever asks is told all that was said before.
        self.handle.recent("nobody").await.unwrap();
    }

    /// The whole answer to a plain request, head and all.
    pub(crate) async fn get(&self, path: &str, headers: &[&str]) -> String {
        self.request("GET", path, headers).await
    }

    pub(crate) async fn request(&self, method: &str, path: &str, headers: &[&str]) -> String {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n");
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.handle.address()).await.unwrap()
    }

    pub(crate) async fn websocket(&self, path: &str) -> WebSocketStream<TcpStream> {
        let url = format!("ws://{}{path}", self.handle.address());
        client_async(url, self.connect().await).await.unwrap().0
    }

    /// An upgraded connection that answers nothing.
    pub(crate) async fn silent_websocket(&self, path: &str) -> TcpStream {
        let mut stream = self.connect().await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        stream
    }

    pub(crate) async fn end(&self) -> bool {
        self.tasks.end(Duration::from_secs(5)).await
    }
}

pub(crate) fn line(app_id: &str, text: &str) -> Envelope {
    Envelope::log(app_id.into(), "0".into(), Time(1), Log::out("APP".into(), text))
}

pub(crate) fn metric(app_id: &str, instance_index: i32, memory_bytes: u64) -> Envelope {
    let metric = ContainerMetric {
        instance_index,
        cpu_percentage: 0.5,
        memory_bytes,
        disk_bytes: 1,
        memory_bytes_quota: 2,
        disk_bytes_quota: 3,
        ..ContainerMetric::default()
    };
    Envelope {
        source_id: app_id.into(),
        instance_id: instance_index.to_string().into(),
        timestamp: Time(1),
        message: Told::ContainerMetric(metric),
    }
}

pub(crate) fn text(envelope: &Envelope) -> String {
    let Told::Log(log) = &envelope.message else { panic!("not a line: {envelope:?}") };
    String::from_utf8(log.payload.to_vec()).unwrap()
}

pub(crate) fn texts(envelopes: &[Envelope]) -> Vec<String> {
    envelopes.iter().map(text).collect()
}

/// How many lines a notice says were lost.
pub(crate) fn loss(text: &str) -> Option<usize> {
    text.split_once(" messages dropped")?.0.parse().ok()
}

/// Waits for a level; time only bounds it.
pub(crate) async fn eventually(mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < deadline, "not reached in time");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing came in time")
}

pub(crate) async fn next(stream: &mut EnvelopeStream) -> Envelope {
    in_time(stream.next()).await.expect("the stream has ended").unwrap()
}

pub(crate) async fn next_frame(socket: &mut WebSocketStream<TcpStream>) -> Envelope {
    loop {
        match in_time(socket.next()).await.expect("the websocket has ended").unwrap() {
            Message::Binary(bytes) => return dropsonde::decode(&bytes).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn close_code(socket: &mut WebSocketStream<TcpStream>) -> u16 {
    match in_time(socket.next()).await.expect("the websocket has ended").unwrap() {
        Message::Close(Some(frame)) => frame.code.into(),
        other => panic!("{other:?}"),
    }
}

/// Reads frames of less than 126 bytes until the closing one, and answers none; its code.
pub(crate) async fn raw_close(stream: &mut TcpStream) -> Option<u16> {
    loop {
        let opcode = in_time(stream.read_u8()).await.ok()? & 0x0f;
        let length = in_time(stream.read_u8()).await.ok()?;
        let mut payload = vec![0; length.into()];
        in_time(stream.read_exact(&mut payload)).await.ok()?;
        if opcode == 8 {
            return Some(u16::from_be_bytes([*payload.first()?, *payload.get(1)?]));
        }
    }
}
