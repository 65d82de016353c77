//! What happens to a cluster, and when: the whole input of a run, and its text.
//!
//! Everything that breaks something also says when it mends, so that any selection of the lines is
//! a script as well.

mod text;

/// A run's input. The same script makes the same history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Determines delays, losses and all other chance.
    pub seed: u64,
    /// The cells there are.
    pub cells: Vec<CellSpec>,
    /// What happens, in order of time.
    pub happenings: Vec<Happening>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellSpec {
    /// The number of its zone.
    pub zone: u64,
    /// Memory in MiB; it has as much disk.
    pub memory_mb: u64,
    /// Container slots.
    pub containers: u64,
}

/// Something that happens at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A domain is vouched for; a time to live of 0 is for ever.
    Domain {
        /// How long.
        ttl_ms: u64,
    },
    /// Somebody wants an app.
    Desire {
        /// Its number.
        app: u64,
        /// How many instances.
        instances: u32,
        /// Memory of each, in MiB.
        memory_mb: u64,
        /// False when instances are left as they ended.
        restarts: bool,
    },
    /// Somebody wants another number of instances.
    Scale {
        /// Which app.
        app: u64,
        /// How many instances.
        instances: u32,
    },
    /// Somebody does not want the app any more.
    Remove {
        /// Which app.
        app: u64,
    },
    /// Somebody restarts an instance.
    Retire {
        /// Which app.
        app: u64,
        /// Which of its instances.
        index: u32,
    },
    /// An instance ends by itself wherever it runs.
    Crash {
        /// Which app.
        app: u64,
        /// Which of its instances.
        index: u32,
    },
    /// Somebody wants a task.
    Task {
        /// Its number.
        task: u64,
        /// Its memory, in MiB.
        memory_mb: u64,
        /// How long it runs.
        runs_ms: u64,
        /// How it ends.
        ends: Ending,
        /// True when somebody is to be told.
        has_owner: bool,
    },
    /// Somebody empties a cell, and takes it into use again after a while.
    Drain {
        /// Which cell.
        cell: u64,
        /// For how long.
        for_ms: u64,
        /// How many instances may be on their way at once.
        at_once: u32,
    },
    /// Somebody spreads instances anew.
    Rebalance {
        /// How many at most, and at once.
        moves: u32,
    },
    /// Somebody cancels a task.
    Cancel {
        /// Which task.
        task: u64,
    },
    /// The network is bad for a while.
    Weather {
        /// For how long.
        for_ms: u64,
        /// Messages lost, in percent.
        lost: u64,
        /// Messages that arrive twice, in percent.
        doubled: u64,
        /// Messages that are late, in percent.
        late: u64,
        /// How late at most.
        late_ms: u64,
    },
    /// A cell and the brain cannot reach each other for a while.
    Cut {
        /// Which cell.
        cell: u64,
        /// For how long.
        for_ms: u64,
        /// Which way.
        way: Way,
    },
    /// The brain is killed.
    KillBrain {
        /// For how long.
        for_ms: u64,
        /// True when what was being committed is kept.
        keeps_commit: bool,
    },
    /// The store takes nothing for so many commits.
    FailStore {
        /// How many.
        commits: u64,
    },
    /// A cell is killed.
    KillCell {
        /// Which cell.
        cell: u64,
        /// For how long.
        for_ms: u64,
        /// True when its containers go on until it is back and removes them.
        keeps_containers: bool,
    },
    /// A cell stops everything in good order, says goodbye, and comes back.
    Leave {
        /// Which cell.
        cell: u64,
        /// For how long.
        for_ms: u64,
    },
}

/// How a task ends when nothing comes between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With a result.
    Succeeds,
    /// With an exit status.
    Fails,
    /// It cannot be started on any cell.
    NeverStarts,
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing gets through.
    Both,
    /// The brain does not hear the cell.
    ToBrain,
    /// The cell does not hear the brain.
    FromBrain,
}

// === impl Script ===

impl Script {
    /// When the last of it is over and everything is mended.
    pub fn end_ms(&self) -> u64 {
        self.happenings.iter().map(|one| one.at_ms + one.what.lasts_ms()).max().unwrap_or(0)
    }
}

// === impl What ===

impl What {
    /// How long it takes until it is mended.
    pub const fn lasts_ms(&self) -> u64 {
        match self {
            Self::Weather { for_ms, .. }
            | Self::Cut { for_ms, .. }
            | Self::KillBrain { for_ms, .. }
            | Self::KillCell { for_ms, .. }
            | Self::Leave { for_ms, .. }
            | Self::Drain { for_ms, .. } => *for_ms,
            Self::Domain { .. }
            | Self::Desire { .. }
            | Self::Scale { .. }
            | Self::Remove { .. }
            | Self::Retire { .. }
            | Self::Crash { .. }
            | Self::Task { .. }
            | Self::Cancel { .. }
            | Self::Rebalance { .. }
            | Self::FailStore { .. } => 0,
        }
    }

    /// True for what people and their programs do; false for what goes wrong.
    pub const fn is_wish(&self) -> bool {
        match self {
            Self::Domain { .. }
            | Self::Desire { .. }
            | Self::Scale { .. }
            | Self::Remove { .. }
            | Self::Retire { .. }
            | Self::Task { .. }
            | Self::Cancel { .. }
            | Self::Drain { .. }
            | Self::Rebalance { .. } => true,
            Self::Crash { .. }
            | Self::Weather { .. }
            | Self::Cut { .. }
            | Self::KillBrain { .. }
            | Self::FailStore { .. }
            | Self::KillCell { .. }
            | Self::Leave { .. } => false,
        }
    }
}
