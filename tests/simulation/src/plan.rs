//! Makes scripts up: what a seed has in store for a cluster.

use crate::dice::Dice;
use crate::script::{CellSpec, Ending, Happening, Script, Way, What};

/// How large a cluster is, and how much happens to it.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// The fewest cells.
    pub cells_min: u64,
    /// The most cells.
    pub cells_max: u64,
    /// How many apps there are to be wanted.
    pub apps: u64,
    /// The most instances of one.
    pub instances_max: u64,
    /// The most that happens.
    pub happenings_max: u64,
    /// Within so much time.
    pub lasts_ms: u64,
    /// True when cells are drained and instances spread anew as well.
    pub has_moves: bool,
}

impl Scale {
    /// 3 to 20 cells.
    pub const SMALL: Self = Self {
        cells_min: 3,
        cells_max: 20,
        apps: 6,
        instances_max: 7,
        happenings_max: 60,
        lasts_ms: 120_000,
        has_moves: false,
    };
    /// 3 to 20 cells, some of which are drained.
    pub const MOVING: Self = Self { has_moves: true, ..Self::SMALL };
    /// A thousand cells.
    pub const LARGE: Self = Self {
        cells_min: 1_000,
        cells_max: 1_000,
        apps: 30,
        instances_max: 300,
        happenings_max: 60,
        lasts_ms: 90_000,
        has_moves: false,
    };
}

/// The script of a seed.
pub fn plan(seed: u64, scale: &Scale) -> Script {
    let mut dice = Dice::of(seed, 0);
    // Small clusters are more often full, and meet each fault sooner.
    let cells_max = dice.between(scale.cells_min, scale.cells_max);
    let cells: Vec<CellSpec> = (0..dice.between(scale.cells_min, cells_max))
        .map(|n| CellSpec {
            zone: n % 3,
            memory_mb: dice.between(4, 16) * 128,
            containers: dice.between(4, 20),
        })
        .collect();
    // Some clusters have an easy life, so that what needs faults to go wrong is told apart.
    let faults = if dice.chance(10) { 0 } else { dice.between(10, 70) };
    let lasts_ms = dice.between(scale.lasts_ms / 8, scale.lasts_ms);
    let count = dice.between(10, scale.happenings_max);
    let mut happenings = vec![Happening { at_ms: 0, what: What::Domain { ttl_ms: 0 } }];
    for n in 0..count {
        let at_ms = dice.between(100, lasts_ms);
        let what = if dice.chance(faults) {
            fault(&mut dice, cells.len() as u64, scale)
        } else {
            wish(&mut dice, n, cells.len() as u64, scale)
        };
        happenings.push(Happening { at_ms, what });
    }
    happenings.sort_by_key(|one| one.at_ms);
    Script { seed, cells, happenings }
}

fn wish(dice: &mut Dice, n: u64, cells: u64, scale: &Scale) -> What {
    let app = dice.below(scale.apps);
    let instances = u32::try_from(dice.between(0, scale.instances_max)).unwrap_or(0);
    let memory_mb = dice.between(1, 6) * 64;
    match dice.below(if scale.has_moves { 23 } else { 20 }) {
        0..=6 => What::Desire { app, instances, memory_mb, restarts: !dice.chance(15) },
        7..=9 => What::Scale { app, instances },
        10 | 11 => What::Remove { app },
        12 | 13 => What::Retire { app, index: instances },
        14..=17 => {
            let ends = match dice.below(6) {
                0 => Ending::NeverStarts,
                1 | 2 => Ending::Fails,
                _ => Ending::Succeeds,
            };
            let (runs_ms, has_owner) = (dice.between(10, 20_000), dice.chance(50));
            What::Task { task: n, memory_mb, runs_ms, ends, has_owner }
        }
        20 | 21 => What::Drain {
            cell: dice.below(cells),
            for_ms: dice.between(50, 60_000),
            at_once: u32::try_from(dice.between(1, 4)).unwrap_or(1),
        },
        22 => What::Rebalance { moves: u32::try_from(dice.between(1, 6)).unwrap_or(1) },
        18 => What::Cancel { task: dice.below(n.max(1)) },
        _ => What::Domain { ttl_ms: dice.below(2) * dice.between(1_000, 30_000) },
    }
}

fn fault(dice: &mut Dice, cells: u64, scale: &Scale) -> What {
    let (cell, for_ms) = (dice.below(cells), dice.between(50, 45_000));
    match dice.below(20) {
        0..=4 => What::Crash {
            app: dice.below(scale.apps),
            index: u32::try_from(dice.below(scale.instances_max)).unwrap_or(0),
        },
        5..=7 => What::Weather {
            for_ms,
            lost: dice.below(30),
            doubled: dice.below(20),
            late: dice.below(50),
            late_ms: dice.between(10, 12_000),
        },
        8..=10 => {
            let way = match dice.below(4) {
                0 => Way::ToBrain,
                1 => Way::FromBrain,
                _ => Way::Both,
            };
            What::Cut { cell, for_ms, way }
        }
        11..=13 => What::KillBrain { for_ms, keeps_commit: dice.chance(50) },
        14 => What::FailStore { commits: dice.between(1, 3) },
        15..=18 => What::KillCell { cell, for_ms, keeps_containers: dice.chance(50) },
        _ => What::Leave { cell, for_ms },
    }
}
