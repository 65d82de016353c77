//! Reads a request's JSON body, within the limits.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use futures_util::StreamExt as _;
use lattice_api::brain::bodies;
use lattice_model::{ErrorName, Refusal};
use serde_json::Value;
use tracing::warn;

use super::Api;
use super::answer::{Problem, refuse_with};

/// So much of a body that is too large is still read, so that its sender gets to see the answer.
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A body that is JSON.
#[derive(Debug)]
pub(super) struct Json(pub(super) Value);

impl FromRequest<Api> for Json {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        if is_form(&request) {
            let message = "EOF: the body came as a form; send `Content-Type: application/json`";
            return Err(Refusal::new(ErrorName::InvalidJSON, message).into());
        }
        let limits = api.limits;
        let declared = request.headers().get(header::CONTENT_LENGTH);
        let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok());
        if let Some(declared) = declared.filter(|bytes| *bytes > DRAINED_BYTES_MAX) {
            return Err(too_large(declared, limits.body_bytes_max));
        }
        let body = read(request.into_body(), limits.body_bytes_max);
        let Ok(body) = tokio::time::timeout(limits.body_timeout, body).await else {
            return Err(too_slow(limits.body_timeout));
        };
        Ok(Self(bodies::parse_json(&body?)?))
    }
}

/// The original let its form parser eat such bodies, and then missed them (B.0).
fn is_form(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

async fn read(body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut arrived = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let broken =
            |e| Refusal::new(ErrorName::InvalidRequest, format!("the body broke off: {e}"));
        let chunk = chunk.map_err(broken)?;
        arrived = arrived.saturating_add(chunk.len());
        if arrived > DRAINED_BYTES_MAX {
            break;
        }
        if arrived <= bytes_max {
            bytes.extend_from_slice(&chunk);
        }
    }
    if arrived <= bytes_max { Ok(bytes) } else { Err(too_large(arrived, bytes_max)) }
}

fn too_large(bytes: usize, bytes_max: usize) -> Problem {
    warn!(bytes, bytes_max, "a request's body is too large");
    let message = format!("the body has {bytes} bytes or more: at most {bytes_max} bytes are read");
    let refusal = Refusal::new(ErrorName::InvalidRequest, message);
    refuse_with(StatusCode::PAYLOAD_TOO_LARGE, &refusal).into()
}

fn too_slow(timeout: Duration) -> Problem {
    warn!(?timeout, "a request's body does not arrive");
    let message = format!("the body did not arrive within {} s", timeout.as_secs());
    let refusal = Refusal::new(ErrorName::InvalidRequest, message);
    refuse_with(StatusCode::REQUEST_TIMEOUT, &refusal).into()
}
