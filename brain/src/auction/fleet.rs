//! The cells during one auction, and where the apps of the batch are.

use std::borrow::Borrow;

use foldhash::{HashMap, HashMapExt as _};
use lattice_api::cell::CellState;
use lattice_model::{CellId, CellPresence, Resources};

use super::apps::Apps;
use super::order::Want;
use super::score::Load;

/// So many cells' marks fit into a processor's nearest cache.
const CELLS_AT_ONCE: usize = 64;

/// The cells by id, and what they hold. What is placed takes its share at once.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    pub(super) cells: Vec<Cell<'a>>,
    /// How many zones there are.
    pub(super) zones: usize,
    /// What is starting on all cells.
    pub(super) starting: u64,
    /// How many items have been placed.
    pub(super) placed: u64,
    /// Where the instances of each app are, evacuating cells included.
    holdings: Vec<Vec<Holding>>,
}

/// One cell.
#[derive(Debug)]
pub(super) struct Cell<'a> {
    pub(super) presence: &'a CellPresence,
    pub(super) load: Load,
    pub(super) zone: u32,
    /// True when it gets nothing; what it holds still counts.
    pub(super) is_evacuating: bool,
}

/// So many instances of an app on a cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holding {
    pub(super) cell: u32,
    /// The cell's.
    pub(super) zone: u32,
    pub(super) count: u32,
}

// === impl Fleet ===

impl<'a> Fleet<'a> {
    /// The first of two cells of one id counts.
    pub(super) fn new<C: Borrow<CellState>>(states: &'a [C], apps: &Apps<'_>) -> Self {
        let mut states: Vec<&CellState> = states.iter().map(Borrow::borrow).collect();
        states.sort_by_key(|state| &state.presence.cell_id);
        states.dedup_by_key(|state| &state.presence.cell_id);
        // What cells hold is much, and what is read after it stays in the processor's caches.
        let mut holdings = holdings(&states, apps);
        let mut zones: HashMap<&str, (u32, u32)> = HashMap::new();
        let cell = |state: &&'a CellState| {
            let next = u32::try_from(zones.len()).expect("no more zones than cells");
            let (zone, rank) = zones.entry(&state.presence.zone).or_insert((next, 0));
            let cell = Cell::new(state, *zone, *rank);
            *rank += u32::from(!state.evacuating);
            cell
        };
        let cells: Vec<Cell<'a>> = states.iter().map(cell).collect();
        for holding in holdings.iter_mut().flatten() {
            holding.zone = cells[holding.cell as usize].zone;
        }
        let starting = states.iter().map(|state| state.starting_count).sum();
        Self { cells, zones: zones.len(), starting, placed: 0, holdings }
    }

    /// Where an app's instances are.
    pub(super) fn holding(&self, app: usize) -> &[Holding] {
        &self.holdings[app]
    }

    /// The cells' names.
    pub(super) fn names(&self) -> Vec<CellId> {
        self.cells.iter().map(|cell| cell.presence.cell_id.clone()).collect()
    }

    /// Takes what is wanted from the cell.
    pub(super) fn reserve(&mut self, position: usize, want: &Want) {
        self.starting += 1;
        self.placed += 1;
        let Cell { load, zone, .. } = &mut self.cells[position];
        load.free = load.free.minus(&want.need);
        load.starting += 1;
        let Some(app) = want.app else {
            load.tasks += 1;
            return;
        };
        let cell = u32::try_from(position).expect("cells are numbered so");
        let holdings = &mut self.holdings[app];
        match holdings.iter_mut().find(|holding| holding.cell == cell) {
            Some(holding) => holding.count += 1,
            None => holdings.push(Holding { cell, zone: *zone, count: 1 }),
        }
    }
}

/// By app, where the instances are; the zones are not known yet.
fn holdings(states: &[&CellState], apps: &Apps<'_>) -> Vec<Vec<Holding>> {
    let mut holdings: Vec<Vec<Holding>> = vec![Vec::new(); apps.len()];
    if apps.len() == 0 {
        return holdings;
    }
    let (mut marks, mut cell) = (Vec::new(), 0);
    for states in states.chunks(CELLS_AT_ONCE) {
        // Side by side: many are fetched at once, where each alone would be waited for.
        marks.clear();
        states.iter().for_each(|state| marks.extend_from_slice(state.lrps.marks()));
        let mut marks = marks.as_slice();
        for state in states {
            let (own, others) = marks.split_at(state.lrps.len());
            let sought = own.iter().zip(&*state.lrps).filter(|(mark, _)| apps.may_have(**mark));
            for app in sought.filter_map(|(_, slot)| apps.get(&slot.app)) {
                match holdings[app].last_mut() {
                    Some(last) if last.cell == cell => last.count += 1,
                    _ => holdings[app].push(Holding { cell, zone: 0, count: 1 }),
                }
            }
            (marks, cell) = (others, cell + 1);
        }
    }
    holdings
}

// === impl Cell ===

impl<'a> Cell<'a> {
    fn new(state: &'a CellState, zone: u32, rank: u32) -> Self {
        let total = state.presence.capacity;
        // Nothing has more left than it has.
        let free = Resources {
            memory_mb: state.available.memory_mb.min(total.memory_mb),
            disk_mb: state.available.disk_mb.min(total.disk_mb),
            containers: state.available.containers.min(total.containers),
        };
        let tasks = state.tasks.len() as u64;
        let load = Load { free, starting: state.starting_count, tasks, rank };
        Self { presence: &state.presence, load, zone, is_evacuating: state.evacuating }
    }
}
