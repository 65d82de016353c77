//! Other programs that make containers, by their own command line: `runc`, `crun` and containerd's
//! `ctr` from the same configuration, and `docker` from an image of the same files.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::daemons::{Daemons, GROUP, IMAGE};
use super::place::Place;
use crate::machine::cpu_time_of_all;

/// Such a program, as Debian has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Runc,
    Crun,
    Ctr,
    Docker,
}

/// Whether a command ends with the container that it makes, and removes it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Waiting,
    Detached,
}

/// Those that run on this machine.
pub(super) struct Peers<'a> {
    place: &'a Place,
    daemons: Option<Daemons>,
    pub(super) programs: Vec<Program>,
}

/// A container that runs until this is dropped.
pub(super) struct Running<'a> {
    peers: &'a Peers<'a>,
    pub(super) program: Program,
    id: String,
    executed: Cell<usize>,
}

// === impl Program ===

impl Program {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
            Self::Ctr => "ctr",
            Self::Docker => "docker",
        }
    }

    /// The programs of a start; what runs all the time aside.
    pub(super) const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Runc => &["/usr/sbin/runc"],
            Self::Crun => &["/usr/bin/crun"],
            Self::Ctr => &["/usr/bin/ctr", "/usr/bin/containerd-shim-runc-v2", "/usr/sbin/runc"],
            Self::Docker => {
                &["/usr/bin/docker", "/usr/bin/containerd-shim-runc-v2", "/usr/sbin/runc"]
            }
        }
    }
}

// === impl Peers ===

impl<'a> Peers<'a> {
    /// Starts the daemons that some of them need, and says which are left out, and why.
    pub(super) fn start(place: &'a Place) -> Self {
        let mut programs = vec![Program::Runc, Program::Crun];
        let daemons = Daemons::start(&place.dir)
            .inspect_err(|why| eprintln!("ctr and docker are left out: {why}"))
            .ok();
        if let Some(daemons) = &daemons {
            programs.push(Program::Ctr);
            if daemons.have_docker() {
                match daemons.import(&place.dir.join("rootfs")) {
                    Ok(()) => programs.push(Program::Docker),
                    Err(why) => eprintln!("docker is left out: {why}"),
                }
            }
        }
        Self { place, daemons, programs }
    }

    /// What has been used of the CPU where this one starts containers: by this process, by what it
    /// has waited for, and by daemons that do the work for others.
    pub(super) fn cpu_time(&self, program: Program) -> Duration {
        match program {
            Program::Runc | Program::Crun => cpu_time_of_all(),
            Program::Ctr | Program::Docker => cpu_time_of_all() + self.daemons().cpu_time(),
        }
    }

    /// Seconds to the first output of a program in a new container, and until all is gone again. Its
    /// program is the container's first process, so that it has one start where ours are two.
    pub(super) fn run(&self, program: Program, n: usize) -> [f64; 2] {
        let id = format!("{}-{n}", program.name());
        let mut command = self.command((program, Manner::Waiting), &id, &["/bin/echo", "ready"]);
        let begin = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let first = begin.elapsed().as_secs_f64();
        assert!(child.wait().unwrap().success() && said == "ready\n", "{program:?} said {said:?}");
        [first, begin.elapsed().as_secs_f64()]
    }

    /// What makes a container and runs a program in it.
    fn command(&self, (program, manner): (Program, Manner), id: &str, argv: &[&str]) -> Command {
        let mut command = self.client(program);
        command.arg("run");
        match (manner, program) {
            (Manner::Detached, _) => command.arg("--detach"),
            (Manner::Waiting, Program::Ctr | Program::Docker) => command.arg("--rm"),
            (Manner::Waiting, Program::Runc | Program::Crun) => &mut command,
        };
        match program {
            Program::Runc | Program::Crun => {
                command.arg("--bundle").arg(self.bundle(id, "/lattice-bench", argv)).arg(id);
            }
            Program::Ctr => {
                let config = self.bundle(id, GROUP, argv).join("config.json");
                command.arg("--config").arg(config).arg(id);
            }
            Program::Docker => {
                let limits = ["--network", "none", "--memory", "64m", "--pids-limit", "64"];
                command.args(["--name", id, "--cgroup-parent", GROUP]).args(limits);
                command.arg(IMAGE).args(argv);
            }
        }
        command
    }

    fn bundle(&self, id: &str, group: &str, argv: &[&str]) -> PathBuf {
        let bundle = self.place.dir.join("bundles").join(id);
        self.place.write_bundle(&bundle, &format!("{group}/{id}"), argv);
        bundle
    }

    /// A command of a program, without its verb.
    fn client(&self, program: Program) -> Command {
        let mut command = match program {
            Program::Runc | Program::Crun => {
                let mut command = Command::new(program.name());
                command.arg("--root").arg(self.place.dir.join("others").join(program.name()));
                command
            }
            Program::Ctr => self.daemons().ctr(),
            Program::Docker => self.daemons().docker(),
        };
        command.stdin(Stdio::null());
        command
    }

    fn daemons(&self) -> &Daemons {
        self.daemons.as_ref().expect("programs that need them are left out without them")
    }
}

// === impl Running ===

impl<'a> Running<'a> {
    pub(super) fn start(peers: &'a Peers<'a>, program: Program) -> Self {
        let id = format!("{}-running", program.name());
        let mut command = peers.command((program, Manner::Detached), &id, &["/bin/sleep", "9999"]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{program:?} starts a container");
        Self { peers, program, id, executed: Cell::new(0) }
    }

    /// Executes a program in it, to its end.
    pub(super) fn exec(&self) {
        let mut command = self.peers.client(self.program);
        match self.program {
            Program::Runc | Program::Crun | Program::Docker => {
                command.args(["exec", &self.id]);
            }
            Program::Ctr => {
                let n = self.executed.replace(self.executed.get() + 1);
                command.args(["task", "exec", "--exec-id", &format!("exec-{n}"), &self.id]);
            }
        }
        let output = command.args(["/bin/echo", "ready"]).output().unwrap();
        assert_eq!(output.stdout, b"ready\n", "{output:?}");
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let verbs: &[&[&str]] = match self.program {
            Program::Runc | Program::Crun => &[&["delete", "--force"]],
            Program::Ctr => &[&["task", "delete", "--force"], &["container", "delete"]],
            Program::Docker => &[&["rm", "--force"]],
        };
        for verb in verbs {
            let _ = self.peers.client(self.program).args(*verb).arg(&self.id).output();
        }
    }
}
