//! Bytes and times as people read them.

use std::time::Duration;

use lattice_model::Time;

/// Bytes with one decimal at most and a letter: `3.3M`, `4K`, `0`.
pub fn bytes(amount: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match UNITS.iter().find(|(size, _)| amount >= *size) {
        Some((size, letter)) => {
            let tenths = (u128::from(amount) * 10 + u128::from(size / 2)) / u128::from(*size);
            let (whole, tenth) = (tenths / 10, tenths % 10);
            match tenth {
                0 => format!("{whole}{letter}"),
                _ => format!("{whole}.{tenth}{letter}"),
            }
        }
        None if amount == 0 => "0".to_owned(),
        None => format!("{amount}B"),
    }
}

/// MiB, where 0 is no limit.
pub fn limit_mb(mb: u64) -> String {
    limit(mb, "M")
}

/// So many of something, where 0 is no limit.
pub fn limit(amount: u64, unit: &str) -> String {
    if amount == 0 { "unlimited".to_owned() } else { format!("{amount}{unit}") }
}

/// How long ago, in whole seconds.
pub fn age(since: Time, now: Time) -> Duration {
    Duration::from_secs(now.since(since).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_at_a_glance() {
        for (amount, text) in [
            (0, "0"),
            (1, "1B"),
            (1023, "1023B"),
            (1024, "1K"),
            (1536, "1.5K"),
            (3_460_301, "3.3M"),
            (1 << 30, "1G"),
            (u64::MAX, "16777216T"),
        ] {
            assert_eq!(bytes(amount), text);
        }
    }
}
