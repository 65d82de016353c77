//! Backends that follow a script, and note what they see.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use rustls::{ServerConnection, StreamOwned};

use super::framing;
use super::trust::{Proof, TRUST};
use crate::process::PATIENCE;

/// What a backend does.
#[derive(Clone, Copy)]
pub(crate) enum Script {
    /// It answers, request by request, the last answer again and again.
    Answers(&'static [&'static str]),
    /// The same under TLS, with this certificate.
    Secured(Proof, &'static [&'static str]),
    /// Nobody listens there.
    Refuses,
}

/// Instead of an answer: the connection ends.
pub(crate) const HANGS_UP: &str = "";
/// Instead of an answer: the connection is reset.
pub(crate) const RESETS: &str = "\0resets";
/// Instead of an answer: nothing, for ever.
pub(crate) const SAYS_NOTHING: &str = "\0says nothing";

/// What backends of a row saw: which one, and a message.
pub(super) type Seen = Arc<Mutex<Vec<(usize, String)>>>;

/// A backend.
pub(super) struct Backend {
    pub(super) port: u16,
    connections: Arc<AtomicUsize>,
}

/// How a backend answers.
struct Part {
    nth: usize,
    answers: &'static [&'static str],
    given: AtomicUsize,
    seen: Seen,
}

/// One end of a connection, in clear or not.
trait Stream: Read + std::io::Write {
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }
}

impl Backend {
    pub(super) fn new(script: Script, nth: usize, seen: &Seen) -> Self {
        let (answers, tls) = match script {
            Script::Answers(answers) => (answers, None),
            Script::Secured(proof, answers) => (answers, Some(TRUST.server(proof))),
            Script::Refuses => return Self { port: dead_port(), connections: Arc::default() },
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::<AtomicUsize>::default();
        let part = Arc::new(Part { nth, answers, given: AtomicUsize::new(0), seen: seen.clone() });
        let count = connections.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Relaxed);
                let (part, tls) = (part.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => part.play(stream),
                    Some(tls) => {
                        let server = ServerConnection::new(tls).unwrap();
                        part.play(StreamOwned::new(server, stream));
                    }
                });
            }
        });
        Self { port, connections }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }
}

impl Part {
    fn play(&self, mut stream: impl Stream) {
        let _ = stream.tcp().set_nodelay(true);
        let mut buffer = Vec::new();
        while let Some(request) = framing::request(&mut stream, &mut buffer) {
            let request = String::from_utf8_lossy(&request).into_owned();
            let is_held = request.split(' ').nth(1) == Some("/hold");
            let stays = is_held_open(&request);
            self.seen.lock().unwrap().push((self.nth, request));
            let answer = match is_held {
                true => SAYS_NOTHING,
                false => {
                    let given = self.given.fetch_add(1, Relaxed);
                    self.answers.get(given).or(self.answers.last()).copied().unwrap_or(HANGS_UP)
                }
            };
            if !give(&mut stream, answer) && !stays {
                return;
            }
        }
    }
}

/// Whether a request, or a line about it, is for what is answered and goes on: whatever the answer
/// says, the backend ends nothing.
pub(super) fn is_held_open(text: &str) -> bool {
    text.contains(" /held ")
}

/// Answers; whether the connection stays.
fn give(stream: &mut impl Stream, answer: &str) -> bool {
    match answer {
        HANGS_UP => false,
        RESETS => {
            let _ = rustix::net::sockopt::set_socket_linger(
                stream.tcp(),
                Some(std::time::Duration::ZERO),
            );
            false
        }
        SAYS_NOTHING => {
            let _ = stream.tcp().set_read_timeout(Some(2 * PATIENCE));
            let _ = stream.read(&mut [0; 64]);
            false
        }
        answer => {
            stream.write_all(answer.as_bytes()).is_ok() && stream.flush().is_ok() && stays(answer)
        }
    }
}

/// Whether a backend keeps its connection after this answer.
fn stays(answer: &str) -> bool {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
    let is_framed = head.contains("content-length") || head.contains("transfer-encoding");
    let is_bodiless = [" 204", " 304"].iter().any(|status| head.contains(status));
    (is_framed || is_bodiless) && !head.contains("connection: close")
}

/// A port where nobody listens: those below 1024 are given to nobody unasked.
fn dead_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(200);
    loop {
        let port = NEXT.fetch_add(1, Relaxed);
        if TcpStream::connect(("127.0.0.1", port)).is_err() {
            return port;
        }
    }
}
