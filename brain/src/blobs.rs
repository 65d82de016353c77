//! The appliance's own registry: the OCI distribution protocol v1.1 over plain files.
//!
//! Bytes are named by what they are, under `DATA_DIR/registry`: `blobs/sha256/ab/<hex>` holds every
//! blob and manifest once, `repositories/<name>` what each repository calls its own, `uploads` what
//! is still arriving. Blobs stream to disk and are never held in memory.

mod address;
mod answer;
mod blob;
mod catalog;
mod garbage;
mod manifest;
mod manifests;
mod store;
mod unnamed;
mod upload;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use lattice_daemon::credentials::Admin;
use lattice_daemon::gate::{Authorized, Denied, Gate};
use lattice_daemon::tasks::Tasks;
use tower_http::catch_panic::CatchPanicLayer;

use crate::http::listener;
use crate::http::{ListenError, ListenerLimits};
use address::Resource;
use answer::{Code, Problem};
use store::Store;

pub use garbage::{Collected, collect_garbage};
pub use store::StoreError;
pub use unnamed::WantedImages;

const SERVER: &str = "registry";

/// How the registry is served.
#[derive(Debug, Clone)]
pub struct BlobsConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Blobs are kept in its `registry` directory.
    pub data_dir: PathBuf,
    /// Who may push and pull; `None` lets everyone (`--no-auth`).
    pub admin: Option<Admin>,
    /// Origins of pages that may ask, besides the server's own.
    pub origins: Vec<String>,
    /// The bounds.
    pub limits: BlobsLimits,
}

/// Bounds of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobsLimits {
    /// The largest blob, in bytes.
    pub blob_bytes_max: u64,
    /// The largest manifest, in bytes.
    pub manifest_bytes_max: usize,
    /// The most uploads that are begun and not finished; more are answered 429.
    pub uploads_max: usize,
    /// Bytes of the disk that stay free: the platform commits its records to the same disk.
    pub free_bytes_min: u64,
    /// An upload that nothing was added to for so long is dropped.
    pub upload_age_max: Duration,
    /// A manifest that nothing names is kept for so long after it was pushed.
    pub unnamed_age_min: Duration,
    /// How long a sender may be silent in the middle of a body.
    pub silence_max: Duration,
    /// How often unused blobs and stale uploads are looked for.
    pub garbage_interval: Duration,
    /// Bounds of the connections.
    pub listener: ListenerLimits,
}

/// What handlers share.
#[derive(Clone)]
struct Registry {
    store: Arc<Store>,
    limits: BlobsLimits,
}

// === impl BlobsConfig ===

impl BlobsConfig {
    /// The usual bounds on a free port of loopback.
    pub fn on_loopback(data_dir: impl Into<PathBuf>, admin: Option<Admin>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: data_dir.into(),
            admin,
            origins: Vec::new(),
            limits: BlobsLimits::default(),
        }
    }
}

// === impl BlobsLimits ===

impl Default for BlobsLimits {
    fn default() -> Self {
        Self {
            blob_bytes_max: 10 * 1024 * 1024 * 1024,
            manifest_bytes_max: 4 * 1024 * 1024,
            uploads_max: 256,
            free_bytes_min: 512 * 1024 * 1024,
            upload_age_max: Duration::from_secs(24 * 3600),
            unnamed_age_min: Duration::from_secs(7 * 24 * 3600),
            silence_max: Duration::from_secs(60),
            garbage_interval: Duration::from_secs(3600),
            listener: ListenerLimits::default(),
        }
    }
}

/// Serves the registry until shutdown, and tidies it now and then; returns the bound address.
/// Where nobody tells which images are wanted, manifests stay until they are deleted.
pub async fn serve(
    config: BlobsConfig,
    images: Option<Arc<dyn WantedImages>>,
    tasks: &Tasks,
) -> Result<SocketAddr, ListenError> {
    let (listen, limits) = (config.listen, config.limits);
    let path = config.data_dir.join(store::DIRECTORY);
    let unusable = |source| ListenError::Directory { server: SERVER, path: path.clone(), source };
    let store = Arc::new(Store::open(&config.data_dir).map_err(unusable)?);
    let gate = Gate::new(config.admin, deny).with_origins(config.origins);
    let app = app(store.clone(), limits, gate);
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("registry garbage", async move {
        let tidying = garbage::tidy_forever(store, limits, images);
        shutdown.run_until_cancelled(tidying).await;
    });
    listener::serve(SERVER, listen, app, limits.listener, tasks).await
}

fn app(store: Arc<Store>, limits: BlobsLimits, gate: Gate) -> Router {
    Router::new()
        .fallback(dispatch)
        .with_state(Registry { store, limits })
        .layer(from_fn_with_state(gate, Gate::guard))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::new(Code::Unknown, "an internal fault; the platform's log has more")
                .into_response()
        }))
}

/// Repository names have slashes, which is why the protocol's paths are read by hand.
async fn dispatch(
    authorized: Authorized,
    State(registry): State<Registry>,
    request: Request,
) -> Response {
    let resource = match address::parse(request.uri().path()) {
        Ok(resource) => resource,
        Err(problem) => return problem.into_response(),
    };
    let (head, body) = request.into_parts();
    let method = head.method.clone();
    let answer = match (&method, resource) {
        (&Method::GET | &Method::HEAD, Resource::Root) => Ok(answer::root()),
        (&Method::GET, Resource::Catalog) => catalog::repositories(&registry, &head.uri).await,
        (&Method::GET, Resource::Tags(name)) => catalog::tags(&registry, name, &head.uri).await,
        (&Method::GET, Resource::Referrers(name, digest)) => {
            manifests::referrers(&registry, name, digest).await
        }
        (&Method::GET | &Method::HEAD, Resource::Blob(_, digest)) => {
            blob::show(&registry, digest, &head).await
        }
        (_, Resource::Uploads(name)) if method == Method::POST => {
            upload::begin(authorized, &registry, name, Request::from_parts(head, body)).await
        }
        (_, Resource::Upload(name, id)) => {
            upload::go_on(authorized, &registry, (name, id), Request::from_parts(head, body)).await
        }
        (_, Resource::Manifest(name, reference)) => {
            manifests::handle(
                authorized,
                &registry,
                (name, reference),
                Request::from_parts(head, body),
            )
            .await
        }
        (_, _) => Err(Problem::unsupported(&method)),
    };
    answer.unwrap_or_else(Problem::into_response)
}

fn deny(denied: Denied) -> Response {
    let problem = match denied {
        Denied::Unauthorized => Problem::new(Code::Unauthorized, "authentication required"),
        Denied::ForeignOrigin => {
            Problem::new(Code::Denied, "requests from pages of another origin are refused")
        }
    };
    problem.into_response()
}
