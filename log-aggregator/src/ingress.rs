//! The owner's end of the way in: batches of envelopes, and what was lost before them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lattice_daemon::log_ingress::ChannelEgress;
use lattice_model::Envelope;
use tokio::time::{Instant, sleep_until};

/// Envelopes taken at once before the owner looks up.
const BATCH_MAX: usize = 512;
/// How long the next ones gather once all were taken: to be woken for a few of them takes more than
/// to take many.
const GATHER: Duration = Duration::from_millis(5);

/// Drains the channel of the embedded log ingress.
#[derive(Debug)]
pub(crate) struct Ingress {
    egress: ChannelEgress,
    rest_until: Option<Instant>,
    lost_said: u64,
}

impl Ingress {
    pub(crate) fn new(egress: ChannelEgress) -> Self {
        Self { egress, rest_until: None, lost_said: 0 }
    }

    /// Waits for envelopes and appends them; forever when nobody can send any more. Nothing is lost
    /// when this is given up.
    pub(crate) async fn next(&mut self, into: &mut Vec<Envelope>) {
        if let Some(until) = self.rest_until {
            sleep_until(until).await;
            self.rest_until = None;
        }
        let taken = self.egress.envelopes.recv_many(into, BATCH_MAX).await;
        if taken == 0 {
            std::future::pending::<()>().await;
        }
        self.rest_until = (taken < BATCH_MAX).then(|| Instant::now() + GATHER);
    }

    /// Appends what waits already.
    pub(crate) fn waiting(&mut self, into: &mut Vec<Envelope>) {
        let waiting = self.egress.envelopes.len();
        into.extend((0..waiting).map_while(|_| self.egress.envelopes.try_recv().ok()));
    }

    /// Takes no more in, and appends some of what waits; none when that was all.
    pub(crate) async fn last(&mut self, into: &mut Vec<Envelope>) -> usize {
        self.egress.envelopes.close();
        self.egress.envelopes.recv_many(into, BATCH_MAX).await
    }

    /// How many envelopes did not fit since this was last asked.
    pub(crate) fn newly_lost(&mut self) -> u64 {
        let lost = self.egress.lost.load(Ordering::Relaxed);
        let newly = lost.saturating_sub(self.lost_said);
        self.lost_said = lost;
        newly
    }
}

#[cfg(test)]
mod tests {
    use lattice_daemon::log_ingress::{self, ChannelIngress, LogIngress as _};
    use lattice_model::Time;
    use lattice_model::envelope::Log;
    use tokio::time::timeout;

    use super::*;

    fn emit(to: &ChannelIngress, lines: usize) {
        let line = || Envelope::log("web".into(), "0".into(), Time(0), Log::out("APP".into(), "x"));
        (0..lines).for_each(|_| assert!(to.emit(line())));
    }

    /// How many the next batch holds; none if it is not there yet.
    async fn taken(ingress: &mut Ingress) -> Option<usize> {
        let mut batch = Vec::new();
        timeout(Duration::ZERO, ingress.next(&mut batch)).await.ok()?;
        Some(batch.len())
    }

    #[tokio::test]
    async fn the_first_line_is_taken_at_once_and_the_next_ones_together_after_a_rest() {
        let (sender, egress) = log_ingress::channel();
        let mut ingress = Ingress::new(egress);
        emit(&sender, 1);
        let before = Instant::now();
        assert_eq!(taken(&mut ingress).await, Some(1));
        let until = ingress.rest_until.expect("it rests");
        assert!((before + GATHER..=Instant::now() + GATHER).contains(&until));
        // A rest that does not end while this runs.
        ingress.rest_until = Some(until + Duration::from_secs(3600));
        for _ in 0..2 {
            emit(&sender, 1);
            assert_eq!(taken(&mut ingress).await, None);
        }
        ingress.rest_until = Some(Instant::now());
        assert_eq!(taken(&mut ingress).await, Some(2));
    }

    #[tokio::test]
    async fn there_is_no_rest_while_more_waits_than_is_taken_at_once() {
        let (sender, egress) = log_ingress::channel();
        let mut ingress = Ingress::new(egress);
        emit(&sender, BATCH_MAX + 1);
        assert_eq!(taken(&mut ingress).await, Some(BATCH_MAX));
        assert_eq!(taken(&mut ingress).await, Some(1));
        assert!(ingress.rest_until.is_some());
    }
}
