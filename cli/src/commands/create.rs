//! `ltc create`: from an image, a directory or a tarball to a running app.

pub mod request;
pub mod source;

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use lattice_api::brain::BrainError;
use lattice_model::desired_lrp::{CPU_LIMIT_PERCENT_MAX, PIDS_DEFAULT, RestartPolicy};
use lattice_model::placement::{Affinity, Rule};
use lattice_model::{DesiredLrp, Domain, ErrorName, ImageRef, ProcessGuid, Strategy};
use serde::Serialize;

use crate::context::{Cx, app_name};
use crate::duration;
use crate::exit::{Exit, Failure, Outcome};
use crate::lrp::{self, LrpError, Note, RESERVED_NAME};
use crate::reach;
use crate::rollout::{Settled, Stuck};
use crate::view::list::route_views;
use crate::view::steps::{self, is_success, placement, reason_or_unknown};
use crate::watch::{Ended, Watch};

const EXAMPLES: &str = "\
Examples:
  ltc create web registry.example.com/shop/web:1.4
  ltc create web ./image.tar -i 3 -m 256
  ltc create web nginx -p 80 -R shop -e TZ=UTC
  ltc create worker shop/worker --no-monitor --no-routes -- /worker --queue mail";

/// Arguments of `ltc create`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The app's name
    pub name: String,
    /// An image (HOST/REPO:TAG), or the path of an OCI layout, a `docker save` tarball or a root
    /// filesystem, which is pushed first
    #[arg(value_name = "IMAGE|PATH")]
    pub image: String,
    /// What to run instead of the image's command
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Where it runs in the container
    #[arg(long, short = 'w', value_name = "DIR")]
    pub working_dir: Option<String>,
    /// An environment variable, NAME=VALUE, or NAME for its value here; may be repeated
    #[arg(long, short = 'e', value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// A file of NAME=VALUE lines; --env wins over it; may be repeated
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Share of CPU, 1 to 100
    #[arg(long, short = 'c', default_value_t = 100, value_name = "WEIGHT",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub cpu_weight: u32,
    /// CPU limit in percent of one core (150 is one and a half), 0 for none
    #[arg(long, default_value_t = 0, value_name = "PERCENT",
          value_parser = clap::value_parser!(u64).range(..=CPU_LIMIT_PERCENT_MAX))]
    pub cpu_limit: u64,
    /// Memory limit in MB, 0 for none
    #[arg(long, short = 'm', default_value_t = 128, value_name = "MB")]
    pub memory_mb: u64,
    /// Disk limit in MB, 0 for none
    #[arg(long, short = 'd', default_value_t = 0, value_name = "MB")]
    pub disk_mb: u64,
    /// How many processes and threads it may have, 0 for any number
    #[arg(long, default_value_t = PIDS_DEFAULT.to_wire(), value_name = "N")]
    pub max_pids: u64,
    /// The user to run as, instead of the image's
    #[arg(long, short = 'u', value_name = "USER")]
    pub user: Option<String>,
    /// Deprecated: --user root
    #[arg(long, short = 'r', hide = true)]
    pub run_as_root: bool,
    /// Give the app root's powers over its machine
    #[arg(long)]
    pub privileged: bool,
    /// Ports the app listens on, instead of those the image exposes
    #[arg(long, short = 'p', value_delimiter = ',', value_name = "PORT,...",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub ports: Vec<u16>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the command's help")]
    pub monitor: MonitorFlags,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the command's help")]
    pub routes: RouteFlags,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would become the command's help")]
    pub placement: PlacementFlags,
    /// How many instances
    #[arg(long, short = 'i', default_value_t = 1, value_name = "N")]
    pub instances: u32,
    /// What happens when an instance ends: always, on-failure[:N] or never
    #[arg(long, default_value = "always", value_name = "POLICY",
          value_parser = request::parse_restart)]
    pub restart: RestartPolicy,
    /// Read this registry over plain HTTP; cells must be allowed to as well; may be repeated
    #[arg(long, value_name = "HOST")]
    pub insecure_registry: Vec<String>,
    /// How long to wait until all instances run
    #[arg(long, short = 't', default_value = "2m0s", value_parser = duration::parse,
          value_name = "DURATION")]
    pub timeout: Duration,
}

/// How health is found out.
#[derive(Debug, clap::Args)]
pub struct MonitorFlags {
    /// The port whose answering says that the app is healthy; the lowest without
    #[arg(id = "monitor_port", long = "monitor-port", short = 'M', value_name = "PORT",
          value_parser = clap::value_parser!(u16).range(0..))]
    pub port: Option<u16>,
    /// PORT:/PATH that must answer 200
    #[arg(id = "monitor_url", long = "monitor-url", short = 'U', value_name = "PORT:/PATH")]
    pub url: Option<String>,
    /// A command in the container that must succeed
    #[arg(id = "monitor_command", long = "monitor-command", value_name = "COMMAND")]
    pub command: Option<String>,
    /// How long one check may take
    #[arg(id = "monitor_timeout", long = "monitor-timeout", default_value = "1s",
          value_parser = duration::parse, value_name = "DURATION")]
    pub timeout: Duration,
    /// Count the app as healthy once it runs
    #[arg(long)]
    pub no_monitor: bool,
}

/// How the app is reached.
#[derive(Debug, clap::Args)]
pub struct RouteFlags {
    /// A hostname that leads to a port of the app; may be repeated
    #[arg(long, short = 'R', value_name = "HOST[:PORT]")]
    pub http_route: Vec<String>,
    /// A port of the router that leads to a port of the app, for TLS clients that ask for NAME only
    /// if one is given; may be repeated
    #[arg(long, short = 'T', value_name = "[NAME:]EXTERNAL[:PORT]")]
    pub tcp_route: Vec<String>,
    /// No routes
    #[arg(long, conflicts_with_all = ["http_route", "tcp_route"])]
    pub no_routes: bool,
    /// Deprecated: repeat --http-route
    #[arg(long, hide = true)]
    pub http_routes: Option<String>,
    /// Deprecated: repeat --tcp-route
    #[arg(long, hide = true)]
    pub tcp_routes: Option<String>,
}

/// Which cells are wanted.
#[derive(Debug, clap::Args)]
pub struct PlacementFlags {
    /// How cells are chosen: spread, binpack or random, instead of the cluster's way
    #[arg(long, value_name = "STRATEGY", value_parser = Strategy::from_str)]
    pub strategy: Option<Strategy>,
    /// What must hold of a cell: LABEL==VALUE, LABEL!=VALUE, 'LABEL glob PATTERN', 'LABEL regex
    /// PATTERN', 'with APP' or 'apart APP'; may be repeated
    #[arg(long, value_name = "RULE", value_parser = Rule::from_str)]
    pub constraint: Vec<Rule>,
    /// What should hold of a cell, with a weight of 1 to 100 before it, 50 without; may be repeated
    #[arg(long, value_name = "[WEIGHT:]RULE", value_parser = Affinity::from_str)]
    pub affinity: Vec<Affinity>,
}

/// The JSON of `ltc create`.
#[derive(Serialize)]
struct Created<'a> {
    process_guid: &'a str,
    /// `running`, `ended` or `timed_out`.
    state: &'static str,
    addresses: Vec<String>,
}

/// Creates the app and waits until it runs.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let name = app_name(&args.name)?;
    refuse_deprecated(&args.routes)?;
    if name.as_str() == RESERVED_NAME {
        let message = format!("the name {RESERVED_NAME} is kept for the platform's own log");
        return Err(Failure::command(message).next("ltc create ANOTHER-NAME ..."));
    }
    let env = request::environment(&args, &cx.local)?;
    refuse_existing(&name, cx).await?;
    let (image, metadata) = source::resolve(&args, &name, cx).await?;
    let request = request::build(&args, name.clone(), env, (image.clone(), cx.target.host()))?;
    let (lrp, notes) = lrp::build(&request, &metadata).map_err(lrp_failure)?;
    tell(&notes, cx);
    desire(&lrp, &image, cx, args.timeout).await
}

async fn desire(lrp: &DesiredLrp, image: &ImageRef, cx: &Cx, timeout: Duration) -> Outcome {
    let name = &lrp.process_guid;
    let failure = |e| Failure::brain(&format!("create {name}"), e);
    let domain = Domain::new(lrp::DOMAIN).expect("a constant that is not empty");
    cx.receptor.upsert_domain(domain, None).await.map_err(failure)?;
    hand_over_credentials(image, cx).await?;
    let log = match cx.logs.stream(name.as_str()).await {
        Ok(stream) => Some(stream),
        Err(e) => {
            cx.out().warn(&format!("going on without the app's log: {e}"));
            None
        }
    };
    match cx.receptor.desire_lrp(lrp.clone()).await {
        Err(BrainError::Refused(r)) if r.name == ErrorName::DesiredLRPAlreadyExists => {
            return Err(exists(name));
        }
        answer => answer.map_err(failure)?,
    }
    cx.out().say(&format!("creating {name}"));
    let (is_followed, settled) = (log.is_some(), Settled::of(lrp));
    let watch = Watch { guid: name, wanted: lrp.instances, before: &[], timeout, settled, log };
    let ended = watch.run(cx).await?;
    if matches!(ended, Ended::CrashLoop { .. }) && !is_followed {
        last_lines(name.as_str(), cx).await;
    }
    conclude(lrp, ended, cx).await
}

async fn conclude(lrp: &DesiredLrp, ended: Ended, cx: &Cx) -> Outcome {
    let name = lrp.process_guid.as_str();
    match ended {
        Ended::Up => {
            let routes = route_views(lrp, &cx.target);
            if lrp.instances > 0 {
                reach::wait(&routes, cx).await;
                cx.out().say(&format!("{name} is now running"));
            }
            show(lrp, "running", cx)
        }
        Ended::Finished { reason } if reason.is_empty() || is_success(&reason) => {
            cx.out().say(&format!("{name} has ended"));
            show(lrp, "ended", cx)
        }
        Ended::Finished { reason } => Err(Failure::command(format!("{name} ended: {reason}"))
            .next(format!("ltc logs {name} --recent"))
            .next(format!("ltc remove {name}"))),
        Ended::TimedOut { stuck } => {
            cx.out().warn(&timed_out(name, stuck));
            show(lrp, "timed_out", cx)
        }
        Ended::NoPlace(error) => Err(no_place(name, &placement(&error))),
        Ended::CrashLoop { index, count, reason } => Err(crash_loop(name, index, count, &reason)),
    }
}

/// The app's addresses and what to type next.
fn show(lrp: &DesiredLrp, state: &'static str, cx: &Cx) -> Outcome {
    let name = lrp.process_guid.as_str();
    let routes = route_views(lrp, &cx.target);
    let addresses: Vec<String> = routes.iter().map(|r| r.address().to_owned()).collect();
    if cx.out().is_json() {
        return cx.out().json(&Created { process_guid: name, state, addresses });
    }
    let palette = cx.out().palette();
    let text: String = addresses.iter().map(|a| format!("{}\n", palette.green(a))).collect();
    if !text.is_empty() && state != "ended" {
        cx.out().data(&text)?;
    }
    let (first, second) = match state {
        "ended" => (format!("ltc logs {name} --recent"), format!("ltc remove {name}")),
        "timed_out" => (format!("ltc logs {name}"), format!("ltc status {name}")),
        _ => (format!("ltc logs {name}"), format!("ltc scale {name} {}", lrp.instances + 2)),
    };
    cx.out().say(&format!("next: {first}\n      {second}"));
    Ok(())
}

/// Why an app does not run within the time allowed, as far as can be told.
fn timed_out(name: &str, stuck: Stuck) -> String {
    match stuck {
        Stuck::Preparing => format!(
            "{name} does not run yet; it goes on starting in the background, which takes long \
             where a large image is pulled"
        ),
        Stuck::Unhealthy => format!(
            "{name} has started, but is not healthy yet; its log says what was checked and what \
             it listens on: ltc logs {name} --recent"
        ),
    }
}

/// The last lines of the app's log, for a person who wonders why it ended.
pub async fn last_lines(name: &str, cx: &Cx) {
    const LINES: usize = 10;
    let recent = cx.logs.recent(name).await.unwrap_or_default();
    let (zone, palette) = (&cx.local.zone, cx.out().talk_palette());
    let lines: Vec<String> =
        recent.iter().filter_map(|e| crate::view::log_line::render(e, zone, palette)).collect();
    if lines.is_empty() {
        return;
    }
    cx.out().say("the last lines of its log:");
    lines.iter().skip(lines.len().saturating_sub(LINES)).for_each(|line| {
        cx.out().say(&format!("  {line}"));
    });
}

/// No cell takes it.
pub fn no_place(name: &str, why: &str) -> Failure {
    Failure::new(Exit::Placement, format!("no cell can take all instances of {name}: {why}"))
        .next("ltc cells")
        .next(format!("ltc remove {name}, then create it with less --memory-mb or --disk-mb"))
}

/// It crashes again and again.
pub fn crash_loop(name: &str, index: u32, count: u32, reason: &str) -> Failure {
    let reason = reason_or_unknown(reason);
    Failure::command(format!(
        "{name} crashes again and again: instance {index} crashed {count} times in a row, \
         the last time because: {reason}"
    ))
    .next(format!("ltc logs {name} --recent"))
    .next(format!("ltc status {name}"))
    .next(format!("ltc remove {name}"))
}

/// Flags of old that took comma lists.
pub fn refuse_deprecated(flags: &RouteFlags) -> Outcome {
    let old = match (&flags.http_routes, &flags.tcp_routes) {
        (None, None) => return Ok(()),
        (Some(_), _) => "http-route",
        (None, Some(_)) => "tcp-route",
    };
    Err(Failure::usage(format!("--{old}s is gone; repeat --{old} instead of writing commas"))
        .next(format!("--{old} ONE --{old} TWO")))
}

/// What an LRP that cannot be built means.
pub fn lrp_failure(error: LrpError) -> Failure {
    let exit = match &error {
        LrpError::NoCommand => Exit::BadImage,
        LrpError::MonitorNotExposed { .. } => Exit::CommandFailed,
        LrpError::MalformedUrl(_) | LrpError::Route(_) => Exit::InvalidSyntax,
    };
    let next = match &error {
        LrpError::NoCommand => "ltc create NAME IMAGE -- COMMAND ARGUMENTS",
        LrpError::MonitorNotExposed { .. } => "add the port to --ports, or use --no-monitor",
        LrpError::MalformedUrl(_) | LrpError::Route(_) => "ltc help create",
    };
    Failure::new(exit, error.to_string()).next(next)
}

async fn refuse_existing(name: &ProcessGuid, cx: &Cx) -> Outcome {
    match cx.receptor.desired_lrp(name).await {
        Ok(_) => Err(exists(name)),
        Err(BrainError::Refused(r)) if r.name == ErrorName::DesiredLRPNotFound => Ok(()),
        Err(e) => Err(Failure::brain(&format!("create {name}"), e)),
    }
}

fn exists(name: &ProcessGuid) -> Failure {
    Failure::command(format!("an app named {name} exists already"))
        .next(format!("ltc update {name} -R HOST    (changes its routes)"))
        .next(format!("ltc scale {name} N          (changes its instances)"))
        .next(format!("ltc remove {name}           (makes room for a new one)"))
}

/// Gives the brain, once, what cells need to pull from a private registry.
async fn hand_over_credentials(image: &ImageRef, cx: &Cx) -> Outcome {
    if image.registry == cx.target.registry() {
        return Ok(());
    }
    let known = cx.registry_credentials(&image.registry).await.map_err(source::image_failure)?;
    let Some(credentials) = known else { return Ok(()) };
    let failure = |e| Failure::brain("give the registry's credentials to the Lattice", e);
    cx.receptor.put_registry_credentials(credentials).await.map_err(failure)
}

fn tell(notes: &[Note], cx: &Cx) {
    for note in notes {
        match steps::is_warning(note) {
            true => cx.out().warn(&steps::note(note)),
            false => cx.out().say(&steps::note(note)),
        }
    }
}
