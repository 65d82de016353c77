//! How well a cell suits (section 1.4); lower is better.
//!
//! Scores are whole numbers, so that a sum is the same in whatever order its parts are added: an
//! index over the cells and a plain walk over them agree to the last digit.

use lattice_model::{Resources, Strategy};

use super::Policy;

/// A score. [`ONE`] is a cell that is used up.
pub(super) type Score = i64;

/// One kind of capacity used up; the mean of three kinds is what counts.
const KIND: Score = 1 << 36;
/// The unit.
pub(super) const ONE: Score = 3 * KIND;
/// Each instance of the same app on the cell: above anything that capacity can add up to.
pub(super) const SIBLING: Score = 1_000 * ONE;
/// More siblings than this count no more, so that sums stay in bounds.
const SIBLINGS_MAX: u64 = 20_000;
/// An affinity of weight 1.
const AFFINITY: Score = ONE / 10;
/// Above this, a policy's weight would drown everything else.
const WEIGHT_MAX: f64 = 1_000.0;

/// What amounts weigh on a cell of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    total: Resources,
    memory: Score,
    disk: Score,
    containers: Score,
    /// Kinds of which the cell has none count as used up.
    absent: Score,
}

/// A policy's weights as scores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights {
    starting: Score,
    first_fit: Score,
}

/// How cells are ordered for one kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranking {
    /// By what.
    pub(super) strategy: Strategy,
    /// Tasks are spread by their number, and know no zones and no ranks.
    pub(super) is_task: bool,
}

/// What a score is made of, as the auction adds it up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Instances of the same app; for a spread task, all tasks.
    pub(super) siblings: Score,
    /// What is starting there.
    pub(super) starting: Score,
    /// The cell's rank in its zone.
    pub(super) first_fit: Score,
    /// What is used once the work is there; under a random strategy, the dice.
    pub(super) resources: Score,
    /// Rules that should hold.
    pub(super) affinity: Score,
}

/// What the parts that all work sees alike are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// What is not reserved.
    pub(super) free: Resources,
    /// What is starting.
    pub(super) starting: u64,
    /// Tasks on the cell.
    pub(super) tasks: u64,
    /// The cell's rank in its zone.
    pub(super) rank: u32,
}

// === impl Scale ===

impl Scale {
    pub(super) fn new(total: Resources) -> Self {
        let Resources { memory_mb, disk_mb, containers } = total;
        let absent = [memory_mb, disk_mb, containers].iter().filter(|n| **n == 0).count();
        Self {
            total,
            memory: per_unit(memory_mb),
            disk: per_unit(disk_mb),
            containers: per_unit(containers),
            absent: signed(absent as u64) * KIND,
        }
    }

    /// Which part of the cell these amounts are. More than the cell has counts as all of it.
    pub(super) fn part(&self, amounts: &Resources) -> Score {
        signed(amounts.memory_mb.min(self.total.memory_mb)) * self.memory
            + signed(amounts.disk_mb.min(self.total.disk_mb)) * self.disk
            + signed(amounts.containers.min(self.total.containers)) * self.containers
    }

    fn used(&self, free: &Resources) -> Score {
        self.absent + self.part(&self.total.minus(free))
    }
}

/// What one MB or slot is of so many.
const fn per_unit(total: u64) -> Score {
    if total == 0 { 0 } else { KIND / signed(total) }
}

/// Amounts beyond this are told apart no more.
const fn signed(amount: u64) -> Score {
    const MAX: u64 = 1 << 60;
    if amount > MAX { MAX as Score } else { amount as Score }
}

// === impl Weights ===

impl Weights {
    #[expect(clippy::cast_possible_truncation, reason = "bounded before")]
    pub(super) fn new(policy: &Policy) -> Self {
        let fixed = |weight: f64| {
            let bounded = if weight.is_nan() { 0.0 } else { weight.clamp(0.0, WEIGHT_MAX) };
            (bounded * as_f64(ONE)).round() as Score
        };
        Self { starting: fixed(policy.starting_weight), first_fit: fixed(policy.first_fit_weight) }
    }
}

// === impl Ranking ===

impl Ranking {
    /// The parts that do not depend on the app, nor on how much is asked for. Packed cells may
    /// have many starting: that is what packing means, and the policy's bound on starts holds.
    pub(super) fn standing(self, load: &Load, scale: &Scale, weights: &Weights) -> Parts {
        let (is_spread, used) = match self.strategy {
            Strategy::Spread => (true, scale.used(&load.free)),
            Strategy::Binpack => (false, -scale.used(&load.free)),
            Strategy::Random => return Parts::default(),
        };
        let times = |weight: Score, n: u64| weight.saturating_mul(signed(n));
        let when = |applies: bool, score: Score| if applies { score } else { 0 };
        Parts {
            siblings: when(is_spread && self.is_task, siblings(load.tasks)),
            starting: when(is_spread, times(weights.starting, load.starting)),
            first_fit: when(!self.is_task, times(weights.first_fit, u64::from(load.rank))),
            resources: used,
            affinity: 0,
        }
    }

    /// What the work itself adds to the cell's resources.
    pub(super) fn added(self, need: &Resources, scale: &Scale) -> Score {
        match self.strategy {
            Strategy::Spread => scale.part(need),
            Strategy::Binpack => -scale.part(need),
            Strategy::Random => 0,
        }
    }
}

// === impl Parts ===

impl Parts {
    pub(super) const fn total(&self) -> Score {
        self.siblings
            .saturating_add(self.starting)
            .saturating_add(self.first_fit)
            .saturating_add(self.resources)
            .saturating_add(self.affinity)
    }
}

/// What so many instances of the same app on a cell count.
pub(super) fn siblings(count: u64) -> Score {
    signed(count.min(SIBLINGS_MAX)) * SIBLING
}

/// What an affinity that is met counts: it makes the score better.
pub(super) fn affinity(weight: u8) -> Score {
    -AFFINITY * Score::from(weight)
}

/// Under a random strategy the first cell at or after the drawn position is the best, and the one
/// before it the worst.
pub(super) fn distance(position: u32, drawn: u32, cells: u32) -> Score {
    let steps = if position >= drawn { position - drawn } else { position + cells - drawn };
    Score::from(steps) * (ONE / Score::from(cells.max(1)))
}

/// A score for people: 1.0 is a cell that is used up.
pub(super) fn shown(score: Score) -> f64 {
    as_f64(score) / as_f64(ONE)
}

#[expect(clippy::cast_precision_loss, reason = "for people, and for weights of a few digits")]
fn as_f64(score: Score) -> f64 {
    score as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use lattice_model::Strategy;

    use super::*;
    use crate::testing::amounts;

    const SPREAD: Ranking = Ranking { strategy: Strategy::Spread, is_task: false };
    const TASKS: Ranking = Ranking { is_task: true, ..SPREAD };
    const PACK: Ranking = Ranking { strategy: Strategy::Binpack, is_task: false };

    fn load(free: u64) -> Load {
        Load { free: amounts(free, free, free), starting: 0, tasks: 0, rank: 0 }
    }

    /// The score of 10 MB on a cell of 100, with a first-fit weight of 0.2.
    fn score(ranking: Ranking, load: &Load) -> f64 {
        let scale = Scale::new(amounts(100, 100, 100));
        let policy = Policy { first_fit_weight: 0.2, ..Policy::default() };
        let parts = ranking.standing(load, &scale, &Weights::new(&policy));
        shown(parts.total() + ranking.added(&amounts(10, 10, 1), &scale))
    }

    #[test]
    fn a_score_is_the_mean_of_the_used_fractions() {
        assert!((score(SPREAD, &load(100)) - (0.1 + 0.1 + 0.01) / 3.0).abs() < 1e-6);
    }

    #[test]
    fn the_better_of_two_cells_has_the_lower_score() {
        let base = load(100);
        for (what, worse) in [
            ("less free", load(50)),
            ("more starting", Load { starting: 1, ..base }),
            ("a later rank", Load { rank: 1, ..base }),
        ] {
            assert!(score(SPREAD, &base) < score(SPREAD, &worse), "{what}");
        }
        let fewer_slots = Scale::new(amounts(100, 100, 20));
        let more_slots = Scale::new(amounts(100, 100, 50));
        let need = amounts(10, 10, 1);
        assert!(SPREAD.added(&need, &more_slots) < SPREAD.added(&need, &fewer_slots));
    }

    #[test]
    fn a_packing_score_is_lower_where_less_is_left_and_knows_no_starts() {
        assert!(score(PACK, &load(50)) < score(PACK, &load(100)));
        let busy = Load { starting: 9, ..load(50) };
        assert!((score(PACK, &busy) - score(PACK, &load(50))).abs() < 1e-9);
    }

    #[test]
    fn tasks_are_told_apart_by_their_number_and_know_no_ranks() {
        let crowded = Load { tasks: 1, ..load(100) };
        assert!(score(TASKS, &crowded) > score(TASKS, &load(20)) + 900.0);
        let later = Load { rank: 7, ..load(100) };
        assert!((score(TASKS, &later) - score(TASKS, &load(100))).abs() < 1e-9);
    }

    #[test]
    fn siblings_outweigh_everything_and_a_start_outweighs_a_quarter_of_the_capacity() {
        let crowded = Load { starting: 1_000, rank: 100, ..load(10) };
        assert!(score(SPREAD, &crowded) < score(SPREAD, &load(100)) + shown(siblings(1)));
        assert!(siblings(1) < siblings(2));
        let starting = Load { starting: 1, ..load(100) };
        assert!(score(SPREAD, &load(80)) < score(SPREAD, &starting));
        assert!(score(SPREAD, &load(70)) > score(SPREAD, &starting));
    }

    #[test]
    fn a_kind_of_which_a_cell_has_none_counts_as_used_up() {
        let none = Scale::new(amounts(0, 0, 0));
        assert_eq!(none.used(&amounts(0, 0, 0)), ONE);
    }

    #[test]
    fn distances_go_round() {
        let order = |drawn| {
            let mut cells: Vec<u32> = (0..4).collect();
            cells.sort_by_key(|position| distance(*position, drawn, 4));
            cells
        };
        assert_eq!(order(0), [0, 1, 2, 3]);
        assert_eq!(order(2), [2, 3, 0, 1]);
        assert!(distance(1, 2, 4) < ONE);
    }

    proptest! {
        #[test]
        fn whole_numbers_say_what_the_formula_of_fractions_says(
            total in (1..1_000_000_u64, 1..1_000_000_u64, 1..1_000_u64),
            used in (0.0..1.0_f64, 0.0..1.0_f64, 0.0..1.0_f64),
            starting in 0..1_000_u64,
        ) {
            let total = amounts(total.0, total.1, total.2);
            let part = |total: u64, used: f64| (as_f64(signed(total)) * used) as u64;
            let free = total.minus(&amounts(
                part(total.memory_mb, used.0),
                part(total.disk_mb, used.1),
                part(total.containers, used.2),
            ));
            let load = Load { free, starting, tasks: 0, rank: 0 };
            let weights = Weights::new(&Policy::default());
            let ours = shown(SPREAD.standing(&load, &Scale::new(total), &weights).total());
            let fraction = |left: u64, all: u64| 1.0 - left as f64 / all as f64;
            let formula = (fraction(free.memory_mb, total.memory_mb)
                + fraction(free.disk_mb, total.disk_mb)
                + fraction(free.containers, total.containers)) / 3.0
                + 0.25 * starting as f64;
            prop_assert!((ours - formula).abs() < 1e-4, "{ours} {formula}");
        }

        #[test]
        fn no_amount_is_too_large(
            total in any::<(u64, u64, u64)>(), free in any::<(u64, u64, u64)>(),
            counts in any::<(u64, u64, u32)>(), weight in any::<f64>(),
        ) {
            let total = amounts(total.0, total.1, total.2);
            let free = amounts(free.0, free.1, free.2);
            let load = Load { free, starting: counts.0, tasks: counts.1, rank: counts.2 };
            let policy = Policy {
                starting_weight: weight, first_fit_weight: weight, ..Policy::default()
            };
            let (scale, weights) = (Scale::new(total), Weights::new(&policy));
            for ranking in [SPREAD, TASKS, PACK] {
                let parts = ranking.standing(&load, &scale, &weights);
                prop_assert!(parts.resources.abs() <= ONE);
                prop_assert!(ranking.added(&free, &scale).abs() <= ONE);
                parts.total();
            }
        }
    }
}
