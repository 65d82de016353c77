//! Orders certificates for hosts of people's own from an authority that speaks ACME (RFC 8555), and
//! renews them in time.
//!
//! | Part | Is |
//! |---|---|
//! | `orders` | the one task that sees what is due, and keeps what comes of it |
//! | `authority` | one order, from the account to the certificate |
//! | `transport` | HTTPS to the authority, within bounds |
//!
//! When something is due is decided in [`crate::custom_domains`]. How the authority is convinced
//! that a host is ours is for the router's side: see [`Responder`].

mod authority;
mod orders;
mod transport;

use std::sync::Arc;

use async_trait::async_trait;
use lattice_daemon::clock::Clock;
use lattice_daemon::tasks::Tasks;
use tracing::info;

use crate::Handle;
use authority::Acme;
use orders::Orders;
use transport::Https;

/// The authority that is asked unless the operator names another one: Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Whom to ask, and as whom.
#[derive(Debug, Clone)]
pub struct AcmeConfig {
    /// The URL of the authority's directory; https.
    pub directory: String,
    /// Where the authority may write to about certificates.
    pub email: Option<String>,
    /// Who vouches for the authority's own server, beside those whom this machine trusts; PEM.
    pub roots: Option<String>,
}

/// What every router answers an authority that asks whether a host is ours.
#[derive(Clone, PartialEq, Eq)]
pub enum Challenge {
    /// To `GET /.well-known/acme-challenge/TOKEN` in clear (RFC 8555, section 8.3).
    Http {
        /// The last part of the path.
        token: String,
        /// The whole body.
        answer: String,
    },
    /// To a handshake for `acme-tls/1` (RFC 8737): this certificate is shown.
    TlsAlpn {
        /// In PEM.
        certificate: String,
        /// In PEM.
        key: String,
    },
}

/// The routers, as far as authorities look at them.
#[async_trait]
pub trait Responder: Send + Sync + 'static {
    /// Every router gives this answer for the host when it returns.
    async fn present(&self, host: &str, challenge: Challenge);
    /// No router has to any more.
    async fn withdraw(&self, host: &str);
}

/// Why no authority can be asked.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// What should vouch for the authority's server cannot be used.
    #[error("the certificates that should vouch for the authority's server cannot be used")]
    Roots(#[source] reqwest::Error),
    /// The client cannot be made.
    #[error("cannot make the client for the authority")]
    Client(#[source] reqwest::Error),
}

/// Orders what is due for this brain, from now on until `tasks` end.
pub fn start(
    config: AcmeConfig,
    brain: &Handle,
    responder: Arc<dyn Responder>,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<(), AcmeError> {
    let line = Arc::new(Https::new(&config)?);
    info!(directory = config.directory, "certificates are ordered");
    let directory = config.directory.clone();
    let authority = Arc::new(Acme::new(config, line, brain.clone(), responder));
    let orders = Orders::new(brain.clone(), (authority, &directory), clock);
    tasks.critical("brain-certificates", orders.run(tasks.shutdown().clone()));
    Ok(())
}
