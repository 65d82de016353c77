//! `/v1/cells` (B.7).

use axum::extract::State;
use lattice_api::brain::bodies::CellResponse;
use lattice_daemon::gate::Authorized;

use super::Api;
use super::answer::{Answer, ok};

pub(super) async fn list(_: Authorized, State(api): State<Api>) -> Answer {
    let cells = api.receptor.cells().await?;
    Ok(ok(&cells.iter().map(CellResponse::from).collect::<Vec<_>>()))
}
