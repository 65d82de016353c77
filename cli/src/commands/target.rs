//! `ltc target`: points `ltc` at a Lattice, or shows where it points.

use lattice_api::brain::{BrainError, Version};
use lattice_model::ErrorName;
use serde::Serialize;

use super::version::CLIENT;
use crate::config_file::ConfigFile;
use crate::context::Local;
use crate::droplet_store::{DropletStore, S3Store};
use crate::exit::{Exit, Failure, Outcome};
use crate::login::{LoginFlags, ask};
use crate::target::{Login, Target};
use crate::view::table::pairs;

/// Arguments of `ltc target`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The Lattice's domain, with :PORT where its router does not listen on 80
    #[arg(value_name = "DOMAIN")]
    system_domain: Option<String>,
    /// Show only the domain
    #[arg(long = "domain", short = 'd', conflicts_with = "system_domain")]
    is_domain_only: bool,
    /// Keep droplets in an S3 bucket, which is asked for, and not beside the target
    #[arg(long = "s3", requires = "system_domain")]
    is_s3: bool,
    #[command(flatten)]
    login: LoginFlags,
}

#[derive(Serialize)]
struct Shown<'a> {
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    droplet_store: Option<String>,
}

/// Said wherever a droplet store is shown, for as long as it is so.
const UNUSED: &str = "no command uses a droplet store yet; `ltc create NAME PATH` needs none";

/// Shows or sets the target.
pub async fn run(args: Args, local: &Local) -> Outcome {
    let Some(domain) = &args.system_domain else {
        return show(args.is_domain_only, local);
    };
    let target = Target::parse(domain)
        .map_err(|e| Failure::new(Exit::BadTarget, e.to_string()).next("ltc target DOMAIN"))?;
    if args.is_s3 {
        S3Store::can_be_asked_for(local, &target.domain)?;
    }
    let target = authorize(target, &args.login, local).await?;
    let dir = local.config()?;
    let mut config = dir.load().unwrap_or_default();
    config.set_target(&target);
    if args.is_s3 {
        config.set_s3(S3Store::ask(local).await?);
    }
    dir.store(&config)?;
    let store = config.droplet_store();
    if local.out.is_json() {
        return local.out.json(&shown(&target, store.as_ref()));
    }
    local.out.say(&format!("ltc now talks to {}", display(&target)));
    if args.is_s3 {
        local.out.say(&format!("its droplet store is {}; {UNUSED}", display_store(store.as_ref())));
    }
    Ok(())
}

fn show(is_domain_only: bool, local: &Local) -> Outcome {
    let config: Option<ConfigFile> = local.config()?.load();
    let config = config.filter(|config| config.target().is_some());
    let target = local.target()?;
    let store = config.as_ref().and_then(ConfigFile::droplet_store);
    if local.out.is_json() {
        return local.out.json(&shown(&target, store.as_ref()));
    }
    if is_domain_only {
        return local.out.data(&target.domain);
    }
    let origin = if config.is_some() { "" } else { " (the Lattice on this machine)" };
    if store.is_some() {
        local.out.say(UNUSED);
    }
    let store = display_store(store.as_ref());
    local.out.data(&pairs(&[
        ("Target", format!("{}{origin}", display(&target))),
        ("Droplet store", store),
    ]))
}

/// Finds the login the target accepts: none, the one given, this machine's, or the person's.
async fn authorize(target: Target, flags: &LoginFlags, local: &Local) -> Result<Target, Failure> {
    if let Some(login) = flags.given(local).await.map_err(bad_target)? {
        return require(target.with_login(login), local).await;
    }
    if is_accepted(&target, local).await? {
        return Ok(target);
    }
    if let Some(login) = local.platform().login_for(&target) {
        let logged_in = target.with_login(login);
        if is_accepted(&logged_in, local).await? {
            // Commands find it where it is; a copy would outlive it.
            return Ok(target);
        }
    }
    if !local.terminal.is_interactive() {
        let message =
            format!("{} wants a user and password, and nobody can be asked", target.domain);
        return Err(Failure::new(Exit::BadTarget, message)
            .next(format!("ltc target {} --username USER --password-file FILE", target.domain)));
    }
    let login: Login = ask(local, None).await.map_err(bad_target)?;
    require(target.with_login(login), local).await
}

async fn require(target: Target, local: &Local) -> Result<Target, Failure> {
    if is_accepted(&target, local).await? {
        return Ok(target);
    }
    let message = format!("{} did not accept this user and password", target.domain);
    Err(Failure::new(Exit::BadTarget, message)
        .next(format!("ltc target {}", target.domain))
        .next("cat /var/lib/lattice/admin.json    (on its machine, as root)"))
}

/// Verifies that a Lattice is there; false when it wants other credentials.
async fn is_accepted(target: &Target, local: &Local) -> Result<bool, Failure> {
    let cx = local.connect_to(target.clone())?;
    match cx.receptor.desired_lrps(None).await {
        Ok(_) => {
            compare_versions(cx.receptor.version().await.ok(), local);
            Ok(true)
        }
        Err(BrainError::Unauthorized) => Ok(false),
        Err(BrainError::Refused(r)) if r.name == ErrorName::Unauthorized => Ok(false),
        Err(e) => Err(bad_target(Failure::brain("verify the target", e))),
    }
}

fn compare_versions(server: Option<Version>, local: &Local) {
    let expected = server.map(|s| s.ltc).unwrap_or_default();
    if !expected.is_empty() && expected != CLIENT {
        local.out.warn(&format!("this is ltc {CLIENT}; the target goes with ltc {expected}"));
    }
}

fn bad_target(failure: Failure) -> Failure {
    Failure { exit: Exit::BadTarget, ..failure }
}

fn shown<'a>(target: &'a Target, store: Option<&DropletStore>) -> Shown<'a> {
    let username = target.login.as_ref().map(|l| l.username.as_str());
    let droplet_store = store.map(ToString::to_string);
    Shown { target: &target.domain, username, droplet_store }
}

fn display_store(store: Option<&DropletStore>) -> String {
    store.map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn display(target: &Target) -> String {
    match &target.login {
        Some(login) => format!("{}@{}", login.username, target.domain),
        None => target.domain.clone(),
    }
}
