//! What happens to a cell.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use lattice_simulation::dice::Dice;
use reqwest::Method;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::{LOGS, SSH, Soak, address, app};
use crate::machine;
use crate::web::Web;

/// So many apps, of so many instances at most, are enough for a small machine.
const APPS_MAX: usize = 4;
const INSTANCES_MAX: u64 = 4;
/// How long an app may take to connect, and to answer.
const CONNECT_MAX: Duration = Duration::from_secs(2);
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Create,
    Scale,
    Remove,
    /// An app or a sidecar ends by itself.
    Crash,
    /// An instance is restarted by hand.
    Restart,
    Task,
    /// Somebody gets in and runs something.
    Enter,
    /// Somebody gets in and goes again while it runs.
    Abandon,
    KillHolder,
    KillPlatform,
    StopPlatform,
}

/// What an app answers to a request, as it came; an error when it does not.
pub(super) fn get(at: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&at, CONNECT_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

// === impl Event ===

impl Event {
    pub(super) const ALL: [Self; 11] = [
        Self::Create,
        Self::Scale,
        Self::Crash,
        Self::Restart,
        Self::Task,
        Self::Enter,
        Self::Abandon,
        Self::KillHolder,
        Self::Remove,
        Self::KillPlatform,
        Self::StopPlatform,
    ];

    /// How often it comes, beside the others.
    const fn weight(self) -> u64 {
        match self {
            Self::Scale => 6,
            Self::Create | Self::Crash | Self::Task | Self::Enter => 4,
            Self::Remove => 3,
            Self::Restart | Self::Abandon | Self::KillHolder => 2,
            Self::KillPlatform | Self::StopPlatform => 1,
        }
    }

    pub(super) const fn kills_platform(self) -> bool {
        matches!(self, Self::KillPlatform | Self::StopPlatform)
    }

    pub(super) fn draw(dice: &mut Dice, kills_platform: bool) -> Self {
        let may = |event: &Self| kills_platform || !event.kills_platform();
        let all = || Self::ALL.into_iter().filter(may);
        let mut at = dice.below(all().map(Self::weight).sum());
        for event in all() {
            match at.checked_sub(event.weight()) {
                Some(rest) => at = rest,
                None => return event,
            }
        }
        Self::Create
    }
}

// === impl Soak ===

impl Soak {
    pub(super) fn happen(&mut self, event: Event) {
        self.say(&format!("{event:?}"));
        *self.counts.entry(event).or_default() += 1;
        match event {
            Event::Create => self.create(),
            Event::Scale => self.scale(),
            Event::Remove => {
                if let Some(app) = self.any_app() {
                    self.remove(&app);
                }
            }
            Event::Crash => self.crash(),
            Event::Restart => self.restart(),
            Event::Task => self.run_task(),
            Event::Enter => self.enter(false),
            Event::Abandon => self.enter(true),
            Event::KillHolder => self.kill_holder(),
            Event::KillPlatform => self.start_again(),
            Event::StopPlatform => {
                self.lattice.stop(Signal::TERM);
                self.lattice.up();
                self.web = Web::new();
            }
        }
    }

    fn create(&mut self) {
        let (count, is_pod) = (self.dice.between(1, INSTANCES_MAX), self.dice.chance(40));
        if self.wanted.len() >= APPS_MAX {
            return;
        }
        let name = format!("app-{}", self.lattice.next_number());
        let lrp = app(&name, &self.rootfs, count, is_pod);
        self.demand(Method::POST, "/v1/desired_lrps", Some(lrp), 201);
        self.wanted.insert(name, count);
    }

    fn scale(&mut self) {
        let Some(app) = self.any_app() else { return };
        let count = self.dice.between(0, INSTANCES_MAX);
        let path = format!("/v1/desired_lrps/{app}");
        self.demand(Method::PUT, &path, Some(json!({"instances": count})), 204);
        self.wanted.insert(app, count);
    }

    pub(super) fn remove(&mut self, app: &str) {
        self.demand(Method::DELETE, &format!("/v1/desired_lrps/{app}"), None, 204);
        self.wanted.remove(app);
    }

    /// An instance that is gone meanwhile cannot crash any more.
    fn crash(&mut self) {
        let Some(lrp) = self.any_instance() else { return };
        let code = self.dice.below(100);
        let port = if self.dice.chance(30) { 9090 } else { 8080 };
        if let Some(at) = address(&lrp, port) {
            let _ = get(at, &format!("/exit/{code}"));
        }
    }

    fn restart(&mut self) {
        let Some(lrp) = self.any_instance() else { return };
        let (app, index) = (lrp["process_guid"].as_str().unwrap(), &lrp["index"]);
        let path = format!("/v1/actual_lrps/{app}/index/{index}");
        // It may be gone meanwhile.
        self.lattice.api(&self.web, Method::DELETE, &path, None);
    }

    fn run_task(&mut self) {
        let guid = format!("task-{}", self.lattice.next_number());
        let args = if self.dice.chance(50) { ["sleep", "1"] } else { ["exit", "3"] };
        let task = json!({"task_guid": &guid, "domain": "lattice", "rootfs": &self.rootfs,
            "action": {"run": {"path": "/fixture-app", "args": args, "user": "1000"}},
            "memory_mb": 32, "disk_mb": 32, "log_guid": LOGS, "metrics_guid": LOGS});
        self.demand(Method::POST, "/v1/tasks", Some(task), 201);
        self.tasks.push(guid);
    }

    /// Runs something in an instance; one that goes meanwhile takes it along.
    fn enter(&mut self, goes_at_once: bool) {
        let Some(lrp) = self.any_instance() else { return };
        let guid = lrp["instance_guid"].as_str().unwrap();
        let (_, port) = SSH.split_once(':').unwrap();
        let mut command = Command::new("ssh");
        for option in [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=10",
        ] {
            command.args(["-o", option]);
        }
        command.args(["-F", "none", "-p", port, "-l", guid, "-i"]).arg(&self.key);
        if self.dice.chance(50) {
            command.arg("-tt");
        }
        command.arg("127.0.0.1");
        command.arg(if goes_at_once { "/fixture-app sleep 1000" } else { "/fixture-app exit 5" });
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut client = command.spawn().expect("script/bootstrap installs ssh");
        if goes_at_once {
            std::thread::sleep(Duration::from_millis(self.dice.below(1000)));
            client.kill().unwrap();
        }
        client.wait().unwrap();
    }

    fn kill_holder(&mut self) {
        let holders = machine::holders(&self.lattice.data_dir());
        let at = usize::try_from(self.dice.below(holders.len() as u64)).unwrap();
        if let Some(holder) = holders.get(at) {
            // It may have gone just now.
            let _ = kill_process(*holder, Signal::KILL);
        }
    }

    fn any_app(&mut self) -> Option<String> {
        let at = self.dice.below(self.wanted.len() as u64);
        self.wanted.keys().nth(usize::try_from(at).unwrap()).cloned()
    }

    /// Any instance that runs.
    fn any_instance(&mut self) -> Option<Value> {
        let app = self.any_app()?;
        let mut running = self.lattice.instances(&self.web, &app);
        running.retain(|lrp| lrp["state"] == "RUNNING");
        let at = usize::try_from(self.dice.below(running.len() as u64)).unwrap();
        (at < running.len()).then(|| running.swap_remove(at))
    }

    fn demand(&self, method: Method, path: &str, body: Option<Value>, status: u16) {
        let answer = self.lattice.api(&self.web, method, path, body);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
}
