//! Carries requests by host name to instances, following the cells' route heartbeats.
//!
//! ```text
//! bus ──> registrar (one task, owns the table) ──> table (read by all, without a lock)
//!                                                    │
//! clients ──> worker 0..n (a thread each) ──> h1 ──> proxy stages ──> h1 ──> instances
//!                                                        └──> access line ──> log ingress
//! ```
//!
//! | Part | Is |
//! |---|---|
//! | [`config`] | what a router is told, and its limits |
//! | [`table`], [`pool`], [`select`](mod@select) | host and path to endpoints; pure |
//! | [`reserved`] | the platform's own hosts; pure |
//! | [`services`] | route services, and the signature that comes back from them; pure |
//! | `registrar` | the bus's messages to changes of the table; its one owner |
//! | `worker`, `listening`, `connections` | threads, listeners, connections to instances |
//! | `names` | where names lead that are not in the table |
//! | [`challenges`] | what authorities are answered that ask whether a host is ours |
//! | `preamble` | whom a load balancer speaks for; pure |
//! | [`h1`] | HTTP/1 as bytes, strictly; pure |
//! | `http2` | HTTP/2 in front: streams that look like connections in HTTP/1 |
//! | `wire`, `memory`, `watch` | sockets, the memory they lend, and who stands still |
//! | `proxy` | the stages of one request |
//! | `tcp` | ports that lead to instances, and what goes over them |
//! | [`verdict`] | what a failure means; pure |
//! | [`error_page`] | what a client is shown of it; pure |
//! | [`access_log`] | a request's line; pure |
//! | [`records`] | lines on their way to a writer of the router's own |
//! | `decimal`, `calendar`, `http_date` | numbers and dates as text; pure |
//! | [`metrics`] | all that is counted |
//! | [`http`] | status: health, the routes, the figures |
//! | [`tls`] | certificates and keys, as files say them |
//! | [`alone`] | a router as a process of its own, with its files and its bus |
//!
//! **Invariant**: nothing on the request path takes a lock, crosses a thread or asks the brain.
//! **Boundary**: a request that two readers could read differently never reaches an instance:
//! [`h1`] refuses it, and writes anew the framing of what passes.

pub mod access_log;
pub mod alone;
mod calendar;
pub mod challenges;
pub mod config;
mod connections;
mod decimal;
pub mod error_page;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod h1;
pub mod http;
mod http2;
mod http_date;
mod listening;
mod memory;
pub mod metrics;
mod names;
pub mod pool;
mod preamble;
mod proxy;
pub mod records;
mod registrar;
pub mod reserved;
pub mod select;
pub mod services;
pub mod table;
mod tcp;
pub mod tls;
pub mod verdict;
mod watch;
mod wire;
mod worker;

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lattice_daemon::bus::{Bus, Message};
use lattice_daemon::clock::Clock;
use lattice_daemon::log_ingress::LogIngress;
use lattice_daemon::tasks::Tasks;
use lattice_model::Time;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use config::{
    AccessLines, BackendTls, Balance, Challenges, Config, ExtraField, ForwardedCertificate,
    ForwardedProto, Freshness, HeaderRules, Identity, Limits, LineRules, Listener, Query, Reserved,
    Sharding, Side, Sticky, TcpRules, Tracing,
};
pub use listening::Keeper;
use listening::{Listening, Opened, Serves};
use metrics::{OfComponent, Parts, Registrations, Times, Totals, Traffic};
use records::Records;
use registrar::Registrar;
use reserved::ReservedHosts;
use table::{Editor, Table};
use tcp::ports::Ports;
use worker::{Ending, Shared};

/// The most listeners that one worker takes at once.
const LISTENERS_MAX: usize = 4096;
/// Endpoints that wait to be forgotten; more are found out again by the next request.
const SUSPECTS_MAX: usize = 1024;
/// Registrations from beside the bus that wait to be read; whoever has more waits.
const TOLD_MAX: usize = 1024;

/// Why a router did not start, or does not listen.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not of this machine.
    #[error(
        "cannot listen on {addr}; pick another port with --http-port, or see who has it: ss -ltnp"
    )]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A worker's thread could not be made.
    #[error("cannot start worker {number}")]
    Worker {
        /// Which one.
        number: usize,
        /// The system's reason.
        source: io::Error,
    },
    /// The router has ended, or its listeners are as many as it takes.
    #[error("the router takes no more listeners: it ends, or {LISTENERS_MAX} wait already")]
    NoMoreListeners,
}

/// A running router. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

struct Inner {
    ending: Arc<Ending>,
    table: Arc<Table>,
    tcp_table: Arc<Table>,
    listening: Listening,
    /// Nobody is taken in any more.
    retiring: CancellationToken,
    bound: Mutex<Vec<Listener>>,
    registrations: Arc<Registrations>,
    telling: mpsc::Sender<Message>,
    traffic: Vec<Arc<Traffic>>,
    /// Access lines that their writer could not write.
    unwritten: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    measures_apps: bool,
}

/// One endpoint of one route, as status shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EndpointStatus {
    /// `host:port`.
    pub address: String,
    /// The app's log id.
    pub app: String,
    /// The instance guid.
    pub private_instance_id: String,
    /// The instance's index.
    pub index: String,
    /// Requests whose answer has not begun.
    pub in_flight: u32,
}

/// Starts a router: subscribes to the bus, asks everyone to register, and listens. Whoever
/// publishes registrations only once must do so after this has returned, or upon `router.start`.
pub async fn start(
    config: Config,
    bus: Arc<dyn Bus>,
    logs: Arc<dyn LogIngress>,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<Handle, StartError> {
    let reserved = Arc::new(ReservedHosts::new(&config));
    let (table_rules, rules) = (table::Rules::of(&config), registrar::Rules::of(&config));
    let editor = Editor::new(table_rules, rand::random());
    let (table, tcp) = (editor.table().clone(), tcp_rules(&config));
    let (limits, tcp_of_worker) = shares(&config, &tcp);
    let ((suspecting, suspects), (telling, told)) =
        (mpsc::channel(SUSPECTS_MAX), mpsc::channel(TOLD_MAX));
    let ending = Arc::new(Ending::new(config.limits.drain));
    let shared = Arc::new(Shared {
        table: table.clone(),
        reserved: reserved.clone(),
        limits,
        headers: config.headers,
        sticky: config.sticky,
        lines: config.lines,
        line_rules: config.line_rules,
        logs,
        records: config.records,
        clock: clock.clone(),
        source_type: "RTR".into(),
        ending: ending.clone(),
        suspecting,
        front_tls: config.front_tls,
        challenges: config.challenges,
        backend_tls: config.backend_tls.unwrap_or_default(),
        services: config.services,
        reads_preamble: config.reads_preamble,
        balance: config.balance,
        zone: config.zone,
        measures_apps: config.measures_apps,
        error_page: config.error_page,
        tcp: tcp_of_worker,
    });
    let messages = bus.subscribe("router.*");
    let retiring = tasks.shutdown().child_token();
    let (orders, traffic) = start_workers(&shared, config.workers.max(1), (tasks, &retiring))?;
    let listening = Listening::new(orders, config.hands_over, config.keeper);
    tasks.spawn("router-listening", release(listening.clone(), retiring.clone()));
    let opens = Arc::new(listening.clone());
    let ports = Ports::new(tcp, table_rules, rand::random(), opens, shared.logs.clone());
    let tcp_table = ports.table().clone();
    let registrar = Registrar::new((editor, ports), reserved, rules, clock.clone(), bus);
    let inner = Inner {
        ending,
        table,
        tcp_table,
        listening,
        retiring,
        bound: Mutex::default(),
        registrations: registrar.counts.clone(),
        telling,
        traffic,
        unwritten: shared.records.as_ref().map(Records::unwritten).unwrap_or_default(),
        clock,
        measures_apps: config.measures_apps,
    };
    let handle = Handle { inner: Arc::new(inner) };
    config.listeners.iter().try_for_each(|listener| handle.listen(*listener).map(drop))?;
    let shutdown = tasks.shutdown().clone();
    tasks.critical("router-registrar", registrar.run(messages, suspects, told, shutdown));
    Ok(handle)
}

/// What each worker may use of what all may.
fn shares(config: &Config, tcp: &TcpRules) -> (Limits, TcpRules) {
    let share = |all: usize| (all / config.workers.max(1)).max(1);
    let limits = Limits { connections_max: share(config.limits.connections_max), ..config.limits };
    (limits, TcpRules { connections_max: share(tcp.connections_max), ..tcp.clone() })
}

/// As the configuration says, without the router's own ports.
fn tcp_rules(config: &Config) -> TcpRules {
    let mut tcp = config.tcp.clone();
    let own = config.listeners.iter().map(|listener| listener.addr.port());
    tcp.reserved.extend(own.filter(|port| *port != 0));
    tcp
}

type Workers = (Vec<mpsc::Sender<Opened>>, Vec<Arc<Traffic>>);

fn start_workers(
    shared: &Arc<Shared>,
    n: usize,
    (tasks, retiring): (&Tasks, &CancellationToken),
) -> Result<Workers, StartError> {
    let (mut orders, mut traffic, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..n {
        let (sender, receiver) = mpsc::channel(LISTENERS_MAX);
        let counts = Arc::new(Traffic::default());
        let end = worker::spawn(shared.clone(), number, counts.clone(), receiver, retiring.clone())
            .map_err(|source| StartError::Worker { number, source })?;
        orders.push(sender);
        traffic.push(counts);
        ends.push(end);
    }
    let (shutdown, retiring) = (tasks.shutdown().clone(), retiring.clone());
    tasks.critical("router-workers", async move {
        all_end(ends).await;
        if retiring.is_cancelled() {
            shutdown.cancelled().await;
        }
    });
    Ok((orders, traffic))
}

/// Closes what is only held for a successor when nobody is taken in any more.
async fn release(listening: Listening, retiring: CancellationToken) {
    retiring.cancelled().await;
    listening.release();
}

/// Ends when the first worker has ended without being told to, or all have.
async fn all_end(ends: Vec<oneshot::Receiver<()>>) {
    for end in ends {
        // The sender is dropped unused; that is the message.
        let _ = end.await;
    }
}

// === impl Handle ===

impl Handle {
    /// Listens on one more address, and says which one it became.
    pub fn listen(&self, listener: Listener) -> Result<SocketAddr, StartError> {
        let serves = Serves::Http(listener.side, listener.is_tls);
        let addr = self.inner.listening.open(listener.addr, &serves)?;
        info!(%addr, side = ?listener.side, "router listens");
        let mut bound = self.inner.bound.lock().expect("no holder panics");
        bound.push(Listener { addr, ..listener });
        Ok(addr)
    }

    /// Where it listens, in the order of asking, with the ports that were picked.
    pub fn listeners(&self) -> Vec<Listener> {
        self.inner.bound.lock().expect("no holder panics").clone()
    }

    /// Registers and unregisters beside the bus, with the messages that it would carry. They are
    /// taken in their order, none is lost, and who tells more than is read waits.
    pub async fn tell(&self, message: Message) {
        // Whoever has ended needs no routes.
        let _ = self.inner.telling.send(message).await;
    }

    /// Tells load balancers that ask to go elsewhere; requests are served as before. Whoever ends
    /// the router does this first, and waits as long as they need to hear it.
    pub fn announce_end(&self) {
        self.inner.ending.announce();
    }

    /// How long requests under way may take to finish once the router is told to end.
    pub fn drain_within(&self, limit: Duration) {
        self.inner.ending.drain_within(limit);
    }

    /// Takes the listening sockets of a predecessor; each is used when its address is asked for.
    pub fn inherit(&self, listeners: Vec<TcpListener>) {
        self.inner.listening.inherit(listeners);
    }

    /// Closes the sockets of a predecessor that nothing was listened on with, and says where.
    pub fn disinherit(&self) -> Vec<SocketAddr> {
        self.inner.listening.disinherit()
    }

    /// Takes nobody in any more, because a successor does with the same sockets. Who is connected
    /// may send one more request; the rest of the router goes on.
    pub fn retire(&self) {
        self.inner.ending.leave_to_successor();
        self.inner.listening.give_away();
        self.inner.retiring.cancel();
    }

    /// Waits until those who are connected have been served, for as long as they may take.
    pub async fn retired(&self) {
        for worker in self.inner.listening.workers() {
            worker.closed().await;
        }
    }

    /// Waits until nobody is to ask this router any more how it fares: a successor answers on the same
    /// sockets, or the last client has been served.
    pub(crate) async fn is_left(&self) {
        self.inner.retiring.cancelled().await;
        if !self.inner.ending.has_successor() {
            self.retired().await;
        }
    }

    /// Every route and its endpoints at this moment, by uri.
    pub fn routes(&self) -> BTreeMap<String, Vec<EndpointStatus>> {
        let routes = self.inner.table.routes();
        routes.iter().map(|route| (route.uri.to_string(), status_of(route))).collect()
    }

    /// Every TCP route and its endpoints at this moment, by port and perhaps `/name`.
    pub fn tcp_routes(&self) -> std::collections::BTreeMap<String, Vec<EndpointStatus>> {
        let routes = self.inner.tcp_table.routes();
        routes.iter().map(|route| (route.uri.to_string(), status_of(route))).collect()
    }

    /// All that is counted.
    pub fn totals(&self) -> Totals {
        let workers = self.inner.traffic.iter().map(|t| &**t);
        let mut totals = Totals::sum(&self.inner.registrations, workers);
        totals.lines_lost += self.inner.unwritten.load(Ordering::Relaxed);
        totals
    }

    /// How long the parts of what it does took.
    pub fn parts(&self) -> Parts {
        Parts::sum(&self.inner.registrations, self.inner.traffic.iter().map(|t| &**t))
    }

    /// What is counted for each component that registers.
    pub fn components(&self) -> Vec<OfComponent> {
        OfComponent::all(&self.inner.registrations, self.inner.traffic.iter().map(|t| &**t))
    }

    /// How long the requests of each app took that has endpoints, and those that went to none; empty
    /// unless that is measured.
    pub fn apps(&self) -> Vec<(Arc<str>, Times)> {
        if !self.inner.measures_apps {
            return Vec::new();
        }
        let mut here = Times::default();
        self.inner.traffic.iter().for_each(|worker| here += worker.times_here());
        let mut apps = BTreeMap::from([("gorouter".into(), here)]);
        for route in self.inner.table.all() {
            for app in route.pool.load().iter().filter_map(|endpoint| endpoint.latency.as_ref()) {
                apps.insert(app.source_id.clone(), app.latency.read());
            }
        }
        apps.into_iter().collect()
    }

    /// Registrations that wait to be read, and that found the queue full.
    pub fn queue(&self) -> (u64, u64) {
        let registrations = &self.inner.registrations;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&registrations.waiting), read(&registrations.dropped))
    }

    /// How long nobody has registered anything.
    pub fn since_heard(&self) -> Duration {
        let heard = Time(self.inner.registrations.heard_at.load(Ordering::Relaxed));
        self.now().since(heard)
    }

    /// How many endpoints all routes have.
    pub fn endpoints(&self) -> usize {
        self.inner.table.all().iter().map(|route| route.pool.load().len()).sum()
    }

    /// Whether load balancers are told to go elsewhere.
    pub fn is_ending(&self) -> bool {
        self.inner.ending.is_announced()
    }

    pub(crate) fn listening(&self) -> &Listening {
        &self.inner.listening
    }

    /// Whether nobody is taken in any more, by a successor neither.
    pub(crate) fn is_closing(&self) -> bool {
        self.inner.retiring.is_cancelled() && !self.inner.ending.has_successor()
    }

    pub(crate) fn table(&self) -> &Table {
        &self.inner.table
    }

    pub(crate) fn now(&self) -> Time {
        self.inner.clock.now()
    }
}

fn status_of(route: &pool::Route) -> Vec<EndpointStatus> {
    let pool = route.pool.load();
    let status = |endpoint: &Arc<pool::Endpoint>| EndpointStatus {
        address: endpoint.backend.label().to_owned(),
        app: endpoint.facts.app.to_string(),
        private_instance_id: endpoint.backend.instance_id().to_owned(),
        index: endpoint.index.to_string(),
        in_flight: endpoint.backend.in_flight(),
    };
    pool.iter().map(status).collect()
}
