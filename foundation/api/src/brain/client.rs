//! The Receptor over HTTP, as a client.

mod sse;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lattice_model::{
    ActualLrp, CellId, CellPresence, CustomDomain, CustomDomainStatus, DesiredLrp,
    DesiredLrpUpdate, Domain, ErrorName, ProcessGuid, Refusal, RegistryAccount,
    RegistryCredentials, Task, TaskDefinition, TaskGuid,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bodies::{self, ActualLrpResponse, CellResponse, CustomDomainBody, DesiredLrpResponse};
use super::images::{CellImages, CellPruned};
use super::moves::{DrainRequest, MovePlan, Moves, RebalanceRequest};
use super::usage::CellUsage;
use super::{
    BrainError, EventId, EventStream, Explanation, InstanceProgress, Receptor, Version, routes,
};
use crate::localhost;

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a receptor may be silent in the middle of an answer; its event streams are not.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// The header by which a router says that it, not the receptor, answered.
const ROUTER_ERROR: &str = "x-cf-routererror";

/// Where a receptor is, and as whom to speak to it. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Scheme, host and port (`http://receptor.lattice.localhost:8080`).
    pub base_url: String,
    /// User and password, where the receptor wants them.
    pub credentials: Option<(String, String)>,
}

/// Speaks to a receptor over HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReceptorClient {
    http: reqwest::Client,
    target: Target,
}

// === impl Target ===

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.credentials.as_ref().map(|(user, _)| user);
        f.debug_struct("Target")
            .field("base_url", &self.base_url)
            .field("user", &user)
            .finish_non_exhaustive()
    }
}

// === impl ReceptorClient ===

impl ReceptorClient {
    /// A client for this target; nothing is sent yet. The process's TLS provider must be installed.
    pub fn new(target: &Target) -> Result<Self, BrainError> {
        let unreachable =
            |cause: String| BrainError::Unreachable { url: target.base_url.clone(), cause };
        let base_url = target.base_url.trim_end_matches('/').to_owned();
        let url = Url::parse(&base_url).map_err(|e| unreachable(e.to_string()))?;
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_MAX)
            .redirect(reqwest::redirect::Policy::none());
        let http = localhost::pin(builder, &url).build().map_err(|e| unreachable(chain(&e)))?;
        Ok(Self { http, target: Target { base_url, credentials: target.credentials.clone() } })
    }

    /// POSTs a JSON document as it is, so that the receptor and nobody else judges it.
    pub async fn submit(&self, path: &str, json: &[u8]) -> Result<(), BrainError> {
        let request = self.request(Method::POST, path);
        let request = request.header(header::CONTENT_TYPE, "application/json").body(json.to_vec());
        self.send(path, request).await.map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.target.base_url)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
        match &self.target.credentials {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
    }

    async fn send(&self, path: &str, request: RequestBuilder) -> Result<Response, BrainError> {
        let response = request.send().await.map_err(|e| self.unreachable(path, &e))?;
        if let Some(why) = response.headers().get(ROUTER_ERROR) {
            let why = String::from_utf8_lossy(why.as_bytes()).into_owned();
            return Err(Refusal::new(ErrorName::RouterError, why).into());
        }
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED => Err(BrainError::Unauthorized),
            status => Err(self.refusal(path, status, response).await),
        }
    }

    async fn refusal(&self, path: &str, status: StatusCode, response: Response) -> BrainError {
        match response.bytes().await {
            Ok(body) => match serde_json::from_slice::<Refusal>(&body) {
                Ok(refusal) => refusal.into(),
                Err(_) => {
                    let code = status.as_u16();
                    self.bad_answer(path, format!("Invalid Response with status code: {code}"))
                }
            },
            Err(e) => self.unreachable(path, &e),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, BrainError> {
        self.fetch(path, self.request(Method::GET, path)).await
    }

    /// POSTs a body and reads what is answered.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, BrainError> {
        self.fetch(path, self.request(Method::POST, path).json(body)).await
    }

    async fn fetch<T: DeserializeOwned>(
        &self,
        path: &str,
        request: RequestBuilder,
    ) -> Result<T, BrainError> {
        let response = self.send(path, request).await?;
        let body = response.bytes().await.map_err(|e| self.unreachable(path, &e))?;
        serde_json::from_slice(&body).map_err(|e| self.bad_answer(path, e.to_string()))
    }

    /// A list of one domain's records, or of all.
    async fn list(&self, path: &str, domain: Option<&Domain>) -> Result<Vec<Value>, BrainError> {
        let request = self.request(Method::GET, path);
        let request = match domain {
            Some(domain) => request.query(&[("domain", domain.as_str())]),
            None => request,
        };
        let response = self.send(path, request).await?;
        let body = response.bytes().await.map_err(|e| self.unreachable(path, &e))?;
        serde_json::from_slice(&body).map_err(|e| self.bad_answer(path, e.to_string()))
    }

    async fn order(&self, method: Method, path: &str) -> Result<(), BrainError> {
        self.send(path, self.request(method, path)).await.map(drop)
    }

    async fn write<T: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: &T,
    ) -> Result<(), BrainError> {
        self.send(path, self.request(method, path).json(body)).await.map(drop)
    }

    fn unreachable(&self, path: &str, error: &reqwest::Error) -> BrainError {
        BrainError::Unreachable { url: self.url(path), cause: chain(error) }
    }

    fn bad_answer(&self, path: &str, what: String) -> BrainError {
        BrainError::BadAnswer { url: self.url(path), what }
    }

    /// Reads each record of a list; the first that is none makes the answer a bad one.
    fn read_all<T>(
        &self,
        path: &str,
        records: &[Value],
        read: fn(&Value) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, BrainError> {
        records.iter().map(|record| self.read(path, read(record))).collect()
    }

    fn read<T>(&self, path: &str, read: Result<T, Refusal>) -> Result<T, BrainError> {
        read.map_err(|refusal| self.bad_answer(path, refusal.message))
    }

    fn read_actual(
        &self,
        path: &str,
        records: Vec<ActualLrpResponse>,
    ) -> Result<Vec<ActualLrp>, BrainError> {
        let read = |record: ActualLrpResponse| {
            ActualLrp::try_from(record).map_err(|e| self.bad_answer(path, e.to_string()))
        };
        records.into_iter().map(read).collect()
    }
}

#[async_trait]
impl Receptor for ReceptorClient {
    async fn desire_lrp(&self, lrp: DesiredLrp) -> Result<(), BrainError> {
        self.write(Method::POST, routes::DESIRED_LRPS, &DesiredLrpResponse::from(&lrp)).await
    }

    async fn update_lrp(
        &self,
        guid: &ProcessGuid,
        update: DesiredLrpUpdate,
    ) -> Result<(), BrainError> {
        self.write(Method::PUT, &routes::desired_lrp(guid), &update).await
    }

    async fn remove_lrp(&self, guid: &ProcessGuid) -> Result<(), BrainError> {
        self.order(Method::DELETE, &routes::desired_lrp(guid)).await
    }

    async fn desired_lrp(&self, guid: &ProcessGuid) -> Result<Arc<DesiredLrp>, BrainError> {
        let path = routes::desired_lrp(guid);
        let record: Value = self.get(&path).await?;
        self.read(&path, bodies::desired_lrp::parse_response(&record)).map(Arc::new)
    }

    async fn desired_lrps(
        &self,
        domain: Option<&Domain>,
    ) -> Result<Vec<Arc<DesiredLrp>>, BrainError> {
        let path = routes::DESIRED_LRPS;
        let records = self.list(path, domain).await?;
        let lrps = self.read_all(path, &records, bodies::desired_lrp::parse_response)?;
        Ok(lrps.into_iter().map(Arc::new).collect())
    }

    async fn actual_lrps(&self, domain: Option<&Domain>) -> Result<Vec<ActualLrp>, BrainError> {
        let path = routes::ACTUAL_LRPS;
        let records = Value::Array(self.list(path, domain).await?);
        let records = serde_json::from_value(records);
        self.read_actual(path, records.map_err(|e| self.bad_answer(path, e.to_string()))?)
    }

    async fn actual_lrps_of(&self, guid: &ProcessGuid) -> Result<Vec<ActualLrp>, BrainError> {
        let path = routes::actual_lrps_of(guid);
        let records = self.get(&path).await?;
        self.read_actual(&path, records)
    }

    async fn retire(&self, guid: &ProcessGuid, index: u32) -> Result<(), BrainError> {
        self.order(Method::DELETE, &routes::actual_lrp(guid, index)).await
    }

    async fn progress_of(&self, guid: &ProcessGuid) -> Result<Vec<InstanceProgress>, BrainError> {
        self.get(&routes::progress(guid)).await
    }

    async fn usage_of(&self, guid: &ProcessGuid) -> Result<Vec<CellUsage>, BrainError> {
        self.get(&routes::usage(guid)).await
    }

    async fn explain(&self, guid: &ProcessGuid, index: u32) -> Result<Explanation, BrainError> {
        self.get(&routes::explanation(guid, index)).await
    }

    async fn desire_task(&self, task: TaskDefinition) -> Result<(), BrainError> {
        let body = bodies::task::TaskCreateRequest::from(&task);
        self.write(Method::POST, routes::TASKS, &body).await
    }

    async fn task(&self, guid: &TaskGuid) -> Result<Task, BrainError> {
        let path = routes::task(guid);
        let record: Value = self.get(&path).await?;
        self.read(&path, bodies::task::parse_response(&record))
    }

    async fn tasks(&self, domain: Option<&Domain>) -> Result<Vec<Task>, BrainError> {
        let records = self.list(routes::TASKS, domain).await?;
        self.read_all(routes::TASKS, &records, bodies::task::parse_response)
    }

    async fn cancel_task(&self, guid: &TaskGuid) -> Result<(), BrainError> {
        self.order(Method::POST, &routes::cancel_task(guid)).await
    }

    async fn delete_task(&self, guid: &TaskGuid) -> Result<(), BrainError> {
        self.order(Method::DELETE, &routes::task(guid)).await
    }

    async fn cells(&self) -> Result<Vec<CellPresence>, BrainError> {
        let records: Vec<CellResponse> = self.get(routes::CELLS).await?;
        let read = |record: CellResponse| {
            let cell = CellPresence::try_from(record);
            cell.map_err(|e| self.bad_answer(routes::CELLS, e.to_string()))
        };
        records.into_iter().map(read).collect()
    }

    async fn drain_cell(&self, cell: &CellId, how: DrainRequest) -> Result<MovePlan, BrainError> {
        self.ask(&routes::drain(cell), &how).await
    }

    async fn undrain_cell(&self, cell: &CellId) -> Result<(), BrainError> {
        self.order(Method::DELETE, &routes::drain(cell)).await
    }

    async fn rebalance(&self, how: RebalanceRequest) -> Result<MovePlan, BrainError> {
        self.ask(routes::REBALANCE, &how).await
    }

    async fn moves(&self) -> Result<Moves, BrainError> {
        self.get(routes::MOVES).await
    }

    async fn images(&self) -> Result<Vec<CellImages>, BrainError> {
        self.get(routes::IMAGES).await
    }

    async fn prune_images(&self) -> Result<Vec<CellPruned>, BrainError> {
        self.fetch(routes::PRUNE_IMAGES, self.request(Method::POST, routes::PRUNE_IMAGES)).await
    }

    async fn upsert_domain(&self, domain: Domain, ttl_s: Option<u64>) -> Result<(), BrainError> {
        let path = routes::domain(&domain);
        let request = self.request(Method::PUT, &path);
        let request = match ttl_s {
            Some(ttl_s) => request.header(header::CACHE_CONTROL, format!("max-age={ttl_s}")),
            None => request,
        };
        self.send(&path, request).await.map(drop)
    }

    async fn domains(&self) -> Result<Vec<Domain>, BrainError> {
        self.get(routes::DOMAINS).await
    }

    async fn version(&self) -> Result<Version, BrainError> {
        self.get(routes::VERSION).await
    }

    async fn put_registry_credentials(&self, c: RegistryCredentials) -> Result<(), BrainError> {
        self.write(Method::PUT, routes::REGISTRY_CREDENTIALS, &c).await
    }

    async fn registry_accounts(&self) -> Result<Vec<RegistryAccount>, BrainError> {
        self.get(routes::REGISTRY_CREDENTIALS).await
    }

    async fn remove_registry_credentials(&self, registry: &str) -> Result<(), BrainError> {
        self.order(Method::DELETE, &routes::registry_credentials_of(registry)).await
    }

    async fn put_custom_domain(
        &self,
        domain: CustomDomain,
    ) -> Result<CustomDomainStatus, BrainError> {
        let path = routes::custom_domain(&domain.host);
        let body = CustomDomainBody::from(&domain);
        self.fetch(&path, self.request(Method::PUT, &path).json(&body)).await
    }

    async fn order_certificate(&self, host: &str) -> Result<CustomDomainStatus, BrainError> {
        let path = routes::custom_domain(host);
        let body = CustomDomainBody::Ordered { order: true };
        self.fetch(&path, self.request(Method::PUT, &path).json(&body)).await
    }

    async fn custom_domains(&self) -> Result<Vec<CustomDomainStatus>, BrainError> {
        self.get(routes::CUSTOM_DOMAINS).await
    }

    async fn remove_custom_domain(&self, host: &str) -> Result<(), BrainError> {
        self.order(Method::DELETE, &routes::custom_domain(host)).await
    }

    async fn events(&self, after: Option<EventId>) -> Result<EventStream, BrainError> {
        let path = routes::EVENTS;
        let mut request = self.request(Method::GET, path).query(&[("tasks", "true")]);
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let response = self.send(path, request).await?;
        let url = self.url(path);
        let failed = url.clone();
        let bytes = response.bytes_stream().map(move |chunk| {
            chunk.map_err(|e| BrainError::Unreachable { url: failed.clone(), cause: chain(&e) })
        });
        Ok(sse::events(bytes, url).boxed())
    }
}

/// An error and what is below it, in one line.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(below) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&below.to_string());
        cause = below.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}
