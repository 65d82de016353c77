//! What an auction decided.

use lattice_model::CellId;
use lattice_model::actual_lrp::PlacementError;

use super::Item;

/// What the auction decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Items and their cells, in the order of their placement.
    pub placed: Placements,
    /// Items that found no place.
    pub failed: Vec<Failure>,
    /// Items that were not tried, since too much is starting.
    pub deferred: Vec<Item>,
}

/// Items and their cells. Cells have numbers: there may be far more items than cells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placements {
    cells: Vec<CellId>,
    items: Vec<(Item, u32)>,
}

/// Why an item found no place.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Which.
    pub item: Item,
    /// Diego's words and the amounts.
    pub error: PlacementError,
    /// True when the present cells could not take it even if they were empty.
    pub is_impossible: bool,
}

// === impl Outcome ===

impl Outcome {
    /// Nothing is decided yet about so many items and these cells.
    pub(super) fn new(cells: Vec<CellId>, items: usize) -> Self {
        let placed = Placements { cells, items: Vec::with_capacity(items) };
        Self { placed, ..Self::default() }
    }

    /// Adds what another auction decided later.
    pub fn absorb(&mut self, later: Self) {
        self.placed.absorb(later.placed);
        self.failed.extend(later.failed);
        self.deferred.extend(later.deferred);
    }
}

// === impl Placements ===

impl Placements {
    /// How many items found a place.
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// True when no item found a place.
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items and their cells, in the order of their placement.
    pub fn iter(&self) -> impl Iterator<Item = (&Item, &CellId)> {
        self.items.iter().map(|(item, cell)| (item, &self.cells[*cell as usize]))
    }

    /// Adds an item on the cell of that number.
    pub(super) fn push(&mut self, item: Item, cell: u32) {
        self.items.push((item, cell));
    }

    fn absorb(&mut self, later: Self) {
        if self.cells != later.cells {
            let before = u32::try_from(self.cells.len()).expect("cells are numbered so");
            self.cells.extend(later.cells);
            self.items.extend(later.items.into_iter().map(|(item, cell)| (item, cell + before)));
        } else {
            self.items.extend(later.items);
        }
    }
}

#[cfg(test)]
mod tests {
    use lattice_model::TaskGuid;

    use super::*;

    fn placed(cells: &[&str], items: &[(&str, u32)]) -> Outcome {
        let cells = cells.iter().map(|id| CellId::new(id).unwrap()).collect();
        let mut outcome = Outcome::new(cells, items.len());
        for (guid, cell) in items {
            outcome.placed.push(Item::Task(TaskGuid::new(guid).unwrap()), *cell);
        }
        outcome
    }

    #[test]
    fn what_several_auctions_placed_is_found_on_the_same_cells_together() {
        let mut all = Outcome::default();
        all.absorb(placed(&["A", "B"], &[("one", 1)]));
        all.absorb(placed(&["A", "B"], &[("two", 0)]));
        all.absorb(placed(&["B", "C"], &[("three", 0), ("four", 1)]));
        let cells: Vec<&str> = all.placed.iter().map(|(_, cell)| cell.as_str()).collect();
        assert_eq!(cells, ["B", "A", "B", "C"]);
    }
}
