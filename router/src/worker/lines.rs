//! A worker's access lines on their way to the log-aggregator: gathered for some milliseconds, so
//! that a busy worker wakes the log's owner some hundred times a second, not once a request.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use lattice_daemon::log_ingress::LogIngress;
use lattice_daemon::queue::Weight as _;
use lattice_model::envelope::LINE_BYTES_MAX;
use tokio::sync::Notify;

use super::Shared;
use crate::access_log::{self, Line};
use crate::metrics::{self, Traffic};
use crate::records::{DATAGRAM_BYTES_MAX, Record, Records};

/// How long a line waits for others.
const GATHER: Duration = Duration::from_millis(5);
/// How many lines wait at most.
const WAITING_MAX: usize = 256;
/// A record that takes more waits for no others, and memory is not kept which a longer line was
/// written into.
const USUAL_BYTES_MAX: usize = 16 * 1024;

/// The lines. What still waits is handed over when they are dropped.
pub(crate) struct Lines {
    to: Way,
    traffic: Arc<Traffic>,
    waiting: RefCell<Vec<Record>>,
    text: Cell<Vec<u8>>,
    begun: Notify,
}

/// Where lines go.
pub(crate) enum Way {
    /// Into the log of the platform.
    Log(Arc<dyn LogIngress>),
    /// To a writer of their own.
    Writer(Records),
}

// === impl Way ===

impl Way {
    pub(crate) fn of(shared: &Shared) -> Self {
        match &shared.records {
            Some(records) => Self::Writer(records.clone()),
            None => Self::Log(shared.logs.clone()),
        }
    }

    /// The longest line that goes there whole.
    fn line_bytes_max(&self) -> usize {
        match self {
            Self::Log(_) => LINE_BYTES_MAX,
            Self::Writer(_) => usize::MAX,
        }
    }

    fn hand_over(&self, waiting: &mut Vec<Record>) -> u64 {
        match self {
            Self::Log(logs) => logs.emit_all(&mut waiting.drain(..).map(|record| record.envelope)),
            Self::Writer(records) => records.send_all(&mut waiting.drain(..)),
        }
    }
}

// === impl Lines ===

impl Lines {
    pub(crate) fn new(to: Way, traffic: Arc<Traffic>) -> Self {
        let (waiting, text) = (RefCell::default(), Cell::default());
        Self { to, traffic, waiting, text, begun: Notify::new() }
    }

    /// Takes a line: `record` makes one of its text.
    pub(crate) fn add(&self, line: &Line<'_>, record: impl FnOnce(&[u8]) -> Record) {
        let mut text = self.text.take();
        access_log::write(&mut text, line);
        let max = self.to.line_bytes_max();
        let mut record = match text.len() > max {
            true => record(&access_log::within(line, max)),
            false => record(&text),
        };
        if max > DATAGRAM_BYTES_MAX && text.len() > DATAGRAM_BYTES_MAX {
            record.short = Some(access_log::within(line, DATAGRAM_BYTES_MAX).into());
        }
        if text.len() <= USUAL_BYTES_MAX {
            text.clear();
            self.text.set(text);
        }
        self.push(record);
    }

    /// Takes a line that is written already.
    pub(crate) fn push(&self, record: Record) {
        let mut waiting = self.waiting.borrow_mut();
        let is_long = record.bytes() > USUAL_BYTES_MAX;
        waiting.push(record);
        match waiting.len() {
            WAITING_MAX => self.hand_over(&mut waiting),
            _ if is_long => self.hand_over(&mut waiting),
            1 => self.begun.notify_one(),
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

    fn hand_over(&self, waiting: &mut Vec<Record>) {
        let lost = self.to.hand_over(waiting);
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
    use lattice_model::envelope::{Log, Message};
    use lattice_model::{Envelope, Time};

    use super::*;

    fn record(text: &[u8]) -> Record {
        Envelope::log("web".into(), "0".into(), Time(0), Log::out("RTR".into(), text)).into()
    }

    fn add(lines: &Lines, n: usize) {
        for _ in 0..n {
            lines.add(&Line::for_test(), record);
        }
    }

    /// The length of what a log gets of a line with such a target, or a writer, with the short form.
    fn lengths_of(target: &[u8]) -> (usize, usize, Option<usize>) {
        let line = Line { target, ..Line::for_test() };
        let (ingress, mut egress) = log_ingress::channel();
        let logs = Lines::new(Way::Log(Arc::new(ingress)), Arc::default());
        logs.add(&line, record);
        drop(logs);
        let (records, mut writer) = crate::records::channel(false);
        let lines = Lines::new(Way::Writer(records), Arc::default());
        lines.add(&line, record);
        drop(lines);
        let length = |envelope: &Envelope| match &envelope.message {
            Message::Log(log) => log.payload.len(),
            Message::ContainerMetric(_) => 0,
        };
        let written = writer.records.try_recv().unwrap();
        let short = written.short.as_deref().map(<[u8]>::len);
        (length(&egress.envelopes.try_recv().unwrap()), length(&written.envelope), short)
    }

    #[test]
    fn a_line_is_short_only_where_it_must_be() {
        let without = lengths_of(b"").0;
        for (target, logged, short) in
            [(60_000, Some(60_000), None), (64_000, None, None), (70_000, None, Some(()))]
        {
            let (log, written, datagram) = lengths_of(&vec![b'a'; target]);
            assert_eq!(written, without + target);
            assert_eq!((log == written, log <= LINE_BYTES_MAX), (logged.is_some(), true));
            assert_eq!(datagram.map(|length| assert!(length < 30_000)), short, "{target}");
        }
    }

    #[tokio::test]
    async fn lines_are_handed_over_after_a_while_or_when_they_are_many() {
        let (ingress, mut egress) = log_ingress::channel();
        let lines = Lines::new(Way::Log(Arc::new(ingress)), Arc::default());
        add(&lines, 1);
        assert!(egress.envelopes.try_recv().is_err(), "it waits for others");
        tokio::select! {
            () = lines.run() => {}
            envelope = egress.envelopes.recv() => assert!(envelope.is_some()),
        }
        add(&lines, WAITING_MAX);
        assert_eq!(egress.envelopes.len(), WAITING_MAX);
        add(&lines, 1);
        lines.push(record(&[b'x'; USUAL_BYTES_MAX]));
        assert_eq!(egress.envelopes.len(), WAITING_MAX + 2, "a long one waits for no others");
    }

    /// How many of more lines than fit are counted as lost.
    fn lost_on(way: Way) -> u64 {
        let traffic = Arc::new(Traffic::default());
        add(&Lines::new(way, traffic.clone()), log_ingress::PENDING_MAX + 3);
        traffic.lines_lost.load(Ordering::Relaxed)
    }

    #[test]
    fn what_waits_at_the_end_is_handed_over_and_losses_are_counted() {
        let (ingress, egress) = log_ingress::channel();
        assert_eq!(lost_on(Way::Log(Arc::new(ingress))), 3);
        assert_eq!(egress.envelopes.len(), log_ingress::PENDING_MAX);
        assert_eq!(egress.lost.load(Ordering::Relaxed), 3);
        let (records, writer) = crate::records::channel(false);
        assert_eq!(lost_on(Way::Writer(records)), 3);
        assert_eq!(writer.records.len(), log_ingress::PENDING_MAX);
    }
}
