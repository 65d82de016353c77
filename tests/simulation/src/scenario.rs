//! The four classes of scenarios that Diego's own simulation of its auction had (diego.md 6.2):
//! clusters without faults on which much is wanted at once. Each cell has 100 MB and 100 slots,
//! and the zones alternate.

mod report;

use lattice_brain::auction::Policy;

use crate::dice::Dice;
use crate::sabotage::Sabotage;
use crate::script::{CellSpec, Happening, Script, What};
use crate::world::{Violation, World};

pub use report::{CellReport, Report, Waits};

/// Memory and slots of each cell.
const CAPACITY: u64 = 100;
/// When it is wanted, in milliseconds: all cells are there by then.
const WANTED_AT_MS: u64 = 5_000;
/// Without faults everything need not be looked at so often.
const CHECK_STEPS: u64 = 10_000;
/// Of each 25 cells: apps, instances of each, memory of each; 2,050 instances and 2,350 MB.
const LARGE_MIX: [(u64, u32, u64); 7] =
    [(900, 1, 1), (100, 1, 2), (30, 1, 4), (45, 10, 1), (25, 20, 1), (5, 10, 2), (2, 10, 4)];

/// A cluster, what it holds at first, and what is wanted of it.
#[derive(Debug, Clone)]
pub struct Scenario {
    script: Script,
    policy: Policy,
    /// How many 1 MB instances each cell holds at first.
    held: Vec<u32>,
    apps: u64,
}

// === impl Scenario ===

impl Scenario {
    fn new(seed: u64, cells: u64, zones: u64) -> Self {
        let cell = |n| CellSpec { zone: n % zones, memory_mb: CAPACITY, containers: CAPACITY };
        let cells: Vec<_> = (0..cells).map(cell).collect();
        let held = vec![0; cells.len()];
        let script = Script { seed, cells, happenings: Vec::new() };
        Self { script, policy: Policy::default(), held, apps: 0 }
    }

    /// So many apps of one small instance on empty cells.
    pub fn small_cold(seed: u64, cells: u64, apps: u64) -> Self {
        let mut scenario = Self::new(seed, cells, 2);
        (0..apps).for_each(|_| scenario.want(1, 1));
        scenario
    }

    /// Empty cells, 82 instances of several sizes for each: single ones, and apps of many.
    pub fn large_cold(seed: u64, cells: u64) -> Self {
        let mut scenario = Self::new(seed, cells, 2);
        for (apps, instances, memory_mb) in LARGE_MIX {
            let count = (apps * cells).div_ceil(25);
            (0..count).for_each(|_| scenario.want(instances, memory_mb));
        }
        scenario
    }

    /// A deployment: most cells hold 50 instances each, the rest are empty, and more is wanted.
    pub fn imbalanced(seed: u64, cells: u64, empty: u64, new: u64) -> Self {
        let mut scenario = Self::new(seed, cells, 2);
        let filled = usize::try_from(cells.saturating_sub(empty)).unwrap_or(0);
        scenario.held.iter_mut().take(filled).for_each(|held| *held = 50);
        (0..new).for_each(|_| scenario.want(1, 1));
        scenario
    }

    /// Two zones, of which the second has one cell, half full; one app of 40 instances.
    pub fn zones(seed: u64) -> Self {
        let mut scenario = Self::new(seed, 3, 2);
        scenario.held[1] = 50;
        scenario.want(40, 1);
        scenario
    }

    /// One cell; two instances of 50 MB and 80 of 1 MB, all of which are there when it comes.
    pub fn packing(seed: u64) -> Self {
        let mut scenario = Self::new(seed, 1, 1);
        scenario.want(2, 50);
        (0..80).for_each(|_| scenario.want(1, 1));
        scenario.script.happenings.iter_mut().for_each(|one| one.at_ms = 0);
        scenario
    }

    /// Cells that are filled one after the other: five apps of as many instances as there are
    /// cells.
    pub fn first_fit(seed: u64, cells: u64, first_fit_weight: f64) -> Self {
        let mut scenario = Self::new(seed, cells, 2);
        scenario.policy = Policy { starting_weight: 0.5, first_fit_weight, ..Policy::default() };
        let instances = u32::try_from(cells).unwrap_or(u32::MAX) / 2;
        (0..5).for_each(|_| scenario.want(instances, 1));
        scenario
    }

    /// Cells that are 78 to 80 percent full; one app of many instances.
    pub fn watters(seed: u64, cells: u64, instances: u32) -> Self {
        let mut scenario = Self::new(seed, cells, 2);
        let mut dice = Dice::of(seed, 3);
        for held in &mut scenario.held {
            *held = u32::try_from(dice.between(78, 80)).unwrap_or(0);
        }
        scenario.want(instances, 1);
        scenario
    }

    /// How many instances are wanted beyond those that are there.
    pub fn wanted(&self) -> u64 {
        let wanted = |one: &Happening| match one.what {
            What::Desire { instances, .. } => u64::from(instances),
            _ => 0,
        };
        self.script.happenings.iter().map(wanted).sum()
    }

    /// Plays it until nothing moves any more.
    pub fn run(self) -> Result<Report, Violation> {
        let wanted = self.wanted();
        let mut world = World::new(self.script, self.policy, Sabotage::Nothing);
        world.check_every(CHECK_STEPS);
        for (cell, held) in self.held.iter().enumerate() {
            world.preload(cell, *held);
        }
        world.run()?;
        Ok(Report::of(&world, &self.held, wanted))
    }

    fn want(&mut self, instances: u32, memory_mb: u64) {
        let app = self.apps;
        self.apps += 1;
        let what = What::Desire { app, instances, memory_mb, restarts: true };
        self.script.happenings.push(Happening { at_ms: WANTED_AT_MS, what });
    }
}
