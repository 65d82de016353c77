//! Where an event stands.

use std::fmt;
use std::str::FromStr;

/// The place of an event: which life of the brain, and where in it. On the wire it is
/// `LIFE-SEQUENCE`, 16 hexadecimal digits and a decimal number, and nobody but a brain parses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    /// Made anew at each start of the brain; never 0.
    pub life: u64,
    /// Counts from 1 in one life.
    pub sequence: u64,
}

/// The text is not one that a brain wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event's id")]
pub struct NotAnEventId;

impl EventId {
    /// An id that no brain gives: whoever resumes after it is told to list everything.
    pub const FOREIGN: Self = Self { life: 0, sequence: 0 };
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.life, self.sequence)
    }
}

impl FromStr for EventId {
    type Err = NotAnEventId;

    /// Reads what [`fmt::Display`] writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, NotAnEventId> {
        let (life, sequence) = text.split_once('-').ok_or(NotAnEventId)?;
        let life = u64::from_str_radix(life, 16).map_err(|_| NotAnEventId)?;
        let sequence = sequence.parse().map_err(|_| NotAnEventId)?;
        let id = Self { life, sequence };
        if id.to_string() == text { Ok(id) } else { Err(NotAnEventId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is() {
        for id in [EventId { life: u64::MAX, sequence: 7 }, EventId { life: 1, sequence: 0 }] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let id = EventId { life: 0xab, sequence: 12 };
        assert_eq!(id.to_string(), "00000000000000ab-12");
        for bad in [
            "",
            "7",
            "-",
            "ab-12",
            "00000000000000AB-12",
            "00000000000000ab-+12",
            "00000000000000ab-012",
            "+0000000000000ab-12",
            "00000000000000ab-12 ",
            "00000000000000ab-18446744073709551616",
        ] {
            assert_eq!(bad.parse::<EventId>(), Err(NotAnEventId), "{bad}");
        }
    }
}
