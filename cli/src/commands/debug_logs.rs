//! `ltc debug-logs`: the platform's own log.

use lattice_model::Envelope;
use lattice_model::envelope::PLATFORM_LOG_ID;

use crate::context::Cx;
use crate::exit::Outcome;
use crate::follow::{FollowFlags, follow};
use crate::view::palette::Palette;
use crate::view::{log_line, platform_line};

/// Arguments of `ltc debug-logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show lines as they were written
    #[arg(long, short = 'r')]
    raw: bool,
    #[command(flatten)]
    flags: FollowFlags,
}

/// Follows the platform's log until interrupted.
pub async fn run(args: Args, cx: &Cx) -> Outcome {
    let (zone, palette) = (&cx.local.zone, cx.out().palette());
    let render = |envelope: &Envelope| match args.raw {
        true => log_line::render(envelope, zone, Palette::new(false)),
        false => platform_line::render(envelope, zone, palette),
    };
    follow(PLATFORM_LOG_ID, &args.flags, cx, render).await
}
