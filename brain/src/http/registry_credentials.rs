//! `PUT /v1/registry_credentials`: what cells need to pull images. Written, never read. Ours.

use axum::extract::State;
use axum::http::StatusCode;
use lattice_api::brain::bodies::parse_registry_credentials;
use lattice_daemon::gate::Authorized;

use super::Api;
use super::answer::{Answer, empty};
use super::body::Json;

pub(super) async fn put(_: Authorized, State(api): State<Api>, Json(body): Json) -> Answer {
    api.receptor.put_registry_credentials(parse_registry_credentials(&body)?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
