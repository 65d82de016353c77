//! The instances' name server, on the address they see this host under. `NAME.apps.internal`, and
//! `NAME.DOMAIN` where the domain is not under `localhost`, lead to the router, so that an app
//! reaches itself and others by name; all else is asked of the host's own name servers, those on
//! its loopback included.
//!
//! | Part | Is |
//! |---|---|
//! | [`zone`] | what is answered; pure |
//! | [`relay`] | what is asked elsewhere |
//! | [`turns`] | how much one instance may ask at once |

pub mod relay;
mod turns;
pub mod zone;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::tasks::Tasks;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use self::relay::{Carrier, Relay};
use self::turns::Turns;
use self::zone::{Reply, Zone};

/// Where name servers listen.
pub const PORT: u16 = 53;
/// The longest message a length of two bytes can announce.
const MESSAGE_BYTES_MAX: usize = u16::MAX as usize;
/// How long a TCP connection may rest between questions, or dawdle within one.
const CONNECTION_IDLE: Duration = Duration::from_secs(10);
/// Connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 64;

/// Both sockets of a name server that does not answer yet.
#[derive(Debug)]
pub struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

/// What every question needs.
struct Server {
    zone: Zone,
    relay: Relay,
    turns: Turns,
    shutdown: CancellationToken,
}

/// Takes the port before the address is there, so that nobody else can be reached at it.
pub fn take(address: SocketAddr) -> io::Result<Sockets> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let bound = |kind| -> rustix::io::Result<_> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, kind, flags, None)?;
        sockopt::set_ip_freebind(&socket, true)?;
        if kind == SocketType::STREAM {
            // Connections of an earlier process may still be ending.
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        bind(&socket, &address)?;
        Ok(socket)
    };
    let (udp, tcp) = (bound(SocketType::DGRAM)?, bound(SocketType::STREAM)?);
    listen(&tcp, BACKLOG)?;
    Ok(Sockets { udp: udp.into(), tcp: tcp.into() })
}

/// Answers until shutdown.
pub fn serve(sockets: Sockets, zone: Zone, relay: Relay, tasks: &Tasks) -> io::Result<()> {
    let udp = Arc::new(tokio::net::UdpSocket::from_std(sockets.udp)?);
    let tcp = tokio::net::TcpListener::from_std(sockets.tcp)?;
    let shutdown = tasks.shutdown().clone();
    let server = Arc::new(Server { zone, relay, turns: Turns::default(), shutdown });
    tasks.critical("names-udp", Arc::clone(&server).serve_udp(udp));
    tasks.critical("names-tcp", server.serve_tcp(tcp));
    Ok(())
}

// === impl Server ===

impl Server {
    async fn serve_udp(self: Arc<Self>, socket: Arc<tokio::net::UdpSocket>) {
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        loop {
            let received = tokio::select! {
                received = socket.recv_from(&mut buffer) => received,
                () = self.shutdown.cancelled() => return,
            };
            // An error here is about an answer that did not arrive; the next question may.
            let Ok((length, from)) = received else { continue };
            let query = buffer[..length].to_vec();
            match self.zone.reply(&query) {
                Reply::Silence => {}
                Reply::Known(answer) => {
                    let _ = socket.send_to(&answer, from).await;
                }
                Reply::Elsewhere => {
                    let (server, socket) = (Arc::clone(&self), Arc::clone(&socket));
                    let Some(turn) = self.turns.take(from.ip()) else {
                        let _ = socket.send_to(&zone::refusal(&query), from).await;
                        continue;
                    };
                    tokio::spawn(async move {
                        let _turn = turn;
                        let answer = server.relay.ask(&query, Carrier::Udp).await;
                        let answer = answer.unwrap_or_else(|| zone::failure(&query));
                        let _ = socket.send_to(&answer, from).await;
                    });
                }
            }
        }
    }

    async fn serve_tcp(self: Arc<Self>, listener: tokio::net::TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.cancelled() => return,
            };
            let Ok((connection, from)) = accepted else {
                // Out of descriptors: others free some.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            // One who has enough connections loses the newest.
            let Some(turn) = self.turns.take(from.ip()) else { continue };
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                let _turn = turn;
                tokio::select! {
                    _ = server.converse(connection) => {}
                    () = server.shutdown.cancelled() => {}
                }
            });
        }
    }

    /// Answers one question after another.
    async fn converse(&self, mut connection: TcpStream) -> io::Result<()> {
        loop {
            let read = read_message(&mut connection);
            let query = tokio::time::timeout(CONNECTION_IDLE, read).await??;
            let answer = match self.zone.reply(&query) {
                Reply::Silence => return Ok(()),
                Reply::Known(answer) => answer,
                Reply::Elsewhere => {
                    let answer = self.relay.ask(&query, Carrier::Tcp).await;
                    answer.unwrap_or_else(|| zone::failure(&query))
                }
            };
            let write = write_message(&mut connection, &answer);
            tokio::time::timeout(CONNECTION_IDLE, write).await??;
        }
    }
}

/// Reads a message behind its length.
async fn read_message(connection: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = connection.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    connection.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes a message behind its length.
async fn write_message(connection: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    connection.write_all(&[&length.to_be_bytes(), message].concat()).await
}

/// The name servers of a `resolv.conf`, in its order.
pub fn name_servers(resolv_conf: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok())?
    };
    resolv_conf.lines().filter_map(server).collect()
}
