//! The scenarios of Diego's own simulation, with their criteria (diego.md 6.2).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture is a failed test")]

use lattice_simulation::scenario::{CellReport, Report, Scenario};

const SEED: u64 = 1;

/// Plays it; everything is placed, at the first attempt.
fn placed(scenario: Scenario) -> Report {
    let wanted = scenario.wanted();
    let report = scenario.run().unwrap();
    assert_eq!((report.placed, report.missing), (wanted, 0), "{report}");
    report
}

fn of_zone<'a>(report: &'a Report, zone: &str) -> impl Iterator<Item = &'a CellReport> {
    report.cells.iter().filter(move |cell| cell.zone == zone)
}

#[test]
fn small_apps_are_spread_evenly_over_empty_cells() {
    for (apps, cells) in [(8, 4), (40, 10), (200, 20), (800, 40)] {
        let report = placed(Scenario::small_cold(SEED, cells, apps));
        assert!(report.spread(|cell| cell.new) <= 1, "{report}");
    }
}

#[test]
fn apps_of_many_sizes_are_spread_over_empty_cells() {
    for (cells, instances) in [(25, 2_050), (100, 8_200)] {
        let scenario = Scenario::large_cold(SEED, cells);
        assert_eq!(scenario.wanted(), instances);
        let report = placed(scenario);
        assert!(report.spread(|cell| cell.new) <= 10, "{report}");
        assert!(report.score_after < 0.05, "{report}");
    }
}

#[test]
fn cells_that_come_back_empty_are_filled_without_being_overloaded() {
    for (empty, new) in [(5, 500), (1, 100)] {
        let report = placed(Scenario::imbalanced(SEED, 100, empty, new));
        let (full, fresh): (Vec<_>, Vec<_>) = report.cells.iter().partition(|cell| cell.held > 0);
        let most = |cells: &[&CellReport]| cells.iter().map(|c| c.held + c.new).max().unwrap();
        let fewest_new = fresh.iter().map(|cell| cell.new).min().unwrap();
        let most_new = full.iter().map(|cell| cell.new).max().unwrap();
        assert!(fewest_new >= most_new, "they are filled: {report}");
        assert!(most(&fresh) <= most(&full), "they are not overloaded: {report}");
        assert!(report.score_after < report.score_before, "{report}");
    }
}

#[test]
fn zones_get_equal_shares_of_an_app_whatever_they_hold() {
    let report = placed(Scenario::zones(SEED));
    for zone in ["z0", "z1"] {
        let new: u64 = of_zone(&report, zone).map(|cell| cell.new).sum();
        assert_eq!(new, 20, "{report}");
    }
}

#[test]
fn boulders_go_before_pebbles_and_what_does_not_fit_is_told() {
    let report = Scenario::packing(SEED).run().unwrap();
    assert_eq!((report.placed, report.missing), (51, 31), "{report}");
    assert_eq!(report.cells[0].new_mb, 100, "one boulder and 50 pebbles: {report}");
}

#[test]
fn with_first_fit_the_first_cells_of_a_zone_hold_the_most() {
    for weight in [0.25, 0.5, 0.75] {
        for cells in [4, 10, 20] {
            let report = placed(Scenario::first_fit(SEED, cells, weight));
            let mut totals = Vec::new();
            for zone in ["z0", "z1"] {
                let counts: Vec<_> = of_zone(&report, zone).map(|cell| cell.new).collect();
                assert!(counts.is_sorted_by(|a, b| a >= b), "{weight}: {report}");
                totals.push(counts.iter().sum::<u64>());
            }
            assert!(totals[0].abs_diff(totals[1]) <= 5, "one for each app: {report}");
        }
    }
}

#[test]
fn nearly_full_cells_get_even_shares() {
    for (instances, cells) in [(80, 10), (200, 30), (400, 100)] {
        let report = placed(Scenario::watters(SEED, cells, instances));
        assert!(report.spread(|cell| cell.new) <= 1, "{report}");
    }
}

#[test]
fn the_report_shows_a_bar_for_each_cell_and_the_figures() {
    let report = Scenario::zones(SEED).run().unwrap().to_string();
    let lines: Vec<_> = report.lines().collect();
    let bar = |held: usize, new: usize| {
        format!("[{}{}{}]", "#".repeat(held), "=".repeat(new), ".".repeat(50 - held - new))
    };
    assert_eq!(lines[0], format!("cell-000 z0 {}   0 +  10,  10 of 100 MB", bar(0, 5)));
    assert_eq!(lines[1], format!("cell-001 z1 {}  50 +  20,  70 of 100 MB", bar(25, 10)));
    assert_eq!(lines[4], "placed              40");
    assert_eq!(lines[5], "missing             0");
    assert!(lines[6].starts_with("distribution score  1.4142 at first, 0.9"), "{report}");
    assert!(lines[7].starts_with("wait time           min 0.0"), "{report}");
    assert_eq!(lines[8], "attempts            min 1, max 1, mean 1.00, total 40");
}
