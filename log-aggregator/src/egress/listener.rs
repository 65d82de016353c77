//! Websockets: each envelope one binary frame, pings in between, an end with a reason.

use std::future::Future;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures_util::{SinkExt as _, StreamExt as _};
use lattice_daemon::gate::Authorized;
use lattice_model::Envelope;
use lattice_model::wire::dropsonde;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::connections::Place;
use super::{Context, Id, ended};
use crate::fanout::{Subscription, Wanted};

/// Envelopes written before the listener is looked at again.
const BATCH_MAX: usize = 128;
/// Listeners have nothing to say but pongs and a good-bye.
const HEARD_BYTES_MAX: usize = 4096;
const GOOD_BYE_PATIENCE: Duration = Duration::from_secs(1);
const NO_PONG: &str = "Client did not respond to ping before keep-alive timeout expired.";
const GOING_AWAY: &str = "The log-aggregator is stopping.";

pub(super) async fn stream(
    _: Authorized,
    State(context): State<Context>,
    Id(app_id): Id,
    Extension(place): Extension<Place>,
    upgrade: WebSocketUpgrade,
) -> Response {
    listen(context, Wanted::App(app_id), place, upgrade).await
}

pub(super) async fn firehose(
    _: Authorized,
    State(context): State<Context>,
    Id(subscription): Id,
    Extension(place): Extension<Place>,
    upgrade: WebSocketUpgrade,
) -> Response {
    listen(context, Wanted::Firehose(subscription), place, upgrade).await
}

/// Subscribes before the upgrade is answered, so that nothing written after it is missed.
async fn listen(
    context: Context,
    wanted: Wanted,
    place: Place,
    upgrade: WebSocketUpgrade,
) -> Response {
    let subscription = match context.handle.listen(wanted).await {
        Ok(subscription) => subscription,
        Err(error) => return ended(error),
    };
    let tasks = context.tasks.clone();
    let upgrade = upgrade.max_message_size(HEARD_BYTES_MAX).max_frame_size(HEARD_BYTES_MAX);
    upgrade.on_upgrade(async move |socket| {
        let listener = Listener::new(socket, context, place);
        tasks.spawn("log-aggregator-listener", listener.run(subscription));
    })
}

/// One websocket.
struct Listener {
    socket: WebSocket,
    context: Context,
    ping: Interval,
    owes_pong: bool,
    _place: Place,
}

/// Why a websocket ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It left, or its connection broke.
    Left,
    /// It did not answer a ping.
    Silent,
    /// It took nothing for too long.
    Stuck,
    /// The log-aggregator ends.
    Shutdown,
}

// === impl Listener ===

impl Listener {
    fn new(socket: WebSocket, context: Context, place: Place) -> Self {
        let every = context.limits.ping_every;
        let mut ping = interval_at(Instant::now() + every, every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { socket, context, ping, owes_pong: false, _place: place }
    }

    async fn run(mut self, subscription: Subscription) {
        let end = self.tell_all(subscription).await;
        debug!(?end, "listener ended");
        if matches!(end, End::Silent | End::Stuck) {
            self.context.handle.metrics().listeners_given_up.add(1);
        }
        let (code, reason) = match end {
            End::Left | End::Stuck => return,
            End::Silent => (close_code::POLICY, NO_PONG),
            End::Shutdown => (close_code::AWAY, GOING_AWAY),
        };
        let frame = CloseFrame { code, reason: reason.into() };
        let good_bye = self.socket.send(Message::Close(Some(frame)));
        // Whoever does not take it finds the connection closed all the same.
        let _ = timeout(GOOD_BYE_PATIENCE, good_bye).await;
    }

    async fn tell_all(&mut self, mut subscription: Subscription) -> End {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let step = tokio::select! {
                count = subscription.next(&mut batch, BATCH_MAX) => match count {
                    0 => Err(End::Shutdown),
                    _ => self.tell(&mut batch).await,
                },
                heard = self.socket.next() => self.hear(heard),
                _ = self.ping.tick() => self.send_ping().await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn tell(&mut self, batch: &mut Vec<Envelope>) -> Result<(), End> {
        let socket = &mut self.socket;
        let writing = async {
            for envelope in batch.drain(..) {
                socket.feed(Message::Binary(dropsonde::encode(&envelope).into())).await?;
            }
            socket.flush().await
        };
        let limits = &self.context.limits;
        patiently(writing, limits.write_patience, self.context.tasks.shutdown()).await
    }

    async fn send_ping(&mut self) -> Result<(), End> {
        if self.owes_pong {
            return Err(End::Silent);
        }
        self.owes_pong = true;
        let ping = self.socket.send(Message::Ping("lattice".into()));
        let limits = &self.context.limits;
        patiently(ping, limits.write_patience, self.context.tasks.shutdown()).await
    }

    fn hear(&mut self, heard: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        match heard {
            Some(Ok(Message::Pong(_))) => self.owes_pong = false,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::Left),
            Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_))) => {}
        }
        Ok(())
    }
}

/// Writes until the patience is over, which it is soon after shutdown.
async fn patiently(
    writing: impl Future<Output = Result<(), axum::Error>>,
    patience: Duration,
    shutdown: &CancellationToken,
) -> Result<(), End> {
    let soon_after_shutdown = async {
        shutdown.cancelled().await;
        sleep(GOOD_BYE_PATIENCE).await;
    };
    tokio::select! {
        written = writing => written.map_err(|_| End::Left),
        () = sleep(patience) => Err(End::Stuck),
        () = soon_after_shutdown => Err(End::Stuck),
    }
}
