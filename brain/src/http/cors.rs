//! Lets pages of listed origins ask, and read the answers (B.0, CORS).
//!
//! Only the browser is told here; whether a request passes is the gate's to say.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use lattice_daemon::gate::Origins;

/// What a preflight asks, and how it is answered: with the same.
const ECHOED: [(HeaderName, HeaderName); 2] = [
    (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
    (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
];

/// The middleware, outside the gate: a preflight brings no credentials.
pub(super) async fn share(
    State(origins): State<Arc<Origins>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = origins.allowed(request.headers()).cloned();
    let mut response = match (&origin, request.method()) {
        (Some(_), &Method::OPTIONS) => preflight(request.headers()),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    if !origins.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let yes = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
    response
}

fn preflight(asked: &HeaderMap) -> Response {
    let mut response = Response::default();
    for (question, answer) in ECHOED {
        if let Some(value) = asked.get(question) {
            response.headers_mut().insert(answer, value.clone());
        }
    }
    response
}
