//! The router of `lattice up`: where it listens, from when on, and how it takes its leave.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use lattice_daemon::bus::Bus;
use lattice_model::wire::registration::{GREET, START};
use lattice_router::tls::Certificates;
use lattice_router::{Listener, Reserved, Side};
use tracing::warn;

use crate::args::Up;
use crate::authority;
use crate::platform_routes::PlatformRoute;
use crate::sockets;
use crate::up::Carriers;

/// How long who is connected may take for one more request, when the next process takes those after.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
const FAILED: &str = "the router did not start";

/// The router, and where it is to listen once it knows the routes.
pub(crate) struct Front {
    handle: lattice_router::Handle,
    listeners: Vec<Listener>,
}

impl Front {
    /// Starts the router; it takes what was kept of a former one, and nobody yet. With it go the
    /// certificates that it shows, where it speaks TLS.
    pub(crate) async fn start(
        args: &Up,
        platform: &[PlatformRoute],
        (gateway, kept): (Ipv4Addr, Vec<TcpListener>),
        carriers: &Carriers,
    ) -> anyhow::Result<(Self, Option<Arc<Certificates>>)> {
        let mut config = lattice_router::Config::new(&args.domain);
        let mut shown = None;
        let listeners = listeners(args, gateway);
        config.keeper = sockets::keeper();
        config.tcp.addrs = public_addrs(args);
        config.tcp.reserved.extend(listeners.iter().map(|listener| listener.addr.port()));
        if args.https_port != 0 {
            let (front, certificates) = authority::front(&args.data.data_dir, &args.domain)?;
            config.front_tls = Some(Arc::new(front));
            config.challenges = Arc::clone(certificates.challenges());
            shown = Some(certificates);
        }
        let reserve =
            |route: &PlatformRoute| Reserved { host: route.host.clone(), endpoint: route.endpoint };
        config.reserved = platform.iter().map(reserve).collect();
        // Here registrations come at once and cannot be missed, so a route that is gone is soon unknown.
        config.freshness.prune_interval = Duration::from_secs(5);
        config.freshness.empty_route_kept = Duration::from_secs(10);
        config.platform_to_instances = args.allow_instances_to_platform;
        let Carriers { tasks, clock, bus, logs } = carriers;
        let started = lattice_router::start(
            config,
            Arc::clone(bus),
            Arc::clone(logs),
            Arc::clone(clock),
            tasks,
        );
        let handle = started.await.context(FAILED)?;
        handle.inherit(kept);
        Ok((Self { handle, listeners }, shown))
    }

    /// Listens, once all is known that was announced before: who has waited while the platform was
    /// started again is not told that his app does not exist.
    pub(crate) async fn open(&self, bus: &Arc<dyn Bus>) -> anyhow::Result<()> {
        let mut answers = bus.subscribe(START);
        bus.publish(GREET, b"");
        answers.next().await.context(FAILED)?;
        for listener in &self.listeners {
            self.handle.listen(*listener).context(FAILED)?;
        }
        for addr in self.handle.disinherit() {
            warn!(%addr, "closed: the lattice before this one listened there");
        }
        Ok(())
    }

    /// Answers those who are connected, and leaves those who come to the next process, where
    /// somebody keeps the sockets for it.
    pub(crate) async fn leave(&self) {
        if sockets::keeper().is_none() {
            return;
        }
        self.handle.drain_within(LAST_REQUESTS);
        self.handle.retire();
        self.handle.retired().await;
    }
}

/// Loopback, and where it was asked for.
fn public_addrs(args: &Up) -> Vec<IpAddr> {
    let mut public: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into()];
    if !args.listen.is_loopback() {
        if args.listen.is_unspecified() {
            public.clear();
        }
        public.push(args.listen);
    }
    public
}

/// The public side, in clear and under TLS; the instances' side in clear.
fn listeners(args: &Up, gateway: Ipv4Addr) -> Vec<Listener> {
    let public = public_addrs(args);
    let mut listeners = Vec::new();
    for (port, is_tls) in [(args.http_port, false), (args.https_port, true)] {
        let on =
            |ip: &IpAddr| Listener { addr: SocketAddr::new(*ip, port), side: Side::Public, is_tls };
        listeners.extend(public.iter().filter(|_| port != 0).map(on));
    }
    let inside = SocketAddr::from((gateway, args.http_port));
    listeners.push(Listener { addr: inside, side: Side::Instances, is_tls: false });
    listeners
}
