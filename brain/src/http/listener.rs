//! A listening socket with manners: a limit of connections, time limits for request heads, for idle
//! connections and for those that take nothing, and an orderly end. Plain `axum::serve` has none of them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use lattice_daemon::tasks::Tasks;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::arrival::{Arriving, LastPart, Turns};
use super::limit::Limit;

/// Bounds of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// The most connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// How long a request's head may take.
    pub head_timeout: Duration,
    /// How long a connection may idle; longer than the 90 s for which routers and clients keep a
    /// connection, so that none is closed under a request.
    pub idle_timeout: Duration,
    /// How long the other side may take nothing of what it is sent.
    pub stall_timeout: Duration,
    /// How long requests may go on after shutdown was asked for.
    pub end_timeout: Duration,
}

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be had.
    #[error("cannot listen on {address} for the {server}; see what does with `ss -ltnp`")]
    Bind {
        /// Which server.
        server: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The server's directory cannot be made or read.
    #[error("cannot use the directory {path} for the {server}")]
    Directory {
        /// Which server.
        server: &'static str,
        /// Which directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

// === impl ListenerLimits ===

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(95),
            stall_timeout: Duration::from_secs(60),
            end_timeout: Duration::from_secs(5),
        }
    }
}

/// Serves until shutdown; returns the bound address.
pub(crate) async fn serve(
    server: &'static str,
    address: SocketAddr,
    app: Router,
    limits: ListenerLimits,
    tasks: &Tasks,
) -> Result<SocketAddr, ListenError> {
    let unbound = |source| ListenError::Bind { server, address, source };
    let listener = TcpListener::bind(address).await.map_err(unbound)?;
    let bound = listener.local_addr().map_err(unbound)?;
    info!(server, address = %bound, "listening");
    tasks.critical(server, accept(listener, app, limits, tasks.clone()));
    Ok(bound)
}

async fn accept(listener: TcpListener, app: Router, limits: ListenerLimits, tasks: Tasks) {
    let slots = Limit::new("connections", limits.connections_max);
    let shutdown = tasks.shutdown().clone();
    loop {
        let Some(slot) = shutdown.run_until_cancelled(slots.wait()).await else { return };
        let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await else { return };
        match accepted {
            Ok((stream, _)) => {
                let connection = hold(stream, app.clone(), limits, shutdown.clone());
                tasks.spawn("connection", async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, say: wait for some to be given back.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn hold(stream: TcpStream, app: Router, limits: ListenerLimits, shutdown: CancellationToken) {
    if let Err(error) = prepare(&stream, limits) {
        debug!(%error, "cannot prepare a connection");
    }
    let turns = Turns::default();
    let stream = Arriving::new(stream, turns.clone(), limits.head_timeout);
    let service = service_fn(move |request| {
        let (app, answering) = (TowerToHyperService::new(app.clone()), turns.answering());
        async move {
            let response = app.call(request).await?;
            Ok::<_, Infallible>(response.map(|body| LastPart::new(body, answering)))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.idle_timeout);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let ended = tokio::time::timeout(limits.end_timeout, connection).await;
            ended.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        debug!(%error, "a connection ended badly");
    }
}

fn prepare(stream: &TcpStream, limits: ListenerLimits) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let stall_ms = u32::try_from(limits.stall_timeout.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(stream, stall_ms)?)
}
