//! `lattice up`: starts the roles in order, waits for a signal, and ends them in order.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use lattice_api::brain::{Bbs, Receptor};
use lattice_api::cell::{Rep, RepConnector};
use lattice_cell::network::Network as _;
use lattice_daemon::bus::{Bus, InProcessBus};
use lattice_daemon::clock::{Clock, SystemClock};
use lattice_daemon::credentials::Admin;
use lattice_daemon::gate::Gate;
use lattice_daemon::log_ingress::{self, LogIngress};
use lattice_daemon::tasks::Tasks;
use lattice_daemon::telemetry::{self, Telemetry};
use lattice_model::{CellPresence, RegistryCredentials};
use lattice_router::{Listener, Reserved, Side};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::Usage;
use crate::args::Up;
use crate::lock::Lock;
use crate::machinery::{Machinery, Settings};
use crate::platform_routes::{self, PlatformRoute};

/// How long apps get to stop; with what follows it stays within 15 s.
const APPS_STOP: Duration = Duration::from_secs(12);
/// How long the platform's own tasks get after that.
const TASKS_STOP: Duration = Duration::from_secs(2);
/// How long the start may take until the first cell and the platform's routes are there.
const READY: Duration = Duration::from_secs(30);

/// Runs the appliance until a signal ends it.
pub fn run(args: Up) -> anyhow::Result<()> {
    check_environment(&args)?;
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("lattice")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(appliance(args));
    runtime.shutdown_timeout(TASKS_STOP);
    outcome
}

/// Everything that lives as long as the appliance.
struct Platform {
    tasks: Tasks,
    cell: lattice_cell::Handle,
    brain: lattice_brain::Handle,
    router: lattice_router::Handle,
}

async fn appliance(args: Up) -> anyhow::Result<()> {
    let data_dir = args.data.data_dir.clone();
    prepare(&data_dir)?;
    let _lock = Lock::take(&data_dir)?;
    let mut signals = Signals::new()?;
    let platform = tokio::select! {
        platform = start(&args) => platform?,
        () = signals.any() => return Ok(()),
    };
    ready(&args, &platform).await?;
    tokio::select! {
        () = signals.any() => info!("stopping the apps, which stay desired"),
        () = platform.tasks.shutdown().cancelled() => warn!("a part of the platform has failed"),
    }
    let failed = platform.tasks.shutdown().is_cancelled();
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    platform.cell.stop_all(APPS_STOP).await;
    platform.tasks.end(TASKS_STOP).await;
    if failed { Err(anyhow::anyhow!("a part of the platform has failed; its log says which")) } else { Ok(()) }
}

/// Starts the roles; each finds what it needs already there.
async fn start(args: &Up) -> anyhow::Result<Platform> {
    let data_dir = &args.data.data_dir;
    let admin = administrator(args)?;
    let tasks = Tasks::default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bus: Arc<dyn Bus> = Arc::new(InProcessBus::default());
    let (ingress, egress) = log_ingress::channel();
    let logs: Arc<dyn LogIngress> = Arc::new(ingress);
    telemetry::start(verbosity(args), Arc::clone(&logs));

    let doppler = lattice_log_aggregator::start(
        lattice_log_aggregator::Config::new(loopback(args.doppler_port), admin.clone()),
        egress,
        &tasks,
    )
    .await?;
    let registry_config =
        lattice_brain::blobs::BlobsConfig::new(loopback(0), data_dir, admin.clone());
    let registry = lattice_brain::blobs::serve(registry_config, &tasks).await?;

    let settings = settings(args);
    settings.store(data_dir)?;
    let machinery = Machinery::start(data_dir, &settings).await?;

    let reps = Arc::new(LocalRep::default());
    let brain = lattice_brain::start(
        brain_config(args, admin.as_ref()),
        Arc::clone(&reps) as Arc<dyn RepConnector>,
        Arc::clone(&clock),
        &tasks,
    )
    .await?;
    todo!()
}

/// Finds the one cell of this process.
#[derive(Default)]
struct LocalRep(OnceLock<Arc<dyn Rep>>);

impl RepConnector for LocalRep {
    fn connect(&self, _: &CellPresence) -> Option<Arc<dyn Rep>> {
        self.0.get().cloned()
    }
}

/// The signals that end the appliance, heard from its first moment on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Fails early, with the fix, where the start cannot succeed.
fn check_environment(args: &Up) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        let why = "`lattice up` makes containers and so needs root; try `sudo lattice up`";
        return Err(Usage(why.to_owned()).into());
    }
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && label.len() <= 63 && inner
    };
    if !args.domain.split('.').all(label) {
        let why = format!("--domain {:?} is not a host name, such as lattice.localhost", args.domain);
        return Err(Usage(why).into());
    }
    Ok(())
}

fn prepare(data_dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut dirs = fs::DirBuilder::new();
    dirs.recursive(true).mode(0o700);
    dirs.create(data_dir).with_context(|| {
        format!("cannot make {}; name another place with --data-dir", data_dir.display())
    })
}

/// A proxy and its apps' pipes need more files than a login shell grants.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(why) = setrlimit(Resource::Nofile, raised) {
        warn!(%why, "cannot raise the limit of open files");
    }
}

fn verbosity(args: &Up) -> Telemetry {
    let stderr = match args.verbose {
        0 => "warn",
        1 => "info,lattice=debug",
        _ => "debug",
    };
    Telemetry {
        stderr: stderr.to_owned(),
        platform: "info".to_owned(),
        source_instance: args.cell_id.clone(),
    }
}

/// Who may command the platform: as given, as made at first start, or everyone.
fn administrator(args: &Up) -> anyhow::Result<Option<Admin>> {
    if args.no_auth {
        warn!("--no-auth: everyone who reaches the router commands this platform");
        return Ok(None);
    }
    let data_dir = &args.data.data_dir;
    let Some(file) = &args.password_file else { return Ok(Some(Admin::load_or_create(data_dir)?)) };
    let content = fs::read_to_string(file)
        .with_context(|| format!("cannot read the password in {}", file.display()))?;
    let password = content.lines().next().unwrap_or_default().to_owned();
    if password.is_empty() {
        return Err(Usage(format!("{} holds no password", file.display())).into());
    }
    let username = args.username.clone().unwrap_or_else(|| "admin".to_owned());
    let admin = Admin { username, password };
    admin.store(data_dir)?;
    Ok(Some(admin))
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// `DOMAIN`, with the port where it is not the usual one: what people target.
fn target(args: &Up) -> String {
    match args.http_port {
        80 => args.domain.clone(),
        port => format!("{}:{port}", args.domain),
    }
}
