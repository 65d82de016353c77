//! A syslog server that lines are sent to.

use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::{Duration, Instant};

use lattice_model::Envelope;
use lattice_model::envelope::{Log, Message};
use serde::Deserialize;
use tracing::warn;

use crate::access_log;
use crate::alone::agent::socket_to;

/// User-level messages, informational (RFC 5424 6.2.1).
const PRIORITY: u8 = 14;
/// How long a server that is gone is left alone.
const REST: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A syslog server that takes RFC 5424.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Syslog {
    /// `udp` or `tcp`.
    pub network: Network,
    /// `host:port`.
    pub address: String,
    /// Who writes.
    #[serde(default = "gorouter")]
    pub tag: String,
    /// The longest message in bytes, without what ends it; longer ones are cut. 0 for any length.
    #[serde(default)]
    pub bytes_max: usize,
}

/// How a syslog server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// A datagram for each line.
    Udp,
    /// A stream, each line ended by a line feed, as gorouter writes it (RFC 6587 3.4.2).
    Tcp,
}

fn gorouter() -> String {
    "gorouter".to_owned()
}

/// The way to a syslog server.
pub(super) struct Stream {
    syslog: Syslog,
    host: String,
    connected: Option<Connected>,
    failed_at: Option<Instant>,
}

enum Connected {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Stream {
    pub(super) fn new(syslog: Syslog) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { syslog, host, connected: None, failed_at: None }
    }

    /// Whether it was sent.
    pub(super) fn send(&mut self, envelope: &Envelope) -> bool {
        let Message::Log(log) = &envelope.message else { return true };
        if self.failed_at.is_some_and(|at| at.elapsed() < REST) {
            return false;
        }
        let message = message(&self.syslog, &self.host, envelope, log);
        let sent = self.try_send(message);
        if let Err(error) = &sent {
            warn!(%error, address = self.syslog.address, "access lines do not reach syslog");
            (self.connected, self.failed_at) = (None, Some(Instant::now()));
        }
        sent.is_ok()
    }

    fn try_send(&mut self, mut message: Vec<u8>) -> io::Result<()> {
        let connected = match &mut self.connected {
            Some(connected) => connected,
            none => none.insert(self.syslog.connect()?),
        };
        match connected {
            Connected::Udp(socket) => socket.send(&message).map(drop),
            Connected::Tcp(stream) => {
                // Lines hold no other line feed: what clients send is quoted in them.
                if !message.ends_with(b"\n") {
                    message.push(b'\n');
                }
                stream.write_all(&message)
            }
        }
    }
}

impl Syslog {
    fn connect(&self) -> io::Result<Connected> {
        let mut addrs = self.address.to_socket_addrs()?;
        let addr = addrs.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
        match self.network {
            Network::Udp => socket_to(addr).map(Connected::Udp),
            Network::Tcp => {
                let stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                Ok(Connected::Tcp(stream))
            }
        }
    }
}

/// `<14>1 TIME HOST TAG PID - - LINE`.
fn message(syslog: &Syslog, host: &str, envelope: &Envelope, log: &Log) -> Vec<u8> {
    let mut head = format!("<{PRIORITY}>1 ");
    access_log::timestamp(&mut head, envelope.timestamp);
    head.push_str(&format!(" {host} {} {} - - ", syslog.tag, std::process::id()));
    let mut message = head.into_bytes();
    message.extend_from_slice(&log.payload);
    if syslog.bytes_max > 0 {
        message.truncate(syslog.bytes_max);
    }
    message
}
