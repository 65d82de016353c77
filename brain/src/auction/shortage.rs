//! What is missing where cells suit but none has enough free (section 1.6), with the amounts.

use lattice_model::Resources;
use lattice_model::actual_lrp::PlacementError;

use super::cohort::{Cohorts, Verdict};
use super::fleet::Fleet;
use super::tournament::Tournament;

/// The most, and the least, that cells have of each kind.
#[derive(Debug, Default)]
pub(super) struct Supply {
    cells: usize,
    /// By kind: the most, and the first cell that has it.
    most: [Option<(u64, u32)>; 3],
    least: [Option<u64>; 3],
    /// True when these are what the cells have in all: then even an empty one would not do.
    is_total: bool,
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
    /// Of these cells: what is free, or, where even all they have is too little, that.
    pub(super) fn of_cells(fleet: &Fleet<'_>, cells: &[u32], need: &Resources) -> Self {
        let all = || cells.iter().map(|cell| (*cell, &fleet.cells[*cell as usize]));
        let is_total = !all().any(|(_, cell)| cell.total.fits(need));
        let mut supply = Self { is_total, ..Self::default() };
        for (position, cell) in all() {
            let amounts = if is_total { cell.total } else { cell.load.free };
            supply.cells += 1;
            for (nth, kind) in KINDS.iter().enumerate() {
                let amount = (kind.amount)(&amounts);
                supply.offer(nth, amount, || position);
                supply.lower(nth, amount);
            }
        }
        supply
    }

    /// The same of all cells that a judge lets pass, without asking each.
    pub(super) fn of_cohorts(
        cohorts: &Cohorts,
        verdict: &Verdict,
        tournament: &Tournament,
        need: &Resources,
    ) -> Self {
        let candidates = || verdict.zones.iter().flat_map(|(_, candidates)| candidates);
        let all = || candidates().map(|candidate| candidate.cohort);
        let of = |number: u32| &cohorts.all[number as usize];
        let is_total = !all().any(|number| of(number).total.fits(need));
        let mut supply = Self { is_total, ..Self::default() };
        for number in all() {
            let cohort = of(number);
            supply.cells += cohort.cells.len();
            for (nth, kind) in KINDS.iter().enumerate() {
                let (most, least) = if is_total {
                    (&cohort.total, &cohort.total)
                } else {
                    (tournament.most(number), tournament.least(number))
                };
                let most = (kind.amount)(most);
                let has_it = |amounts: &Resources| (kind.amount)(amounts) >= most;
                let first = || {
                    let first = tournament.first(number, 0, has_it, |_| false);
                    cohort.cells[if is_total { 0 } else { first.unwrap_or_default() }]
                };
                supply.offer(nth, most, first);
                supply.lower(nth, (kind.amount)(least));
            }
        }
        supply
    }

    /// Of equal amounts the first cell's is named.
    fn offer(&mut self, kind: usize, amount: u64, cell: impl FnOnce() -> u32) {
        let found = &mut self.most[kind];
        *found = Some(match *found {
            Some((most, at)) if most > amount => (most, at),
            Some((most, at)) if most == amount => (most, at.min(cell())),
            _ => (amount, cell()),
        });
    }

    fn lower(&mut self, kind: usize, amount: u64) {
        let least = &mut self.least[kind];
        *least = Some(least.map_or(amount, |least| least.min(amount)));
    }

    /// What to tell the owner, and whether it could never be placed.
    pub(super) fn shortage(&self, fleet: &Fleet<'_>, need: &Resources) -> (PlacementError, bool) {
        let needed = |nth: usize| (KINDS[nth].amount)(need);
        let everywhere: Vec<usize> =
            (0..3).filter(|nth| self.most[*nth].is_some_and(|(n, _)| n < needed(*nth))).collect();
        let somewhere = (0..3).filter(|nth| self.least[*nth].is_some_and(|n| n < needed(*nth)));
        let named = if everywhere.is_empty() { somewhere.collect() } else { everywhere.clone() };
        let is_alone = named.len() == 1;
        let mut details: Vec<String> =
            named.iter().map(|nth| self.missing(fleet, *nth, needed(*nth), is_alone)).collect();
        let cells = self.cells;
        details.push(format!("{cells} {} compatible", if cells == 1 { "cell" } else { "cells" }));
        let names: Vec<&str> = everywhere.iter().map(|nth| KINDS[*nth].name).collect();
        let reason = match names.as_slice() {
            [] => "insufficient resources".to_owned(),
            names => format!("insufficient resources: {}", names.join(", ")),
        };
        (PlacementError { reason, detail: details.join("; ") }, self.is_total)
    }

    fn missing(&self, fleet: &Fleet<'_>, nth: usize, needs: u64, is_alone: bool) -> String {
        let Kind { name, unit, units, .. } = &KINDS[nth];
        let Some((most, cell)) = self.most[nth] else { return String::new() };
        let cell = &fleet.cells[cell as usize].presence.cell_id;
        // A slot says what it is; megabytes do only where the reason names nothing else.
        let of = if is_alone || unit != units { String::new() } else { format!(" {name}") };
        if self.is_total {
            format!("needs {needs} {unit}{of}; the largest cell has {most} {units} in all ({cell})")
        } else {
            format!("needs {needs} {unit}{of}; largest free {most} {units} on {cell}")
        }
    }
}
