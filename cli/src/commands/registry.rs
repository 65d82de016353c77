//! `ltc registry`: credentials of private registries.

use lattice_model::RegistryCredentials;

use crate::context::{Cx, Local};
use crate::exit::{Failure, Outcome};
use crate::image::ImageError;
use crate::login::{LoginFlags, ask};

/// Arguments of `ltc registry`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Keep a user and password for a registry and give them to the Lattice
    Login {
        /// The registry's host, with :PORT where it is not 443
        host: String,
        #[command(flatten)]
        login: LoginFlags,
    },
}

/// Runs the action.
pub async fn run(args: Args, local: &Local) -> Outcome {
    let Action::Login { host, login } = args.action;
    if host.is_empty() || host.contains(['/', '@']) {
        return Err(Failure::usage(format!("'{host}' is not a registry's host"))
            .next("ltc registry login registry.example.com"));
    }
    let login = match login.given(local).await? {
        Some(login) => login,
        None => ask(local, None).await?,
    };
    let credentials =
        RegistryCredentials { registry: host, username: login.username, password: login.password };
    let registry = credentials.registry.clone();
    let Ok(target) = local.target() else {
        local.config()?.store_registry(&credentials)?;
        local.out.say(&format!("kept the credentials of {registry}; no Lattice is targeted yet"));
        return Ok(());
    };
    let cx = local.connect_to(target)?;
    verify(&credentials, &cx).await?;
    local.config()?.store_registry(&credentials)?;
    let failure = |e| Failure::brain("give the credentials to the Lattice", e);
    cx.receptor.put_registry_credentials(credentials).await.map_err(failure)?;
    local.out.say(&format!("kept the credentials of {registry}, here and on {}", cx.target.domain));
    Ok(())
}

/// What a registry refuses is not kept; one that cannot be asked from here may still know cells.
async fn verify(credentials: &RegistryCredentials, cx: &Cx) -> Outcome {
    match cx.images.check(credentials).await {
        Ok(()) => Ok(()),
        Err(error @ ImageError::Unauthorized(_)) => Err(Failure::command(error.to_string())
            .next(format!("ltc registry login {}    (asks again)", credentials.registry))),
        Err(error) => {
            cx.out().warn(&format!("the credentials are not verified: {error}"));
            Ok(())
        }
    }
}
