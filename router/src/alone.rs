//! A router as a process of its own, on a bus of its own: what `lattice router` runs.
//!
//! | Part | Is |
//! |---|---|
//! | [`settings`] | all that such a process is told, from either kind of file |
//! | [`gorouter`], [`ours`] | the two kinds of file |
//! | [`reload`] | certificates in files, which change |
//! | [`stdout`] | its log, in gorouter's form |
//! | [`access`] | where access lines go |

pub mod access;
pub mod gorouter;
pub mod ours;
pub mod reload;
mod route_services;
pub mod settings;
pub mod stdout;

use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::bus::nats::{NatsBus, NatsError};
use lattice_daemon::clock::SystemClock;
use lattice_daemon::log_ingress;
use lattice_daemon::tasks::Tasks;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::{AccessLines, Handle, StartError, http};
pub use settings::{Mistakes, Settings};

/// The longest that requests under way may take to end upon SIGTERM.
const TERMINATE_DRAIN: Duration = Duration::from_secs(3);
/// What the rest of the process may take to end after the requests.
const TASKS_STOP: Duration = Duration::from_millis(500);

/// Why a router's process ended that should run.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// The bus is not there.
    #[error("no bus")]
    Bus(#[from] NatsError),
    /// The router did not start.
    #[error("the router did not start")]
    Start(#[from] StartError),
    /// Where status should be shown.
    #[error(transparent)]
    Status(#[from] http::ListenError),
    /// Where access lines should go cannot be used.
    #[error(transparent)]
    Access(#[from] access::AccessError),
    /// Signals cannot be heard.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// Something that must run has ended.
    #[error("a part of the router has failed; the log says which")]
    Failed,
}

/// Why the process is to end.
enum End {
    /// Serve what is under way, and tell load balancers first.
    Drain,
    /// Be quick.
    Terminate,
    Failed,
}

/// Runs until a signal ends it.
pub async fn run(settings: Settings) -> Result<(), AloneError> {
    info!("starting");
    let Settings { mut router, nats, reload, status, access, lifecycle, .. } = settings;
    say_what_is_carried(&router.sharding);
    let mut signals = Signals::new().map_err(AloneError::Signals)?;
    let tasks = Tasks::default();
    let bus = NatsBus::connect(nats, &tasks).await?;
    if let Some(reload) = reload {
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("router-certificates", async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = reload.follow() => {}
            }
        });
    }
    let (ingress, egress) = log_ingress::channel();
    router.lines = if access.is_empty() { AccessLines::None } else { AccessLines::All };
    let writer = access::start(access, egress)?;
    let listeners = std::mem::take(&mut router.listeners);
    let drain = router.limits.drain;
    let (clock, whose) =
        (Arc::new(SystemClock), (router.identity.index, router.identity.id.clone()));
    let handle = crate::start(router, Arc::new(bus), Arc::new(ingress), clock, &tasks).await?;
    let status = http::start(status, handle.clone(), whose, &tasks).await?;
    let end = tokio::select! {
        // The table fills before anyone is served.
        () = tokio::time::sleep(lifecycle.start_delay) => None,
        end = signals.any() => Some(end),
        () = tasks.shutdown().cancelled() => Some(End::Failed),
    };
    let end = match end {
        Some(end) => end,
        None => {
            for listener in listeners {
                handle.listen(listener)?;
            }
            status.opens();
            info!("gorouter.started");
            tokio::select! {
                end = signals.any() => end,
                () = tasks.shutdown().cancelled() => End::Failed,
            }
        }
    };
    finish(&end, handle, lifecycle.drain_wait, drain, &tasks).await;
    let _ = tokio::task::spawn_blocking(move || writer.join()).await;
    info!("gorouter.stopped");
    match end {
        End::Failed => Err(AloneError::Failed),
        End::Drain | End::Terminate => Ok(()),
    }
}

/// Ends all tasks, each kind of end in its time. A second signal changes nothing.
async fn finish(end: &End, handle: Handle, wait: Duration, drain: Duration, tasks: &Tasks) {
    let drain = match end {
        End::Drain => {
            info!("gorouter-draining");
            handle.announce_end();
            tokio::time::sleep(wait).await;
            drain
        }
        End::Terminate | End::Failed => drain.min(TERMINATE_DRAIN),
    };
    handle.drain_within(drain);
    drop(handle);
    tasks.end(drain + TASKS_STOP).await;
}

fn say_what_is_carried(sharding: &crate::Sharding) {
    use crate::Sharding::{All, Segments, SharedAndSegments};
    let (mode, segments) = match sharding {
        All => ("all", &[][..]),
        Segments(segments) => ("segments", segments.as_slice()),
        SharedAndSegments(segments) => ("shared-and-segments", segments.as_slice()),
    };
    let segments = serde_json::to_string(segments).unwrap_or_default();
    info!(routing_table_sharding_mode = mode, isolation_segments = segments, "sharding");
}

/// What ends the process.
struct Signals {
    drain: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            drain: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn any(&mut self) -> End {
        tokio::select! {
            _ = self.drain.recv() => End::Drain,
            _ = self.terminate.recv() => End::Terminate,
            _ = self.interrupt.recv() => End::Terminate,
        }
    }
}
