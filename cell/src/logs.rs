//! An instance's log: pipes to lines to envelopes. It never blocks the app: what exceeds a limit
//! is dropped, and the loss is a line itself.

pub mod limit;
pub mod lines;
pub mod ship;

use std::sync::{Arc, Mutex};

use lattice_daemon::clock::Clock;
use lattice_model::desired_lrp::LogTarget;
use lattice_model::envelope::LogStream;

use self::limit::{LogLimits, LogRate, Verdict};
use self::lines::Splitter;
use self::ship::Shipper;
use crate::runtime::Output;

/// The source of lines that name no other.
pub const SOURCE_DEFAULT: &str = "LOG";
/// The source of what the cell says of its own doing.
pub const SOURCE_CELL: &str = "CELL";
/// The source of what health checks say.
pub const SOURCE_HEALTH: &str = "HEALTH";

/// Writes lines to the log of one instance, as one source. Cheap to clone.
#[derive(Clone)]
pub struct LogWriter {
    instance: Option<Arc<InstanceLog>>,
    source: Arc<str>,
}

struct InstanceLog {
    shipper: Shipper,
    rate: Mutex<LogRate>,
    clock: Arc<dyn Clock>,
}

// === impl LogWriter ===

impl LogWriter {
    /// For one instance, which `instance_id` names; silent when it has no log guid. The app may log
    /// as much as both the limits and the target allow.
    pub fn new(
        target: &LogTarget,
        instance_id: &str,
        limits: LogLimits,
        seams: (Arc<dyn lattice_daemon::log_ingress::LogIngress>, Arc<dyn Clock>),
    ) -> Self {
        let (ingress, clock) = seams;
        let own = target.bytes_per_s_max.unwrap_or(u64::MAX);
        let bytes_per_s = own.min(limits.bytes_per_s);
        let limits = LogLimits { bytes_per_s, ..limits };
        let source = if target.log_source.is_empty() { SOURCE_DEFAULT } else { &target.log_source };
        let instance = (!target.log_guid.is_empty()).then(|| {
            Arc::new(InstanceLog {
                shipper: Shipper::new(ingress, &target.log_guid, instance_id),
                rate: Mutex::new(LogRate::new(limits)),
                clock,
            })
        });
        Self { instance, source: source.into() }
    }

    /// Writes nothing anywhere.
    pub fn silent() -> Self {
        Self { instance: None, source: SOURCE_DEFAULT.into() }
    }

    /// The same log as another source; an empty one changes nothing.
    pub fn as_source(&self, source: &str) -> Self {
        let source = if source.is_empty() { Arc::clone(&self.source) } else { source.into() };
        Self { instance: self.instance.clone(), source }
    }

    /// Who writes.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Says something on the platform's behalf; not limited.
    pub fn out(&self, line: &str) {
        self.say(LogStream::Out, line);
    }

    /// The same to standard error.
    pub fn err(&self, line: &str) {
        self.say(LogStream::Err, line);
    }

    /// Takes a line the app wrote; its rate is limited.
    pub fn app_line(&self, stream: LogStream, line: &[u8]) {
        let Some(instance) = &self.instance else { return };
        let now = instance.clock.now();
        let verdict = instance.rate.lock().expect("no holder panics").admit(line.len(), now);
        match verdict {
            Verdict::Pass => instance.shipper.ship(&self.source, stream, line, now),
            Verdict::Drop => {}
            Verdict::DropAndSay(words) => {
                instance.shipper.ship(&self.source, LogStream::Err, words.as_bytes(), now);
            }
        }
    }

    /// Reads an output to its end and writes its lines. What is written need not be kept any more;
    /// a line that has only begun must be.
    pub async fn pump(self, mut output: Box<dyn Output>, stream: LogStream) {
        let mut splitter = Splitter::default();
        while let Some(chunk) = output.next().await {
            if chunk.lost_before > 0 {
                splitter.finish(|line| self.app_line(stream, line));
                let lost = chunk.lost_before;
                self.as_source(SOURCE_CELL).err(&format!(
                    "{lost} bytes of output were lost here: more was written than is kept while \
                     the platform is away"
                ));
            }
            splitter.push(&chunk.bytes, |line| self.app_line(stream, line));
            output.release(splitter.held());
        }
        splitter.finish(|line| self.app_line(stream, line));
        output.release(0);
    }

    fn say(&self, stream: LogStream, text: &str) {
        let Some(instance) = &self.instance else { return };
        let now = instance.clock.now();
        let mut splitter = Splitter::default();
        let mut ship = |line: &[u8]| instance.shipper.ship(&self.source, stream, line, now);
        splitter.push(text.as_bytes(), &mut ship);
        splitter.finish(ship);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bed, log_target};

    #[tokio::test]
    async fn an_app_logs_what_both_it_and_the_platform_allow() {
        let platform = LogLimits { lines_per_s: 100, bytes_per_s: 10 };
        for (own, expected) in [
            (
                None,
                vec![
                    "APP/0 OUT 12345678",
                    "APP/0 ERR app instance exceeded log rate limit (10 bytes/sec)",
                ],
            ),
            (
                Some(99),
                vec![
                    "APP/0 OUT 12345678",
                    "APP/0 ERR app instance exceeded log rate limit (10 bytes/sec)",
                ],
            ),
            (Some(4), vec!["APP/0 ERR app instance exceeded log rate limit (4 bytes/sec)"]),
            (Some(0), vec![]),
        ] {
            let bed = Bed::new();
            let seams = bed.seams();
            let target = LogTarget { bytes_per_s_max: own, ..log_target("app") };
            let log = LogWriter::new(&target, "0", platform, (seams.logs, seams.clock));
            for _ in 0..3 {
                log.app_line(LogStream::Out, b"12345678");
            }
            assert_eq!(bed.logs.lines(), expected, "{own:?}");
        }
    }
}
