//! Plans what is to move where, by holding auctions over what the board knows. Pure; nothing moves
//! until the board is told to.

mod balance;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lattice_api::cell::{CellState, LrpSlot};
use lattice_model::actual_lrp::PlacementError;
use lattice_model::{CellId, DesiredLrp, InstanceKey, LrpKey};

use crate::auction::{self, Batch, Item, LrpAuction, Outcome, Placements, Policy, TaskAuction};
use balance::Ledger;

/// The cells, and the instances that may leave theirs.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Live cells, by id, with what is reserved on them.
    pub cells: Vec<Arc<CellState>>,
    /// Healthy instances that are wanted and do not move already, by key.
    pub movable: Vec<Movable>,
}

/// An instance that may leave its cell.
#[derive(Debug, Clone)]
pub struct Movable {
    /// Which.
    pub key: LrpKey,
    /// Which incarnation, where.
    pub instance: InstanceKey,
    /// What it runs.
    pub lrp: Arc<DesiredLrp>,
}

/// One instance, and where it would go.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Which.
    pub movable: Movable,
    /// To where; or why to nowhere.
    pub to: Result<CellId, PlacementError>,
}

/// What a drain of this cell moves, if all of it moved at once.
pub fn plan_drain(survey: Survey, cell: &CellId, policy: &Policy) -> Vec<Planned> {
    let Survey { mut cells, movable } = survey;
    evacuate(&mut cells, cell);
    let leaving: Vec<_> = movable.into_iter().filter(|m| m.instance.cell_id == *cell).collect();
    let batch = Batch { lrps: leaving.iter().map(auction_of).collect(), tasks: Vec::new() };
    let outcome = auction::hold(&cells, &batch, policy);
    let mut places: BTreeMap<Item, Result<CellId, PlacementError>> = BTreeMap::new();
    places.extend(outcome.placed.iter().map(|(item, cell)| (item.clone(), Ok(cell.clone()))));
    places.extend(outcome.failed.into_iter().map(|failure| (failure.item, Err(failure.error))));
    let planned = leaving.into_iter().filter_map(|movable| {
        let to = places.remove(&Item::Lrp(movable.key.clone()))?;
        Some(Planned { movable, to })
    });
    planned.collect()
}

/// The moves that spread instances better, the most needed first, at most so many: each lowers the
/// imbalance of its app's zones, or else the number of its app's instances on one cell, or else
/// the difference between the cells' memory. None when nothing gets better.
pub fn plan_rebalance(survey: Survey, policy: &Policy, moves_max: usize) -> Vec<Planned> {
    let Survey { cells, movable } = survey;
    let mut ledger = Ledger::new(cells);
    let mut tried = BTreeSet::new();
    let mut planned = Vec::new();
    while planned.len() < moves_max {
        let untried = (0..movable.len()).filter(|n| !tried.contains(n));
        let needs = untried.filter_map(|n| Some((ledger.need(&movable[n])?, n)));
        // Of equals the first.
        let Some((_, n)) = needs.reduce(|best, next| if next.0 > best.0 { next } else { best })
        else {
            break;
        };
        tried.insert(n);
        let one = &movable[n];
        let Some(to) = best_place(&ledger.without(one), one, policy) else { continue };
        if ledger.is_better(one, &to) {
            ledger.relocate(one, &to);
            planned.push(Planned { movable: one.clone(), to: Ok(to) });
        }
    }
    planned
}

/// Holds an auction in which nothing is placed on the cell it leaves.
pub fn hold_apart(
    mut cells: Vec<Arc<CellState>>,
    batch: &Batch,
    leaving: &BTreeMap<LrpKey, CellId>,
    policy: &Policy,
) -> Outcome {
    if leaving.is_empty() {
        return auction::hold(&cells, batch, policy);
    }
    let mut by_cell: BTreeMap<Option<&CellId>, Batch> = BTreeMap::new();
    by_cell.insert(None, Batch { lrps: Vec::new(), tasks: batch.tasks.clone() });
    for auction in &batch.lrps {
        by_cell.entry(leaving.get(&auction.key)).or_default().lrps.push(auction.clone());
    }
    let mut all = Outcome::default();
    for (left, batch) in by_cell {
        let evacuating = left.and_then(|left| evacuate(&mut cells, left));
        let outcome = auction::hold(&cells, &batch, policy);
        if let Some((position, before)) = evacuating {
            Arc::make_mut(&mut cells[position]).evacuating = before;
        }
        reserve(&mut cells, &batch, &outcome.placed);
        all.absorb(outcome);
    }
    all
}

/// Lets nothing go there; where that is, and whether it was so before.
fn evacuate(cells: &mut [Arc<CellState>], cell: &CellId) -> Option<(usize, bool)> {
    let position = cells.iter().position(|state| state.presence.cell_id == *cell)?;
    let before = std::mem::replace(&mut Arc::make_mut(&mut cells[position]).evacuating, true);
    Some((position, before))
}

fn best_place(cells: &[Arc<CellState>], one: &Movable, policy: &Policy) -> Option<CellId> {
    let batch = Batch { lrps: vec![auction_of(one)], tasks: Vec::new() };
    let outcome = auction::hold(cells, &batch, policy);
    outcome.placed.iter().next().map(|(_, cell)| cell.clone())
}

fn auction_of(movable: &Movable) -> LrpAuction {
    LrpAuction { key: movable.key.clone(), lrp: Arc::clone(&movable.lrp) }
}

/// What was placed takes room before the next auction.
fn reserve(cells: &mut [Arc<CellState>], batch: &Batch, placed: &Placements) {
    let ids = cells.iter().map(|state| state.presence.cell_id.clone());
    let positions: BTreeMap<CellId, usize> = ids.zip(0..).collect();
    let placed = placed.iter().filter_map(|(item, cell)| Some((item, *positions.get(cell)?)));
    let mut places: BTreeMap<&Item, usize> = placed.collect();
    for LrpAuction { key, lrp } in &batch.lrps {
        let Some(place) = places.remove(&Item::Lrp(key.clone())) else { continue };
        let (app, resources) = (lrp.app.clone(), lrp.resources());
        let state = Arc::make_mut(&mut cells[place]);
        state.available = state.available.minus(&resources);
        state.starting_count += 1;
        state.lrps.push(LrpSlot { key: key.clone(), app, resources });
    }
    for TaskAuction { task } in &batch.tasks {
        let guid = &task.definition.task_guid;
        let Some(place) = places.remove(&Item::Task(guid.clone())) else { continue };
        let state = Arc::make_mut(&mut cells[place]);
        state.available = state.available.minus(&task.definition.resources());
        state.starting_count += 1;
        state.tasks.push(guid.clone());
    }
}

#[cfg(test)]
mod tests;
