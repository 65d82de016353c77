//! `ltc logs`: the log of an app or task.

use lattice_model::{ProcessGuid, TaskGuid};

use crate::context::Cx;
use crate::exit::{Failure, Outcome};
use crate::follow::{FollowFlags, follow};
use crate::view::log_line::render;

/// Arguments of `ltc logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The app or task
    #[arg(value_name = "APP|TASK")]
    name: String,
    #[command(flatten)]
    flags: FollowFlags,
}

/// Follows the log until interrupted.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    if args.name.is_empty() {
        return Err(Failure::usage("the name of an app or task is needed").next("ltc list"));
    }
    if !is_known(&args.name, cx).await? {
        let message = format!("there is no app or task named {}", args.name);
        if args.flags.only_looks_back() {
            // What has been removed may still be remembered.
            if cx.logs.recent(&args.name).await.map_err(Failure::logs)?.is_empty() {
                return Err(Failure::command(message).next("ltc list"));
            }
        } else {
            cx.out().warn(&format!("{message}; waiting for it to appear, Ctrl-C ends"));
        }
    } else if !args.flags.recent {
        cx.out().say(&format!(
            "following {} from now on; Ctrl-C ends, --recent shows what was",
            args.name
        ));
    }
    let (zone, palette) = (&cx.local.zone, cx.out().palette());
    follow(&args.name, &args.flags, cx, |envelope| render(envelope, zone, palette)).await
}

/// An app or task of that name, or one that logs under it.
async fn is_known(name: &str, cx: &Cx) -> Result<bool, Failure> {
    let failure = |e| Failure::brain(&format!("look for {name}"), e);
    if let Ok(guid) = ProcessGuid::new(name)
        && !cx.receptor.actual_lrps_of(&guid).await.map_err(failure)?.is_empty()
    {
        return Ok(true);
    }
    let desired = cx.receptor.desired_lrps(None).await.map_err(failure)?;
    if desired.iter().any(|lrp| lrp.process_guid.as_str() == name || lrp.log.log_guid == name) {
        return Ok(true);
    }
    Ok(match TaskGuid::new(name) {
        Ok(guid) => cx.receptor.task(&guid).await.is_ok(),
        Err(_) => false,
    })
}
