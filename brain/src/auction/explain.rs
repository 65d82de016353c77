//! Says of every cell what the auction thinks of it for one instance, by the plain walk over all
//! cells that [`super::hold`] saves itself.

use std::sync::Arc;

use lattice_api::brain::explanation::{CellOpinion, Explanation, Filters, Scores};
use lattice_api::cell::CellState;
use lattice_model::actual_lrp::PlacementError;
use lattice_model::placement::Relation;
use lattice_model::{DesiredLrp, LrpKey, Strategy};

use super::filter::{FILTERS, Filter, Force, Judge, ill_placed};
use super::fleet::{Cell, Fleet};
use super::order::{Queue, Want};
use super::placement::{NO_CELLS, draw};
use super::score::{Parts, Scale, Weights, affinity, distance, shown, siblings};
use super::shortage::Supply;
use super::{Batch, Item, LrpAuction, Policy};

/// What one cell is to a want.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opinion {
    /// Of the cells, the position.
    pub(super) cell: usize,
    /// Does it take new work?
    is_open: bool,
    /// How many filters it passes before the first that it does not.
    passed: usize,
    /// Do its apps let it pass?
    is_well_placed: bool,
    /// Has it enough free?
    is_roomy: bool,
    /// Instances of the app in its zone; 0 for tasks, which know no zones.
    in_zone: u64,
    on_cell: u64,
    parts: Parts,
}

// === impl Opinion ===

impl Opinion {
    /// True when the cell could take it.
    fn is_able(&self) -> bool {
        let passes = self.is_open && self.passed == FILTERS.len();
        passes && self.is_well_placed && self.is_roomy
    }
}

/// Explains where an instance would go if it were placed now: one that runs is thought away.
pub fn explain(
    cells: &[CellState],
    lrp: &Arc<DesiredLrp>,
    index: u32,
    policy: &Policy,
) -> Explanation {
    let (process_guid, domain) = (lrp.process_guid.clone(), lrp.domain.clone());
    let key = LrpKey { process_guid, index, domain };
    let holds = |cell: &&CellState| cell.lrps.iter().any(|slot| slot.key == key);
    let runs_on = cells.iter().find(holds).map(|cell| cell.presence.cell_id.clone());
    let cells: Vec<CellState> = cells.iter().map(|cell| without(cell, &key)).collect();
    let lrps = vec![LrpAuction { key: key.clone(), lrp: Arc::clone(lrp) }];
    let batch = Batch { lrps, tasks: Vec::new() };
    let queue = Queue::new(&batch, policy);
    let fleet = Fleet::new(&cells, &queue.apps);
    let want = &queue.wants[0];
    let dice = policy.dice(&Item::Lrp(key));
    let opinions = survey(&fleet, &queue, want, dice, policy);
    let chosen = choose(&opinions);
    let error = chosen.is_none().then(|| refusal(&fleet, &queue, want, &opinions).0);
    let told = opinions.iter().map(|opinion| tell(&fleet, &queue.judges[0], opinion));
    Explanation {
        process_guid: lrp.process_guid.clone(),
        index,
        app: lrp.app.to_string(),
        strategy: want.ranking.strategy,
        need: want.need,
        runs_on,
        chosen: chosen.map(|of| fleet.cells[of.cell].presence.cell_id.clone()),
        why: chosen.map(|of| why(&fleet, lrp, &opinions, of)).unwrap_or_default(),
        placement_error: error.as_ref().map(|error| error.reason.clone()).unwrap_or_default(),
        placement_detail: error.map(|error| error.detail).unwrap_or_default(),
        cells: told.collect(),
    }
}

/// The cell as it would be without an instance.
fn without(cell: &CellState, key: &LrpKey) -> CellState {
    let mut cell = cell.clone();
    let Some(at) = cell.lrps.iter().position(|slot| slot.key == *key) else { return cell };
    let slot = cell.lrps.remove(at);
    cell.available = cell.available.plus(&slot.resources);
    cell
}

/// What every cell is to a want.
pub(super) fn survey(
    fleet: &Fleet<'_>,
    queue: &Queue<'_>,
    want: &Want,
    dice: u64,
    policy: &Policy,
) -> Vec<Opinion> {
    let judge = &queue.judges[want.judge];
    let weights = Weights::new(policy);
    let drawn = draw(dice, fleet.cells.len());
    let opinion = |(position, cell): (usize, &Cell<'_>)| {
        let scale = Scale::new(cell.presence.capacity);
        let on_cell = want.app.map_or(0, |app| on_cell(fleet, app, position));
        let mut parts = want.ranking.standing(&cell.load, &scale, &weights);
        parts.resources += match want.ranking.strategy {
            Strategy::Spread | Strategy::Binpack => want.ranking.added(&want.need, &scale),
            Strategy::Random => {
                let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                distance(number(position), drawn, number(fleet.cells.len()))
            }
        };
        parts.siblings += siblings(on_cell);
        let (is_well_placed, neighbours) = beside(fleet, judge, position);
        parts.affinity = judge.preference(cell.presence) + neighbours;
        Opinion {
            cell: position,
            is_open: !cell.is_evacuating,
            passed: judge.passed(cell.presence),
            is_well_placed,
            is_roomy: cell.load.free.fits(&want.need),
            in_zone: want.app.map_or(0, |app| in_zone(fleet, app, cell.zone)),
            on_cell,
            parts,
        }
    };
    fleet.cells.iter().enumerate().map(opinion).collect()
}

/// The best of the cells that can take it: the fewest in its zone, then the lowest score, then the
/// first by id.
pub(super) fn choose(opinions: &[Opinion]) -> Option<&Opinion> {
    let able = opinions.iter().filter(|opinion| opinion.is_able());
    able.min_by_key(|opinion| (opinion.in_zone, opinion.parts.total(), opinion.cell))
}

/// Why there is none, and whether there never could be.
pub(super) fn refusal(
    fleet: &Fleet<'_>,
    queue: &Queue<'_>,
    want: &Want,
    opinions: &[Opinion],
) -> (PlacementError, bool) {
    let judge = &queue.judges[want.judge];
    let open = opinions.iter().filter(|opinion| opinion.is_open);
    let Some(furthest) = open.clone().map(|opinion| opinion.passed).max() else {
        let detail = "no cell takes new work at present".to_owned();
        return (PlacementError { reason: NO_CELLS.to_owned(), detail }, false);
    };
    if let Some(filter) = FILTERS.get(furthest) {
        return (judge.refusal(*filter, open.count()), true);
    }
    let fitting = open.filter(|opinion| opinion.passed == furthest);
    let placed = fitting.clone().filter(|opinion| opinion.is_well_placed);
    let cells: Vec<u32> =
        placed.map(|opinion| u32::try_from(opinion.cell).unwrap_or(u32::MAX)).collect();
    if cells.is_empty() {
        return (ill_placed(judge, fitting.count()), false);
    }
    Supply::of(fleet, &cells).shortage(fleet, &want.need)
}

fn on_cell(fleet: &Fleet<'_>, app: usize, cell: usize) -> u64 {
    let here = fleet.holding(app).iter().filter(|holding| holding.cell as usize == cell);
    here.map(|holding| u64::from(holding.count)).sum()
}

fn in_zone(fleet: &Fleet<'_>, app: usize, zone: u32) -> u64 {
    let holdings = fleet.holding(app).iter();
    let here = holdings.filter(|holding| holding.zone == zone);
    here.map(|holding| u64::from(holding.count)).sum()
}

/// Whether the rules about other apps let the cell pass, and what they add to its score.
fn beside(fleet: &Fleet<'_>, judge: &Judge, cell: usize) -> (bool, i64) {
    let mut verdict = (true, 0);
    for neighbour in &judge.neighbours {
        let is_there = on_cell(fleet, neighbour.app, cell) > 0;
        match (neighbour.force, neighbour.relation) {
            (Force::Must, Relation::With) => verdict.0 &= is_there,
            (Force::Must, Relation::Apart) => verdict.0 &= !is_there,
            (Force::Should(weight), Relation::With) if is_there => verdict.1 += affinity(weight),
            (Force::Should(weight), Relation::Apart) if is_there => verdict.1 -= affinity(weight),
            (Force::Should(_), Relation::With | Relation::Apart) => {}
        }
    }
    verdict
}

fn why(fleet: &Fleet<'_>, lrp: &DesiredLrp, opinions: &[Opinion], chosen: &Opinion) -> String {
    let able = opinions.iter().filter(|opinion| opinion.is_able());
    let rivals = able.clone().filter(|opinion| opinion.in_zone == chosen.in_zone);
    let (able, rivals) = (able.count(), rivals.count());
    let Cell { presence, .. } = &fleet.cells[chosen.cell];
    let (cell, zone, app) = (&presence.cell_id, &presence.zone, &lrp.app);
    let cells = |count: usize| if count == 1 { "cell" } else { "cells" };
    let zones = format!(
        "{able} {} can take it; zone {zone} holds {} instances of {app}, and none holds fewer",
        cells(able),
        chosen.in_zone,
    );
    format!("{zones}; of the {rivals} {} in such zones {cell} has the lowest score", cells(rivals))
}

fn tell(fleet: &Fleet<'_>, judge: &Judge, opinion: &Opinion) -> CellOpinion {
    let cell = &fleet.cells[opinion.cell];
    let passes = |filter| judge.passes(filter, cell.presence);
    let parts = &opinion.parts;
    CellOpinion {
        cell_id: cell.presence.cell_id.clone(),
        zone: cell.presence.zone.clone(),
        free: cell.load.free,
        instances_in_zone: opinion.in_zone,
        instances_on_cell: opinion.on_cell,
        filters: Filters {
            accepting: opinion.is_open,
            rootfs: passes(Filter::Rootfs),
            volume_drivers: passes(Filter::Drivers),
            placement_tags: passes(Filter::Tags),
            constraints: passes(Filter::Labels) && opinion.is_well_placed,
            resources: opinion.is_roomy,
        },
        score: opinion.is_able().then(|| Scores {
            total: shown(parts.total()),
            same_app: shown(parts.siblings),
            starting: shown(parts.starting),
            first_fit: shown(parts.first_fit),
            resources: shown(parts.resources),
            affinity: shown(parts.affinity),
        }),
    }
}
