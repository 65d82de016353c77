//! The command line of `lattice`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr as _;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use lattice_brain::acme::LETS_ENCRYPT;
use lattice_cell::config::CONTAINERS_DEFAULT;
use lattice_cell::images::Mirror;
use lattice_cell::network::egress::EgressPolicy;
use lattice_cell::network::host_ports::HostPorts;
use lattice_cell::runtime::oci::Engine;
use lattice_daemon::gate::parse_origin;
use lattice_model::Strategy;
use lattice_model::placement::parse_label;

/// An all-in-one PaaS appliance: push an app, reach it by its host name, tail its logs, scale it.
#[derive(Debug, Parser)]
#[command(name = "lattice", version, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `lattice` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run brain, cell, router and log-aggregator on this machine until stopped
    ///
    /// SIGINT (Ctrl-C) and `lattice down` stop the apps with grace; they stay desired, and the next
    /// `lattice up` brings them back. SIGTERM, SIGKILL and a crash leave them running, and the next
    /// `lattice up` finds them again: so it is restarted, and upgraded.
    Up(Box<Up>),
    /// Stop the apps of a data directory, and the `lattice up` that runs on it
    Down(Down),
    /// Write what the brain keeps to one file, while `lattice up` runs or not
    ///
    /// Apps, tasks and the credentials of registries are in it, which are sealed with DIR/sealing.key;
    /// that file, images that people pushed and the administrator's password are not. The keys of
    /// custom domains and of the ACME account are in it in clear: keep it as secret as the store.
    Backup(Backup),
    /// Put a backup in the place of what the brain keeps, while `lattice up` does not run
    ///
    /// What was there is kept beside it, as `brain.db.before-restore`, until the next restore.
    Restore(Restore),
    /// Write a systemd unit that runs `lattice up` at boot
    Install(Install),
    /// Run a router alone, which takes its routes from NATS
    ///
    /// SIGUSR1 drains it: load balancers are told first, then requests under way end. SIGTERM and
    /// SIGINT end it within seconds.
    Router(Router),
}

/// `lattice router`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("file").required(true).args(["gorouter", "config"]))]
pub struct Router {
    /// A file of gorouter's: YAML, as it is; keys that nobody knows are ignored with a warning
    #[arg(short = 'c', value_name = "FILE")]
    pub gorouter: Option<PathBuf>,
    /// A file of ours: TOML, in which every key must be known
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take the listening sockets of the router that runs with the same PATH, which then drains and
    /// ends, and hand them over to the next one: no connection is turned away
    #[arg(long, value_name = "PATH")]
    pub handover: Option<PathBuf>,
}

/// As many as are measured, see docs/figures.md.
const CONTAINERS_MAX: u64 = 1000;
/// Where state is kept unless another place is named; `ltc` looks there too.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/lattice";

/// Where an appliance keeps its state.
#[derive(Debug, Clone, Args)]
pub struct DataDir {
    /// Where all state is kept
    #[arg(long, env = "LATTICE_DATA_DIR", default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// `lattice up`.
#[derive(Debug, Clone, Args)]
pub struct Up {
    /// Where all state is kept
    #[command(flatten)]
    pub data: DataDir,
    /// Apps answer at NAME.DOMAIN
    #[arg(long, env = "LATTICE_DOMAIN", default_value = "lattice.localhost")]
    pub domain: String,
    /// The router's port; any but 80 is part of every URL
    #[arg(long, env = "LATTICE_HTTP_PORT", default_value_t = 80, value_name = "PORT")]
    pub http_port: u16,
    /// The router's port for TLS, with certificates that `ltc trust` makes a machine believe; 0 for
    /// none
    #[arg(long, env = "LATTICE_HTTPS_PORT", default_value_t = 443, value_name = "PORT")]
    pub https_port: u16,
    /// Certificates from an authority
    #[command(flatten)]
    pub acme: Acme,
    /// Also listen on this address; without it only this machine and its instances reach the
    /// router
    #[arg(long, env = "LATTICE_LISTEN", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST),
          value_name = "ADDR")]
    pub listen: IpAddr,
    /// The administrator's user name, instead of `admin`
    #[arg(long, env = "LATTICE_USERNAME", value_name = "NAME", requires = "password_file")]
    pub username: Option<String>,
    /// A file whose first line is the administrator's password, instead of one made at first start
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Let everyone who reaches the router command the platform
    #[arg(long, conflicts_with_all = ["username", "password_file"])]
    pub no_auth: bool,
    /// Let pages of this origin command the platform with their visitor's credentials; may be given
    /// more than once
    #[arg(long = "cors-origin", value_name = "URL", value_parser = parse_origin)]
    pub cors_origins: Vec<String>,
    /// Let every page do so, whoever wrote it
    #[arg(long, conflicts_with = "cors_origins")]
    pub cors_any_origin: bool,
    /// Serve `ltc` to download, from DIR/linux/ltc, DIR/osx/ltc and DIR/windows/ltc.exe
    #[arg(long, value_name = "DIR")]
    pub artifacts: Option<PathBuf>,
    /// Serve the platform's own host names (receptor, doppler, registry,
    /// dashboard) to instances too
    #[arg(long)]
    pub allow_instances_to_platform: bool,
    /// A registry that may be spoken to in plain HTTP; may be given more than once
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]")]
    pub insecure_registries: Vec<String>,
    /// Where to look for a registry's images first; may be given more than once
    #[arg(long = "registry-mirror", value_name = "REGISTRY=HOST[:PORT]")]
    pub registry_mirrors: Vec<Mirror>,
    /// Disk to keep free of images in MiB [default: 1024, or a twentieth of a small disk]
    #[arg(long, value_name = "MIB")]
    pub disk_free_mb: Option<u64>,
    /// Addresses for instances; the first is this machine's
    #[arg(long, default_value = "10.255.0.0/20", value_name = "CIDR")]
    pub subnet: String,
    /// The ports of this machine that lead to ports of instances, one for each; servers of this
    /// machine among them are passed over
    #[arg(long, env = "LATTICE_HOST_PORTS", default_value_t, value_name = "FIRST-LAST")]
    pub host_ports: HostPorts,
    /// What instances reach beyond this machine whose egress rules say nothing of it: `open` is
    /// everything but link-local addresses, `closed` is nothing
    #[arg(long, default_value_t, value_name = "POLICY")]
    pub egress: EgressPolicy,
    /// The bridge that has this machine's address among theirs
    #[arg(long, default_value = "lattice0", value_name = "NAME")]
    pub bridge: String,
    /// What makes containers; containers that another one made run on
    #[arg(long, value_enum, default_value_t = Runtime::Embedded, value_name = "NAME")]
    pub runtime: Runtime,
    /// Memory for apps in MiB [default: what this machine has, but for 1 MiB an instance for what
    /// holds it]
    #[arg(long, value_name = "MIB")]
    pub memory_mb: Option<u64>,
    /// Disk for apps in MiB [default: what is free in the data directory]
    #[arg(long, value_name = "MIB")]
    pub disk_mb: Option<u64>,
    /// Instances at most, each with a network and users of its own
    #[arg(long, default_value_t = CONTAINERS_DEFAULT, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=CONTAINERS_MAX))]
    pub containers: u64,
    /// How cells are weighed for apps that do not say it: spread, binpack or random
    #[arg(long, env = "LATTICE_STRATEGY", default_value = "spread", value_name = "STRATEGY",
          value_parser = Strategy::from_str)]
    pub strategy: Strategy,
    /// The dice of the random strategy; the same number places the same work the same way
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub placement_seed: u64,
    /// What placement rules may ask of this machine, such as disk=ssd; may be given more than once
    #[arg(long = "label", value_name = "LABEL=VALUE", value_parser = parse_label)]
    pub labels: Vec<(String, String)>,
    /// This machine's name among cells
    #[arg(long, default_value = "lattice-cell-0", value_name = "ID")]
    pub cell_id: String,
    /// Let holders of a key in DATA_DIR/ssh into instances by SSH, at this address; port 0 is any
    #[arg(long, value_name = "ADDR:PORT")]
    pub cell_ssh: Option<SocketAddr>,
    /// The loopback port of the receptor API
    #[arg(long, default_value_t = 8888, hide = true)]
    pub receptor_port: u16,
    /// The loopback port of the log-aggregator
    #[arg(long, default_value_t = 8081, hide = true)]
    pub doppler_port: u16,
    /// Log more to standard error (-v: what happens, -vv: everything)
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How certificates for hosts of people's own are ordered.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Certificates for custom domains")]
pub struct Acme {
    /// Agree to the terms of the authority below, and order certificates there for the hosts that
    /// `ltc domain add` names without one
    #[arg(long = "acme-accept-terms", env = "LATTICE_ACME_ACCEPT_TERMS")]
    pub accept_terms: bool,
    /// Where the authority may write to when something is wrong with a certificate
    #[arg(long = "acme-email", env = "LATTICE_ACME_EMAIL", value_name = "ADDRESS",
          value_parser = parse_email)]
    pub email: Option<String>,
    /// An authority that speaks ACME: the URL of its directory
    #[arg(long = "acme-directory", env = "LATTICE_ACME_DIRECTORY", value_name = "URL",
          default_value = LETS_ENCRYPT, value_parser = parse_directory)]
    pub directory: String,
    /// Who vouches for that authority's own server, where this machine does not know: a file in PEM
    #[arg(long = "acme-root", env = "LATTICE_ACME_ROOT", value_name = "FILE")]
    pub root: Option<PathBuf>,
}

fn parse_email(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|b| b.is_ascii_graphic() && !b"<>,;\"\\".contains(&b));
    match text.split_once('@') {
        Some((name, host)) if is_plain && !name.is_empty() && host.contains('.') => {
            Ok(text.to_owned())
        }
        _ => Err("it is no address such as you@example.com".to_owned()),
    }
}

fn parse_directory(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").unwrap_or_default();
    let is_url = !rest.is_empty() && !rest.starts_with('/');
    match is_url && text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("it is no URL that begins with https://".to_owned()),
    }
}

/// What makes containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// lattice itself
    Embedded,
    /// the program runc
    Runc,
    /// the program crun
    Crun,
}

impl Runtime {
    /// As the cell names it.
    pub const fn engine(self) -> Engine {
        match self {
            Self::Embedded => Engine::Embedded,
            Self::Runc => Engine::Runc,
            Self::Crun => Engine::Crun,
        }
    }
}

/// `lattice down`.
#[derive(Debug, Clone, Args)]
pub struct Down {
    /// Where all state is kept
    #[command(flatten)]
    pub data: DataDir,
    /// Then remove everything it made: containers, mounts, networks, and all files, the apps and
    /// the credentials included
    #[arg(long)]
    pub purge: bool,
    /// Do not ask before purging
    #[arg(long, requires = "purge")]
    pub yes: bool,
}

/// `lattice backup`.
#[derive(Debug, Clone, Args)]
pub struct Backup {
    /// Where all state is kept
    #[command(flatten)]
    pub data: DataDir,
    /// Where the backup goes; only its owner can read it
    pub file: PathBuf,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
}

/// `lattice restore`.
#[derive(Debug, Clone, Args)]
pub struct Restore {
    /// Where all state is kept
    #[command(flatten)]
    pub data: DataDir,
    /// What `lattice backup` wrote
    pub file: PathBuf,
}

/// `lattice install`.
#[derive(Debug, Clone, Args)]
pub struct Install {
    /// Where the unit goes
    #[arg(long, default_value = "/etc/systemd/system/lattice.service", value_name = "FILE")]
    pub unit: PathBuf,
    /// Arguments for `lattice up` in the unit
    #[arg(last = true, value_name = "UP-ARGS")]
    pub up_args: Vec<String>,
}
