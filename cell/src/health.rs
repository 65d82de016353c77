//! When to check an instance's health and what the answers mean; pure.
//!
//! Until the first success checks come at first in quick succession, then every 500 ms; afterwards
//! every 30 s. One failure of a healthy instance ends it.

pub mod explain;
pub mod streak;

use core::time::Duration;

use lattice_model::Time;

use crate::go_duration::go_duration;

/// How often an instance is checked that has long been starting.
pub const STARTUP_INTERVAL: Duration = Duration::from_millis(500);
/// How soon an instance is checked again that has just begun; most listen within milliseconds.
pub const FIRST_INTERVAL: Duration = Duration::from_millis(25);
/// How often a healthy one is checked.
pub const HEALTHY_INTERVAL: Duration = Duration::from_secs(30);
/// How long an instance may be unhealthy before its log says why; the start timeout, which may be
/// none, says when it is given up.
pub const EXPLAIN_AFTER: Duration = Duration::from_secs(10);

/// Where an instance's health stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    began: Time,
    /// Checks that failed before the first success.
    failures: u32,
    /// `None` is for ever.
    start_timeout: Option<Duration>,
    is_healthy: bool,
    is_explained: bool,
}

/// What follows from one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Check again after this long.
    Wait(Duration),
    /// Not healthy for so long that the person should know why; told once.
    Slow {
        /// Check again after this long.
        pause: Duration,
        /// What the check said.
        why: String,
        /// How long it has been, as people read it.
        waited: String,
    },
    /// Healthy for the first time; check again after this long.
    BecameHealthy(Duration),
    /// Over: the start timeout passed.
    NeverHealthy {
        /// What the last check said.
        why: String,
        /// How long was waited, as people read it.
        waited: String,
        /// How many checks there were.
        attempts: u32,
    },
    /// Over: a healthy instance failed a check.
    BecameUnhealthy {
        /// The crash reason.
        reason: String,
    },
}

// === impl Schedule ===

impl Schedule {
    /// For an instance that began at `now`; 0 seconds is no timeout.
    pub fn new(start_timeout_s: u64, now: Time) -> Self {
        let start_timeout = (start_timeout_s > 0).then(|| Duration::from_secs(start_timeout_s));
        Self { began: now, failures: 0, start_timeout, is_healthy: false, is_explained: false }
    }

    /// For an instance that was healthy when an earlier process watched it.
    pub fn healthy(now: Time) -> Self {
        Self { is_healthy: true, ..Self::new(0, now) }
    }

    /// How long the check that begins now may take: `most`, or less when the start timeout ends
    /// sooner; even the last one has a fair chance.
    pub fn check_may_take(&self, most: Duration, now: Time) -> Duration {
        self.left(now).map_or(most, |left| left.max(STARTUP_INTERVAL).min(most))
    }

    /// Takes in a check's outcome.
    pub fn on(&mut self, check: Result<(), String>, now: Time) -> Verdict {
        match (check, self.is_healthy) {
            (Ok(()), false) => {
                self.is_healthy = true;
                Verdict::BecameHealthy(HEALTHY_INTERVAL)
            }
            (Ok(()), true) => Verdict::Wait(HEALTHY_INTERVAL),
            (Err(why), true) => Verdict::BecameUnhealthy {
                reason: format!("Instance became unhealthy: Liveness check unsuccessful: {why}"),
            },
            (Err(why), false) => self.on_startup_failure(why, now),
        }
    }

    fn on_startup_failure(&mut self, why: String, now: Time) -> Verdict {
        let left = self.left(now);
        self.failures = self.failures.saturating_add(1);
        if left == Some(Duration::ZERO) {
            let waited = go_duration(self.start_timeout.unwrap_or_default());
            return Verdict::NeverHealthy { why, waited, attempts: self.failures };
        }
        let pause = self.startup_interval(now);
        let pause = left.map_or(pause, |left| left.min(pause));
        if self.is_explained || now.since(self.began) < EXPLAIN_AFTER {
            return Verdict::Wait(pause);
        }
        self.is_explained = true;
        Verdict::Slow { pause, why, waited: go_duration(EXPLAIN_AFTER) }
    }

    /// A quarter of the instance's age, within bounds: it waits little for its first success, and
    /// costs little when that takes long.
    fn startup_interval(&self, now: Time) -> Duration {
        (now.since(self.began) / 4).clamp(FIRST_INTERVAL, STARTUP_INTERVAL)
    }

    /// What is left of the start timeout; `None` when there is none, or no more.
    fn left(&self, now: Time) -> Option<Duration> {
        match self.start_timeout {
            Some(timeout) if !self.is_healthy => {
                Some(timeout.saturating_sub(now.since(self.began)))
            }
            Some(_) | None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Time {
        Time(millis * 1_000_000)
    }

    fn refused() -> Result<(), String> {
        Err("connection refused".to_owned())
    }

    #[test]
    fn a_starting_instance_is_checked_often_and_a_healthy_one_seldom() {
        let mut schedule = Schedule::new(60, at(0));
        for (age, wait) in
            [(0, 25), (100, 25), (400, 100), (1_000, 250), (2_000, 500), (9_000, 500)]
        {
            let expected = Verdict::Wait(Duration::from_millis(wait));
            assert_eq!(schedule.on(refused(), at(age)), expected, "at {age} ms");
        }
        assert_eq!(schedule.on(Ok(()), at(10_000)), Verdict::BecameHealthy(HEALTHY_INTERVAL));
        assert_eq!(schedule.on(Ok(()), at(31_000)), Verdict::Wait(HEALTHY_INTERVAL));
    }

    #[test]
    fn one_that_was_healthy_before_is_checked_seldom_and_ends_when_it_is_not() {
        let mut schedule = Schedule::healthy(at(0));
        assert_eq!(schedule.on(Ok(()), at(5)), Verdict::Wait(HEALTHY_INTERVAL));
        let verdict = schedule.on(refused(), at(31_000));
        assert!(matches!(verdict, Verdict::BecameUnhealthy { .. }), "{verdict:?}");
    }

    #[test]
    fn past_the_start_timeout_an_instance_was_never_healthy() {
        let mut schedule = Schedule::new(5, at(0));
        let before = schedule.on(refused(), at(4_800));
        assert_eq!(before, Verdict::Wait(Duration::from_millis(200)));
        let expected = Verdict::NeverHealthy {
            why: "connection refused".to_owned(),
            waited: "5s".to_owned(),
            attempts: 2,
        };
        assert_eq!(schedule.on(refused(), at(5_000)), expected);
    }

    #[test]
    fn an_instance_that_is_slow_to_get_healthy_is_explained_once() {
        let mut schedule = Schedule::new(60, at(0));
        assert_eq!(schedule.on(refused(), at(9_999)), Verdict::Wait(STARTUP_INTERVAL));
        let expected = Verdict::Slow {
            pause: STARTUP_INTERVAL,
            why: "connection refused".to_owned(),
            waited: "10s".to_owned(),
        };
        assert_eq!(schedule.on(refused(), at(10_200)), expected);
        assert_eq!(schedule.on(refused(), at(10_700)), Verdict::Wait(STARTUP_INTERVAL));
        assert_eq!(schedule.on(Ok(()), at(11_000)), Verdict::BecameHealthy(HEALTHY_INTERVAL));
    }

    #[test]
    fn a_success_at_the_last_moment_counts() {
        let mut schedule = Schedule::new(5, at(0));
        assert_eq!(schedule.on(Ok(()), at(9_000)), Verdict::BecameHealthy(HEALTHY_INTERVAL));
    }

    #[test]
    fn one_failure_of_a_healthy_instance_ends_it_whatever_the_start_timeout() {
        for start_timeout_s in [0, 5, 3600] {
            let mut schedule = Schedule::new(start_timeout_s, at(0));
            schedule.on(Ok(()), at(10));
            let expected = Verdict::BecameUnhealthy {
                reason:
                    "Instance became unhealthy: Liveness check unsuccessful: connection refused"
                        .to_owned(),
            };
            assert_eq!(schedule.on(refused(), at(31_000)), expected);
        }
    }

    #[test]
    fn a_hanging_check_cannot_outlive_the_start_timeout() {
        let most = Duration::from_secs(30);
        let check = |start_timeout_s: u64, now: i64, expected: Duration| {
            let schedule = Schedule::new(start_timeout_s, at(0));
            assert_eq!(schedule.check_may_take(most, at(now)), expected);
        };
        check(0, 1_000_000, most);
        check(5, 4_000, Duration::from_secs(1));
        check(5, 5_000, STARTUP_INTERVAL);
        check(60, 1_000, most);
    }

    proptest! {
        #[test]
        fn without_a_start_timeout_hope_never_ends(
            times in proptest::collection::vec(0_i64..1 << 40, 1..20),
        ) {
            let mut schedule = Schedule::new(0, at(0));
            let mut told = 0;
            for time in times {
                match schedule.on(refused(), at(time)) {
                    Verdict::Wait(pause) => {
                        prop_assert!((FIRST_INTERVAL..=STARTUP_INTERVAL).contains(&pause));
                    }
                    Verdict::Slow { .. } => told += 1,
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert!(told <= 1);
        }
    }
}
