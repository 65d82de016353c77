//! `ltc status`: one app and its instances.

use std::collections::BTreeMap;
use std::time::Duration;

use lattice_api::cell::usage::{InstanceUsage, Measurement};
use lattice_model::desired_lrp::RestartPolicy;
use lattice_model::{
    Action, ActualLrp, ActualState, DesiredLrp, ImageRef, InstanceGuid, ProcessGuid, Time,
};
use serde::Serialize;

use super::amount::{age, bytes, limit, limit_mb};
use super::list::{RouteView, instances_tone, route_views};
use super::palette::Palette;
use super::steps::placement;
use super::table::{self, Tone, Toned, pairs, plain, visible};
use crate::duration;
use crate::target::Target;

/// One app; the JSON of `ltc status`.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The app's name.
    pub process_guid: String,
    /// How many are wanted; 0 when the app is removed and instances are left.
    pub instances_desired: u32,
    /// How many run.
    pub instances_running: usize,
    /// What is wanted; absent when the app is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<DesiredView>,
    /// By index.
    pub instances: Vec<InstanceView>,
}

/// What is wanted of an app.
#[derive(Debug, Serialize)]
pub struct DesiredView {
    /// Its domain.
    pub domain: String,
    /// The image, or another root filesystem.
    pub image: String,
    /// What happens when an instance ends.
    pub restart: String,
    /// Seconds until it must be healthy; 0 for ever.
    pub start_timeout_s: u64,
    /// In MiB; 0 for no limit.
    pub disk_mb: u64,
    /// In MiB; 0 for no limit.
    pub memory_mb: u64,
    /// Share of CPU.
    pub cpu_weight: u32,
    /// In percent of one core; 0 for no limit.
    pub cpu_limit_percent: u64,
    /// Processes and threads; 0 for no limit.
    pub max_pids: u64,
    /// Ports it listens on.
    pub ports: Vec<u16>,
    /// How it is reached.
    pub routes: Vec<RouteView>,
    /// How health is found out.
    pub monitor: String,
    /// The owner's words.
    pub annotation: String,
    /// Names and values, in order.
    pub env: Vec<(String, String)>,
}

/// One instance.
#[derive(Debug, Serialize)]
pub struct InstanceView {
    /// From 0.
    pub index: u32,
    /// The state's name on the Receptor API.
    pub state: &'static str,
    /// Crashes in a row.
    pub crash_count: u32,
    /// Why it last crashed.
    pub crash_reason: String,
    /// Why it could not be placed, with amounts.
    pub placement_error: String,
    /// The incarnation; empty when there is none.
    pub instance_guid: String,
    /// The cell; empty when there is none.
    pub cell_id: String,
    /// The cell's address.
    pub address: String,
    /// `HOST:CONTAINER` ports.
    pub ports: Vec<String>,
    /// Nanoseconds since the Unix epoch: since when it is in this state.
    pub since_ns: i64,
    /// Seconds in this state; absent when it does not run or start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_s: Option<u64>,
    /// What it uses; absent when it has no container, or its cell does not say.
    #[serde(flatten)]
    pub usage: Option<Measurement>,
}

impl Status {
    /// From what the receptor and the cells tell; `None` for an app nobody knows.
    pub fn new(
        guid: &ProcessGuid,
        desired: Option<&DesiredLrp>,
        (actual, usage): (&[ActualLrp], &[InstanceUsage]),
        target: &Target,
        now: Time,
    ) -> Option<Self> {
        if desired.is_none() && actual.is_empty() {
            return None;
        }
        let usage: BTreeMap<(u32, &InstanceGuid), Measurement> =
            usage.iter().map(|one| ((one.index, &one.instance_guid), one.measured)).collect();
        let is_running = |lrp: &&ActualLrp| matches!(lrp.state, ActualState::Running { .. });
        let usage_of =
            |lrp: &ActualLrp| usage.get(&(lrp.key.index, &lrp.instance()?.instance_guid)).copied();
        let instance = |lrp: &ActualLrp| instance_view(lrp, usage_of(lrp), now);
        let mut instances: Vec<InstanceView> = actual.iter().map(instance).collect();
        instances.sort_by_key(|i| i.index);
        Some(Self {
            process_guid: guid.to_string(),
            instances_desired: desired.map_or(0, |d| d.instances),
            instances_running: actual.iter().filter(is_running).count(),
            desired: desired.map(|d| desired_view(d, target)),
            instances,
        })
    }
}

/// For people.
pub fn render(status: &Status, is_detailed: bool, palette: Palette) -> String {
    let running = format!("{}/{}", status.instances_running, status.instances_desired);
    let running = match instances_tone(status.instances_running, status.instances_desired) {
        Tone::Good => palette.green(&running),
        Tone::Bad => palette.red(&running),
        Tone::Waiting | Tone::Plain => palette.yellow(&running),
    };
    let mut text = format!("{}\n", palette.bold(&status.process_guid));
    let mut rows = vec![("Instances", running)];
    match &status.desired {
        Some(desired) => rows.extend(desired_rows(desired)),
        None => rows.push(("Note", "the app is removed; these instances are stopping".to_owned())),
    }
    text += &pairs(&rows);
    if let Some(desired) = &status.desired {
        text += &format!("\n{}\n", palette.bold("Environment"));
        text += &desired.env.iter().map(|(n, v)| format!("{n}={v:?}\n")).collect::<String>();
    }
    text += "\n";
    match is_detailed {
        true => status.instances.iter().for_each(|i| text += &detail(i, palette)),
        false => text += &brief(&status.instances, palette),
    }
    text
}

fn desired_rows(desired: &DesiredView) -> Vec<(&'static str, String)> {
    let routes: Vec<String> =
        desired.routes.iter().map(|r| format!("{} => {}", r.address(), r.port())).collect();
    let ports: Vec<String> = desired.ports.iter().map(u16::to_string).collect();
    let start_timeout = match desired.start_timeout_s {
        0 => "none".to_owned(),
        seconds => format!("{seconds}s"),
    };
    let mut rows = vec![
        ("Image", desired.image.clone()),
        ("Memory", limit_mb(desired.memory_mb)),
        ("Disk", limit_mb(desired.disk_mb)),
        ("CPU weight", desired.cpu_weight.to_string()),
        ("CPU limit", limit(desired.cpu_limit_percent, "% of a core")),
        ("Processes", limit(desired.max_pids, "")),
        ("Ports", ports.join(", ")),
        ("Routes", routes.join("\n")),
        ("Monitor", desired.monitor.clone()),
        ("Start timeout", start_timeout),
        ("Restart", desired.restart.clone()),
    ];
    if !desired.annotation.is_empty() {
        rows.push(("Annotation", desired.annotation.clone()));
    }
    rows
}

fn brief(instances: &[InstanceView], palette: Palette) -> String {
    let row = |i: &InstanceView| -> Vec<Toned> {
        vec![
            plain(i.index.to_string()),
            (i.state.to_owned(), tone(i)),
            plain(i.crash_count.to_string()),
            plain(i.usage.map(|u| format!("{:.2}%", u.cpu_percentage)).unwrap_or_default()),
            plain(i.usage.map(|u| bytes(u.memory_bytes)).unwrap_or_default()),
            plain(i.uptime_s.map(seconds).unwrap_or_default()),
            plain(&i.cell_id),
            plain(why(i)),
        ]
    };
    if instances.is_empty() {
        return "no instances\n".to_owned();
    }
    let names = ["Instance", "State", "Crashes", "CPU", "Memory", "Uptime", "Cell", "Note"];
    table::render(&names, instances.iter().map(row).collect(), palette)
}

fn detail(i: &InstanceView, palette: Palette) -> String {
    let state = match tone(i) {
        Tone::Good => palette.green(i.state),
        Tone::Bad => palette.red(i.state),
        Tone::Waiting | Tone::Plain => palette.yellow(i.state),
    };
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let used =
        |tell: fn(&Measurement) -> String| or_dash(i.usage.as_ref().map(tell).unwrap_or_default());
    let rows = [
        ("  Guid", or_dash(i.instance_guid.clone())),
        ("  Cell", or_dash(i.cell_id.clone())),
        ("  Address", or_dash(i.address.clone())),
        ("  Ports", or_dash(i.ports.join("; "))),
        ("  Uptime", or_dash(i.uptime_s.map(seconds).unwrap_or_default())),
        ("  Crashes", i.crash_count.to_string()),
        ("  CPU", used(cpu)),
        ("  Memory", used(|u| of_quota(u.memory_bytes, u.memory_bytes_quota))),
        ("  Disk", used(|u| of_quota(u.disk_bytes, u.disk_bytes_quota))),
        ("  Network", used(network)),
        ("  Age", used(|u| seconds(Duration::from_nanos(u.age_ns).as_secs()))),
        ("  Note", or_dash(visible(&why(i)))),
    ];
    format!("Instance {} [{state}]\n{}\n", i.index, pairs(&rows))
}

fn cpu(used: &Measurement) -> String {
    let (percentage, own) = (used.cpu_percentage, used.cpu_entitlement_percentage);
    format!("{percentage:.2}% (entitled to {own:.0}%)")
}

fn of_quota(used: u64, quota: u64) -> String {
    match quota {
        0 => bytes(used),
        _ => format!("{} of {}", bytes(used), bytes(quota)),
    }
}

fn network(used: &Measurement) -> String {
    format!("{} in, {} out", bytes(used.received_bytes), bytes(used.sent_bytes))
}

fn why(i: &InstanceView) -> String {
    match (i.placement_error.as_str(), i.crash_reason.as_str()) {
        ("", "") => String::new(),
        ("", crash) if i.state == "RUNNING" => format!("last crash: {crash}"),
        ("", crash) => crash.to_owned(),
        (placement, _) => placement.to_owned(),
    }
}

fn tone(i: &InstanceView) -> Tone {
    match i.state {
        "RUNNING" => Tone::Good,
        "CRASHED" => Tone::Bad,
        "UNCLAIMED" if !i.placement_error.is_empty() => Tone::Bad,
        _ => Tone::Waiting,
    }
}

fn seconds(s: u64) -> String {
    duration::format(Duration::from_secs(s))
}

fn desired_view(lrp: &DesiredLrp, target: &Target) -> DesiredView {
    let main = lrp.containers.first();
    let limits = main.map(|c| c.limits).unwrap_or_default();
    let env = main.into_iter().flat_map(|c| &c.env).map(|v| (v.name.clone(), v.value.clone()));
    DesiredView {
        domain: lrp.domain.to_string(),
        image: main.map(|c| image_name(&c.rootfs)).unwrap_or_default(),
        restart: restart(lrp.restart_policy),
        start_timeout_s: lrp.start_timeout_s,
        disk_mb: lrp.resources().disk_mb,
        memory_mb: lrp.resources().memory_mb,
        cpu_weight: limits.cpu_weight,
        cpu_limit_percent: limits.cpu_limit_percent.to_wire(),
        max_pids: limits.pids.to_wire(),
        ports: main.map(|c| c.ports.clone()).unwrap_or_default(),
        routes: route_views(lrp, target),
        monitor: monitor(main.and_then(|c| c.monitor.as_ref())),
        annotation: lrp.annotation.clone(),
        env: env.collect(),
    }
}

fn restart(policy: RestartPolicy) -> String {
    match policy {
        RestartPolicy::Always => "always".to_owned(),
        RestartPolicy::OnFailure { attempts_max: 1 } => "on failure, once".to_owned(),
        RestartPolicy::OnFailure { attempts_max } => {
            format!("on failure, at most {attempts_max} times")
        }
        RestartPolicy::Never => "never".to_owned(),
    }
}

fn instance_view(lrp: &ActualLrp, usage: Option<Measurement>, now: Time) -> InstanceView {
    let (placement_error, is_up) = match &lrp.state {
        ActualState::Unclaimed { placement_error } => {
            (placement_error.as_ref().map(placement), false)
        }
        ActualState::Claimed { .. } | ActualState::Running { .. } => (None, true),
        ActualState::Crashed { .. } | ActualState::Exited { .. } => (None, false),
    };
    let crash_reason = match &lrp.state {
        ActualState::Crashed { reason } | ActualState::Exited { reason } if !reason.is_empty() => {
            reason
        }
        _ => &lrp.crash_reason,
    };
    let net = lrp.net().cloned().unwrap_or_default();
    let ports = net.ports.iter().map(|p| format!("{}:{}", p.host_port, p.container_port));
    InstanceView {
        index: lrp.key.index,
        state: lrp.state.name(),
        crash_count: lrp.crash_count,
        crash_reason: crash_reason.clone(),
        placement_error: placement_error.unwrap_or_default(),
        instance_guid: lrp.instance().map(|i| i.instance_guid.to_string()).unwrap_or_default(),
        cell_id: lrp.instance().map(|i| i.cell_id.to_string()).unwrap_or_default(),
        ports: ports.collect(),
        address: net.address,
        since_ns: lrp.since.0,
        uptime_s: is_up.then(|| age(lrp.since, now).as_secs()),
        usage,
    }
}

fn image_name(rootfs: &str) -> String {
    ImageRef::from_rootfs(rootfs).map_or_else(|_| rootfs.to_owned(), |image| image.to_string())
}

/// What a monitor looks at, read back from its arguments.
fn monitor(action: Option<&Action>) -> String {
    let Some(action) = action else { return "none".to_owned() };
    let Action::Run(run) = action else { return "a tree of actions".to_owned() };
    let value_of = |flag: &str| {
        let at = run.args.iter().position(|arg| arg == flag)?;
        run.args.get(at + 1)
    };
    match (value_of("-port"), value_of("-uri")) {
        (Some(port), Some(uri)) => format!("URL {port}:{uri}"),
        (Some(port), None) => format!("port {port}"),
        (None, _) => format!("command {} {}", run.path, run.args.join(" ")).trim_end().to_owned(),
    }
}
