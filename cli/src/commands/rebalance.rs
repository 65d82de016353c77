//! `ltc rebalance`: spreads instances anew over the cells, once, without an outage.

use std::time::Duration;

use lattice_api::brain::moves::{
    IN_FLIGHT_DEFAULT, IN_FLIGHT_MAX, MOVES_DEFAULT, MOVES_MAX, RebalanceRequest,
};
use tokio::time::{Instant, sleep};

use crate::context::Cx;
use crate::duration;
use crate::exit::{Exit, Failure, Outcome};
use crate::view::moves;

/// Arguments of `ltc rebalance`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only print what would move
    #[arg(long)]
    dry_run: bool,
    /// How many instances may be on their way at once
    #[arg(long, default_value_t = IN_FLIGHT_DEFAULT, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(IN_FLIGHT_MAX)))]
    max_in_flight: u32,
    /// How many instances to move at most
    #[arg(long, default_value_t = MOVES_DEFAULT, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MOVES_MAX)))]
    max_moves: u32,
    /// Return only when all have moved
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, short = 't', default_value = "10m0s", value_parser = duration::parse,
          value_name = "DURATION")]
    timeout: Duration,
}

/// Rebalances, or says what that would move.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let Args { max_in_flight, max_moves, dry_run, .. } = args;
    let how = RebalanceRequest { max_in_flight, max_moves, dry_run };
    let plan = cx.receptor.rebalance(how).await;
    let plan = plan.map_err(|e| Failure::brain("rebalance", e))?;
    if dry_run {
        return cx.out().show(&plan, |plan, _| moves::plan(plan));
    }
    if cx.out().is_json() {
        cx.out().json(&plan)?;
    }
    match plan.moves.len() {
        0 => cx.out().say("nothing to move: instances are spread evenly"),
        1 => cx.out().say("moving 1 instance"),
        count => cx.out().say(&format!("moving {count} instances")),
    }
    if args.wait { wait_until_moved(args.timeout, cx).await } else { Ok(()) }
}

async fn wait_until_moved(timeout: Duration, cx: &Cx) -> Outcome {
    let deadline = Instant::now() + timeout;
    loop {
        let now = cx.receptor.moves().await;
        let now = now.map_err(|e| Failure::brain("follow the moves", e))?;
        let left = now.planned + now.moves.len();
        if left == 0 {
            cx.out().end_progress();
            return Ok(());
        }
        let stuck = moves::stuck_ones(&now).join("; ");
        let said =
            if stuck.is_empty() { format!("{left} left") } else { format!("{left} left; {stuck}") };
        if Instant::now() >= deadline {
            let message = format!("not all have moved yet: {said}");
            return Err(Failure::new(Exit::CommandFailed, message).next("ltc rebalance --dry-run"));
        }
        cx.out().progress(&format!("waiting for instances to move: {said}"), 0, 0);
        sleep(cx.local.poll).await;
    }
}
