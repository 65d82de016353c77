//! `/v1/cells` (B.7).

use axum::extract::State;
use lattice_api::brain::bodies::CellResponse;
use lattice_daemon::gate::Authorized;
use lattice_model::CellPresence;

use super::Api;
use super::answer::{Answer, ok};

pub(super) async fn list(_: Authorized, State(api): State<Api>) -> Answer {
    let cells = api.receptor.cells().await?;
    let draining = api.receptor.moves().await?.draining;
    let body = |cell: &CellPresence| CellResponse {
        draining: draining.iter().any(|draining| draining.cell_id == cell.cell_id),
        ..CellResponse::from(cell)
    };
    Ok(ok(&cells.iter().map(body).collect::<Vec<_>>()))
}
