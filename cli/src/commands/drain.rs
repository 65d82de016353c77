//! `ltc drain` and `ltc undrain`: empty a cell without an outage, and let it take work again.

use std::time::Duration;

use lattice_api::brain::moves::{DrainRequest, IN_FLIGHT_DEFAULT, IN_FLIGHT_MAX};
use lattice_model::CellId;
use tokio::time::{Instant, sleep};

use crate::context::Cx;
use crate::duration;
use crate::exit::{Exit, Failure, Outcome};
use crate::view::moves;

/// Arguments of `ltc drain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The cell
    cell: String,
    /// Only print what would move
    #[arg(long)]
    dry_run: bool,
    /// How many instances may be on their way at once
    #[arg(long, default_value_t = IN_FLIGHT_DEFAULT, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(IN_FLIGHT_MAX)))]
    max_in_flight: u32,
    /// Return only when the cell runs no instance any more
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, short = 't', default_value = "10m0s", value_parser = duration::parse,
          value_name = "DURATION")]
    timeout: Duration,
}

/// Arguments of `ltc undrain`.
#[derive(Debug, clap::Args)]
pub struct UndrainArgs {
    /// The cell
    cell: String,
}

/// Drains, or says what that would move.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let cell = cell_id(&args.cell)?;
    let how = DrainRequest { max_in_flight: args.max_in_flight, dry_run: args.dry_run };
    let plan = cx.receptor.drain_cell(&cell, how).await;
    let plan = plan.map_err(|e| Failure::brain(&format!("drain {cell}"), e))?;
    if args.dry_run {
        return cx.out().show(&plan, |plan, _| moves::plan(plan));
    }
    cx.out().say(&format!("draining {cell}: {} to move", plan.moves.len()));
    if cx.out().is_json() {
        cx.out().json(&plan)?;
    }
    if args.wait {
        return wait_until_empty(&cell, args.timeout, cx).await;
    }
    cx.out().say(&format!("it goes on in the background: ltc drain {cell} --wait, ltc cells"));
    Ok(())
}

/// Lets the cell take work again.
pub async fn undrain(args: UndrainArgs, cx: &Cx) -> Outcome {
    let cell = cell_id(&args.cell)?;
    let undrained = cx.receptor.undrain_cell(&cell).await;
    undrained.map_err(|e| Failure::brain(&format!("undrain {cell}"), e))?;
    cx.out().say(&format!("{cell} takes work again"));
    Ok(())
}

async fn wait_until_empty(cell: &CellId, timeout: Duration, cx: &Cx) -> Outcome {
    let deadline = Instant::now() + timeout;
    loop {
        let now = cx.receptor.moves().await;
        let now = now.map_err(|e| Failure::brain(&format!("follow the drain of {cell}"), e))?;
        if moves::left_on(cell, &now) == 0 {
            cx.out().end_progress();
            cx.out().say(&format!("{cell} runs no instance any more"));
            return Ok(());
        }
        if Instant::now() >= deadline {
            let message = format!("{cell} is not empty yet: {}", moves::progress(cell, &now));
            return Err(Failure::new(Exit::CommandFailed, message)
                .next(format!("ltc undrain {cell}    (or make room elsewhere)")));
        }
        cx.out().progress(&moves::progress(cell, &now), 0, 0);
        sleep(cx.local.poll).await;
    }
}

fn cell_id(text: &str) -> Result<CellId, Failure> {
    CellId::new(text)
        .map_err(|e| Failure::usage(format!("{text} names no cell: {e}")).next("ltc cells"))
}
