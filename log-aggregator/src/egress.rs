//! Doppler's paths: who asks is let in by the gate, and gets dropsonde v1 envelopes (logs 3.4).

mod admission;
mod answers;
mod connections;
mod listener;

use axum::Router;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use lattice_api::log_aggregator::routes;
use lattice_daemon::gate::Gate;
use lattice_daemon::tasks::Tasks;
use tokio::net::TcpListener;

use crate::config::{Config, Limits};
use crate::handle::{Ended, Handle};

pub use admission::gate;

/// What the handlers need.
#[derive(Debug, Clone)]
struct Context {
    handle: Handle,
    tasks: Tasks,
    limits: Limits,
}

/// The app id or subscription that the path names; any text that is not too long.
struct Id(Arc<str>);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(id) = path.map_err(|rejection| rejection.into_response())?;
        let max = routes::ID_BYTES_MAX;
        if id.len() > max {
            let text = format!("the id has {} bytes; at most {max} are looked up", id.len());
            return Err((StatusCode::BAD_REQUEST, text).into_response());
        }
        Ok(Self(id.into()))
    }
}

/// Serves until shutdown.
pub(crate) async fn serve(listener: TcpListener, config: Config, handle: Handle, tasks: Tasks) {
    let limits = config.limits;
    let context = Context { handle: handle.clone(), tasks: tasks.clone(), limits: limits.clone() };
    let router = router(context, config.gate);
    connections::accept(listener, router, limits.connections, handle, tasks).await;
}

fn router(context: Context, gate: Gate) -> Router {
    Router::new()
        .route(routes::STREAM, get(listener::stream))
        .route(routes::FIREHOSE, get(listener::firehose))
        .route(routes::RECENT, get(answers::recent))
        .route(routes::CONTAINER_METRICS, get(answers::container_metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .with_state(context)
        .layer(from_fn_with_state(gate, Gate::guard))
        .layer(from_fn(admission::authorization_from_cookie))
}

async fn not_found(uri: Uri) -> Response {
    (StatusCode::NOT_FOUND, format!("Resource Not Found. {}", uri.path())).into_response()
}

fn ended(ended: Ended) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, ended.to_string()).into_response()
}
