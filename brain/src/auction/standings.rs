//! The cells of each cohort in the order of their scores, those with more free apart from those
//! with less: what is nearly full is not looked at again and again by what needs more.

use std::collections::BTreeSet;

use lattice_model::Resources;

use super::cohort::Cohort;
use super::fleet::Fleet;
use super::score::{Ranking, Score, Weights};

/// Different levels are no more than this.
const LEVELS_MAX: usize = 64;

/// One table per ranking.
#[derive(Debug)]
pub(super) struct Standings {
    /// The least that is free on each level, in MB of memory and of disk; the first is 0.
    levels: Vec<u64>,
    cohorts: usize,
    tables: Vec<Table>,
}

/// A cell and its score. Of equal scores the first cell wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Best {
    pub(super) score: Score,
    pub(super) cell: u32,
}

/// The order of the cells for one ranking.
#[derive(Debug)]
struct Table {
    ranking: Ranking,
    /// By level and cohort.
    sets: Vec<BTreeSet<Best>>,
    /// The first of each set.
    firsts: Vec<Best>,
    /// The first of each set and of those with more free.
    tops: Vec<Best>,
    /// By cell: where it stands.
    seats: Vec<(usize, Best)>,
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

// === impl Standings ===

impl Standings {
    /// Levels are made for these needs.
    pub(super) fn new(
        fleet: &Fleet<'_>,
        cohorts: &[Cohort],
        (rankings, needs): (&[Ranking], impl Iterator<Item = Resources>),
        weights: &Weights,
    ) -> Self {
        let mut standings =
            Self { levels: levels(needs), cohorts: cohorts.len(), tables: Vec::new() };
        let tables =
            rankings.iter().map(|ranking| standings.table(*ranking, fleet, cohorts, weights));
        standings.tables = tables.collect();
        standings
    }

    fn table(
        &self,
        ranking: Ranking,
        fleet: &Fleet<'_>,
        cohorts: &[Cohort],
        weights: &Weights,
    ) -> Table {
        let count = self.levels.len() * self.cohorts;
        let mut lists: Vec<Vec<Best>> = vec![Vec::new(); count];
        let mut seats = vec![(0, Best::NONE); fleet.cells.len()];
        for (number, cohort) in cohorts.iter().enumerate() {
            for cell in &cohort.cells {
                let load = &fleet.cells[*cell as usize].load;
                let score = ranking.standing(load, &cohort.scale, weights).total();
                let seat = (self.level(&load.free), Best { score, cell: *cell });
                lists[seat.0 * self.cohorts + number].push(seat.1);
                seats[*cell as usize] = seat;
            }
        }
        let sets: Vec<BTreeSet<Best>> =
            lists.into_iter().map(|list| list.into_iter().collect()).collect();
        let firsts: Vec<Best> = sets.iter().map(first).collect();
        let mut tops = firsts.clone();
        for place in (0..count.saturating_sub(self.cohorts)).rev() {
            tops[place] = tops[place].min(tops[place + self.cohorts]);
        }
        Table { ranking, sets, firsts, tops, seats }
    }

    /// Puts a cell where it stands now.
    pub(super) fn update(
        &mut self,
        cohort: u32,
        cell: u32,
        free: &Resources,
        score: impl Fn(Ranking) -> Score,
    ) {
        let (level, cohorts) = (self.level(free), self.cohorts);
        let at = |level: usize| level * cohorts + cohort as usize;
        for table in &mut self.tables {
            let best = Best { score: score(table.ranking), cell };
            let (old_level, old) =
                std::mem::replace(&mut table.seats[cell as usize], (level, best));
            table.sets[at(old_level)].remove(&old);
            table.sets[at(level)].insert(best);
            for level in [old_level, level] {
                table.firsts[at(level)] = first(&table.sets[at(level)]);
            }
            for level in (0..=level.max(old_level)).rev() {
                let above = table.tops.get(at(level + 1)).copied().unwrap_or(Best::NONE);
                table.tops[at(level)] = table.firsts[at(level)].min(above);
            }
        }
    }

    /// The number of the table for a ranking.
    pub(super) fn table_of(&self, ranking: Ranking) -> Option<usize> {
        self.tables.iter().position(|table| table.ranking == ranking)
    }

    /// The lowest level with cells that have enough free.
    pub(super) fn lowest(&self, need: &Resources) -> usize {
        if need.containers == 0 { 0 } else { self.level(need) }
    }

    /// None of a cohort that has enough free, from this level on, is better than this.
    pub(super) fn bound(&self, table: usize, level: usize, cohort: u32) -> Best {
        self.tables[table].tops[level * self.cohorts + cohort as usize]
    }

    /// The best cell of a cohort, from this level on, that beats the limit and is accepted.
    pub(super) fn best(
        &self,
        table: usize,
        (level, cohort): (usize, u32),
        limit: Best,
        is_accepted: impl Fn(u32) -> bool,
    ) -> Best {
        let Table { sets, firsts, .. } = &self.tables[table];
        let mut best = limit;
        for level in level..self.levels.len() {
            let at = level * self.cohorts + cohort as usize;
            if firsts[at] < best {
                let better = sets[at].iter().take_while(|found| **found < best);
                best = better.copied().find(|found| is_accepted(found.cell)).unwrap_or(best);
            }
        }
        if best == limit { Best::NONE } else { best }
    }

    /// How much is here, whichever of memory and disk there is less of.
    fn level(&self, amounts: &Resources) -> usize {
        if amounts.containers == 0 {
            return 0;
        }
        let scarcer = amounts.memory_mb.min(amounts.disk_mb);
        self.levels.partition_point(|least| *least <= scarcer) - 1
    }
}

fn first(set: &BTreeSet<Best>) -> Best {
    set.first().copied().unwrap_or(Best::NONE)
}

/// The needs' leading bits, each once and not too many, and 0.
fn levels(needs: impl Iterator<Item = Resources>) -> Vec<u64> {
    let amounts = needs.flat_map(|need| [need.memory_mb, need.disk_mb]);
    let levels: BTreeSet<u64> = amounts.map(leading).chain([0]).collect();
    let step = levels.len().div_ceil(LEVELS_MAX);
    levels.into_iter().step_by(step).collect()
}

/// The number with all but its three leading bits off.
const fn leading(number: u64) -> u64 {
    let below = 61_u32.saturating_sub(number.leading_zeros());
    number >> below << below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_no_higher_than_the_amount_and_no_lower_than_four_fifths_of_it() {
        for (number, expected) in
            [(0, 0), (1, 1), (2, 2), (3, 3), (7, 7), (9, 8), (15, 14), (1023, 896)]
        {
            assert_eq!(leading(number), expected, "{number}");
        }
        assert_eq!(leading(u64::MAX), 7 << 61);
    }

    #[test]
    fn levels_begin_with_nothing_and_are_not_too_many() {
        let need = |n: u64| Resources { memory_mb: n, disk_mb: 0, containers: 1 };
        assert_eq!(levels([9, 8, 70].map(need).into_iter()), [0, 8, 64]);
        let many = levels((0..60).map(|bit| need((1 << bit) | ((1 << bit) / 2))));
        assert!(many.len() <= LEVELS_MAX && many[0] == 0, "{many:?}");
        assert_eq!(levels(std::iter::empty()), [0]);
    }
}
