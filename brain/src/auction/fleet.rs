//! The cells during one auction, and where the apps of the batch are.

use std::borrow::Borrow;

use foldhash::{HashMap, HashMapExt as _};
use lattice_api::cell::CellState;
use lattice_model::{CellPresence, Resources};

use super::order::{Apps, Want};
use super::score::Load;

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
    /// What it has in all.
    pub(super) total: Resources,
    pub(super) load: Load,
    pub(super) zone: usize,
    /// True when it gets nothing; what it holds still counts.
    pub(super) is_evacuating: bool,
}

/// So many instances of an app on a cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holding {
    pub(super) cell: u32,
    pub(super) count: u32,
}

// === impl Fleet ===

impl<'a> Fleet<'a> {
    /// The first of two cells of one id counts.
    pub(super) fn new<C: Borrow<CellState>>(states: &'a [C], apps: &Apps<'_>) -> Self {
        let mut states: Vec<&CellState> = states.iter().map(Borrow::borrow).collect();
        states.sort_by_key(|state| &state.presence.cell_id);
        states.dedup_by_key(|state| &state.presence.cell_id);
        let mut zones: HashMap<&str, (usize, u32)> = HashMap::new();
        let mut fleet = Self {
            cells: Vec::with_capacity(states.len()),
            zones: 0,
            placed: 0,
            starting: states.iter().map(|state| state.starting_count).sum(),
            holdings: vec![Vec::new(); apps.len()],
        };
        for (position, state) in (0..).zip(states) {
            let next = zones.len();
            let (zone, rank) = zones.entry(&state.presence.zone).or_insert((next, 0));
            fleet.cells.push(Cell::new(state, *zone, *rank));
            *rank += u32::from(!state.evacuating);
            if apps.len() > 0 {
                for app in state.lrps.iter().filter_map(|slot| apps.get(&slot.app)) {
                    fleet.load(app, position);
                }
            }
        }
        fleet.zones = zones.len();
        fleet
    }

    /// Where an app's instances are.
    pub(super) fn holding(&self, app: usize) -> &[Holding] {
        &self.holdings[app]
    }

    /// Takes what is wanted from the cell.
    pub(super) fn reserve(&mut self, position: usize, want: &Want) {
        self.starting += 1;
        self.placed += 1;
        let load = &mut self.cells[position].load;
        load.free = load.free.minus(&want.need);
        load.starting += 1;
        match want.app {
            Some(app) => self.hold(app, u32::try_from(position).expect("cells are numbered so")),
            None => load.tasks += 1,
        }
    }

    /// Counts what a cell holds; cells come in their order.
    fn load(&mut self, app: usize, cell: u32) {
        let holdings = &mut self.holdings[app];
        match holdings.last_mut() {
            Some(last) if last.cell == cell => last.count += 1,
            _ => holdings.push(Holding { cell, count: 1 }),
        }
    }

    fn hold(&mut self, app: usize, cell: u32) {
        let holdings = &mut self.holdings[app];
        match holdings.iter_mut().find(|holding| holding.cell == cell) {
            Some(holding) => holding.count += 1,
            None => holdings.push(Holding { cell, count: 1 }),
        }
    }
}

// === impl Cell ===

impl<'a> Cell<'a> {
    fn new(state: &'a CellState, zone: usize, rank: u32) -> Self {
        let total = state.presence.capacity;
        // Nothing has more left than it has.
        let free = Resources {
            memory_mb: state.available.memory_mb.min(total.memory_mb),
            disk_mb: state.available.disk_mb.min(total.disk_mb),
            containers: state.available.containers.min(total.containers),
        };
        let tasks = state.tasks.len() as u64;
        let load = Load { free, starting: state.starting_count, tasks, rank };
        Self { presence: &state.presence, total, load, zone, is_evacuating: state.evacuating }
    }
}
