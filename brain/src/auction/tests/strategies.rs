//! Strategies, constraints and affinities, and the auction's scenarios that are about them.

use lattice_model::placement::Placement;

use super::*;
use crate::testing::labels;

fn placement(strategy: Option<&str>, constraints: &[&str], affinities: &[&str]) -> Placement {
    Placement {
        strategy: strategy.map(|name| name.parse().unwrap()),
        constraints: constraints.iter().map(|text| text.parse().unwrap()).collect(),
        affinities: affinities.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

fn asking(guid: &str, memory: u64, placement: &Placement) -> LrpAuction {
    lrp_auction(&DesiredLrp { placement: placement.clone(), ..lrp(guid, 1, memory) }, 0)
}

/// Three cells of one zone: `a` empty, `b` with ssd and db, `c` with ssd and half full.
fn three_cells() -> Vec<CellState> {
    let mut cells = vec![
        cell_state("a", "z", &[]),
        cell_state("b", "z", &[("db", 0, 10)]),
        cell_state("c", "z", &[("x", 0, 50)]),
    ];
    for cell in &mut cells[1..] {
        cell.presence.labels = labels(&[("disk", "ssd")]);
    }
    cells
}

fn goes_to(asked: &Placement, expected: &str) {
    let batch = Batch { lrps: vec![asking("web", 10, asked)], tasks: vec![] };
    check(three_cells(), batch, &[&format!("web/0@{expected}")]);
    let mut record = task_record("t");
    record.definition.placement = asked.clone();
    let batch = Batch { lrps: vec![], tasks: vec![TaskAuction { task: Arc::new(record) }] };
    check(three_cells(), batch, &[&format!("t@{expected}")]);
}

#[test]
fn a_strategy_fills_the_emptiest_or_the_fullest_cell() {
    goes_to(&placement(None, &[], &[]), "a");
    goes_to(&placement(Some("spread"), &[], &[]), "a");
    goes_to(&placement(Some("binpack"), &[], &[]), "c");
}

#[test]
fn the_strategy_of_the_cluster_is_for_those_that_name_none() {
    let policy = Policy { strategy: Strategy::Binpack, ..Policy::default() };
    let spread = placement(Some("spread"), &[], &[]);
    let lrps = vec![asking("own", 10, &spread), asking("theirs", 10, &Placement::default())];
    let outcome = hold(&three_cells(), &Batch { lrps, tasks: vec![] }, &policy);
    assert_eq!(placed(&outcome), ["own/0@a", "theirs/0@c"]);
}

#[test]
fn packing_fills_one_cell_before_it_takes_the_next_and_still_keeps_apps_apart() {
    let pack = placement(Some("binpack"), &[], &[]);
    let cells = ["a", "b", "c"].map(|id| cell_state(id, "z", &[])).to_vec();
    let lrps = (0..6).map(|n| asking(&format!("p{n}"), 25, &pack)).collect();
    let outcome = hold(&cells, &Batch { lrps, tasks: vec![] }, &Policy::default());
    let expected = ["p0/0@a", "p1/0@a", "p2/0@a", "p3/0@a", "p4/0@b", "p5/0@b"];
    assert_eq!(placed(&outcome), expected);
    let web = Arc::new(DesiredLrp { placement: pack, ..lrp("web", 3, 10) });
    let auction = |index| LrpAuction { key: key("web", index), lrp: Arc::clone(&web) };
    let batch = Batch { lrps: (0..3).map(auction).collect(), tasks: vec![] };
    check(cells, batch, &["web/0@a", "web/1@b", "web/2@c"]);
}

#[test]
fn random_placement_depends_on_the_seed_alone_and_reaches_every_cell() {
    let cells: Vec<_> = (0..10).map(|n| cell_state(&format!("c{n}"), "z", &[])).collect();
    let dice = placement(Some("random"), &[], &[]);
    let lrps = (0..60).map(|n| asking(&format!("p{n}"), 1, &dice)).collect();
    let batch = Batch { lrps, tasks: vec![] };
    let with = |seed| hold(&cells, &batch, &Policy { seed, ..Policy::default() });
    assert_eq!(with(1), with(1));
    assert_ne!(placed(&with(1)), placed(&with(2)));
    for cell in &cells {
        let id = &cell.presence.cell_id;
        assert!(with(1).placed.iter().any(|(_, at)| at == id), "{id} got nothing");
    }
}

#[test]
fn constraints_must_hold() {
    goes_to(&placement(None, &["disk==ssd"], &[]), "b");
    goes_to(&placement(None, &["disk==ssd", "apart db"], &[]), "c");
    goes_to(&placement(None, &["with db"], &[]), "b");
    goes_to(&placement(Some("binpack"), &["disk!=ssd"], &[]), "a");
    goes_to(&placement(Some("random"), &["disk glob s?d", "apart x"], &[]), "b");
}

#[test]
fn affinities_outweigh_free_space_by_their_weights() {
    goes_to(&placement(None, &[], &["disk==ssd"]), "b");
    goes_to(&placement(None, &[], &["with x"]), "c");
    goes_to(&placement(None, &[], &["50:with db", "60:with x"]), "c");
    goes_to(&placement(None, &[], &["60:with db", "50:with x"]), "b");
    goes_to(&placement(None, &["disk==ssd"], &["apart db"]), "c");
    goes_to(&placement(None, &[], &["apart nobody"]), "a");
}

#[test]
fn a_rule_about_an_app_sees_what_this_batch_has_placed() {
    let beside = placement(None, &["with db"], &[]);
    let cells = ["a", "b"].map(|id| cell_state(id, "z", &[])).to_vec();
    let lrps = vec![asking("web", 1, &beside), lrp_auction(&lrp("db", 1, 10), 0)];
    check(cells, Batch { lrps, tasks: vec![] }, &["db/0@a", "web/0@a"]);
}

#[test]
fn where_a_constraint_leaves_no_cell_it_is_named() {
    for (constraints, memory, reason, detail, is_impossible) in [
        (
            &["disk==tape"][..],
            1,
            "found no compatible cell for placement constraint \"disk==tape\"",
            "none of 3 cells that fit otherwise keeps it",
            true,
        ),
        (
            &["with mq", "apart db"],
            1,
            "found no compatible cell for placement constraints \"with mq\" and \"apart db\"",
            "none of 3 cells that fit otherwise keeps it",
            false,
        ),
        (
            &["with x"],
            60,
            "insufficient resources: disk, memory",
            "needs 60 MB disk; largest free 50 MB on c; \
             needs 60 MB memory; largest free 50 MB on c; 1 cell compatible",
            false,
        ),
    ] {
        let asked = placement(None, constraints, &[]);
        let batch = Batch { lrps: vec![asking("web", memory, &asked)], tasks: vec![] };
        let outcome = hold(&three_cells(), &batch, &Policy::default());
        let failure = &outcome.failed[0];
        assert_eq!(failure.error.reason, reason);
        assert_eq!(failure.error.detail, detail);
        assert_eq!(failure.is_impossible, is_impossible);
    }
}
