//! containerd and dockerd, as Debian has them, as processes of this one: their state is in one
//! folder, they touch no network, and all that they and what they start use of the CPU is counted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lattice_tests::{eventually, expect};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Signal, kill_process};

/// The control group in which they are, and the containers they make.
pub(crate) const GROUP: &str = "/lattice-bench/daemons";
/// What Docker calls the image.
pub(crate) const IMAGE: &str = "bench";

/// Where CPU time is counted by control groups.
const ACCOUNTS: &str = "/sys/fs/cgroup/cpuacct";
/// How long one may take until it answers, or until it has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both of them; ended when dropped.
pub(crate) struct Daemons {
    dir: PathBuf,
    has_docker: bool,
    /// In the order in which they end.
    running: Vec<Daemon>,
}

/// A process that runs until this is dropped.
struct Daemon(Child);

// === impl Daemons ===

impl Daemons {
    /// Starts containerd, and dockerd on it; says why where they cannot run.
    pub(crate) fn start(dir: &Path) -> Result<Self, String> {
        let mut daemons = Self::containerd_alone(dir)?;
        match dockerd(&daemons.dir) {
            Ok(dockerd) => {
                daemons.has_docker = true;
                daemons.running.insert(0, dockerd);
            }
            Err(why) => eprintln!("docker is left out: {why}"),
        }
        Ok(daemons)
    }

    /// Starts containerd; says why where it cannot run.
    pub(crate) fn containerd_alone(dir: &Path) -> Result<Self, String> {
        let dir = dir.join("daemons");
        let account = format!("{ACCOUNTS}{GROUP}");
        fs::create_dir_all(&account).map_err(|e| {
            format!("what it uses cannot be counted, as {account} cannot be made: {e}")
        })?;
        fs::create_dir_all(&dir).unwrap();
        // Its shims put sockets below /run, whatever they are told.
        mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).unwrap();
        let running = vec![containerd(&dir)?];
        Ok(Self { dir, has_docker: false, running })
    }

    /// True when there is also a dockerd.
    pub(crate) const fn have_docker(&self) -> bool {
        self.has_docker
    }

    /// A command of containerd's own client.
    pub(crate) fn ctr(&self) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.dir.join("containerd.sock"));
        command
    }

    /// A command of Docker's client.
    pub(crate) fn docker(&self) -> Command {
        docker(&self.dir)
    }

    /// Gives Docker the files in `rootfs` as an image.
    pub(crate) fn import(&self, rootfs: &Path) -> Result<(), String> {
        let archive = self.dir.join("rootfs.tar");
        let mut tar = Command::new("tar");
        tar.args(["--owner=0", "--group=0", "-C"]).arg(rootfs).arg("-cf").arg(&archive).arg(".");
        succeed(&mut tar)?;
        succeed(self.docker().arg("import").arg(archive).arg(IMAGE))
    }

    /// What they, and all that they started, have used of the CPU.
    pub(crate) fn cpu_time(&self) -> Duration {
        let usage = fs::read_to_string(format!("{ACCOUNTS}{GROUP}/cpuacct.usage")).unwrap();
        Duration::from_nanos(usage.trim().parse().unwrap())
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        self.running.drain(..).for_each(drop);
        for path in [format!("{ACCOUNTS}{GROUP}"), format!("{ACCOUNTS}/lattice-bench")] {
            let _ = fs::remove_dir(path);
        }
    }
}

// === impl Daemon ===

impl Daemon {
    /// Starts one, and waits until it answers.
    fn start(
        dir: &Path,
        name: &str,
        arguments: &[&str],
        answers: impl Fn() -> Result<(), String>,
    ) -> Result<Self, String> {
        let log = dir.join(format!("{name}.log"));
        let enter = format!("echo $$ > {ACCOUNTS}{GROUP}/cgroup.procs && exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &enter, name]).args(arguments).stdin(Stdio::null());
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
        command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let mut daemon = Self(command.spawn().unwrap());
        let ended = eventually(name, PATIENCE, || {
            let ended = daemon.0.try_wait().unwrap();
            if ended.is_some() { Ok(ended) } else { answers().map(|()| None) }
        });
        let Some(ended) = ended else { return Ok(daemon) };
        let said = fs::read_to_string(log).unwrap();
        Err(format!("{name} ended with {ended}: {}", said.lines().last().unwrap_or_default()))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.0);
        let _ = kill_process(pid, Signal::TERM);
        eventually("a daemon ends", PATIENCE, || {
            let ended = self.0.try_wait().unwrap();
            expect(ended.is_some(), pid)
        });
    }
}

fn containerd(dir: &Path) -> Result<Daemon, String> {
    let at = |name: &str| dir.join(name).display().to_string();
    let socket = at("containerd.sock");
    let config = format!(
        "version = 2\nroot = \"{}\"\nstate = \"{}\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\n  address = \"{socket}\"\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\n  path = \"{}\"\n",
        at("containerd"),
        at("containerd-state"),
        at("opt")
    );
    fs::write(at("containerd.toml"), config).unwrap();
    let arguments = ["--config", &at("containerd.toml")];
    Daemon::start(dir, "containerd", &arguments, || {
        succeed(Command::new("ctr").args(["--address", &socket, "version"]))
    })
}

fn dockerd(dir: &Path) -> Result<Daemon, String> {
    let at = |name: &str| dir.join(name).display().to_string();
    let config = format!("{{\"deprecated-key-path\": \"{}\"}}", at("docker-key.json"));
    fs::write(at("docker.json"), config).unwrap();
    let (host, containerd) = (host(dir), at("containerd.sock"));
    let (root, state, pid) = (at("docker"), at("docker-state"), at("docker.pid"));
    let arguments = [
        ["--config-file", &at("docker.json")],
        ["--containerd", &containerd],
        ["--data-root", &root],
        ["--exec-root", &state],
        ["--pidfile", &pid],
        ["--host", &host],
        ["--bridge", "none"],
    ];
    let arguments = [&arguments.concat()[..], &["--iptables=false", "--ip6tables=false"]];
    Daemon::start(dir, "dockerd", &arguments.concat(), || succeed(docker(dir).arg("info")))
}

fn docker(dir: &Path) -> Command {
    // Not one that lies before it on the search path and may be another version.
    let mut command = Command::new("/usr/bin/docker");
    command.args(["--host", &host(dir)]);
    command
}

fn host(dir: &Path) -> String {
    format!("unix://{}", dir.join("docker.sock").display())
}

/// Runs a command to its end; its last words where it fails.
fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = || said.lines().last().unwrap_or_default().to_owned();
    if output.status.success() { Ok(()) } else { Err(last()) }
}
