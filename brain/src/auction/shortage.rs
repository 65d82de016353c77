//! What is missing where cells suit but none has enough free (section 1.6), with the amounts.

use lattice_model::Resources;
use lattice_model::actual_lrp::PlacementError;

use super::fleet::{Cell, Fleet};

/// The most, and the least, that cells have of each kind.
#[derive(Debug)]
pub(super) struct Supply {
    cells: usize,
    /// Free now.
    free: [Range; 3],
    /// In all, were they empty.
    total: [Range; 3],
    /// What the cells have in all, each size once.
    sizes: Vec<Resources>,
}

/// The most of a kind that a cell has, which cell is the first that has it, and the least.
#[derive(Debug, Clone, Copy)]
struct Range {
    most: u64,
    at: u32,
    least: u64,
}

/// A kind of capacity and its words.
struct Kind {
    name: &'static str,
    unit: &'static str,
    units: &'static str,
    amount: fn(&Resources) -> u64,
}

/// In the order in which they are named.
const KINDS: [Kind; 3] = [
    Kind { name: "containers", unit: "container slot", units: "slots", amount: |r| r.containers },
    Kind { name: "disk", unit: "MB", units: "MB", amount: |r| r.disk_mb },
    Kind { name: "memory", unit: "MB", units: "MB", amount: |r| r.memory_mb },
];

// === impl Supply ===

impl Supply {
    /// Of these cells, in their order; there is at least one.
    pub(super) fn of(fleet: &Fleet<'_>, cells: &[u32]) -> Self {
        let all = || cells.iter().map(|cell| (*cell, &fleet.cells[*cell as usize]));
        let mut sizes: Vec<Resources> = Vec::new();
        for (_, cell) in all() {
            if sizes.last() != Some(&cell.presence.capacity)
                && !sizes.contains(&cell.presence.capacity)
            {
                sizes.push(cell.presence.capacity);
            }
        }
        let range = |kind: &Kind, of: fn(&Cell<'_>) -> Resources| {
            Range::of(all().map(|(position, cell)| (position, (kind.amount)(&of(cell)))))
        };
        Self {
            cells: cells.len(),
            free: KINDS.each_ref().map(|kind| range(kind, |cell| cell.load.free)),
            total: KINDS.each_ref().map(|kind| range(kind, |cell| cell.presence.capacity)),
            sizes,
        }
    }

    /// What to tell the owner, and whether it could never be placed.
    pub(super) fn shortage(&self, fleet: &Fleet<'_>, need: &Resources) -> (PlacementError, bool) {
        let is_impossible = !self.sizes.iter().any(|size| size.fits(need));
        let ranges = if is_impossible { &self.total } else { &self.free };
        let short = |of: fn(&Range) -> u64| {
            let kinds = KINDS.iter().zip(ranges);
            let short = kinds.filter(move |(kind, range)| of(range) < (kind.amount)(need));
            short.collect::<Vec<_>>()
        };
        let everywhere = short(|range| range.most);
        let named =
            if everywhere.is_empty() { short(|range| range.least) } else { everywhere.clone() };
        let missing = named.iter().map(|(kind, range)| {
            let needs = (kind.amount)(need);
            let cell = &fleet.cells[range.at as usize].presence.cell_id;
            // A reason that names one kind says it; slots say it themselves.
            let is_said = everywhere.len() == 1 || kind.unit != kind.units;
            let of = if is_said { String::new() } else { format!(" {}", kind.name) };
            let Kind { unit, units, .. } = kind;
            let most = range.most;
            if is_impossible {
                format!(
                    "needs {needs} {unit}{of}; the largest cell has {most} {units} in all ({cell})"
                )
            } else {
                format!("needs {needs} {unit}{of}; largest free {most} {units} on {cell}")
            }
        });
        let cells = self.cells;
        let compatible =
            format!("{cells} {} compatible", if cells == 1 { "cell" } else { "cells" });
        let detail = missing.chain([compatible]).collect::<Vec<_>>().join("; ");
        let names: Vec<&str> = everywhere.iter().map(|(kind, _)| kind.name).collect();
        let reason = match names.as_slice() {
            [] => "insufficient resources".to_owned(),
            names => format!("insufficient resources: {}", names.join(", ")),
        };
        (PlacementError { reason, detail }, is_impossible)
    }
}

// === impl Range ===

impl Range {
    fn of(amounts: impl Iterator<Item = (u32, u64)>) -> Self {
        let nothing = Self { most: 0, at: u32::MAX, least: u64::MAX };
        amounts.fold(nothing, |range, (position, amount)| {
            let is_more = amount > range.most || range.at == u32::MAX;
            let (most, at) = if is_more { (amount, position) } else { (range.most, range.at) };
            Self { most, at, least: range.least.min(amount) }
        })
    }
}
