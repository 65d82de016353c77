//! How large a process is.

use std::fmt;

use rustix::process::Pid;

/// A process's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Memory that is its own, in KiB.
    private_kb: u64,
    /// Pages of its program's file that nobody else has in use, in KiB. The kernel drops them at
    /// need, so they are told and not held against it.
    program_kb: u64,
    descriptors: u64,
}

impl Size {
    pub(super) fn of(process: Pid) -> Self {
        let dir = format!("/proc/{}", process.as_raw_nonzero());
        let memory = std::fs::read_to_string(format!("{dir}/smaps_rollup")).unwrap();
        let field = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        Self {
            private_kb: field("Private_Dirty:"),
            program_kb: field("Private_Clean:"),
            descriptors: std::fs::read_dir(format!("{dir}/fd")).unwrap().count() as u64,
        }
    }

    /// True when it is not larger than that by more than so many percent, in memory and in
    /// descriptors.
    pub(super) fn is_within(&self, before: &Self, (memory, descriptors): (u64, u64)) -> bool {
        let most = |n: u64, percent: u64| n + n * percent / 100;
        self.private_kb <= most(before.private_kb, memory)
            && self.descriptors <= most(before.descriptors, descriptors)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { private_kb, program_kb, descriptors } = self;
        write!(
            f,
            "{private_kb} KiB of its own ({program_kb} of its program), {descriptors} descriptors"
        )
    }
}
