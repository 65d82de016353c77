//! The way to a metron agent: datagrams to wherever its name leads. The name is looked up at the
//! start and from time to time, beside those who send, so that nobody waits for it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use lattice_daemon::tasks::Tasks;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::names::Names;

/// How soon a name that led nowhere is looked up again.
const LOST_PAUSE: Duration = Duration::from_secs(5);
/// How soon one that led somewhere is.
const FOUND_PAUSE: Duration = Duration::from_secs(60);

/// Sends to an agent, once it is known where that is. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Agent {
    socket: watch::Receiver<Option<UdpSocket>>,
}

/// What keeps an agent's socket on the address that its name leads to.
struct Follower {
    name: String,
    socket: watch::Sender<Option<UdpSocket>>,
    /// Where the socket sends to.
    addr: Option<SocketAddr>,
    /// Whether the last look-up found nothing, which has been told.
    is_lost: bool,
}

// === impl Agent ===

impl Agent {
    /// The agent at `host:port`; the host is an address or a name.
    pub(super) fn at(name: &str, tasks: &Tasks) -> Self {
        let (mut follower, agent) = Follower::new(name);
        let fixed: Option<SocketAddr> = name.parse().ok();
        let is_there = fixed.is_some_and(|addr| follower.turn_to(&[addr]).is_ok());
        if !is_there {
            let shutdown = tasks.shutdown().clone();
            tasks.spawn("router-agent", async move {
                shutdown.run_until_cancelled(follower.run()).await;
            });
        }
        agent
    }

    /// Sends a datagram. As with every datagram, nobody says whether it arrived.
    pub(super) fn send(&self, datagram: &[u8]) {
        if let Some(socket) = &*self.socket.borrow() {
            let _ = socket.send(datagram);
        }
    }
}

// === impl Follower ===

impl Follower {
    fn new(name: &str) -> (Self, Agent) {
        let (socket, seen) = watch::channel(None);
        let follower = Self { name: name.to_owned(), socket, addr: None, is_lost: false };
        (follower, Agent { socket: seen })
    }

    /// Looks the name up again and again.
    async fn run(mut self) {
        loop {
            let found = look_up(&self.name).await;
            let pause = self.learn(found);
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes what a look-up came to; how long it is good for. A failure is told once, and changes
    /// nothing where there was a way before.
    fn learn(&mut self, found: io::Result<Vec<SocketAddr>>) -> Duration {
        match found.and_then(|addrs| self.turn_to(&addrs)) {
            Ok(()) => {
                if std::mem::take(&mut self.is_lost) {
                    info!(agent = self.name, addr = ?self.addr, "the metron agent is found again");
                }
                FOUND_PAUSE
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_lost, true) {
                    warn!(%error, agent = self.name, "the metron agent is not found: it is looked for");
                }
                LOST_PAUSE
            }
        }
    }

    /// Stays where it is if that is among these, and else sends to the first that can be.
    fn turn_to(&mut self, addrs: &[SocketAddr]) -> io::Result<()> {
        if self.addr.is_some_and(|addr| addrs.contains(&addr)) {
            return Ok(());
        }
        let mut outcome = Err(io::Error::other("the name has no address"));
        for &addr in addrs {
            outcome = socket_to(addr).map(|socket| {
                self.socket.send_replace(Some(socket));
                self.addr = Some(addr);
            });
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

/// The addresses of `host:port`, whatever was known of it before.
async fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    let parts = name.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parts.ok_or_else(|| io::Error::other("it is not HOST:PORT"))?;
    let found = Names::default().addresses(host).await?;
    Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// A socket that sends to this address only.
pub(super) fn socket_to(addr: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match addr {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(addr)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        (socket, addr)
    }

    fn heard(socket: &UdpSocket) -> String {
        let mut datagram = [0; 64];
        let length = socket.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    }

    fn nothing() -> io::Result<Vec<SocketAddr>> {
        Err(io::ErrorKind::NotFound.into())
    }

    #[test]
    fn datagrams_go_where_the_name_leads_at_the_time() {
        let ((first, at_first), (second, at_second)) = (server(), server());
        let (mut follower, agent) = Follower::new("metron:1");
        assert_eq!(follower.learn(nothing()), LOST_PAUSE);
        agent.send(b"to nobody");
        assert_eq!(follower.learn(Ok(Vec::new())), LOST_PAUSE);
        assert_eq!(follower.learn(Ok(vec![at_first])), FOUND_PAUSE);
        agent.send(b"one");
        assert_eq!(follower.learn(Ok(vec![at_second, at_first])), FOUND_PAUSE);
        agent.send(b"two");
        assert_eq!(follower.learn(nothing()), LOST_PAUSE);
        agent.send(b"three");
        assert_eq!(follower.learn(Ok(vec![at_second])), FOUND_PAUSE);
        agent.send(b"four");
        assert_eq!([heard(&first), heard(&first), heard(&first)], ["one", "two", "three"]);
        assert_eq!(heard(&second), "four");
    }

    #[test]
    fn that_a_name_leads_nowhere_is_told_once() {
        let (mut follower, _agent) = Follower::new("metron:1");
        let told = [Err(()), Err(()), Ok(()), Ok(()), Err(()), Err(())].map(|found| {
            let was_lost = follower.is_lost;
            follower.learn(found.map(|()| vec![server().1]).or_else(|()| nothing()));
            follower.is_lost != was_lost
        });
        assert_eq!(told, [true, false, true, false, true, false]);
    }

    #[tokio::test]
    async fn an_address_needs_no_look_up_and_a_name_gets_one() {
        let (server, addr) = server();
        Agent::at(&addr.to_string(), &Tasks::default()).send(b"at once");
        assert_eq!(heard(&server), "at once");
        let agent = Agent::at(&format!("localhost:{}", addr.port()), &Tasks::default());
        agent.socket.clone().wait_for(Option::is_some).await.unwrap();
        agent.send(b"then");
        assert_eq!(heard(&server), "then");
    }

    #[tokio::test]
    async fn a_name_without_a_port_is_none() {
        for name in ["metron", "metron:", "metron:x", "metron:99999"] {
            let error = look_up(name).await.unwrap_err();
            assert_eq!(error.to_string(), "it is not HOST:PORT", "{name}");
        }
    }
}
