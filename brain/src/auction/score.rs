//! How well a cell suits (section 1.4); lower is better.

use lattice_model::Resources;

/// Above anything that resources, starts and ranks can add up to.
const LOCALITY: f64 = 1_000.0;

/// What the score is made of, apart from the policy's weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// All the cell has.
    pub(super) total: Resources,
    /// What is not reserved.
    pub(super) free: Resources,
    /// What is to be placed.
    pub(super) need: Resources,
    /// Instances of the same app on the cell; for a task, all tasks there.
    pub(super) siblings: u64,
    /// What is starting there, times its weight.
    pub(super) starting: f64,
    /// The cell's rank in its zone, times its weight.
    pub(super) rank: f64,
}

/// The score of a cell on which the thing fits.
pub(super) fn score(facts: &Facts) -> f64 {
    let left = facts.free.minus(&facts.need);
    let used = |left: u64, total: u64| 1.0 - ratio(left, total);
    let resources = used(left.memory_mb, facts.total.memory_mb)
        + used(left.disk_mb, facts.total.disk_mb)
        + used(left.containers, facts.total.containers);
    resources / 3.0 + facts.starting + LOCALITY * ratio(facts.siblings, 1) + facts.rank
}

#[expect(clippy::cast_precision_loss, reason = "amounts stay far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn amounts(n: u64) -> Resources {
        Resources { memory_mb: n, disk_mb: n, containers: n }
    }

    const fn facts() -> Facts {
        Facts {
            total: amounts(100),
            free: amounts(100),
            need: Resources { memory_mb: 10, disk_mb: 10, containers: 1 },
            siblings: 0,
            starting: 0.0,
            rank: 0.0,
        }
    }

    #[test]
    fn a_score_is_the_mean_of_the_used_fractions() {
        let expected = (0.1 + 0.1 + 0.01) / 3.0;
        assert!((score(&facts()) - expected).abs() < 1e-12);
    }

    #[test]
    fn the_better_of_two_cells_has_the_lower_score() {
        let base = facts();
        for (what, worse) in [
            ("less free", Facts { free: amounts(50), ..base }),
            (
                "fewer slots in all",
                Facts {
                    total: Resources { containers: 20, ..base.total },
                    free: Resources { containers: 20, ..base.free },
                    ..base
                },
            ),
            ("more starting", Facts { starting: 0.25, ..base }),
            ("a later rank", Facts { rank: 0.2, ..base }),
            ("a sibling", Facts { siblings: 1, ..base }),
        ] {
            assert!(score(&base) < score(&worse), "{what}");
        }
    }

    #[test]
    fn siblings_outweigh_everything_and_a_start_outweighs_a_quarter_of_the_capacity() {
        let base = facts();
        let crowded = Facts { free: amounts(10), starting: 250.0, rank: 100.0, ..base };
        let sibling = Facts { siblings: 1, ..base };
        assert!(score(&crowded) < score(&sibling));
        let two = Facts { siblings: 2, ..base };
        assert!(score(&sibling) < score(&two));
        let starting = Facts { starting: 0.25, ..base };
        let fuller = |percent: u64| Facts { free: amounts(100 - percent), ..base };
        assert!(score(&fuller(20)) < score(&starting));
        assert!(score(&fuller(30)) > score(&starting));
    }

    #[test]
    fn a_cell_without_an_amount_counts_as_used_up() {
        let none = Facts { total: amounts(0), free: amounts(0), need: amounts(0), ..facts() };
        assert!((score(&none) - 1.0).abs() < 1e-12);
    }
}
