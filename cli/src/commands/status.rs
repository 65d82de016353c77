//! `ltc status`: one app and its instances.

use std::time::Duration;

use lattice_api::brain::BrainError;
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
    /// Tell all of each instance
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
    let metrics_guid = desired.as_ref().map(|d| d.log.metrics_guid.clone()).unwrap_or_default();
    let metrics = match metrics_guid.is_empty() {
        true => Vec::new(),
        // Without the log-aggregator the rest is still worth showing.
        false => cx.logs.container_metrics(&metrics_guid).await.unwrap_or_default(),
    };
    let seen = (actual.as_slice(), metrics.as_slice());
    Status::new(name, desired.as_deref(), seen, &cx.target, cx.local.now())
        .ok_or_else(|| Failure::command(format!("there is no app named {name}")).next("ltc list"))
}
