//! A router with one route, for measuring: `proxy LISTEN BACKEND [WORKERS [APP]]`, host `web.test`.
//! Without an app no access lines are written.

use std::net::SocketAddr;
use std::sync::Arc;

use lattice_daemon::bus::{Bus, InProcessBus};
use lattice_daemon::clock::SystemClock;
use lattice_daemon::log_ingress;
use lattice_daemon::tasks::Tasks;
use lattice_model::wire::registration::{REGISTER, Registration};
use lattice_router::{Config, Listener, Side};

type Fault = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or("usage: proxy LISTEN BACKEND [WORKERS [APP]]");
    let (addr, backend): (SocketAddr, SocketAddr) = (next()?.parse()?, next()?.parse()?);
    let mut config = Config::new("test");
    if let Ok(workers) = next() {
        config.workers = workers.parse()?;
    }
    config.listeners = vec![Listener { addr, side: Side::Public, is_tls: false }];
    let (tasks, bus) = (Tasks::default(), Arc::new(InProcessBus::default()));
    let (ingress, mut lines) = log_ingress::channel();
    let logs = Arc::new(ingress);
    let _router =
        lattice_router::start(config, bus.clone(), logs, Arc::new(SystemClock), &tasks).await?;
    let registration = Registration {
        host: backend.ip().to_string(),
        port: backend.port(),
        uris: vec!["web.test".to_owned()],
        app: next().unwrap_or_default(),
        ..Registration::default()
    };
    bus.publish(REGISTER, &serde_json::to_vec(&registration)?);
    while lines.envelopes.recv().await.is_some() {}
    Ok(())
}
