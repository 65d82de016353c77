//! Certificates for hosts of people's own; their keys are written and never read. Ours.

use axum::extract::State;
use axum::http::StatusCode;
use lattice_api::brain::bodies::{CertificateSource, parse_custom_domain};
use lattice_daemon::gate::Authorized;

use super::Api;
use super::answer::{Answer, empty, ok};
use super::body::Json;
use super::parts::Path;

pub(super) async fn list(_: Authorized, State(api): State<Api>) -> Answer {
    Ok(ok(&api.receptor.custom_domains().await?))
}

pub(super) async fn put(
    _: Authorized,
    State(api): State<Api>,
    Path(host): Path<String>,
    Json(body): Json,
) -> Answer {
    let status = match parse_custom_domain(&host, &body)? {
        CertificateSource::Owner(domain) => api.receptor.put_custom_domain(domain).await?,
        CertificateSource::Authority(host) => api.receptor.order_certificate(&host).await?,
    };
    Ok(ok(&status))
}

pub(super) async fn remove(
    _: Authorized,
    State(api): State<Api>,
    Path(host): Path<String>,
) -> Answer {
    api.receptor.remove_custom_domain(&host).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
