//! What the process itself takes of the machine, as the kernel tells it.

use std::fs;
use std::time::Duration;

/// Ticks of the clock by which the kernel tells times: 100 a second wherever Linux runs (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// How much of a core the process takes.
#[derive(Debug, Default)]
pub(super) struct Load {
    taken: Duration,
    share: f64,
}

/// How many files this process has open.
pub(crate) fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// The most memory that it had at once, in KiB; 0 where nobody knows.
pub(super) fn memory_peak_kib() -> u64 {
    fs::read_to_string("/proc/self/status").ok().and_then(|text| peak_kib(&text)).unwrap_or(0)
}

/// The time that it ran so far, over all cores; none where nobody knows.
pub(super) fn taken() -> Duration {
    fs::read_to_string("/proc/self/stat").ok().and_then(|text| times(&text)).unwrap_or_default()
}

/// From `VmHWM:     1234 kB`.
fn peak_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// From the fields `utime` and `stime`, which are the twelfth and thirteenth behind the name.
fn times(stat: &str) -> Option<Duration> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11).map(str::parse::<u32>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(TICK * user + TICK * system)
}

// === impl Load ===

impl Load {
    /// Notes the time taken so far, so long after the last look.
    pub(super) fn tick(&mut self, taken: Duration, after: Duration) {
        self.share = taken.saturating_sub(self.taken).as_secs_f64() / after.as_secs_f64();
        self.taken = taken;
    }

    /// Cores, as an average between the last two looks.
    pub(super) fn cores(&self) -> f64 {
        self.share
    }
}

#[test]
fn what_the_kernel_tells_is_read_whatever_the_process_is_called() {
    assert_eq!(peak_kib("Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t   1234 kB\n"), Some(1234));
    assert_eq!(peak_kib("Name:\tx\n"), None);
    let stat = "7 (a) (b c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5";
    assert_eq!(times(stat), Some(Duration::from_secs(3)));
    assert_eq!(times("7 (a) S 1"), None);
    assert!(memory_peak_kib() > 0);
}

#[test]
fn load_is_what_was_taken_between_two_looks() {
    let mut load = Load::default();
    let after = Duration::from_secs(5);
    for (taken, expected) in [(5, 1.0), (15, 2.0), (15, 0.0)] {
        load.tick(Duration::from_secs(taken), after);
        assert!((load.cores() - expected).abs() < 1e-9, "{taken}");
    }
}
