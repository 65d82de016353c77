//! `/v1/tasks` (B.1, B.6).

use axum::extract::State;
use axum::http::StatusCode;
use lattice_api::brain::bodies::TaskResponse;
use lattice_api::brain::bodies::task::parse_create;
use lattice_daemon::gate::Authorized;
use lattice_model::{ErrorName, Refusal, TaskGuid};

use super::Api;
use super::answer::{Answer, empty, ok};
use super::body::Json;
use super::domains::Filter;
use super::parts::{Path, Query};

pub(super) async fn list(
    _: Authorized,
    State(api): State<Api>,
    Query(filter): Query<Filter>,
) -> Answer {
    let tasks = match filter.domain() {
        Ok(domain) => api.receptor.tasks(domain.as_ref()).await?,
        Err(_) => Vec::new(),
    };
    Ok(ok(&tasks.iter().map(TaskResponse::from).collect::<Vec<_>>()))
}

pub(super) async fn create(_: Authorized, State(api): State<Api>, Json(body): Json) -> Answer {
    api.receptor.desire_task(parse_create(&body)?).await?;
    Ok(empty(StatusCode::CREATED))
}

pub(super) async fn show(
    _: Authorized,
    State(api): State<Api>,
    Path(guid): Path<String>,
) -> Answer {
    let task = api.receptor.task(&task_guid(&guid)?).await?;
    Ok(ok(&TaskResponse::from(&task)))
}

pub(super) async fn cancel(
    _: Authorized,
    State(api): State<Api>,
    Path(guid): Path<String>,
) -> Answer {
    api.receptor.cancel_task(&task_guid(&guid)?).await?;
    Ok(empty(StatusCode::OK))
}

pub(super) async fn remove(
    _: Authorized,
    State(api): State<Api>,
    Path(guid): Path<String>,
) -> Answer {
    api.receptor.delete_task(&task_guid(&guid)?).await?;
    Ok(empty(StatusCode::OK))
}

/// A guid that cannot be one names nothing.
fn task_guid(text: &str) -> Result<TaskGuid, Refusal> {
    TaskGuid::new(text).map_err(|_| {
        let message = format!("task with guid '{}' not found", super::shortened(text));
        Refusal::new(ErrorName::TaskNotFound, message)
    })
}
