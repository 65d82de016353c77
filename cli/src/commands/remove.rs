//! `ltc remove`: stops apps and forgets them.

use std::time::Duration;

use lattice_model::ProcessGuid;
use tokio::time::{Instant, sleep};

use super::scale::not_there;
use crate::context::{Cx, app_name};
use crate::duration;
use crate::exit::{Exit, Failure, Outcome};

/// Arguments of `ltc remove`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The apps
    #[arg(required = true, value_name = "APP")]
    apps: Vec<String>,
    /// Return only when their instances are gone
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, short = 't', default_value = "2m0s", value_parser = duration::parse,
          value_name = "DURATION")]
    timeout: Duration,
}

/// Removes each; one that fails does not keep the others.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let names: Vec<ProcessGuid> =
        args.apps.iter().map(|name| app_name(name)).collect::<Result<_, _>>()?;
    let mut failures = Vec::new();
    let mut removed = Vec::new();
    for name in &names {
        match cx.receptor.remove_lrp(name).await {
            Ok(()) => {
                cx.out().say(&format!("removing {name}"));
                removed.push(name);
            }
            Err(e) => failures.push(not_there(name, "remove", e)),
        }
    }
    if args.wait {
        let deadline = Instant::now() + args.timeout;
        for name in removed {
            wait_until_gone(name, deadline, cx).await?;
            cx.out().say(&format!("{name} is gone"));
        }
    }
    summarize(failures, cx)
}

/// The last failure is the command's; those before are told here.
fn summarize(mut failures: Vec<Failure>, cx: &Cx) -> Outcome {
    let Some(last) = failures.pop() else { return Ok(()) };
    failures.iter().for_each(|failure| cx.out().fail(failure));
    Err(last)
}

async fn wait_until_gone(name: &ProcessGuid, deadline: Instant, cx: &Cx) -> Outcome {
    loop {
        let left = cx.receptor.actual_lrps_of(name).await;
        let left = left.map_err(|e| Failure::brain(&format!("follow {name}"), e))?.len();
        if left == 0 {
            cx.out().end_progress();
            return Ok(());
        }
        if Instant::now() >= deadline {
            let message = format!("{name} is still stopping: {left} left");
            return Err(
                Failure::new(Exit::CommandFailed, message).next(format!("ltc status {name}"))
            );
        }
        cx.out().progress(&format!("waiting for {name} to stop: {left} left"), 0, 0);
        sleep(cx.local.poll).await;
    }
}
