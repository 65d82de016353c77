//! Hands lines to the log-aggregator; what does not fit is counted, and the count becomes a line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lattice_daemon::log_ingress::LogIngress;
use lattice_model::envelope::{Log, LogStream};
use lattice_model::{Envelope, Time};

use super::SOURCE_CELL;

/// The way of one instance's lines into the log-aggregator.
pub struct Shipper {
    ingress: Arc<dyn LogIngress>,
    log_guid: Arc<str>,
    instance_id: Arc<str>,
    lost: AtomicU64,
}

// === impl Shipper ===

impl Shipper {
    /// For one instance.
    pub fn new(ingress: Arc<dyn LogIngress>, log_guid: &str, instance_id: &str) -> Self {
        Self {
            ingress,
            log_guid: log_guid.into(),
            instance_id: instance_id.into(),
            lost: AtomicU64::new(0),
        }
    }

    /// Hands one line over, after the loss before it, if any.
    pub fn ship(&self, source: &Arc<str>, stream: LogStream, line: &[u8], now: Time) {
        self.tell_loss(now);
        let log = Log { payload: line.into(), stream, source_type: Arc::clone(source) };
        if !self.emit(log, now) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tell_loss(&self, now: Time) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        let words = format!("{lost} log lines were lost here: the log-aggregator did not keep up");
        if !self.emit(Log::err(SOURCE_CELL.into(), words), now) {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
    }

    fn emit(&self, log: Log, now: Time) -> bool {
        let (guid, instance) = (Arc::clone(&self.log_guid), Arc::clone(&self.instance_id));
        self.ingress.emit(Envelope::log(guid, instance, now, log))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use lattice_model::envelope::Message;

    use super::*;

    #[derive(Default)]
    struct Valve {
        is_shut: AtomicBool,
        lines: Mutex<Vec<String>>,
    }

    impl LogIngress for Valve {
        fn emit(&self, envelope: Envelope) -> bool {
            let Message::Log(log) = envelope.message else { return true };
            let is_open = !self.is_shut.load(Ordering::Relaxed);
            if is_open {
                let text = String::from_utf8(log.payload.to_vec()).unwrap();
                self.lines.lock().unwrap().push(format!("{} {text}", log.source_type));
            }
            is_open
        }
    }

    #[test]
    fn a_loss_becomes_a_line_with_the_count_where_the_lines_are_missing() {
        let valve = Arc::new(Valve::default());
        let shipper = Shipper::new(Arc::clone(&valve) as Arc<dyn LogIngress>, "app", "0");
        let source = Arc::from("APP");
        let ship = |line: &str| {
            shipper.ship(&source, LogStream::Out, line.as_bytes(), Time::from_secs(1));
        };
        ship("one");
        valve.is_shut.store(true, Ordering::Relaxed);
        ship("two");
        ship("three");
        valve.is_shut.store(false, Ordering::Relaxed);
        ship("four");
        ship("five");
        let expected = [
            "APP one",
            "CELL 2 log lines were lost here: the log-aggregator did not keep up",
            "APP four",
            "APP five",
        ];
        assert_eq!(*valve.lines.lock().unwrap(), expected);
    }
}
