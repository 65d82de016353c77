//! HTTPS to the authority: no answer is longer or takes longer than it may, and a wish to be left
//! alone is remembered.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::{Body, Certificate, Client, redirect};

use super::{AcmeConfig, AcmeError};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest answer in bytes; the longest is a certificate with its chain.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What carries requests to the authority.
#[async_trait]
pub(super) trait Line: Send + Sync + 'static {
    /// Asks, and returns the whole answer.
    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, Error>;
}

/// HTTPS and nothing else.
pub(super) struct Https(Client);

/// For one order; clones share what they remember.
#[derive(Clone)]
pub(super) struct Transport {
    line: Arc<dyn Line>,
    rest: Arc<Mutex<Option<Duration>>>,
}

// === impl Https ===

impl Https {
    /// Trusts whom this machine trusts, and whom the operator does.
    pub(super) fn new(config: &AcmeConfig) -> Result<Self, AcmeError> {
        let mut builder = Client::builder()
            .https_only(true)
            .timeout(ANSWER)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("lattice/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &config.roots {
            let roots = Certificate::from_pem_bundle(pem.as_bytes()).map_err(AcmeError::Roots)?;
            builder = builder.tls_certs_merge(roots);
        }
        Ok(Self(builder.build().map_err(AcmeError::Client)?))
    }
}

#[async_trait]
impl Line for Https {
    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, Error> {
        let (parts, body) = request.into_parts();
        let request = self.0.request(parts.method, parts.uri.to_string());
        let sent = request.headers(parts.headers).body(Body::wrap(body)).send().await;
        let answer = sent.map_err(other)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut response = Response::new(whole(answer).await?);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

// === impl Transport ===

impl Transport {
    pub(super) fn new(line: Arc<dyn Line>) -> Self {
        Self { line, rest: Arc::default() }
    }

    /// How long the authority wanted to be left alone when it last refused something.
    pub(super) fn rest(&self) -> Option<Duration> {
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (parts, body) = self.line.send(request).await?.into_parts();
        if parts.status.is_client_error() || parts.status.is_server_error() {
            let rest = seconds(&parts.headers);
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = rest;
        }
        Ok(BytesResponse { parts, body: Box::new(body) })
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().exchange(request))
    }
}

/// `Retry-After` in seconds; a date is not read, and one's own rest has to do.
fn seconds(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

async fn whole(mut response: reqwest::Response) -> Result<Bytes, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(other)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            let message = format!("the authority's answer has more than {ANSWER_BYTES_MAX} bytes");
            return Err(Error::Other(message.into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

fn other(error: reqwest::Error) -> Error {
    Error::Other(Box::new(error))
}
