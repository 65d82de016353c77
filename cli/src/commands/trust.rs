//! `ltc trust`: the authority behind `https://*.DOMAIN`, shown or installed on this machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::context::Local;
use crate::exit::{Exit, Failure, Outcome};

/// Where Debian keeps authorities that its owner trusts.
const TRUSTED: &str = "/usr/local/share/ca-certificates";
/// What makes every program of the machine trust what is there.
const UPDATE: &str = "update-ca-certificates";

/// Arguments of `ltc trust`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make this machine trust it (Debian and its kin; needs root); without it the certificate is
    /// printed
    #[arg(long)]
    install: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    domain: &'a str,
    certificate: &'a str,
}

/// Shows or installs it.
pub async fn run(args: Args, local: &Local) -> Outcome {
    let Some((domain, certificate)) = local.platform().authority() else {
        let message = "no authority of a Lattice can be read on this machine";
        return Err(Failure::new(Exit::CommandFailed, message)
            .next("run `ltc trust` as root where `lattice up` runs, and copy what it prints"));
    };
    if args.install {
        return install(Path::new(TRUSTED), &domain, &certificate, local);
    }
    if local.out.is_json() {
        return local.out.json(&Shown { domain: &domain, certificate: &certificate });
    }
    local.out.data(certificate.trim_end())
}

fn install(dir: &Path, domain: &str, certificate: &str, local: &Local) -> Outcome {
    let path = dir.join(format!("lattice-{domain}.crt"));
    let failed = |what: &str, why: &dyn std::fmt::Display| {
        Failure::new(Exit::CommandFailed, format!("{what}: {why}")).next(
            "sudo ltc trust --install, or ltc trust > authority.pem and your system's own way",
        )
    };
    fs::write(&path, certificate)
        .map_err(|why| failed(&format!("cannot write {}", path.display()), &why))?;
    let updated = Command::new(UPDATE).output();
    match updated {
        Ok(output) if output.status.success() => {}
        Ok(output) => return Err(failed(UPDATE, &String::from_utf8_lossy(&output.stderr).trim())),
        Err(why) => return Err(failed(&format!("cannot run {UPDATE}"), &why)),
    }
    local.out.say(&format!(
        "this machine trusts https://*.{domain}; browsers with a store of their own want {} imported",
        path.display()
    ));
    Ok(())
}
