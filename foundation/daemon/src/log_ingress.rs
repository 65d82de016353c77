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

    /// Hands all of them over, in their order; how many were lost.
    fn emit_all(&self, envelopes: &mut dyn ExactSizeIterator<Item = Envelope>) -> u64 {
        envelopes.map(|envelope| u64::from(!self.emit(envelope))).sum()
    }
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

/// Sends all of them in their order, as far as they fit, with one reservation for all; how many were
/// lost.
pub fn send_all<T>(to: &mpsc::Sender<T>, items: &mut dyn ExactSizeIterator<Item = T>) -> u64 {
    let fitting = items.len().min(to.capacity());
    match to.try_reserve_many(fitting) {
        Ok(places) => places.zip(&mut *items).for_each(|(place, item)| place.send(item)),
        // Others were faster, or nobody listens any more.
        Err(_) => return items.map(|item| u64::from(to.try_send(item).is_err())).sum(),
    }
    items.map(|_lost| 1).sum()
}

impl LogIngress for ChannelIngress {
    fn emit(&self, envelope: Envelope) -> bool {
        let taken = self.envelopes.try_send(envelope).is_ok();
        if !taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn emit_all(&self, envelopes: &mut dyn ExactSizeIterator<Item = Envelope>) -> u64 {
        let lost = send_all(&self.envelopes, envelopes);
        self.lost.fetch_add(lost, Ordering::Relaxed);
        lost
    }
}

#[cfg(test)]
mod tests {
    use lattice_model::Time;
    use lattice_model::envelope::Log;

    use super::*;

    fn lines(n: usize) -> Vec<Envelope> {
        let line = |n: usize| Log::out("APP".into(), n.to_string());
        (0..n).map(|n| Envelope::log("web".into(), "0".into(), Time(0), line(n))).collect()
    }

    #[test]
    fn a_batch_arrives_in_order_and_what_does_not_fit_is_counted() {
        let (ingress, mut egress) = channel();
        let emit = |n| ingress.emit_all(&mut lines(n).into_iter());
        assert_eq!([PENDING_MAX - 2, 0, 5, 1, 0].map(emit), [0, 0, 3, 1, 0]);
        assert_eq!(egress.lost.load(Ordering::Relaxed), 4);
        assert_eq!(egress.envelopes.len(), PENDING_MAX);
        for expected in lines(PENDING_MAX - 2).iter().chain(&lines(2)) {
            assert_eq!(egress.envelopes.try_recv().as_ref(), Ok(expected));
        }
    }

    #[test]
    fn a_batch_for_nobody_is_lost() {
        let (ingress, egress) = channel();
        let lost = egress.lost.clone();
        drop(egress);
        assert_eq!(ingress.emit_all(&mut lines(2).into_iter()), 2);
        assert_eq!(lost.load(Ordering::Relaxed), 2);
    }
}
