//! `ltc cells`: the machines.

use crate::context::Cx;
use crate::exit::{Failure, Outcome};
use crate::view::cells::{CellRow, render, rows};

/// Arguments of `ltc cells`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Shows the cells.
pub async fn run(_args: Args, cx: &Cx) -> Outcome {
    cx.out().show(&look(cx).await?, |rows, palette| render(rows, palette))
}

/// The cells as they are now.
pub async fn look(cx: &Cx) -> Result<Vec<CellRow>, Failure> {
    let failure = |e| Failure::brain("list the cells", e);
    let cells = cx.receptor.cells().await.map_err(failure)?;
    let actual = cx.receptor.actual_lrps(None).await.map_err(failure)?;
    // A receptor of an older version knows of no moves, and drains nothing.
    let moves = cx.receptor.moves().await.unwrap_or_default();
    Ok(rows(&cells, &actual, &moves))
}
