//! The cells of each cohort in the order of their scores, those with more free apart from those
//! with less: what is nearly full is not looked at again and again by what needs more.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};
use std::hint::select_unpredictable;

use lattice_model::Resources;

use super::cohort::Cohorts;
use super::fleet::Fleet;
use super::score::{Ranking, Score, Weights};

/// One table per ranking.
#[derive(Debug)]
pub(super) struct Standings {
    /// The least room on each level; the first is 0.
    levels: Vec<u32>,
    cohorts: u32,
    tables: Vec<Table>,
}

/// How much is free in MB, of memory or of disk, whichever there is less of; and the level of that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    mb: u32,
    level: u32,
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
    /// By place: the cells there in their order.
    lines: Vec<VecDeque<Seat>>,
    /// By place: who leads there.
    heads: Vec<Head>,
    /// By cell: where it stands.
    seats: Vec<(Place, Seat)>,
}

/// Who leads at a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// The best cell there.
    first: Best,
    /// The best cell there and on the levels with more room.
    pub(super) top: Best,
}

/// The number of a level and a cohort.
type Place = u32;

/// A cell in its line. Lines are long, and seats are moved in them.
#[derive(Debug, Clone, Copy)]
struct Seat {
    score: Score,
    cell: u32,
    /// Its room.
    mb: u32,
}

// === impl Best ===

impl Best {
    /// Worse than any cell.
    pub(super) const NONE: Self = Self { score: Score::MAX, cell: u32::MAX };

    /// Nothing stays nothing.
    pub(super) const fn plus(self, more: Score) -> Self {
        if self.is_some() { Self { score: self.score.saturating_add(more), ..self } } else { self }
    }

    pub(super) const fn is_some(self) -> bool {
        self.cell != Self::NONE.cell
    }

    /// The better of the two. Which it is nobody can foresee.
    pub(super) fn least(self, other: Self) -> Self {
        let beats = other.beats(self);
        Self {
            score: select_unpredictable(beats, other.score, self.score),
            cell: select_unpredictable(beats, other.cell, self.cell),
        }
    }

    /// What `<` says, by one comparison.
    pub(super) fn beats(self, other: Self) -> bool {
        self.key() < other.key()
    }

    fn key(self) -> i128 {
        i128::from(self.score) << 64 | i128::from(self.cell)
    }
}

// === impl Standings ===

impl Standings {
    /// Levels are made for these needs.
    pub(super) fn new(
        fleet: &Fleet<'_>,
        cohorts: &Cohorts,
        (rankings, needs): (&[Ranking], impl Iterator<Item = Resources>),
        weights: &Weights,
    ) -> Self {
        let count = u32::try_from(cohorts.all.len()).expect("no more cohorts than cells");
        let mut standings = Self { levels: levels(needs), cohorts: count, tables: Vec::new() };
        let tables =
            rankings.iter().map(|ranking| standings.table(*ranking, fleet, cohorts, weights));
        standings.tables = tables.collect();
        standings
    }

    fn table(
        &self,
        ranking: Ranking,
        fleet: &Fleet<'_>,
        cohorts: &Cohorts,
        weights: &Weights,
    ) -> Table {
        let stride = self.cohorts as usize;
        let places = self.levels.len() * stride;
        let mut lines: Vec<VecDeque<Seat>> = (0..places).map(|_| VecDeque::new()).collect();
        let nowhere = Seat { score: 0, cell: 0, mb: 0 };
        let mut seats = vec![(0, nowhere); fleet.cells.len()];
        for (number, cohort) in (0..).zip(&cohorts.all) {
            let scale = cohorts.scale(number);
            for cell in &cohort.cells {
                let load = &fleet.cells[*cell as usize].load;
                let score = ranking.standing(load, scale, weights).total();
                let (place, seat) = self.seat(&load.free, number, (score, *cell));
                lines[place as usize].push_back(seat);
                seats[*cell as usize] = (place, seat);
            }
        }
        let first = |line: &mut VecDeque<Seat>| {
            line.make_contiguous().sort_unstable();
            line.front().map_or(Best::NONE, Seat::best)
        };
        let head = |line| {
            let first = first(line);
            Head { first, top: first }
        };
        let mut heads: Vec<Head> = lines.iter_mut().map(head).collect();
        for place in (0..places.saturating_sub(stride)).rev() {
            heads[place].top = heads[place].first.min(heads[place + stride].top);
        }
        Table { ranking, lines, heads, seats }
    }

    /// Puts a cell where it stands now.
    pub(super) fn update(
        &mut self,
        cohort: u32,
        cell: u32,
        free: &Resources,
        score: impl Fn(Ranking) -> Score,
    ) {
        let (place, seat) = self.seat(free, cohort, (0, cell));
        for table in &mut self.tables {
            let seat = Seat { score: score(table.ranking), ..seat };
            table.reseat((place, seat), self.cohorts as usize);
        }
    }

    /// The number of the table for a ranking.
    pub(super) fn table_of(&self, ranking: Ranking) -> Option<usize> {
        self.tables.iter().position(|table| table.ranking == ranking)
    }

    /// Less room is not enough.
    pub(super) fn demand(&self, need: &Resources) -> Room {
        if need.containers == 0 { Room { mb: 0, level: 0 } } else { self.room(need) }
    }

    /// By cohort: none of its cells that has enough room is better than this.
    pub(super) fn bounds(&self, table: usize, least: Room) -> &[Head] {
        let stride = self.cohorts as usize;
        &self.tables[table].heads[least.level as usize * stride..][..stride]
    }

    /// The best cell of a cohort that has enough room, beats the limit and is accepted.
    pub(super) fn best(
        &self,
        table: usize,
        (least, cohort): (Room, u32),
        limit: Best,
        is_accepted: impl Fn(u32) -> bool,
    ) -> Best {
        let Table { lines, heads, .. } = &self.tables[table];
        let mut best = limit;
        let first = self.place(least.level, cohort) as usize;
        for place in (first..heads.len()).step_by(self.cohorts as usize) {
            if !heads[place].top.beats(best) {
                break;
            }
            if heads[place].first.beats(best) {
                let better = lines[place].iter().take_while(|seat| seat.best().beats(best));
                let mut roomy = better.filter(|seat| seat.mb >= least.mb);
                best = roomy.find(|seat| is_accepted(seat.cell)).map_or(best, Seat::best);
            }
        }
        if best == limit { Best::NONE } else { best }
    }

    fn seat(&self, free: &Resources, cohort: u32, (score, cell): (Score, u32)) -> (Place, Seat) {
        let Room { mb, level } = self.room(free);
        (self.place(level, cohort), Seat { score, cell, mb })
    }

    const fn place(&self, level: u32, cohort: u32) -> Place {
        level * self.cohorts + cohort
    }

    /// Where there is no slot for a container, there is no room.
    fn room(&self, amounts: &Resources) -> Room {
        if amounts.containers == 0 {
            return Room { mb: 0, level: 0 };
        }
        let mb = bounded(amounts.memory_mb.min(amounts.disk_mb));
        let level = self.levels.partition_point(|least| *least <= mb) - 1;
        Room { mb, level: u32::try_from(level).expect("levels are few") }
    }
}

// === impl Seat ===

impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        self.best() == other.best()
    }
}

impl Eq for Seat {}

impl Ord for Seat {
    fn cmp(&self, other: &Self) -> Ordering {
        self.best().key().cmp(&other.best().key())
    }
}

impl PartialOrd for Seat {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    fn lt(&self, other: &Self) -> bool {
        self.best().beats(other.best())
    }
}

impl Seat {
    const fn best(&self) -> Best {
        Best { score: self.score, cell: self.cell }
    }
}

// === impl Table ===

impl Table {
    /// Seats a cell anew; from level to level it is so many places.
    fn reseat(&mut self, (place, seat): (Place, Seat), stride: usize) {
        let (from, left) = std::mem::replace(&mut self.seats[seat.cell as usize], (place, seat));
        let (from, to) = (from as usize, place as usize);
        leave(&mut self.lines[from], &left);
        join(&mut self.lines[to], seat);
        for place in [from, to] {
            self.heads[place].first = self.lines[place].front().map_or(Best::NONE, Seat::best);
        }
        for place in (0..=from.max(to)).rev().step_by(stride) {
            let above = self.heads.get(place + stride).map_or(Best::NONE, |head| head.top);
            let Head { first, top } = &mut self.heads[place];
            let best = first.least(above);
            if place < from.min(to) && best == *top {
                break;
            }
            *top = best;
        }
    }
}

/// Mostly the first of a line goes.
fn leave(line: &mut VecDeque<Seat>, left: &Seat) {
    if line.front() == Some(left) {
        line.pop_front();
    } else {
        let removed = line.remove(line.partition_point(|other| other < left));
        assert_eq!(removed.as_ref(), Some(left), "a cell leaves the line that it stands in");
    }
}

/// Mostly what has just been given work is the last where work is spread, and the first where it
/// is packed.
fn join(line: &mut VecDeque<Seat>, seat: Seat) {
    if line.back().is_none_or(|last| *last < seat) {
        line.push_back(seat);
    } else if line.front().is_some_and(|first| seat < *first) {
        line.push_front(seat);
    } else {
        line.insert(line.partition_point(|other| other < &seat), seat);
    }
}

/// The needs' leading bits, each once, and 0.
fn levels(needs: impl Iterator<Item = Resources>) -> Vec<u32> {
    let amounts = needs.flat_map(|need| [need.memory_mb, need.disk_mb].map(bounded));
    let levels: BTreeSet<u32> = amounts.map(leading).chain([0]).collect();
    levels.into_iter().collect()
}

/// The number with all but its two leading bits off.
const fn leading(number: u32) -> u32 {
    let below = 30_u32.saturating_sub(number.leading_zeros());
    number >> below << below
}

/// More than this, 4 PB, is told apart no more.
fn bounded(mb: u64) -> u32 {
    u32::try_from(mb).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_no_higher_than_the_amount_and_no_lower_than_two_thirds_of_it() {
        for (number, expected) in
            [(0, 0), (1, 1), (2, 2), (3, 3), (7, 6), (9, 8), (15, 12), (1023, 768)]
        {
            assert_eq!(leading(number), expected, "{number}");
        }
        assert_eq!(leading(u32::MAX), 3 << 30);
    }

    #[test]
    fn levels_begin_with_nothing_and_are_few() {
        let need = |n: u64| Resources { memory_mb: n, disk_mb: 0, containers: 1 };
        assert_eq!(levels([9, 8, 70].map(need).into_iter()), [0, 8, 64]);
        let many = levels((0..60).flat_map(|bit| [need(1 << bit), need(3 << bit)]));
        assert_eq!((many.len(), many[0]), (64, 0));
        assert_eq!(levels(std::iter::empty()), [0]);
    }
}
