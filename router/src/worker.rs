//! One worker: a thread with its own runtime, listeners, client connections and connections to
//! endpoints. It shares the route table with others, and that only to read.

mod lines;
pub(crate) mod serving;

use core::net::SocketAddr;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use lattice_daemon::clock::Clock;
use lattice_daemon::log_ingress::LogIngress;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::challenges::Challenges;
use crate::config::{
    AccessLines, BackendTls, ErrorPage, HeaderRules, Limits, LineRules, Services, Side, Sticky,
    TcpRules,
};
use crate::connections::{Connections, Spoken};
use crate::listening::Opened;
use crate::memory::Memory;
use crate::metrics::{Traffic, count};
use crate::pool::{Backend, Balance};
use crate::records::Records;
use crate::reserved::ReservedHosts;
use crate::table::Table;
use crate::tls::FrontTls;
use crate::watch::{self, Order, Ticks, Watch};
use lines::{Lines, Way};

/// What all workers read.
pub(crate) struct Shared {
    pub(crate) table: Arc<Table>,
    pub(crate) reserved: Arc<ReservedHosts>,
    /// As each worker may use them.
    pub(crate) limits: Limits,
    pub(crate) headers: HeaderRules,
    pub(crate) sticky: Sticky,
    pub(crate) lines: AccessLines,
    pub(crate) line_rules: LineRules,
    pub(crate) logs: Arc<dyn LogIngress>,
    /// Where access lines go, if not there.
    pub(crate) records: Option<Records>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Who writes access lines: `RTR`.
    pub(crate) source_type: Arc<str>,
    /// Load balancers are told to go elsewhere.
    pub(crate) ending: Arc<Ending>,
    /// Takes endpoints that are not what was registered.
    pub(crate) suspecting: mpsc::Sender<Arc<Backend>>,
    /// What listeners under TLS speak.
    pub(crate) front_tls: Option<Arc<FrontTls>>,
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) backend_tls: BackendTls,
    pub(crate) services: Option<Services>,
    /// A load balancer may say for whom it speaks.
    pub(crate) reads_preamble: bool,
    /// How requests are spread where their route does not say it.
    pub(crate) balance: Balance,
    /// The zone whose endpoints are preferred.
    pub(crate) zone: Option<String>,
    pub(crate) measures_apps: bool,
    pub(crate) error_page: Option<ErrorPage>,
    /// As each worker may use them.
    pub(crate) tcp: TcpRules,
}

/// How the router ends.
#[derive(Debug)]
pub(crate) struct Ending {
    is_announced: AtomicBool,
    /// Another process takes the connections that come from now on.
    has_successor: AtomicBool,
    drain_millis: AtomicU64,
}

/// One worker's own.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) connections: Rc<Connections>,
    pub(crate) lines: Rc<Lines>,
    pub(crate) memory: Memory,
    /// Places for connections of TCP routes.
    pub(crate) tcp_places: Arc<Semaphore>,
    watches: RefCell<HashMap<*const Watch, Rc<Watch>, FixedState>>,
    open: Cell<usize>,
    slot_free: Notify,
    stirred: Notify,
    started: Instant,
    ticks: Ticks,
}

/// Who is at the other end of a client connection.
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    pub(crate) label: String,
    pub(crate) side: Side,
    /// What its handshake came to; none in clear.
    pub(crate) tls: Option<Known>,
    _slot: Slot,
}

/// What a client's handshake came to.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// HTTP/2 was agreed upon.
    pub(crate) speaks_http2: bool,
    /// The client's own certificate, as a header carries it: DER in base 64.
    pub(crate) certificate: Option<String>,
}

/// A place among the client connections, upgraded ones included, and the requests that share one.
pub(crate) struct Slot {
    worker: Rc<Worker>,
    is_filled: bool,
}

/// Starts a worker's thread; the receiver ends when the thread has.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    number: usize,
    traffic: Arc<Traffic>,
    orders: mpsc::Receiver<Opened>,
    shutdown: CancellationToken,
) -> io::Result<oneshot::Receiver<()>> {
    let (began, begin) = std::sync::mpsc::channel();
    let (ended, end) = oneshot::channel();
    let thread = std::thread::Builder::new().name(format!("router-{number}"));
    thread.spawn(move || {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(why) => return drop(began.send(Err(why))),
        };
        let _ = traffic.runtime.set(runtime.metrics());
        let _ = began.send(Ok(()));
        let worker = Worker::new(shared, traffic);
        runtime.block_on(worker.run(orders, shutdown));
        // What is still open ends here, and writes its access lines.
        drop(runtime);
        drop(ended);
    })?;
    begin.recv().unwrap_or_else(|_| Err(io::Error::other("a worker ended at once")))?;
    Ok(end)
}

/// A runtime for one thread, whose tasks need not be sent to others.
fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

// === impl Shared ===

impl Shared {
    /// Has an endpoint forgotten, which is not what was registered.
    pub(crate) fn suspect(&self, backend: &Arc<Backend>) {
        // When too many wait, the next request finds it out again.
        let _ = self.suspecting.try_send(backend.clone());
    }

    /// Whether it is said on connections that come in here for whom they are.
    fn is_introduced(&self, side: Side) -> bool {
        self.reads_preamble && side == Side::Public
    }

    /// Whether load balancers are told to go elsewhere.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_announced()
    }
}

// === impl Ending ===

impl Ending {
    /// Not yet; later, requests may take so long.
    pub(crate) fn new(drain: Duration) -> Self {
        let (is_announced, has_successor) = (false.into(), false.into());
        let ending = Self { is_announced, has_successor, drain_millis: 0.into() };
        ending.drain_within(drain);
        ending
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.is_announced.load(Ordering::Relaxed)
    }

    pub(crate) fn announce(&self) {
        self.is_announced.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_successor(&self) -> bool {
        self.has_successor.load(Ordering::Relaxed)
    }

    pub(crate) fn leave_to_successor(&self) {
        self.has_successor.store(true, Ordering::Relaxed);
    }

    pub(crate) fn drain_within(&self, limit: Duration) {
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.drain_millis.store(millis, Ordering::Relaxed);
    }

    fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_millis.load(Ordering::Relaxed))
    }
}

// === impl Worker ===

impl Worker {
    fn new(shared: Arc<Shared>, traffic: Arc<Traffic>) -> Rc<Self> {
        let limits = shared.limits;
        Rc::new(Self {
            connections: Connections::new(limits, Spoken::of(&shared), traffic.clone()),
            lines: Rc::new(Lines::new(Way::of(&shared), traffic.clone())),
            tcp_places: Arc::new(Semaphore::new(shared.tcp.connections_max)),
            shared,
            traffic,
            memory: Memory::default(),
            watches: RefCell::default(),
            open: Cell::new(0),
            slot_free: Notify::new(),
            stirred: Notify::new(),
            started: Instant::now(),
            ticks: Rc::default(),
        })
    }

    async fn run(self: Rc<Self>, mut orders: mpsc::Receiver<Opened>, shutdown: CancellationToken) {
        let mut accepting: Vec<AbortHandle> = Vec::new();
        let lines = self.lines.clone();
        tokio::task::spawn_local(async move { lines.run().await });
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(opened) = orders.recv() => {
                    accepting.retain(|listener| !listener.is_finished());
                    match serving::listen(self.clone(), opened) {
                        Ok(handle) => accepting.push(handle),
                        Err(why) => error!(error = %why, "a worker could not listen"),
                    }
                }
                () = self.next_sweep() => self.sweep(),
            }
        }
        for listener in accepting {
            listener.abort();
        }
        self.drain().await;
    }

    /// Waits for the next look at the connections; without any, until there is one.
    async fn next_sweep(&self) {
        if self.watches.borrow().is_empty() && self.connections.is_empty() {
            self.stirred.notified().await;
        }
        self.tell_time();
        tokio::time::sleep(watch::interval(&self.shared.limits)).await;
    }

    fn sweep(&self) {
        self.tell_time();
        self.connections.sweep(Instant::now());
        for watch in self.watches.borrow().values() {
            watch.look(&self.shared.limits, self.shared.tcp.idle_timeout);
        }
    }

    fn tell_time(&self) {
        let millis = self.started.elapsed().as_millis();
        self.ticks.set(u64::try_from(millis).unwrap_or(u64::MAX));
    }

    /// Lets requests under way finish, for as long as the limit allows.
    async fn drain(&self) {
        // A client that may be sending a request at this moment can be heard out where somebody
        // else takes what comes after it.
        let order = match self.shared.ending.has_successor() {
            true => Order::LastRequest,
            false => {
                self.connections.clear();
                Order::Finish
            }
        };
        for watch in self.watches.borrow().values() {
            watch.order(order);
        }
        let finished = async {
            while !self.watches.borrow().is_empty() {
                self.stirred.notified().await;
            }
        };
        if tokio::time::timeout(self.shared.ending.drain(), finished).await.is_err() {
            let requests = self.watches.borrow().len();
            debug!(requests, "requests did not finish in time and are cut");
        }
    }

    /// The notes on a connection, which is waited for at the end.
    pub(crate) fn watch(&self) -> Rc<Watch> {
        if self.watches.borrow().is_empty() {
            // Nobody may have looked at the clock for long.
            self.tell_time();
        }
        let watch = Rc::new(Watch::new(self.ticks.clone()));
        self.watches.borrow_mut().insert(Rc::as_ptr(&watch), watch.clone());
        self.stirred.notify_one();
        watch
    }

    /// Watches a connection no more, and waits for it no more at the end.
    pub(crate) fn leave(&self, watch: &Rc<Watch>) {
        self.watches.borrow_mut().remove(&Rc::as_ptr(watch));
        self.stirred.notify_one();
    }
}

// === impl Slot ===

impl Slot {
    /// Waits for a place.
    async fn take(worker: &Rc<Worker>) -> Self {
        while worker.open.get() >= worker.shared.limits.connections_max {
            worker.slot_free.notified().await;
        }
        worker.open.set(worker.open.get() + 1);
        Self { worker: worker.clone(), is_filled: false }
    }

    /// A place, if there is one.
    pub(crate) fn try_take(worker: &Rc<Worker>) -> Option<Self> {
        (worker.open.get() < worker.shared.limits.connections_max).then(|| {
            worker.open.set(worker.open.get() + 1);
            Self { worker: worker.clone(), is_filled: false }
        })
    }

    /// Notes that a connection came for it.
    fn fill(mut self) -> Self {
        self.is_filled = true;
        count(&self.worker.traffic.connections);
        self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.worker.open.set(self.worker.open.get() - 1);
        self.worker.slot_free.notify_one();
        if self.is_filled {
            self.worker.traffic.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

// === impl Peer ===

impl Peer {
    fn new(addr: SocketAddr, side: Side, tls: Option<Known>, slot: Slot) -> Self {
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        Self { addr, label: addr.to_string(), side, tls, _slot: slot }
    }

    /// The address without port.
    pub(crate) fn ip(&self) -> &str {
        ip_in(&self.label)
    }

    /// Whether its connection is in HTTP/2.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.tls.as_ref().is_some_and(|known| known.speaks_http2)
    }
}

/// The address in an address with port, as it is written without.
fn ip_in(label: &str) -> &str {
    let ip = label.rsplit_once(':').map_or(label, |(ip, _port)| ip);
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    ip.split_once('%').map_or(ip, |(ip, _scope)| ip)
}

#[test]
fn an_address_is_shown_without_its_port() {
    for text in ["10.0.0.1:80", "[::1]:80", "[2001:db8::7]:65535", "[fe80::1%3]:80"] {
        let addr: SocketAddr = text.parse().unwrap();
        assert_eq!(ip_in(&addr.to_string()), addr.ip().to_string());
    }
}
