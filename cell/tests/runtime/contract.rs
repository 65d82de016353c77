//! What every [`Runtime`] promises; run on the real one and on the fake.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use lattice_cell::runtime::{
    ContainerBlueprint, ContainerId, ExitStatus, Output, Process, ProcessSpec, Runtime,
    RuntimeError, Signal, Usage, WindowSize,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The programs of the contract, whatever they are on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// Exits with 3.
    ExitsWith3,
    /// Prints `out` and `err`, and ends well.
    Prints,
    /// Prints `ready` and runs until SIGTERM.
    Runs,
    /// Prints `ready` and runs until SIGKILL.
    IgnoresTerminate,
    /// Prints what it reads until that ends.
    Echoes,
    /// Takes more memory than the container may have.
    EatsMemory,
    /// Is not there.
    Missing,
}

/// A runtime to be examined.
#[async_trait]
pub(crate) trait Fixture: Send + Sync {
    fn runtime(&self) -> &dyn Runtime;
    fn blueprint(&self, name: &str) -> ContainerBlueprint;
    fn argv(&self, program: Program) -> Vec<String>;
    /// Makes a container of this name in an owner, starts these programs in it (each kept under
    /// its own name in `kept`, or not at all), kills the owner once all have begun, and returns its
    /// successor.
    async fn successor_of_killed(&self, name: &str, kept: &[Program]) -> Box<dyn Runtime>;
}

pub(crate) fn spec(argv: &[&str]) -> ProcessSpec {
    ProcessSpec::plain(argv.iter().map(|&word| word.to_owned()).collect())
}

/// Reads all until the end.
pub(crate) async fn read_all(output: &mut Box<dyn Output>) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while let Some(chunk) = output.next().await {
            assert_eq!(chunk.lost_before, 0);
            bytes.extend(chunk.bytes);
            output.release(0);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the stream has an end");
    String::from_utf8(bytes).unwrap()
}

/// Waits until a process has said that it is ready.
async fn ready(process: &mut Process) {
    let read = tokio::time::timeout(PATIENCE, process.stdout.next());
    let said = read.await.expect("it says so in time").expect("it says so");
    assert_eq!(said.bytes, b"ready\n");
}

async fn end(process: &Process) -> ExitStatus {
    within(process.control.wait()).await
}

/// The whole contract.
pub(crate) async fn check(fixture: &dyn Fixture) {
    exit_codes_and_output(fixture).await;
    signals(fixture).await;
    attached(fixture).await;
    pauses(fixture).await;
    what_cannot_be_executed(fixture).await;
    out_of_memory(fixture).await;
    usage_and_unknown_containers(fixture).await;
    delete_ends_processes_and_may_be_repeated(fixture).await;
    leftovers_of_a_killed_owner(fixture).await;
    adoption(fixture).await;
}

async fn start(fixture: &dyn Fixture, id: &ContainerId, program: Program) -> Process {
    let argv = fixture.argv(program);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    fixture.runtime().exec(id, spec(&argv)).await.unwrap_or_else(|e| panic!("{program:?}: {e}"))
}

async fn container(fixture: &dyn Fixture, name: &str) -> ContainerId {
    let blueprint = fixture.blueprint(name);
    let id = blueprint.id.clone();
    fixture.runtime().create(blueprint).await.unwrap_or_else(|e| panic!("{e}"));
    id
}

async fn exit_codes_and_output(fixture: &dyn Fixture) {
    let id = container(fixture, "codes").await;
    let process = start(fixture, &id, Program::ExitsWith3).await;
    let status = end(&process).await;
    assert_eq!(status, ExitStatus { code: 3, out_of_memory: false });
    assert_eq!(end(&process).await, status, "every caller gets the same answer");

    let mut process = start(fixture, &id, Program::Prints).await;
    assert_eq!(read_all(&mut process.stdout).await, "out\n");
    assert_eq!(read_all(&mut process.stderr).await, "err\n");
    assert!(end(&process).await.is_success());
    process.control.signal(Signal::Kill).await.expect("one that has ended may be signalled");
    fixture.runtime().delete(&id).await.unwrap();
}

async fn signals(fixture: &dyn Fixture) {
    let id = container(fixture, "signals").await;
    let mut polite = start(fixture, &id, Program::Runs).await;
    let mut rude = start(fixture, &id, Program::IgnoresTerminate).await;
    ready(&mut polite).await;
    ready(&mut rude).await;
    polite.control.signal(Signal::TERMINATE).await.unwrap();
    assert_eq!(end(&polite).await.code, 143);

    rude.control.signal(Signal::TERMINATE).await.unwrap();
    let still = tokio::time::timeout(Duration::from_millis(200), rude.control.wait()).await;
    assert!(still.is_err(), "it takes no notice of SIGTERM");
    rude.control.signal(Signal::Kill).await.unwrap();
    assert_eq!(end(&rude).await, ExitStatus { code: 137, out_of_memory: false });
    assert_eq!(read_all(&mut rude.stdout).await, "", "nothing holds its output open");
    fixture.runtime().delete(&id).await.unwrap();
}

/// With streams, and at a terminal, which shows what is typed and has Ctrl-C.
async fn attached(fixture: &dyn Fixture) {
    let id = container(fixture, "guest").await;
    let runtime = fixture.runtime();
    let echoes = || spec_of(fixture, Program::Echoes);
    let mut caller = runtime.attach(&id, echoes(), None).await.unwrap();
    caller.input.write_all(b"hello\n").await.unwrap();
    drop(caller.input);
    let mut said = String::new();
    within(caller.output.read_to_string(&mut said)).await.unwrap();
    within(caller.errors.unwrap().read_to_string(&mut said)).await.unwrap();
    assert_eq!((said.as_str(), caller.control.wait().await.code), ("hello\n", 0));

    let size = WindowSize { columns: 80, rows: 24 };
    let mut caller = runtime.attach(&id, echoes(), Some(size)).await.unwrap();
    assert!(caller.errors.is_none(), "a terminal carries both");
    caller.resize.as_ref().unwrap()(WindowSize { columns: 100, ..size });
    caller.input.write_all(b"word\n").await.unwrap();
    let mut said = Vec::new();
    while String::from_utf8_lossy(&said).matches("word").count() < 2 {
        assert!(within(caller.output.read_buf(&mut said)).await.unwrap() > 0, "{said:?}");
    }
    caller.input.write_all(&[3]).await.unwrap();
    assert_eq!(within(caller.control.wait()).await.code, 130);

    let caller = runtime.attach(&id, spec_of(fixture, Program::Runs), None).await.unwrap();
    drop(caller);
    idle(runtime, &id).await;
    let missing = runtime.attach(&id, spec_of(fixture, Program::Missing), Some(size)).await;
    assert!(matches!(missing.err().unwrap(), RuntimeError::NotExecutable { .. }));
    runtime.delete(&id).await.unwrap();
}

/// Whatever is waited for comes in time.
async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes in time")
}

async fn pauses(fixture: &dyn Fixture) {
    let id = container(fixture, "paused").await;
    let runtime = fixture.runtime();
    let mut process = start(fixture, &id, Program::Runs).await;
    ready(&mut process).await;
    runtime.resume(&id).await.expect("it runs already");
    for _ in 0..2 {
        runtime.pause(&id).await.expect("also when it is paused");
    }
    process.control.signal(Signal::TERMINATE).await.unwrap();
    assert!(end_soon(&process).await.is_none(), "it stands still");
    let refused = runtime.exec(&id, spec_of(fixture, Program::ExitsWith3)).await.err().unwrap();
    assert!(refused.to_string().contains("paused; resume it first"), "{refused}");
    runtime.resume(&id).await.unwrap();
    assert_eq!(end(&process).await.code, 143, "the signal has waited");
    let after = start(fixture, &id, Program::ExitsWith3).await;
    assert_eq!(end(&after).await.code, 3);

    let mut rude = start(fixture, &id, Program::IgnoresTerminate).await;
    ready(&mut rude).await;
    runtime.pause(&id).await.unwrap();
    runtime.delete(&id).await.expect("a paused one can be deleted");
    assert_eq!(end(&rude).await.code, 137);
    let gone = [runtime.pause(&id).await, runtime.resume(&id).await];
    let is_told = |outcome: &Result<(), _>| matches!(outcome, Err(RuntimeError::NotFound(_)));
    assert!(gone.iter().all(is_told), "{gone:?}");
}

async fn what_cannot_be_executed(fixture: &dyn Fixture) {
    let id = container(fixture, "missing").await;
    let argv = fixture.argv(Program::Missing);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let error = fixture.runtime().exec(&id, spec(&argv)).await.err().expect("it is not there");
    match error {
        RuntimeError::NotExecutable { program, .. } => assert_eq!(program, argv[0]),
        other => panic!("{other:?}"),
    }
    fixture.runtime().delete(&id).await.unwrap();
}

async fn out_of_memory(fixture: &dyn Fixture) {
    let id = container(fixture, "memory").await;
    let process = start(fixture, &id, Program::EatsMemory).await;
    assert_eq!(end(&process).await, ExitStatus { code: 137, out_of_memory: true });
    let after = start(fixture, &id, Program::ExitsWith3).await;
    assert_eq!(end(&after).await, ExitStatus { code: 3, out_of_memory: false }, "it is over");
    fixture.runtime().delete(&id).await.unwrap();
}

async fn usage_and_unknown_containers(fixture: &dyn Fixture) {
    let id = container(fixture, "usage").await;
    let idle = idle(fixture.runtime(), &id).await;
    let mut process = start(fixture, &id, Program::Runs).await;
    ready(&mut process).await;
    let busy = fixture.runtime().usage(&id).await.unwrap();
    assert!(busy.pids > idle.pids, "{busy:?} after {idle:?}");
    assert!(busy.memory_bytes > 0 && busy.memory_peak_bytes >= busy.memory_bytes, "{busy:?}");
    assert!(busy.cpu_ns > 0, "{busy:?}");

    let nobody = ContainerId::new("nobody");
    let unknown =
        |error: RuntimeError| matches!(error, RuntimeError::NotFound(name) if name == "nobody");
    assert!(unknown(fixture.runtime().usage(&nobody).await.unwrap_err()));
    assert!(unknown(fixture.runtime().exec(&nobody, spec(&["x"])).await.err().unwrap()));
    let again = fixture.runtime().create(fixture.blueprint("usage")).await;
    assert!(again.is_err(), "a name is used once");
    assert!(end_soon(&process).await.is_none(), "and the refusal does no harm");
    fixture.runtime().delete(&id).await.unwrap();
}

/// What a container uses once its init alone is in it.
pub(crate) async fn idle(runtime: &dyn Runtime, id: &ContainerId) -> Usage {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let usage = runtime.usage(id).await.unwrap();
        if usage.pids == 1 {
            return usage;
        }
        assert!(Instant::now() < deadline, "never idle: {usage:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn end_soon(process: &Process) -> Option<ExitStatus> {
    tokio::time::timeout(Duration::from_millis(200), process.control.wait()).await.ok()
}

async fn delete_ends_processes_and_may_be_repeated(fixture: &dyn Fixture) {
    let id = container(fixture, "deleted").await;
    let other = container(fixture, "other").await;
    let mut process = start(fixture, &id, Program::IgnoresTerminate).await;
    ready(&mut process).await;
    assert_eq!(fixture.runtime().list().await.unwrap(), [id.clone(), other.clone()]);
    fixture.runtime().delete(&id).await.unwrap();
    assert_eq!(end(&process).await.code, 137);
    assert_eq!(fixture.runtime().list().await.unwrap(), vec![other.clone()]);
    fixture.runtime().delete(&id).await.expect("deleting what is gone is no error");
    fixture.runtime().delete(&other).await.unwrap();
    assert_eq!(fixture.runtime().list().await.unwrap(), []);
}

async fn leftovers_of_a_killed_owner(fixture: &dyn Fixture) {
    let successor = fixture.successor_of_killed("leftover", &[]).await;
    let id = ContainerId::new("leftover");
    assert_eq!(successor.list().await.unwrap(), vec![id.clone()]);
    successor.delete(&id).await.unwrap();
    assert_eq!(successor.list().await.unwrap(), []);
    successor.create(fixture.blueprint("leftover")).await.expect("the name is free again");
    successor.delete(&id).await.unwrap();
}

/// What a killed owner kept is found again: what runs, what has ended with its exit status, and
/// what was written and not released.
async fn adoption(fixture: &dyn Fixture) {
    let kept = [Program::Runs, Program::Prints, Program::ExitsWith3];
    let successor = fixture.successor_of_killed("adopted", &kept).await;
    let id = ContainerId::new("adopted");
    let stranger = successor.adopt(&ContainerId::new("nobody"), false).await.unwrap_err();
    assert!(matches!(stranger, RuntimeError::NotFound(_)), "{stranger:?}");
    successor.adopt(&id, false).await.unwrap();
    assert!(successor.usage(&id).await.unwrap().pids >= 2, "one of them runs");

    let mut runs = attach(fixture, successor.as_ref(), &id, Program::Runs).await;
    ready(&mut runs).await;
    let mut prints = attach(fixture, successor.as_ref(), &id, Program::Prints).await;
    assert_eq!(read_all(&mut prints.stdout).await, "out\n");
    assert_eq!(read_all(&mut prints.stderr).await, "err\n");
    assert!(end(&prints).await.is_success());
    let exits = attach(fixture, successor.as_ref(), &id, Program::ExitsWith3).await;
    assert_eq!(end(&exits).await, ExitStatus { code: 3, out_of_memory: false });

    let new = spec_of(fixture, Program::ExitsWith3);
    let new = successor.exec(&id, new).await.unwrap();
    assert_eq!(end(&new).await.code, 3, "new processes can be started in it");
    runs.control.signal(Signal::TERMINATE).await.unwrap();
    assert_eq!(end(&runs).await.code, 143);
    successor.delete(&id).await.unwrap();
    assert_eq!(successor.list().await.unwrap(), []);
}

/// A program's process, to be kept under the program's name.
pub(crate) fn kept(fixture: &dyn Fixture, program: Program) -> ProcessSpec {
    ProcessSpec { keep_as: Some(format!("{program:?}")), ..spec_of(fixture, program) }
}

fn spec_of(fixture: &dyn Fixture, program: Program) -> ProcessSpec {
    let argv = fixture.argv(program);
    spec(&argv.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn attach(
    fixture: &dyn Fixture,
    runtime: &dyn Runtime,
    id: &ContainerId,
    program: Program,
) -> Process {
    let found = runtime.exec(id, kept(fixture, program)).await;
    found.unwrap_or_else(|e| panic!("{program:?}: {e}"))
}
