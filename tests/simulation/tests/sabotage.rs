//! A run can fail: whatever is sabotaged is noticed, and the script that shows it is short and can
//! be had again from its text.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture is a failed test")]

use lattice_simulation::plan::{Scale, plan};
use lattice_simulation::{Sabotage, Script, run, shrink};

const SEEDS_MAX: u64 = 300;

/// Finds it, makes its script short, and looks for the words in what is said of it.
fn check(sabotage: Sabotage, words: &str) {
    let scripts = (0..SEEDS_MAX).map(|seed| plan(seed, &Scale::SMALL));
    let mut failing = scripts.filter(|script| run(script, sabotage).is_err());
    let script = failing.next().expect("one of the seeds finds it");
    let (shrunk, violation) = shrink::shrink(&script, sabotage).unwrap();
    let (before, after) = (script.happenings.len(), shrunk.happenings.len());
    assert!(after < before, "{before} lines became {after}:\n{shrunk}");
    assert!(violation.what.contains(words), "{violation}\n\n{shrunk}");
    let again: Script = shrunk.to_string().parse().unwrap();
    assert_eq!(again, shrunk);
    assert_eq!(run(&again, sabotage), Err(violation));
}

#[test]
fn a_brain_that_answers_before_it_commits_is_found() {
    check(Sabotage::BrainAnswersBeforeCommit, "is lost");
}

#[test]
fn a_brain_that_loses_its_orders_to_stop_is_found() {
    check(Sabotage::BrainLosesStops, "nobody wants");
}

#[test]
fn a_brain_that_loses_what_it_wants_auctioned_is_found() {
    check(Sabotage::BrainLosesAuctions, "Unclaimed");
}

#[test]
fn an_auction_that_takes_cells_for_empty_is_found() {
    check(Sabotage::AuctionOverbooks, "was placed on");
}

#[test]
fn a_cell_that_forgets_to_tell_how_things_ended_is_found() {
    check(Sabotage::CellForgetsToTell, "after the last fault");
}

#[test]
fn a_cell_that_takes_absence_for_an_order_is_found() {
    check(Sabotage::CellTakesAbsenceForAnOrder, "of which the brain said nothing");
}

#[test]
fn a_cell_that_runs_tasks_that_were_not_granted_is_found() {
    check(Sabotage::CellRunsUngrantedTasks, "runs for the second time");
}

#[test]
fn a_cell_that_does_not_give_back_what_was_reserved_is_found() {
    check(Sabotage::CellLeaksReservations, "and fits on");
}
