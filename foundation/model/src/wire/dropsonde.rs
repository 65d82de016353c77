//! Dropsonde v1 envelopes (proto2), the form in which listeners receive logs and metrics.
//!
//! Only log lines and container metrics have a place in [`Envelope`]; the other kinds are known
//! by name, and refused by it.

pub mod proto;

use std::time::Duration;

use prost::Message as _;

use crate::envelope::{ContainerMetric, Envelope, Log, LogStream, Message};
use crate::packed::Labels;
use crate::time::Time;

/// What `origin` says in every envelope of ours.
pub const ORIGIN: &str = "lattice";

/// What a server counts of itself; it has no place in [`Envelope`], and is only sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Metric {
    /// A counter's step.
    Counter {
        /// Of what.
        name: String,
        /// How many more.
        delta: u64,
        /// How many in all.
        total: u64,
    },
    /// A value at a moment.
    Value {
        /// Of what.
        name: String,
        /// How much.
        value: f64,
        /// In which unit; empty for none.
        unit: &'static str,
    },
}

/// Why bytes are not an envelope that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf, or not of this schema.
    #[error("not a dropsonde envelope: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// A field that its kind cannot be without is absent.
    #[error("a dropsonde envelope without its {0}")]
    Missing(&'static str),
    /// A number that the schema gives no meaning.
    #[error("a dropsonde envelope with {field} {value}, which is none")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// What it held.
        value: i32,
    },
    /// A kind that has no place here.
    #[error("a dropsonde envelope of kind {0:?}, which is not carried")]
    Unsupported(proto::EventType),
}

/// The envelope's bytes. A container metric's instance id is told as its index.
pub fn encode(envelope: &Envelope) -> Vec<u8> {
    encode_tagged(ORIGIN, envelope, &Labels::default())
}

/// The bytes of an envelope of `origin`, with these tags.
pub fn encode_tagged(origin: &str, envelope: &Envelope, tags: &Labels) -> Vec<u8> {
    let mut bytes = begun(origin, envelope.timestamp, tags);
    match &envelope.message {
        Message::Log(log) => {
            bytes.event_type = Some(proto::EventType::LogMessage.into());
            bytes.log_message = Some(log_message(envelope, log));
        }
        Message::ContainerMetric(metric) => {
            bytes.event_type = Some(proto::EventType::ContainerMetric.into());
            bytes.container_metric = Some(container_metric(envelope, metric));
        }
    }
    bytes.encode_to_vec()
}

/// The bytes of a metric of `origin`.
pub fn encode_metric(origin: &str, at: Time, metric: &Metric) -> Vec<u8> {
    let mut bytes = begun(origin, at, &Labels::default());
    match metric {
        Metric::Counter { name, delta, total } => {
            let (name, delta, total) = (name.clone(), *delta, Some(*total));
            bytes.event_type = Some(proto::EventType::CounterEvent.into());
            bytes.counter_event = Some(proto::CounterEvent { name, delta, total });
        }
        Metric::Value { name, value, unit } => {
            let (name, value, unit) = (name.clone(), *value, (*unit).to_owned());
            bytes.event_type = Some(proto::EventType::ValueMetric.into());
            bytes.value_metric = Some(proto::ValueMetric { name, value, unit });
        }
    }
    bytes.encode_to_vec()
}

/// The bytes of a request that was served, of `origin`, with these tags.
pub fn encode_request(
    origin: &str,
    at: Time,
    request: proto::HttpStartStop,
    tags: &Labels,
) -> Vec<u8> {
    let mut bytes = begun(origin, at, tags);
    bytes.event_type = Some(proto::EventType::HttpStartStop.into());
    bytes.http_start_stop = Some(request);
    bytes.encode_to_vec()
}

fn begun(origin: &str, at: Time, tags: &Labels) -> proto::Envelope {
    let tags = tags.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    proto::Envelope {
        origin: origin.to_owned(),
        timestamp: Some(at.0),
        tags: tags.collect(),
        ..Default::default()
    }
}

/// The envelope that the bytes hold. A log line's own time wins over the envelope's.
pub fn decode(bytes: &[u8]) -> Result<Envelope, DecodeError> {
    let envelope = proto::Envelope::decode(bytes)?;
    let kind = envelope.event_type.ok_or(DecodeError::Missing("event type"))?;
    let kind = proto::EventType::try_from(kind)
        .map_err(|_| DecodeError::Unknown { field: "event type", value: kind })?;
    match kind {
        proto::EventType::LogMessage => from_log_message(envelope),
        proto::EventType::ContainerMetric => from_container_metric(envelope),
        other => Err(DecodeError::Unsupported(other)),
    }
}

fn log_message(envelope: &Envelope, log: &Log) -> proto::LogMessage {
    let stream = match log.stream {
        LogStream::Out => proto::MessageType::Out,
        LogStream::Err => proto::MessageType::Err,
    };
    proto::LogMessage {
        message: log.payload.to_vec(),
        message_type: Some(stream.into()),
        timestamp: envelope.timestamp.0,
        app_id: Some(envelope.source_id.as_ref().to_owned()),
        source_type: Some(log.source_type.as_ref().to_owned()),
        source_instance: Some(envelope.instance_id.as_ref().to_owned()),
    }
}

fn container_metric(envelope: &Envelope, metric: &ContainerMetric) -> proto::ContainerMetric {
    proto::ContainerMetric {
        application_id: envelope.source_id.as_ref().to_owned(),
        instance_index: metric.instance_index,
        cpu_percentage: metric.cpu_percentage,
        memory_bytes: metric.memory_bytes,
        disk_bytes: metric.disk_bytes,
        memory_bytes_quota: Some(metric.memory_bytes_quota),
        disk_bytes_quota: Some(metric.disk_bytes_quota),
        cpu_entitlement_percentage: Some(metric.cpu_entitlement_percentage).filter(|&n| n > 0.0),
        age_ns: u64::try_from(metric.age.as_nanos()).ok().filter(|&n| n > 0),
        received_bytes: Some(metric.received_bytes).filter(|&n| n > 0),
        sent_bytes: Some(metric.sent_bytes).filter(|&n| n > 0),
    }
}

fn from_log_message(envelope: proto::Envelope) -> Result<Envelope, DecodeError> {
    let line = envelope.log_message.ok_or(DecodeError::Missing("log message"))?;
    let stream = line.message_type.ok_or(DecodeError::Missing("message type"))?;
    let stream = match proto::MessageType::try_from(stream) {
        Ok(proto::MessageType::Out) => LogStream::Out,
        Ok(proto::MessageType::Err) => LogStream::Err,
        Err(_) => return Err(DecodeError::Unknown { field: "message type", value: stream }),
    };
    Ok(Envelope {
        source_id: line.app_id.unwrap_or_default().into(),
        instance_id: line.source_instance.unwrap_or_default().into(),
        timestamp: Time(line.timestamp),
        message: Message::Log(Log {
            payload: line.message.into(),
            stream,
            source_type: line.source_type.unwrap_or_default().into(),
        }),
    })
}

fn from_container_metric(envelope: proto::Envelope) -> Result<Envelope, DecodeError> {
    let metric = envelope.container_metric.ok_or(DecodeError::Missing("container metric"))?;
    Ok(Envelope {
        source_id: metric.application_id.into(),
        instance_id: metric.instance_index.to_string().into(),
        timestamp: Time(envelope.timestamp.unwrap_or_default()),
        message: Message::ContainerMetric(ContainerMetric {
            instance_index: metric.instance_index,
            cpu_percentage: metric.cpu_percentage,
            memory_bytes: metric.memory_bytes,
            disk_bytes: metric.disk_bytes,
            memory_bytes_quota: metric.memory_bytes_quota.unwrap_or_default(),
            disk_bytes_quota: metric.disk_bytes_quota.unwrap_or_default(),
            cpu_entitlement_percentage: metric.cpu_entitlement_percentage.unwrap_or_default(),
            age: Duration::from_nanos(metric.age_ns.unwrap_or_default()),
            received_bytes: metric.received_bytes.unwrap_or_default(),
            sent_bytes: metric.sent_bytes.unwrap_or_default(),
        }),
    })
}

#[cfg(test)]
mod tests;
