//! The messages of dropsonde's schema, field by field, as prost wants them (logs 3.1).
//!
//! The schema calls a few fields required that are an `Option` here, so that their absence can be
//! told from a zero; the bytes are the same.

use std::collections::BTreeMap;

/// What every message travels in.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Envelope {
    /// Who sent it.
    #[prost(string, required, tag = "1")]
    pub origin: String,
    /// Which of the fields below holds the event; required.
    #[prost(enumeration = "EventType", optional, tag = "2")]
    pub event_type: Option<i32>,
    /// Nanoseconds since the epoch.
    #[prost(int64, optional, tag = "6")]
    pub timestamp: Option<i64>,
    /// A request that was served.
    #[prost(message, optional, tag = "7")]
    pub http_start_stop: Option<HttpStartStop>,
    /// A log line.
    #[prost(message, optional, tag = "8")]
    pub log_message: Option<LogMessage>,
    /// A measurement.
    #[prost(message, optional, tag = "9")]
    pub value_metric: Option<ValueMetric>,
    /// A counter's step.
    #[prost(message, optional, tag = "10")]
    pub counter_event: Option<CounterEvent>,
    /// A fault.
    #[prost(message, optional, tag = "11")]
    pub error: Option<Error>,
    /// What a container uses.
    #[prost(message, optional, tag = "12")]
    pub container_metric: Option<ContainerMetric>,
    /// The sender's deployment.
    #[prost(string, optional, tag = "13")]
    pub deployment: Option<String>,
    /// The sender's job.
    #[prost(string, optional, tag = "14")]
    pub job: Option<String>,
    /// The sender's index in its job.
    #[prost(string, optional, tag = "15")]
    pub index: Option<String>,
    /// The sender's address.
    #[prost(string, optional, tag = "16")]
    pub ip: Option<String>,
    /// Anything else.
    #[prost(btree_map = "string, string", tag = "17")]
    pub tags: BTreeMap<String, String>,
}

/// The kinds of events; the first three are no longer sent by anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// The start of a request.
    HttpStart = 1,
    /// The end of a request.
    HttpStop = 2,
    /// A sign of life.
    Heartbeat = 3,
    /// A request, start and end.
    HttpStartStop = 4,
    /// A log line.
    LogMessage = 5,
    /// A measurement.
    ValueMetric = 6,
    /// A counter's step.
    CounterEvent = 7,
    /// A fault.
    Error = 8,
    /// What a container uses.
    ContainerMetric = 9,
}

/// The stream a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MessageType {
    /// Standard output.
    Out = 1,
    /// Standard error.
    Err = 2,
}

/// A log line.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LogMessage {
    /// The line.
    #[prost(bytes = "vec", required, tag = "1")]
    pub message: Vec<u8>,
    /// The stream; required.
    #[prost(enumeration = "MessageType", optional, tag = "2")]
    pub message_type: Option<i32>,
    /// Nanoseconds since the epoch; what a reader is shown.
    #[prost(int64, required, tag = "3")]
    pub timestamp: i64,
    /// The app.
    #[prost(string, optional, tag = "4")]
    pub app_id: Option<String>,
    /// `APP`, `RTR`, `CELL`, ...
    #[prost(string, optional, tag = "5")]
    pub source_type: Option<String>,
    /// The instance's index.
    #[prost(string, optional, tag = "6")]
    pub source_instance: Option<String>,
}

/// A measurement.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueMetric {
    /// Of what.
    #[prost(string, required, tag = "1")]
    pub name: String,
    /// How much.
    #[prost(double, required, tag = "2")]
    pub value: f64,
    /// In which unit.
    #[prost(string, required, tag = "3")]
    pub unit: String,
}

/// A counter's step.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CounterEvent {
    /// Of what.
    #[prost(string, required, tag = "1")]
    pub name: String,
    /// The step.
    #[prost(uint64, required, tag = "2")]
    pub delta: u64,
    /// All steps so far.
    #[prost(uint64, optional, tag = "3")]
    pub total: Option<u64>,
}

/// A fault.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Error {
    /// Where.
    #[prost(string, required, tag = "1")]
    pub source: String,
    /// Which.
    #[prost(int32, required, tag = "2")]
    pub code: i32,
    /// What.
    #[prost(string, required, tag = "3")]
    pub message: String,
}

/// What a container uses.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerMetric {
    /// The app.
    #[prost(string, required, tag = "1")]
    pub application_id: String,
    /// The instance.
    #[prost(int32, required, tag = "2")]
    pub instance_index: i32,
    /// Percent of one core.
    #[prost(double, required, tag = "3")]
    pub cpu_percentage: f64,
    /// Memory in use.
    #[prost(uint64, required, tag = "4")]
    pub memory_bytes: u64,
    /// Disk in use.
    #[prost(uint64, required, tag = "5")]
    pub disk_bytes: u64,
    /// The memory limit.
    #[prost(uint64, optional, tag = "6")]
    pub memory_bytes_quota: Option<u64>,
    /// The disk limit.
    #[prost(uint64, optional, tag = "7")]
    pub disk_bytes_quota: Option<u64>,
    /// Percent of one core that it has at least. Ours, like all from here on: a reader that does
    /// not know them passes them over.
    #[prost(double, optional, tag = "101")]
    pub cpu_entitlement_percentage: Option<f64>,
    /// How long it has been there, in nanoseconds.
    #[prost(uint64, optional, tag = "102")]
    pub age_ns: Option<u64>,
    /// What came to it by network.
    #[prost(uint64, optional, tag = "103")]
    pub received_bytes: Option<u64>,
    /// What it sent.
    #[prost(uint64, optional, tag = "104")]
    pub sent_bytes: Option<u64>,
}

/// A request, start and end.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HttpStartStop {
    /// When it began, in nanoseconds since the epoch.
    #[prost(int64, required, tag = "1")]
    pub start_timestamp: i64,
    /// When it ended.
    #[prost(int64, required, tag = "2")]
    pub stop_timestamp: i64,
    /// Its id.
    #[prost(message, optional, tag = "3")]
    pub request_id: Option<Uuid>,
    /// 1 the client tells, 2 the server.
    #[prost(int32, required, tag = "4")]
    pub peer_type: i32,
    /// The method's number.
    #[prost(int32, required, tag = "5")]
    pub method: i32,
    /// What was asked for.
    #[prost(string, required, tag = "6")]
    pub uri: String,
    /// Who asked.
    #[prost(string, required, tag = "7")]
    pub remote_address: String,
    /// With what.
    #[prost(string, required, tag = "8")]
    pub user_agent: String,
    /// The answer's status.
    #[prost(int32, required, tag = "9")]
    pub status_code: i32,
    /// The answer's size.
    #[prost(int64, required, tag = "10")]
    pub content_length: i64,
    /// The app.
    #[prost(message, optional, tag = "12")]
    pub application_id: Option<Uuid>,
    /// The instance.
    #[prost(int32, optional, tag = "13")]
    pub instance_index: Option<i32>,
    /// The instance's guid.
    #[prost(string, optional, tag = "14")]
    pub instance_id: Option<String>,
    /// The proxies it came through.
    #[prost(string, repeated, tag = "15")]
    pub forwarded: Vec<String>,
}

/// Sixteen bytes as two little-endian numbers.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Uuid {
    /// Bytes 0 to 7.
    #[prost(uint64, required, tag = "1")]
    pub low: u64,
    /// Bytes 8 to 15.
    #[prost(uint64, required, tag = "2")]
    pub high: u64,
}
