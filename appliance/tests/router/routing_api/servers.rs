//! A routing API and a UAA on loopback, which answer as they are told.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use lattice_router::tls::{Identity, roots, status_server};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::process::{PATIENCE, eventually};

/// The routing API; it ends with its value.
pub(super) struct Api {
    server: Server,
    state: Arc<State>,
}

/// UAA, under TLS; it ends with its value.
pub(super) struct Uaa {
    server: Server,
    granted: Arc<Mutex<u32>>,
}

/// What the API says.
#[derive(Default)]
struct State {
    listing: Mutex<String>,
    /// The one token that it takes; any, and none, where this is empty.
    token: Mutex<String>,
    has_no_events: AtomicBool,
    streams: Mutex<Vec<Box<dyn Both>>>,
}

/// Answers requests, each on a thread and a connection of its own.
struct Server {
    port: u16,
    has_ended: Arc<AtomicBool>,
}

/// What is read of a request.
struct Request {
    /// Method and path.
    line: String,
    /// Names in lower case.
    head: String,
    body: String,
}

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

/// What is spoken with the certificates of a directory, to clients with one of theirs or to all.
pub(super) fn tls(dir: &Path, wants_clients: bool) -> Arc<ServerConfig> {
    let pem = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let identity = Identity::of_pem(&pem("cert.pem"), &pem("key.pem")).unwrap();
    let clients = wants_clients.then(|| roots(&pem("ca.pem")).unwrap());
    Arc::new(status_server(identity, clients).unwrap())
}

// === impl Api ===

impl Api {
    pub(super) fn start(listing: &str) -> Self {
        Self::start_with(listing, None)
    }

    pub(super) fn start_with(listing: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        let state = Arc::<State>::default();
        listing.clone_into(&mut state.listing.lock().unwrap());
        let told = state.clone();
        let server = Server::start(tls, move |request, stream| told.answer(&request, stream));
        Self { server, state }
    }

    pub(super) fn port(&self) -> u16 {
        self.server.port
    }

    pub(super) fn lists(&self, listing: &str) {
        listing.clone_into(&mut self.state.listing.lock().unwrap());
    }

    /// Waits until its events are followed.
    pub(super) fn is_followed(&self) {
        drop(self.followed());
    }

    pub(super) fn takes_token(&self, token: &str) {
        token.clone_into(&mut self.state.token.lock().unwrap());
    }

    /// Sends to all who follow, of whom there is one at least, or will be.
    pub(super) fn streams(&self, text: &str) {
        let mut streams = self.followed();
        streams.retain_mut(|stream| stream.write_all(text.as_bytes()).is_ok());
    }

    pub(super) fn says(&self, event: &str, route: &str) {
        self.streams(&format!("id: 0\nevent: {event}\ndata: {route}\n\n"));
    }

    /// Breaks off with all who follow.
    pub(super) fn breaks_off(&self) {
        self.followed().clear();
    }

    pub(super) fn has_no_more_events(&self) {
        let mut streams = self.followed();
        self.state.has_no_events.store(true, Ordering::SeqCst);
        streams.clear();
    }

    fn followed(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Both>>> {
        eventually("somebody follows", || !self.state.streams.lock().unwrap().is_empty());
        self.state.streams.lock().unwrap()
    }
}

impl State {
    fn answer(&self, request: &Request, mut stream: Box<dyn Both>) {
        let token = self.token.lock().unwrap().clone();
        let shown = format!("authorization: bearer {token}\n");
        if !token.is_empty() && !request.head.contains(&shown) {
            return answer(&mut *stream, "401 Unauthorized", "");
        }
        match &*request.line {
            "GET /routing/v1/routes" => {
                let listing = self.listing.lock().unwrap().clone();
                answer(&mut *stream, "200 OK", &listing);
            }
            "GET /routing/v1/events" if !self.has_no_events.load(Ordering::SeqCst) => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
                if stream.write_all(head.as_bytes()).is_ok() {
                    self.streams.lock().unwrap().push(stream);
                }
            }
            _ => answer(&mut *stream, "503 Service Unavailable", ""),
        }
    }
}

// === impl Uaa ===

impl Uaa {
    /// Gives `token-1`, then `token-2` and so on to `gorouter` with the secret `hush:hush`.
    pub(super) fn start(dir: &Path, expires_in: u32) -> Self {
        let granted = Arc::<Mutex<u32>>::default();
        let grants = granted.clone();
        let server = Server::start(Some(tls(dir, false)), move |request, mut stream| {
            // The secret is escaped: `gorouter:hush%3Ahush`.
            let is_ours = request.line == "POST /oauth/token"
                && request.head.contains("authorization: Basic Z29yb3V0ZXI6aHVzaCUzQWh1c2g=\n")
                && request.body == "grant_type=client_credentials&token_format=jwt";
            if !is_ours {
                return answer(&mut *stream, "401 Unauthorized", "");
            }
            let mut grants = grants.lock().unwrap();
            *grants += 1;
            let token = format!(
                "{{\"access_token\":\"token-{grants}\",\"token_type\":\"bearer\",\
                 \"expires_in\":{expires_in}}}"
            );
            answer(&mut *stream, "200 OK", &token);
        });
        Self { server, granted }
    }

    pub(super) fn port(&self) -> u16 {
        self.server.port
    }

    pub(super) fn granted(&self) -> u32 {
        *self.granted.lock().unwrap()
    }
}

fn answer(stream: &mut dyn Both, status: &str, body: &str) {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    // Whoever asked may have left.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    let _ = stream.flush();
}

// === impl Server ===

impl Server {
    fn start(
        tls: Option<Arc<ServerConfig>>,
        answers: impl Fn(Request, Box<dyn Both>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let has_ended = Arc::<AtomicBool>::default();
        let (ended, answers) = (has_ended.clone(), Arc::new(answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (tls, answers) = (tls.clone(), answers.clone());
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let mut stream: Box<dyn Both> = match tls {
                        Some(tls) => {
                            let connection = ServerConnection::new(tls).unwrap();
                            Box::new(StreamOwned::new(connection, stream))
                        }
                        None => Box::new(stream),
                    };
                    if let Some(request) = Request::read(&mut *stream) {
                        answers(request, stream);
                    }
                });
            }
        });
        Self { port, has_ended }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::SeqCst);
        // Wakes who accepts.
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Request {
    fn read(stream: &mut dyn Both) -> Option<Self> {
        let mut stream = BufReader::new(stream);
        let (mut line, mut head, mut length) = (String::new(), String::new(), 0);
        stream.read_line(&mut line).ok()?;
        loop {
            let mut next = String::new();
            if stream.read_line(&mut next).ok()? == 0 {
                return None;
            }
            let Some((name, value)) = next.trim_end().split_once(": ") else { break };
            let name = name.to_ascii_lowercase();
            if name == "content-length" {
                length = value.parse().ok()?;
            }
            head.push_str(&format!("{name}: {value}\n"));
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let line = line.split(" HTTP/").next()?.to_owned();
        Some(Self { line, head, body: String::from_utf8(body).ok()? })
    }
}
