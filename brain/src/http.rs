//! The Receptor API's server: decodes, asks the brain, encodes. It holds no rules but those of the
//! wire.
//!
//! A request passes, from the outside in: the catch of panics, what lets pages of listed origins
//! ask, the limit of requests in flight, the gate, and the router. Every handler takes [`Authorized`], which only the gate can make.

mod actual_lrps;
mod answer;
mod arrival;
mod auth;
mod body;
mod cells;
mod cors;
mod custom_domains;
pub mod dashboard;
mod desired_lrps;
mod domains;
mod endpoints;
mod events;
mod images;
mod limit;
pub(crate) mod listener;
mod moves;
pub mod openapi;
mod parts;
mod platform_hosts;
mod progress;
pub(crate) mod range;
mod registry_credentials;
mod sync;
mod tasks;
mod version;

use std::any::Any;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use lattice_api::brain::{Receptor, routes};
use lattice_daemon::credentials::Admin;
use lattice_daemon::gate::{Authorized, Denied, Gate, Origins};
use lattice_daemon::tasks::Tasks;
use lattice_model::id::GUID_BYTES_MAX;
use lattice_model::{ErrorName, Refusal};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::warn;

use limit::Limit;
pub use listener::{ListenError, ListenerLimits};

/// How the Receptor API is served.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who may command; `None` lets everyone (`--no-auth`).
    pub admin: Option<Admin>,
    /// Whose pages may ask and read the answers, besides the server's own (CORS); usually nobody's.
    pub origins: Origins,
    /// Where `ltc` is kept for `/v1/sync`, as `linux/ltc`, `osx/ltc` and `windows/ltc.exe`.
    pub artifacts: Option<PathBuf>,
    /// The domain under which the platform's own hostnames are (`lattice.localhost`).
    pub domain: String,
    /// The bounds.
    pub limits: HttpLimits,
}

/// Bounds of the Receptor API's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// The largest body read, in bytes.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// The most requests being answered at once; more are answered 429.
    pub requests_max: usize,
    /// The most event streams at once; more are answered 429.
    pub streams_max: usize,
    /// Bounds of the connections.
    pub listener: ListenerLimits,
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    receptor: Arc<dyn Receptor>,
    domain: Arc<str>,
    artifacts: Option<Arc<Path>>,
    limits: HttpLimits,
    streams: Limit,
    shutdown: CancellationToken,
}

// === impl HttpConfig ===

impl HttpConfig {
    /// The usual bounds on a free port of loopback, for this administrator and domain.
    pub fn on_loopback(admin: Option<Admin>, domain: impl Into<String>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin,
            origins: Origins::default(),
            artifacts: None,
            domain: domain.into(),
            limits: HttpLimits::default(),
        }
    }
}

// === impl HttpLimits ===

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            requests_max: 1024,
            streams_max: 256,
            listener: ListenerLimits::default(),
        }
    }
}

/// Serves the Receptor API until shutdown; returns the bound address.
pub async fn serve(
    config: HttpConfig,
    receptor: Arc<dyn Receptor>,
    tasks: &Tasks,
) -> Result<SocketAddr, ListenError> {
    let (listen, limits) = (config.listen, config.limits.listener);
    let app = app(receptor, config, tasks.shutdown().clone());
    listener::serve("receptor", listen, app, limits, tasks).await
}

/// The Receptor API as a service; event streams end when `shutdown` is cancelled.
pub fn app(receptor: Arc<dyn Receptor>, config: HttpConfig, shutdown: CancellationToken) -> Router {
    guarded(endpoints::router(), receptor, config, shutdown)
}

/// These paths behind the gate and within the bounds.
fn guarded(
    router: Router<Api>,
    receptor: Arc<dyn Receptor>,
    config: HttpConfig,
    shutdown: CancellationToken,
) -> Router {
    let gate = Gate::new(config.admin, deny).with_cookie(routes::COOKIE);
    let gate = gate.with_origins(config.origins.clone());
    let limits = config.limits;
    if config.origins == Origins::Any {
        warn!("every page that an administrator's browser shows may command this platform");
    }
    let api = Api {
        receptor,
        domain: config.domain.to_ascii_lowercase().into(),
        artifacts: config.artifacts.map(Arc::from),
        limits,
        streams: Limit::new("event streams", limits.streams_max),
        shutdown,
    };
    let in_flight = Limit::new("requests in flight", limits.requests_max);
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(api)
        .layer(from_fn_with_state(gate, Gate::guard))
        .layer(from_fn_with_state(in_flight, limit_in_flight))
        .layer(from_fn_with_state(Arc::new(config.origins), cors::share))
        .layer(CatchPanicLayer::custom(panicked))
}

/// The answer to a request that the gate keeps out.
fn deny(denied: Denied) -> Response {
    match denied {
        Denied::Unauthorized => {
            let refusal = Refusal::new(ErrorName::Unauthorized, "Unauthorized");
            let mut response = answer::refuse_with(StatusCode::UNAUTHORIZED, &refusal);
            let challenge = "Basic realm=\"API Authentication\"";
            let challenge = axum::http::HeaderValue::from_static(challenge);
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, challenge);
            response
        }
        Denied::ForeignOrigin => {
            let message = "requests from pages of another origin are refused";
            let refusal = Refusal::new(ErrorName::Unauthorized, message);
            answer::refuse_with(StatusCode::FORBIDDEN, &refusal)
        }
    }
}

async fn unknown_path(_: Authorized) -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

async fn wrong_method(_: Authorized) -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").into_response()
}

async fn limit_in_flight(State(limit): State<Limit>, request: Request, next: Next) -> Response {
    match limit.enter() {
        Ok(_permit) => next.run(request).await,
        Err(message) => answer::refuse(&Refusal::new(ErrorName::TooManyRequests, message)),
    }
}

fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = %text, "a request's handler panicked");
    let message = "an internal fault; the platform's log has more";
    answer::refuse(&Refusal::new(ErrorName::UnknownError, message))
}

/// A guid as it is shown in an error, which may be longer than any that exists.
fn shortened(guid: &str) -> String {
    guid.chars().take(GUID_BYTES_MAX).collect()
}
