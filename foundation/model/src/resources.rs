//! What work asks for and cells have.

use serde::{Deserialize, Serialize};

/// A bound that may be absent. On the wire 0 means "no limit"; inside it is this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// No bound.
    #[default]
    Unlimited,
    /// At most this many units (the field's name says which).
    AtMost(u64),
}

impl Limit {
    /// Reads the wire's convention: 0 is no limit.
    pub const fn from_wire(n: u64) -> Self {
        if n == 0 { Self::Unlimited } else { Self::AtMost(n) }
    }

    /// True when there is no bound.
    pub const fn is_unlimited(&self) -> bool {
        matches!(self, Self::Unlimited)
    }

    /// Writes the wire's convention, which is also what the auction reserves: 0 for no limit.
    pub const fn to_wire(self) -> u64 {
        match self {
            Self::Unlimited => 0,
            Self::AtMost(n) => n,
        }
    }
}

/// Amounts that are reserved on a cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// Memory in MiB.
    pub memory_mb: u64,
    /// Disk in MiB.
    pub disk_mb: u64,
    /// Container slots.
    pub containers: u64,
}

impl Resources {
    /// True when `need` fits into what is here.
    pub const fn fits(&self, need: &Self) -> bool {
        need.memory_mb <= self.memory_mb
            && need.disk_mb <= self.disk_mb
            && need.containers <= self.containers
    }

    /// What is left after taking `need`; never below zero.
    pub const fn minus(&self, need: &Self) -> Self {
        Self {
            memory_mb: self.memory_mb.saturating_sub(need.memory_mb),
            disk_mb: self.disk_mb.saturating_sub(need.disk_mb),
            containers: self.containers.saturating_sub(need.containers),
        }
    }

    /// Both together.
    pub const fn plus(&self, more: &Self) -> Self {
        Self {
            memory_mb: self.memory_mb.saturating_add(more.memory_mb),
            disk_mb: self.disk_mb.saturating_add(more.disk_mb),
            containers: self.containers.saturating_add(more.containers),
        }
    }
}
