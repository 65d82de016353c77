//! The way of envelopes into the log-aggregator; the embedded side is a bounded channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_model::Envelope;
use tokio::sync::mpsc;

/// The most envelopes that wait for the log-aggregator.
pub const PENDING_MAX: usize = 16_384;

/// Takes envelopes. Never blocks: what does not fit is counted as lost.
pub trait LogIngress: Send + Sync {
    /// Hands one envelope over; false when it was lost.
    fn emit(&self, envelope: Envelope) -> bool;
}

/// The sending end in one process.
#[derive(Debug, Clone)]
pub struct ChannelIngress {
    envelopes: mpsc::Sender<Envelope>,
    lost: Arc<AtomicU64>,
}

/// The log-aggregator's end in one process.
#[derive(Debug)]
pub struct ChannelEgress {
    /// What arrives.
    pub envelopes: mpsc::Receiver<Envelope>,
    /// How many did not fit, ever.
    pub lost: Arc<AtomicU64>,
}

/// Makes both ends.
pub fn channel() -> (ChannelIngress, ChannelEgress) {
    let (sender, envelopes) = mpsc::channel(PENDING_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    let ingress = ChannelIngress { envelopes: sender, lost: Arc::clone(&lost) };
    (ingress, ChannelEgress { envelopes, lost })
}

impl LogIngress for ChannelIngress {
    fn emit(&self, envelope: Envelope) -> bool {
        let taken = self.envelopes.try_send(envelope).is_ok();
        if !taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }
}
