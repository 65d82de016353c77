//! A worker's access lines on their way to the log-aggregator: gathered for some milliseconds, so
//! that a busy worker wakes the log's owner some hundred times a second, not once a request.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::log_ingress::LogIngress;
use lattice_model::Envelope;
use tokio::sync::Notify;

use crate::access_log::{self, Line};
use crate::metrics::{self, Traffic};

/// How long a line waits for others.
const GATHER: Duration = Duration::from_millis(5);
/// How many lines wait at most.
const WAITING_MAX: usize = 256;
/// The text is written into memory that is kept, unless a line was this long.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// The lines. What still waits is handed over when they are dropped.
pub(crate) struct Lines {
    logs: Arc<dyn LogIngress>,
    traffic: Arc<Traffic>,
    waiting: RefCell<Vec<Envelope>>,
    text: Cell<Vec<u8>>,
    begun: Notify,
}

// === impl Lines ===

impl Lines {
    pub(crate) fn new(logs: Arc<dyn LogIngress>, traffic: Arc<Traffic>) -> Self {
        let (waiting, text) = (RefCell::default(), Cell::default());
        Self { logs, traffic, waiting, text, begun: Notify::new() }
    }

    /// Takes a line: `envelope` makes one of its text.
    pub(crate) fn add(&self, line: &Line<'_>, envelope: impl FnOnce(&[u8]) -> Envelope) {
        let mut text = self.text.take();
        access_log::write(&mut text, line);
        let envelope = envelope(&text);
        if text.len() <= KEPT_BYTES_MAX {
            text.clear();
            self.text.set(text);
        }
        self.push(envelope);
    }

    /// Takes a line that is written already.
    pub(crate) fn push(&self, envelope: Envelope) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(envelope);
        match waiting.len() {
            1 => self.begun.notify_one(),
            WAITING_MAX => self.hand_over(&mut waiting),
            _ => {}
        }
    }

    /// Hands lines over while the worker runs.
    pub(crate) async fn run(&self) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(GATHER).await;
            self.hand_over(&mut self.waiting.borrow_mut());
        }
    }

    fn hand_over(&self, waiting: &mut Vec<Envelope>) {
        let lost = self.logs.emit_all(waiting);
        metrics::add(&self.traffic.lines_lost, lost);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let mut waiting = self.waiting.take();
        self.hand_over(&mut waiting);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use lattice_daemon::log_ingress;
    use lattice_model::Time;
    use lattice_model::envelope::Log;

    use super::*;

    fn add(lines: &Lines, n: usize) {
        let line = Line {
            host: b"web.test",
            at: Time(0),
            method: b"GET",
            target: b"/",
            version: "HTTP/1.1",
            status: 200,
            received: 0,
            sent: 0,
            referer: b"",
            user_agent: b"",
            client: "",
            backend: "",
            forwarded_for: b"",
            forwarded_proto: b"",
            request_id: b"",
            took: Duration::ZERO,
            took_here: Duration::ZERO,
            app: "web",
            index: "0",
            instance_id: "",
            error: "",
            extra: &[],
            headers: &[],
        };
        for _ in 0..n {
            lines.add(&line, |text| {
                Envelope::log("web".into(), "0".into(), Time(0), Log::out("RTR".into(), text))
            });
        }
    }

    #[tokio::test]
    async fn lines_are_handed_over_after_a_while_or_when_they_are_many() {
        let (ingress, mut egress) = log_ingress::channel();
        let lines = Lines::new(Arc::new(ingress), Arc::default());
        add(&lines, 1);
        assert!(egress.envelopes.try_recv().is_err(), "it waits for others");
        tokio::select! {
            () = lines.run() => {}
            envelope = egress.envelopes.recv() => assert!(envelope.is_some()),
        }
        add(&lines, WAITING_MAX);
        assert_eq!(egress.envelopes.len(), WAITING_MAX);
    }

    #[test]
    fn what_waits_at_the_end_is_handed_over_and_losses_are_counted() {
        let (ingress, egress) = log_ingress::channel();
        let traffic = Arc::new(Traffic::default());
        let lines = Lines::new(Arc::new(ingress), traffic.clone());
        add(&lines, log_ingress::PENDING_MAX + 3);
        drop(lines);
        assert_eq!(egress.envelopes.len(), log_ingress::PENDING_MAX);
        assert_eq!(traffic.lines_lost.load(Ordering::Relaxed), 3);
        assert_eq!(egress.lost.load(Ordering::Relaxed), 3);
    }
}
