//! The contract on real containers, and what they must leave behind: nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lattice_cell::runtime::oci::{Engine, OciRuntime};
use lattice_cell::runtime::{
    ContainerBlueprint, ContainerId, Runtime, RuntimeError, Signal, UserIds,
};
use lattice_model::action::EnvVar;

use crate::contract::{self, Fixture, PATIENCE, Program, read_all, spec};
use crate::machine::{Machine, blueprint_in, runtime_in};

/// Names the directory of the machine to an owner that is started to be killed.
pub(crate) const OWNER: &str = "LATTICE_TEST_OWNER_OF";
/// Names what makes its containers.
pub(crate) const ENGINE: &str = "LATTICE_TEST_OWNER_ENGINE";
/// Names the programs that this owner keeps.
const KEPT: &str = "LATTICE_TEST_OWNER_KEEPS";

struct Real {
    machine: Machine,
    runtime: OciRuntime,
    engine: Engine,
}

impl Real {
    fn new() -> Self {
        Self::with(Engine::default())
    }

    fn with(engine: Engine) -> Self {
        let machine = Machine::with(engine);
        Self { runtime: machine.runtime(), machine, engine }
    }
}

pub(crate) fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

#[async_trait]
impl Fixture for Real {
    fn runtime(&self) -> &dyn Runtime {
        &self.runtime
    }

    fn blueprint(&self, name: &str) -> ContainerBlueprint {
        self.machine.blueprint(name)
    }

    fn argv(&self, program: Program) -> Vec<String> {
        argv(program)
    }

    async fn successor_of_killed(&self, name: &str, kept: &[Program]) -> Box<dyn Runtime> {
        let dir = self.machine.path("");
        let data_dir = dir.join("owned");
        let mut owner = Command::new("/proc/self/exe")
            .args(["--exact", "real::an_owner_lives_until_it_is_killed", "--nocapture"])
            .env(OWNER, format!("{}:{name}", dir.display()))
            .env(KEPT, format!("{kept:?}"))
            .env(ENGINE, format!("{:?}", self.engine))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let ready = dir.join("owner-is-ready");
        eventually("the owner has made its container", || ready.exists());
        owner.kill().unwrap();
        owner.wait().unwrap();
        fs::remove_file(&ready).unwrap();
        Box::new(runtime_in(&data_dir, self.engine))
    }
}

fn argv(program: Program) -> Vec<String> {
    match program {
        Program::ExitsWith3 => shell("exit 3"),
        Program::Prints => shell("echo out; echo err >&2"),
        Program::Runs => shell("echo ready; exec sleep 1000"),
        Program::IgnoresTerminate => shell("trap '' TERM; echo ready; sleep 1000; sleep 1000"),
        Program::EatsMemory => shell("head -c 200m /dev/zero | tail"),
        Program::Missing => vec!["/no/such/program".to_owned()],
    }
}

pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn containers_of_our_own_keep_the_contract() {
    contract::check(&Real::with(Engine::Embedded)).await;
}

#[tokio::test]
async fn containers_of_runc_keep_the_contract() {
    contract::check(&Real::with(Engine::Runc)).await;
}

#[tokio::test]
async fn containers_of_crun_keep_the_contract() {
    contract::check(&Real::with(Engine::Crun)).await;
}

/// Not a test by itself: without a machine to own it has nothing to do.
#[tokio::test]
async fn an_owner_lives_until_it_is_killed() {
    let Some((dir, name)) = std::env::var(OWNER)
        .ok()
        .and_then(|v| v.split_once(':').map(|(d, n)| (d.to_owned(), n.to_owned())))
    else {
        return;
    };
    let dir = Path::new(&dir);
    let runtime = runtime_in(&dir.join("owned"), owners_engine());
    runtime.create(blueprint_in(dir, &name)).await.unwrap();
    let id = ContainerId::new(&name);
    let process = runtime.exec(&id, spec(&["sleep", "1000"]).in_path()).await;
    let mut processes = vec![process.unwrap_or_else(|e| panic!("{e}"))];
    let kept = std::env::var(KEPT).unwrap();
    for program in [Program::Runs, Program::Prints, Program::ExitsWith3] {
        if kept.contains(&format!("{program:?}")) {
            let argv = argv(program);
            let mut spec = spec(&argv.iter().map(String::as_str).collect::<Vec<_>>());
            spec.keep_as = Some(format!("{program:?}"));
            processes.push(runtime.exec(&id, spec).await.unwrap_or_else(|e| panic!("{e}")));
        }
    }
    fs::write(dir.join("owner-is-ready"), "").unwrap();
    std::future::pending::<()>().await;
}

/// What makes the containers of an owner that is started to be killed.
pub(crate) fn owners_engine() -> Engine {
    let named = std::env::var(ENGINE).unwrap();
    Engine::ALL.into_iter().find(|known| format!("{known:?}") == named).unwrap()
}

pub(crate) trait InPath {
    fn in_path(self) -> Self;
}

impl InPath for lattice_cell::runtime::ProcessSpec {
    fn in_path(mut self) -> Self {
        self.env.push(EnvVar { name: "PATH".to_owned(), value: "/bin".to_owned() });
        self
    }
}

/// Runs a shell script in a container to its end.
pub(crate) async fn run(runtime: &OciRuntime, id: &ContainerId, script: &str) -> (i32, String) {
    let argv = shell(script);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let mut process = runtime.exec(id, spec(&argv).in_path()).await.unwrap();
    let mut said = read_all(&mut process.stdout).await;
    said += &read_all(&mut process.stderr).await;
    (process.control.wait().await.code, said)
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_container() {
    let real = Real::new();
    let id = ContainerId::new("traces");
    // Other tests come and go meanwhile: only what is below this one's directory counts.
    let own = real.machine.path("").display().to_string();
    let mounts = || {
        let all = fs::read_to_string("/proc/self/mountinfo").unwrap();
        all.lines().filter(|mount| mount.contains(&own)).count()
    };
    let blueprint = real.blueprint("traces");
    let before = mounts();
    real.runtime.create(blueprint).await.unwrap();
    let (code, _) = run(&real.runtime, &id, "sleep 1000 >/dev/null 2>&1 & echo started").await;
    assert_eq!(code, 0);
    let config = real.machine.path("data/containers/traces/config.json");
    let config: serde_json::Value = serde_json::from_slice(&fs::read(config).unwrap()).unwrap();
    let parent =
        config["linux"]["cgroupsPath"].as_str().unwrap().split('/').nth(1).unwrap().to_owned();
    assert!(!cgroups_of(&parent, &id).is_empty(), "the test looks at the right place");
    real.runtime.delete(&id).await.unwrap();
    assert_eq!(cgroups_of(&parent, &id), Vec::<String>::new());
    assert_eq!(mounts(), before);
    for mount in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        assert!(!mount.path().join(&parent).exists(), "{mount:?} has the parent still");
    }
    for dir in ["data/containers", "data/oci"] {
        assert_eq!(fs::read_dir(real.machine.path(dir)).unwrap().count(), 0, "{dir}");
    }
    assert!(zombies().is_empty(), "{:?}", zombies());
}

/// The cgroups of a container; its parent is named in what the OCI runtime was told.
fn cgroups_of(parent: &str, id: &ContainerId) -> Vec<String> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let leaves = hierarchies.map(|mount| mount.path().join(parent).join(id.as_str()));
    leaves.filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
}

/// Ended children of this process that nobody has reaped.
fn zombies() -> Vec<String> {
    let own = std::process::id().to_string();
    let stats = fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| stat.contains(&format!(") Z {own} "))).collect()
}

#[tokio::test]
async fn a_container_is_refused_with_the_reason_and_leaves_nothing() {
    let real = Real::new();
    let mut blueprint = real.blueprint("broken");
    blueprint.netns = "/nowhere/netns".into();
    let error = real.runtime.create(blueprint).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot create container broken: "), "{error}");
    assert!(error.contains("/nowhere/netns"), "{error}");
    assert_eq!(real.runtime.list().await.unwrap(), []);
}

#[tokio::test]
async fn what_cannot_be_run_is_named_with_the_reason() {
    let real = Real::new();
    let blueprint = real.blueprint("reasons");
    let (id, rootfs) = (blueprint.id.clone(), blueprint.rootfs.clone());
    fs::write(rootfs.join("text"), "hello").unwrap();
    fs::copy(rootfs.join("text"), rootfs.join("garbage")).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(rootfs.join("garbage"), executable).unwrap();
    real.runtime.create(blueprint).await.unwrap();
    let cases = [
        ("nothing", "cannot run nothing: it is not in the image's PATH"),
        ("/nothing", "cannot run /nothing: there is no such file in the image"),
        ("/text", "cannot run /text: it is not executable for this user"),
        ("/etc", "cannot run /etc: "),
    ];
    for (program, expected) in cases {
        let error = real.runtime.exec(&id, spec(&[program]).in_path()).await;
        let error = error.err().unwrap_or_else(|| panic!("{program} was started"));
        assert!(matches!(error, RuntimeError::NotExecutable { .. }), "{program}: {error:?}");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    let garbage = real.runtime.exec(&id, spec(&["/garbage"])).await.err().unwrap().to_string();
    assert!(garbage.starts_with("cannot run /garbage: it is not a program for"), "{garbage}");

    let mut nowhere = spec(&["true"]).in_path();
    nowhere.dir = "/no/such/dir".to_owned();
    let error = real.runtime.exec(&id, nowhere).await.err().unwrap();
    assert!(matches!(error, RuntimeError::Failed { .. }), "{error:?}");
    assert!(error.to_string().contains("/no/such/dir"), "{error}");
    real.runtime.delete(&id).await.unwrap();
}

#[tokio::test]
async fn a_kill_takes_what_the_process_started_with_it() {
    let real = Real::new();
    let id = ContainerId::new("family");
    real.runtime.create(real.blueprint("family")).await.unwrap();
    let script = shell("sleep 1000 & (sleep 1000 & sleep 1000) & echo ready; wait");
    let argv: Vec<&str> = script.iter().map(String::as_str).collect();
    let process = real.runtime.exec(&id, spec(&argv).in_path()).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while real.runtime.usage(&id).await.unwrap().pids < 5 {
        assert!(Instant::now() < deadline, "the family never grew");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    process.control.signal(Signal::Kill).await.unwrap();
    assert_eq!(process.control.wait().await.code, 137);
    while real.runtime.usage(&id).await.unwrap().pids > 1 {
        assert!(Instant::now() < deadline, "part of the family lives");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    real.runtime.delete(&id).await.unwrap();
}

#[tokio::test]
async fn a_process_gets_its_user_environment_directory_and_files() {
    let real = Real::new();
    let mut blueprint = real.blueprint("given");
    let id = blueprint.id.clone();
    let hosts = real.machine.path("hosts");
    fs::write(&hosts, "10.0.0.1 gateway\n").unwrap();
    blueprint.files = vec![(hosts, "/etc/hosts".to_owned())];
    real.runtime.create(blueprint).await.unwrap();
    let script = shell(
        "id -u; id -g; echo $COLOUR; pwd; cat /etc/hosts /proc/sys/kernel/hostname; \
                        ulimit -n; : > /etc/hosts",
    );
    let argv: Vec<&str> = script.iter().map(String::as_str).collect();
    let mut process = spec(&argv).in_path();
    process.user = UserIds { uid: 1234, gid: 4321, additional_gids: Vec::new() };
    process.env.push(EnvVar { name: "COLOUR".to_owned(), value: "light blue".to_owned() });
    process.dir = "/etc".to_owned();
    process.nofile = Some(99);
    let mut process = real.runtime.exec(&id, process).await.unwrap();
    let said = read_all(&mut process.stdout).await;
    assert_eq!(said, "1234\n4321\nlight blue\n/etc\n10.0.0.1 gateway\ngiven-host\n99\n");
    let complaint = read_all(&mut process.stderr).await;
    assert!(complaint.contains("/etc/hosts"), "the file is read-only: {complaint}");
    real.runtime.delete(&id).await.unwrap();
}

#[tokio::test]
async fn an_image_of_one_static_program_runs() {
    let real = Real::new();
    let blueprint = real.blueprint("scratch");
    let (id, rootfs) = (blueprint.id.clone(), blueprint.rootfs.clone());
    fs::copy("/bin/busybox", rootfs.join("echo")).unwrap();
    fs::remove_dir_all(rootfs.join("bin")).unwrap();
    fs::remove_dir_all(rootfs.join("etc")).unwrap();
    real.runtime.create(blueprint).await.unwrap();
    let mut process = real.runtime.exec(&id, spec(&["/echo", "hello"])).await.unwrap();
    assert_eq!(read_all(&mut process.stdout).await, "hello\n");
    real.runtime.delete(&id).await.unwrap();
}

#[tokio::test]
async fn every_exit_code_arrives_when_many_processes_end_at_once() {
    let real = Real::new();
    let id = ContainerId::new("many");
    real.runtime.create(real.blueprint("many")).await.unwrap();
    let codes = 0..12;
    let runs = codes.clone().map(|code| {
        let (runtime, id) = (&real.runtime, &id);
        async move { run(runtime, id, &format!("exit {code}")).await.0 }
    });
    let seen = futures_util::future::join_all(runs).await;
    assert_eq!(seen, codes.collect::<Vec<i32>>());
    real.runtime.delete(&id).await.unwrap();
    assert!(zombies().is_empty(), "{:?}", zombies());
}

#[tokio::test]
async fn the_init_reaps_orphans_and_ends_on_sigterm() {
    let real = Real::new();
    let id = ContainerId::new("init");
    real.runtime.create(real.blueprint("init")).await.unwrap();
    let orphans = "for i in 1 2 3 4; do (sleep 0.1 >/dev/null 2>&1 &); done";
    assert_eq!(run(&real.runtime, &id, orphans).await.0, 0);
    contract::idle(&real.runtime, &id).await;
    run(&real.runtime, &id, "kill 1; sleep 1000").await;
    let error = real.runtime.exec(&id, spec(&["/bin/true"])).await.err().unwrap();
    assert!(matches!(error, RuntimeError::Failed { .. }), "{error:?}");
    real.runtime.delete(&id).await.unwrap();
}

#[tokio::test]
async fn a_process_whose_caller_has_gone_does_not_stay() {
    let real = Real::new();
    let id = ContainerId::new("gone");
    real.runtime.create(real.blueprint("gone")).await.unwrap();
    contract::idle(&real.runtime, &id).await;
    let bundle = real.machine.path("data/containers/gone");
    let is_starting = || {
        let mut names = fs::read_dir(&bundle).unwrap().flatten().map(|entry| entry.file_name());
        names.any(|name| name.to_string_lossy().starts_with("process-"))
    };
    let until = async |is_so: bool| {
        let deadline = Instant::now() + PATIENCE;
        while is_starting() != is_so {
            assert!(Instant::now() < deadline, "never so: {is_so}");
            tokio::task::yield_now().await;
        }
    };
    loop {
        tokio::select! {
            biased;
            () = until(true) => break,
            // It had started before its files were seen; it goes with its handles.
            _ = real.runtime.exec(&id, spec(&["/bin/sleep", "1000"])) => {}
        }
    }
    until(false).await;
    contract::idle(&real.runtime, &id).await;
    real.runtime.delete(&id).await.unwrap();
}

#[tokio::test]
async fn what_is_written_while_nobody_reads_is_kept_and_too_much_loses_the_oldest() {
    let real = Real::new();
    let id = ContainerId::new("unread");
    real.runtime.create(real.blueprint("unread")).await.unwrap();
    let script = "i=0; while [ $i -lt 60000 ]; do echo line-$i; i=$((i+1)); done";
    let mut spec = spec(&["/bin/sh", "-c", script]).in_path();
    spec.keep_as = Some("talker".to_owned());
    let first = real.runtime.exec(&id, spec.clone()).await.unwrap();
    drop((first.stdout, first.stderr));
    assert!(first.control.wait().await.is_success(), "nobody holds it up");
    drop(first.control);

    let mut again = real.runtime.exec(&id, spec).await.unwrap();
    let (mut text, mut lost) = (Vec::new(), 0);
    while let Some(chunk) = again.stdout.next().await {
        lost += chunk.lost_before;
        text.extend(chunk.bytes);
        again.stdout.release(0);
    }
    let written: u64 = (0..60_000).map(|n: u64| format!("line-{n}\n").len() as u64).sum();
    assert_eq!(lost + text.len() as u64, written, "what is missing is counted");
    assert!(lost > 0 && text.len() >= 256 << 10, "{lost} lost, {} kept", text.len());
    assert!(text.ends_with(b"line-59998\nline-59999\n"), "the last words are kept");
    real.runtime.delete(&id).await.unwrap();
}
