//! From flags to a request: what is typed is checked here, before anything is sent.

use std::fs;

use lattice_model::desired_lrp::{ContainerLimits, RestartPolicy};
use lattice_model::{ImageRef, Limit, Placement, ProcessGuid};

use super::{Args, MonitorFlags, PlacementFlags, RouteFlags};
use crate::context::Local;
use crate::exit::{Exit, Failure};
use crate::lrp::{MonitorRequest, Request, RouteRequest, parse_env, parse_env_file};

/// Diego gives up after so many crashes; so does `on-failure` without a number.
const ATTEMPTS_MAX: u32 = 200;

/// All that was asked for; `to` is the image to run and the domain of routes.
pub fn build(
    args: &Args,
    name: ProcessGuid,
    env: Vec<(String, String)>,
    to: (ImageRef, &str),
) -> Result<Request, Failure> {
    let user = match (&args.user, args.run_as_root) {
        (Some(user), _) => user.clone(),
        (None, true) => "root".to_owned(),
        (None, false) => String::new(),
    };
    Ok(Request {
        name,
        image: to.0,
        command: args.command.clone(),
        working_dir: args.working_dir.clone().unwrap_or_default(),
        user,
        env,
        ports: args.ports.clone(),
        monitor: monitor(&args.monitor),
        monitor_timeout: args.monitor.timeout,
        routes: routes(&args.routes),
        instances: args.instances,
        limits: ContainerLimits {
            memory_mb: Limit::from_wire(args.memory_mb),
            disk_mb: Limit::from_wire(args.disk_mb),
            cpu_weight: args.cpu_weight,
            cpu_limit_percent: Limit::from_wire(args.cpu_limit),
            pids: Limit::from_wire(args.max_pids),
        },
        privileged: args.privileged,
        restart: args.restart,
        placement: placement(&args.placement)?,
        domain: to.1.to_owned(),
    })
}

/// The files' variables, then the flags'.
pub fn environment(args: &Args, local: &Local) -> Result<Vec<(String, String)>, Failure> {
    let mut all = Vec::new();
    for path in &args.env_file {
        let text = fs::read_to_string(path).map_err(|e| {
            let message = format!("cannot read the environment file {}: {e}", path.display());
            Failure::new(Exit::FileSystem, message)
        })?;
        all.extend(parse_env_file(&text, |name| (local.vars)(name)));
    }
    for typed in &args.env {
        let pair = parse_env(typed, |name| (local.vars)(name));
        all.push(pair.ok_or_else(|| {
            Failure::usage(format!("'{typed}' names no environment variable")).next("-e NAME=VALUE")
        })?);
    }
    Ok(all)
}

/// Reads `always`, `on-failure[:N]` or `never`.
pub fn parse_restart(text: &str) -> Result<RestartPolicy, String> {
    let attempts = |n: &str| n.parse().ok().filter(|n| *n > 0);
    match text.split_once(':') {
        None if text == "always" => Ok(RestartPolicy::Always),
        None if text == "never" => Ok(RestartPolicy::Never),
        None if text == "on-failure" => Ok(RestartPolicy::OnFailure { attempts_max: ATTEMPTS_MAX }),
        Some(("on-failure", n)) if attempts(n).is_some() => {
            Ok(RestartPolicy::OnFailure { attempts_max: attempts(n).unwrap_or(ATTEMPTS_MAX) })
        }
        _ => Err("write always, never, on-failure or on-failure:N".to_owned()),
    }
}

/// What could not be used is said before anything is sent.
fn placement(flags: &PlacementFlags) -> Result<Placement, Failure> {
    let placement = Placement {
        strategy: flags.strategy,
        constraints: flags.constraint.clone(),
        affinities: flags.affinity.clone(),
    };
    match placement.check() {
        Ok(()) => Ok(placement),
        Err(fault) => Err(Failure::usage(fault.to_string()).next("ltc help create")),
    }
}

fn monitor(flags: &MonitorFlags) -> MonitorRequest {
    match (flags.no_monitor, &flags.command, &flags.url) {
        (true, ..) => MonitorRequest::None,
        (false, Some(command), _) => MonitorRequest::Command(command.clone()),
        (false, None, Some(url)) => MonitorRequest::Url(url.clone()),
        (false, None, None) => MonitorRequest::Port(flags.port.filter(|port| *port > 0)),
    }
}

fn routes(flags: &RouteFlags) -> RouteRequest {
    match (flags.no_routes, flags.http_route.is_empty() && flags.tcp_route.is_empty()) {
        (true, _) => RouteRequest::None,
        (false, true) => RouteRequest::Default,
        (false, false) => {
            RouteRequest::Explicit { http: flags.http_route.clone(), tcp: flags.tcp_route.clone() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies_are_read() {
        for (text, policy) in [
            ("always", RestartPolicy::Always),
            ("never", RestartPolicy::Never),
            ("on-failure", RestartPolicy::OnFailure { attempts_max: 200 }),
            ("on-failure:3", RestartPolicy::OnFailure { attempts_max: 3 }),
        ] {
            assert_eq!(parse_restart(text), Ok(policy), "{text}");
        }
        for bad in ["", "sometimes", "on-failure:", "on-failure:0", "on-failure:x", "never:1"] {
            assert!(parse_restart(bad).is_err(), "{bad}");
        }
    }
}
