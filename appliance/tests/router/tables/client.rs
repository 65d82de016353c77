//! A client that sees every byte.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::framing;
use super::trust::TRUST;
use crate::process::PATIENCE;

/// How a client comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// In clear.
    Plain,
    /// Under TLS.
    Tls,
    /// Under TLS, with a certificate of its own.
    MutualTls,
}

/// The router's two doors.
#[derive(Clone, Copy)]
pub(super) struct Doors {
    pub(super) plain: u16,
    pub(super) tls: u16,
}

/// A connection.
pub(super) struct Client {
    stream: Box<dyn Both>,
    tcp: TcpStream,
    buffer: Vec<u8>,
}

trait Both: Read + Write {}
impl<S: Read + Write> Both for S {}

impl Client {
    pub(super) fn new(doors: Doors, over: Over, announces: &str) -> Self {
        let port = if over == Over::Plain { doors.plain } else { doors.tls };
        let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut own = tcp.try_clone().unwrap();
        own.write_all(announces.as_bytes()).unwrap();
        let stream: Box<dyn Both> = match over {
            Over::Plain => Box::new(own),
            Over::Tls | Over::MutualTls => {
                let name = ServerName::try_from("router.test").unwrap();
                let config = TRUST.client(over == Over::MutualTls);
                Box::new(StreamOwned::new(ClientConnection::new(config, name).unwrap(), own))
            }
        };
        Self { stream, tcp, buffer: Vec::new() }
    }

    pub(super) fn send(&mut self, bytes: &str) {
        // Who hangs up upon the head may not take the rest.
        let _ = self.stream.write_all(bytes.as_bytes());
        let _ = self.stream.flush();
    }

    /// The answer with all that comes before it.
    pub(super) fn answer(&mut self, asked: &str) -> String {
        let is_to_head = asked.starts_with("HEAD ");
        let mut all = String::new();
        while let Some(message) = self.message(is_to_head) {
            all.push_str(&message);
            if message.get(9..10) != Some("1") || message.get(9..12) == Some("101") {
                break;
            }
        }
        all
    }

    /// Waits until a whole head has come.
    pub(super) fn begins(&mut self) {
        while !self.buffer.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            let mut chunk = [0; 1024];
            let n = self.stream.read(&mut chunk).expect("an answer begins");
            assert_ne!(n, 0, "the connection ended before an answer began");
            self.buffer.extend_from_slice(&chunk[..n]);
        }
    }

    /// The next message, informational or not; nothing if none comes.
    pub(super) fn message(&mut self, is_to_head: bool) -> Option<String> {
        let bytes = framing::answer(&mut self.stream, &mut self.buffer, is_to_head)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// All that comes until the connection ends.
    pub(super) fn rest(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.buffer);
        if let Err(error) = self.stream.read_to_end(&mut rest) {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "the connection stays: {rest:?}");
        }
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Whether the router has ended the connection, or will as soon as it has said what it says.
    pub(super) fn is_over(&mut self) -> bool {
        let ended = match self.stream.read(&mut [0; 1]) {
            Ok(n) => n == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        };
        self.buffer.is_empty() && ended
    }

    /// What is wrong with a connection that is to stay, as far as can be seen at once.
    pub(super) fn broken(&self) -> Option<String> {
        if !self.buffer.is_empty() {
            return Some(format!("more than the answer: {:?}", self.buffer));
        }
        self.tcp.set_nonblocking(true).unwrap();
        let peeked = self.tcp.peek(&mut [0; 1]);
        self.tcp.set_nonblocking(false).unwrap();
        (peeked.is_ok_and(|n| n == 0)).then(|| "the connection ended".to_owned())
    }
}
