//! How many placements a CPU second of one core makes, by the auction whole: sorting, indexes and
//! the answer. The inputs are those by which Diego's scheduler was measured: three zones, apps of
//! ten instances of 64 to 1024 MB, and room for one and a half times the demand. How evenly that
//! scheduler filled the memory was, as its figures show, measured on larger cells: the roomy ones.

use std::collections::HashMap;
use std::sync::Arc;

use lattice_api::cell::{CellState, LrpSlot, LrpSlots};
use lattice_brain::auction::{Batch, Item, LrpAuction, Outcome, Policy, hold};
use lattice_model::CheckDefinition;
use lattice_model::action::{Action, Run};
use lattice_model::desired_lrp::StopPolicy;
use lattice_model::desired_lrp::{ContainerLimits, LogTarget, RestartPolicy, UpdateStrategy};
use lattice_model::{
    CellId, CellPresence, ContainerSpec, DesiredLrp, Domain, Limit, LrpKey, ModificationTag,
    Placement, ProcessGuid, Resources, Routes, Strategy,
};

use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::{empty_caches, thread_cpu_time, undisturbed};

const SCALES: [(usize, usize); 5] =
    [(100, 10_000), (1_000, 10_000), (5_000, 10_000), (5_000, 50_000), (5_000, 1_000_000)];
const KINDS: [Kind; 3] = [Kind::Like, Kind::Unlike, Kind::Full];
/// Where room for one and a half times the demand makes small cells.
const ROOMY_SCALES: [(usize, usize); 2] = [(1_000, 10_000), (5_000, 10_000)];
/// What a roomy cell has at least.
const ROOMY_MB: u64 = 48 * 1024;
const INSTANCES_PER_APP: usize = 10;
/// How much larger each of the eight sizes is than the smallest.
const SIZES: [u64; 8] = [2, 3, 4, 5, 6, 8, 12, 16];
/// What each of the five kinds of cell can make besides images.
const STACKS: [&[&str]; 5] = [&[], &["a"], &["b"], &["a", "b"], &["a", "b", "c"]];
/// Instances that a full cell holds already.
const HELD: u64 = 40;

/// What the cells and the work are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All cells are alike and empty.
    Like,
    /// Eight sizes, five sets of root filesystems, tags, two strategies, constraints.
    Unlike,
    /// Alike, but for what is left: a twentieth, here more and there less.
    Full,
    /// Alike and empty, and none small.
    Roomy,
}

/// Splitmix64: the same inputs each time.
struct Dice(u64);

pub(crate) fn run(effort: Effort) {
    let first = if effort == Effort::SMOKE { 1 } else { usize::MAX };
    let kinds = KINDS.map(|kind| (kind, SCALES.as_slice()));
    for (kind, scales) in kinds.into_iter().chain([(Kind::Roomy, ROOMY_SCALES.as_slice())]) {
        for scale in scales.iter().take(first) {
            measure(kind, *scale, effort.rounds);
        }
    }
}

fn measure(kind: Kind, (cells, lrps): (usize, usize), rounds: usize) {
    let mut dice = Dice(7);
    let (batch, demand) = batch(kind, lrps, &mut dice);
    let cells_of = cells_of(kind, cells, &demand, &mut dice);
    let policy = Policy::default();
    let mut outcome = Outcome::default();
    let rounds: Vec<f64> = (0..rounds)
        .map(|_| {
            undisturbed(|| {
                drop(std::mem::take(&mut outcome));
                // A brain does other things between auctions: its caches know nothing of the last.
                empty_caches();
                let before = thread_cpu_time();
                outcome = hold(&cells_of, &batch, &policy);
                outcome.placed.len() as f64 / (thread_cpu_time() - before).as_secs_f64()
            })
        })
        .collect();
    let case = format!("{cells}x{}-{}", shown(lrps), kind.name());
    let figure = |metric, unit| Figure { bench: "auction", case: &case, metric, unit };
    figure("placements_per_cpu_s", "1/s").print(&rounds);
    figure("placed", "%").print(&[outcome.placed.len() as f64 / lrps as f64 * 100.0]);
    let quality = Quality::of(&cells_of, &batch, &outcome);
    figure("zone_spread", "%").print(&[quality.zone_spread * 100.0]);
    figure("memory_fraction_stddev_ppm", "ppm").print(&[quality.memory_stddev * 1e6]);
    figure("same_app_collisions", "pairs").print(&[quality.collisions as f64]);
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Like => "like",
            Self::Unlike => "unlike",
            Self::Full => "full",
            Self::Roomy => "roomy",
        }
    }
}

fn shown(lrps: usize) -> String {
    if lrps >= 1_000_000 { format!("{}M", lrps / 1_000_000) } else { format!("{}k", lrps / 1_000) }
}

// The work.

/// Every instance of every app, shuffled, and what they need together.
fn batch(kind: Kind, lrps: usize, dice: &mut Dice) -> (Batch, Resources) {
    let mut demand = Resources::default();
    let mut all = Vec::with_capacity(lrps);
    for app in 0..lrps / INSTANCES_PER_APP {
        let lrp = Arc::new(lrp(kind, app, dice));
        for index in 0..INSTANCES_PER_APP {
            demand = demand.plus(&lrp.resources());
            let key = LrpKey {
                process_guid: lrp.process_guid.clone(),
                index: index as u32,
                domain: lrp.domain.clone(),
            };
            all.push(LrpAuction { key, lrp: Arc::clone(&lrp) });
        }
    }
    for last in (1..all.len()).rev() {
        all.swap(last, dice.below(last as u64 + 1) as usize);
    }
    (Batch { lrps: all, tasks: Vec::new() }, demand)
}

fn lrp(kind: Kind, app: usize, dice: &mut Dice) -> DesiredLrp {
    let amount = 64 + dice.below(1024 - 64 + 1);
    let is_unlike = kind == Kind::Unlike;
    let rootfs = match dice.below(5) {
        0 if is_unlike => "preloaded:a",
        1 if is_unlike => "preloaded:b",
        _ => "docker:///lattice/app#1",
    };
    let mut placement = Placement::default();
    if is_unlike && dice.is_one_of(2) {
        placement.strategy = Some(Strategy::Binpack);
    }
    if is_unlike && dice.is_one_of(5) {
        placement.constraints.push("disk==ssd".parse().unwrap());
    }
    let is_tagged = is_unlike && dice.is_one_of(5);
    let name = format!("app-{app:06}");
    DesiredLrp {
        process_guid: ProcessGuid::new(&name).unwrap(),
        app: name.into(),
        domain: Domain::new("bench").unwrap(),
        instances: INSTANCES_PER_APP as u32,
        containers: vec![container(rootfs, amount)],
        restart_policy: RestartPolicy::Always,
        update_strategy: UpdateStrategy::Rolling,
        start_timeout_s: 0,
        routes: Routes::default(),
        log: LogTarget::default(),
        annotation: String::new(),
        placement_tags: if is_tagged { vec!["isolated".into()] } else { Vec::new() },
        volume_drivers: Vec::new(),
        placement,
        egress_rules: Vec::new(),
        modification_tag: ModificationTag::default(),
    }
}

fn container(rootfs: &str, amount: u64) -> ContainerSpec {
    ContainerSpec {
        name: "main".into(),
        rootfs: rootfs.into(),
        env: Vec::new(),
        setup: None,
        action: Action::Run(Run { path: "/app".into(), user: "u".into(), ..Run::default() }),
        monitor: None,
        checks: CheckDefinition::default(),
        stop: StopPolicy::default(),
        limits: ContainerLimits {
            memory_mb: Limit::AtMost(amount),
            disk_mb: Limit::AtMost(amount),
            ..ContainerLimits::default()
        },
        ports: vec![8080],
        privileged: false,
        sidecars: Vec::new(),
        mounts: Vec::new(),
    }
}

// The cells.

fn cells_of(kind: Kind, cells: usize, demand: &Resources, dice: &mut Dice) -> Vec<CellState> {
    let sizes: Vec<u64> = (0..cells)
        .map(|_| match kind {
            Kind::Unlike => SIZES[dice.below(8) as usize],
            Kind::Like | Kind::Full | Kind::Roomy => 1,
        })
        .collect();
    let parts: u64 = sizes.iter().sum();
    let one = |all: u64| (all * 3 / 2).div_ceil(parts);
    let least_mb = if kind == Kind::Roomy { ROOMY_MB } else { 0 };
    let one = Resources {
        memory_mb: one(demand.memory_mb).max(least_mb),
        disk_mb: one(demand.disk_mb).max(least_mb),
        containers: one(demand.containers),
    };
    sizes.iter().enumerate().map(|(n, size)| cell(kind, n, times(&one, *size), dice)).collect()
}

/// A cell that has so much free, or, where cells are full, that on average.
fn cell(kind: Kind, n: usize, free: Resources, dice: &mut Dice) -> CellState {
    let mut presence = CellPresence {
        cell_id: CellId::new(format!("cell-{n:05}")).unwrap(),
        rep_url: String::new(),
        zone: format!("z{}", n % 3),
        capacity: free,
        rootfs_providers: [("docker".to_owned(), Vec::new())].into_iter().collect(),
        placement_tags: Vec::new(),
        optional_placement_tags: Vec::new(),
        volume_drivers: Vec::new(),
        labels: [("host".to_owned(), format!("host-{n}"))].into_iter().collect(),
        fault: String::new(),
        warnings: Vec::new(),
    };
    let (mut available, mut lrps) = (free, LrpSlots::default());
    match kind {
        Kind::Like | Kind::Roomy => {}
        Kind::Unlike => vary(&mut presence, dice),
        Kind::Full => {
            presence.capacity = times(&free, 20);
            // Memory and disk are left apart from each other.
            available.memory_mb = dice.below(2 * free.memory_mb + 1);
            available.disk_mb = free.disk_mb / 2 + dice.below(free.disk_mb + 1);
            available.containers = 2 * free.containers;
            let used = presence.capacity.minus(&available);
            lrps = (0..HELD).map(|slot| held(n, slot, &used)).collect();
        }
    }
    CellState { presence, available, lrps, tasks: Vec::new(), starting_count: 0, evacuating: false }
}

fn vary(presence: &mut CellPresence, dice: &mut Dice) {
    let stacks = STACKS[dice.below(5) as usize];
    let preloaded = (!stacks.is_empty()).then(|| {
        ("preloaded".to_owned(), stacks.iter().map(|stack| (*stack).to_owned()).collect())
    });
    let docker = ("docker".to_owned(), Vec::new());
    presence.rootfs_providers = [docker].into_iter().chain(preloaded).collect();
    if dice.is_one_of(5) {
        presence.placement_tags.push("isolated".to_owned());
    }
    let disk = if dice.is_one_of(2) { "ssd" } else { "hdd" };
    let host = presence.labels.get("host").unwrap_or_default().to_owned();
    presence.labels =
        [("disk".to_owned(), disk.to_owned()), ("host".to_owned(), host)].into_iter().collect();
}

/// One of those that hold what is used.
fn held(cell: usize, slot: u64, used: &Resources) -> LrpSlot {
    let app = format!("old-{cell:05}-{slot:02}");
    let key = LrpKey {
        process_guid: ProcessGuid::new(&app).unwrap(),
        index: 0,
        domain: Domain::new("bench").unwrap(),
    };
    let resources = Resources {
        memory_mb: used.memory_mb / HELD,
        disk_mb: used.disk_mb / HELD,
        containers: used.containers / HELD,
    };
    LrpSlot { key, app: app.into(), resources }
}

const fn times(amounts: &Resources, n: u64) -> Resources {
    Resources {
        memory_mb: amounts.memory_mb * n,
        disk_mb: amounts.disk_mb * n,
        containers: amounts.containers * n,
    }
}

// The answer.

/// How good an answer is; less is better.
struct Quality {
    /// By how much the zones' shares of the instances differ.
    zone_spread: f64,
    /// Of the used fractions of the cells' memory.
    memory_stddev: f64,
    /// Pairs of instances of one app on one cell.
    collisions: u64,
}

impl Quality {
    fn of(cells: &[CellState], batch: &Batch, outcome: &Outcome) -> Self {
        let lrps: HashMap<&LrpKey, &DesiredLrp> =
            batch.lrps.iter().map(|auction| (&auction.key, auction.lrp.as_ref())).collect();
        let numbers: HashMap<&CellId, usize> =
            cells.iter().enumerate().map(|(n, cell)| (&cell.presence.cell_id, n)).collect();
        let mut used: Vec<u64> = cells
            .iter()
            .map(|cell| cell.presence.capacity.memory_mb - cell.available.memory_mb)
            .collect();
        let (mut zones, mut pairs) = ([0_u64; 3], HashMap::new());
        let mut collisions = 0;
        for (item, cell) in outcome.placed.iter() {
            let Item::Lrp(key) = item else { continue };
            let cell = numbers[cell];
            used[cell] += lrps[key].resources().memory_mb;
            zones[cell % 3] += 1;
            let siblings = pairs.entry((cell, &lrps[key].app)).or_insert(0);
            collisions += *siblings;
            *siblings += 1;
        }
        let fraction = |(used, cell): (&u64, &CellState)| {
            *used as f64 / cell.presence.capacity.memory_mb as f64
        };
        let fractions: Vec<f64> = used.iter().zip(cells).map(fraction).collect();
        let mean = fractions.iter().sum::<f64>() / fractions.len() as f64;
        let squares = fractions.iter().map(|fraction| (fraction - mean).powi(2));
        let (most, least) = (zones.iter().max().unwrap(), zones.iter().min().unwrap());
        Self {
            zone_spread: (most - least) as f64 * 3.0 / zones.iter().sum::<u64>() as f64,
            memory_stddev: (squares.sum::<f64>() / fractions.len() as f64).sqrt(),
            collisions,
        }
    }
}

// === impl Dice ===

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn is_one_of(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
