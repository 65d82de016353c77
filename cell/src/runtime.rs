//! Containers, behind one seam: [`Runtime`]. A container is made around an init that only reaps;
//! every action is a process executed in it, so that an app is never PID 1. Containers outlive the
//! process that made them; the next one adopts them.

pub mod fake;
pub mod oci;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use lattice_model::Limit;
use lattice_model::action::EnvVar;
use lattice_model::desired_lrp::StopSignal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use crate::userns::UserNamespace;

/// Names a container on its cell: `process_guid-instance_guid` hashed or shortened to what a
/// cgroup, a directory and an interface's alias can bear.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(Arc<str>);

/// Stands between an instance's name and the number of one of its containers.
const MEMBER: char = '.';

/// Makes, fills and removes containers.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Makes the container: namespaces, cgroup, mounts, and an init that only reaps.
    async fn create(&self, spec: ContainerBlueprint) -> Result<(), RuntimeError>;
    /// Takes over a container that an earlier process made, with all that runs in it.
    /// [`RuntimeError::NotFound`] when there is none that still runs, or ran since the machine
    /// started.
    async fn adopt(&self, id: &ContainerId, privileged: bool) -> Result<(), RuntimeError>;
    /// Starts a process in it, with the container's seccomp filter, capabilities and cgroup; or
    /// attaches to the one that is kept as [`ProcessSpec::keep_as`].
    async fn exec(&self, id: &ContainerId, process: ProcessSpec) -> Result<Process, RuntimeError>;
    /// Starts a process in it like any other, whose input and output are the caller's: three
    /// streams, or a terminal of this size. It is killed when its handles are dropped.
    async fn attach(
        &self,
        id: &ContainerId,
        _process: ProcessSpec,
        _terminal: Option<WindowSize>,
    ) -> Result<Attached, RuntimeError> {
        Err(RuntimeError::Unavailable(format!("nobody can be attached to container {id}")))
    }
    /// Stops all that runs in it where it stands, until it is resumed; nothing can be started in it
    /// meanwhile, and signals wait. No error when it is paused already.
    async fn pause(&self, id: &ContainerId) -> Result<(), RuntimeError>;
    /// Lets it run on; no error when it is not paused.
    async fn resume(&self, id: &ContainerId) -> Result<(), RuntimeError>;
    /// What it uses now.
    async fn usage(&self, id: &ContainerId) -> Result<Usage, RuntimeError>;
    /// Kills all that is in it and removes every trace; no error when there is none.
    async fn delete(&self, id: &ContainerId) -> Result<(), RuntimeError>;
    /// Every container of this data directory, leftovers of an earlier process included.
    async fn list(&self) -> Result<Vec<ContainerId>, RuntimeError>;
}

/// What a container is made from.
#[derive(Debug, Clone)]
pub struct ContainerBlueprint {
    /// Its name.
    pub id: ContainerId,
    /// Its host name.
    pub hostname: String,
    /// The mounted root filesystem.
    pub rootfs: PathBuf,
    /// The network namespace it joins.
    pub netns: PathBuf,
    /// Files of the host to show inside, read-only: (host path, path inside).
    pub files: Vec<(PathBuf, String)>,
    /// Directories of the host to show inside.
    pub volumes: Vec<Volume>,
    /// Memory in bytes; swap is bound to the same.
    pub memory_bytes: Limit,
    /// cgroup v1 shares, 1024 for a weight of 100.
    pub cpu_shares: u64,
    /// CPU time in percent of one core.
    pub cpu_limit_percent: Limit,
    /// Processes and threads.
    pub pids: Limit,
    /// True when it may do what root on the host may.
    pub privileged: bool,
    /// Its own users, who own the network namespace as well; `None` has the host's.
    pub users: Option<UserNamespace>,
}

/// A directory of the host as a container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Where it is inside; made when it is not there.
    pub path: String,
    /// True when the container may not write to it.
    pub read_only: bool,
}

/// A process to start in a container.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// The program and its arguments; a name without a slash is looked up in `PATH`.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: Vec<EnvVar>,
    /// Its working directory.
    pub dir: String,
    /// Who runs it, looked up already.
    pub user: UserIds,
    /// The most open files.
    pub nofile: Option<u64>,
    /// The most processes of the user.
    pub nproc: Option<u64>,
    /// The name under which it, its end and its output are kept for whoever comes after this
    /// process; without one it is killed when its handles are dropped.
    pub keep_as: Option<String>,
}

/// A user as the kernel knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserIds {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Other groups.
    pub additional_gids: Vec<u32>,
}

/// A started process.
pub struct Process {
    /// What it writes to standard output.
    pub stdout: Box<dyn Output>,
    /// What it writes to standard error.
    pub stderr: Box<dyn Output>,
    /// Its handle.
    pub control: Arc<dyn ProcessControl>,
}

/// A started process that is its caller's alone.
pub struct Attached {
    /// What it reads.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// What it writes to standard output, or to its terminal.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// What it writes to standard error, where that is not the terminal.
    pub errors: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Changes the terminal's size, where there is one.
    pub resize: Option<Box<dyn Fn(WindowSize) + Send + Sync>>,
    /// Its handle.
    pub control: Arc<dyn ProcessControl>,
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// How many stand in a line.
    pub columns: u16,
    /// How many lines there are.
    pub rows: u16,
}

/// What a process writes to one stream.
#[async_trait]
pub trait Output: Send {
    /// The next piece; `None` at the end. Nothing is lost when the call is broken off.
    async fn next(&mut self) -> Option<Chunk>;
    /// All that was given is taken care of, but for the last `unfinished` bytes, which whoever
    /// comes after this process is to be given again.
    fn release(&mut self, unfinished: usize);
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// What was written.
    pub bytes: Vec<u8>,
    /// How many bytes before these were too much to keep.
    pub lost_before: u64,
}

/// The output of a process that nobody comes after.
pub(crate) struct PlainOutput<R>(pub(crate) R);

/// The handle of a started process.
#[async_trait]
pub trait ProcessControl: Send + Sync {
    /// Sends a signal to it and, for [`Signal::Kill`], to all its descendants in the container's
    /// process group; no error when it has ended.
    async fn signal(&self, signal: Signal) -> Result<(), RuntimeError>;
    /// Waits for its end. May be called often; every caller gets the same answer.
    async fn wait(&self) -> ExitStatus;
}

/// The signals a cell sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Please end.
    Stop(StopSignal),
    /// SIGKILL: end.
    Kill,
}

impl Signal {
    /// What asks a process to end that wants no other signal.
    pub const TERMINATE: Self = Self::Stop(StopSignal::Sigterm);
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus {
    /// The exit code; 128 + n after signal n; [`Self::LOST`] has none of these.
    pub code: i32,
    /// True when the kernel killed something in the container for want of memory meanwhile.
    pub out_of_memory: bool,
}

/// What a container uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since its start, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory without reclaimable cache, in bytes.
    pub memory_bytes: u64,
    /// The most memory it ever used, in bytes.
    pub memory_peak_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
}

/// Why a container operation failed.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A step of it failed.
    #[error("cannot {what} container {id}: {why}")]
    Failed {
        /// Which step, as a verb.
        what: &'static str,
        /// Which container.
        id: String,
        /// What the machine said.
        why: String,
    },
    /// The program to run is not in the image, or may not be run.
    #[error("cannot run {program}: {why}")]
    NotExecutable {
        /// Which program.
        program: String,
        /// What the machine said.
        why: String,
    },
    /// This machine cannot run containers, or not now; says what to do.
    #[error("{0}")]
    Unavailable(String),
    /// There is no such container.
    #[error("there is no container {0}")]
    NotFound(String),
}

#[async_trait]
impl<R: AsyncRead + Send + Unpin> Output for PlainOutput<R> {
    async fn next(&mut self) -> Option<Chunk> {
        let mut bytes = Vec::with_capacity(4096);
        match self.0.read_buf(&mut bytes).await {
            Ok(1..) => Some(Chunk { bytes, lost_before: 0 }),
            Ok(_) | Err(_) => None,
        }
    }

    fn release(&mut self, _: usize) {}
}

// === impl ProcessSpec ===

impl ProcessSpec {
    /// Of root, in the topmost directory, with nothing in its environment, and gone with its handles.
    pub fn plain(argv: Vec<String>) -> Self {
        let (env, dir, user) = (Vec::new(), "/".to_owned(), UserIds::default());
        Self { argv, env, dir, user, nofile: None, nproc: None, keep_as: None }
    }
}

// === impl ContainerId ===

impl ContainerId {
    /// From text that is made of `[a-z0-9-.]` and not longer than 64.
    pub fn new(text: &str) -> Self {
        debug_assert!(text.len() <= 64, "{text} is too long for a container id");
        Self(text.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of an instance's further container; 0 is the main one, whose name is the instance's.
    pub fn member(&self, index: usize) -> Self {
        if index == 0 { self.clone() } else { Self::new(&format!("{self}{MEMBER}{index}")) }
    }

    /// The instance that a container belongs to, and which of its containers it is.
    pub fn instance(&self) -> (Self, usize) {
        let parts = self.0.split_once(MEMBER);
        let parts = parts.and_then(|(name, index)| Some((Self::new(name), index.parse().ok()?)));
        parts.unwrap_or_else(|| (self.clone(), 0))
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl ExitStatus ===

impl ExitStatus {
    /// Nobody can know how it ended: what held the container was killed.
    pub const LOST: Self = Self { code: -1, out_of_memory: false };

    /// True for [`Self::LOST`].
    pub const fn is_lost(self) -> bool {
        self.code == Self::LOST.code
    }

    /// True for exit code 0.
    pub const fn is_success(self) -> bool {
        self.code == 0
    }
}
