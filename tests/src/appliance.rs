//! An appliance of a story's own, and `ltc` pointed at it.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use lattice_api::log_aggregator::LogReader as _;
use lattice_api::log_aggregator::client::LogClient;
use lattice_daemon::credentials::Admin;
use lattice_model::Envelope;
use lattice_model::envelope::Message;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::web::{Answer, Web};
use crate::{eventually, expect, program};

/// How long an appliance may take to be ready on a busy machine.
const READY: Duration = Duration::from_secs(60);
/// How long an appliance may take to stop, and a little for a busy machine.
pub const STOP: Duration = Duration::from_secs(15);

/// The port of every story's router; each story has a network of its own.
pub const HTTP_PORT: u16 = 8080;
/// The domain of every story's apps.
pub const DOMAIN: &str = "lattice.localhost";

/// How a story wants its appliance, where it is not as usual.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The domain of its apps.
    pub domain: &'a str,
    /// Further arguments of `lattice up`.
    pub up_args: &'a [&'a str],
    /// Further variables in its environment.
    pub env: &'a [(&'a str, &'a str)],
}

/// A running `lattice up`; purged when dropped.
pub struct Appliance {
    dir: TempDir,
    program: PathBuf,
    domain: String,
    up_args: Vec<String>,
    env: Vec<(String, String)>,
    process: Option<Child>,
    numbers: Cell<u32>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { domain: DOMAIN, up_args: &[], env: &[] }
    }
}

impl Appliance {
    /// Starts one with these further arguments, and waits until it is ready.
    pub fn start(up_args: &[&str]) -> Self {
        Self::start_as(Options { up_args, ..Options::default() })
    }

    /// Starts one that is so, and waits until it is ready.
    pub fn start_as(options: Options<'_>) -> Self {
        let dir = tempfile::Builder::new().prefix("lattice-story-").tempdir().unwrap();
        let owned = |text: &&str| (*text).to_owned();
        let mut appliance = Self {
            dir,
            program: program("lattice"),
            domain: options.domain.to_owned(),
            up_args: options.up_args.iter().map(owned).collect(),
            env: options.env.iter().map(|(name, value)| (owned(name), owned(value))).collect(),
            process: None,
            numbers: Cell::default(),
        };
        appliance.up();
        appliance
    }

    /// Starts it again after [`Appliance::stop`] or [`Appliance::kill`], and waits until ready.
    pub fn up(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let stdout = self.dir.path().join("stdout");
        let mut command = Command::new(&self.program);
        command
            .args(["up", "-v", "--domain", &self.domain, "--http-port", &HTTP_PORT.to_string()])
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(&self.up_args)
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(log);
        self.process = Some(command.spawn().expect("lattice can be started"));
        eventually("lattice is ready", READY, || {
            if let Some(status) = self.process.as_mut().unwrap().try_wait().unwrap() {
                panic!("lattice up ended with {status}:\n{}", self.log());
            }
            let said = std::fs::read_to_string(&stdout).unwrap();
            expect(said.contains("lattice is ready"), (said, self.log()))
        });
    }

    /// Has it find these variables in its environment when it is started again, and no others.
    pub fn with_env(&mut self, env: Vec<(String, String)>) {
        self.env = env;
    }

    /// Has it be started again with these further arguments, and no others.
    pub fn with_args(&mut self, up_args: &[&str]) {
        self.up_args = up_args.iter().map(|arg| (*arg).to_owned()).collect();
    }

    /// Puts another version in the place of the program and of the one that it carries, and removes the former's file if it was put
    /// there by this.
    pub fn upgrade(&mut self) {
        let next = self.dir.path().join(format!("lattice-{}", self.next_number()));
        std::fs::copy(program("lattice"), &next).unwrap();
        // It differs, as another version does, and is as good: nothing reads what stands behind.
        File::options().append(true).open(&next).unwrap().write_all(b"later").unwrap();
        if self.program.starts_with(self.dir.path()) {
            std::fs::remove_file(&self.program).unwrap();
        }
        self.program = next;
        // So does the program that it carries.
        let dir = self.data_dir().join("program");
        for carried in std::fs::read_dir(&dir).unwrap().flatten() {
            std::fs::rename(carried.path(), dir.join("lattice-shim-of-the-version-before"))
                .unwrap();
        }
    }

    /// What it printed when it came up.
    pub fn greeting(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stdout")).unwrap()
    }

    /// Its own log so far.
    pub fn log(&self) -> String {
        let mut log = String::new();
        File::open(self.log_path()).unwrap().read_to_string(&mut log).unwrap();
        log
    }

    /// Where it keeps its state.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        let process = self.process.as_ref().expect("it runs");
        Pid::from_child(process)
    }

    /// Its administrator.
    pub fn admin(&self) -> Admin {
        Admin::load_or_create(&self.data_dir()).unwrap()
    }

    /// The administrator's name and password as basic auth joins them.
    pub fn account(&self) -> String {
        let admin = self.admin();
        format!("{}:{}", admin.username, admin.password)
    }

    /// Stops it with a signal, and returns how it ended; fails when it takes longer than it may.
    pub fn stop(&mut self, signal: Signal) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        kill_process(Pid::from_child(&process), signal).unwrap();
        eventually("lattice stops", STOP, || process.try_wait().unwrap().ok_or("it still runs"))
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.stop(Signal::KILL);
    }

    /// Waits for it to end by itself, as after `lattice down`.
    pub fn wait(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        eventually("lattice ends", STOP, || process.try_wait().unwrap().ok_or("it still runs"))
    }

    /// Runs `lattice down` on its data directory.
    pub fn down(&self, args: &[&str]) -> Said {
        self.lattice("down", args)
    }

    /// Runs a command of `lattice` on its data directory.
    pub fn lattice(&self, verb: &str, args: &[&str]) -> Said {
        let mut command = Command::new(program("lattice"));
        command.arg(verb).arg("--data-dir").arg(self.data_dir()).args(args);
        Said::of(command)
    }

    /// Runs `ltc` to its end, as root on the same machine.
    pub fn ltc(&self, args: &[&str]) -> Said {
        Said::of(self.ltc_command(args))
    }

    /// Runs `ltc` and demands success; returns what it printed on standard output.
    pub fn ltc_ok(&self, args: &[&str]) -> String {
        let said = self.ltc(args);
        assert_eq!(said.code, 0, "ltc {args:?}: {said:?}\n{}", self.log());
        said.out
    }

    /// Runs `ltc --output json` and reads the answer.
    pub fn ltc_json(&self, args: &[&str]) -> serde_json::Value {
        let mut args = args.to_vec();
        args.extend(["--output", "json"]);
        let text = self.ltc_ok(&args);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("ltc {args:?}: {e}: {text}"))
    }

    /// `ltc`, ready to be started.
    pub fn ltc_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("ltc"));
        command
            .args(args)
            .env("LATTICE_CLI_HOME", self.dir.path())
            .env("LATTICE_DATA_DIR", self.data_dir())
            .stdin(Stdio::null());
        command
    }

    /// Asks the Receptor API as the administrator.
    pub fn api(&self, web: &Web, method: Method, path: &str, body: Option<Value>) -> Answer {
        let admin = self.admin();
        let mut request = web
            .request(method, "receptor", path)
            .basic_auth(&admin.username, Some(&admin.password));
        if let Some(body) = body {
            request = request.json(&body);
        }
        web.send(request).unwrap_or_else(|why| panic!("{path}: {why}\n{}", self.log()))
    }

    /// The instances of an app as the Receptor API has them.
    pub fn instances(&self, web: &Web, app: &str) -> Vec<Value> {
        let answer = self.api(web, Method::GET, &format!("/v1/actual_lrps/{app}"), None);
        serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
    }

    /// The instances' states, by index.
    pub fn states(&self, web: &Web, app: &str) -> Vec<String> {
        let state = |lrp: &Value| lrp["state"].as_str().unwrap_or("?").to_owned();
        self.instances(web, app).iter().map(state).collect()
    }

    /// Waits until an app has this many instances, all running.
    pub fn wait_running(&self, web: &Web, app: &str, count: usize) {
        eventually(&format!("{count} instances of {app} run"), crate::PATIENCE, || {
            let states = self.states(web, app);
            let all = states.len() == count && states.iter().all(|state| state == "RUNNING");
            expect(all, self.instances(web, app))
        });
    }

    /// The recent log lines of an app or task, as `SOURCE|INSTANCE message`.
    pub fn recent_logs(&self, web: &Web, app: &str) -> Vec<String> {
        let admin = self.admin();
        let account = Some((admin.username, admin.password));
        let reader = LogClient::new(crate::web::url("doppler"), account);
        let envelopes = web.block_on(reader.recent(app)).expect("recent logs can be read");
        let line = |envelope: &Envelope| match &envelope.message {
            Message::Log(log) => {
                let text = String::from_utf8_lossy(&log.payload);
                Some(format!("{}|{} {text}", log.source_type, envelope.instance_id))
            }
            Message::ContainerMetric(_) => None,
        };
        envelopes.iter().filter_map(line).collect()
    }

    /// Waits until a line of the app's log has this text.
    pub fn wait_logged(&self, web: &Web, app: &str, text: &str) -> String {
        eventually(&format!("{app} logs {text:?}"), crate::PATIENCE, || {
            let lines = self.recent_logs(web, app);
            lines.iter().find(|line| line.contains(text)).cloned().ok_or(lines)
        })
    }

    /// A number that this story has not used.
    pub fn next_number(&self) -> u32 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    /// A directory for the story's own files.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln_log(&self.log());
        }
        if let Some(mut process) = self.process.take() {
            let _ = kill_process(Pid::from_child(&process), Signal::KILL);
            let _ = process.wait();
        }
        let purged = self.down(&["--purge", "--yes"]);
        if !std::thread::panicking() {
            assert_eq!(purged.code, 0, "{purged:?}");
        }
    }
}

#[allow(clippy::print_stderr, reason = "a failed story shows the appliance's log")]
fn eprintln_log(log: &str) {
    let tail: Vec<&str> = log.lines().rev().take(60).collect();
    eprintln!("--- the appliance's log ends so:");
    tail.iter().rev().for_each(|line| eprintln!("{line}"));
}

/// What a command said, and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    /// The exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Runs a command to its end.
    pub fn of(mut command: Command) -> Self {
        let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        Self::from(output)
    }

    /// Both streams, for a search.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}
