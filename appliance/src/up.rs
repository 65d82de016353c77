//! `lattice up`: starts the roles in order, waits for a signal, and ends them in order.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use lattice_api::brain::{Receptor as _, Version};
use lattice_api::cell::{Rep, RepConnector};
use lattice_brain::blobs::{BlobsConfig, WantedImages};
use lattice_brain::http::{self, HttpConfig};
use lattice_cell::dns;
use lattice_cell::dns::relay::Relay;
use lattice_cell::dns::zone::Zone;
use lattice_cell::network::Network as _;
use lattice_cell::rootfs_files::ConfinedFiles;
use lattice_cell::ssh::{self, SshConfig};
use lattice_daemon::bus::{Bus, InProcessBus};
use lattice_daemon::clock::{Clock, SystemClock};
use lattice_daemon::credentials::Admin;
use lattice_daemon::gate::Origins;
use lattice_daemon::log_ingress::{self, LogIngress};
use lattice_daemon::tasks::Tasks;
use lattice_daemon::telemetry::{self, Telemetry};
use lattice_model::{CellId, CellPresence, RegistryCredentials, Resources};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::Usage;
use crate::args::{DEFAULT_DATA_DIR, Up};
use crate::custom_domains;
use crate::data_directory;
use crate::front::Front;
use crate::lock::Lock;
use crate::machinery::{self, Machinery, Settings};
use crate::platform_routes::{self, PlatformRoute};
use crate::preflight;
use crate::sockets;

/// How long apps have between SIGTERM and SIGKILL; the cell needs at most 5 s more to clear up.
/// With what follows, a stop stays within 15 s.
const APPS_GRACE: Duration = Duration::from_secs(7);
/// How long the platform's own tasks get after that, requests that are under way among them.
const TASKS_STOP: Duration = Duration::from_millis(1500);
/// How long what blocks a thread gets at the very end.
const THREADS_STOP: Duration = Duration::from_millis(500);
/// The likeliest reason why the platform's own servers do not start.
const PORT_TAKEN: &str = "is there another lattice on this machine? `lattice down --data-dir DIR` \
                          stops it";
/// The platform's own names in its domain.
const PLATFORM: [&str; 4] = ["receptor", "doppler", "registry", "dashboard"];
/// Whom this machine asks for names.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// How many instances may start at once without waiting for a namespace to be made.
const SPARE_NAMESPACES: usize = 8;
/// How long the start may take until the first cell and the platform's routes are there.
const READY: Duration = Duration::from_secs(30);

/// Runs the appliance until a signal ends it.
pub fn run(args: Up) -> anyhow::Result<()> {
    preflight::check(&args, &settings(&args))?;
    raise_open_files();
    let kept = sockets::kept();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("lattice")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(appliance(args, kept));
    runtime.shutdown_timeout(THREADS_STOP);
    outcome
}

/// What has to be reached after the start.
struct Platform {
    tasks: Tasks,
    bus: Arc<dyn Bus>,
    front: Front,
    cell: lattice_cell::Handle,
    brain: lattice_brain::Handle,
}

/// What every role is given.
pub(crate) struct Carriers {
    pub(crate) tasks: Tasks,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) logs: Arc<dyn LogIngress>,
}

async fn appliance(args: Up, kept: Vec<TcpListener>) -> anyhow::Result<()> {
    let data_dir = &args.data.data_dir;
    // Nothing is made before it is clear that this one may start.
    Lock::refuse_second(data_dir)?;
    let addresses: Vec<_> = kept.iter().filter_map(|socket| socket.local_addr().ok()).collect();
    preflight::check_ports(&args, &addresses)?;
    data_directory::make(data_dir)?;
    let _lock = Lock::take(data_dir)?;
    let mut signals = Signals::new()?;
    // A signal that comes meanwhile is heard afterwards: what was begun is then ended in order.
    let platform = start(&args, kept).await?;
    let ended = tokio::select! {
        failed = serve(&args, &platform) => failed.map(|()| Asked::Leave),
        asked = signals.any() => Ok(asked),
    };
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    match &ended {
        Ok(Asked::Stop) => {
            info!("stopping the apps, which stay desired");
            platform.cell.stop_all(APPS_GRACE).await;
        }
        Ok(Asked::Leave) | Err(_) => {
            info!("the apps run on; the next `lattice up` finds them");
            platform.front.leave().await;
        }
    }
    platform.tasks.end(TASKS_STOP).await;
    ended.map(drop)
}

/// Says when all is ready; returns only when something has failed.
async fn serve(args: &Up, platform: &Platform) -> anyhow::Result<()> {
    ready(args, platform).await?;
    platform.tasks.shutdown().cancelled().await;
    anyhow::bail!("a part of the platform has failed; the log above says which")
}

/// Starts the roles; each finds what it needs already there.
async fn start(args: &Up, kept: Vec<TcpListener>) -> anyhow::Result<Platform> {
    let data_dir = &args.data.data_dir;
    let (ingress, egress) = log_ingress::channel();
    let carriers = Carriers {
        tasks: Tasks::default(),
        clock: Arc::new(SystemClock),
        bus: Arc::new(InProcessBus::default()),
        logs: Arc::new(ingress),
    };
    let tasks = &carriers.tasks;
    telemetry::start(verbosity(args), Arc::clone(&carriers.logs));
    data_directory::warn_of_onlookers(data_dir);
    let admin = administrator(args)?;

    let doppler = lattice_log_aggregator::Config {
        listen: loopback(args.doppler_port),
        gate: lattice_log_aggregator::gate(admin.clone()),
        limits: lattice_log_aggregator::Limits::default(),
    };
    let doppler = lattice_log_aggregator::start(doppler, egress, tasks).await;
    let doppler = doppler.context(PORT_TAKEN)?.address();

    let reps = Arc::new(LocalRep::default());
    let connector = Arc::clone(&reps) as Arc<dyn RepConnector>;
    let brain = brain_config(args, admin.as_ref());
    let clock = Arc::clone(&carriers.clock);
    let brain = lattice_brain::start(brain, connector, clock, tasks).await?;
    let registry = BlobsConfig::on_loopback(data_dir, admin.clone());
    let images = Some(Arc::new(brain.clone()) as Arc<dyn WantedImages>);
    let registry = lattice_brain::blobs::serve(registry, images, tasks).await?;
    let dashboard = HttpConfig::on_loopback(admin.clone(), &args.domain);
    let receptor = receptor_config(args, admin);
    let receptor = http::serve(receptor, Arc::new(brain.clone()), tasks).await?;
    let dashboard = http::dashboard::serve(dashboard, Arc::new(brain.clone()), tasks).await?;

    let endpoints = PLATFORM.into_iter().zip([receptor, doppler, registry, dashboard]);
    let platform: Vec<PlatformRoute> = endpoints
        .map(|(name, endpoint)| PlatformRoute { host: format!("{name}.{}", args.domain), endpoint })
        .collect();
    let mut settings = settings(args);
    machinery::remove_former(data_dir, &settings).await?;
    settings.store(data_dir)?;
    let (abilities, warnings) = machinery::try_abilities(data_dir).await?;
    settings.abilities = abilities;
    let machinery = Machinery::start(args.runtime.engine(), data_dir, &settings).await?;
    let gateway = machinery.network.gateway();
    let (front, shown) = Front::start(args, &platform, (gateway, kept), &carriers).await?;
    if let Some(certificates) = shown {
        let clock = Arc::clone(&carriers.clock);
        custom_domains::start(&args.acme, &brain, certificates, clock, tasks)?;
    }
    let announce =
        platform_routes::announce(platform, Arc::clone(&carriers.bus), tasks.shutdown().clone());
    tasks.critical("platform-routes", announce);
    let spares = machinery.network.keep_spares(SPARE_NAMESPACES, tasks.shutdown().clone());
    tasks.spawn("spare namespaces", spares);
    let cell = start_cell(args, (machinery, warnings), &brain, &carriers).await?;
    let _ = reps.0.set(Arc::new(cell.clone()));
    Ok(Platform { tasks: carriers.tasks, bus: carriers.bus, front, cell, brain })
}

async fn start_cell(
    args: &Up,
    (machinery, warnings): (Machinery, Vec<String>),
    brain: &lattice_brain::Handle,
    carriers: &Carriers,
) -> anyhow::Result<lattice_cell::Handle> {
    let id = CellId::new(&args.cell_id).map_err(|why| Usage(format!("--cell-id: {why}")))?;
    let gateway = machinery.network.gateway();
    let data_dir = args.data.data_dir.clone();
    let mut config = lattice_cell::Config::new(id, data_dir, gateway.into());
    config.capacity = Some(capacity(args, &config.data_dir)?);
    config.labels = args.labels.iter().cloned().collect();
    config.warnings = warnings;
    if let Some(sockets) = machinery.names {
        let relay = Relay::Host { resolv_conf: RESOLV_CONF.into(), own: gateway.into() };
        let zone = Zone::new(gateway, &args.domain);
        dns::serve(sockets, zone, relay, &carriers.tasks).context("cannot serve names")?;
        config.dns_servers = Some(vec![gateway.into()]);
    }
    let seams = lattice_cell::Seams {
        bbs: Arc::new(brain.clone()),
        bus: Arc::clone(&carriers.bus),
        logs: Arc::clone(&carriers.logs),
        clock: Arc::clone(&carriers.clock),
        runtime: machinery.runtime,
        images: machinery.images,
        network: machinery.network,
        files: Arc::new(ConfinedFiles),
    };
    let cell = lattice_cell::start(config, seams, &carriers.tasks).await?;
    if let Some(listen) = args.cell_ssh {
        let ssh = SshConfig { listen, dir: args.data.data_dir.join("ssh") };
        ssh::serve(ssh, cell.clone(), &carriers.tasks).await?;
    }
    Ok(cell)
}

/// What the cell offers: all the machine has, but for what was said otherwise.
fn capacity(args: &Up, data_dir: &Path) -> anyhow::Result<Resources> {
    let mut capacity = lattice_cell::config::capacity_of(data_dir, args.containers)?;
    capacity.memory_mb = args.memory_mb.unwrap_or(capacity.memory_mb);
    capacity.disk_mb = args.disk_mb.unwrap_or(capacity.disk_mb);
    Ok(capacity)
}

fn brain_config(args: &Up, admin: Option<&Admin>) -> lattice_brain::Config {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut config = lattice_brain::Config::new(&args.data.data_dir);
    config.version =
        Version { lattice_release: version.clone(), receptor: version.clone(), ltc: version };
    config.platform_hosts = PLATFORM.map(|name| format!("{name}.{}", args.domain)).into();
    config.serves_https = args.https_port != 0;
    config.orders_certificates = args.acme.accept_terms;
    config.auction.strategy = args.strategy;
    config.auction.seed = args.placement_seed;
    config.own_registry = admin.map(|admin| RegistryCredentials {
        registry: format!("registry.{}", target(args)),
        username: admin.username.clone(),
        password: admin.password.clone(),
    });
    config
}

fn receptor_config(args: &Up, admin: Option<Admin>) -> HttpConfig {
    let listed = Origins::from(args.cors_origins.clone());
    HttpConfig {
        listen: loopback(args.receptor_port),
        origins: if args.cors_any_origin { Origins::Any } else { listed },
        artifacts: args.artifacts.clone(),
        ..HttpConfig::on_loopback(admin, &args.domain)
    }
}

fn settings(args: &Up) -> Settings {
    Settings {
        bridge: args.bridge.clone(),
        subnet: args.subnet.clone(),
        http_port: args.http_port,
        external_address: match args.listen {
            IpAddr::V4(address) if !address.is_loopback() => Some(address),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        },
        insecure_registries: args.insecure_registries.clone(),
        own_registry: Some(format!("registry.{}", target(args))),
        mirrors: args.registry_mirrors.clone(),
        disk_free_mb: args.disk_free_mb,
        host_ports: args.host_ports,
        egress: args.egress,
        abilities: machinery::Abilities::default(),
    }
}

/// Waits until work would be placed and people be answered; then says so to them and to systemd.
#[allow(clippy::print_stdout, reason = "the greeting is this command's answer")]
async fn ready(args: &Up, platform: &Platform) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + READY;
    while platform.brain.cells().await.is_ok_and(|cells| cells.is_empty()) {
        anyhow::ensure!(
            tokio::time::Instant::now() < deadline && !platform.tasks.shutdown().is_cancelled(),
            "this machine's cell did not report within {READY:?}; the log above says why"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    platform.front.open(&platform.bus).await?;
    let target = target(args);
    fs::write(args.data.data_dir.join("target"), &target)
        .context("cannot write the target file")?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    println!(
        "lattice is ready at http://receptor.{target}\n\n\
         next, in another terminal:\n  \
         ltc create web IMAGE    run an image, a `docker save` tarball or a directory\n  \
         ltc list                see what runs\n\n\
         in a browser: http://dashboard.{target}\n\
         {}{}\n\
         Ctrl-C stops it; the next `lattice up` brings the apps back",
        over_tls(args),
        who_may(args, &target)
    );
    Ok(())
}

/// What is served under TLS, too.
fn over_tls(args: &Up) -> String {
    let port = match args.https_port {
        0 => return String::new(),
        443 => String::new(),
        port => format!(":{port}"),
    };
    format!("and https://NAME.{}{port}, once `ltc trust --install` was run\n", args.domain)
}

/// How people get in: root's `ltc` looks into the usual data directory by itself.
fn who_may(args: &Up, target: &str) -> String {
    let dir = &args.data.data_dir;
    if args.no_auth {
        return format!("no password is asked for: ltc target {target}");
    }
    let file = dir.join(lattice_daemon::credentials::FILE);
    let others = format!("others: ltc target {target}, with what is in {}", file.display());
    match dir == Path::new(DEFAULT_DATA_DIR) {
        true => format!("root needs no password; {others}"),
        false => format!(
            "root needs no password after: export LATTICE_DATA_DIR={}\n{others}",
            std::path::absolute(dir).unwrap_or_else(|_| dir.clone()).display()
        ),
    }
}

/// Finds the one cell of this process.
#[derive(Default)]
struct LocalRep(OnceLock<Arc<dyn Rep>>);

impl RepConnector for LocalRep {
    fn connect(&self, _: &CellPresence) -> Option<Arc<dyn Rep>> {
        self.0.get().cloned()
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// To end, and leave the apps running: SIGTERM, as a service manager sends it to restart.
    Leave,
    /// To stop the apps with it: SIGINT, from a terminal or `lattice down`.
    Stop,
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

    async fn any(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Leave,
            _ = self.interrupt.recv() => Asked::Stop,
        }
    }
}

/// A proxy and its apps' pipes need more files than a login shell grants.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(why) = setrlimit(Resource::Nofile, raised) {
        warn!(%why, "cannot raise the limit of open files");
    }
}

fn verbosity(args: &Up) -> Telemetry {
    let stderr = match args.verbose {
        0 => "warn",
        1 => "info",
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
