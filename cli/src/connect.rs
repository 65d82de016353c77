//! The only place that knows which clients there are: it makes them for a target.

use std::sync::Arc;

use async_trait::async_trait;
use lattice_api::brain::client::ReceptorClient;
use lattice_api::brain::{self, BrainError, Receptor};
use lattice_api::log_aggregator::LogReader;
use lattice_api::log_aggregator::client::LogClient;

use crate::exit::{Exit, Failure};
use crate::gateway::RegistryGateway;
use crate::image::ImageGateway;
use crate::target::Target;

/// Sends a JSON document as it is, so that the receptor and not `ltc` judges it.
#[async_trait]
pub trait RawSubmit: Send + Sync {
    /// POSTs to a path below the receptor's URL.
    async fn submit(&self, path: &str, json: &[u8]) -> Result<(), BrainError>;
}

/// Clients of one target.
#[derive(Clone)]
pub struct Clients {
    /// The brain.
    pub receptor: Arc<dyn Receptor>,
    /// The brain, for documents that pass as they are.
    pub raw: Arc<dyn RawSubmit>,
    /// Logs and metrics.
    pub logs: Arc<dyn LogReader>,
    /// Registries, and the platform's own at `registry.DOMAIN`.
    pub images: Arc<dyn ImageGateway>,
}

/// Makes clients; opens no connection by itself.
pub trait Connector: Send + Sync {
    /// Clients of this target.
    fn connect(&self, target: &Target) -> Result<Clients, Failure>;
}

/// Clients that speak over the network.
#[derive(Debug, Default, Clone, Copy)]
pub struct Network;

impl Connector for Network {
    fn connect(&self, target: &Target) -> Result<Clients, Failure> {
        let login = target.login.as_ref();
        let credentials = login.map(|login| (login.username.clone(), login.password.clone()));
        let receptor = brain::client::Target {
            base_url: target.receptor_url(),
            credentials: credentials.clone(),
        };
        let receptor = ReceptorClient::new(&receptor)
            .map_err(|e| Failure::new(Exit::BadTarget, e.to_string()))?;
        Ok(Clients {
            receptor: Arc::new(receptor.clone()),
            raw: Arc::new(receptor),
            logs: Arc::new(LogClient::new(target.doppler_url(), credentials)),
            images: Arc::new(RegistryGateway::new(target.clone())),
        })
    }
}

#[async_trait]
impl RawSubmit for ReceptorClient {
    async fn submit(&self, path: &str, json: &[u8]) -> Result<(), BrainError> {
        Self::submit(self, path, json).await
    }
}
