//! What would move, or moves, from cell to cell.

use lattice_api::brain::moves::{MovePlan, MoveUnderWay, Moves, PlannedMove};
use lattice_model::CellId;

/// A plan for people: a line for each instance.
pub fn plan(plan: &MovePlan) -> String {
    if plan.moves.is_empty() {
        return "nothing would move\n".to_owned();
    }
    plan.moves.iter().map(|one| format!("{}\n", planned(one))).collect()
}

fn planned(one: &PlannedMove) -> String {
    let PlannedMove { process_guid, index, memory_mb, from, .. } = one;
    let memory = if *memory_mb == 0 { "no limit".to_owned() } else { format!("{memory_mb} MB") };
    match &one.to {
        Some(to) => format!("{process_guid}/{index} {memory} {from} -> {to}"),
        None => {
            let why = &one.placement_error;
            format!("{process_guid}/{index} {memory} stays up on {from}: {why}")
        }
    }
}

/// How far a drain is, in one line.
pub fn progress(cell: &CellId, moves: &Moves) -> String {
    let left = left_on(cell, moves);
    let waiting = moves.moves.iter().find(|one| one.from == *cell && is_stuck(one));
    match waiting {
        Some(one) => format!("{}; {}", leaving(cell, left), stuck(one)),
        None => leaving(cell, left),
    }
}

/// Instances that the cell still runs.
pub fn left_on(cell: &CellId, moves: &Moves) -> usize {
    let draining = moves.draining.iter().find(|draining| draining.cell_id == *cell);
    draining.map_or(0, |draining| draining.instances_left)
}

/// Why the instances that do not move do not, a line each.
pub fn stuck_ones(moves: &Moves) -> Vec<String> {
    moves.moves.iter().filter(|one| is_stuck(one)).map(stuck).collect()
}

fn leaving(cell: &CellId, left: usize) -> String {
    match left {
        1 => format!("1 instance is left on {cell}"),
        left => format!("{left} instances are left on {cell}"),
    }
}

fn is_stuck(one: &MoveUnderWay) -> bool {
    !one.placement_error.is_empty()
}

fn stuck(one: &MoveUnderWay) -> String {
    format!("{}/{} stays up: {}", one.process_guid, one.index, one.placement_error)
}
