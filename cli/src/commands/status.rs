//! `ltc status`: one app and its instances.

use std::time::Duration;

use lattice_api::brain::BrainError;
use lattice_api::cell::usage::InstanceUsage;
use lattice_model::{ErrorName, ProcessGuid};
use tokio::time::sleep;

use crate::context::{Cx, app_name};
use crate::duration;
use crate::exit::{Failure, Outcome};
use crate::view::status::{Status, render};

/// Arguments of `ltc status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The app
    app: String,
    /// Tell all of each instance, with what it uses as measured just now
    #[arg(long, short = 'd')]
    detailed: bool,
    /// Show it again and again, this long apart
    #[arg(long, short = 'r', default_value = "0s", value_parser = duration::parse,
          value_name = "DURATION")]
    rate: Duration,
}

/// Shows the app, once or again and again.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let name = app_name(&args.app)?;
    loop {
        let status = look(&name, cx).await?;
        if !args.rate.is_zero() {
            cx.out().clear_screen();
        }
        cx.out().show(&status, |status, palette| render(status, args.detailed, palette))?;
        if args.rate.is_zero() {
            return Ok(());
        }
        sleep(args.rate).await;
    }
}

async fn look(name: &ProcessGuid, cx: &Cx) -> Result<Status, Failure> {
    let failure = |e| Failure::brain(&format!("show {name}"), e);
    let desired = match cx.receptor.desired_lrp(name).await {
        Ok(lrp) => Some(lrp),
        Err(BrainError::Refused(r)) if r.name == ErrorName::DesiredLRPNotFound => None,
        Err(e) => return Err(failure(e)),
    };
    let actual = cx.receptor.actual_lrps_of(name).await.map_err(failure)?;
    let usage = usage_of(name, cx).await;
    let seen = (actual.as_slice(), usage.as_slice());
    Status::new(name, desired.as_deref(), seen, &cx.target, cx.local.now())
        .ok_or_else(|| Failure::command(format!("there is no app named {name}")).next("ltc list"))
}

/// What the cells measure now. Without one of them the rest is still worth showing.
async fn usage_of(name: &ProcessGuid, cx: &Cx) -> Vec<InstanceUsage> {
    let told = cx.receptor.usage_of(name).await.unwrap_or_else(|e| {
        cx.out().warn(&format!("what the instances use is not known: {e}"));
        Vec::new()
    });
    for cell in told.iter().filter(|cell| !cell.error.is_empty()) {
        let (cell, why) = (&cell.cell_id, &cell.error);
        cx.out().warn(&format!("what the instances on {cell} use is not known: {why}"));
    }
    told.into_iter().flat_map(|cell| cell.instances).collect()
}
