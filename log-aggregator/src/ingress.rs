//! The owner's end of the way in: batches of envelopes, and what was lost before them.

use std::sync::atomic::Ordering;

use lattice_daemon::log_ingress::ChannelEgress;
use lattice_model::Envelope;

/// Envelopes taken at once before the owner looks up.
const BATCH_MAX: usize = 512;

/// Drains the channel of the embedded log ingress.
#[derive(Debug)]
pub(crate) struct Ingress {
    egress: ChannelEgress,
    lost_said: u64,
}

impl Ingress {
    pub(crate) fn new(egress: ChannelEgress) -> Self {
        Self { egress, lost_said: 0 }
    }

    /// Waits for envelopes and appends them; forever when nobody can send any more.
    pub(crate) async fn next(&mut self, into: &mut Vec<Envelope>) {
        if self.egress.envelopes.recv_many(into, BATCH_MAX).await == 0 {
            std::future::pending::<()>().await;
        }
    }

    /// What waits already, without waiting.
    pub(crate) fn rest(&mut self, into: &mut Vec<Envelope>) {
        while let Ok(envelope) = self.egress.envelopes.try_recv() {
            into.push(envelope);
        }
    }

    /// How many envelopes did not fit since this was last asked.
    pub(crate) fn newly_lost(&mut self) -> u64 {
        let lost = self.egress.lost.load(Ordering::Relaxed);
        let newly = lost.saturating_sub(self.lost_said);
        self.lost_said = lost;
        newly
    }
}
