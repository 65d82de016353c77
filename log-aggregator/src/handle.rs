//! How others in the same process reach the log-aggregator.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use lattice_api::log_aggregator::{EnvelopeStream, LogError, LogReader};
use lattice_model::Envelope;
use tokio::sync::{mpsc, oneshot};

use crate::actor::Ask;
use crate::fanout::{Subscription, Wanted};
use crate::metrics::Metrics;

/// Reads from the log-aggregator without a network. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    address: SocketAddr,
    asks: mpsc::Sender<Ask>,
    metrics: Arc<Metrics>,
}

/// The log-aggregator has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log-aggregator has ended")]
pub(crate) struct Ended;

// === impl Handle ===

impl Handle {
    pub(crate) fn new(address: SocketAddr, asks: mpsc::Sender<Ask>, metrics: Arc<Metrics>) -> Self {
        Self { address, asks, metrics }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) async fn recent_lines(
        &self,
        app_id: &str,
        count: Option<usize>,
    ) -> Result<Vec<Envelope>, Ended> {
        self.ask(|answer| Ask::Recent { app_id: app_id.into(), count, answer }).await
    }

    pub(crate) async fn newest_metrics(&self, app_id: &str) -> Result<Vec<Envelope>, Ended> {
        self.ask(|answer| Ask::Metrics { app_id: app_id.into(), answer }).await
    }

    pub(crate) async fn listen(&self, wanted: Wanted) -> Result<Subscription, Ended> {
        self.ask(|answer| Ask::Listen { wanted, answer }).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Ended> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(ask(answer)).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    fn ended(&self, ended: Ended) -> LogError {
        LogError::Unreachable { url: self.address.to_string(), cause: ended.to_string() }
    }
}

#[async_trait]
impl LogReader for Handle {
    async fn stream(&self, app_id: &str) -> Result<EnvelopeStream, LogError> {
        let wanted = Wanted::App(app_id.into());
        let subscription = self.listen(wanted).await.map_err(|e| self.ended(e))?;
        let envelopes = stream::unfold(subscription, |mut subscription| async {
            let mut next = Vec::with_capacity(1);
            subscription.next(&mut next, 1).await;
            Some((Ok(next.pop()?), subscription))
        });
        Ok(envelopes.boxed())
    }

    async fn recent(&self, app_id: &str) -> Result<Vec<Envelope>, LogError> {
        self.recent_lines(app_id, None).await.map_err(|e| self.ended(e))
    }

    async fn container_metrics(&self, app_id: &str) -> Result<Vec<Envelope>, LogError> {
        self.newest_metrics(app_id).await.map_err(|e| self.ended(e))
    }
}
