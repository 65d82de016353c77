//! What came of a scenario, as Diego's simulation printed it.

use std::fmt;
use std::time::Duration;

use crate::world::World;

/// Columns of a bar; each is so much of a cell's memory.
const COLUMNS: u64 = 50;

/// What came of a scenario.
#[derive(Debug, Clone)]
pub struct Report {
    /// Cell by cell.
    pub cells: Vec<CellReport>,
    /// Instances that were wanted and run nowhere.
    pub missing: u64,
    /// Instances that were placed.
    pub placed: u64,
    /// How long they waited for a cell.
    pub waits: Waits,
    /// How often they were tried.
    pub attempts: Waits,
    /// Standard deviation over mean of the cells' memory in use, at first.
    pub score_before: f64,
    /// The same in the end.
    pub score_after: f64,
}

/// One cell.
#[derive(Debug, Clone)]
pub struct CellReport {
    /// Its name.
    pub id: String,
    /// Its zone.
    pub zone: String,
    /// Its memory in MB.
    pub capacity_mb: u64,
    /// Instances it held at first, of 1 MB each.
    pub held: u64,
    /// Instances that came.
    pub new: u64,
    /// Their memory in MB.
    pub new_mb: u64,
}

/// Amounts in short.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Waits {
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// All together.
    pub total: f64,
}

// === impl Report ===

impl Report {
    pub(super) fn of(world: &World, held: &[u32], wanted: u64) -> Self {
        let cells: Vec<_> =
            (0..held.len()).map(|n| world.report_of(n, u64::from(held[n]))).collect();
        let placements = world.placements();
        let placed = cells.iter().map(|cell| cell.new).sum();
        Self {
            missing: wanted.saturating_sub(placed),
            placed,
            waits: Waits::of(placements.iter().map(|(waited, _)| waited.as_secs_f64())),
            attempts: Waits::of(placements.iter().map(|(_, attempts)| f64::from(*attempts))),
            score_before: score(cells.iter().map(|cell| cell.held)),
            score_after: score(cells.iter().map(|cell| cell.held + cell.new_mb)),
            cells,
        }
    }

    /// The most instances on a cell, less the fewest.
    pub fn spread(&self, of: impl Fn(&CellReport) -> u64) -> u64 {
        let counts = || self.cells.iter().map(&of);
        counts().max().unwrap_or(0) - counts().min().unwrap_or(0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for cell in &self.cells {
            writeln!(f, "{cell}")?;
        }
        writeln!(f, "# was there, = is new, . is free; {COLUMNS} columns are a cell's memory")?;
        writeln!(f, "placed              {}", self.placed)?;
        writeln!(f, "missing             {}", self.missing)?;
        let (before, after) = (self.score_before, self.score_after);
        writeln!(f, "distribution score  {before:.4} at first, {after:.4} in the end")?;
        let Waits { min, max, mean, deviation, .. } = self.waits;
        writeln!(
            f,
            "wait time           min {min:.3} s, max {max:.3} s, mean {mean:.3} s, standard \
             deviation {deviation:.3} s"
        )?;
        let Waits { min, max, mean, total, .. } = self.attempts;
        write!(f, "attempts            min {min}, max {max}, mean {mean:.2}, total {total}")
    }
}

// === impl CellReport ===

impl fmt::Display for CellReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = |mb: u64| {
            let columns = (mb * COLUMNS).div_ceil(self.capacity_mb.max(1));
            usize::try_from(columns).unwrap_or(0)
        };
        let held = columns(self.held);
        let all = columns(self.held + self.new_mb);
        let bar: String = (0..columns(self.capacity_mb).max(all))
            .map(|n| {
                if n < held {
                    '#'
                } else if n < all {
                    '='
                } else {
                    '.'
                }
            })
            .collect();
        let Self { id, zone, held, new, new_mb, capacity_mb } = self;
        let used = held + new_mb;
        write!(f, "{id} {zone} [{bar}] {held:>3} + {new:>3}, {used:>3} of {capacity_mb} MB")
    }
}

// === impl Waits ===

impl Waits {
    fn of(amounts: impl Iterator<Item = f64> + Clone) -> Self {
        let (count, total) = amounts.clone().fold((0.0, 0.0), |(n, sum), x| (n + 1.0, sum + x));
        if count == 0.0 {
            return Self::default();
        }
        let mean = total / count;
        let squares: f64 = amounts.clone().map(|x| (x - mean) * (x - mean)).sum();
        Self {
            min: amounts.clone().fold(f64::INFINITY, f64::min),
            max: amounts.fold(f64::NEG_INFINITY, f64::max),
            mean,
            deviation: (squares / count).sqrt(),
            total,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "amounts stay far below 2^52")]
fn score(amounts: impl Iterator<Item = u64> + Clone) -> f64 {
    let Waits { mean, deviation, .. } = Waits::of(amounts.map(|n| n as f64));
    if mean == 0.0 { 0.0 } else { deviation / mean }
}

impl World {
    fn report_of(&self, cell: usize, held: u64) -> CellReport {
        let cell = &self.cells[cell];
        CellReport {
            id: cell.id().to_string(),
            zone: cell.presence.zone.clone(),
            capacity_mb: cell.presence.capacity.memory_mb,
            held,
            new: (cell.slots.len() as u64).saturating_sub(held),
            new_mb: cell.held().memory_mb.saturating_sub(held),
        }
    }

    fn placements(&self) -> Vec<(Duration, u32)> {
        let placements = self.brain.dispatcher.placements.iter();
        placements.map(|placement| (placement.waited, placement.attempts)).collect()
    }
}
