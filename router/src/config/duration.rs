//! Durations in configuration files: `10s`, `1m30s`, `200ms`; a number alone counts nanoseconds, as
//! Go has it.

use core::fmt;
use std::time::Duration;

use lattice_model::go_duration::parse_go_duration;
use serde::Deserializer;
use serde::de::{Error, Visitor};

/// A duration wherever one is expected.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    from.deserialize_any(Text)
}

/// One that may be absent.
pub(crate) mod optional {
    use super::{Deserializer, Duration};

    pub(crate) fn deserialize<'de, D>(from: D) -> Result<Option<Duration>, D::Error>
    where
        D: Deserializer<'de>,
    {
        super::deserialize(from).map(Some)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 10s or 1m30s")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        // Go writes nothing as `0s`, and people write it as `0`.
        if text == "0" {
            return Ok(Duration::ZERO);
        }
        let unknown = || E::custom(format!("`{text}` is no duration; write it as 10s or 1m30s"));
        parse_go_duration(text).ok_or_else(unknown)
    }

    fn visit_u64<E: Error>(self, nanos: u64) -> Result<Duration, E> {
        Ok(Duration::from_nanos(nanos))
    }

    fn visit_i64<E: Error>(self, nanos: i64) -> Result<Duration, E> {
        let below = |_| E::custom(format!("{nanos} is less than no time"));
        u64::try_from(nanos).map(Duration::from_nanos).map_err(below)
    }
}

#[test]
fn durations_are_read_as_go_writes_them() {
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(deserialize_with = "deserialize")]
        wait: Duration,
    }
    let read = |text: &str| serde_json::from_str::<File>(text).ok().map(|file| file.wait);
    for (text, expected) in [
        (r#"{"wait":"1m0s"}"#, Some(60_000)),
        (r#"{"wait":"200ms"}"#, Some(200)),
        (r#"{"wait":"0"}"#, Some(0)),
        (r#"{"wait":5000000}"#, Some(5)),
        (r#"{"wait":-1}"#, None),
        (r#"{"wait":"10"}"#, None),
        (r#"{"wait":true}"#, None),
    ] {
        assert_eq!(read(text), expected.map(Duration::from_millis), "{text}");
    }
}
