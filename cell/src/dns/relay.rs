//! Asks the host's own name servers, in their order, and passes on what they say as it is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tracing::debug;

use super::{MESSAGE_BYTES_MAX, PORT, name_servers, read_message, write_message};

/// How long one name server may take before the next is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// Name servers that are asked for one question.
const SERVERS_MAX: usize = 3;

/// Whom to ask.
#[derive(Debug, Clone)]
pub enum Relay {
    /// The servers a `resolv.conf` names when a question comes, but not this one itself.
    Host {
        /// The file.
        resolv_conf: PathBuf,
        /// The name server that relays.
        own: IpAddr,
    },
    /// These.
    Servers(Vec<SocketAddr>),
}

/// How a question came, and how it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A datagram; a long answer is cut, and asked for again by TCP.
    Udp,
    /// A connection.
    Tcp,
}

// === impl Relay ===

impl Relay {
    /// The first answer; `None` when no name server gives one.
    pub async fn ask(&self, query: &[u8], carrier: Carrier) -> Option<Vec<u8>> {
        for server in self.servers().await.into_iter().take(SERVERS_MAX) {
            let asked = async {
                match carrier {
                    Carrier::Udp => ask_by_udp(query, server).await,
                    Carrier::Tcp => ask_by_tcp(query, server).await,
                }
            };
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(why)) => debug!(%server, %why, "a name server cannot be asked"),
                Err(_) => debug!(%server, "a name server is silent"),
            }
        }
        None
    }

    async fn servers(&self) -> Vec<SocketAddr> {
        match self {
            Self::Servers(servers) => servers.clone(),
            Self::Host { resolv_conf, own } => {
                let text = tokio::fs::read_to_string(resolv_conf).await.unwrap_or_default();
                let others = name_servers(&text).into_iter().filter(|server| server != own);
                others.map(|server| SocketAddr::new(server, PORT)).collect()
            }
        }
    }
}

/// Asks under another number from a port of its own, so that answers cannot be guessed.
async fn ask_by_udp(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let number: [u8; 2] = rand::random();
    socket.send(&numbered(query, number)).await?;
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if buffer[..length].starts_with(&number) {
            return Ok(numbered(&buffer[..length], number_of(query)));
        }
    }
}

async fn ask_by_tcp(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect(server).await?;
    write_message(&mut connection, query).await?;
    let answer = read_message(&mut connection).await?;
    match answer.starts_with(&number_of(query)) {
        true => Ok(answer),
        false => Err(io::Error::other("it answers another question")),
    }
}

fn number_of(message: &[u8]) -> [u8; 2] {
    message.first_chunk().copied().unwrap_or_default()
}

/// The same message under another number.
fn numbered(message: &[u8], number: [u8; 2]) -> Vec<u8> {
    let mut message = message.to_vec();
    if let Some(place) = message.first_chunk_mut() {
        *place = number;
    }
    message
}
