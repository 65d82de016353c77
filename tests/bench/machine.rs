//! What else the machine was doing: rounds in which it was taken from us are repeated. And who runs
//! on which of its processors.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Rounds with more of the machine's time stolen than this are repeated.
const STEAL_MAX: f64 = 0.03;
const REPEATS_MAX: usize = 3;

/// The processors, one half for what is measured and the other for those who ask it and answer it:
/// so nobody waits for a processor that another one's load has.
pub(crate) struct Sides {
    measured: CpuSet,
    beside: CpuSet,
    /// Processors that what is measured has, each of which is to have a worker.
    pub(crate) workers: usize,
}

// === impl Sides ===

impl Sides {
    /// Of the processors that this process may use; a single one is on both sides.
    pub(crate) fn of_machine() -> Self {
        let usable = sched_getaffinity(None).expect("the kernel tells where a thread may run");
        let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| usable.is_set(*cpu)).collect();
        let (beside, measured) = all.split_at(all.len() / 2);
        let beside = if beside.is_empty() { measured } else { beside };
        let set = |side: &[usize]| {
            let mut set = CpuSet::new();
            side.iter().for_each(|cpu| set.set(*cpu));
            set
        };
        Self { measured: set(measured), beside: set(beside), workers: measured.len() }
    }

    /// Has this thread, and all that it starts from now on, run beside what is measured.
    pub(crate) fn step_aside(&self) {
        sched_setaffinity(None, &self.beside).expect("these processors are there");
    }

    /// Has a process with all its threads run where it is measured.
    pub(crate) fn measure(&self, pid: i32) {
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let name = thread.unwrap().file_name();
            let thread = name.to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
            let pinned = sched_setaffinity(Some(thread.expect("a number")), &self.measured);
            // A thread that has ended meanwhile runs nowhere.
            assert!(matches!(pinned, Ok(()) | Err(Errno::SRCH)), "{pinned:?}");
        }
    }
}

/// Runs a round until it was not disturbed, at most a few times; says so when it was.
pub(crate) fn undisturbed<T>(mut round: impl FnMut() -> T) -> T {
    for _ in 0..REPEATS_MAX {
        let before = Ticks::now();
        let result = round();
        let steal = Ticks::now().steal_since(&before);
        if steal <= STEAL_MAX {
            return result;
        }
        eprintln!("{:.1}% of the machine was stolen; the round is repeated", steal * 100.0);
    }
    eprintln!("the machine does not come to rest; the next round counts as it is");
    round()
}

/// CPU time a process and its threads have used.
pub(crate) fn cpu_time(pid: i32) -> Duration {
    ticks_of(pid, 11..13)
}

/// The same with its children that have ended.
pub(crate) fn cpu_time_with_children(pid: i32) -> Duration {
    ticks_of(pid, 11..15)
}

fn ticks_of(pid: i32, fields: std::ops::Range<usize>) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let all: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = all[fields].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// CPU time that this process has used, and its children that have ended.
pub(crate) fn cpu_time_of_all() -> Duration {
    let of = |who| {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
        // SAFETY: the kernel fills what it is given when it says that it succeeded.
        let usage = unsafe {
            assert_eq!(libc::getrusage(who, usage.as_mut_ptr()), 0);
            usage.assume_init()
        };
        [usage.ru_utime, usage.ru_stime].map(|time| {
            let micros = time.tv_sec * 1_000_000 + time.tv_usec;
            Duration::from_micros(micros.try_into().unwrap())
        })
    };
    of(libc::RUSAGE_SELF).iter().chain(&of(libc::RUSAGE_CHILDREN)).sum()
}

/// The sum of the lines of `smaps_rollup` that begin with `key`.
pub(crate) fn memory_mb(pid: i32, key: &str) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kib = |line: &str| line.split_whitespace().nth(1)?.parse::<f64>().ok();
    let lines = rollup.lines().filter(|line| line.starts_with(key));
    lines.filter_map(kib).sum::<f64>() * 1024.0 / 1e6
}

/// CPU time the calling thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Seconds a step took.
pub(crate) fn timed(step: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    step();
    begin.elapsed().as_secs_f64()
}

struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").unwrap();
        let fields = stat.lines().next().unwrap().split_whitespace().skip(1);
        let ticks: Vec<u64> = fields.map(|field| field.parse().unwrap()).collect();
        Self { all: ticks.iter().take(8).sum(), stolen: ticks[7] }
    }

    fn steal_since(&self, before: &Self) -> f64 {
        let (all, stolen) = (self.all - before.all, self.stolen - before.stolen);
        if all == 0 { 0.0 } else { stolen as f64 / all as f64 }
    }
}

/// Leaves nothing of what was done before in this core's own caches.
pub(crate) fn empty_caches() {
    /// More than any core has.
    const BYTES: usize = 16 << 20;
    let mut filler = vec![0_u8; BYTES];
    filler.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
    std::hint::black_box(filler);
}
