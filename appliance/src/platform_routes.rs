//! Announces the platform's own host names on the bus, as a cell does for its instances.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::bus::Bus;
use lattice_model::wire::registration::{REGISTER, Registration, START};
use tokio_util::sync::CancellationToken;

/// How often routes are announced; routers forget them after six times that.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// A host name of the platform and the server behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformRoute {
    /// `receptor.DOMAIN` and its like.
    pub host: String,
    /// Where its server listens.
    pub endpoint: SocketAddr,
}

/// Announces at once, with every heartbeat, and whenever a router starts.
pub async fn announce(routes: Vec<PlatformRoute>, bus: Arc<dyn Bus>, shutdown: CancellationToken) {
    let mut router_starts = bus.subscribe(START);
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = heartbeat.tick() => {}
            Some(_) = router_starts.next() => {}
        }
        for route in &routes {
            bus.publish(REGISTER, &registration(route));
        }
    }
}

fn registration(route: &PlatformRoute) -> Vec<u8> {
    let registration = Registration {
        host: route.endpoint.ip().to_string(),
        port: route.endpoint.port(),
        uris: vec![route.host.clone()],
        tags: [("component".to_owned(), "platform".to_owned())].into(),
        ..Registration::default()
    };
    serde_json::to_vec(&registration).expect("a registration is JSON")
}
