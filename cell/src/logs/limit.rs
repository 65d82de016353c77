//! How much one instance may log: lines and bytes a second; pure.
//!
//! Exceeding a limit mutes the instance for a second, and says so once per overage.

use core::time::Duration;

use lattice_model::Time;

/// The limits of one instance; the same amount may come at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Lines a second.
    pub lines_per_s: u64,
    /// Bytes a second; with 0 nothing is logged, without a word.
    pub bytes_per_s: u64,
}

/// Measures one instance.
#[derive(Debug)]
pub struct LogRate {
    limits: LogLimits,
    lines: Bucket,
    bytes: Bucket,
    muted_until: Option<Time>,
}

/// What becomes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is dropped.
    Drop,
    /// It is dropped, and the app's log says so.
    DropAndSay(String),
}

#[derive(Debug)]
struct Bucket {
    capacity: f64,
    level: f64,
    filled: Option<Time>,
}

const MUTED: Duration = Duration::from_secs(1);

impl Default for LogLimits {
    fn default() -> Self {
        Self { lines_per_s: 10_000, bytes_per_s: 8 * 1024 * 1024 }
    }
}

// === impl LogRate ===

impl LogRate {
    /// Nothing has been logged yet.
    pub fn new(limits: LogLimits) -> Self {
        Self {
            limits,
            lines: Bucket::new(limits.lines_per_s),
            bytes: Bucket::new(limits.bytes_per_s),
            muted_until: None,
        }
    }

    /// Decides on a line of so many bytes.
    pub fn admit(&mut self, bytes: usize, now: Time) -> Verdict {
        let is_muted = self.muted_until.is_some_and(|until| now < until);
        if is_muted || self.limits.bytes_per_s == 0 {
            return Verdict::Drop;
        }
        let was_muted = self.muted_until.take().is_some();
        self.lines.fill(now);
        self.bytes.fill(now);
        let bytes = bytes as f64;
        if self.lines.level >= 1.0 && self.bytes.level >= bytes {
            self.lines.level -= 1.0;
            self.bytes.level -= bytes;
            return Verdict::Pass;
        }
        let exceeded = if self.lines.level < 1.0 {
            format!(
                "app instance exceeded log rate limit ({} log-lines/sec) set by platform operator",
                self.limits.lines_per_s
            )
        } else {
            format!("app instance exceeded log rate limit ({} bytes/sec)", self.limits.bytes_per_s)
        };
        self.muted_until = Some(now + MUTED);
        // Straight from one mute into the next is still the same overage.
        if was_muted { Verdict::Drop } else { Verdict::DropAndSay(exceeded) }
    }
}

// === impl Bucket ===

impl Bucket {
    fn new(per_s: u64) -> Self {
        Self { capacity: per_s as f64, level: per_s as f64, filled: None }
    }

    fn fill(&mut self, now: Time) {
        let elapsed = self.filled.replace(now).map_or(Duration::ZERO, |last| now.since(last));
        self.level = (self.level + elapsed.as_secs_f64() * self.capacity).min(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Time {
        Time(millis * 1_000_000)
    }

    fn limits(lines_per_s: u64, bytes_per_s: u64) -> LogRate {
        LogRate::new(LogLimits { lines_per_s, bytes_per_s })
    }

    #[test]
    fn exceeding_either_limit_is_said_once_and_mutes_for_a_second() {
        let check = |mut rate: LogRate, bytes: usize, expected: &str| {
            assert_eq!(rate.admit(bytes, at(0)), Verdict::Pass);
            assert_eq!(rate.admit(bytes, at(0)), Verdict::Pass);
            let said = rate.admit(bytes, at(1));
            assert_eq!(said, Verdict::DropAndSay(expected.to_owned()));
            assert_eq!(rate.admit(bytes, at(900)), Verdict::Drop);
            assert_eq!(rate.admit(bytes, at(1_001)), Verdict::Pass);
        };
        let lines =
            "app instance exceeded log rate limit (2 log-lines/sec) set by platform operator";
        check(limits(2, 1000), 1, lines);
        let bytes = "app instance exceeded log rate limit (20 bytes/sec)";
        check(limits(100, 20), 10, bytes);
    }

    #[test]
    fn who_may_log_nothing_is_dropped_without_a_word() {
        let mut rate = limits(10, 0);
        for millis in [0, 1, 5_000] {
            assert_eq!(rate.admit(1, at(millis)), Verdict::Drop);
        }
    }

    #[test]
    fn a_new_overage_after_a_good_line_is_said_again() {
        let mut rate = limits(1, 1000);
        let said = |verdict| matches!(verdict, Verdict::DropAndSay(_));
        assert_eq!(rate.admit(1, at(0)), Verdict::Pass);
        assert!(said(rate.admit(1, at(0))));
        assert_eq!(rate.admit(1, at(1_000)), Verdict::Pass);
        assert!(said(rate.admit(1, at(1_000))));
    }

    #[test]
    fn a_line_greater_than_the_limit_is_dropped_for_ever_and_said_once() {
        let mut rate = limits(10, 10);
        assert!(matches!(rate.admit(11, at(0)), Verdict::DropAndSay(_)));
        for second in 1..5 {
            assert_eq!(rate.admit(11, at(second * 1_000)), Verdict::Drop);
        }
    }

    proptest! {
        #[test]
        fn no_more_passes_than_the_burst_and_the_rate_allow(
            steps in proptest::collection::vec(0_i64..300, 1..200),
        ) {
            let mut rate = limits(10, 1_000_000);
            let (mut now, mut passed) = (0, 0_u32);
            for step in steps {
                now += step;
                passed += u32::from(rate.admit(1, at(now)) == Verdict::Pass);
            }
            prop_assert!(f64::from(passed) <= 10.0 + 10.0 * now as f64 / 1000.0 + 1.0);
        }
    }
}
