//! A router's own log on standard output, a JSON object a line, as operators' tooling for gorouter
//! reads it: `{"log_level":1,"timestamp":...,"message":...,"source":"vcap.gorouter","data":{...}}`.

use std::io::Write as _;

use lattice_daemon::clock::{Clock as _, SystemClock};
use lattice_model::Time;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::access_log;

/// Who speaks.
const SOURCE: &str = "vcap.gorouter";

/// How the log looks and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// How a moment is written.
    pub timestamps: Timestamps,
}

/// How a moment is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timestamps {
    /// Seconds since 1970, with their fraction.
    #[default]
    #[serde(alias = "deprecated")]
    UnixEpoch,
    /// `2006-01-02T15:04:05.000000000Z`.
    Rfc3339,
}

/// Starts logging. Returns quietly when it has started already.
pub fn start(logging: &Logging) {
    let filter = EnvFilter::new(&logging.level);
    let lines = Lines { timestamps: logging.timestamps };
    let _ = Registry::default().with(lines.with_filter(filter)).try_init();
}

struct Lines {
    timestamps: Timestamps,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut data = Data::default();
        event.record(&mut data);
        let line = line(self.timestamps, SystemClock.now(), *event.metadata().level(), &data);
        let mut out = std::io::stdout().lock();
        // Nobody is left to be told when standard output is gone.
        let _ = writeln!(out, "{line}");
    }
}

#[derive(Default)]
struct Data {
    message: String,
    fields: Map<String, Value>,
}

impl Data {
    fn note(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Data {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.note(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        // What is JSON already stays so: lists above all.
        let list = value.starts_with('[').then(|| serde_json::from_str(value).ok()).flatten();
        self.note(field, list.unwrap_or_else(|| value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, value.into());
    }
}

/// A line, its keys in gorouter's order: who reads it may look for one behind another.
#[derive(serde::Serialize)]
struct Line<'d> {
    log_level: u8,
    timestamp: Value,
    message: &'d str,
    source: &'static str,
    data: &'d Map<String, Value>,
}

fn line(timestamps: Timestamps, at: Time, level: Level, data: &Data) -> String {
    let log_level = match level {
        Level::TRACE | Level::DEBUG => 0,
        Level::INFO => 1,
        Level::WARN => 2,
        Level::ERROR => 3,
    };
    let timestamp: Value = match timestamps {
        Timestamps::Rfc3339 => {
            let mut text = String::new();
            access_log::timestamp(&mut text, at);
            text.into()
        }
        #[allow(clippy::cast_precision_loss, reason = "gorouter's is a float, too")]
        Timestamps::UnixEpoch => (at.0 as f64 / 1e9).into(),
    };
    let (message, fields) = (&data.message, &data.fields);
    let line = Line { log_level, timestamp, message, source: SOURCE, data: fields };
    serde_json::to_string(&line).unwrap_or_else(|error| format!("{message}: {error}"))
}

#[test]
fn lines_read_as_gorouters() {
    let data = Data {
        message: "sharding".into(),
        fields: Map::from_iter([("segments".to_owned(), serde_json::json!(["is1"]))]),
    };
    for (timestamps, at) in [
        (Timestamps::UnixEpoch, "1700000000.5"),
        (Timestamps::Rfc3339, "\"2023-11-14T22:13:20.500000000Z\""),
    ] {
        let text = line(timestamps, Time(1_700_000_000_500_000_000), Level::WARN, &data);
        let expected = format!(
            "{{\"log_level\":2,\"timestamp\":{at},\"message\":\"sharding\",\
             \"source\":\"vcap.gorouter\",\"data\":{{\"segments\":[\"is1\"]}}}}"
        );
        assert_eq!(text, expected);
    }
}
