//! `ltc visualize`: how instances spread over the machines.

use std::time::Duration;

use tokio::time::sleep;

use super::cells::look;
use crate::context::Cx;
use crate::duration;
use crate::exit::Outcome;
use crate::view::distribution::{bars, dots};

/// Arguments of `ltc visualize`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show it again and again, this long apart
    #[arg(long, short = 'r', default_value = "0s", value_parser = duration::parse,
          value_name = "DURATION")]
    rate: Duration,
    /// Draw bars
    #[arg(long, short = 'g')]
    graphical: bool,
}

/// Shows the distribution, once or again and again.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let render = if args.graphical { bars } else { dots };
    loop {
        let rows = look(cx).await?;
        if !args.rate.is_zero() {
            cx.out().clear_screen();
        }
        cx.out().show(&rows, |rows, palette| render(rows, palette))?;
        if args.rate.is_zero() {
            return Ok(());
        }
        sleep(args.rate).await;
    }
}
