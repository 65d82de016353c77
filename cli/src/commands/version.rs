//! `ltc version`: ours, and the Lattice's.

use lattice_api::brain::Version;
use serde::Serialize;

use crate::context::Local;
use crate::exit::{Exit, Failure, Outcome};
use crate::view::palette::Palette;
use crate::view::table::pairs;

/// The version of this `ltc`.
pub const CLIENT: &str = env!("CARGO_PKG_VERSION");

/// Arguments of `ltc version`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// The JSON of `ltc version`.
#[derive(Debug, Serialize)]
struct Versions {
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Version>,
}

/// Prints both; without a target only ours.
pub async fn run(_args: Args, local: &Local) -> Outcome {
    let server = match local.target() {
        Err(_) => Ok(None),
        Ok(target) => server_version(local.connect_to(target)?).await.map(Some),
    };
    let (server, failure) = match server {
        Ok(server) => (server, None),
        Err(failure) => (None, Some(failure)),
    };
    local.out.show(&Versions { client: CLIENT, server }, render)?;
    match failure {
        Some(failure) => Err(Failure { exit: Exit::CommandFailed, ..failure }),
        None => Ok(()),
    }
}

async fn server_version(cx: crate::context::Cx) -> Result<Version, Failure> {
    cx.receptor.version().await.map_err(|e| Failure::brain("ask for the version", e))
}

fn render(versions: &Versions, _: Palette) -> String {
    let mut rows = vec![("Client", versions.client.to_owned())];
    if let Some(server) = &versions.server {
        let or_unknown = |text: &str| match text {
            "" => "unknown".to_owned(),
            text => text.to_owned(),
        };
        rows.push(("Server", or_unknown(&server.lattice_release)));
        rows.push(("Receptor", or_unknown(&server.receptor)));
    }
    pairs(&rows)
}
