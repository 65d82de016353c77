//! `/v1/actual_lrps/:guid/progress`: how far instances have come. Ours.

use axum::extract::State;
use lattice_daemon::gate::Authorized;
use lattice_model::ProcessGuid;

use super::Api;
use super::answer::{Answer, ok};
use super::parts::Path;

pub(super) async fn list(
    _: Authorized,
    State(api): State<Api>,
    Path(guid): Path<String>,
) -> Answer {
    let progress = match ProcessGuid::new(&guid) {
        Ok(guid) => api.receptor.progress_of(&guid).await?,
        Err(_) => Vec::new(),
    };
    Ok(ok(&progress))
}
