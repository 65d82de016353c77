//! How evenly instances are spread, and what one move would change of that.

use std::collections::BTreeMap;
use std::sync::Arc;

use lattice_api::cell::{CellState, LrpSlot};
use lattice_model::{AppName, CellId};

use super::Movable;

/// A cell's memory must be fuller than the emptiest's by so many thousandths for a move to be
/// worth the restart that it is.
const WORTH_PERMILLE: u64 = 50;

/// The cells as they would be after the moves planned so far, and what counts for the balance.
pub(super) struct Ledger {
    cells: Vec<Arc<CellState>>,
    position: BTreeMap<CellId, usize>,
    /// Instances of an app by zone; every zone that takes work is there.
    in_zone: BTreeMap<AppName, BTreeMap<String, u64>>,
    /// Instances of an app by cell.
    on_cell: BTreeMap<(AppName, usize), u64>,
    /// How full the emptiest cell is.
    lowest_permille: u64,
}

/// Why an instance should move; the greater the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    /// By how many instances of its app its zone exceeds the emptiest.
    zone_surplus: u64,
    /// Others of its app on its cell.
    siblings: u64,
    /// How much of the gap to the emptiest cell its memory would close, in thousandths.
    memory_permille: u64,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(cells: Vec<Arc<CellState>>) -> Self {
        let ids = cells.iter().enumerate();
        let position = ids.map(|(n, state)| (state.presence.cell_id.clone(), n)).collect();
        let (in_zone, on_cell) = (BTreeMap::new(), BTreeMap::new());
        let mut ledger = Self { cells, position, in_zone, on_cell, lowest_permille: 0 };
        let slots: Vec<(AppName, usize)> = ledger
            .cells
            .iter()
            .enumerate()
            .flat_map(|(n, state)| state.lrps.iter().map(move |slot| (slot.app.clone(), n)))
            .collect();
        for (app, n) in slots {
            ledger.count(&app, n, 1);
        }
        ledger.find_lowest();
        ledger
    }

    /// `None` for an instance that may stay where it is.
    pub(super) fn need(&self, one: &Movable) -> Option<Need> {
        let from = *self.position.get(&one.instance.cell_id)?;
        if self.cells[from].evacuating {
            return None;
        }
        let app = &one.lrp.app;
        let zones = self.in_zone.get(app)?;
        let fewest = zones.values().min().copied().unwrap_or_default();
        let surplus = zones.get(&self.cells[from].presence.zone)?.saturating_sub(fewest);
        let gap = self.fullness(from).saturating_sub(self.lowest_permille);
        let own = permille(one.lrp.resources().memory_mb, self.total(from));
        let need = Need {
            zone_surplus: if surplus > 1 { surplus } else { 0 },
            siblings: self.siblings(app, from).saturating_sub(1),
            memory_permille: if gap < WORTH_PERMILLE {
                0
            } else {
                own.min(gap.saturating_sub(own))
            },
        };
        let is_any = need.zone_surplus + need.siblings + need.memory_permille > 0;
        is_any.then_some(need)
    }

    /// The cells without this instance, whose cell takes nothing.
    pub(super) fn without(&self, one: &Movable) -> Vec<Arc<CellState>> {
        let mut cells = self.cells.clone();
        if let Some(from) = self.position.get(&one.instance.cell_id) {
            let state = Arc::make_mut(&mut cells[*from]);
            state.evacuating = true;
            take_out(state, one);
        }
        cells
    }

    /// True when the move lowers the first of the imbalances that it changes: zones, then one
    /// app's instances on a cell, then memory.
    pub(super) fn is_better(&self, one: &Movable, to: &CellId) -> bool {
        let places = (self.position.get(&one.instance.cell_id), self.position.get(to));
        let (Some(&from), Some(&to)) = places else { return false };
        let app = &one.lrp.app;
        let zone = |n: usize| &self.cells[n].presence.zone;
        if zone(from) != zone(to) {
            let count = |n| self.in_zone.get(app).and_then(|zones| zones.get(zone(n))).copied();
            let (here, there) = (count(from).unwrap_or_default(), count(to).unwrap_or_default());
            match (there + 1).cmp(&here) {
                std::cmp::Ordering::Less => return true,
                std::cmp::Ordering::Greater => return false,
                std::cmp::Ordering::Equal => {}
            }
        }
        match self.siblings(app, to).cmp(&(self.siblings(app, from).saturating_sub(1))) {
            std::cmp::Ordering::Less => return true,
            std::cmp::Ordering::Greater => return false,
            std::cmp::Ordering::Equal => {}
        }
        let gap = self.fullness(from).saturating_sub(self.fullness(to));
        let memory = one.lrp.resources().memory_mb;
        let (less, more) = (permille(memory, self.total(from)), permille(memory, self.total(to)));
        gap >= WORTH_PERMILLE && memory > 0 && less + more <= gap
    }

    /// Makes the move.
    pub(super) fn relocate(&mut self, one: &Movable, to: &CellId) {
        let places = (self.position.get(&one.instance.cell_id), self.position.get(to));
        let (Some(&from), Some(&to)) = places else { return };
        take_out(Arc::make_mut(&mut self.cells[from]), one);
        let resources = one.lrp.resources();
        let app = one.lrp.app.clone();
        let state = Arc::make_mut(&mut self.cells[to]);
        state.available = state.available.minus(&resources);
        state.lrps.push(LrpSlot { key: one.key.clone(), app: app.clone(), resources });
        self.count(&app, from, -1);
        self.count(&app, to, 1);
        self.find_lowest();
    }

    fn count(&mut self, app: &AppName, cell: usize, by: i64) {
        let zones = self.in_zone.entry(app.clone()).or_insert_with(|| {
            let taking = self.cells.iter().filter(|state| !state.evacuating);
            taking.map(|state| (state.presence.zone.clone(), 0)).collect()
        });
        let zone = zones.entry(self.cells[cell].presence.zone.clone()).or_default();
        *zone = zone.saturating_add_signed(by);
        let here = self.on_cell.entry((app.clone(), cell)).or_default();
        *here = here.saturating_add_signed(by);
    }

    fn siblings(&self, app: &AppName, cell: usize) -> u64 {
        self.on_cell.get(&(app.clone(), cell)).copied().unwrap_or_default()
    }

    fn total(&self, cell: usize) -> u64 {
        self.cells[cell].presence.capacity.memory_mb
    }

    /// How much of a cell's memory is reserved, in thousandths.
    fn fullness(&self, cell: usize) -> u64 {
        let total = self.total(cell);
        permille(total.saturating_sub(self.cells[cell].available.memory_mb), total)
    }

    fn find_lowest(&mut self) {
        let taking = (0..self.cells.len()).filter(|n| !self.cells[*n].evacuating);
        self.lowest_permille = taking.map(|n| self.fullness(n)).min().unwrap_or_default();
    }
}

fn take_out(state: &mut CellState, one: &Movable) {
    let before = state.lrps.len();
    state.lrps.retain(|slot| slot.key != one.key);
    if state.lrps.len() < before {
        state.available = state.available.plus(&one.lrp.resources());
    }
}

fn permille(part: u64, whole: u64) -> u64 {
    part.saturating_mul(1_000).checked_div(whole).unwrap_or(1_000)
}
