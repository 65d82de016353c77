//! Real containers, each held by a process of its own, which outlives this one, and made by an
//! [`Engine`] that speaks the OCI runtime's command line. It refuses to guess: without that engine
//! it does not start.

mod attach;
mod bundle;
mod carried;
mod cgroup;
mod host;
mod process;
mod program;
mod seccomp;
mod shim;
mod terminal;

pub use self::carried::runs_nothing;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lattice_shim_protocol::Settings;
use tokio::sync::RwLock;

use self::cgroup::{Cgroups, Leaf};
use self::host::Host;
use self::process::StartError;
use self::program::Program;
use super::{
    Attached, ContainerBlueprint, ContainerId, Process, ProcessSpec, Runtime, RuntimeError, Usage,
    WindowSize,
};

/// How long the end of everything in a container may take once it is killed.
const DELETE_MAX: Duration = Duration::from_secs(20);
/// How long something may still be written beside a container that is removed.
const REMOVE_MAX: Duration = Duration::from_secs(5);
/// How long it may take until all in a container stands still.
const FREEZE_MAX: Duration = Duration::from_secs(5);

/// What an [`OciRuntime`] needs to know.
#[derive(Debug, Clone)]
pub struct OciConfig {
    /// Where bundles, the OCI runtime's own state and the program that stands beside containers are
    /// kept: `containers/`, `oci/` and `program/` below it.
    pub data_dir: PathBuf,
    /// What makes containers.
    pub engine: Engine,
}

/// What makes containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Engine {
    /// The program that this one carries in itself; nothing else has to be installed.
    #[default]
    Embedded,
    /// Debian's `runc`.
    Runc,
    /// Debian's `crun`.
    Crun,
}

/// Runs containers by an OCI runtime program.
pub struct OciRuntime {
    shared: Arc<Shared>,
}

struct Shared {
    data_dir: PathBuf,
    program: Program,
    host: Host,
    cgroups: Cgroups,
    containers: Mutex<BTreeMap<ContainerId, Container>>,
    /// Held for reading while a container is made, so that the parent cgroup is not removed
    /// under it.
    making: RwLock<()>,
}

/// What is remembered of a container that this process made or adopted.
#[derive(Debug, Clone, Copy)]
struct Container {
    privileged: bool,
}

// === impl Engine ===

impl Engine {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Embedded, Self::Runc, Self::Crun];

    /// The program it needs, which is also its Debian package; `None` needs none.
    pub const fn program(self) -> Option<&'static str> {
        match self {
            Self::Embedded => None,
            Self::Runc => Some("runc"),
            Self::Crun => Some("crun"),
        }
    }
}

// === impl OciRuntime ===

impl OciRuntime {
    /// Looks at the machine and gets ready.
    pub fn new(config: OciConfig) -> Result<Self, RuntimeError> {
        let unavailable = |what: &str, why: io::Error| {
            RuntimeError::Unavailable(format!("cannot {what}: {why}; run as root on Linux"))
        };
        let data_dir = std::path::absolute(&config.data_dir)
            .map_err(|e| unavailable("find the data directory", e))?;
        for dir in ["containers", "oci"] {
            fs::create_dir_all(data_dir.join(dir))
                .map_err(|e| unavailable("make the containers' directory", e))?;
        }
        let program = Program::find(config.engine, data_dir.join("oci"))?;
        let cgroups = Cgroups::detect(&data_dir)?;
        let host = Host::inspect(carried::path_in(&data_dir.join("program")), &cgroups);
        Ok(Self {
            shared: Arc::new(Shared {
                data_dir,
                program,
                host,
                cgroups,
                containers: Mutex::default(),
                making: RwLock::new(()),
            }),
        })
    }

    /// Sends SIGTERM to all that is executed in a container, and waits until it has ended, but not
    /// longer than `grace`. For containers whose cell is gone.
    pub async fn terminate(&self, id: &ContainerId, grace: Duration) {
        let leaf = self.shared.cgroups.leaf(id);
        let init = fs::read_to_string(self.shared.bundle_dir(id).join("init.pid"));
        let init: Option<i32> = init.ok().and_then(|pid| pid.trim().parse().ok());
        leaf.terminate_all_but(init);
        let deadline = Instant::now() + grace;
        while leaf.processes().iter().any(|pid| Some(*pid) != init) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs a step in a task of its own, so that a caller who goes away cannot stop it half-way.
    async fn detached<F>(&self, step: F) -> Result<(), RuntimeError>
    where
        F: Future<Output = Result<(), RuntimeError>> + Send + 'static,
    {
        tokio::spawn(step).await.unwrap_or_else(|_| Err(stopping()))
    }
}

#[async_trait]
impl Runtime for OciRuntime {
    async fn create(&self, spec: ContainerBlueprint) -> Result<(), RuntimeError> {
        let shared = self.shared.clone();
        self.detached(async move { shared.create(spec).await }).await
    }

    async fn exec(&self, id: &ContainerId, process: ProcessSpec) -> Result<Process, RuntimeError> {
        self.shared.exec(id, &process).await
    }

    async fn attach(
        &self,
        id: &ContainerId,
        process: ProcessSpec,
        terminal: Option<WindowSize>,
    ) -> Result<Attached, RuntimeError> {
        self.shared.attach(id, &process, terminal).await
    }

    async fn adopt(&self, id: &ContainerId, privileged: bool) -> Result<(), RuntimeError> {
        self.shared.adopt(id, privileged).await
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.shared.container(id)?;
        freeze(&self.shared.cgroups.leaf(id), true).await.map_err(|e| failed("pause", id, &e))
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.shared.container(id)?;
        freeze(&self.shared.cgroups.leaf(id), false).await.map_err(|e| failed("resume", id, &e))
    }

    async fn usage(&self, id: &ContainerId) -> Result<Usage, RuntimeError> {
        self.shared.container(id)?;
        let leaf = self.shared.cgroups.leaf(id);
        leaf.usage().map_err(|e| failed("measure", id, &e))
    }

    async fn delete(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let (shared, id) = (self.shared.clone(), id.clone());
        self.detached(async move { shared.delete(&id).await }).await
    }

    async fn list(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        self.shared.list()
    }
}

// === impl Shared ===

impl Shared {
    async fn create(&self, spec: ContainerBlueprint) -> Result<(), RuntimeError> {
        let id = spec.id.clone();
        let making = self.making.read().await;
        let dir = self.bundle_dir(&id);
        // Before anything that a failure would take away again: the name may be in use.
        let made = fs::DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|e| failed("create", &id, &e))?;
        match self.make(&spec, &dir).await {
            Ok(()) => {
                self.containers().insert(id, Container { privileged: spec.privileged });
                Ok(())
            }
            Err(why) => {
                self.clear(&id).await?;
                drop(making);
                self.remove_unused_parent();
                Err(failed("create", &id, &program::words(&why)))
            }
        }
    }

    /// Writes the bundle and starts the process that makes and holds the container.
    async fn make(&self, spec: &ContainerBlueprint, dir: &Path) -> Result<(), String> {
        let told = |e: io::Error| format!("cannot write {}: {e}", dir.display());
        fs::metadata(&spec.netns)
            .map_err(|e| format!("there is no network namespace {}: {e}", spec.netns.display()))?;
        let cgroup = self.cgroups.path_inside(&spec.id);
        let config = bundle::container(spec, &self.host, &cgroup);
        fs::write(dir.join("config.json"), config.to_string()).map_err(told)?;
        let leaf = self.cgroups.leaf(&spec.id);
        let settings = Settings {
            id: spec.id.to_string(),
            program: self.program.path.clone(),
            arguments: self.program.arguments.clone(),
            hides_cgroup2: self.program.hides_cgroup2,
            root: self.program.root.clone(),
            cgroups: leaf.dirs(),
            memory_events: leaf.memory_events(),
        };
        carried::there(&self.host.shim)?;
        shim::start(&self.host.shim, dir, &settings).await
    }

    async fn exec(&self, id: &ContainerId, spec: &ProcessSpec) -> Result<Process, RuntimeError> {
        let container = self.container(id)?;
        let config = bundle::process(spec, &self.host, container.privileged);
        let name = spec.keep_as.as_deref().unwrap_or_default();
        let started =
            process::run(&self.bundle_dir(id), name, config.to_string().into_bytes()).await;
        started.map_err(|why| not_started(id, spec, why))
    }

    async fn attach(
        &self,
        id: &ContainerId,
        spec: &ProcessSpec,
        terminal: Option<WindowSize>,
    ) -> Result<Attached, RuntimeError> {
        let container = self.container(id)?;
        let mut config = bundle::process(spec, &self.host, container.privileged);
        if let Some(WindowSize { columns, rows }) = terminal {
            config["terminal"] = true.into();
            config["consoleSize"] = serde_json::json!({"height": rows, "width": columns});
        }
        let process = config.to_string().into_bytes();
        let started = attach::run(&self.bundle_dir(id), process, terminal.is_some()).await;
        started.map_err(|why| not_started(id, spec, why))
    }

    async fn adopt(&self, id: &ContainerId, privileged: bool) -> Result<(), RuntimeError> {
        let dir = self.bundle_dir(id);
        if shim::holder(&dir).is_none() {
            return Err(RuntimeError::NotFound(id.to_string()));
        }
        shim::Connection::open(&dir).await.map_err(|why| failed("adopt", id, &why))?;
        self.containers().insert(id.clone(), Container { privileged });
        Ok(())
    }

    async fn delete(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.clear(id).await?;
        self.remove_unused_parent();
        Ok(())
    }

    /// Whoever deletes the last container leaves no cgroup; one that is being made needs it.
    fn remove_unused_parent(&self) {
        if let Ok(_alone) = self.making.try_write() {
            self.cgroups.remove_parent_when_empty();
        }
    }

    /// Removes every trace of a container, whoever made it and however far that went.
    async fn clear(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let dir = self.bundle_dir(id);
        let leaf = self.cgroups.leaf(id);
        shim::forbid(&dir).map_err(|e| failed("delete", id, &e))?;
        empty(&leaf).await.map_err(|why| failed("delete", id, &why))?;
        shim::end(&dir).await.map_err(|why| failed("delete", id, &why))?;
        // It may have been making the container until now.
        empty(&leaf).await.map_err(|why| failed("delete", id, &why))?;
        host::unmount_below(&dir).map_err(|e| failed("unmount what is left of", id, &e))?;
        // The program's own record: with the processes and cgroups gone nothing else is in it.
        for dir in [self.program.state_of(id), dir] {
            remove(&dir).await.map_err(|e| failed("delete", id, &e))?;
        }
        self.containers().remove(id);
        Ok(())
    }

    fn list(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        let mut ids = Vec::new();
        for dir in [self.data_dir.join("containers"), self.data_dir.join("oci")] {
            let entries = fs::read_dir(&dir).map_err(|e| {
                RuntimeError::Unavailable(format!("cannot read {}: {e}", dir.display()))
            })?;
            let names = entries.flatten().map(|entry| entry.file_name());
            ids.extend(names.map(|name| ContainerId::new(&name.to_string_lossy())));
        }
        ids.extend(self.cgroups.leaves().iter().map(|name| ContainerId::new(name)));
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    fn bundle_dir(&self, id: &ContainerId) -> PathBuf {
        self.data_dir.join("containers").join(id.as_str())
    }

    fn container(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        let found = self.containers().get(id).copied();
        found.ok_or_else(|| RuntimeError::NotFound(id.to_string()))
    }

    fn containers(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, Container>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills all that is in a container until its cgroups can be removed, which proves that nothing
/// is. The process that holds it reaps.
async fn empty(leaf: &Leaf) -> Result<(), String> {
    let deadline = Instant::now() + DELETE_MAX;
    let mut pause = Duration::from_millis(1);
    loop {
        leaf.kill_all();
        match leaf.remove() {
            Ok(()) => return Ok(()),
            Err(e) if Instant::now() > deadline => {
                let left = leaf.processes();
                return Err(format!("processes {left:?} do not end within {DELETE_MAX:?}: {e}"));
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Removes a directory. A holder that has only begun, and finds that it may not, may leave a file
/// there a moment before it goes.
async fn remove(dir: &Path) -> io::Result<()> {
    let deadline = Instant::now() + REMOVE_MAX;
    loop {
        match fs::remove_dir_all(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            outcome => return outcome,
        }
    }
}

fn not_started(id: &ContainerId, spec: &ProcessSpec, why: StartError) -> RuntimeError {
    match why {
        StartError::Refused(why) => program::exec_error(id, &spec.argv, program::words(&why)),
        StartError::Unreachable(why) => failed("start a process in", id, &why),
    }
}

/// Says that a container is to stand still or to run, until it does.
async fn freeze(leaf: &Leaf, frozen: bool) -> io::Result<()> {
    let deadline = Instant::now() + FREEZE_MAX;
    let mut pause = Duration::from_micros(200);
    // A process that is about to fork gets away from version 1, which has to be told again.
    while leaf.freeze(frozen)? != frozen {
        if Instant::now() > deadline {
            // Half of it would stand still for ever.
            leaf.freeze(false)?;
            let why = format!("a process in it does not stand still within {FREEZE_MAX:?}");
            return Err(io::Error::other(why));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(())
}

fn stopping() -> RuntimeError {
    RuntimeError::Unavailable("the runtime is being stopped".to_owned())
}

fn failed(what: &'static str, id: &ContainerId, why: &dyn std::fmt::Display) -> RuntimeError {
    RuntimeError::Failed { what, id: id.to_string(), why: why.to_string() }
}
