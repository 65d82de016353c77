//! Has the router show the certificates that the brain keeps for hosts of people's own.

use std::sync::Arc;

use lattice_brain::custom_domains::CustomDomains;
use lattice_router::tls::{Certificates, Identity};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Shows what is kept now, and follows what changes; connections that are open stay as they are.
pub async fn follow(
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
    let identities = kept
        .values()
        .map(|domain| (domain.host.as_str(), Identity::of_pem(&domain.certificate, &domain.key)));
    for (host, why) in certificates.show_for_hosts(identities) {
        warn!(host, %why, "a custom domain's certificate cannot be shown");
    }
    info!(hosts = kept.len(), "certificates of custom domains are shown");
}
