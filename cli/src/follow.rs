//! Follows a log for as long as the person wants, over lost connections.

use futures_util::StreamExt as _;
use lattice_api::log_aggregator::LogError;
use lattice_model::Envelope;
use tokio::time::sleep;

use crate::context::Cx;
use crate::exit::{Failure, Outcome};
use crate::view::log_line::record;

/// How much of a log is wanted.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FollowFlags {
    /// Show the most recent lines and end
    #[arg(long)]
    pub recent: bool,
    /// With --recent: go on with the lines that come
    #[arg(long, short = 'f')]
    pub follow: bool,
}

impl FollowFlags {
    /// True when nothing that comes is waited for.
    pub fn only_looks_back(&self) -> bool {
        self.recent && !self.follow
    }
}

/// Prints lines of `app`, each as `render` makes it, or as a JSON document.
pub async fn follow(
    app: &str,
    flags: &FollowFlags,
    cx: &Cx,
    render: impl Fn(&Envelope) -> Option<String>,
) -> Outcome {
    let print = |envelope: &Envelope| match cx.out().is_json() {
        true => record(envelope).map_or(Ok(()), |record| cx.out().json(&record)),
        false => render(envelope).map_or(Ok(()), |line| cx.out().data(&line)),
    };
    if flags.recent {
        let recent = cx.logs.recent(app).await.map_err(Failure::logs)?;
        recent.iter().try_for_each(print)?;
        if !flags.follow {
            return Ok(());
        }
    }
    let mut has_connected = false;
    let mut is_lost = false;
    loop {
        let cause = match cx.logs.stream(app).await {
            Ok(mut stream) => {
                if is_lost {
                    cx.out().say("connected again");
                }
                (has_connected, is_lost) = (true, false);
                loop {
                    match stream.next().await {
                        Some(Ok(envelope)) => print(&envelope)?,
                        Some(Err(e)) => break e.to_string(),
                        None => break "the log-aggregator closed the connection".to_owned(),
                    }
                }
            }
            Err(e @ LogError::Unauthorized(_)) => return Err(Failure::logs(e)),
            Err(e) if !has_connected => return Err(Failure::logs(e)),
            Err(e) => e.to_string(),
        };
        if !is_lost {
            cx.out().warn(&format!("{cause}; lines may be missing until it is connected again"));
            is_lost = true;
        }
        sleep(cx.local.poll).await;
    }
}
