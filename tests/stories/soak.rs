//! A cell after a while of everything at once; `script/soak cell` takes longer.

use std::time::Duration;

use lattice_tests::soak::{Plan, play};

/// In three minutes caches still fill; what is lost each time shows all the same.
const MEMORY_PERCENT_MAX: u64 = 40;

#[test]
fn after_everything_at_once_nothing_is_left_and_the_platform_is_hardly_larger() {
    let duration = Duration::from_secs(180);
    play(Plan { seed: 1, duration, memory_percent_max: MEMORY_PERCENT_MAX });
}
