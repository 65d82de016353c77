//! Accepts connections and serves them.

use core::net::SocketAddr;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tracing::{debug, warn};

use super::{Opened, Peer, Slot, Worker};
use crate::config::Side;
use crate::guard::{Guarded, Order, Wire};
use crate::metrics::count;
use crate::proxy;

/// How long accepting rests when the machine has no descriptors left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Begins to accept from a listening socket.
pub(super) fn listen(worker: Rc<Worker>, opened: Opened) -> io::Result<AbortHandle> {
    let listener = TcpListener::from_std(opened.listener)?;
    let accepting = tokio::task::spawn_local(accept(worker, listener, opened.side));
    Ok(accepting.abort_handle())
}

async fn accept(worker: Rc<Worker>, listener: TcpListener, side: Side) {
    loop {
        if worker.open.get() >= worker.shared.limits.connections_max {
            let connections = worker.open.get();
            warn!(connections, "connection limit reached; new connections wait");
        }
        let slot = Slot::take(&worker).await;
        match listener.accept().await {
            Ok((stream, addr)) => {
                let serving = serve(worker.clone(), stream, addr, side, slot.fill());
                tokio::task::spawn_local(serving);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve(worker: Rc<Worker>, stream: TcpStream, addr: SocketAddr, side: Side, slot: Slot) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let wire = Arc::new(Wire::new(worker.clock.clone()));
    let id = worker.enter(&wire);
    run(&worker, stream, Peer::new(addr, side, wire, Some(slot))).await;
    worker.leave(id);
}

/// Serves one connection until it ends, or is told to.
async fn run(worker: &Rc<Worker>, stream: TcpStream, peer: Peer) {
    let wire = peer.wire.clone();
    let guarded = Guarded::new(stream, wire.clone(), worker.shared.limits.header_bytes_max);
    let peer = Rc::new(peer);
    let service = service_fn(|request| proxy::handle(worker.clone(), peer.clone(), request));
    let connection = worker.http.serve_connection(TokioIo::new(guarded), service);
    let mut connection = pin!(connection.with_upgrades());
    let mut is_finishing = false;
    let ended = poll_fn(|cx| {
        match wire.poll_order(cx) {
            Order::Drop => return Poll::Ready(Ok(())),
            Order::Finish if !is_finishing => {
                is_finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            Order::Finish | Order::Serve => {}
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        debug!(%error, "client connection ended");
    }
    if wire.was_refused() {
        count(&worker.traffic.refused);
    }
}
