//! What travels from containers to listeners: a log line or a measurement.

use std::sync::Arc;
use std::time::Duration;

use crate::time::Time;

/// The application id that carries the platform's own log.
pub const PLATFORM_LOG_ID: &str = "lattice-debug";

/// One log line or measurement of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The application id: an LRP's log or metrics guid, or [`PLATFORM_LOG_ID`].
    pub source_id: Arc<str>,
    /// The instance's index as text; the cell's id for platform logs.
    pub instance_id: Arc<str>,
    /// When it was sent.
    pub timestamp: Time,
    /// What is told.
    pub message: Message,
}

/// What an envelope tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A line a process wrote, or the platform wrote on its behalf.
    Log(Log),
    /// What a container uses.
    ContainerMetric(ContainerMetric),
}

/// A log line.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// The line without its end; at most [`LINE_BYTES_MAX`].
    pub payload: Arc<[u8]>,
    /// Which stream it was written to.
    pub stream: LogStream,
    /// Who wrote it: `APP`, `HEALTH`, `CELL`, `RTR`, `API`, ...
    pub source_type: Arc<str>,
}

/// The longest line one envelope carries; longer ones are split on a UTF-8 boundary.
pub const LINE_BYTES_MAX: usize = 61_440;

/// Which stream a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What a container uses. What older senders do not tell is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ContainerMetric {
    /// The instance.
    pub instance_index: i32,
    /// Percent of one core.
    pub cpu_percentage: f64,
    /// Memory in use.
    pub memory_bytes: u64,
    /// Disk in use.
    pub disk_bytes: u64,
    /// The memory limit, 0 for none.
    pub memory_bytes_quota: u64,
    /// The disk limit, 0 for none.
    pub disk_bytes_quota: u64,
    /// Percent of one core that it has at least, while all others of its cell want theirs.
    pub cpu_entitlement_percentage: f64,
    /// How long it has been there.
    pub age: Duration,
    /// What came to it by network since it is there, everything that is carried counted.
    pub received_bytes: u64,
    /// What it sent.
    pub sent_bytes: u64,
}

impl Log {
    /// A line written to standard output.
    pub fn out(source_type: Arc<str>, line: impl AsRef<[u8]>) -> Self {
        Self { payload: line.as_ref().into(), stream: LogStream::Out, source_type }
    }

    /// A line written to standard error.
    pub fn err(source_type: Arc<str>, line: impl AsRef<[u8]>) -> Self {
        Self { payload: line.as_ref().into(), stream: LogStream::Err, source_type }
    }
}

impl Envelope {
    /// A log line of `source_id`'s instance.
    pub fn log(source_id: Arc<str>, instance_id: Arc<str>, timestamp: Time, log: Log) -> Self {
        Self { source_id, instance_id, timestamp, message: Message::Log(log) }
    }
}
