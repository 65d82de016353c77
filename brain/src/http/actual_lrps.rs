//! `/v1/actual_lrps` (B.1, B.5).

use axum::extract::State;
use axum::http::StatusCode;
use lattice_api::brain::bodies::ActualLrpResponse;
use lattice_daemon::gate::Authorized;
use lattice_model::{ActualLrp, ErrorName, ProcessGuid, Refusal};

use super::Api;
use super::answer::{Answer, empty, ok, with_body};
use super::domains::Filter;
use super::parts::{Path, Query};

pub(super) async fn list(
    _: Authorized,
    State(api): State<Api>,
    Query(filter): Query<Filter>,
) -> Answer {
    let lrps = match filter.domain() {
        Ok(domain) => api.receptor.actual_lrps(domain.as_ref()).await?,
        Err(_) => Vec::new(),
    };
    Ok(ok(&bodies(&lrps)))
}

pub(super) async fn list_of(
    _: Authorized,
    State(api): State<Api>,
    Path(guid): Path<String>,
) -> Answer {
    let lrps = match ProcessGuid::new(&guid) {
        Ok(guid) => api.receptor.actual_lrps_of(&guid).await?,
        Err(_) => Vec::new(),
    };
    Ok(ok(&bodies(&lrps)))
}

pub(super) async fn show(
    _: Authorized,
    State(api): State<Api>,
    Path((guid, index)): Path<(String, String)>,
) -> Answer {
    let index = number(&index)?;
    let lrps = match ProcessGuid::new(&guid) {
        Ok(guid) => api.receptor.actual_lrps_of(&guid).await?,
        Err(_) => Vec::new(),
    };
    let found = lrps.iter().find(|lrp| i64::from(lrp.key.index) == index);
    Ok(match found {
        Some(lrp) => ok(&ActualLrpResponse::from(lrp)),
        // The original's way of saying that there is none.
        None => with_body(StatusCode::NOT_FOUND, &serde_json::Value::Null),
    })
}

/// What they use, measured now. Ours.
pub(super) async fn usage_of(
    _: Authorized,
    State(api): State<Api>,
    Path(guid): Path<String>,
) -> Answer {
    let usage = match ProcessGuid::new(&guid) {
        Ok(guid) => api.receptor.usage_of(&guid).await?,
        Err(_) => Vec::new(),
    };
    Ok(ok(&usage))
}

pub(super) async fn retire(
    _: Authorized,
    State(api): State<Api>,
    Path((text, index)): Path<(String, String)>,
) -> Answer {
    let number = number(&index)?;
    let (Ok(guid), Ok(index)) = (ProcessGuid::new(&text), u32::try_from(number)) else {
        let shown = super::shortened(&text);
        let message =
            format!("process-guid '{shown}' does not exist or has no instance at index {number}");
        return Err(Refusal::new(ErrorName::ActualLRPIndexNotFound, message).into());
    };
    api.receptor.retire(&guid, index).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn bodies(lrps: &[ActualLrp]) -> Vec<ActualLrpResponse> {
    lrps.iter().map(ActualLrpResponse::from).collect()
}

pub(super) fn number(index: &str) -> Result<i64, Refusal> {
    let not_a_number = |_| Refusal::new(ErrorName::InvalidRequest, "index not a number");
    index.parse().map_err(not_a_number)
}
