//! `ltc domain`: certificates for hosts of people's own.

use std::path::{Path, PathBuf};

use lattice_api::brain::BrainError;
use lattice_model::custom_domain::custom_host;
use lattice_model::{CustomDomain, ErrorName};

use crate::context::Cx;
use crate::exit::{Exit, Failure, Outcome};
use crate::view::domains;

/// Arguments of `ltc domain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Serve https for a host with a certificate of yours, from now on; again to renew it
    Add {
        /// The host, such as shop.example.com, or *.example.com for all names in it
        host: String,
        /// The certificate and those that vouch for it, in PEM
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// Its key, in PEM
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Show the hosts, and until when their certificates are good
    #[command(visible_alias = "ls")]
    List,
    /// Forget a host's certificate
    #[command(visible_alias = "rm")]
    Remove {
        /// The host
        host: String,
    },
}

/// Runs the action.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    match args.action {
        Action::Add { host, cert, key } => add(&host, (&cert, &key), cx).await,
        Action::List => list(cx).await,
        Action::Remove { host } => remove(&host, cx).await,
    }
}

async fn add(typed: &str, (cert, key): (&Path, &Path), cx: &Cx) -> Outcome {
    let host = custom_host(typed).ok_or_else(|| not_a_host(typed))?;
    let domain = CustomDomain { host, certificate: read(cert)?, key: read(key)? };
    let host = domain.host.clone();
    let added = cx.receptor.put_custom_domain(domain).await;
    let status = added.map_err(|e| Failure::brain(&format!("add {host}"), e))?;
    if !status.warning.is_empty() {
        cx.out().warn(&status.warning);
    }
    if cx.out().is_json() {
        return cx.out().json(&status);
    }
    cx.out().say(&format!("https is served for {host} from now on"));
    cx.out().say(&format!("next: ltc create APP IMAGE -R {}", host.replace("*.", "www.")));
    Ok(())
}

async fn list(cx: &Cx) -> Outcome {
    let found = cx.receptor.custom_domains().await;
    let found = found.map_err(|e| Failure::brain("list the custom domains", e))?;
    let now = cx.local.now();
    cx.out().show(&found, |found, palette| domains::list(found, now, palette))?;
    for domain in found.iter().filter(|domain| !domain.warning.is_empty()) {
        cx.out().warn(&format!("{}: {}", domain.host, domain.warning));
    }
    Ok(())
}

async fn remove(typed: &str, cx: &Cx) -> Outcome {
    let host = custom_host(typed).ok_or_else(|| not_a_host(typed))?;
    match cx.receptor.remove_custom_domain(&host).await {
        Ok(()) => {
            cx.out().say(&format!("the certificate of {host} is forgotten"));
            Ok(())
        }
        Err(BrainError::Refused(refusal)) if refusal.name == ErrorName::CustomDomainNotFound => {
            Err(Failure::command(refusal.message).next("ltc domain list"))
        }
        Err(error) => Err(Failure::brain(&format!("remove {host}"), error)),
    }
}

fn not_a_host(typed: &str) -> Failure {
    Failure::usage(format!("'{typed}' is not a host, such as shop.example.com or *.example.com"))
        .next("ltc domain add shop.example.com --cert FILE --key FILE")
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|why| {
        Failure::new(Exit::FileSystem, format!("cannot read {}: {why}", path.display()))
    })
}
