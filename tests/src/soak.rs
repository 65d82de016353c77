//! One cell through everything at once: instances that come, go and crash, people who get in, and
//! the platform and what holds its instances killed amid all that. Afterwards nothing may be left,
//! and the platform may be no larger than it was.

mod events;
mod size;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lattice_simulation::dice::Dice;
use reqwest::Method;
use serde_json::{Value, json};

use self::events::Event;
use self::size::Size;
use crate::appliance::Appliance;
use crate::rest::Rest;
use crate::web::Web;
use crate::{PATIENCE, eventually, expect, image, machine};

/// Where people are let in.
const SSH: &str = "127.0.0.1:2299";
/// After so many events everything has to be as it is wanted.
const EVENTS_PER_ROUND: usize = 25;
/// The part of the time in which the platform itself is killed, and that after which its size is
/// watched: caches and an allocator first take what they need.
const KILLING_PERCENT: u32 = 40;
const GROWING_PERCENT: u32 = 70;
/// The longest pause between events, in milliseconds.
const PAUSE_MS_MAX: u64 = 400;
/// How many more descriptors the platform may have at the end, in percent.
const DESCRIPTORS_PERCENT_MAX: u64 = 5;
/// Where all log, so that what is kept of it is bounded, and how much that is, in lines.
const LOGS: &str = "soak";
const LOG_LINES: usize = 1000;

/// How many events the brain keeps, and how many one task is that is cancelled at once. A short soak
/// has no time to fill that.
const HISTORY_EVENTS: usize = 16_384;
const EVENTS_PER_TASK: usize = 4;
const FILLS_HISTORY_FROM: Duration = Duration::from_secs(600);

/// How long, and with which dice.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The dice: the same number draws the same events.
    pub seed: u64,
    /// How long events come; the end of it takes a little longer.
    pub duration: Duration,
    /// How much more memory of its own the platform may have at the end, in percent.
    pub memory_percent_max: u64,
}

/// One cell, and what is wanted of it.
struct Soak {
    lattice: Appliance,
    web: Web,
    dice: Dice,
    rootfs: String,
    began: Instant,
    /// How many instances each app is to have.
    wanted: BTreeMap<String, u64>,
    tasks: Vec<String>,
    /// Whoever has it may get in.
    key: PathBuf,
    /// How often each event came.
    counts: BTreeMap<Event, u64>,
}

/// Plays it; panics with what it finds.
pub fn play(plan: Plan) {
    machine::isolate();
    let untouched = machine::traces(Path::new(""));
    let mut soak = Soak::start(plan);
    let data_dir = soak.lattice.data_dir();
    let rest = Rest::complete(&soak.lattice);
    let killing = plan.duration * KILLING_PERCENT / 100;
    while soak.began.elapsed() < killing {
        soak.round(true);
    }
    soak.clear(&rest);
    soak.stay_small(&rest, plan);
    soak.say(&format!("what happened, and how often: {:?}", soak.counts));
    let purged = soak.lattice.down(&["--purge", "--yes"]);
    assert_eq!(purged.code, 0, "{purged:?}");
    soak.lattice.wait();
    assert_eq!(machine::traces(&data_dir), untouched);
    assert_eq!(machine::processes(&data_dir), [] as [String; 0], "processes are left");
    assert_eq!(machine::listening(), [] as [String; 0], "ports are left");
    let files: Vec<_> = std::fs::read_dir(&data_dir).into_iter().flatten().flatten().collect();
    assert!(files.is_empty(), "files are left: {files:?}");
    soak.say("nothing is left");
}

// === impl Soak ===

impl Soak {
    fn start(plan: Plan) -> Self {
        let lattice = Appliance::start(&["--cell-ssh", SSH]);
        let web = Web::new();
        let layout = image::layout(lattice.scratch(), "fixture-app", &["serve", "0.0.0.0:8080"]);
        // It stays, so that its image does.
        lattice.ltc_ok(&["create", "image", layout.to_str().unwrap(), "--instances", "0"]);
        let answer = lattice.api(&web, Method::GET, "/v1/desired_lrps/image", None);
        let lrp: Value = serde_json::from_str(&answer.body).unwrap();
        let soak = Self {
            key: lattice.data_dir().join("ssh/client_key"),
            lattice,
            web,
            dice: Dice::new(plan.seed),
            rootfs: lrp["rootfs"].as_str().unwrap().to_owned(),
            began: Instant::now(),
            wanted: BTreeMap::new(),
            tasks: Vec::new(),
            counts: BTreeMap::new(),
        };
        soak.say(&format!("seed {}, for {} s", plan.seed, plan.duration.as_secs()));
        soak
    }

    fn round(&mut self, kills_platform: bool) {
        for _ in 0..EVENTS_PER_ROUND {
            let event = Event::draw(&mut self.dice, kills_platform);
            self.happen(event);
            let pause = self.dice.below(PAUSE_MS_MAX);
            std::thread::sleep(Duration::from_millis(pause));
        }
        self.settle();
    }

    /// The rest of the time, in which the platform is left alone and may not grow.
    fn stay_small(&mut self, rest: &Rest, plan: Plan) {
        self.start_again();
        self.fill_logs();
        if plan.duration >= FILLS_HISTORY_FROM {
            self.fill_history();
        }
        while self.began.elapsed() < plan.duration * GROWING_PERCENT / 100 {
            self.round(false);
        }
        self.do_each_once(rest);
        let small = Size::of(self.lattice.pid());
        self.say(&format!("at rest: {small}"));
        while self.began.elapsed() < plan.duration {
            self.round(false);
        }
        self.do_each_once(rest);
        let end = eventually("the platform is as small as it was", PATIENCE, || {
            let size = Size::of(self.lattice.pid());
            let percents = (plan.memory_percent_max, DESCRIPTORS_PERCENT_MAX);
            expect(size.is_within(&small, percents), format!("{size} after {small}")).map(|()| size)
        });
        self.say(&format!("at rest again: {end}"));
    }

    /// Waits until everything is as it is wanted, as far as nothing waits after a crash.
    fn settle(&mut self) {
        for (app, count) in &self.wanted {
            eventually(&format!("{app} is as it is wanted"), PATIENCE * 2, || {
                let instances = self.lattice.instances(&self.web, app);
                let all = instances.len() as u64 == *count && instances.iter().all(is_settled);
                expect(all, instances)
            });
        }
        self.forget_tasks();
        let size = Size::of(self.lattice.pid());
        self.say(&format!("all is as it is wanted: {:?}; {size}", self.wanted));
    }

    fn forget_tasks(&mut self) {
        for task in std::mem::take(&mut self.tasks) {
            let path = format!("/v1/tasks/{task}");
            eventually(&format!("{task} has ended"), PATIENCE, || {
                let answer = self.lattice.api(&self.web, Method::DELETE, &path, None);
                expect(answer.status == 200, answer)
            });
        }
    }

    /// Removes everything, and waits until all is as it was before.
    fn clear(&mut self, rest: &Rest) {
        let apps: Vec<String> = self.wanted.keys().cloned().collect();
        apps.iter().for_each(|app| self.remove(app));
        self.forget_tasks();
        eventually("nothing is left", PATIENCE, || {
            let differences = Rest::of(&self.lattice).differences(rest);
            expect(differences.is_empty(), differences)
        });
    }

    /// Until the oldest lines give way to new ones.
    fn fill_logs(&mut self) {
        self.happen(Event::Create);
        self.settle();
        let name = self.wanted.keys().next().expect("one was created");
        let lrp = self.lattice.instances(&self.web, name).remove(0);
        let at = address(&lrp, 8080).expect("one that runs has an address");
        for _ in 0..LOG_LINES {
            events::get(at, "/say/hello").expect("it answers");
        }
    }

    /// Until the oldest events give way to new ones: the brain keeps the last for those who read on.
    fn fill_history(&self) {
        for number in 0..HISTORY_EVENTS / EVENTS_PER_TASK {
            let guid = format!("never-{number}");
            let path = format!("/v1/tasks/{guid}");
            // No cell can run it.
            let run =
                json!({"run": {"path": "/fixture-app", "args": ["exit", "3"], "user": "1000"}});
            let task = json!({"task_guid": &guid, "domain": "lattice", "action": run,
                "rootfs": self.rootfs.replacen("docker", "nobody", 1), "log_guid": LOGS});
            self.demand(Method::POST, "/v1/tasks", Some(task), 201);
            // It may have failed by itself by then, as no cell can run it.
            self.lattice.api(&self.web, Method::POST, &format!("{path}/cancel"), None);
            self.demand(Method::DELETE, &path, None, 200);
        }
        self.say("the history of events is full");
    }

    fn do_each_once(&mut self, rest: &Rest) {
        for event in Event::ALL.into_iter().filter(|event| !event.kills_platform()) {
            self.happen(event);
        }
        self.settle();
        self.clear(rest);
    }

    /// The platform is killed and starts again.
    fn start_again(&mut self) {
        self.lattice.kill();
        self.lattice.up();
        self.web = Web::new();
    }

    #[allow(clippy::print_stdout, reason = "what happened is this program's answer")]
    fn say(&self, what: &(impl Display + ?Sized)) {
        println!("{:>7.1} s  {what}", self.began.elapsed().as_secs_f64());
    }
}

/// It runs and answers, or has crashed too often to be started at once.
fn is_settled(lrp: &Value) -> bool {
    let answers = || {
        let at = address(lrp, 8080)?;
        events::get(at, "/").ok().filter(|answer| answer.starts_with("HTTP/1.1 200"))
    };
    match lrp["state"].as_str() {
        Some("RUNNING") => answers().is_some(),
        Some("CRASHED") => true,
        _ => false,
    }
}

fn address(lrp: &Value, port: u16) -> Option<SocketAddr> {
    let host = lrp["instance_address"].as_str()?;
    format!("{host}:{port}").parse().ok()
}

/// An app of the soak's own; with a sidecar and a volume, if so wanted.
fn app(name: &str, rootfs: &str, count: u64, is_pod: bool) -> Value {
    let run = |address: &str| json!({"run": {"path": "/fixture-app", "args": ["serve", address], "user": "1000"}});
    let mut lrp = json!({"process_guid": name, "domain": "lattice", "rootfs": rootfs,
        "instances": count, "action": run("0.0.0.0:8080"), "ports": [8080],
        "memory_mb": 64, "disk_mb": 64, "log_guid": LOGS, "metrics_guid": LOGS,
        "check_definition": {"checks": [{"tcp_check": {"port": 8080}}]},
        "stop": {"grace_ms": 1000}});
    if is_pod {
        let side = json!({"name": "side", "memory_mb": 32, "action": run("0.0.0.0:9090")});
        lrp["sidecars"] = json!([side]);
        lrp["mounts"] = json!([{"volume": "data", "path": "/data"}]);
    }
    lrp
}
