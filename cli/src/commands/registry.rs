//! `ltc registry`: credentials of private registries.

use lattice_api::brain::BrainError;
use lattice_model::{ErrorName, RegistryCredentials};

use crate::context::{Cx, Local};
use crate::exit::{Failure, Outcome};
use crate::image::ImageError;
use crate::login::{LoginFlags, ask};
use crate::view::registries::{self, accounts};

const NO_TARGET: &str = "no Lattice is targeted yet";

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
    /// Show the registries, and where their passwords are kept
    #[command(visible_alias = "ls")]
    List,
    /// Forget a registry's user and password, here and on the Lattice
    #[command(visible_alias = "rm")]
    Remove {
        /// The registry's host, as `ltc registry list` shows it
        host: String,
    },
}

/// Runs the action.
pub async fn run(args: Args, local: &Local) -> Outcome {
    match args.action {
        Action::Login { host, login } => log_in(host, login, local).await,
        Action::List => list(local).await,
        Action::Remove { host } => remove(&host, local).await,
    }
}

async fn log_in(host: String, login: LoginFlags, local: &Local) -> Outcome {
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
        local.out.say(&format!("kept the credentials of {registry}; {NO_TARGET}"));
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

async fn list(local: &Local) -> Outcome {
    let here = local.config()?.registry_accounts();
    let on_lattice = match local.target() {
        Ok(target) => {
            let told = local.connect_to(target)?.receptor.registry_accounts().await;
            told.map_err(|e| Failure::brain("list the registries", e))?
        }
        Err(_) => {
            local.out.say(NO_TARGET);
            Vec::new()
        }
    };
    local.out.show(&accounts(here, on_lattice), |all, palette| registries::list(all, palette))
}

/// The Lattice's first: what it still has can be removed again as long as it is known here.
async fn remove(host: &str, local: &Local) -> Outcome {
    let (mut places, mut domain) = (Vec::new(), None);
    if let Ok(target) = local.target() {
        let cx = local.connect_to(target)?;
        match cx.receptor.remove_registry_credentials(host).await {
            Ok(()) => places.push(format!("on {}", cx.target.domain)),
            Err(BrainError::Refused(r)) if r.name == ErrorName::RegistryNotFound => {}
            Err(e) => return Err(Failure::brain(&format!("forget {host}"), e)),
        }
        domain = Some(cx.target.domain);
    }
    if local.config()?.remove_registry(host)? {
        places.insert(0, "here".to_owned());
    }
    if places.is_empty() {
        let there = domain.map_or_else(String::new, |domain| format!(", nor on {domain}"));
        let message = format!("no credentials are kept for '{host}' here{there}");
        return Err(Failure::command(message).next("ltc registry list"));
    }
    local.out.say(&format!("forgot the credentials of {host}, {}", places.join(" and ")));
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
