//! Carries logs and metrics from containers to those who listen.
//!
//! Tasks and what they own:
//! - `log-aggregator`: the owner (`actor`). It alone drains the ingress and holds the rings
//!   ([`ring`]) and the listeners' queues ([`fanout`]). Everyone else has a [`Handle`].
//! - `log-aggregator-accept`: accepts connections up to a limit and gives each a task.
//! - `log-aggregator-connection`: one connection's requests (`egress`).
//! - `log-aggregator-listener`: one websocket; empties one bounded queue.
//!
//! A way in: daemon's log ingress channel -> owner -> ring, and the queue of each listener. Where a
//! bound is met, what does not fit is lost, counted ([`metrics`]) and said in a line of its own.

mod actor;
pub mod config;
mod egress;
pub mod fanout;
mod handle;
mod ingress;
pub mod metrics;
pub mod ring;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lattice_daemon::log_ingress::ChannelEgress;
use lattice_daemon::tasks::Tasks;
use tokio::net::TcpListener;

pub use config::{Config, Limits};
pub use egress::gate;
pub use handle::Handle;

/// Why the log-aggregator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A limit leaves no space for anything.
    #[error("the limit `{0}` must be greater than zero")]
    Limit(&'static str),
    /// The address cannot be listened on.
    #[error("the log-aggregator cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// Starts listening and the tasks above; they end with `tasks`.
pub async fn start(
    config: Config,
    egress: ChannelEgress,
    tasks: &Tasks,
) -> Result<Handle, StartError> {
    config.limits.check().map_err(StartError::Limit)?;
    let failed = |source| StartError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let metrics = Arc::new(metrics::Metrics::default());
    let (owner, asks) = actor::Owner::new(egress, &config.limits, Arc::clone(&metrics));
    let handle = Handle::new(address, asks, metrics);
    tasks.critical("log-aggregator", owner.run(tasks.shutdown().clone()));
    let serve = egress::serve(listener, config, handle.clone(), tasks.clone());
    tasks.critical("log-aggregator-accept", serve);
    tracing::info!(%address, "log-aggregator listening");
    Ok(handle)
}
