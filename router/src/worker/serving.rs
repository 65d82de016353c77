//! Accepts connections and serves them.

use core::net::SocketAddr;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tracing::warn;

use super::{Opened, Peer, Slot, Worker};
use crate::config::Side;
use crate::proxy;
use crate::proxy::client::Client;
use crate::watch::Watch;

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
    let watch = Rc::new(Watch::new(worker.ticks.clone()));
    worker.enter(&watch);
    let peer = Rc::new(Peer::new(addr, side, Some(slot)));
    let mut client = Client::new(stream, peer, watch.clone());
    let work = pin!(proxy::serve(&worker, &mut client));
    watch.over(work).await;
    worker.leave(&watch);
}
