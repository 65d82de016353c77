//! The platform's own log made readable: our `LEVEL message field=value` lines, and the JSON
//! that Diego's components write.

use jiff::tz::TimeZone;
use lattice_model::Envelope;
use serde_json::Value;

use super::log_line::{civil, log_of};
use super::palette::Palette;

const SOURCE_WIDTH: usize = 26;

/// One line; `None` for a measurement.
pub fn render(envelope: &Envelope, zone: &TimeZone, palette: Palette) -> Option<String> {
    let log = log_of(envelope)?;
    let text = String::from_utf8_lossy(&log.payload);
    let program = log.source_type.rsplit('/').next().unwrap_or_default();
    let source = format!("[{program}|{}]", envelope.instance_id);
    let time = civil(envelope.timestamp, zone);
    let (level, rest) = from_json(&text).unwrap_or_else(|| from_words(&text));
    Some(format!(
        "{} {} {} {rest}",
        palette.dim(&time),
        paint_source(program, &format!("{source:<SOURCE_WIDTH$}"), palette),
        paint_level(level, palette),
    ))
}

/// `INFO the message field=value`.
fn from_words(text: &str) -> (&'static str, String) {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match level(first) {
        Some(level) => (level, rest.trim_start().to_owned()),
        None => ("", text.to_owned()),
    }
}

/// `{"timestamp":..,"source":..,"message":..,"log_level":1,"data":{..}}`, perhaps behind a prefix.
fn from_json(text: &str) -> Option<(&'static str, String)> {
    let value: Value = serde_json::from_str(&text[text.find('{')?..]).ok()?;
    let message = value.get("message")?.as_str()?;
    let level = match value.get("log_level").and_then(Value::as_u64) {
        Some(0) => "DEBUG",
        Some(1) => "INFO",
        Some(2) => "ERROR",
        Some(3) => "FATAL",
        _ => return None,
    };
    let data = value.get("data").and_then(Value::as_object);
    let fields = data.into_iter().flatten().filter(|(name, _)| *name != "trace");
    let fields = fields.map(|(name, value)| match value.as_str() {
        Some(text) => format!(" {name}={text}"),
        None => format!(" {name}={value}"),
    });
    Some((level, fields.fold(message.to_owned(), |line, field| line + &field)))
}

fn level(word: &str) -> Option<&'static str> {
    ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].into_iter().find(|level| *level == word)
}

fn paint_level(level: &str, palette: Palette) -> String {
    let padded = format!("{level:<5}");
    match level {
        "ERROR" | "FATAL" => palette.red(&padded),
        "WARN" => palette.yellow(&padded),
        "DEBUG" | "TRACE" => palette.dim(&padded),
        _ => padded,
    }
}

fn paint_source(program: &str, text: &str, palette: Palette) -> String {
    match program {
        "cell" | "rep" => palette.cyan(text),
        "brain" => palette.green(text),
        "router" | "gorouter" => palette.yellow(text),
        _ => palette.bold(text),
    }
}

#[cfg(test)]
mod tests {
    use lattice_model::Time;
    use lattice_model::envelope::Log;

    use super::*;

    fn shown(source: &str, line: &str) -> String {
        let log = Log::out(source.into(), line);
        let envelope = Envelope::log("lattice-debug".into(), "cell-1".into(), Time(0), log);
        render(&envelope, &TimeZone::UTC, Palette::new(false)).unwrap()
    }

    #[test]
    fn levels_stand_below_each_other() {
        let lines = [
            shown("cell", "INFO instance claimed guid=web"),
            shown("brain", "WARN  late"),
            shown("router", "no level here"),
            shown(
                "/var/vcap/packages/rep/bin/rep",
                r#"{"timestamp":"1.5","source":"rep","message":"rep.up","log_level":2,"data":{"error":"boom","n":1,"trace":"long"}}"#,
            ),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        01/01 00:00:00.00 [cell|cell-1]              INFO  instance claimed guid=web
        01/01 00:00:00.00 [brain|cell-1]             WARN  late
        01/01 00:00:00.00 [router|cell-1]                  no level here
        01/01 00:00:00.00 [rep|cell-1]               ERROR rep.up error=boom n=1
        ");
    }

    #[test]
    fn json_of_another_kind_is_left_as_it_is() {
        assert!(shown("cell", r#"{"a":1}"#).ends_with(r#"{"a":1}"#));
        assert!(shown("cell", "brace { only").ends_with("brace { only"));
    }
}
