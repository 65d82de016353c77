//! Hosts of people's own: has the router show the certificates that the brain keeps for them, and
//! the brain order some where the operator agreed to an authority's terms.

use std::fs;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use lattice_brain::acme::{self, AcmeConfig, Challenge, Responder};
use lattice_brain::custom_domains::CustomDomains;
use lattice_daemon::clock::Clock;
use lattice_daemon::tasks::Tasks;
use lattice_router::Challenges;
use lattice_router::tls::{Certificates, Identity};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::args::Acme;

/// The routers of this process: one, which has what it is given at once.
struct OwnRouter(Arc<Challenges>);

/// Begins with both; without an operator's agreement, with the first alone.
pub fn start(
    args: &Acme,
    brain: &lattice_brain::Handle,
    certificates: Arc<Certificates>,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let responder = Arc::new(OwnRouter(Arc::clone(certificates.challenges())));
    let follow = follow(brain.follow_custom_domains(), certificates, tasks.shutdown().clone());
    tasks.critical("custom-domains", follow);
    if args.accept_terms {
        acme::start(config(args)?, brain, responder, clock, tasks)?;
    }
    Ok(())
}

fn config(args: &Acme) -> anyhow::Result<AcmeConfig> {
    let read = |path: &std::path::PathBuf| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let roots = args.root.as_ref().map(read).transpose()?;
    Ok(AcmeConfig { directory: args.directory.clone(), email: args.email.clone(), roots })
}

/// Shows what is kept now, and follows what changes; connections that are open stay as they are.
async fn follow(
    mut kept: watch::Receiver<CustomDomains>,
    certificates: Arc<Certificates>,
    shutdown: CancellationToken,
) {
    loop {
        show(&kept.borrow_and_update(), &certificates);
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = kept.changed() => if changed.is_err() { return },
        }
    }
}

fn show(kept: &CustomDomains, certificates: &Certificates) {
    let identities = kept.values().map(|kept| {
        let domain = &kept.domain;
        (domain.host.as_str(), Identity::of_pem(&domain.certificate, &domain.key))
    });
    for (host, why) in certificates.show_for_hosts(identities) {
        warn!(host, %why, "a custom domain's certificate cannot be shown");
    }
    info!(hosts = kept.len(), "certificates of custom domains are shown");
}

#[async_trait]
impl Responder for OwnRouter {
    async fn present(&self, host: &str, challenge: Challenge) {
        match challenge {
            Challenge::Http { token, answer } => self.0.show_file(host, &token, &answer),
            Challenge::TlsAlpn { certificate, key } => {
                let shown = Identity::of_pem(&certificate, &key)
                    .and_then(|identity| self.0.show_certificate(host, identity));
                if let Err(why) = shown {
                    warn!(host, %why, "an authority cannot be shown what it asks for");
                }
            }
        }
    }

    async fn withdraw(&self, host: &str) {
        self.0.withdraw(host);
    }
}
