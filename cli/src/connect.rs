//! The only place that knows which clients there are: it makes them for a target.

use std::sync::Arc;

use async_trait::async_trait;
use lattice_api::brain::client::ReceptorClient;
use lattice_api::brain::{self, BrainError, Receptor};
use lattice_api::log_aggregator::LogReader;
use lattice_api::log_aggregator::client::LogClient;
use lattice_api::router::{RouteProbe, RouterClient};

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
    /// The router, as anybody meets it.
    pub router: Arc<dyn RouteProbe>,
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
            router: Arc::new(RouterClient),
        })
    }
}

#[async_trait]
impl RawSubmit for ReceptorClient {
    async fn submit(&self, path: &str, json: &[u8]) -> Result<(), BrainError> {
        Self::submit(self, path, json).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use lattice_api::router::{ROUTER_ERROR, Reached};

    use super::*;

    async fn probe(path: &str) -> Reached {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Router::new()
            .route("/app", get(|| async { "hello" }))
            .route("/its-404", get(|| async { StatusCode::NOT_FOUND }))
            .route("/slow", get(|| tokio::time::sleep(Duration::from_secs(60))))
            .route("/none", get(|| async { ([(ROUTER_ERROR, "unknown_route")], "no") }));
        let serving = tokio::spawn(async move { axum::serve(listener, server).await });
        let reached = RouterClient.probe(&format!("http://127.0.0.1:{port}{path}")).await;
        serving.abort();
        reached
    }

    #[tokio::test]
    async fn what_an_app_answers_is_its_own_matter() {
        for path in ["/app", "/its-404", "/slow"] {
            assert_eq!(probe(path).await, Reached::App, "{path}");
        }
    }

    #[tokio::test]
    async fn a_router_says_that_it_knows_no_app() {
        assert_eq!(probe("/none").await, Reached::Router("unknown_route".to_owned()));
    }

    #[tokio::test]
    async fn nobody_is_there_where_nobody_listens() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let reached = RouterClient.probe(&format!("http://127.0.0.1:{port}/")).await;
        assert!(matches!(&reached, Reached::Nobody(why) if why.contains("refused")), "{reached:?}");
    }
}
