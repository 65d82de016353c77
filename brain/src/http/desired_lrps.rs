//! `/v1/desired_lrps` (B.1, B.2).

use axum::extract::State;
use axum::http::StatusCode;
use lattice_api::brain::bodies::DesiredLrpResponse;
use lattice_api::brain::bodies::desired_lrp::{parse_create, parse_update};
use lattice_daemon::gate::Authorized;
use lattice_model::{ErrorName, ProcessGuid, Refusal};

use super::actual_lrps::number as index_number;
use super::answer::{Answer, empty, ok};
use super::body::Json;
use super::domains::Filter;
use super::parts::{Path, Query};
use super::{Api, platform_hosts};

pub(super) async fn list(
    _: Authorized,
    State(api): State<Api>,
    Query(filter): Query<Filter>,
) -> Answer {
    let lrps = match filter.domain() {
        Ok(domain) => api.receptor.desired_lrps(domain.as_ref()).await?,
        Err(_) => Vec::new(),
    };
    let bodies: Vec<_> = lrps.iter().map(|lrp| DesiredLrpResponse::from(lrp.as_ref())).collect();
    Ok(ok(&bodies))
}

pub(super) async fn create(_: Authorized, State(api): State<Api>, Json(body): Json) -> Answer {
    let lrp = parse_create(&body)?;
    platform_hosts::check(&lrp.routes, &api.domain)?;
    api.receptor.desire_lrp(lrp).await?;
    Ok(empty(StatusCode::CREATED))
}

pub(super) async fn show(
    _: Authorized,
    State(api): State<Api>,
    Path(guid): Path<String>,
) -> Answer {
    let lrp = api.receptor.desired_lrp(&process_guid(&guid)?).await?;
    Ok(ok(&DesiredLrpResponse::from(lrp.as_ref())))
}

/// Where the auction would put an instance, and why. Ours.
pub(super) async fn explain(
    _: Authorized,
    State(api): State<Api>,
    Path((guid, index)): Path<(String, String)>,
) -> Answer {
    let guid = process_guid(&guid)?;
    let number = index_number(&index)?;
    let Ok(index) = u32::try_from(number) else {
        let message =
            format!("process-guid '{guid}' does not exist or has no instance at index {number}");
        return Err(Refusal::new(ErrorName::ActualLRPIndexNotFound, message).into());
    };
    Ok(ok(&api.receptor.explain(&guid, index).await?))
}

pub(super) async fn update(
    _: Authorized,
    State(api): State<Api>,
    Path(guid): Path<String>,
    Json(body): Json,
) -> Answer {
    let update = parse_update(&body)?;
    if let Some(routes) = &update.routes {
        platform_hosts::check(routes, &api.domain)?;
    }
    api.receptor.update_lrp(&process_guid(&guid)?, update).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn remove(
    _: Authorized,
    State(api): State<Api>,
    Path(guid): Path<String>,
) -> Answer {
    api.receptor.remove_lrp(&process_guid(&guid)?).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// A guid that cannot be one names nothing.
fn process_guid(text: &str) -> Result<ProcessGuid, Refusal> {
    ProcessGuid::new(text).map_err(|_| {
        let shown = super::shortened(text);
        let message = format!("Desired LRP with guid '{shown}' not found");
        Refusal::new(ErrorName::DesiredLRPNotFound, message)
    })
}
