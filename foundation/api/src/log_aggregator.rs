//! The log-aggregator's face towards listeners: doppler's paths and their reader.

pub mod client;
pub mod multipart;
pub mod routes;

pub use client::LogClient;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use lattice_model::Envelope;

/// Why logs cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// Credentials are missing or wrong.
    #[error("the log-aggregator did not accept the credentials: {0}")]
    Unauthorized(String),
    /// No answer came.
    #[error("cannot reach the log-aggregator at {url}: {cause}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What went wrong below.
        cause: String,
    },
    /// The answer is not one a log-aggregator gives.
    #[error("unexpected answer from {url}: {what}")]
    BadAnswer {
        /// What was asked.
        url: String,
        /// What was odd about it.
        what: String,
    },
}

/// Envelopes as they arrive.
pub type EnvelopeStream = BoxStream<'static, Result<Envelope, LogError>>;

/// Reading logs and metrics (loggregator generation A, logs 3.4).
#[async_trait]
pub trait LogReader: Send + Sync {
    /// Everything of `app_id` from now on.
    async fn stream(&self, app_id: &str) -> Result<EnvelopeStream, LogError>;
    /// The most recent log lines, oldest first.
    async fn recent(&self, app_id: &str) -> Result<Vec<Envelope>, LogError>;
    /// The newest measurement of each instance.
    async fn container_metrics(&self, app_id: &str) -> Result<Vec<Envelope>, LogError>;
}
