//! Containers: how fast they start beside `runc` and `crun`, what holding one costs, and how fast
//! they are found again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use lattice_cell::runtime::oci::{Engine, OciConfig, OciRuntime};
use lattice_cell::runtime::{ContainerBlueprint, ContainerId, ProcessSpec, Runtime, UserIds};
use lattice_cell::userns::{self, UserNamespace};
use lattice_model::Limit;
use lattice_tests::machine::holders;
use lattice_tests::program;
use rustix::mount::{UnmountFlags, unmount};
use serde_json::{Value, json};

use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::{memory_mb, undisturbed};

/// Starts in one round; a round's figure is their mean.
const STARTS: usize = 10;
/// Containers that are held and found again, for each second of a round's load.
const HELD_A_SECOND: u64 = 20;

pub(crate) fn run(effort: Effort) {
    let place = Place::new();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = tokio.unwrap();
    starts(&place, &tokio, effort);
    held(&place, &tokio, effort);
}

/// To the first output, and with the end and the removal.
fn starts(place: &Place, tokio: &tokio::runtime::Runtime, effort: Effort) {
    let runtime = tokio.block_on(async { place.runtime() });
    let (mut ours, mut runc, mut crun) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=effort.rounds {
        eprintln!("round {round} of {}", effort.rounds);
        ours.push(undisturbed(|| mean(|n| tokio.block_on(place.start(&runtime, n)))));
        for (program, rounds) in [("runc", &mut runc), ("crun", &mut crun)] {
            rounds.push(undisturbed(|| mean(|n| place.start_by(program, n))));
        }
    }
    for (peer, theirs) in [("runc", &runc), ("crun", &crun)] {
        let cases = [("first_output_per_s", 0), ("cycle_per_s", 1)];
        for (metric, at) in cases {
            let rate = |rounds: &[[f64; 2]]| rounds.iter().map(|r| 1.0 / r[at]).collect::<Vec<_>>();
            let figure = Figure { bench: "cell", case: "one-at-a-time", metric, unit: "1/s" };
            figure.print_beside(&rate(&ours), peer, &rate(theirs));
        }
    }
}

/// What the processes that hold containers take, and how long they take to be found again.
fn held(place: &Place, tokio: &tokio::runtime::Runtime, effort: Effort) {
    let count = HELD_A_SECOND * effort.seconds.as_secs();
    eprintln!("{count} containers are held");
    let ids: Vec<ContainerId> =
        (0..count).map(|n| ContainerId::new(&format!("held-{n}"))).collect();
    tokio.block_on(async {
        let runtime = place.runtime();
        for id in &ids {
            runtime.create(place.blueprint(id)).await.unwrap();
            let spec = ProcessSpec { keep_as: Some("app".to_owned()), ..spec(&["sleep", "9999"]) };
            drop(runtime.exec(id, spec).await.unwrap());
        }
    });
    let holders = holders(&place.dir);
    assert_eq!(holders.len() as u64, count);
    let private: Vec<f64> =
        holders.iter().map(|pid| memory_mb(pid.as_raw_nonzero().get(), "Private_")).collect();
    let figure = |case, metric, unit| Figure { bench: "cell", case, metric, unit };
    figure("holding-one", "private_memory", "MB").print(&private);

    let mut rounds = Vec::new();
    for _ in 0..effort.rounds {
        rounds.push(undisturbed(|| {
            let begin = Instant::now();
            tokio.block_on(async {
                let runtime = place.runtime();
                let adopting = ids.iter().map(|id| async {
                    runtime.adopt(id, false).await.unwrap();
                    let spec = ProcessSpec { keep_as: Some("app".to_owned()), ..spec(&["sleep"]) };
                    drop(runtime.exec(id, spec).await.unwrap());
                });
                futures_util::future::join_all(adopting).await;
            });
            begin.elapsed().as_secs_f64() * 250.0 / count as f64
        }));
    }
    figure("found-again", "seconds_for_250", "s").print(&rounds);
    tokio.block_on(async {
        let runtime = place.runtime();
        for id in &ids {
            runtime.delete(id).await.unwrap();
        }
    });
}

/// The mean seconds of some starts.
fn mean(mut start: impl FnMut(usize) -> [f64; 2]) -> [f64; 2] {
    let mut sum = [0.0; 2];
    for n in 0..STARTS {
        let took = start(n);
        sum = [sum[0] + took[0], sum[1] + took[1]];
    }
    sum.map(|sum| sum / STARTS as f64)
}

/// Where containers are made: one root filesystem, one network namespace and one range of users for
/// all of them.
struct Place {
    dir: PathBuf,
    users: UserNamespace,
    _scratch: tempfile::TempDir,
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().to_owned();
        let bin = dir.join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        let busybox = bin.join("busybox");
        fs::copy("/bin/busybox", &busybox).expect("script/bootstrap installs busybox-static");
        fs::set_permissions(&busybox, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["echo", "sleep"] {
            std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
        }
        let users = UserNamespace { path: dir.join("userns"), first_id: 0x1000_0000 };
        userns::make(&users, &dir.join("netns")).unwrap();
        give(&dir.join("rootfs"), &users);
        Self { dir, users, _scratch: scratch }
    }

    fn runtime(&self) -> OciRuntime {
        let config = OciConfig {
            data_dir: self.dir.join("data"),
            engine: Engine::Embedded,
            own_program: program("lattice"),
        };
        OciRuntime::new(config).unwrap()
    }

    fn blueprint(&self, id: &ContainerId) -> ContainerBlueprint {
        ContainerBlueprint {
            id: id.clone(),
            hostname: id.to_string(),
            rootfs: self.dir.join("rootfs"),
            netns: self.dir.join("netns"),
            files: Vec::new(),
            volumes: Vec::new(),
            memory_bytes: Limit::AtMost(64 << 20),
            cpu_shares: 1024,
            pids: Limit::AtMost(64),
            privileged: false,
            users: Some(self.users.clone()),
        }
    }

    /// Seconds to the first output of a program in a new container, and until all is gone again.
    async fn start(&self, runtime: &OciRuntime, n: usize) -> [f64; 2] {
        let begin = Instant::now();
        let id = ContainerId::new(&format!("ours-{n}"));
        runtime.create(self.blueprint(&id)).await.unwrap();
        let mut process = runtime.exec(&id, spec(&["echo", "ready"])).await.unwrap();
        process.stdout.next().await.expect("it says something");
        let first = begin.elapsed().as_secs_f64();
        process.control.wait().await;
        self.keep_config(&id);
        runtime.delete(&id).await.unwrap();
        [first, begin.elapsed().as_secs_f64()]
    }

    /// The same by another program, with the same limits, filter and mounts; its program is the
    /// container's first process, so it has one start where ours are two.
    fn start_by(&self, program: &str, n: usize) -> [f64; 2] {
        let id = format!("{program}-{n}");
        let bundle = self.dir.join("bundle");
        self.write_bundle(&bundle, &id);
        let begin = Instant::now();
        let mut command = Command::new("unshare");
        // crun refuses a machine with both versions of control groups.
        let hide = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
        command.args(["--mount", "sh", "-c", hide, "sh", program, "--root"]);
        command.arg(self.dir.join("others")).args(["run", "--bundle"]).arg(&bundle).arg(&id);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut said).unwrap();
        let first = begin.elapsed().as_secs_f64();
        assert!(child.wait().unwrap().success(), "{program}");
        assert_eq!(said, "ready\n", "{program}");
        [first, begin.elapsed().as_secs_f64()]
    }

    /// What our container was made from is what the others get.
    fn keep_config(&self, id: &ContainerId) {
        let config = self.dir.join("data/containers").join(id.as_str()).join("config.json");
        let kept = self.dir.join("config.json");
        if !kept.exists() {
            fs::copy(config, kept).unwrap();
        }
    }

    fn write_bundle(&self, bundle: &Path, id: &str) {
        let config = fs::read(self.dir.join("config.json")).expect("ours has started before");
        let mut config: Value = serde_json::from_slice(&config).unwrap();
        config["process"]["args"] = json!(["/bin/echo", "ready"]);
        config["linux"]["cgroupsPath"] = json!(format!("/lattice-bench/{id}"));
        fs::create_dir_all(bundle).unwrap();
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for name in ["netns", "userns"] {
            let _ = unmount(self.dir.join(name), UnmountFlags::DETACH);
        }
        for mount in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = fs::remove_dir(mount.path().join("lattice-bench"));
        }
    }
}

fn spec(argv: &[&str]) -> ProcessSpec {
    let path = lattice_model::action::EnvVar { name: "PATH".into(), value: "/bin".into() };
    ProcessSpec {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        env: vec![path],
        dir: "/".to_owned(),
        user: UserIds::default(),
        nofile: None,
        nproc: None,
        keep_as: None,
    }
}

/// Gives a tree to the root of the containers.
fn give(tree: &Path, users: &UserNamespace) {
    let owner = Some(users.first_id);
    std::os::unix::fs::lchown(tree, owner, owner).unwrap();
    if tree.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(tree).unwrap().flatten().for_each(|entry| give(&entry.path(), users));
    }
}
