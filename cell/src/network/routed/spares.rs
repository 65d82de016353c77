//! Namespaces that are made before anybody needs them, so that an instance's start does not wait for
//! one. Until one is given to a container it is attached under a name of its own, and whoever comes
//! after a crash removes it like any other leftover.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{RoutedNetwork, Shared, to_its_end};
use crate::network::NetworkError;
use crate::runtime::ContainerId;

/// When making one is tried again that could not be made.
const AGAIN: Duration = Duration::from_secs(30);

impl RoutedNetwork {
    /// Keeps so many ready until `shutdown`, and then removes them.
    pub fn keep_spares(
        &self,
        count: usize,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move {
            while !shutdown.is_cancelled() {
                match shared.fill_up(count, &shutdown).await {
                    Ok(()) => {}
                    Err(why) => tracing::warn!(%why, "no network namespace is made in advance"),
                }
                tokio::select! {
                    () = shared.spare_taken.notified() => {}
                    () = tokio::time::sleep(AGAIN) => {}
                    () = shutdown.cancelled() => {}
                }
            }
            if let Err(why) = shared.remove_spares().await {
                tracing::warn!(%why, "a network namespace stays until the next start");
            }
        }
    }
}

impl Shared {
    async fn fill_up(
        self: &Arc<Self>,
        count: usize,
        shutdown: &CancellationToken,
    ) -> Result<(), NetworkError> {
        while self.in_use.lock().await.spares.len() < count && !shutdown.is_cancelled() {
            let shared = Arc::clone(self);
            to_its_end(async move { shared.make_spare().await }).await?;
        }
        Ok(())
    }

    async fn make_spare(&self) -> Result<(), NetworkError> {
        let (id, record) = {
            let mut in_use = self.in_use.lock().await;
            let record = in_use.place(self.config.own_users)?;
            // No container is called so. Nobody else has the address.
            let id =
                ContainerId::new(&format!("-spare-{:04x}", self.cables.offset(record.address)));
            self.admit(&mut in_use, &id, &record)?;
            in_use.spares.insert(id.clone(), false);
            (id, record)
        };
        if let Err(why) = self.connect(&id, &record).await {
            self.detach(&id).await?;
            return Err(why);
        }
        self.in_use.lock().await.spares.insert(id, true);
        Ok(())
    }

    /// Also those that are being made.
    pub(super) async fn remove_spares(&self) -> Result<(), NetworkError> {
        let all: Vec<ContainerId> = self.in_use.lock().await.spares.keys().cloned().collect();
        for id in all {
            self.detach(&id).await?;
        }
        Ok(())
    }
}
