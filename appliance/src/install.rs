//! `lattice install`: the systemd unit.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use clap::Parser as _;

use crate::args::{Cli, Install};
use crate::{EXIT_USAGE, Usage};

/// Writes the unit and says what to type next.
#[allow(clippy::print_stdout, reason = "a command's answer")]
pub fn run(args: &Install) -> anyhow::Result<()> {
    let default_place = args.unit.starts_with("/etc/systemd/system");
    if default_place && !Path::new("/run/systemd/system").exists() {
        let why = "systemd does not run on this machine, so a unit would have no effect; \
                   run `lattice up` from the service manager that does, or name a file to write \
                   with --unit";
        return Err(Usage(why.to_owned()).into());
    }
    check(&args.up_args)?;
    let program = std::env::current_exe().context("cannot find this program's own path")?;
    let unit = unit(&program, &args.up_args)?;
    let path = args.unit.display();
    fs::write(&args.unit, unit).with_context(|| format!("cannot write {path}"))?;
    println!("wrote {path}\n\nnext: systemctl daemon-reload && systemctl enable --now lattice");
    Ok(())
}

/// A unit that cannot start is found out now, not at the next boot.
fn check(up_args: &[String]) -> Result<(), Usage> {
    let line = ["lattice", "up"].into_iter().chain(up_args.iter().map(String::as_str));
    match Cli::try_parse_from(line) {
        Ok(_) => Ok(()),
        Err(words) => Err(Usage(format!("`lattice up` does not take that: {words}"))),
    }
}

fn unit(program: &Path, up_args: &[String]) -> anyhow::Result<String> {
    let program = program.to_str().context("this program's path is not UTF-8")?;
    let words = [program.to_owned(), "up".to_owned()];
    let command: Vec<String> =
        words.iter().chain(up_args).map(|word| quote(word)).collect::<Result<_, _>>()?;
    Ok(format!(
        "[Unit]\n\
         Description=Lattice, an all-in-one PaaS appliance\n\
         After=network-online.target\n\
         Wants=network-online.target\n\
         \n\
         [Service]\n\
         Type=notify\n\
         ExecStart={}\n\
         # Instances are not the service's: an upgrade leaves them be.\n\
         KillMode=process\n\
         TimeoutStopSec=20\n\
         Restart=on-failure\n\
         # A mistake in the command line does not mend itself.\n\
         RestartPreventExitStatus={EXIT_USAGE}\n\
         # What is listened on is kept while a new process starts: nobody is turned away.\n\
         FileDescriptorStoreMax=4096\n\
         Delegate=yes\n\
         LimitNOFILE=infinity\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        command.join(" ")
    ))
}

/// One word of `ExecStart=` by systemd's rules of quoting.
fn quote(word: &str) -> Result<String, Usage> {
    if word.contains(['\n', '\r', '\0']) {
        return Err(Usage(format!("{word:?} cannot stand in a unit file")));
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
    let escaped = escaped.replace('%', "%%").replace('$', "$$");
    let plain = !escaped.is_empty() && !escaped.contains([' ', '\t', ';', '"', '\'', '\\']);
    Ok(if plain { escaped } else { format!("\"{escaped}\"") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_systemd_as_they_were_given() {
        for (word, expected) in [
            ("--domain", "--domain"),
            ("a b", "\"a b\""),
            ("100%", "100%%"),
            ("$HOME", "$$HOME"),
            ("say \"x\"", "\"say \\\"x\\\"\""),
            ("", "\"\""),
        ] {
            assert_eq!(quote(word).unwrap(), expected);
        }
        assert!(quote("a\nExecStartPre=/bin/evil").is_err());
    }

    #[test]
    fn arguments_that_lattice_up_does_not_take_are_refused() {
        assert!(check(&["--http-port".into(), "81".into()]).is_ok());
        let error = check(&["--no-such".into()]).unwrap_err();
        assert!(error.0.contains("--no-such"), "{error}");
    }

    #[test]
    fn the_unit_lets_instances_outlive_the_platform() {
        let unit = unit(Path::new("/usr/bin/lattice"), &["--http-port".into(), "81".into()]);
        let unit = unit.unwrap();
        for line in
            ["ExecStart=/usr/bin/lattice up --http-port 81", "KillMode=process", "Type=notify"]
        {
            assert!(unit.lines().any(|l| l == line), "{line} in\n{unit}");
        }
    }
}
