//! Log lines as people read them: time, source, instance, text.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lattice_model::envelope::{Log, LogStream, Message};
use lattice_model::{Envelope, Time};
use serde::Serialize;

use super::palette::Palette;

/// `MM/DD HH:MM:SS.cc [SOURCE|INSTANCE] text`; `None` for a measurement.
pub fn render(envelope: &Envelope, zone: &TimeZone, palette: Palette) -> Option<String> {
    let log = log_of(envelope)?;
    let source = format!("[{}|{}]", log.source_type, envelope.instance_id);
    let time = civil(envelope.timestamp, zone);
    Some(format!(
        "{} {} {}",
        palette.cyan(&time),
        palette.yellow(&source),
        String::from_utf8_lossy(&log.payload)
    ))
}

/// A log line for programs; one document a line.
#[derive(Debug, Serialize)]
pub struct LogRecord {
    /// Nanoseconds since the Unix epoch.
    pub timestamp_ns: i64,
    /// The application id.
    pub app: String,
    /// Who wrote it.
    pub source: String,
    /// Which instance.
    pub instance: String,
    /// `out` or `err`.
    pub stream: &'static str,
    /// The line; bytes that are not UTF-8 are replaced.
    pub message: String,
}

/// A log line for programs; `None` for a measurement.
pub fn record(envelope: &Envelope) -> Option<LogRecord> {
    let log = log_of(envelope)?;
    Some(LogRecord {
        timestamp_ns: envelope.timestamp.0,
        app: envelope.source_id.to_string(),
        source: log.source_type.to_string(),
        instance: envelope.instance_id.to_string(),
        stream: match log.stream {
            LogStream::Out => "out",
            LogStream::Err => "err",
        },
        message: String::from_utf8_lossy(&log.payload).into_owned(),
    })
}

/// The log line an envelope carries.
pub fn log_of(envelope: &Envelope) -> Option<&Log> {
    match &envelope.message {
        Message::Log(log) => Some(log),
        Message::ContainerMetric(_) => None,
    }
}

/// `MM/DD HH:MM:SS.cc`, where the person is.
pub fn civil(time: Time, zone: &TimeZone) -> String {
    let timestamp = Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or(Timestamp::UNIX_EPOCH);
    let at = timestamp.to_zoned(zone.clone());
    let hundredths = at.subsec_nanosecond() / 10_000_000;
    format!(
        "{:02}/{:02} {:02}:{:02}:{:02}.{hundredths:02}",
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(log: Log) -> Envelope {
        Envelope::log("web".into(), "2".into(), Time(1_440_000_000_987_654_321), log)
    }

    #[test]
    fn a_line_has_time_source_and_instance() {
        let line = envelope(Log::out("APP".into(), "hello"));
        let text = render(&line, &TimeZone::UTC, Palette::new(false)).unwrap();
        assert_eq!(text, "08/19 16:00:00.98 [APP|2] hello");
        let coloured = render(&line, &TimeZone::UTC, Palette::new(true)).unwrap();
        assert_eq!(coloured, "\x1b[36m08/19 16:00:00.98\x1b[0m \x1b[33m[APP|2]\x1b[0m hello");
    }

    #[test]
    fn programs_get_a_document_a_line() {
        let line = envelope(Log::err("HEALTH".into(), b"bad \xff"));
        insta::assert_snapshot!(
            serde_json::to_string(&record(&line).unwrap()).unwrap(),
            @r#"{"timestamp_ns":1440000000987654321,"app":"web","source":"HEALTH","instance":"2","stream":"err","message":"bad �"}"#
        );
    }
}
