//! Keeps the brain and the owner in step: presence every 5 s, the whole view at the start and
//! every 30 s, and between these the events. A brain that is silent is tried again, and nothing
//! else happens.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lattice_api::brain::{EventStream, SequencedEvent};
use lattice_model::{CellPresence, Event};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Condition, Message};
use crate::tools::Tools;

/// How often the cell says that it is alive.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// How often everything is compared.
const VIEW_INTERVAL: Duration = Duration::from_secs(30);
/// How long to wait before a lost event stream is asked for again.
const RESUBSCRIBE_PAUSE: Duration = Duration::from_secs(1);
/// A brain that has not answered by then has not answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says that the cell is alive until it departs, and what is wrong with it as soon as that changes.
pub(crate) async fn heartbeat(
    tools: Arc<Tools>,
    presence: CellPresence,
    mut condition: watch::Receiver<Condition>,
    departed: CancellationToken,
) {
    let mut interval = tokio::time::interval(HEARTBEAT_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_heard = true;
    loop {
        tokio::select! {
            () = departed.cancelled() => return,
            _ = interval.tick() => {}
            Ok(()) = condition.changed() => {}
        }
        let Condition { fault, warnings } = condition.borrow_and_update().clone();
        let mut now = presence.clone();
        now.fault = fault.unwrap_or_default();
        now.warnings.extend(warnings);
        let beat = tools.seams.bbs.heartbeat(now);
        let heard = tokio::time::timeout(PATIENCE, beat).await.is_ok_and(|beat| beat.is_ok());
        match (is_heard, heard) {
            (true, false) => tracing::warn!("the brain does not hear this cell; it goes on"),
            (false, true) => tracing::info!("the brain hears this cell again"),
            (true, true) | (false, false) => {}
        }
        is_heard = heard;
    }
}

/// Follows the brain; tells on `first_view` when it was asked for the first time, whatever came
/// of it.
pub(crate) async fn follow(
    tools: Arc<Tools>,
    owner: mpsc::Sender<Message>,
    first_view: oneshot::Sender<()>,
) {
    let mut first_view = Some(first_view);
    loop {
        let mut events = subscribe(&tools).await;
        view(&tools, &owner).await;
        if let Some(first_view) = first_view.take() {
            let _ = first_view.send(());
        }
        read(&tools, &owner, &mut events).await;
        tokio::time::sleep(RESUBSCRIBE_PAUSE).await;
    }
}

/// Events from now on; none at all when the brain cannot be reached.
async fn subscribe(tools: &Tools) -> Option<EventStream> {
    let subscribe = tools.seams.bbs.subscribe(&tools.config.cell_id);
    match tokio::time::timeout(PATIENCE, subscribe).await {
        Ok(Ok(events)) => Some(events),
        Ok(Err(error)) => {
            tracing::warn!(%error, "no events from the brain");
            None
        }
        Err(_) => {
            tracing::warn!("no events from the brain: it did not answer");
            None
        }
    }
}

/// Asks for the view and waits until the owner has taken it in.
async fn view(tools: &Tools, owner: &mpsc::Sender<Message>) {
    let asked_at = tools.now();
    let view = tools.seams.bbs.view(&tools.config.cell_id);
    match tokio::time::timeout(PATIENCE, view).await {
        Ok(Ok(view)) => {
            let (done, taken_in) = oneshot::channel();
            let _ = owner.send(Message::Viewed(asked_at, view, done)).await;
            let _ = taken_in.await;
        }
        Ok(Err(error)) => tracing::warn!(%error, "no view from the brain"),
        Err(_) => tracing::warn!("no view from the brain: it did not answer"),
    }
}

/// Reads events, with a view in between, until there are no more.
async fn read(tools: &Tools, owner: &mpsc::Sender<Message>, events: &mut Option<EventStream>) {
    let Some(events) = events else { return };
    let start = tokio::time::Instant::now() + VIEW_INTERVAL;
    let mut interval = tokio::time::interval_at(start, VIEW_INTERVAL);
    loop {
        tokio::select! {
            _ = interval.tick() => view(tools, owner).await,
            event = events.next() => match event {
                Some(Ok(SequencedEvent::Event { event, .. })) => {
                    if let Event::DesiredLrpChanged { after, .. } = &*event {
                        let lrp = Arc::new((**after).clone());
                        let _ = owner.send(Message::LrpChanged(lrp)).await;
                    }
                }
                Some(Ok(SequencedEvent::Resync { .. })) => view(tools, owner).await,
                Some(Ok(SequencedEvent::Mark(_))) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "the brain's events broke off");
                    return;
                }
                None => return,
            }
        }
    }
}
