//! One connection of a TCP route: its endpoint is chosen, another one if that takes no connection,
//! and then bytes go both ways until both ends have closed, each in its time.

use core::net::{IpAddr, SocketAddr};
use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use lattice_model::envelope::Log;
use lattice_model::{Envelope, Time};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use super::Port;
use super::greeting::{self, Greeting};
use crate::access_log;
use crate::config::AccessLines;
use crate::connections::{Lease, Offer};
use crate::h1::Body;
use crate::h1::transfer::Transfer;
use crate::metrics::{add, count};
use crate::pool::{Endpoint, Route};
use crate::proxy::upgrade::poll_way;
use crate::select::{self, Asked, Choice};
use crate::watch::{Phase, Watch};
use crate::wire::{Broken, Stream, Wire};
use crate::worker::Worker;
use crate::worker::serving::{ACCEPT_REST, is_of_one_connection};

/// A connection, until its line is written.
struct Carried {
    worker: Rc<Worker>,
    port: Arc<Port>,
    client: IpAddr,
    began: Instant,
    near: Wire,
    name: Option<String>,
    /// Who is, or was last, tried.
    endpoint: Option<Held>,
    far: Option<Lease>,
    up: Transfer,
    down: Transfer,
    /// What the client, and the endpoint, had to say is said.
    ended: (bool, bool),
    /// Both ends have closed.
    is_complete: bool,
    error: String,
    _places: Places,
}

/// A place among the connections of a port, and one among those of a worker.
type Places = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// An endpoint that has this connection under way.
struct Held(Arc<Endpoint>);

/// Takes connections of a port until it closes.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener, port: Arc<Port>) {
    if port.closing.run_until_cancelled(port.serving.cancelled()).await.is_none() {
        return;
    }
    loop {
        let accepted = tokio::select! {
            biased;
            () = port.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                let taking = port.closing.run_until_cancelled(places(&worker, &port));
                // Who waits for a place at a port that closes is closed with it.
                let Some(Some(places)) = taking.await else { return };
                // From now on it is waited for at the worker's end.
                let watch = worker.watch();
                let carrying = carry(worker.clone(), port.clone(), (stream, addr), places, watch);
                tokio::task::spawn_local(carrying);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                warn!(%error, port = %port.name, "cannot accept connections");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Waits for places; none when there will be no more.
async fn places(worker: &Worker, port: &Port) -> Option<Places> {
    let of_port = place(&port.places, port, "limit of TCP connections to one port").await?;
    Some((of_port, place(&worker.tcp_places, port, "limit of TCP connections").await?))
}

async fn place(
    places: &Arc<Semaphore>,
    port: &Port,
    limit: &'static str,
) -> Option<OwnedSemaphorePermit> {
    if places.available_permits() == 0 {
        warn!(port = %port.name, limit, "limit reached; new connections wait");
    }
    places.clone().acquire_owned().await.ok()
}

async fn carry(
    worker: Rc<Worker>,
    port: Arc<Port>,
    (tcp, client): (TcpStream, SocketAddr),
    places: Places,
    watch: Rc<Watch>,
) {
    watch.enters(Phase::Through);
    let mut carried = Carried::new(worker.clone(), port, (tcp, client), places);
    let work = pin!(carried.carry(&watch));
    watch.over(work).await;
    worker.leave(&watch);
}

// === impl Carried ===

impl Carried {
    fn new(
        worker: Rc<Worker>,
        port: Arc<Port>,
        (tcp, client): (TcpStream, SocketAddr),
        places: Places,
    ) -> Self {
        count(&worker.traffic.tcp.taken);
        count(&worker.traffic.tcp.open);
        let began = || {
            let mut way = Transfer::new(Vec::new());
            way.begin(Body::UntilClose, false);
            way
        };
        Self {
            client: client.ip().to_canonical(),
            began: Instant::now(),
            near: Wire::new(Stream::Through(tcp)),
            name: None,
            endpoint: None,
            far: None,
            up: began(),
            down: began(),
            ended: (false, false),
            is_complete: false,
            error: String::new(),
            worker,
            port,
            _places: places,
        }
    }

    async fn carry(&mut self, watch: &Watch) {
        if self.port.is_split() {
            self.name = self.greeted().await;
        }
        let reached = match self.port.route(self.name.as_deref()) {
            Some(route) => self.reach(&route).await,
            None => Err("no_route".to_owned()),
        };
        match reached {
            Ok(mut lease) => {
                lease.wire.stream = lease.wire.stream.through();
                self.far = Some(lease);
            }
            Err(why) => {
                count(&self.worker.traffic.tcp.failed);
                debug!(port = %self.port.name, error = why, "no instance took a connection");
                self.error = why;
                return;
            }
        }
        watch.goes_on();
        match poll_fn(|cx| self.poll(cx, watch)).await {
            Ok(()) => self.is_complete = true,
            Err(why) => self.error = format!("broke_off ({why})"),
        }
    }

    /// The name the client asks for. Whoever says nothing in time is served without one: there are
    /// protocols in which the other side begins.
    async fn greeted(&mut self) -> Option<String> {
        let patience = tokio::time::Instant::now() + self.worker.shared.tcp.greeting_timeout;
        loop {
            match greeting::read(self.near.input.filled()) {
                Greeting::Name(name) => return Some(name),
                Greeting::Nameless => return None,
                Greeting::Partial => {}
            }
            let memory = &self.worker.memory;
            let reading = poll_fn(|cx| self.near.poll_read(cx, memory));
            match tokio::time::timeout_at(patience, reading).await {
                Ok(Ok(1..)) => {}
                // What it sent goes where those without a name go, its end included.
                Ok(Ok(0) | Err(_)) | Err(_) => return None,
            }
        }
    }

    /// A connection to the first endpoint that takes one.
    async fn reach(&mut self, route: &Route) -> Result<Lease, String> {
        let worker = self.worker.clone();
        let (shared, traffic) = (&worker.shared, &worker.traffic);
        let mut tried = Vec::new();
        let mut failure = "no_endpoints".to_owned();
        while tried.len() < shared.limits.attempts_max.max(1) {
            let now = shared.clock.now();
            let asked = Asked {
                balance: route.balance(),
                turn: route.next_turn(),
                tried: &tried,
                preferred: None,
                hashed: None,
                zone: shared.zone.as_deref(),
                in_flight_max: shared.limits.in_flight_per_endpoint_max,
                now,
            };
            let endpoint = match select::choose(route, &route.pool.load(), &asked) {
                Choice::Endpoint(endpoint) => endpoint,
                Choice::Busy => return Err("endpoints_busy".to_owned()),
                Choice::Nobody => break,
            };
            if !tried.is_empty() {
                count(&traffic.tcp.retries);
            }
            self.endpoint = Some(Held::new(endpoint.clone()));
            let patience = shared.limits.dial_timeout;
            match worker.connections.dial(&endpoint.backend, Offer::Nothing, patience).await {
                Ok(lease) => return Ok(lease),
                Err(trouble) => {
                    endpoint.backend.mark_failed(now + shared.limits.failed_for);
                    tried.push(endpoint.backend.id);
                    failure =
                        format!("endpoint_failure ({}: {trouble:?})", endpoint.backend.label());
                }
            }
        }
        Err(failure)
    }

    /// Moves what can be moved, both ways. Once one end has closed, the other may not stand still
    /// for ever.
    fn poll(&mut self, cx: &mut Context<'_>, watch: &Watch) -> Poll<Result<(), String>> {
        let Some(lease) = &mut self.far else { return Poll::Ready(Ok(())) };
        if watch.take_overdue() {
            let secs = self.worker.shared.tcp.idle_timeout.as_secs_f64();
            return Poll::Ready(Err(format!("no byte went either way for {secs} s")));
        }
        let (near, far, memory) = (&mut self.near, &mut lease.wire, &self.worker.memory);
        let tcp = &self.worker.traffic.tcp;
        let flow = (memory, || watch.moved());
        let before = (self.up.moved(), self.down.moved());
        poll_way(cx, &mut self.up, (&mut *near, &*far), flow, &mut self.ended.0)
            .map_err(|broken| told(&broken, "client"))?;
        poll_way(cx, &mut self.down, (far, near), flow, &mut self.ended.1)
            .map_err(|broken| told(&broken, "instance"))?;
        add(&tcp.received, self.up.moved() - before.0);
        add(&tcp.sent, self.down.moved() - before.1);
        match self.ended {
            (true, true) => return Poll::Ready(Ok(())),
            (true, false) | (false, true) => watch.enters(Phase::Streaming),
            (false, false) => {}
        }
        Poll::Pending
    }

    /// The app's line about the connection.
    fn line(&self, app: &str, at: Time) -> String {
        let far = self.endpoint.as_ref().map_or("-", |held| held.0.backend.label());
        let open_time = self.began.elapsed().as_secs_f64();
        let (received, sent) = (self.up.moved(), self.down.moved());
        let name = self.name.as_deref().unwrap_or("-");
        let error = match &*self.error {
            "" if self.is_complete => "-",
            "" => "cut_off",
            error => error,
        };
        let mut line = format!("TCP {} - [", self.port.name);
        access_log::timestamp(&mut line, at);
        // Writing to a String cannot fail.
        let _ = write!(
            line,
            "] {:?} -> {far:?} received:{received} sent:{sent} open_time:{open_time:.6} \
             app_id:{app:?} sni:{name:?} error:{error:?}",
            self.client,
        );
        line
    }

    fn log(&self) {
        let shared = &self.worker.shared;
        let whose =
            self.endpoint.as_ref().map(|held| (held.0.facts.app.clone(), held.0.index.clone()));
        let (app, index) = whose.unwrap_or_else(|| ("".into(), "".into()));
        match shared.lines {
            AccessLines::OfApps if app.is_empty() => return,
            AccessLines::None => return,
            AccessLines::All | AccessLines::OfApps => {}
        }
        let now = shared.clock.now();
        let log = Log::out(shared.source_type.clone(), self.line(&app, now));
        self.worker.lines.push(Envelope::log(app, index, now, log).into());
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        if !self.is_complete {
            // Neither end is to take what it has for all there was.
            self.near.stream.will_reset();
            if let Some(lease) = &self.far {
                lease.wire.stream.will_reset();
            }
        }
        self.worker.traffic.tcp.open.fetch_sub(1, Ordering::Relaxed);
        self.log();
    }
}

// === impl Held ===

impl Held {
    fn new(endpoint: Arc<Endpoint>) -> Self {
        endpoint.backend.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(endpoint)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.backend.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who broke off, when `from` was read.
fn told(broken: &Broken, from: &str) -> String {
    match broken {
        Broken::Source(why) => format!("{from}: {why}"),
        Broken::Malformed(violation) => format!("{from}: {violation}"),
        Broken::Sink => format!("what the {from} sent was not taken"),
    }
}
