//! What follows from the end of an instance: restart at once, after a while, or never
//! (section 2.4 and the restart policies).

use std::time::Duration;

use lattice_model::desired_lrp::RestartPolicy;

/// An instance that ran longer than this starts a new count of crashes.
pub const CRASH_COUNT_RESET_AFTER: Duration = Duration::from_secs(5 * 60);
/// Crashes in a row up to which an instance is restarted without waiting.
pub const IMMEDIATE_RESTARTS_MAX: u32 = 2;
/// The first wait; each further crash doubles it.
pub const BACK_OFF_MIN: Duration = Duration::from_secs(30);
/// The longest wait.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(16 * 60);
/// Crashes in a row at which nothing but a person restarts the instance.
pub const CRASHES_MAX: u32 = 200;

/// What to do after an instance has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Into the auction at once.
    Restart,
    /// Waits out its back-off; see [`wait_after`].
    BackOff,
    /// Stays as it ended.
    Exit,
}

/// The count of crashes in a row, this one included.
pub fn count_after(count: u32, ran_for: Option<Duration>) -> u32 {
    match ran_for {
        Some(time) if time > CRASH_COUNT_RESET_AFTER => 1,
        Some(_) | None => count.saturating_add(1),
    }
}

/// Decides by the LRP's policy, the new count of crashes and how the instance ended.
pub fn verdict(policy: RestartPolicy, count: u32, is_success: bool) -> Verdict {
    match policy {
        RestartPolicy::Always => paced(count),
        RestartPolicy::Never => Verdict::Exit,
        RestartPolicy::OnFailure { .. } if is_success => Verdict::Exit,
        RestartPolicy::OnFailure { attempts_max } if count > attempts_max => Verdict::Exit,
        RestartPolicy::OnFailure { .. } => paced(count),
    }
}

/// How long a crashed instance waits; `None` is for ever.
pub fn wait_after(count: u32) -> Option<Duration> {
    if count >= CRASHES_MAX {
        return None;
    }
    let doublings = count.saturating_sub(IMMEDIATE_RESTARTS_MAX + 1).min(16);
    Some(BACK_OFF_MIN.saturating_mul(1 << doublings).min(BACK_OFF_MAX))
}

fn paced(count: u32) -> Verdict {
    if count <= IMMEDIATE_RESTARTS_MAX { Verdict::Restart } else { Verdict::BackOff }
}

#[cfg(test)]
mod tests;
