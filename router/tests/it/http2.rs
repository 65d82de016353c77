//! HTTP/2 in front: by a client that knows it (`client`), and frame by frame (`frames`); and HTTP/2
//! to endpoints.

pub(crate) mod client;
mod endpoints;
mod frames;
mod hostile;
mod requests;
mod strangers;

use std::sync::Arc;

use lattice_router::Config;
use lattice_router::tls::{Certificates, Clients, Front, Version, Versions};
use rustls::ClientConfig;

use crate::support::World;
use crate::tls::{Authority, client as believing};

/// A router that speaks HTTP/2 to who believes the authority.
pub(crate) async fn world(change: impl FnOnce(&mut Config)) -> (World, Authority) {
    let authority = Authority::new("one");
    let world = World::with(|config| {
        speaks_http2(config, &authority);
        change(config);
    });
    (world.await, authority)
}

/// Has a router speak HTTP/2 to who believes the authority.
pub(crate) fn speaks_http2(config: &mut Config, authority: &Authority) {
    lattice_daemon::install_crypto();
    let leaf = authority.leaf(&["web.test"]).identity();
    let front = Front {
        certificates: Arc::new(Certificates::new(vec![leaf]).unwrap()),
        clients: Clients::Unasked,
        subject_rules: Vec::new(),
        versions: Versions { min: Version::Tls12, max: Version::Tls13 },
        cipher_suites: Vec::new(),
        speaks_http2: true,
        answers_challenges: false,
    };
    config.front_tls = Some(Arc::new(front.config().unwrap()));
    config.listeners[0].is_tls = true;
}

/// What a client speaks that asks for HTTP/2.
pub(crate) fn asking(authority: &Authority) -> ClientConfig {
    let mut config = believing(authority, None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
