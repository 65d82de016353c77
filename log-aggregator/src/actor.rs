//! The owner of the rings and of the listeners' queues: one task, asked by its handles.

use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::clock::{Clock as _, SystemClock};
use lattice_daemon::log_ingress::ChannelEgress;
use lattice_model::envelope::{Log, PLATFORM_LOG_ID};
use lattice_model::{Envelope, Time};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Limits;
use crate::fanout::{Fanout, SOURCE_TYPE, Subscription, Wanted};
use crate::ingress::Ingress;
use crate::metrics::Metrics;
use crate::ring::Rings;

const ASKS_MAX: usize = 256;
/// How often losses are told that no further envelope has told already.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What a handle can ask for.
pub(crate) enum Ask {
    /// The app's latest lines, or the configured number of them.
    Recent { app_id: Arc<str>, count: Option<usize>, answer: oneshot::Sender<Vec<Envelope>> },
    /// The newest measurements.
    Metrics { app_id: Arc<str>, answer: oneshot::Sender<Vec<Envelope>> },
    /// A queue of what comes from now on.
    Listen { wanted: Wanted, answer: oneshot::Sender<Subscription> },
}

/// Owns everything that changes.
pub(crate) struct Owner {
    ingress: Ingress,
    asks: mpsc::Receiver<Ask>,
    rings: Rings,
    fanout: Fanout,
    metrics: Arc<Metrics>,
    lines_answered: usize,
    evicted_unsaid: u64,
}

// === impl Owner ===

impl Owner {
    /// The owner, and where to ask it.
    pub(crate) fn new(
        egress: ChannelEgress,
        limits: &Limits,
        metrics: Arc<Metrics>,
    ) -> (Self, mpsc::Sender<Ask>) {
        let (sender, asks) = mpsc::channel(ASKS_MAX);
        let owner = Self {
            ingress: Ingress::new(egress),
            asks,
            rings: Rings::new(limits.clone()),
            fanout: Fanout::new(limits),
            metrics,
            lines_answered: limits.lines_answered,
            evicted_unsaid: 0,
        };
        (owner, sender)
    }

    /// Works until shutdown; what has come in by then still reaches its listeners.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut batch = Vec::new();
        let mut tell = interval(TELL_EVERY);
        tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.ingress.next(&mut batch) => self.take(&mut batch),
                Some(ask) = self.asks.recv() => {
                    self.catch_up(&mut batch);
                    self.answer(ask);
                }
                _ = tell.tick() => self.own_up(),
            }
        }
        while self.ingress.last(&mut batch).await > 0 {
            self.take(&mut batch);
        }
        self.own_up();
    }

    /// Takes what waits already, so that answers hold what was said before they were asked for.
    fn catch_up(&mut self, batch: &mut Vec<Envelope>) {
        self.ingress.waiting(batch);
        self.take(batch);
    }

    fn take(&mut self, batch: &mut Vec<Envelope>) {
        let now = SystemClock.now();
        self.metrics.envelopes.add(batch.len() as u64);
        for envelope in batch.drain(..) {
            self.carry(envelope, now);
        }
        self.metrics.apps.set(self.rings.apps());
        self.metrics.bytes.set(self.rings.bytes());
    }

    fn carry(&mut self, envelope: Envelope, now: Time) {
        self.metrics.listener_lost.add(self.fanout.tell(&envelope, now));
        let cost = self.rings.keep(envelope, now);
        self.metrics.unkept.add(u64::from(cost.is_unkept));
        self.metrics.apps_evicted.add(cost.apps_evicted);
        self.evicted_unsaid += cost.apps_evicted;
    }

    fn answer(&mut self, ask: Ask) {
        // Whoever no longer waits for the answer does not get one.
        match ask {
            Ask::Recent { app_id, count, answer } => {
                let count = count.unwrap_or(self.lines_answered);
                let _ = answer.send(self.rings.recent(&app_id, count));
            }
            Ask::Metrics { app_id, answer } => {
                let _ = answer.send(self.rings.metrics(&app_id, SystemClock.now()));
            }
            Ask::Listen { wanted, answer } => {
                let _ = answer.send(self.fanout.listen(wanted));
                self.metrics.listeners.set(self.fanout.count());
            }
        }
    }

    /// Says what was lost or forgotten since the last time.
    fn own_up(&mut self) {
        let now = SystemClock.now();
        let lost = self.ingress.newly_lost();
        if lost > 0 {
            self.metrics.ingress_lost.add(lost);
            self.fanout.tell_of_loss_before(lost, now);
            self.rings.keep(loss_line(lost, now), now);
            warn!(lost, "log envelopes lost: more was written than the log-aggregator takes in");
        }
        self.fanout.tell_of_losses(now);
        self.metrics.listeners.set(self.fanout.count());
        let evicted = std::mem::take(&mut self.evicted_unsaid);
        if evicted > 0 {
            warn!(
                apps = evicted,
                apps_kept = self.rings.apps(),
                bytes_kept = self.rings.bytes(),
                "recent lines of silent apps forgotten to make space for others"
            );
        }
    }
}

fn loss_line(count: u64, now: Time) -> Envelope {
    let text =
        format!("{count} messages dropped: more was written than is taken in; whose is unknown");
    let log = Log::err(SOURCE_TYPE.into(), text);
    Envelope::log(PLATFORM_LOG_ID.into(), "0".into(), now, log)
}
