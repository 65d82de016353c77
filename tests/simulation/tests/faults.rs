//! Whatever goes wrong, what must hold holds, and in the end all is as people want it.
//! `script/soak brain` runs many more seeds.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture is a failed test")]

use std::ops::Range;

use lattice_simulation::plan::{Scale, plan};
use lattice_simulation::{Sabotage, run, shrink};

fn check(seeds: Range<u64>, scale: &Scale) {
    for seed in seeds {
        let script = plan(seed, scale);
        if let Err(violation) = run(&script, Sabotage::Nothing) {
            let shrunk = shrink::shrink(&script, Sabotage::Nothing);
            let (script, violation) = shrunk.unwrap_or((script, violation));
            panic!("seed {seed}: {violation}\n\n{script}");
        }
    }
}

/// Seeds, in portions that run beside each other.
macro_rules! seeds {
    ($scale:expr, $($name:ident: $seeds:expr;)*) => {$(
        #[test]
        fn $name() {
            check($seeds, &$scale);
        }
    )*};
}

seeds! { Scale::SMALL,
    after_any_faults_a_small_cluster_is_as_desired_0: 0..1_000;
    after_any_faults_a_small_cluster_is_as_desired_1: 1_000..2_000;
    after_any_faults_a_small_cluster_is_as_desired_2: 2_000..3_000;
    after_any_faults_a_small_cluster_is_as_desired_3: 3_000..4_000;
    after_any_faults_a_small_cluster_is_as_desired_4: 4_000..5_000;
    after_any_faults_a_small_cluster_is_as_desired_5: 5_000..6_000;
    after_any_faults_a_small_cluster_is_as_desired_6: 6_000..7_000;
    after_any_faults_a_small_cluster_is_as_desired_7: 7_000..8_000;
    after_any_faults_a_small_cluster_is_as_desired_8: 8_000..9_000;
    after_any_faults_a_small_cluster_is_as_desired_9: 9_000..10_000;
}

seeds! { Scale::MOVING,
    after_any_faults_and_moves_a_small_cluster_is_as_desired_0: 0..1_000;
    after_any_faults_and_moves_a_small_cluster_is_as_desired_1: 1_000..2_000;
    after_any_faults_and_moves_a_small_cluster_is_as_desired_2: 2_000..3_000;
    after_any_faults_and_moves_a_small_cluster_is_as_desired_3: 3_000..4_000;
    // Once failed: a suspect whose cell came back drained took its replacement's place and left.
    after_moves_a_suspect_leaves_its_drained_cell: 3_866..3_867;
    // Once failed: the stop of what was handed over came when its replacement was on the move.
    after_moves_what_was_handed_over_stops: 5_833..5_834;
    after_moves_what_was_handed_over_from_an_undrained_cell_stops: 7_285..7_286;
}

seeds! { Scale::LARGE,
    after_any_faults_a_thousand_cells_are_as_desired_0: 0..1;
    after_any_faults_a_thousand_cells_are_as_desired_1: 1..2;
    after_any_faults_a_thousand_cells_are_as_desired_2: 2..3;
    after_any_faults_a_thousand_cells_are_as_desired_3: 3..4;
    after_any_faults_a_thousand_cells_are_as_desired_4: 4..5;
    after_any_faults_a_thousand_cells_are_as_desired_5: 5..6;
    after_any_faults_a_thousand_cells_are_as_desired_6: 6..7;
    after_any_faults_a_thousand_cells_are_as_desired_7: 7..8;
    after_any_faults_a_thousand_cells_are_as_desired_8: 8..9;
    after_any_faults_a_thousand_cells_are_as_desired_9: 9..10;
    after_any_faults_a_thousand_cells_are_as_desired_10: 10..11;
    after_any_faults_a_thousand_cells_are_as_desired_11: 11..12;
    after_any_faults_a_thousand_cells_are_as_desired_12: 12..13;
    after_any_faults_a_thousand_cells_are_as_desired_13: 13..14;
    after_any_faults_a_thousand_cells_are_as_desired_14: 14..15;
    after_any_faults_a_thousand_cells_are_as_desired_15: 15..16;
    after_any_faults_a_thousand_cells_are_as_desired_16: 16..17;
    after_any_faults_a_thousand_cells_are_as_desired_17: 17..18;
    after_any_faults_a_thousand_cells_are_as_desired_18: 18..19;
    after_any_faults_a_thousand_cells_are_as_desired_19: 19..20;
}

#[test]
fn the_same_seed_makes_the_same_history() {
    for seed in [7, 8, 9] {
        let script = plan(seed, &Scale::SMALL);
        let run = || run(&script, Sabotage::Nothing).unwrap();
        assert_eq!(run(), run());
    }
}
