//! Containers without Linux: scripted programs in place of processes, for tests of what drives
//! containers. It honours tokio's paused time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::watch;

use super::{
    Attached, ContainerBlueprint, ContainerId, ExitStatus, PlainOutput, Process, ProcessControl,
    ProcessSpec, Runtime, RuntimeError, Signal, Usage, WindowSize,
};

/// What a process that nobody reads may write before it waits, as with a real pipe.
const PIPE_BYTES: usize = 64 * 1024;
/// What Ctrl-C is on a terminal, and how a program ends that takes no notice of its signal.
const INTERRUPT: (u8, ExitStatus) = (3, ExitStatus { code: 130, out_of_memory: false });

/// How a program behaves.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it prints to standard output at its start.
    pub stdout: Vec<String>,
    /// What it prints to standard error at its start.
    pub stderr: Vec<String>,
    /// How it ends.
    pub end: End,
    /// True when SIGTERM does not end it.
    pub ignores_terminate: bool,
    /// True when it prints what it reads, and ends well when that ends.
    pub echoes: bool,
}

/// How a scripted program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, after a while, with this exit code.
    Exits(Duration, i32),
    /// Killed after a while for want of memory.
    OutOfMemory(Duration),
    /// Not by itself.
    Never,
}

/// A runtime that runs scripts. Clones share everything.
#[derive(Clone, Default)]
pub struct FakeRuntime {
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    scripts: BTreeMap<String, Script>,
    containers: BTreeMap<ContainerId, Container>,
    create_error: Option<String>,
}

struct Container {
    blueprint: ContainerBlueprint,
    executed: Vec<ProcessSpec>,
    running: Vec<Arc<FakeProcess>>,
    is_leftover: bool,
    paused: watch::Sender<bool>,
}

struct FakeProcess {
    script: Script,
    name: Option<String>,
    /// True while its container is paused.
    paused: watch::Receiver<bool>,
    end: watch::Sender<Option<ExitStatus>>,
}

/// A process that goes with its caller.
struct Guest(Arc<FakeProcess>);

// === impl Script ===

impl Script {
    /// Ends at once with this code.
    pub fn exits(code: i32) -> Self {
        Self::ending(End::Exits(Duration::ZERO, code))
    }

    /// Runs until it is told to end.
    pub fn runs() -> Self {
        Self::ending(End::Never)
    }

    /// Ends in this way.
    pub fn ending(end: End) -> Self {
        let (stdout, stderr) = (Vec::new(), Vec::new());
        Self { stdout, stderr, end, ignores_terminate: false, echoes: false }
    }

    /// Prints these lines to standard output first.
    #[must_use]
    pub fn printing(mut self, lines: &[&str]) -> Self {
        self.stdout = lines.iter().map(|&line| line.to_owned()).collect();
        self
    }

    /// Prints these lines to standard error first.
    #[must_use]
    pub fn complaining(mut self, lines: &[&str]) -> Self {
        self.stderr = lines.iter().map(|&line| line.to_owned()).collect();
        self
    }

    /// Prints what it reads until that ends.
    pub fn echoes() -> Self {
        Self { echoes: true, ..Self::runs() }
    }

    /// Takes no notice of SIGTERM.
    #[must_use]
    pub fn ignoring_terminate(mut self) -> Self {
        self.ignores_terminate = true;
        self
    }

    async fn ends(&self) -> ExitStatus {
        match self.end {
            End::Exits(after, code) => {
                tokio::time::sleep(after).await;
                ExitStatus { code, out_of_memory: false }
            }
            End::OutOfMemory(after) => {
                tokio::time::sleep(after).await;
                killed(true)
            }
            End::Never => std::future::pending().await,
        }
    }
}

// === impl FakeRuntime ===

impl FakeRuntime {
    /// Without any program.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how a program (the first of the argument vector) behaves from now on.
    pub fn script(&self, program: &str, script: Script) {
        self.world().scripts.insert(program.to_owned(), script);
    }

    /// Lets the next `create` fail.
    pub fn fail_next_create(&self, why: &str) {
        self.world().create_error = Some(why.to_owned());
    }

    /// What was executed in a container so far, in order; empty when there is no such container.
    pub fn executed(&self, id: &ContainerId) -> Vec<ProcessSpec> {
        let world = self.world();
        world.containers.get(id).map(|found| found.executed.clone()).unwrap_or_default()
    }

    /// What a container was made from.
    pub fn blueprint(&self, id: &ContainerId) -> Option<ContainerBlueprint> {
        self.world().containers.get(id).map(|found| found.blueprint.clone())
    }

    /// The same machine after its owner was killed: containers are leftovers until they are
    /// adopted, and processes that are not kept have ended.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        for container in self.world().containers.values_mut() {
            container.is_leftover = true;
            let others = container.running.iter().filter(|process| process.name.is_none());
            others.for_each(|process| process.finish(killed(false)));
        }
        self.clone()
    }

    /// A process to be played: the one that is kept under that name, or a new one.
    fn begin(
        &self,
        id: &ContainerId,
        process: ProcessSpec,
    ) -> Result<Arc<FakeProcess>, RuntimeError> {
        let mut world = self.world();
        let program = process.argv.first().cloned().unwrap_or_default();
        let script = world.scripts.get(&program).cloned();
        let container = world.containers.get_mut(id).filter(|found| !found.is_leftover);
        let container = container.ok_or_else(|| RuntimeError::NotFound(id.to_string()))?;
        let kept =
            |known: &&Arc<FakeProcess>| known.name.is_some() && known.name == process.keep_as;
        if let Some(kept) = container.running.iter().find(kept) {
            return Ok(kept.clone());
        }
        let Some(script) = script else {
            let why = "there is no such file in the image, or its interpreter".to_owned();
            return Err(RuntimeError::NotExecutable { program, why });
        };
        let paused = container.paused.subscribe();
        if *paused.borrow() {
            let (what, why) = ("start a process in", "it is paused; resume it first".to_owned());
            return Err(RuntimeError::Failed { what, id: id.to_string(), why });
        }
        let (end, _) = watch::channel(None);
        let handle = Arc::new(FakeProcess { script, name: process.keep_as.clone(), paused, end });
        container.executed.push(process);
        container.running.push(handle.clone());
        Ok(handle)
    }

    fn set_paused(&self, id: &ContainerId, paused: bool) -> Result<(), RuntimeError> {
        let world = self.world();
        let container = world.containers.get(id).filter(|found| !found.is_leftover);
        let container = container.ok_or_else(|| RuntimeError::NotFound(id.to_string()))?;
        container.paused.send_replace(paused);
        Ok(())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn create(&self, spec: ContainerBlueprint) -> Result<(), RuntimeError> {
        let mut world = self.world();
        let exists = world.containers.contains_key(&spec.id);
        let why = if exists { Some("it exists".to_owned()) } else { world.create_error.take() };
        if let Some(why) = why {
            return Err(RuntimeError::Failed { what: "create", id: spec.id.to_string(), why });
        }
        let container = Container {
            blueprint: spec.clone(),
            executed: Vec::new(),
            running: Vec::new(),
            is_leftover: false,
            paused: watch::channel(false).0,
        };
        world.containers.insert(spec.id, container);
        Ok(())
    }

    async fn adopt(&self, id: &ContainerId, _: bool) -> Result<(), RuntimeError> {
        let mut world = self.world();
        let container = world.containers.get_mut(id);
        let container = container.ok_or_else(|| RuntimeError::NotFound(id.to_string()))?;
        container.is_leftover = false;
        Ok(())
    }

    async fn exec(&self, id: &ContainerId, process: ProcessSpec) -> Result<Process, RuntimeError> {
        Ok(play(self.begin(id, process)?))
    }

    async fn attach(
        &self,
        id: &ContainerId,
        process: ProcessSpec,
        terminal: Option<WindowSize>,
    ) -> Result<Attached, RuntimeError> {
        Ok(converse(self.begin(id, process)?, terminal.is_some()))
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.set_paused(id, true)
    }

    async fn resume(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.set_paused(id, false)
    }

    async fn usage(&self, id: &ContainerId) -> Result<Usage, RuntimeError> {
        let world = self.world();
        let container = world.containers.get(id).filter(|found| !found.is_leftover);
        let container = container.ok_or_else(|| RuntimeError::NotFound(id.to_string()))?;
        let alive = container.running.iter().filter(|process| process.end.borrow().is_none());
        let pids = 1 + u64::try_from(alive.count()).unwrap_or(u64::MAX);
        let memory_bytes = pids << 20;
        Ok(Usage { cpu_ns: 1_000_000, memory_bytes, memory_peak_bytes: memory_bytes, pids })
    }

    async fn delete(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        if let Some(container) = self.world().containers.remove(id) {
            container.running.iter().for_each(|process| process.finish(killed(false)));
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        Ok(self.world().containers.keys().cloned().collect())
    }
}

// === impl FakeProcess ===

impl FakeProcess {
    fn finish(&self, status: ExitStatus) {
        finish(&self.end, status);
    }
}

/// The first end counts.
fn finish(end: &watch::Sender<Option<ExitStatus>>, status: ExitStatus) {
    end.send_if_modified(|end| {
        let first = end.is_none();
        if first {
            *end = Some(status);
        }
        first
    });
}

#[async_trait]
impl ProcessControl for FakeProcess {
    async fn signal(&self, signal: Signal) -> Result<(), RuntimeError> {
        let status = match signal {
            Signal::Stop(_) if self.script.ignores_terminate => return Ok(()),
            Signal::Stop(signal) => {
                let code = 128 + i32::from(signal.number());
                ExitStatus { code, out_of_memory: false }
            }
            Signal::Kill => killed(false),
        };
        if !*self.paused.borrow() {
            self.finish(status);
            return Ok(());
        }
        let (mut paused, end) = (self.paused.clone(), self.end.clone());
        tokio::spawn(async move {
            // A container that is gone has ended its processes.
            if paused.wait_for(|paused| !paused).await.is_ok() {
                finish(&end, status);
            }
        });
        Ok(())
    }

    async fn wait(&self) -> ExitStatus {
        let mut end = self.end.subscribe();
        let status = end.wait_for(Option::is_some).await.ok().and_then(|status| *status);
        status.unwrap_or(killed(false))
    }
}

// === impl Guest ===

#[async_trait]
impl ProcessControl for Guest {
    async fn signal(&self, signal: Signal) -> Result<(), RuntimeError> {
        self.0.signal(signal).await
    }

    async fn wait(&self) -> ExitStatus {
        self.0.wait().await
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.finish(killed(false));
    }
}

/// Plays the script of a process; once more, what it printed, when it is attached to again.
fn play(handle: Arc<FakeProcess>) -> Process {
    let (stdout, out) = duplex(PIPE_BYTES);
    let (stderr, err) = duplex(PIPE_BYTES);
    tokio::spawn(perform(handle.clone(), out, Some(err), None));
    let (stdout, stderr) = (PlainOutput(stdout), PlainOutput(stderr));
    Process { stdout: Box::new(stdout), stderr: Box::new(stderr), control: handle }
}

/// The same with a caller who writes to it, perhaps at a terminal.
fn converse(handle: Arc<FakeProcess>, is_terminal: bool) -> Attached {
    let (input, read) = duplex(PIPE_BYTES);
    let (output, out) = duplex(PIPE_BYTES);
    let (errors, err) = duplex(PIPE_BYTES);
    let err = (!is_terminal).then_some(err);
    tokio::spawn(perform(handle.clone(), out, err, Some(read)));
    Attached {
        input: Box::new(input),
        output: Box::new(output),
        errors: (!is_terminal).then(|| Box::new(errors) as _),
        resize: is_terminal.then(|| Box::new(|_| {}) as _),
        control: Arc::new(Guest(handle)),
    }
}

/// Without a stream for errors all comes by the same, as at a terminal.
async fn perform(
    process: Arc<FakeProcess>,
    mut out: DuplexStream,
    mut err: Option<DuplexStream>,
    input: Option<DuplexStream>,
) {
    let script = &process.script;
    let by_itself = async {
        for line in &script.stdout {
            // A reader who has gone is no concern of the program's.
            let _ = out.write_all(format!("{line}\n").as_bytes()).await;
        }
        for line in &script.stderr {
            let errors = err.as_mut().unwrap_or(&mut out);
            let _ = errors.write_all(format!("{line}\n").as_bytes()).await;
        }
        tokio::select! {
            status = script.ends() => status,
            status = read(script, input, &mut out, err.is_none()) => status,
        }
    };
    tokio::select! {
        biased;
        status = by_itself => process.finish(status),
        _ = process.wait() => {}
    }
}

/// Until the input ends, or somebody presses Ctrl-C at the terminal, which shows what is typed.
async fn read(
    script: &Script,
    input: Option<DuplexStream>,
    out: &mut DuplexStream,
    is_terminal: bool,
) -> ExitStatus {
    let Some(mut input) = input else { return std::future::pending().await };
    let mut typed = [0; 512];
    loop {
        let count = input.read(&mut typed).await.unwrap_or(0);
        let typed = &typed[..count];
        if is_terminal && typed.contains(&INTERRUPT.0) {
            return INTERRUPT.1;
        }
        if typed.is_empty() {
            let well = ExitStatus { code: 0, out_of_memory: false };
            return if script.echoes { well } else { std::future::pending().await };
        }
        for _ in 0..u8::from(is_terminal) + u8::from(script.echoes) {
            // A reader who has gone is no concern of the program's.
            let _ = out.write_all(typed).await;
        }
    }
}

fn killed(out_of_memory: bool) -> ExitStatus {
    ExitStatus { code: 137, out_of_memory }
}
