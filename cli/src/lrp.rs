//! From what a person asked of `create`, and what the image says, to the desired LRP. Pure.

use std::time::Duration;

use indexmap::IndexMap;
use lattice_model::CheckDefinition;
use lattice_model::action::{Action, EnvVar, Run};
use lattice_model::desired_lrp::StopPolicy;
use lattice_model::desired_lrp::{
    ContainerLimits, ContainerSpec, LogTarget, RestartPolicy, UpdateStrategy,
};
use lattice_model::{
    DesiredLrp, Domain, ImageRef, ModificationTag, Placement, ProcessGuid, Routes,
};
use serde::Serialize;

use crate::duration;
use crate::image::ImageMetadata;
use crate::routes::{self, RouteError};

/// The domain of everything `ltc` creates.
pub const DOMAIN: &str = "lattice";
/// The only name an app must not have: it carries the platform's own log.
pub const RESERVED_NAME: &str = lattice_model::envelope::PLATFORM_LOG_ID;

const DEFAULT_PORT: u16 = 8080;
const HEALTH_CHECK: &str = "/tmp/healthcheck";
const ROOT: &str = "root";

/// What a person asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The app's name, which is the LRP's.
    pub name: ProcessGuid,
    /// The image to run.
    pub image: ImageRef,
    /// Program and arguments; empty means the image's.
    pub command: Vec<String>,
    /// Empty means the image's.
    pub working_dir: String,
    /// Empty means the image's.
    pub user: String,
    /// Set over the image's; a name may come again, the last wins.
    pub env: Vec<(String, String)>,
    /// Ports the app listens on; empty means the image's.
    pub ports: Vec<u16>,
    /// How health is found out.
    pub monitor: MonitorRequest,
    /// How long one check may take.
    pub monitor_timeout: Duration,
    /// How the app is reached.
    pub routes: RouteRequest,
    /// How many.
    pub instances: u32,
    /// Its bounds.
    pub limits: ContainerLimits,
    /// True for a container that may do what root on the cell may.
    pub privileged: bool,
    /// What happens when an instance ends.
    pub restart: RestartPolicy,
    /// Which cells are wanted.
    pub placement: Placement,
    /// The target's domain without a port.
    pub domain: String,
}

/// How a person wants health to be found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonitorRequest {
    /// Not at all.
    None,
    /// A TCP connection to this port, or to the lowest.
    Port(Option<u16>),
    /// `PORT:/PATH` must answer 200.
    Url(String),
    /// A command in the container must succeed.
    Command(String),
}

/// How a person wants the app to be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteRequest {
    /// By its name and ports.
    Default,
    /// Not at all.
    None,
    /// By what was typed.
    Explicit {
        /// `HOST[:PORT]`.
        http: Vec<String>,
        /// `EXTERNAL[:CONTAINER]`.
        tcp: Vec<String>,
    },
}

/// Something the person did not ask for and should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Nobody named a user.
    RunsAsRoot,
    /// The image named the user.
    User(String),
    /// The image named the ports.
    Ports(Vec<u16>),
    /// Nobody named a port.
    DefaultPort(u16),
    /// The image named the command.
    Command(String),
    /// The container may break out.
    Privileged,
}

/// Why there is no LRP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LrpError {
    /// Neither the person nor the image says what to run.
    #[error("neither the image nor the command line says what to run")]
    NoCommand,
    /// The monitored port is not among the exposed ones.
    #[error("the monitored port {port} is not among the app's ports ({ports})")]
    MonitorNotExposed {
        /// Which port.
        port: u16,
        /// The app's ports.
        ports: String,
    },
    /// Not `PORT:/PATH`.
    #[error("'{0}' is not a monitor URL; write PORT:/PATH, e.g. 8080:/health")]
    MalformedUrl(String),
    /// A route is not valid.
    #[error(transparent)]
    Route(#[from] RouteError),
}

/// The desired LRP, and what the person should know of it.
pub fn build(
    request: &Request,
    image: &ImageMetadata,
) -> Result<(DesiredLrp, Vec<Note>), LrpError> {
    let mut notes = Vec::new();
    if request.privileged {
        notes.push(Note::Privileged);
    }
    let user = choose_user(request, image, &mut notes);
    let ports = choose_ports(request, image, &mut notes);
    let (path, args) = choose_command(request, image, &mut notes)?;
    let (monitor, monitored) = monitor(request, &ports, &user)?;
    let primary = monitored.unwrap_or(ports[0]);
    let routes = choose_routes(request, &ports, primary)?;
    let env = environment(request, image, primary, &routes);
    let dir = first_non_empty(&[&request.working_dir, &image.working_dir, "/"]);
    let name = request.name.to_string();
    let container = ContainerSpec {
        name: "main".to_owned(),
        rootfs: request.image.to_rootfs(),
        env,
        setup: None,
        action: Action::Run(Run { path, args, dir, user, ..Run::default() }),
        monitor,
        checks: CheckDefinition::default(),
        stop: StopPolicy::default(),
        limits: request.limits,
        ports,
        privileged: request.privileged,
        sidecars: Vec::new(),
        mounts: Vec::new(),
    };
    let lrp = DesiredLrp {
        process_guid: request.name.clone(),
        app: name.as_str().into(),
        domain: Domain::new(DOMAIN).expect("a constant that is not empty"),
        instances: request.instances,
        containers: vec![container],
        restart_policy: request.restart,
        update_strategy: UpdateStrategy::Rolling,
        start_timeout_s: 0,
        routes,
        log: LogTarget {
            log_guid: name.clone(),
            log_source: "APP".to_owned(),
            metrics_guid: name,
            bytes_per_s_max: None,
        },
        annotation: String::new(),
        placement_tags: Vec::new(),
        volume_drivers: Vec::new(),
        placement: request.placement.clone(),
        egress_rules: Vec::new(),
        modification_tag: ModificationTag::default(),
    };
    Ok((lrp, notes))
}

/// Reads an environment file: `NAME=VALUE` lines as they are, `#` comments, and `NAME` alone for
/// the value `var` has.
pub fn parse_env_file(text: &str, var: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    text.lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| parse_env(line, &var))
        .collect()
}

/// Reads `NAME=VALUE`, or `NAME` for the value `var` has (empty without one); `None` for no name.
pub fn parse_env(text: &str, var: impl Fn(&str) -> Option<String>) -> Option<(String, String)> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name.trim_end(), value.to_owned()),
        None => (text.trim_end(), var(text.trim_end()).unwrap_or_default()),
    };
    (!name.is_empty()).then(|| (name.to_owned(), value))
}

fn choose_user(request: &Request, image: &ImageMetadata, notes: &mut Vec<Note>) -> String {
    match (request.user.is_empty(), image.user.is_empty()) {
        (false, _) => {}
        (true, false) => notes.push(Note::User(image.user.clone())),
        (true, true) => notes.push(Note::RunsAsRoot),
    }
    first_non_empty(&[&request.user, &image.user, ROOT])
}

/// Ascending, without doubles, never empty.
fn choose_ports(request: &Request, image: &ImageMetadata, notes: &mut Vec<Note>) -> Vec<u16> {
    let mut ports = if !request.ports.is_empty() {
        request.ports.clone()
    } else if !image.exposed_ports.is_empty() {
        notes.push(Note::Ports(image.exposed_ports.clone()));
        image.exposed_ports.clone()
    } else {
        notes.push(Note::DefaultPort(DEFAULT_PORT));
        vec![DEFAULT_PORT]
    };
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn choose_command(
    request: &Request,
    image: &ImageMetadata,
    notes: &mut Vec<Note>,
) -> Result<(String, Vec<String>), LrpError> {
    let mut command = request.command.clone();
    if command.is_empty() {
        command = [image.entrypoint.as_slice(), image.cmd.as_slice()].concat();
        notes.push(Note::Command(command.join(" ")));
    }
    if command.is_empty() {
        return Err(LrpError::NoCommand);
    }
    let path = command.remove(0);
    Ok((path, command))
}

/// The monitor, and the port it looks at.
fn monitor(
    request: &Request,
    ports: &[u16],
    user: &str,
) -> Result<(Option<Action>, Option<u16>), LrpError> {
    let run = |path: &str, args: Vec<String>| {
        Some(Action::Run(Run {
            path: path.to_owned(),
            args,
            user: user.to_owned(),
            log_source: "HEALTH".to_owned(),
            ..Run::default()
        }))
    };
    let check = |port: u16| {
        let timeout = duration::format(request.monitor_timeout);
        ["-timeout", &timeout, "-port", &port.to_string()].map(String::from).to_vec()
    };
    match &request.monitor {
        MonitorRequest::None => Ok((None, None)),
        MonitorRequest::Command(command) => {
            Ok((run("/bin/sh", vec!["-c".to_owned(), command.clone()]), None))
        }
        MonitorRequest::Port(port) => {
            let port = exposed(port.unwrap_or(ports[0]), ports)?;
            Ok((run(HEALTH_CHECK, check(port)), Some(port)))
        }
        MonitorRequest::Url(url) => {
            let (port, path) = parse_monitor_url(url)?;
            let port = exposed(port, ports)?;
            let args = [check(port), vec!["-uri".to_owned(), path]].concat();
            Ok((run(HEALTH_CHECK, args), Some(port)))
        }
    }
}

fn parse_monitor_url(url: &str) -> Result<(u16, String), LrpError> {
    let parts = url.split_once(':').and_then(|(port, path)| Some((port.parse().ok()?, path)));
    match parts {
        Some((port, path)) if port > 0 && path.starts_with('/') => Ok((port, path.to_owned())),
        Some((port, path)) if port > 0 && !path.is_empty() => Ok((port, format!("/{path}"))),
        _ => Err(LrpError::MalformedUrl(url.to_owned())),
    }
}

fn exposed(port: u16, ports: &[u16]) -> Result<u16, LrpError> {
    if ports.contains(&port) {
        return Ok(port);
    }
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    Err(LrpError::MonitorNotExposed { port, ports })
}

fn choose_routes(request: &Request, ports: &[u16], primary: u16) -> Result<Routes, LrpError> {
    let mut all = Routes::default();
    match &request.routes {
        RouteRequest::None => routes::set_http(&mut all, &[]),
        RouteRequest::Default => {
            let name = request.name.as_str();
            let http = routes::default_routes(name, ports, primary, &request.domain);
            routes::set_http(&mut all, &http);
        }
        RouteRequest::Explicit { http, tcp } => {
            routes::set_http(&mut all, &routes::http_routes(http, ports, &request.domain)?);
            let tcp: Result<Vec<_>, _> =
                tcp.iter().map(|typed| routes::parse_tcp(typed, ports)).collect();
            let tcp = tcp?;
            if !tcp.is_empty() {
                routes::set_tcp(&mut all, &tcp);
            }
        }
    }
    Ok(all)
}

/// The image's, then the person's, then what every app may rely on (ltc A.4).
fn environment(
    request: &Request,
    image: &ImageMetadata,
    primary: u16,
    routes: &Routes,
) -> Vec<EnvVar> {
    let of_image = image.env.iter().filter_map(|line| parse_env(line, |_| None));
    let mut env: IndexMap<String, String> = of_image.chain(request.env.iter().cloned()).collect();
    let mut default = |name: &str, value: String| {
        env.entry(name.to_owned()).or_insert(value);
    };
    default("PROCESS_GUID", request.name.to_string());
    default("VCAP_APPLICATION", vcap_application(request, routes));
    default("PORT", primary.to_string());
    default("VCAP_SERVICES", "{}".to_owned());
    env.into_iter().map(|(name, value)| EnvVar { name, value }).collect()
}

#[derive(Serialize)]
struct VcapApplication<'a> {
    application_name: &'a str,
    application_uris: &'a [String],
    name: &'a str,
    uris: &'a [String],
    limits: VcapLimits,
}

#[derive(Serialize)]
struct VcapLimits {
    #[serde(skip_serializing_if = "is_zero")]
    disk: u64,
    #[serde(skip_serializing_if = "is_zero")]
    mem: u64,
}

fn vcap_application(request: &Request, routes: &Routes) -> String {
    let uris: Vec<String> = routes.http().into_iter().flat_map(|r| r.hostnames).collect();
    let name = request.name.as_str();
    let (disk, mem) = (request.limits.disk_mb.to_wire(), request.limits.memory_mb.to_wire());
    let limits = VcapLimits { disk, mem };
    let application = VcapApplication {
        application_name: name,
        application_uris: &uris,
        name,
        uris: &uris,
        limits,
    };
    serde_json::to_string(&application).expect("strings and numbers are JSON")
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn first_non_empty(candidates: &[&str]) -> String {
    candidates.iter().find(|c| !c.is_empty()).map(|c| (*c).to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
