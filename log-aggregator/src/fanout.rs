//! A bounded queue for each listener; a slow one loses its own envelopes and is told how many.

use std::collections::HashMap;
use std::sync::Arc;

use lattice_daemon::queue::{Receiver, Refused, Sender, queue};
use lattice_model::envelope::{Log, PLATFORM_LOG_ID};
use lattice_model::{Envelope, Time};

use crate::config::Limits;

/// The source type of what the log-aggregator itself has to say.
pub const SOURCE_TYPE: &str = "LGR";

/// What a listener wants to hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Everything of one app.
    App(Arc<str>),
    /// Everything; listeners of the same subscription share it.
    Firehose(Arc<str>),
}

/// All listeners.
#[derive(Debug)]
pub struct Fanout {
    envelopes_max: usize,
    bytes_max: usize,
    apps: HashMap<Arc<str>, Vec<Listener>>,
    firehoses: HashMap<Arc<str>, Firehose>,
}

/// The listener's end of its queue.
#[derive(Debug)]
pub struct Subscription {
    envelopes: Receiver<Envelope>,
}

#[derive(Debug, Default)]
struct Firehose {
    listeners: Vec<Listener>,
    next: usize,
}

/// The owner's end of a listener's queue.
#[derive(Debug)]
struct Listener {
    source_id: Arc<str>,
    envelopes: Sender<Envelope>,
    lost_untold: u64,
    lost: u64,
}

// === impl Fanout ===

impl Fanout {
    /// No listeners yet.
    pub fn new(limits: &Limits) -> Self {
        Self {
            envelopes_max: limits.listener_envelopes,
            bytes_max: limits.listener_bytes,
            apps: HashMap::new(),
            firehoses: HashMap::new(),
        }
    }

    /// Adds a listener, which hears what comes from now on.
    pub fn listen(&mut self, wanted: Wanted) -> Subscription {
        let (sender, envelopes) = queue(self.envelopes_max, self.bytes_max);
        let listener =
            |source_id| Listener { source_id, envelopes: sender, lost_untold: 0, lost: 0 };
        match wanted {
            Wanted::App(app_id) => {
                self.apps.entry(Arc::clone(&app_id)).or_default().push(listener(app_id));
            }
            Wanted::Firehose(subscription) => {
                let firehose = self.firehoses.entry(subscription).or_default();
                firehose.listeners.push(listener(PLATFORM_LOG_ID.into()));
            }
        }
        Subscription { envelopes }
    }

    /// Queues an envelope for everyone who wants it, and says how many of them lost it.
    pub fn tell(&mut self, envelope: &Envelope, now: Time) -> u64 {
        let mut lost = 0;
        for listener in self.apps.get_mut(&envelope.source_id).into_iter().flatten() {
            lost += u64::from(!listener.offer(envelope, now));
        }
        for firehose in self.firehoses.values_mut() {
            if let Some(listener) = firehose.take_turn() {
                lost += u64::from(!listener.offer(envelope, now));
            }
        }
        lost
    }

    /// Says to every listener that so many envelopes were lost before it was known whose they are.
    pub fn tell_of_loss_before(&mut self, count: u64, now: Time) {
        let text = format!(
            "{count} messages dropped: more was written than the log-aggregator takes in; \
             some may be of this app"
        );
        for listener in self.listeners() {
            let said = listener.notice(&text, now);
            listener.offer(&said, now);
        }
    }

    /// Tells listeners what they have lost, where there is space again, and forgets those who left.
    pub fn tell_of_losses(&mut self, now: Time) {
        let remove_closed = |listeners: &mut Vec<Listener>| {
            listeners.retain(|listener| !listener.envelopes.is_closed());
            !listeners.is_empty()
        };
        self.apps.retain(|_, listeners| remove_closed(listeners));
        self.firehoses.retain(|_, firehose| remove_closed(&mut firehose.listeners));
        for listener in self.listeners() {
            listener.own_up(now);
        }
    }

    /// How many listen.
    pub fn count(&self) -> usize {
        let of_firehoses = self.firehoses.values().map(|firehose| firehose.listeners.len());
        self.apps.values().map(Vec::len).chain(of_firehoses).sum()
    }

    fn listeners(&mut self) -> impl Iterator<Item = &mut Listener> {
        let of_firehoses = self.firehoses.values_mut().flat_map(|f| f.listeners.iter_mut());
        self.apps.values_mut().flatten().chain(of_firehoses)
    }
}

// === impl Firehose ===

impl Firehose {
    fn take_turn(&mut self) -> Option<&mut Listener> {
        self.next = (self.next + 1) % self.listeners.len().max(1);
        self.listeners.get_mut(self.next)
    }
}

// === impl Listener ===

impl Listener {
    /// Queues an envelope; false when it was lost. What was lost earlier is told first.
    fn offer(&mut self, envelope: &Envelope, now: Time) -> bool {
        let is_taken = self.own_up(now) && self.queue(envelope.clone());
        if !is_taken {
            self.lost_untold += 1;
            self.lost += 1;
        }
        is_taken
    }

    /// Tells what was lost; false when there is still no space to do so.
    fn own_up(&mut self, now: Time) -> bool {
        if self.lost_untold == 0 {
            return true;
        }
        let text = format!(
            "{} messages dropped ({} in all): this listener reads more slowly than is written",
            self.lost_untold, self.lost
        );
        let is_told = self.queue(self.notice(&text, now));
        if is_told {
            self.lost_untold = 0;
        }
        is_told
    }

    fn notice(&self, text: &str, now: Time) -> Envelope {
        let log = Log::err(SOURCE_TYPE.into(), text);
        Envelope::log(Arc::clone(&self.source_id), "0".into(), now, log)
    }

    fn queue(&self, envelope: Envelope) -> bool {
        // Whoever has left misses nothing.
        self.envelopes.send(envelope) != Err(Refused::Full)
    }
}

// === impl Subscription ===

impl Subscription {
    /// Waits for envelopes and appends at most `max`; none when the log-aggregator has ended.
    pub async fn next(&mut self, into: &mut Vec<Envelope>, max: usize) -> usize {
        self.envelopes.recv_many(into, max).await
    }
}

#[cfg(test)]
mod tests;
