//! How often a check may fail before it counts, and when an instance is ready; pure.

/// Counts failures in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streak {
    threshold: u32,
    failures: u32,
}

/// Whether requests may come to an instance: while every check passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    passes: Vec<bool>,
    is_ready: bool,
}

// === impl Streak ===

impl Streak {
    /// So many failures in a row count; at least one does.
    pub fn new(threshold: u32) -> Self {
        Self { threshold: threshold.max(1), failures: 0 }
    }

    /// Takes in an outcome. What follows from it: `Some(true)` that the check passes, `Some(false)`
    /// that it fails, `None` nothing yet.
    pub fn on(&mut self, is_good: bool) -> Option<bool> {
        self.failures = if is_good { 0 } else { self.failures.saturating_add(1) };
        match self.failures {
            0 => Some(true),
            failures if failures >= self.threshold => Some(false),
            _ => None,
        }
    }
}

// === impl Readiness ===

impl Readiness {
    /// Of so many checks, all of which pass, or none as yet.
    pub fn new(checks: usize, is_ready: bool) -> Self {
        Self { passes: vec![is_ready; checks], is_ready }
    }

    /// Takes in that the check at this place passes or fails; says so when the whole changes.
    pub fn on(&mut self, at: usize, passes: bool) -> Option<bool> {
        if let Some(place) = self.passes.get_mut(at) {
            *place = passes;
        }
        let is_ready = self.passes.iter().all(|passes| *passes);
        let has_changed = is_ready != self.is_ready;
        self.is_ready = is_ready;
        has_changed.then_some(is_ready)
    }

    /// Whether requests may come now.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn failures_count_when_there_are_enough_in_a_row() {
        let check = |threshold: u32, outcomes: &[bool], expected: &[Option<bool>]| {
            let mut streak = Streak::new(threshold);
            let found: Vec<_> = outcomes.iter().map(|good| streak.on(*good)).collect();
            assert_eq!(found, expected, "{threshold} {outcomes:?}");
        };
        check(0, &[false], &[Some(false)]);
        check(1, &[true, false], &[Some(true), Some(false)]);
        check(
            3,
            &[false, false, true, false, false, false, false],
            &[None, None, Some(true), None, None, Some(false), Some(false)],
        );
    }

    #[test]
    fn an_instance_is_ready_while_every_check_passes() {
        let mut readiness = Readiness::new(2, false);
        for (at, passes, told) in [
            (0, true, None),
            (0, false, None),
            (0, true, None),
            (1, true, Some(true)),
            (1, true, None),
            (0, false, Some(false)),
            (1, false, None),
            (0, true, None),
            (1, true, Some(true)),
        ] {
            assert_eq!(readiness.on(at, passes), told, "{at} {passes}");
        }
        assert!(readiness.is_ready());
        let mut adopted = Readiness::new(2, true);
        assert_eq!((adopted.on(0, true), adopted.on(1, false)), (None, Some(false)));
    }

    proptest! {
        #[test]
        fn what_is_told_takes_turns(
            outcomes in proptest::collection::vec((0_usize..3, any::<bool>()), 0..60),
        ) {
            let mut readiness = Readiness::new(3, false);
            let told: Vec<bool> =
                outcomes.iter().filter_map(|(at, passes)| readiness.on(*at, *passes)).collect();
            prop_assert!(told.first() != Some(&false), "it begins unready");
            prop_assert!(told.windows(2).all(|pair| pair[0] != pair[1]));
            prop_assert_eq!(told.last().copied().unwrap_or(false), readiness.is_ready());
        }
    }
}
