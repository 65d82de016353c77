//! Draining cells and spreading instances anew; ours.

use axum::extract::State;
use axum::http::StatusCode;
use lattice_api::brain::bodies::moves::{parse_drain, parse_rebalance};
use lattice_daemon::gate::Authorized;
use lattice_model::{CellId, ErrorName, Refusal};

use super::Api;
use super::answer::{Answer, empty, ok};
use super::body::Json;
use super::parts::Path;

pub(super) async fn drain(
    _: Authorized,
    State(api): State<Api>,
    Path(cell): Path<String>,
    Json(body): Json,
) -> Answer {
    let how = parse_drain(&body)?;
    Ok(ok(&api.receptor.drain_cell(&cell_id(&cell)?, how).await?))
}

pub(super) async fn undrain(
    _: Authorized,
    State(api): State<Api>,
    Path(cell): Path<String>,
) -> Answer {
    api.receptor.undrain_cell(&cell_id(&cell)?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn rebalance(_: Authorized, State(api): State<Api>, Json(body): Json) -> Answer {
    Ok(ok(&api.receptor.rebalance(parse_rebalance(&body)?).await?))
}

pub(super) async fn list(_: Authorized, State(api): State<Api>) -> Answer {
    Ok(ok(&api.receptor.moves().await?))
}

/// A name that cannot be one names nothing.
fn cell_id(text: &str) -> Result<CellId, Refusal> {
    CellId::new(text).map_err(|_| {
        let message = format!("there is no cell '{}'", super::shortened(text));
        Refusal::new(ErrorName::CellNotFound, message)
    })
}
