//! The cells during one auction: what is placed on them takes room at once, and what does not fit
//! is told what was missing (sections 1.4 and 1.6).

use std::collections::BTreeMap;
use std::sync::Arc;

use lattice_api::cell::CellState;
use lattice_model::actual_lrp::PlacementError;
use lattice_model::{CellId, Resources};

use super::filter::Constraint;
use super::score::{Facts, score};
use super::{Demand, Policy};

const NO_CELLS: &str = "unable to communicate to compatible cells";

/// The cells, by id, and what is known of them.
#[derive(Debug)]
pub(super) struct Floor {
    stands: Vec<Stand>,
    policy: Policy,
    starting: u64,
    /// Instances of an app by zone, on all its cells, evacuating ones included.
    in_zone: BTreeMap<String, Vec<u64>>,
    /// Which cells suit, by constraint: worked out once.
    compatible: BTreeMap<Constraint, Result<Arc<[usize]>, PlacementError>>,
}

/// One cell.
#[derive(Debug)]
struct Stand {
    state: CellState,
    zone: usize,
    rank: f64,
    on_cell: BTreeMap<String, u64>,
    tasks: u64,
}

/// A kind of capacity and its words.
struct Kind {
    name: &'static str,
    needed: &'static str,
    free: &'static str,
    amount: fn(&Resources) -> u64,
}

/// In the order in which they are named.
const KINDS: [Kind; 3] = [
    Kind { name: "containers", needed: "container slot", free: "slots", amount: |r| r.containers },
    Kind { name: "disk", needed: "MB disk", free: "MB", amount: |r| r.disk_mb },
    Kind { name: "memory", needed: "MB memory", free: "MB", amount: |r| r.memory_mb },
];

// === impl Floor ===

impl Floor {
    pub(super) fn new(mut cells: Vec<CellState>, policy: Policy) -> Self {
        cells.sort_by(|a, b| a.presence.cell_id.cmp(&b.presence.cell_id));
        cells.dedup_by(|a, b| a.presence.cell_id == b.presence.cell_id);
        let starting = cells.iter().map(|cell| cell.starting_count).sum();
        let mut zones: BTreeMap<String, (usize, u32)> = BTreeMap::new();
        let mut floor = Self {
            stands: Vec::new(),
            policy,
            starting,
            in_zone: BTreeMap::new(),
            compatible: BTreeMap::new(),
        };
        for state in cells {
            let count = zones.len();
            let (zone, rank) = zones.entry(state.presence.zone.clone()).or_insert((count, 0));
            let mut on_cell = BTreeMap::new();
            for slot in &state.lrps {
                floor.count_in_zone(&slot.app, *zone);
                *on_cell.entry(slot.app.clone()).or_insert(0) += 1;
            }
            if !state.evacuating {
                let tasks = state.tasks.len() as u64;
                let stand = Stand { zone: *zone, rank: f64::from(*rank), on_cell, tasks, state };
                floor.stands.push(stand);
                *rank += 1;
            }
        }
        floor
    }

    fn count_in_zone(&mut self, app: &str, zone: usize) {
        let counts = match self.in_zone.get_mut(app) {
            Some(counts) => counts,
            None => self.in_zone.entry(app.to_owned()).or_default(),
        };
        if counts.len() <= zone {
            counts.resize(zone + 1, 0);
        }
        counts[zone] += 1;
    }

    /// True when no more may be started for now.
    pub(super) const fn is_saturated(&self) -> bool {
        self.policy.starting_max > 0 && self.starting >= self.policy.starting_max
    }

    /// Reserves the best cell, or says why there is none, and whether there never could be.
    pub(super) fn place(&mut self, demand: &Demand) -> Result<CellId, (PlacementError, bool)> {
        if self.stands.is_empty() {
            let detail = "no cell takes new work at present".to_owned();
            return Err((PlacementError { reason: NO_CELLS.to_owned(), detail }, false));
        }
        let compatible = self.compatible(&demand.constraint).map_err(|error| (error, true))?;
        match self.best(&compatible, demand) {
            Some(position) => Ok(self.reserve(position, demand)),
            None => Err(self.explain(&compatible, &demand.need)),
        }
    }

    fn compatible(&mut self, constraint: &Constraint) -> Result<Arc<[usize]>, PlacementError> {
        if let Some(known) = self.compatible.get(constraint) {
            return known.clone();
        }
        let cells = self.stands.iter().map(|stand| &stand.state.presence).enumerate();
        let found = constraint.compatible(cells).map(Arc::from);
        self.compatible.insert(constraint.clone(), found.clone());
        found
    }

    /// The best cell in the zones that hold the fewest instances of the app; where those are full,
    /// in the next ones. Tasks see all zones alike.
    fn best(&self, compatible: &[usize], demand: &Demand) -> Option<usize> {
        let counts = demand.app.as_ref().and_then(|app| self.in_zone.get(app));
        let mut tiers: BTreeMap<u64, (f64, usize)> = BTreeMap::new();
        for &position in compatible {
            let stand = &self.stands[position];
            if !stand.state.available.fits(&demand.need) {
                continue;
            }
            let score = score(&self.facts(stand, demand));
            let tier = counts.and_then(|counts| counts.get(stand.zone)).copied().unwrap_or(0);
            match tiers.get(&tier) {
                Some((best, _)) if *best <= score => {}
                _ => {
                    tiers.insert(tier, (score, position));
                }
            }
        }
        tiers.into_values().next().map(|(_, position)| position)
    }

    fn facts(&self, stand: &Stand, demand: &Demand) -> Facts {
        let siblings = match &demand.app {
            Some(app) => stand.on_cell.get(app).copied().unwrap_or(0),
            None => stand.tasks,
        };
        let starting = u32::try_from(stand.state.starting_count).unwrap_or(u32::MAX);
        Facts {
            total: stand.state.presence.capacity,
            free: stand.state.available,
            need: demand.need,
            siblings,
            starting: self.policy.starting_weight * f64::from(starting),
            rank: self.policy.first_fit_weight * stand.rank,
        }
    }

    fn reserve(&mut self, position: usize, demand: &Demand) -> CellId {
        self.starting += 1;
        let stand = &mut self.stands[position];
        stand.state.available = stand.state.available.minus(&demand.need);
        stand.state.starting_count += 1;
        match &demand.app {
            Some(app) => {
                *stand.on_cell.entry(app.clone()).or_insert(0) += 1;
                let zone = stand.zone;
                self.count_in_zone(app, zone);
            }
            None => stand.tasks += 1,
        }
        self.stands[position].state.presence.cell_id.clone()
    }

    /// What is missing: now, or, when even empty cells are too small, for good.
    fn explain(&self, compatible: &[usize], need: &Resources) -> (PlacementError, bool) {
        let stands = || compatible.iter().map(|position| &self.stands[*position]);
        let is_impossible = !stands().any(|stand| stand.state.presence.capacity.fits(need));
        let capacity = |stand: &Stand| {
            if is_impossible { stand.state.presence.capacity } else { stand.state.available }
        };
        let lacks =
            |stand: &Stand, amount: fn(&Resources) -> u64| amount(&capacity(stand)) < amount(need);
        let mut everywhere = Vec::new();
        let mut details = Vec::new();
        for kind in &KINDS {
            let short = stands().filter(|stand| lacks(stand, kind.amount)).count();
            if short == 0 {
                continue;
            }
            if short == compatible.len() {
                everywhere.push(kind.name);
            }
            let capacities = stands().map(|stand| (capacity(stand), &stand.state.presence.cell_id));
            details.push(missing(capacities, kind, need, is_impossible));
        }
        let reason = match everywhere.as_slice() {
            [] => "insufficient resources".to_owned(),
            names => format!("insufficient resources: {}", names.join(", ")),
        };
        let count = compatible.len();
        details.push(format!("{count} {} compatible", if count == 1 { "cell" } else { "cells" }));
        (PlacementError { reason, detail: details.join("; ") }, is_impossible)
    }
}

/// One kind of capacity: what is needed, and the most there is of it.
fn missing<'a>(
    capacities: impl Iterator<Item = (Resources, &'a CellId)>,
    kind: &Kind,
    need: &Resources,
    is_impossible: bool,
) -> String {
    let amounts = capacities.map(|(capacity, cell)| ((kind.amount)(&capacity), cell));
    let most = amounts.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let Some((most, cell)) = most else { return String::new() };
    let (needs, Kind { needed, free, .. }) = ((kind.amount)(need), kind);
    if is_impossible {
        format!("needs {needs} {needed}; the largest cell has {most} {free} in all ({cell})")
    } else {
        format!("needs {needs} {needed}; largest free is {most} {free} on {cell}")
    }
}
