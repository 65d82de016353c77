//! A router as a process of its own, on a bus of its own: what `lattice router` runs.
//!
//! | Part | Is |
//! |---|---|
//! | [`settings`] | all that such a process is told, from either kind of file |
//! | [`gorouter`], [`ours`] | the two kinds of file |
//! | [`handover`] | the listening sockets, from one process to the next |
//! | [`routing_api`] | routes of a routing API, beside those of the bus |
//! | [`reload`] | certificates in files, which change |
//! | [`stdout`] | its log, in gorouter's form |
//! | [`access`], [`metron`] | where access lines go |
//! | [`report`] | what is counted, for a metron agent |
//! | `agent` | the way to such an agent |

pub mod access;
mod agent;
pub mod gorouter;
pub mod handover;
pub mod metron;
pub mod ours;
pub mod reload;
pub mod report;
mod route_services;
pub mod routing_api;
pub mod settings;
pub mod stdout;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::bus::nats::{NatsBus, NatsError};
use lattice_daemon::clock::SystemClock;
use lattice_daemon::tasks::Tasks;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::config::Identity;
use crate::http::Status;
use crate::{AccessLines, Handle, Listener, StartError, http, records};
use handover::{HandoverError, Successors};
pub use settings::{Mistakes, Settings};

/// The longest that requests under way may take to end upon SIGTERM.
const TERMINATE_DRAIN: Duration = Duration::from_secs(3);
/// What the rest of the process may take to end after the requests.
const TASKS_STOP: Duration = Duration::from_millis(500);

/// How long an inherited socket may wait for a TCP route.
const CLAIM: Duration = Duration::from_secs(1);

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
    /// The listening sockets do not pass from one process to the next.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// The routing API is not there.
    #[error("no routing API")]
    RoutingApi(#[from] routing_api::Fault),
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
    /// Another process takes the connections that come from now on.
    HandedOver,
}

/// What opens once the table is full.
struct Front {
    listeners: Vec<Listener>,
    status: Status,
    whose: Identity,
    start_delay: Duration,
    handover: Option<PathBuf>,
}

/// Runs until a signal ends it, or another process takes over.
pub async fn run(settings: Settings) -> Result<(), AloneError> {
    info!("starting");
    let Settings { mut router, nats, reload, status, access, lifecycle, handover, .. } = settings;
    let (report, routing_api) = (settings.report, settings.routing_api);
    say_what_is_carried(&router.sharding);
    let mut signals = Signals::new().map_err(AloneError::Signals)?;
    let tasks = Tasks::default();
    let bus = NatsBus::connect(nats, &tasks).await?;
    let routing_api = tokio::select! {
        connected = routing_api::connect(routing_api) => connected?,
        _ = signals.any() => {
            info!("gorouter.stopped");
            return Ok(());
        }
    };
    if let Some(reload) = reload {
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("router-certificates", async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = reload.follow() => {}
            }
        });
    }
    let (records, written) = records::channel(access.wants_served());
    router.lines = if access.is_empty() { AccessLines::None } else { AccessLines::All };
    router.records = Some(records.clone());
    let writer = access::start(access, written, &tasks)?;
    let listeners = std::mem::take(&mut router.listeners);
    router.tcp.reserved.extend(listeners.iter().map(|listener| listener.addr.port()));
    router.hands_over = handover.is_some();
    let whose = router.identity.clone();
    let front = Front { listeners, status, whose, start_delay: lifecycle.start_delay, handover };
    let drain = router.limits.drain;
    let clock = Arc::new(SystemClock);
    let handle = crate::start(router, Arc::new(bus), Arc::new(records), clock, &tasks).await?;
    if let Some(report) = report {
        report.start(handle.clone(), &tasks);
    }
    if let Some(follower) = routing_api {
        let following = follower.run(handle.clone(), tasks.shutdown().clone());
        tasks.critical("routing-api", following);
    }
    let end = tokio::select! {
        end = serve(front, &handle, &tasks) => end?,
        end = signals.any() => end,
        () = tasks.shutdown().cancelled() => End::Failed,
    };
    tokio::select! {
        () = finish(&end, handle, lifecycle.drain_wait, drain, &tasks) => {}
        never = signals.pass_over() => match never {},
    }
    let _ = tokio::task::spawn_blocking(move || writer.join()).await;
    info!("gorouter.stopped");
    match end {
        End::Failed => Err(AloneError::Failed),
        End::Drain | End::Terminate | End::HandedOver => Ok(()),
    }
}

/// Opens once the table is full, and serves until another process takes over.
async fn serve(front: Front, handle: &Handle, tasks: &Tasks) -> Result<End, AloneError> {
    let Front { listeners, status, whose, start_delay, handover } = front;
    let predecessor = match &handover {
        Some(path) => handover::predecessor(path).await?,
        None => None,
    };
    let show = || http::start(status, handle.clone(), whose, tasks);
    let (predecessor, show, shown) = match predecessor {
        // Until then the predecessor says that all is well, on the same sockets.
        Some((predecessor, sockets)) => {
            handle.inherit(sockets);
            (Some(predecessor), Some(show), None)
        }
        None => (None, None, Some(show().await?)),
    };
    tokio::time::sleep(start_delay).await;
    for listener in listeners {
        handle.listen(listener)?;
    }
    if let Some(show) = show {
        show().await?.opens();
    }
    if let Some(shown) = shown {
        shown.opens();
    }
    if let Some(predecessor) = predecessor {
        match predecessor.relieve().await {
            Ok(sockets) => handle.inherit(sockets),
            // It has ended, or will not: we accept already, and are not to be the second to end.
            Err(error) => warn!(%error, "the router before this one did not take its leave"),
        }
    }
    info!("gorouter.started");
    let Some(path) = handover else { return std::future::pending().await };
    let mut successors = match Successors::at(&path) {
        Ok(successors) => successors,
        Err(error) => {
            warn!(%error, "nobody can take over from this router");
            return std::future::pending().await;
        }
    };
    info!(path = %path.display(), "a successor may take over");
    // Whoever asks meanwhile waits until it is clear which sockets there are.
    tokio::time::sleep(CLAIM).await;
    for addr in handle.disinherit() {
        warn!(%addr, "closed: the router before this one listened there, and this one does not");
    }
    successors.taken_over(handle).await;
    Ok(End::HandedOver)
}

/// Ends all tasks, each kind of end in its time.
async fn finish(end: &End, handle: Handle, wait: Duration, drain: Duration, tasks: &Tasks) {
    let drain = match end {
        End::Drain => {
            info!("gorouter-draining");
            handle.announce_end();
            tokio::time::sleep(wait).await;
            drain
        }
        End::Terminate | End::Failed => drain.min(TERMINATE_DRAIN),
        End::HandedOver => drain,
    };
    handle.drain_within(drain);
    if let End::HandedOver = end {
        // Meanwhile the table goes on to follow the bus.
        handle.retired().await;
    }
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
        self.next().await.1
    }

    /// Says of each that it changes nothing.
    async fn pass_over(&mut self) -> Infallible {
        loop {
            let (signal, _) = self.next().await;
            info!(signal, "ending already; the signal changes nothing");
        }
    }

    /// The next one's name, and what it asks for.
    async fn next(&mut self) -> (&'static str, End) {
        tokio::select! {
            _ = self.drain.recv() => ("SIGUSR1", End::Drain),
            _ = self.terminate.recv() => ("SIGTERM", End::Terminate),
            _ = self.interrupt.recv() => ("SIGINT", End::Terminate),
        }
    }
}
