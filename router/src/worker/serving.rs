//! Accepts connections and serves them.

use core::net::SocketAddr;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConnection;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use super::{Known, Peer, Slot, Worker};
use crate::challenges::ACME_TLS;
use crate::config::Side;
use crate::http2;
use crate::listening::{Opened, Serves};
use crate::preamble::Preamble;
use crate::proxy;
use crate::proxy::client::Client;
use crate::tcp::carrying;
use crate::tls::HTTP2;
use crate::watch::{Phase, Watch};
use crate::wire::{self, Secured, Stream};

/// So much is read at once until it is clear for whom a load balancer speaks.
const PREAMBLE_BYTES: usize = 512;
/// How long accepting rests when the machine has no descriptors left.
pub(crate) const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Who comes in through a listener, and whether under TLS.
type Kind = (Side, bool);

/// Begins to accept from a listening socket.
pub(super) fn listen(worker: Rc<Worker>, opened: Opened) -> io::Result<AbortHandle> {
    let listener = TcpListener::from_std(opened.listener)?;
    wire::prepare(&listener, worker.shared.limits.client_probe)?;
    let shared = &worker.shared;
    let awaits = matches!(opened.serves, Serves::Http(side, _) if !shared.is_introduced(side));
    if let Err(error) = wire::await_first_bytes(&listener, awaits) {
        warn!(%error, "connections are accepted before their first bytes");
    }
    let accepting = match opened.serves {
        Serves::Http(side, is_tls) => {
            tokio::task::spawn_local(accept(worker, listener, (side, is_tls)))
        }
        Serves::Tcp(port) => tokio::task::spawn_local(carrying::accept(worker, listener, port)),
    };
    Ok(accepting.abort_handle())
}

async fn accept(worker: Rc<Worker>, listener: TcpListener, kind: Kind) {
    loop {
        if worker.open.get() >= worker.shared.limits.connections_max {
            let connections = worker.open.get();
            warn!(connections, "connection limit reached; new connections wait");
        }
        let slot = Slot::take(&worker).await;
        match listener.accept().await {
            Ok((stream, addr)) => {
                // From now on it is waited for at the worker's end.
                let (watch, who) = (worker.watch(), (addr, kind, slot.fill()));
                tokio::task::spawn_local(serve(worker.clone(), stream, who, watch));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Whether an error of accepting says nothing of the listener.
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve(
    worker: Rc<Worker>,
    tcp: TcpStream,
    (addr, kind, slot): (SocketAddr, Kind, Slot),
    watch: Rc<Watch>,
) {
    let work = pin!(async {
        watch.enters(Phase::Head);
        let is_introduced = worker.shared.is_introduced(kind.0);
        let wait = is_introduced.then_some(worker.shared.limits.proxy_header_timeout);
        let Some((source, early)) = introduced(&tcp, wait).await else { return };
        let (stream, known) = match kind.1 {
            false => (Stream::Plain(tcp), None),
            true => match Box::pin(meet(&worker, tcp, &early)).await {
                Some((stream, known)) => (stream, Some(known)),
                None => return,
            },
        };
        watch.enters(Phase::Idle);
        let peer = Rc::new(Peer::new(source.unwrap_or(addr), kind.0, known, slot));
        let stream = match stream {
            Stream::Tls(secured) if peer.speaks_http2() => {
                return Box::pin(http2::serve(&worker, secured, peer, &watch)).await;
            }
            stream => stream,
        };
        let mut client = Client::new(stream, peer, watch.clone());
        if !kind.1 {
            client.wire.begin_with(&worker.memory, &early);
        }
        proxy::serve(&worker, &mut client).await;
    });
    watch.over(work).await;
    worker.leave(&watch);
}

/// For whom a load balancer speaks, and what it sent beyond that. Nothing where nobody may say it;
/// none for what is a header and makes no sense.
async fn introduced(
    tcp: &TcpStream,
    wait: Option<Duration>,
) -> Option<(Option<SocketAddr>, Vec<u8>)> {
    let mut early = Vec::new();
    let Some(wait) = wait else { return Some((None, early)) };
    let patience = tokio::time::Instant::now() + wait;
    loop {
        match Preamble::read(&early) {
            Preamble::Absent => return Some((None, early)),
            Preamble::Malformed => return None,
            Preamble::Header { length, source } => {
                early.drain(..length);
                return Some((source, early));
            }
            Preamble::Partial => {}
        }
        match tokio::time::timeout_at(patience, tcp.readable()).await {
            // Who says nothing says nothing of others.
            Err(_) => return Some((None, early)),
            Ok(ready) => ready.ok()?,
        }
        let mut chunk = [0; PREAMBLE_BYTES];
        match tcp.try_read(&mut chunk) {
            Ok(0) => return None,
            Ok(n) => early.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

/// The stream under TLS, after the handshake; none for who cannot be spoken to.
async fn meet(worker: &Worker, tcp: TcpStream, early: &[u8]) -> Option<(Stream, Known)> {
    let front = worker.shared.front_tls.as_ref()?;
    let secured = Secured::new(tcp, ServerConnection::new(front.server.clone()).ok()?);
    let begun = secured.begin_with(early);
    let met = poll_fn(|cx| secured.poll_handshake(cx));
    if let Err(error) = async { begun.and(met.await) }.await {
        debug!(%error, "a client's handshake failed");
        return None;
    }
    // Such a handshake is all that an authority wants.
    if secured.known(|tls| tls.alpn_protocol() == Some(ACME_TLS)) {
        return None;
    }
    if !secured.known(|tls| front.believes(tls)) {
        debug!("the certificate of a client that resumes its session is good no more");
        return None;
    }
    let known = secured.known(|tls| Known {
        speaks_http2: tls.alpn_protocol() == Some(HTTP2),
        certificate: tls.peer_certificates().and_then(<[_]>::first).map(|c| STANDARD.encode(c)),
    });
    Some((Stream::Tls(Box::new(secured)), known))
}
