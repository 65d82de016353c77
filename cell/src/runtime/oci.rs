//! Real containers, by a program that speaks the OCI runtime's command line (Debian's `runc`).
//! It refuses to guess: without that program it does not start.

mod bundle;
mod cgroup;
mod children;
mod host;
mod process;
mod program;
mod seccomp;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::net::unix::pipe;
use tokio::sync::{RwLock, oneshot};

use self::cgroup::{Cgroups, Leaf};
use self::children::Child;
use self::host::Host;
use self::process::OciProcess;
use self::program::Program;
use super::{
    ContainerBlueprint, ContainerId, Process, ProcessSpec, Runtime, RuntimeError, Signal, Usage,
};

/// How long the end of everything in a container may take once it is killed.
const DELETE_MAX: Duration = Duration::from_secs(20);

/// What an [`OciRuntime`] needs to know.
#[derive(Debug, Clone)]
pub struct OciConfig {
    /// Where bundles and the program's own state are kept: `containers/` and `oci/` below it.
    pub data_dir: PathBuf,
    /// The OCI runtime; `None` looks `runc` up in `PATH`.
    pub program: Option<PathBuf>,
    /// The program that is PID 1 inside, started as `/.lattice/init init`: static, and calling
    /// [`super::init::run`]. Normally `/proc/self/exe`.
    pub init_binary: PathBuf,
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
    next_process: AtomicU64,
}

/// What is remembered of a container that this process made.
#[derive(Debug, Clone)]
struct Container {
    privileged: bool,
    init: Arc<Child>,
}

// === impl OciRuntime ===

impl OciRuntime {
    /// Looks at the machine and gets ready. From here on this process adopts the orphans of the
    /// containers it starts; call it inside a tokio runtime.
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
        let program = Program::find(config.program.as_deref(), data_dir.join("oci"))?;
        let cgroups = Cgroups::detect(&data_dir)?;
        let host = Host::inspect(&config.init_binary, &cgroups)?;
        children::adopt_orphans().map_err(|e| unavailable("adopt the containers' orphans", e))?;
        Ok(Self {
            shared: Arc::new(Shared {
                data_dir,
                program,
                host,
                cgroups,
                containers: Mutex::default(),
                making: RwLock::new(()),
                next_process: AtomicU64::new(0),
            }),
        })
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
        let (shared, id) = (self.shared.clone(), id.clone());
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            // Nobody could ever stop a process whose caller has gone.
            if let Err(Ok(process)) = tell.send(shared.exec(&id, &process).await) {
                let _ = process.control.signal(Signal::Kill).await;
            }
        });
        told.await.unwrap_or_else(|_| Err(stopping()))
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
        fs::create_dir(&dir).map_err(|e| failed("create", &id, &e))?;
        match self.make(&spec, &dir).await {
            Ok(container) => {
                self.containers().insert(id, container);
                Ok(())
            }
            Err(why) => {
                self.clear(&id).await?;
                drop(making);
                self.remove_unused_parent();
                Err(failed("create", &id, &why))
            }
        }
    }

    /// Writes the bundle and starts the init.
    async fn make(&self, spec: &ContainerBlueprint, dir: &Path) -> Result<Container, String> {
        let told = |e: io::Error| format!("cannot write {}: {e}", dir.display());
        let cgroup = self.cgroups.path_inside(&spec.id);
        let config = bundle::container(spec, &self.host, &cgroup);
        fs::write(dir.join("config.json"), config.to_string()).map_err(told)?;
        let pid_file = dir.join("init.pid");
        let arguments = [
            "run".as_ref(),
            "--detach".as_ref(),
            "--bundle".as_ref(),
            dir.as_os_str(),
            "--pid-file".as_ref(),
            pid_file.as_os_str(),
            spec.id.as_str().as_ref(),
        ];
        let log = dir.join("create.log");
        self.program.run(&arguments, &log, (Stdio::null(), Stdio::null())).await?;
        let init = read_pid(&pid_file)?;
        let namespace =
            children::pid_namespace(init).map_err(|e| format!("its init ended at once: {e}"))?;
        fs::write(dir.join("pid-namespace"), namespace).map_err(told)?;
        let init =
            Child::watch(init, Box::new(|code| super::ExitStatus { code, out_of_memory: false }));
        let init = init.map_err(|e| format!("cannot watch its init: {e}"))?;
        Ok(Container { privileged: spec.privileged, init: Arc::new(init) })
    }

    async fn exec(&self, id: &ContainerId, spec: &ProcessSpec) -> Result<Process, RuntimeError> {
        let container = self.container(id)?;
        let number = self.next_process.fetch_add(1, Ordering::Relaxed);
        let files = ExecFiles::new(&self.bundle_dir(id), number);
        let io = |e: io::Error| failed("start a process in", id, &e);
        let config = bundle::process(spec, &self.host, container.privileged);
        fs::write(&files.process, config.to_string()).map_err(io)?;
        let (out, stdout) = pipe::pipe().map_err(io)?;
        let (err, stderr) = pipe::pipe().map_err(io)?;
        let ends = (
            Stdio::from(out.into_blocking_fd().map_err(io)?),
            Stdio::from(err.into_blocking_fd().map_err(io)?),
        );
        let leaf = self.cgroups.leaf(id);
        let kills_before = leaf.memory_kills();
        let arguments = [
            "exec".as_ref(),
            "--detach".as_ref(),
            "--pid-file".as_ref(),
            files.pid.as_os_str(),
            "--process".as_ref(),
            files.process.as_os_str(),
            id.as_str().as_ref(),
        ];
        let started = self.program.run(&arguments, &files.log, ends).await;
        if let Err(why) = started {
            return Err(program::exec_error(id, &spec.argv, why));
        }
        let pid = read_pid(&files.pid).map_err(|why| failed("start a process in", id, &why))?;
        drop(files);
        let end = leaf.clone();
        let child = Child::watch(
            pid,
            Box::new(move |code| super::ExitStatus {
                code,
                out_of_memory: end.memory_kills() > kills_before,
            }),
        );
        let child = child.map_err(io)?;
        let control = Arc::new(OciProcess::new(child, leaf));
        Ok(Process { stdout: Box::new(stdout), stderr: Box::new(stderr), control })
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
        let namespace = fs::read_to_string(dir.join("pid-namespace")).ok();
        let leaf = self.cgroups.leaf(id);
        empty(&leaf, namespace.as_deref()).await.map_err(|why| failed("delete", id, &why))?;
        host::unmount_below(&dir).map_err(|e| failed("unmount what is left of", id, &e))?;
        // The program's own record: with the processes and cgroups gone nothing else is in it.
        for dir in [self.program.state_of(id), dir] {
            match fs::remove_dir_all(&dir) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(failed("delete", id, &e)),
            }
        }
        let known = self.containers().remove(id);
        if let Some(container) = known {
            container.init.wait().await;
        }
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
        let found = self.containers().get(id).cloned();
        found.ok_or_else(|| RuntimeError::NotFound(id.to_string()))
    }

    fn containers(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, Container>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ExecFiles ===

/// The files one exec needs for a moment.
struct ExecFiles {
    process: PathBuf,
    pid: PathBuf,
    log: PathBuf,
}

impl ExecFiles {
    fn new(dir: &Path, number: u64) -> Self {
        let file = |end: &str| dir.join(format!("process-{number}.{end}"));
        Self { process: file("json"), pid: file("pid"), log: file("log") }
    }
}

impl Drop for ExecFiles {
    fn drop(&mut self) {
        for file in [&self.process, &self.pid, &self.log] {
            // It may never have been written; the rest goes with the bundle.
            let _ = fs::remove_file(file);
        }
    }
}

/// Kills all that is in a container until its cgroups can be removed, which proves that nothing
/// is. The init's death waits for the processes that were executed from outside to be reaped, so
/// those that nobody waits for are reaped here.
async fn empty(leaf: &Leaf, namespace: Option<&str>) -> Result<(), String> {
    let deadline = Instant::now() + DELETE_MAX;
    let mut pause = Duration::from_millis(1);
    loop {
        leaf.kill_all();
        if let Some(namespace) = namespace {
            children::reap_strays_of(namespace);
        }
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

fn read_pid(path: &Path) -> Result<i32, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("it wrote no process id: {e}"))?;
    text.trim().parse().map_err(|_| format!("it wrote {text:?} as process id"))
}

fn stopping() -> RuntimeError {
    RuntimeError::Unavailable("the runtime is being stopped".to_owned())
}

fn failed(what: &'static str, id: &ContainerId, why: &dyn std::fmt::Display) -> RuntimeError {
    RuntimeError::Failed { what, id: id.to_string(), why: why.to_string() }
}
