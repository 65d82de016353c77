//! What cells need to pull images; passwords are written and never read. Ours.

use axum::extract::State;
use axum::http::StatusCode;
use lattice_api::brain::bodies::parse_registry_credentials;
use lattice_daemon::gate::Authorized;

use super::Api;
use super::answer::{Answer, empty, ok};
use super::body::Json;
use super::parts::Path;

pub(super) async fn list(_: Authorized, State(api): State<Api>) -> Answer {
    Ok(ok(&api.receptor.registry_accounts().await?))
}

pub(super) async fn put(_: Authorized, State(api): State<Api>, Json(body): Json) -> Answer {
    api.receptor.put_registry_credentials(parse_registry_credentials(&body)?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn remove(
    _: Authorized,
    State(api): State<Api>,
    Path(registry): Path<String>,
) -> Answer {
    api.receptor.remove_registry_credentials(&registry).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
