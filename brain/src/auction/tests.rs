//! The auction as a whole; numbers from section 5.3 of the facts about Diego.

mod invariants;
mod reference;
mod strategies;

use lattice_model::CellId;

use super::*;
use crate::testing::{
    amounts, cell_id, cell_state, key, lrp, lrp_auction, presence, providers, task, task_record, tg,
};

/// Two zones: `A` holds pg-1 and pg-2, `B` pg-3, 10 each.
fn two_zones() -> Vec<CellState> {
    vec![
        cell_state("A", "z-a", &[("pg-1", 0, 10), ("pg-2", 0, 10)]),
        cell_state("B", "z-b", &[("pg-3", 0, 10)]),
    ]
}

fn batch(lrps: &[(&str, u32, u64)], tasks: &[(&str, u64)]) -> Batch {
    let lrp = |(guid, index, mb): &(&str, u32, u64)| lrp_auction(&lrp(guid, 1, *mb), *index);
    let task = |(guid, mb): &(&str, u64)| TaskAuction { task: task(guid, *mb) };
    Batch { lrps: lrps.iter().map(lrp).collect(), tasks: tasks.iter().map(task).collect() }
}

fn name(item: &Item) -> String {
    match item {
        Item::Lrp(key) => format!("{}/{}", key.process_guid, key.index),
        Item::Task(guid) => guid.to_string(),
    }
}

fn placed(outcome: &Outcome) -> Vec<String> {
    let shown = |(item, cell): (&Item, &CellId)| format!("{}@{cell}", name(item));
    outcome.placed.iter().map(shown).collect()
}

fn failed(outcome: &Outcome) -> Vec<(String, String, bool)> {
    let shown = |failure: &Failure| {
        (name(&failure.item), failure.error.reason.clone(), failure.is_impossible)
    };
    outcome.failed.iter().map(shown).collect()
}

fn check(cells: Vec<CellState>, batch: Batch, expected: &[&str]) -> Outcome {
    let outcome = hold(&cells, &batch, &Policy::default());
    assert_eq!(placed(&outcome), expected);
    outcome
}

#[test]
fn without_cells_nothing_is_placed_and_nothing_is_impossible() {
    let outcome = check(vec![], batch(&[("a", 0, 1)], &[("t", 1)]), &[]);
    let reason = "unable to communicate to compatible cells".to_owned();
    let expected = [("a/0".to_owned(), reason.clone(), false), ("t".to_owned(), reason, false)];
    assert_eq!(failed(&outcome), expected);
}

#[test]
fn an_app_is_spread_over_zones_before_anything_else() {
    check(two_zones(), batch(&[("pg-3", 1, 10)], &[]), &["pg-3/1@A"]);
}

#[test]
fn a_new_app_goes_where_there_is_more_room() {
    check(two_zones(), batch(&[("pg-4", 0, 10)], &[]), &["pg-4/0@B"]);
}

#[test]
fn a_zone_that_is_full_is_passed_over() {
    let mut cells = two_zones();
    cells[0].available = amounts(5, 5, 5);
    check(cells, batch(&[("pg-3", 1, 10)], &[]), &["pg-3/1@B"]);
}

#[test]
fn instances_of_one_app_are_on_different_cells_while_there_are_any() {
    let cells = ["a", "b", "c"].map(|id| cell_state(id, "z", &[])).to_vec();
    let all: Vec<_> = (0..6).map(|index| ("web", index, 1)).collect();
    let outcome = hold(&cells, &batch(&all, &[]), &Policy::default());
    let expected = ["web/0@a", "web/1@b", "web/2@c", "web/3@a", "web/4@b", "web/5@c"];
    assert_eq!(placed(&outcome), expected);
}

#[test]
fn revisions_of_one_app_count_as_one_app() {
    let cells = ["a", "b"].map(|id| cell_state(id, "z", &[])).to_vec();
    let revision = |guid: &str| DesiredLrp { app: "web".into(), ..lrp(guid, 1, 1) };
    let lrps = ["web", "web-12345678"].map(|guid| lrp_auction(&revision(guid), 0)).to_vec();
    check(cells, Batch { lrps, tasks: vec![] }, &["web/0@a", "web-12345678/0@b"]);
}

#[test]
fn what_one_cell_alone_can_run_goes_there_though_it_is_fuller() {
    let mut cells = two_zones();
    let special = &mut cells[0].presence;
    special.rootfs_providers = providers(&[("docker", &[]), ("preloaded", &["stack"])]);
    special.volume_drivers = vec!["nfs".into(), "smb".into()];
    special.optional_placement_tags = vec!["gpu".into()];
    let plain = || lrp("new", 1, 10);
    let mut preloaded = plain();
    preloaded.containers[0].rootfs = "preloaded:stack".into();
    let mounted = DesiredLrp { volume_drivers: vec!["smb".into()], ..plain() };
    let tagged = DesiredLrp { placement_tags: vec!["gpu".into()], ..plain() };
    for (asked, expected) in [(preloaded, "A"), (mounted, "A"), (tagged, "A"), (plain(), "B")] {
        let batch = Batch { lrps: vec![lrp_auction(&asked, 0)], tasks: vec![] };
        check(cells.clone(), batch, &[&format!("new/0@{expected}")]);
        let mut record = task_record("t");
        record.definition.containers = asked.containers;
        record.definition.volume_drivers = asked.volume_drivers;
        record.definition.placement_tags = asked.placement_tags;
        let batch = Batch { lrps: vec![], tasks: vec![TaskAuction { task: Arc::new(record) }] };
        check(cells.clone(), batch, &[&format!("t@{expected}")]);
    }
}

#[test]
fn what_does_not_fit_is_told_what_was_missing() {
    let full = |memory, disk| {
        let mut cell = cell_state("A", "z", &[]);
        cell.available = amounts(memory, disk, 100);
        cell
    };
    let slots = CellState { available: amounts(100, 100, 0), ..cell_state("A", "z", &[]) };
    let other = CellState { presence: presence("B", "z"), ..full(100, 1) };
    for (cells, need, reason, detail, is_impossible) in [
        (
            vec![full(5, 100)],
            10,
            "insufficient resources: memory",
            "needs 10 MB; largest free 5 MB on A; 1 cell compatible",
            false,
        ),
        (
            vec![full(5, 6)],
            10,
            "insufficient resources: disk, memory",
            "needs 10 MB disk; largest free 6 MB on A; \
             needs 10 MB memory; largest free 5 MB on A; 1 cell compatible",
            false,
        ),
        (
            vec![full(1, 100), other],
            10,
            "insufficient resources",
            "needs 10 MB disk; largest free 100 MB on A; \
             needs 10 MB memory; largest free 100 MB on B; 2 cells compatible",
            false,
        ),
        (
            vec![slots],
            10,
            "insufficient resources: containers",
            "needs 1 container slot; largest free 0 slots on A; 1 cell compatible",
            false,
        ),
        (
            vec![full(5, 5)],
            101,
            "insufficient resources: disk, memory",
            "needs 101 MB disk; the largest cell has 100 MB in all (A); \
             needs 101 MB memory; the largest cell has 100 MB in all (A); 1 cell compatible",
            true,
        ),
    ] {
        for batch in [batch(&[("web", 0, need)], &[]), batch(&[], &[("t", need)])] {
            let outcome = hold(&cells, &batch, &Policy::default());
            let failure = &outcome.failed[0];
            assert_eq!(failure.error.reason, reason);
            assert_eq!(failure.error.detail, detail);
            assert_eq!(failure.is_impossible, is_impossible, "{detail}");
        }
    }
}

#[test]
fn the_comprehensive_batch_of_two_zones() {
    let cells = vec![
        cell_state("A", "z-a", &[("pg-1", 0, 10), ("pg-2", 0, 10)]),
        cell_state("B", "z-b", &[("pg-3", 0, 10), ("pg-4", 0, 20)]),
    ];
    let mut batch = batch(&[("pg-3", 1, 40), ("pg-2", 1, 5)], &[("t-40", 40), ("t-5", 5)]);
    let wrong = |lrp: &DesiredLrp| {
        let mut lrp = lrp.clone();
        lrp.containers[0].rootfs = "unsupported:stack".into();
        lrp
    };
    batch.lrps.push(lrp_auction(&wrong(&lrp("pg-5", 1, 5)), 0));
    let mut odd = task_record("t-odd");
    odd.definition.containers = wrong(&lrp("x", 1, 5)).containers;
    batch.tasks.push(TaskAuction { task: Arc::new(odd) });
    let expected = ["t-40@A", "t-5@B", "pg-3/1@A", "pg-2/1@B"];
    let outcome = check(cells, batch, &expected);
    let reason = "found no compatible cell for required rootfs".to_owned();
    let expected =
        [("pg-5/0".to_owned(), reason.clone(), true), ("t-odd".to_owned(), reason, true)];
    assert_eq!(failed(&outcome), expected);
}

#[test]
fn on_a_crowded_cell_first_instances_win_over_tasks_and_boulders_over_pebbles() {
    let lrps = [("pg-7", 0, 10), ("pg-7", 1, 10), ("pg-8", 1, 40), ("pg-8", 2, 40)];
    let tasks = [("t-10", 10), ("t-20", 20)];
    for (memory, expected) in [
        (130, vec!["pg-7/0", "t-20", "t-10", "pg-8/1", "pg-7/1", "pg-8/2"]),
        (10, vec!["pg-7/0"]),
        (45, vec!["pg-7/0", "t-20", "t-10"]),
        (95, vec!["pg-7/0", "t-20", "t-10", "pg-8/1", "pg-7/1"]),
        (80, vec!["pg-7/0", "t-20", "t-10", "pg-8/1"]),
    ] {
        let mut cell = cell_state("A", "z", &[]);
        cell.presence.capacity = amounts(memory, 1_000, 1_000);
        cell.available = cell.presence.capacity;
        let outcome = hold(&[cell], &batch(&lrps, &tasks), &Policy::default());
        let expected: Vec<_> = expected.iter().map(|name| format!("{name}@A")).collect();
        assert_eq!(placed(&outcome), expected, "{memory}");
    }
    let mut cell = cell_state("A", "z", &[]);
    cell.available = amounts(31, 100, 100);
    check(vec![cell], batch(&[], &[("t-10", 10), ("t-20", 20), ("t-30", 30)]), &["t-30@A"]);
}

#[test]
fn what_is_over_the_bound_of_starts_is_deferred_not_failed() {
    let five: Vec<_> = (0..5).map(|index| ("web", index, 1)).collect();
    for (max, already, expected) in [(3, 0, 3), (3, 2, 1), (3, 4, 0), (0, 4, 5)] {
        let mut cells = two_zones();
        cells[0].starting_count = already;
        let policy = Policy { starting_max: max, ..Policy::default() };
        let outcome = hold(&cells, &batch(&five, &[]), &policy);
        assert_eq!(outcome.placed.len(), expected, "{max} {already}");
        assert_eq!(outcome.deferred.len(), 5 - expected);
        assert!(outcome.failed.is_empty());
    }
}

#[test]
fn evacuating_cells_get_nothing_but_count_for_their_zone() {
    let mut cells = vec![
        cell_state("a1", "z-a", &[("web", 0, 1)]),
        cell_state("a2", "z-a", &[]),
        cell_state("b1", "z-b", &[("x", 0, 50)]),
    ];
    cells[0].evacuating = true;
    check(cells, batch(&[("web", 1, 1), ("new", 0, 1)], &[]), &["new/0@a2", "web/1@b1"]);
}

#[test]
fn tasks_are_spread_by_their_number_over_all_zones() {
    let mut cells = two_zones();
    cells[1].tasks = vec![tg("x"), tg("y")];
    let outcome = hold(&cells, &batch(&[], &[("t1", 1), ("t2", 1), ("t3", 1)]), &Policy::default());
    assert_eq!(placed(&outcome), ["t1@A", "t2@A", "t3@B"]);
}

#[test]
fn a_first_fit_weight_fills_cells_in_their_order_within_each_zone() {
    let cells: Vec<_> = [("a1", "z-a"), ("a2", "z-a"), ("b1", "z-b"), ("b2", "z-b")]
        .map(|(id, zone)| cell_state(id, zone, &[]))
        .to_vec();
    let apps: Vec<String> = (0..4).map(|n| format!("app-{n}")).collect();
    let all: Vec<_> = apps.iter().map(|app| (app.as_str(), 0, 1)).collect();
    let policy = Policy { first_fit_weight: 1.0, ..Policy::default() };
    let outcome = hold(&cells, &batch(&all, &[]), &policy);
    assert_eq!(placed(&outcome), ["app-0/0@a1", "app-1/0@b1", "app-2/0@a1", "app-3/0@b1"]);
}

#[test]
fn a_boulder_and_pebbles_fill_a_cell_to_the_brim() {
    let mut all: Vec<(String, u32, u64)> = (0..80).map(|n| (format!("p-{n:02}"), 0, 1)).collect();
    all.extend([("red".to_owned(), 0, 50), ("red".to_owned(), 1, 50)]);
    let all: Vec<_> = all.iter().map(|(guid, i, mb)| (guid.as_str(), *i, *mb)).collect();
    let outcome = hold(&[cell_state("a", "z", &[])], &batch(&all, &[]), &Policy::default());
    assert_eq!((outcome.placed.len(), outcome.failed.len()), (51, 31));
    assert_eq!(placed(&outcome)[0], "red/0@a");
    assert!(failed(&outcome).iter().any(|(name, ..)| name == "red/1"));
}

#[test]
fn a_deploy_into_a_fleet_with_empty_cells_fills_those_evenly() {
    let held: Vec<(String, u32, u64)> = (0..50).map(|n| (format!("old-{n}"), 0, 1)).collect();
    let held: Vec<_> = held.iter().map(|(guid, i, mb)| (guid.as_str(), *i, *mb)).collect();
    let cell = |n: usize| {
        let zone = if n.is_multiple_of(2) { "z-a" } else { "z-b" };
        cell_state(&format!("c{n:02}"), zone, if n < 15 { &held } else { &[] })
    };
    let new: Vec<String> = (0..50).map(|n| format!("new-{n:02}")).collect();
    let new: Vec<_> = new.iter().map(|guid| (guid.as_str(), 0, 1)).collect();
    let policy = Policy { starting_weight: 0.0, ..Policy::default() };
    let outcome = hold(&(0..20).map(cell).collect::<Vec<_>>(), &batch(&new, &[]), &policy);
    for n in 15..20 {
        let id = cell_id(&format!("c{n}"));
        assert_eq!(outcome.placed.iter().filter(|(_, cell)| **cell == id).count(), 10, "{id}");
    }
}

#[test]
fn a_thousand_instances_on_a_hundred_cells_are_placed_evenly() {
    let cells: Vec<_> =
        (0..99).map(|n| cell_state(&format!("c{n:02}"), &format!("z{}", n % 3), &[])).collect();
    let apps: Vec<String> = (0..100).map(|n| format!("app-{n:03}")).collect();
    let all: Vec<_> =
        apps.iter().flat_map(|app| (0..10).map(move |index| (app.as_str(), index, 1))).collect();
    let outcome = hold(&cells, &batch(&all, &[]), &Policy::default());
    assert_eq!(outcome.placed.len(), 1_000);
    for n in 0..99 {
        let id = cell_id(&format!("c{n:02}"));
        let count = outcome.placed.iter().filter(|(_, cell)| **cell == id).count();
        assert!((9..=12).contains(&count), "{id} has {count}");
    }
    let first = outcome.placed.iter().filter(
        |(item, _)| matches!(item, Item::Lrp(found) if *found == key("app-000", found.index)),
    );
    let mut used: Vec<_> = first.map(|(_, cell)| cell).collect();
    used.sort();
    used.dedup();
    assert_eq!(used.len(), 10, "no two instances of one app on one cell");
}
