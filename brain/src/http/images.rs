//! What cells keep of images; ours.

use axum::extract::State;
use lattice_daemon::gate::Authorized;

use super::Api;
use super::answer::{Answer, ok};

pub(super) async fn list(_: Authorized, State(api): State<Api>) -> Answer {
    Ok(ok(&api.receptor.images().await?))
}

pub(super) async fn prune(_: Authorized, State(api): State<Api>) -> Answer {
    Ok(ok(&api.receptor.prune_images().await?))
}
