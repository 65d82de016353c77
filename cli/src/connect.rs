//! The only place that knows which clients there are: it makes them for a target.

use std::sync::Arc;

use async_trait::async_trait;
use lattice_api::brain::{BrainError, Receptor};
use lattice_api::log_aggregator::LogReader;

use crate::exit::{Exit, Failure};
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
        // The clients are made here and nowhere else: the Receptor client and the raw one for
        // `target.receptor_url()`, the log client for `target.doppler_url()`, the image gateway
        // for `target.registry()`, each with `target.login`.
        let message = format!("this build of ltc cannot speak to {}", target.receptor_url());
        Err(Failure::new(Exit::General, message))
    }
}
