//! Runs a process in the container: its lines go to the log, its exit status decides. Cancelled,
//! it gets SIGTERM or the signal it wants, a grace, and then SIGKILL, which the log tells.

use std::sync::Arc;
use std::time::Duration;

use lattice_model::Limit;
use lattice_model::action::Run;
use lattice_model::envelope::LogStream;
use tokio::task::JoinSet;

use super::{Failure, Role, StepContext};
use crate::environment;
use crate::go_duration::go_duration;
use crate::probe::Probe;
use crate::rootfs_files::ResolvedUser;
use crate::runtime::{ExitStatus, Process, ProcessControl, ProcessSpec, Signal};

/// How long a killed process may take to be gone; deleting the container ends it in any case.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// How long to read on after the process has ended, as a child of it may hold the pipe open.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);

/// Why it is not known how a process ended.
const LOST: &str = "the process that held the instance was killed";

/// How a process came to its end.
enum End {
    Exited(ExitStatus),
    Terminated(ExitStatus),
    Killed(Option<ExitStatus>),
}

/// Performs it.
pub(super) async fn perform(run: &Run, cx: &StepContext) -> Result<(), Failure> {
    if let Some(probe) = Probe::of_run(run).filter(|_| cx.role == Role::Check) {
        return check(&probe, cx).await;
    }
    let cx = cx.as_source(&run.log_source);
    let process = match start(run, &cx).await {
        Ok(process) => process,
        Err(failure) => {
            cx.log.err(&failure.to_string());
            return Err(failure);
        }
    };
    let mut pumps = JoinSet::new();
    pumps.spawn(cx.log.clone().pump(process.stdout, LogStream::Out));
    pumps.spawn(cx.log.clone().pump(process.stderr, LogStream::Err));
    let end = follow(&process.control, &cx).await;
    let drained = async { while pumps.join_next().await.is_some() {} };
    // What comes later is from a process that outlived the one we ran.
    let _ = tokio::time::timeout(DRAIN_PATIENCE, drained).await;
    conclude(end, &cx).await
}

async fn check(probe: &Probe, cx: &StepContext) -> Result<(), Failure> {
    tokio::select! {
        outcome = probe.check(cx.place.address) => outcome.map_err(Failure::Failed),
        () = cx.cancel.cancelled() => Err(Failure::Cancelled),
    }
}

async fn start(run: &Run, cx: &StepContext) -> Result<Process, Failure> {
    let failed = |why: String| Failure::Failed(why);
    let place = &cx.place;
    let user = if run.user.is_empty() { &place.image.user } else { &run.user };
    let user = place
        .files
        .resolve_user(&place.rootfs, user)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let spec = process_spec(run, cx, user);
    if spec.argv.is_empty() {
        return Err(failed("there is nothing to run: the image names no command either".into()));
    }
    // An image may name a working directory that no layer brings; the original made it, too.
    let owner = place.on_host(&spec.user).map_err(failed)?;
    let made = place.files.make_dir(&place.rootfs, &spec.dir, &owner).await;
    made.map_err(|error| failed(error.to_string()))?;
    place.runtime.exec(&place.id, spec).await.map_err(|error| failed(error.to_string()))
}

fn process_spec(run: &Run, cx: &StepContext, user: ResolvedUser) -> ProcessSpec {
    let place = &cx.place;
    let image = &place.image;
    let argv = if run.path.is_empty() {
        image.entrypoint.iter().chain(&image.cmd).cloned().collect()
    } else {
        std::iter::once(&run.path).chain(&run.args).cloned().collect()
    };
    let layers = [&image.env[..], &place.env, &run.env, &place.network_env];
    let dir = [run.dir.as_str(), image.working_dir.as_str(), "/"]
        .into_iter()
        .find(|dir| !dir.is_empty())
        .unwrap_or("/");
    ProcessSpec {
        argv,
        env: environment::assemble(&layers, &user.name, &user.home, user.ids.uid == 0),
        dir: absolute(dir),
        user: user.ids,
        nofile: run.resource_limits.nofile,
        nproc: run.resource_limits.nproc,
        keep_as: (cx.role == Role::Work).then(|| cx.path.clone()),
    }
}

/// The directory without `.` and `..`; one that does not begin at the root begins there.
fn absolute(dir: &str) -> String {
    let mut parts = Vec::new();
    for part in dir.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

async fn follow(control: &Arc<dyn ProcessControl>, cx: &StepContext) -> End {
    tokio::select! {
        status = control.wait() => return End::Exited(status),
        () = cx.cancel.cancelled() => {}
    }
    if cx.role == Role::Work {
        send(control, Signal::Stop(cx.place.stop_signal), cx).await;
        if let Ok(status) = tokio::time::timeout(cx.cancel.grace(), control.wait()).await {
            return End::Terminated(status);
        }
    }
    send(control, Signal::Kill, cx).await;
    End::Killed(tokio::time::timeout(KILL_PATIENCE, control.wait()).await.ok())
}

async fn send(control: &Arc<dyn ProcessControl>, signal: Signal, cx: &StepContext) {
    if let Err(error) = control.signal(signal).await {
        tracing::warn!(container = %cx.place.id, ?signal, %error, "signal not delivered");
    }
}

async fn conclude(end: End, cx: &StepContext) -> Result<(), Failure> {
    if cx.role == Role::Check {
        return match end {
            End::Exited(status) if status.is_success() => Ok(()),
            End::Exited(status) => Err(Failure::Failed(exited(status))),
            End::Terminated(_) | End::Killed(_) => Err(Failure::Cancelled),
        };
    }
    match end {
        End::Exited(status) => {
            let memory = tell_memory(status, cx).await;
            cx.log.out(&exit_line(status));
            if status.is_success() {
                return Ok(());
            }
            Err(Failure::Failed(reason(status, cx.log.source(), &memory)))
        }
        End::Terminated(status) => {
            cx.log.out(&exit_line(status));
            Err(Failure::Cancelled)
        }
        End::Killed(status) => {
            let grace = go_duration(cx.cancel.grace());
            let signal = cx.place.stop_signal.name();
            cx.log.err(&format!(
                "the process did not end within {grace} after {signal} and was sent SIGKILL"
            ));
            let Some(status) = status else {
                cx.log.err("process did not exit");
                return Err(Failure::Cancelled);
            };
            let code = status.code;
            cx.log
                .err(&format!("Exit status {code} (exceeded {grace} graceful shutdown interval)"));
            Err(Failure::Cancelled)
        }
    }
}

/// Why the work ended (section 3.4); `memory` is what is known of a want of it.
fn reason(status: ExitStatus, source: &str, memory: &str) -> String {
    match (status.is_lost(), memory) {
        (true, _) => LOST.to_owned(),
        (false, "") => format!("{source}: {}", exited(status)),
        (false, amounts) => format!("{source}: {}: {amounts}", exited(status)),
    }
}

fn exited(status: ExitStatus) -> String {
    if status.is_lost() {
        return LOST.to_owned();
    }
    format!("Exited with status {}{}", status.code, out_of_memory(status))
}

fn exit_line(status: ExitStatus) -> String {
    if status.is_lost() {
        return format!("Exit status unknown: {LOST}");
    }
    format!("Exit status {}{}", status.code, out_of_memory(status))
}

fn out_of_memory(status: ExitStatus) -> &'static str {
    if status.out_of_memory && !status.is_success() { " (out of memory)" } else { "" }
}

/// Says with amounts what the kernel killed the app for, before the exit status that it explains;
/// returns the amounts, or nothing where memory was no matter.
async fn tell_memory(status: ExitStatus, cx: &StepContext) -> String {
    if !status.out_of_memory {
        return String::new();
    }
    let usage = cx.place.runtime.usage(&cx.place.id).await;
    let peak = usage.map_or_else(
        |_| "peak unknown".to_owned(),
        |usage| format!("peak {:.1} MB", usage.memory_peak_bytes as f64 / f64::from(1 << 20)),
    );
    let (limit, advice) = match cx.place.limits.memory_mb {
        Limit::AtMost(mb) => {
            (format!("memory limit {mb} MB"), "give the app more memory, or let it use less")
        }
        Limit::Unlimited => ("no memory limit".to_owned(), "the machine itself had none left"),
    };
    let amounts = format!("{limit}, {peak}");
    cx.log.err(&format!("out of memory: the kernel killed a process ({amounts}); {advice}"));
    amounts
}
