//! Recent lines and newest measurements, each in one answer of many parts.

use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use lattice_api::log_aggregator::multipart;
use lattice_daemon::gate::Authorized;
use lattice_model::Envelope;
use lattice_model::wire::dropsonde;
use serde::Deserialize;

use super::{Context, Id, ended};

/// How many lines are wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Count {
    limit: Option<usize>,
}

pub(super) async fn recent(
    _: Authorized,
    State(context): State<Context>,
    Id(app_id): Id,
    Query(count): Query<Count>,
) -> Response {
    context.handle.recent_lines(&app_id, count.limit).await.map_or_else(ended, |e| parts(&e))
}

pub(super) async fn container_metrics(
    _: Authorized,
    State(context): State<Context>,
    Id(app_id): Id,
) -> Response {
    context.handle.newest_metrics(&app_id).await.map_or_else(ended, |e| parts(&e))
}

fn parts(envelopes: &[Envelope]) -> Response {
    // Random, so that no one can write a line that holds it.
    let boundary = format!("{:032x}{:016x}", rand::random::<u128>(), rand::random::<u64>());
    let parts: Vec<Vec<u8>> = envelopes.iter().map(dropsonde::encode).collect();
    let content_type = [(header::CONTENT_TYPE, multipart::content_type(&boundary))];
    (content_type, multipart::encode(&parts, &boundary)).into_response()
}
