//! `ltc domain`: certificates for hosts of people's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lattice_api::brain::BrainError;
use lattice_model::custom_domain::custom_host;
use lattice_model::{CertificateState, CustomDomain, CustomDomainStatus, ErrorName};
use tokio::time::Instant;

use crate::context::Cx;
use crate::duration;
use crate::exit::{Exit, Failure, Outcome};
use crate::view::domains;
use crate::view::table::visible;

/// Arguments of `ltc domain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Serve https for a host from now on, with a certificate that is ordered and renewed for you,
    /// or with one of yours
    ///
    /// A certificate is ordered from the authority of the platform's operator, which looks for the
    /// host at the port 80 or 443 that its name leads to. One of yours is given again to renew it.
    Add {
        /// The host, such as shop.example.com; with a certificate of yours also *.example.com, for
        /// all names in it
        host: String,
        /// A certificate of yours and those that vouch for it, in PEM
        #[arg(long, value_name = "FILE", requires = "key")]
        cert: Option<PathBuf>,
        /// Its key, in PEM
        #[arg(long, value_name = "FILE", requires = "cert")]
        key: Option<PathBuf>,
        /// How long to wait for a certificate that is ordered
        #[arg(long, short = 't', default_value = "2m0s", value_parser = duration::parse,
              value_name = "DURATION", conflicts_with = "cert")]
        timeout: Duration,
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
        Action::Add { host, cert: Some(cert), key: Some(key), .. } => {
            give(&host, (&cert, &key), cx).await
        }
        Action::Add { host, timeout, .. } => order(&host, timeout, cx).await,
        Action::List => list(cx).await,
        Action::Remove { host } => remove(&host, cx).await,
    }
}

async fn give(typed: &str, (cert, key): (&Path, &Path), cx: &Cx) -> Outcome {
    let host = custom_host(typed).ok_or_else(|| not_a_host(typed))?;
    let domain = CustomDomain { host, certificate: read(cert)?, key: read(key)? };
    let host = domain.host.clone();
    let added = cx.receptor.put_custom_domain(domain).await;
    let status = added.map_err(|e| Failure::brain(&format!("add {host}"), e))?;
    served(&status, cx)
}

/// Has one ordered, and waits until it came or is known not to.
async fn order(typed: &str, timeout: Duration, cx: &Cx) -> Outcome {
    let host = custom_host(typed).ok_or_else(|| not_a_host(typed))?;
    let failed = |e| Failure::brain(&format!("order a certificate for {host}"), e);
    let mut status = cx.receptor.order_certificate(&host).await.map_err(failed)?;
    cx.out().say(&format!("a certificate for {host} is ordered"));
    let deadline = Instant::now() + timeout;
    while is_awaited(&status) {
        if Instant::now() >= deadline {
            cx.out().end_progress();
            let waited = duration::format(timeout);
            let message = format!("no certificate came within {waited}; it is still waited for");
            return Err(Failure::command(message).next("ltc domain list"));
        }
        cx.out().idle("waiting for the authority");
        tokio::time::sleep(cx.local.poll).await;
        let found = cx.receptor.custom_domains().await.map_err(failed)?;
        let removed = || Failure::command(format!("{host} was removed meanwhile"));
        status = found.into_iter().find(|one| one.host == host).ok_or_else(removed)?;
    }
    cx.out().end_progress();
    match status.state {
        CertificateState::Valid if failures(&status) == 0 => served(&status, cx),
        CertificateState::Valid | CertificateState::Pending | CertificateState::Failed => {
            Err(Failure::command(visible(&status.warning))
                .next(format!("ltc domain add {host}    (once that is mended: orders it at once)"))
                .next("ltc domain list"))
        }
    }
}

fn is_awaited(status: &CustomDomainStatus) -> bool {
    status.order.as_ref().is_some_and(|order| order.is_open)
}

fn failures(status: &CustomDomainStatus) -> u32 {
    status.order.as_ref().map_or(0, |order| order.failures)
}

fn served(status: &CustomDomainStatus, cx: &Cx) -> Outcome {
    let host = &status.host;
    if !status.warning.is_empty() {
        cx.out().warn(&visible(&status.warning));
    }
    if cx.out().is_json() {
        return cx.out().json(status);
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
        cx.out().warn(&visible(&format!("{}: {}", domain.host, domain.warning)));
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
        .next("ltc domain add shop.example.com")
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|why| {
        Failure::new(Exit::FileSystem, format!("cannot read {}: {why}", path.display()))
    })
}
