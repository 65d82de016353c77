//! `/v1/version` (B.1).

use axum::extract::State;
use lattice_daemon::gate::Authorized;

use super::Api;
use super::answer::{Answer, ok};

pub(super) async fn show(_: Authorized, State(api): State<Api>) -> Answer {
    Ok(ok(&api.receptor.version().await?))
}
