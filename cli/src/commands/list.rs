//! `ltc list`: apps and tasks.

use crate::context::Cx;
use crate::exit::{Failure, Outcome};
use crate::view::list::{Listing, render};

/// Arguments of `ltc list`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Lists.
pub async fn run(_args: Args, cx: &Cx) -> Outcome {
    let apps = |e| Failure::brain("list the apps", e);
    let desired = cx.receptor.desired_lrps(None).await.map_err(apps)?;
    let actual = cx.receptor.actual_lrps(None).await.map_err(apps)?;
    let tasks = cx.receptor.tasks(None).await;
    let tasks = tasks.map_err(|e| Failure::brain("list the tasks", e))?;
    let desired = desired.iter().map(AsRef::as_ref);
    cx.out().show(&Listing::new(desired, &actual, &tasks, &cx.target), render)
}
