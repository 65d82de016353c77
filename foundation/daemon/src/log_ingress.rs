//! The way of envelopes into the log-aggregator; the embedded side is a bounded queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_model::Envelope;
use lattice_model::envelope::Message;

use crate::queue::{Receiver, Sender, Weight, queue};

/// The most envelopes that wait for the log-aggregator.
pub const PENDING_MAX: usize = 16_384;
/// The most that they take.
pub const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an envelope takes beside its text.
const OVERHEAD_BYTES: usize = 160;

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
    envelopes: Sender<Envelope>,
    lost: Arc<AtomicU64>,
}

/// The log-aggregator's end in one process.
#[derive(Debug)]
pub struct ChannelEgress {
    /// What arrives.
    pub envelopes: Receiver<Envelope>,
    /// How many did not fit, ever.
    pub lost: Arc<AtomicU64>,
}

/// Makes both ends.
pub fn channel() -> (ChannelIngress, ChannelEgress) {
    let (sender, envelopes) = queue(PENDING_MAX, PENDING_BYTES_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    let ingress = ChannelIngress { envelopes: sender, lost: Arc::clone(&lost) };
    (ingress, ChannelEgress { envelopes, lost })
}

impl Weight for Envelope {
    fn bytes(&self) -> usize {
        let texts = self.source_id.len() + self.instance_id.len();
        let message = match &self.message {
            Message::Log(log) => log.payload.len() + log.source_type.len(),
            Message::ContainerMetric(_) => 0,
        };
        OVERHEAD_BYTES + texts + message
    }
}

impl LogIngress for ChannelIngress {
    fn emit(&self, envelope: Envelope) -> bool {
        let taken = self.envelopes.send(envelope).is_ok();
        if !taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    fn emit_all(&self, envelopes: &mut dyn ExactSizeIterator<Item = Envelope>) -> u64 {
        let lost = self.envelopes.send_all(envelopes);
        self.lost.fetch_add(lost, Ordering::Relaxed);
        lost
    }
}

#[cfg(test)]
mod tests {
    use lattice_model::Time;
    use lattice_model::envelope::{LINE_BYTES_MAX, Log};

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
    fn large_lines_do_not_fill_the_memory() {
        let (ingress, egress) = channel();
        let line = Log::out("APP".into(), vec![b'x'; LINE_BYTES_MAX]);
        let envelope = || Envelope::log("web".into(), "0".into(), Time(0), line.clone());
        while ingress.emit(envelope()) {}
        let waiting = egress.envelopes.len() * envelope().bytes();
        assert!(waiting <= PENDING_BYTES_MAX, "{waiting}");
        assert!(waiting > PENDING_BYTES_MAX - envelope().bytes(), "{waiting}");
        assert_eq!(egress.lost.load(Ordering::Relaxed), 1);
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
