//! `ltc scale`: changes the number of instances and waits for them.

use std::time::Duration;

use lattice_api::brain::BrainError;
use lattice_model::{DesiredLrpUpdate, ErrorName, ProcessGuid};

use super::create::{crash_loop, last_lines, no_place};
use crate::context::{Cx, app_name};
use crate::duration;
use crate::exit::{Failure, Outcome};
use crate::rollout::Settled;
use crate::view::steps::placement;
use crate::watch::{Ended, Watch};

/// Arguments of `ltc scale`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The app
    app: String,
    /// How many instances
    #[arg(value_name = "N")]
    instances: u32,
    /// How long to wait until they run
    #[arg(long, short = 't', default_value = "2m0s", value_parser = duration::parse,
          value_name = "DURATION")]
    timeout: Duration,
}

/// Scales and waits.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let (name, wanted) = (app_name(&args.app)?, args.instances);
    let failure = |e| Failure::brain(&format!("scale {name}"), e);
    let lrp = cx.receptor.desired_lrp(&name).await;
    let lrp = lrp.map_err(|e| not_there(&name, "scale", e))?;
    let before = cx.receptor.actual_lrps_of(&name).await.map_err(failure)?;
    let update = DesiredLrpUpdate { instances: Some(wanted), ..DesiredLrpUpdate::default() };
    cx.receptor.update_lrp(&name, update).await.map_err(|e| not_there(&name, "scale", e))?;
    cx.out().say(&format!("scaling {name} to {}", instances(wanted)));
    let (timeout, settled) = (args.timeout, Settled::of(&lrp));
    let watch = Watch { guid: &name, wanted, before: &before, timeout, settled, log: None };
    match watch.run(cx).await? {
        Ended::Up | Ended::Finished { .. } => {
            cx.out().say(&format!("{name} now has {}", instances(wanted)));
            Ok(())
        }
        Ended::TimedOut { .. } => {
            cx.out().warn(&format!(
                "{name} is not scaled yet; it goes on in the background: ltc status {name}"
            ));
            Ok(())
        }
        Ended::NoPlace(error) => {
            Err(no_place(name.as_str(), &placement(&error)).next(format!("ltc scale {name} N")))
        }
        Ended::CrashLoop { index, count, reason } => {
            last_lines(name.as_str(), cx).await;
            Err(crash_loop(name.as_str(), index, count, &reason))
        }
    }
}

/// What it means when an app is not there, or cannot be asked for.
pub fn not_there(name: &ProcessGuid, doing: &str, error: BrainError) -> Failure {
    match error {
        BrainError::Refused(r) if r.name == ErrorName::DesiredLRPNotFound => {
            Failure::command(format!("there is no app named {name}")).next("ltc list")
        }
        error => Failure::brain(&format!("{doing} {name}"), error),
    }
}

fn instances(count: u32) -> String {
    if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") }
}
