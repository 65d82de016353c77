//! `ltc images`: what the cells keep unpacked, and its removal.

use crate::context::Cx;
use crate::exit::{Failure, Outcome};
use crate::view::images;

/// Arguments of `ltc images`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Remove every image that no instance uses; it is pulled anew when it is wanted
    Prune,
}

/// Shows the images, or removes them.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    match args.action {
        None => list(cx).await,
        Some(Action::Prune) => prune(cx).await,
    }
}

async fn list(cx: &Cx) -> Outcome {
    let found = cx.receptor.images().await;
    let mut found = found.map_err(|e| Failure::brain("list the images", e))?;
    found.sort_by(|a, b| a.cell_id.cmp(&b.cell_id));
    let now = cx.local.now();
    cx.out().show(&found, |found, palette| images::list(found, now, palette))?;
    found.iter().filter(|cell| !cell.error.is_empty()).for_each(|cell| cx.out().warn(&cell.error));
    Ok(())
}

async fn prune(cx: &Cx) -> Outcome {
    let pruned = cx.receptor.prune_images().await;
    let mut pruned = pruned.map_err(|e| Failure::brain("remove images", e))?;
    pruned.sort_by(|a, b| a.cell_id.cmp(&b.cell_id));
    cx.out().show(&pruned, |pruned, _| images::pruned(pruned))?;
    let silent: Vec<&str> = pruned.iter().map(|cell| cell.error.as_str()).collect();
    match silent.iter().find(|error| !error.is_empty()) {
        None => Ok(()),
        Some(error) => Err(Failure::command((*error).to_owned()).next("ltc images prune")),
    }
}
