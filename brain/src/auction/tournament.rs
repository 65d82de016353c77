//! Finds the best of many cells that have enough free without asking each: the cells of a cohort
//! meet in a tree of matches, where each match knows its winner and the most that is free on
//! either side.

use std::cell::Cell;

use lattice_model::Resources;

use super::cohort::{Cohort, Place};
use super::score::{Ranking, Score};

/// One tree per cohort, and one way through it per ranking.
#[derive(Debug)]
pub(super) struct Tournament {
    trees: Vec<Tree>,
    /// The most that is free below each node, each kind for itself.
    free: Vec<Resources>,
    /// The least of each kind that any cell of a cohort has free.
    least: Vec<Resources>,
    ladders: Vec<Ladder>,
    /// How often each cohort has changed.
    changes: Vec<u32>,
    /// Amounts that are asked for at least.
    floors: Vec<Resources>,
    /// By ladder, floor and cohort: the best cell that has as much as the floor free.
    bounds: Vec<Cell<Bound>>,
}

/// A cell and its score. Of equal scores the first cell wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Best {
    pub(super) score: Score,
    pub(super) cell: u32,
}

/// The best cell for a floor, as long as its cohort has changed so often.
#[derive(Debug, Clone, Copy)]
struct Bound {
    best: Best,
    changes: u32,
}

/// Where a cohort's tree is: node 1 is its root, and the leaves follow from `width` on.
#[derive(Debug, Clone, Copy)]
struct Tree {
    start: usize,
    width: usize,
    cells: usize,
}

/// The winners for one ranking.
#[derive(Debug)]
struct Ladder {
    ranking: Ranking,
    best: Vec<Best>,
}

// === impl Best ===

impl Best {
    /// Worse than any cell.
    pub(super) const NONE: Self = Self { score: Score::MAX, cell: u32::MAX };

    pub(super) const fn plus(self, more: Score) -> Self {
        Self { score: self.score.saturating_add(more), ..self }
    }

    pub(super) fn is_some(self) -> bool {
        self != Self::NONE
    }
}

// === impl Tournament ===

impl Tournament {
    /// Trees in which nothing is free and nobody wins: the cells are to be put in.
    pub(super) fn new(cohorts: &[Cohort], rankings: &[Ranking], floors: &[Resources]) -> Self {
        let mut start = 0;
        let tree = |cohort: &Cohort| {
            let cells = cohort.cells.len();
            let tree = Tree { start, width: cells.next_power_of_two(), cells };
            start += 2 * tree.width;
            tree
        };
        let trees: Vec<Tree> = cohorts.iter().map(tree).collect();
        let ladder =
            |ranking: &Ranking| Ladder { ranking: *ranking, best: vec![Best::NONE; start] };
        let unknown = Cell::new(Bound { best: Best::NONE, changes: u32::MAX });
        Self {
            changes: vec![0; trees.len()],
            floors: floors.to_vec(),
            bounds: vec![unknown; rankings.len() * floors.len() * trees.len()],
            ladders: rankings.iter().map(ladder).collect(),
            free: vec![Resources::default(); start],
            least: cohorts.iter().map(|cohort| cohort.total).collect(),
            trees,
        }
    }

    /// Puts in what a cell has free and its score in each ranking.
    pub(super) fn update(
        &mut self,
        place: Place,
        cell: u32,
        free: &Resources,
        score: impl Fn(Ranking) -> Score,
    ) {
        let cohort = place.cohort as usize;
        let tree = self.trees[cohort];
        let leaf = tree.width + place.nth as usize;
        let nodes = &mut self.free[tree.start..tree.start + 2 * tree.width];
        climb(nodes, leaf, *free, |one, other| most(one, other));
        self.least[cohort] = least(&self.least[cohort], free);
        for ladder in &mut self.ladders {
            let nodes = &mut ladder.best[tree.start..tree.start + 2 * tree.width];
            let best = Best { score: score(ladder.ranking), cell };
            climb(nodes, leaf, best, |one, other| *one.min(other));
        }
        self.changes[cohort] = self.changes[cohort].wrapping_add(1);
    }

    /// The number of the ladder for a ranking.
    pub(super) fn ladder(&self, ranking: Ranking) -> Option<usize> {
        self.ladders.iter().position(|ladder| ladder.ranking == ranking)
    }

    /// The best cell of a cohort that has as much free as the floor says: none that has enough
    /// for a need above that floor is better.
    pub(super) fn bound(&self, ladder: usize, floor: usize, cohort: u32) -> Best {
        let row = ladder * self.floors.len() + floor;
        let slot = &self.bounds[row * self.trees.len() + cohort as usize];
        let (known, changes) = (slot.get(), self.changes[cohort as usize]);
        if known.changes == changes {
            return known.best;
        }
        let best = self.best(ladder, cohort, &self.floors[floor], Best::NONE, |_| false);
        slot.set(Bound { best, changes });
        best
    }

    /// The most that is free in a cohort, each kind for itself.
    pub(super) fn most(&self, cohort: u32) -> &Resources {
        &self.free[self.trees[cohort as usize].start + 1]
    }

    /// The least that is free in a cohort, each kind for itself.
    pub(super) fn least(&self, cohort: u32) -> &Resources {
        &self.least[cohort as usize]
    }

    /// The best cell of a cohort that has enough free, is not passed over and beats the limit.
    pub(super) fn best(
        &self,
        ladder: usize,
        cohort: u32,
        need: &Resources,
        limit: Best,
        is_passed_over: impl Fn(u32) -> bool,
    ) -> Best {
        let tree = self.trees[cohort as usize];
        let mut search = Search {
            free: &self.free[tree.start..],
            best: &self.ladders[ladder].best[tree.start..],
            width: tree.width,
            need,
            is_passed_over,
            found: limit,
        };
        search.descend(1);
        if search.found == limit { Best::NONE } else { search.found }
    }

    /// The place of the first cell of a cohort, from a place on, that is as wanted. What is wanted
    /// of a cell must be wanted of the most there is below a node.
    pub(super) fn first(
        &self,
        cohort: u32,
        from: usize,
        could: impl Fn(&Resources) -> bool,
        is_passed_over: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let tree = self.trees[cohort as usize];
        let walk = Walk { free: &self.free[tree.start..], from, could, is_passed_over };
        walk.first(1, 0, tree.width).filter(|nth| *nth < tree.cells)
    }
}

/// Looks for the best cell that has enough free.
struct Search<'a, F> {
    free: &'a [Resources],
    best: &'a [Best],
    width: usize,
    need: &'a Resources,
    is_passed_over: F,
    found: Best,
}

/// Looks for the first cell that has enough free.
struct Walk<'a, C, F> {
    free: &'a [Resources],
    from: usize,
    could: C,
    is_passed_over: F,
}

// === impl Search ===

impl<F: Fn(u32) -> bool> Search<'_, F> {
    /// Nobody below a node is better than its winner, nor has more free than the node says.
    fn descend(&mut self, node: usize) {
        let best = self.best[node];
        if best >= self.found || !self.free[node].fits(self.need) {
            return;
        }
        if node >= self.width {
            if !(self.is_passed_over)(best.cell) {
                self.found = best;
            }
            return;
        }
        let (left, right) = (2 * node, 2 * node + 1);
        let is_left_first = self.best[left] <= self.best[right];
        let (near, far) = if is_left_first { (left, right) } else { (right, left) };
        self.descend(near);
        self.descend(far);
    }
}

// === impl Walk ===

impl<C: Fn(&Resources) -> bool, F: Fn(usize) -> bool> Walk<'_, C, F> {
    /// Below a node that covers so many places from `begin` on.
    fn first(&self, node: usize, begin: usize, places: usize) -> Option<usize> {
        if begin + places <= self.from || !(self.could)(&self.free[node]) {
            return None;
        }
        if places == 1 {
            return (!(self.is_passed_over)(begin)).then_some(begin);
        }
        let half = places / 2;
        let left = self.first(2 * node, begin, half);
        left.or_else(|| self.first(2 * node + 1, begin + half, half))
    }
}

/// Sets a leaf and what follows from it, upwards as long as something changes.
fn climb<T: Copy + PartialEq>(
    nodes: &mut [T],
    leaf: usize,
    value: T,
    winner: impl Fn(&T, &T) -> T,
) {
    nodes[leaf] = value;
    let mut node = leaf / 2;
    while node > 0 {
        let value = winner(&nodes[2 * node], &nodes[2 * node + 1]);
        if nodes[node] == value {
            return;
        }
        nodes[node] = value;
        node /= 2;
    }
}

fn most(one: &Resources, other: &Resources) -> Resources {
    Resources {
        memory_mb: one.memory_mb.max(other.memory_mb),
        disk_mb: one.disk_mb.max(other.disk_mb),
        containers: one.containers.max(other.containers),
    }
}

fn least(one: &Resources, other: &Resources) -> Resources {
    Resources {
        memory_mb: one.memory_mb.min(other.memory_mb),
        disk_mb: one.disk_mb.min(other.disk_mb),
        containers: one.containers.min(other.containers),
    }
}
