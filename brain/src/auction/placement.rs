//! Finds a cell for each want (section 1.4), the fewest looked at: zones by what they hold of the
//! app, then the best cell of them.

use lattice_model::actual_lrp::PlacementError;
use lattice_model::placement::Relation;
use lattice_model::{Resources, Strategy};

use super::Policy;
use super::cohort::{Cohorts, Extra, Group, Verdict};
use super::filter::{Force, ill_placed};
use super::fleet::{Cell, Fleet};
use super::order::{Queue, Want};
use super::score::{ONE, Score, Weights, affinity, distance, siblings};
use super::shortage::Supply;
use super::standings::{Best, Standings};

pub(super) const NO_CELLS: &str = "unable to communicate to compatible cells";

/// The cells during one auction, and the ways to the best of them.
#[derive(Debug)]
pub(super) struct Floor<'a> {
    queue: &'a Queue<'a>,
    weights: Weights,
    fleet: Fleet<'a>,
    cohorts: Cohorts,
    standings: Standings,
    marks: Marks,
    /// What the groups that were last asked promised.
    promises: Vec<Best>,
    /// By judge: a need that nobody had enough for. What is free only shrinks.
    hopeless: Vec<Option<Resources>>,
    /// By judge: what there was, when so much had been placed.
    supplies: Vec<Option<(u64, Supply)>>,
}

/// The cells that other instances make special for one want: those with its own app, and those
/// with apps that its rules name. They are weighed one by one.
#[derive(Debug, Default)]
struct Marks {
    cells: Vec<Mark>,
    /// By cell: its place in `cells`, when that place knows the cell.
    places: Vec<u32>,
    /// By zone: the instances of the want's own app.
    in_zone: Vec<u64>,
    /// By number of the extra: what the want and the labels add to a score.
    added: Vec<Score>,
    /// Rules that only marked cells can keep.
    musts: u32,
}

/// One such cell.
#[derive(Debug, Clone, Copy)]
struct Mark {
    cell: u32,
    /// Instances of the same app.
    siblings: u64,
    /// What rules about other apps add to the score.
    affinity: Score,
    /// Which of the rules that only marked cells can keep are kept.
    kept: u32,
    /// True where a rule forbids the cell.
    is_barred: bool,
}

// === impl Floor ===

impl<'a> Floor<'a> {
    pub(super) fn new(queue: &'a Queue<'a>, fleet: Fleet<'a>, policy: &Policy) -> Self {
        let weights = Weights::new(policy);
        let cohorts = Cohorts::new(&fleet, &queue.judges);
        let mut rankings: Vec<_> = queue.wants.iter().map(|want| want.ranking).collect();
        rankings.retain(|ranking| ranking.strategy != Strategy::Random);
        rankings.sort_unstable();
        rankings.dedup();
        let needs = queue.wants.iter().map(|want| want.need);
        let standings = Standings::new(&fleet, &cohorts, (&rankings, needs), &weights);
        let judges = queue.judges.len();
        Self {
            queue,
            weights,
            cohorts,
            standings,
            marks: Marks::new(&fleet),
            promises: Vec::new(),
            hopeless: vec![None; judges],
            supplies: (0..judges).map(|_| None).collect(),
            fleet,
        }
    }

    /// What is starting on all cells.
    pub(super) const fn starting(&self) -> u64 {
        self.fleet.starting
    }

    /// Reserves the best cell, or says why there is none, and whether there never could be. The
    /// dice are for the random strategy.
    pub(super) fn place(
        &mut self,
        want: &Want,
        dice: impl Fn() -> u64,
    ) -> Result<u32, (PlacementError, bool)> {
        if self.cohorts.all.is_empty() {
            let detail = "no cell takes new work at present".to_owned();
            return Err((PlacementError { reason: NO_CELLS.to_owned(), detail }, false));
        }
        let judge = &self.queue.judges[want.judge];
        if let Some(filter) = self.cohorts.verdicts[want.judge].blocked_by {
            let cells = self.cohorts.all.iter().map(|cohort| cohort.cells.len()).sum();
            return Err((judge.refusal(filter, cells), true));
        }
        let is_hopeless = |least: &Resources| want.need.fits(least);
        if self.hopeless[want.judge].as_ref().is_some_and(is_hopeless) {
            return Err(self.explain(want));
        }
        self.marks.set(&self.fleet, want, self.queue);
        self.marks.weigh(want, &self.cohorts);
        let drawn = match want.ranking.strategy {
            Strategy::Random => draw(dice(), self.fleet.cells.len()),
            Strategy::Spread | Strategy::Binpack => 0,
        };
        let mut promises = std::mem::take(&mut self.promises);
        let found = self.search(want, drawn, &mut promises);
        self.promises = promises;
        if !found.is_some() {
            if !judge.has_musts() {
                self.hopeless[want.judge] = Some(want.need);
            }
            return Err(self.explain(want));
        }
        let position = found.cell as usize;
        self.fleet.reserve(position, want);
        self.refresh(position);
        Ok(found.cell)
    }

    fn refresh(&mut self, position: usize) {
        let Some(cohort) = self.cohorts.of[position] else { return };
        let scale = self.cohorts.scale(cohort);
        let (load, weights) = (&self.fleet.cells[position].load, &self.weights);
        let cell = u32::try_from(position).expect("cells are numbered so");
        self.standings.update(cohort, cell, &load.free, |ranking| {
            ranking.standing(load, scale, weights).total()
        });
    }

    /// The best cell in the zones that hold the fewest instances of the app; where those are full,
    /// in the next ones. Tasks see all zones alike.
    fn search(&self, want: &Want, drawn: u32, promises: &mut Vec<Best>) -> Best {
        let verdict = &self.cohorts.verdicts[want.judge];
        let in_zone = |zone: u32| self.marks.in_zone[zone as usize];
        let counts = || verdict.zones.iter().map(|(zone, _)| in_zone(*zone));
        let mut tier = counts().min();
        while let Some(count) = tier {
            let zones = verdict.zones.iter().filter(|(zone, _)| in_zone(*zone) == count);
            let groups = zones.flat_map(|(_, groups)| groups);
            let unmarked = match self.standings.table_of(want.ranking) {
                _ if self.marks.musts > 0 => Best::NONE,
                Some(table) => self.best_unmarked(want, table, groups, promises),
                None => self.nearest(want, groups, drawn),
            };
            let best = self.best_marked(want, (verdict, count), drawn, unmarked);
            if best.is_some() {
                return best;
            }
            tier = counts().filter(|found| *found > count).min();
        }
        Best::NONE
    }

    /// The best of the marked cells in zones with so many instances, if it beats the limit.
    fn best_marked(
        &self,
        want: &Want,
        (verdict, count): (&Verdict, u64),
        drawn: u32,
        limit: Best,
    ) -> Best {
        let allowed = self.marks.cells.iter().filter(|mark| self.marks.is_allowed(mark));
        let weighed = allowed.filter_map(|mark| {
            let (cohort, extra) = self.cohorts.passing(verdict, mark.cell)?;
            let zone = self.cohorts.all[cohort as usize].zone;
            let added = self.marks.added[extra as usize];
            let special = siblings(mark.siblings) + mark.affinity + added;
            // What is not special about a cell makes it better by less than two of these.
            if self.marks.in_zone[zone as usize] != count || special - 2 * ONE > limit.score {
                return None;
            }
            let Cell { load, .. } = &self.fleet.cells[mark.cell as usize];
            let scale = self.cohorts.scale(cohort);
            let standing = match want.ranking.strategy {
                Strategy::Random => self.distance(mark.cell, drawn),
                Strategy::Spread | Strategy::Binpack => {
                    want.ranking.standing(load, scale, &self.weights).total()
                }
            };
            let best = Best { score: standing.saturating_add(special), cell: mark.cell };
            load.free.fits(&want.need).then_some(best)
        });
        weighed.fold(limit, Best::min)
    }

    /// The best unmarked cell of these cohorts that has enough free.
    fn best_unmarked<'c>(
        &self,
        want: &Want,
        table: usize,
        groups: impl Iterator<Item = &'c Group> + Clone,
        promises: &mut Vec<Best>,
    ) -> Best {
        let least = self.standings.demand(&want.need);
        let bounds = self.standings.bounds(table, least);
        let is_accepted = |cell| self.is_unmarked_and_fits(cell, &want.need);
        // Mostly the most promising is the best.
        let promise = |group: &Group| {
            let bounds = group.cohorts.iter().map(|cohort| bounds[*cohort as usize].top);
            bounds.fold(Best::NONE, Best::least).plus(self.marks.added[group.extra as usize])
        };
        promises.clear();
        promises.extend(groups.clone().map(promise));
        let first = promises.iter().copied().fold(Best::NONE, Best::least);
        if !first.is_some() || is_accepted(first.cell) {
            return first;
        }
        let offer = |cohort: u32, added: Score, limit: Best| {
            let limit = limit.plus(-added);
            self.standings.best(table, (least, cohort), limit, is_accepted).plus(added)
        };
        // Its cohort mostly has the next best, which few others can beat.
        let passing = self.cohorts.passing(&self.cohorts.verdicts[want.judge], first.cell);
        let mut best = passing.map_or(Best::NONE, |(cohort, extra)| {
            offer(cohort, self.marks.added[extra as usize], Best::NONE)
        });
        for (Group { extra, cohorts }, promise) in groups.zip(promises) {
            if !promise.beats(best) {
                continue;
            }
            let added = self.marks.added[*extra as usize];
            for cohort in cohorts {
                if bounds[*cohort as usize].top.plus(added).beats(best) {
                    best = best.least(offer(*cohort, added, best));
                }
            }
        }
        best
    }

    fn is_unmarked_and_fits(&self, cell: u32, need: &Resources) -> bool {
        let has_enough = self.fleet.cells[cell as usize].load.free.fits(need);
        has_enough && self.marks.of(cell).is_none()
    }

    /// The first unmarked cell of these cohorts at or after the drawn position, all round.
    fn nearest<'c>(
        &self,
        want: &Want,
        groups: impl Iterator<Item = &'c Group>,
        drawn: u32,
    ) -> Best {
        let nearest = |cohort: u32, added: Score| {
            let cells = &self.cohorts.all[cohort as usize].cells;
            let (before, after) = cells.split_at(cells.partition_point(|cell| *cell < drawn));
            let mut round = after.iter().chain(before).copied();
            let cell = round.find(|cell| self.is_unmarked_and_fits(*cell, &want.need))?;
            Some(Best { score: self.distance(cell, drawn) + added, cell })
        };
        let of_group = |Group { extra, cohorts }: &Group| {
            let added = self.marks.added[*extra as usize];
            cohorts.iter().filter_map(|cohort| nearest(*cohort, added)).min()
        };
        groups.filter_map(of_group).min().unwrap_or(Best::NONE)
    }

    fn distance(&self, cell: u32, drawn: u32) -> Score {
        distance(cell, drawn, u32::try_from(self.fleet.cells.len()).unwrap_or(u32::MAX))
    }

    /// What is missing: cells beside the right apps, or enough free.
    fn explain(&mut self, want: &Want) -> (PlacementError, bool) {
        let judge = &self.queue.judges[want.judge];
        let placed = self.fleet.placed;
        if judge.has_musts() {
            let mut cells = self.compatible(want);
            let all = cells.len();
            cells.retain(|cell| self.marks.allow(*cell));
            if cells.is_empty() {
                return (ill_placed(judge, all), false);
            }
            return Supply::of(&self.fleet, &cells).shortage(&self.fleet, &want.need);
        }
        let known = self.supplies[want.judge].take().filter(|(when, _)| *when == placed);
        let supply = match known {
            Some((_, supply)) => supply,
            None => Supply::of(&self.fleet, &self.compatible(want)),
        };
        let (_, supply) = self.supplies[want.judge].insert((placed, supply));
        supply.shortage(&self.fleet, &want.need)
    }

    /// The cells that pass all filters, in their order.
    fn compatible(&self, want: &Want) -> Vec<u32> {
        let zones = &self.cohorts.verdicts[want.judge].zones;
        let numbers = zones.iter().flat_map(|(_, groups)| groups).flat_map(|group| &group.cohorts);
        let cohorts = numbers.map(|number| &self.cohorts.all[*number as usize]);
        let mut cells: Vec<u32> = cohorts.flat_map(|cohort| cohort.cells.iter().copied()).collect();
        cells.sort_unstable();
        cells
    }
}

// === impl Marks ===

impl Marks {
    fn new(fleet: &Fleet<'_>) -> Self {
        Self {
            places: vec![0; fleet.cells.len()],
            in_zone: vec![0; fleet.zones],
            ..Self::default()
        }
    }

    /// Forgets the last want and looks where the apps of this one are.
    fn set(&mut self, fleet: &Fleet<'_>, want: &Want, queue: &Queue<'_>) {
        self.cells.clear();
        self.in_zone.fill(0);
        self.musts = 0;
        if let Some(app) = want.app {
            for holding in fleet.holding(app) {
                let count = u64::from(holding.count);
                self.mark(holding.cell).siblings = count;
                self.in_zone[holding.zone as usize] += count;
            }
        }
        for neighbour in &queue.judges[want.judge].neighbours {
            let must = 1 << self.musts;
            for holding in fleet.holding(neighbour.app) {
                let mark = self.mark(holding.cell);
                match (neighbour.relation, neighbour.force) {
                    (Relation::With, Force::Must) => mark.kept |= must,
                    (Relation::Apart, Force::Must) => mark.is_barred = true,
                    (Relation::With, Force::Should(weight)) => mark.affinity += affinity(weight),
                    (Relation::Apart, Force::Should(weight)) => mark.affinity -= affinity(weight),
                }
            }
            let is_with = neighbour.relation == Relation::With;
            self.musts += u32::from(is_with && neighbour.force == Force::Must);
        }
    }

    fn weigh(&mut self, want: &Want, Cohorts { scales, verdicts, .. }: &Cohorts) {
        let added = |Extra { size, preference }: &Extra| {
            want.ranking.added(&want.need, &scales[*size as usize]) + preference
        };
        self.added.clear();
        self.added.extend(verdicts[want.judge].extras.iter().map(added));
    }

    /// Do the rules about other apps let the cell pass?
    fn allow(&self, cell: u32) -> bool {
        self.of(cell).map_or(self.musts == 0, |mark| self.is_allowed(mark))
    }

    const fn is_allowed(&self, mark: &Mark) -> bool {
        !mark.is_barred && mark.kept.count_ones() == self.musts
    }

    /// What is special about a cell.
    fn of(&self, cell: u32) -> Option<&Mark> {
        self.cells.get(self.places[cell as usize] as usize).filter(|mark| mark.cell == cell)
    }

    fn mark(&mut self, cell: u32) -> &mut Mark {
        let known = self.of(cell).map(|_| self.places[cell as usize] as usize);
        let place = known.unwrap_or_else(|| {
            let (siblings, affinity, kept, is_barred) = (0, 0, 0, false);
            self.cells.push(Mark { cell, siblings, affinity, kept, is_barred });
            self.cells.len() - 1
        });
        self.places[cell as usize] = u32::try_from(place).expect("no more marks than cells");
        &mut self.cells[place]
    }
}

/// A position among so many cells.
pub(super) fn draw(dice: u64, cells: usize) -> u32 {
    u32::try_from(dice % (cells.max(1) as u64)).expect("less than the number of cells")
}
