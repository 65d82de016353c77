//! What must be so before `lattice up` starts anything; all that is wrong is said at once, each with
//! its fix.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use lattice_cell::runtime::oci;
use lattice_model::CellId;

use crate::Usage;
use crate::args::Up;
use crate::machinery::{self, Settings};

/// The longest host name, in bytes.
const DOMAIN_BYTES_MAX: usize = 253;
/// Programs that are always needed, and the packages that bring them.
const PROGRAMS: [(&str, &str); 1] = [("nft", "nftables")];
/// Where Debian puts system programs, besides `PATH`.
const SYSTEM_PATH: &str = ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";

/// Looks at the command line and at the machine, and changes nothing.
pub fn check(args: &Up, settings: &Settings) -> Result<(), Usage> {
    let mut mistakes = Vec::new();
    if !rustix::process::geteuid().is_root() {
        let why = "`lattice up` makes containers and so needs root; try `sudo lattice up`";
        mistakes.push(why.to_owned());
    }
    mistakes.extend(mistakes_of(args, settings));
    let data_dir = &args.data.data_dir;
    if data_dir.metadata().is_ok_and(|found| !found.is_dir()) {
        mistakes.push(unusable(data_dir, &io::ErrorKind::NotADirectory.into()).0);
    }
    mistakes.extend(without_programs(data_dir));
    let engine = args.runtime.engine().program().map(|program| (program, program));
    let programs: Vec<_> = PROGRAMS.into_iter().chain(engine).collect();
    mistakes.extend(missing(&programs, &search_path()));
    told(&mistakes)
}

/// What stands beside instances is put into the data directory and started there.
fn without_programs(data_dir: &Path) -> Option<String> {
    let there = data_dir.ancestors().find(|dir| dir.is_dir())?;
    oci::runs_nothing(there).then(|| {
        let dir = there.display();
        format!(
            "{dir} is on a file system that is mounted noexec; remount it with exec, or take \
                 another --data-dir"
        )
    })
}

/// Fails when a port is taken, before anything is made that would have to be taken down again.
pub fn check_ports(args: &Up, kept: &[SocketAddr]) -> Result<(), Usage> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let wanted = [
        (loopback, args.http_port, "--http-port"),
        (args.listen, args.http_port, "--http-port"),
        (loopback, args.https_port, "--https-port"),
        (args.listen, args.https_port, "--https-port"),
        (loopback, args.receptor_port, "--receptor-port"),
        (loopback, args.doppler_port, "--doppler-port"),
    ];
    let mut mistakes: Vec<String> = Vec::new();
    for (ip, port, flag) in wanted {
        let address = SocketAddr::new(ip, port);
        if kept.contains(&address) {
            continue;
        }
        let said = TcpListener::bind(address).err().map(|e| unbound(address, flag, &e));
        mistakes.extend(said.filter(|said| !mistakes.contains(said)));
    }
    told(&mistakes)
}

fn unbound(address: SocketAddr, flag: &str, error: &io::Error) -> String {
    let (ip, port) = (address.ip(), address.port());
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} of {ip} is taken; see by what with `ss -ltnp sport = :{port}`, or choose \
             another with {flag}"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{ip} is no address of this machine; `ip addr` shows those that --listen takes")
        }
        _ => format!("cannot listen on {address}: {error}; choose another port with {flag}"),
    }
}

/// What is wrong with the command line.
fn mistakes_of(args: &Up, settings: &Settings) -> Vec<String> {
    let mut mistakes = Vec::new();
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && label.len() <= 63 && inner
    };
    if args.domain.len() > DOMAIN_BYTES_MAX || !args.domain.split('.').all(label) {
        mistakes.push(format!(
            "--domain {:?} is not a host name, such as lattice.localhost",
            args.domain
        ));
    }
    let ports = [
        (args.http_port, "--http-port"),
        (args.https_port, "--https-port"),
        (args.receptor_port, "--receptor-port"),
        (args.doppler_port, "--doppler-port"),
    ];
    for (at, (port, flag)) in ports.iter().enumerate() {
        if *port == 0 && *flag != "--https-port" {
            mistakes.push(format!("{flag} 0 is no port that people could be told"));
        }
        if let Some((_, other)) = ports[..at].iter().find(|(other, _)| other == port) {
            mistakes.push(format!("{flag} and {other} are both {port}; choose another for one"));
        }
    }
    if let Err(why) = CellId::new(&args.cell_id) {
        mistakes.push(format!("--cell-id {:?} {why}", args.cell_id));
    }
    for (at, (label, _)) in args.labels.iter().enumerate() {
        if args.labels[..at].iter().any(|(other, _)| other == label) {
            mistakes.push(format!("--label {label} is given twice; a label has one value"));
        }
    }
    if let Some(why) = args.host_ports.too_few_for(args.containers) {
        mistakes.push(format!("{why}; --host-ports takes more, and --containers fewer"));
    }
    match machinery::network_config(&args.data.data_dir, settings) {
        Ok(network) => mistakes.extend(network.mistakes()),
        Err(Usage(why)) => mistakes.push(why),
    }
    mistakes
}

/// The programs that are not on the path.
fn missing(programs: &[(&str, &str)], path: &std::ffi::OsStr) -> Vec<String> {
    let is_there = |name: &str| {
        std::env::split_paths(path).any(|dir: std::path::PathBuf| dir.join(name).is_file())
    };
    let absent = programs.iter().filter(|(name, _)| !is_there(name));
    absent
        .map(|(name, package)| format!("{name} is not installed; apt-get install {package}"))
        .collect()
}

fn search_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(SYSTEM_PATH);
    path
}

fn told(mistakes: &[String]) -> Result<(), Usage> {
    if mistakes.is_empty() { Ok(()) } else { Err(Usage(mistakes.join("\nlattice: "))) }
}

/// What is wrong with a data directory that cannot be used.
pub fn unusable(data_dir: &Path, why: &io::Error) -> Usage {
    Usage(format!(
        "cannot use {} to keep state: {why}; name a directory that can be written with --data-dir",
        data_dir.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named_with_its_package() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("runc"), "").unwrap();
        let said = missing(&[("runc", "runc"), PROGRAMS[0]], dir.path().as_os_str());
        assert_eq!(said, ["nft is not installed; apt-get install nftables"]);
    }
}
