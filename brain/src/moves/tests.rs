use proptest::prelude::*;

use super::*;
use crate::testing::{cell_id, cell_state, instance, lrp, lrp_auction};

/// A cell, its zone, and what it holds.
type Held<'a> = (&'a str, &'a str, &'a [(&'a str, u32, u64)]);

/// Cells with what they hold, each `(app, index, memory)`; all of it may move.
fn survey(cells: &[Held<'_>]) -> Survey {
    let mut survey = Survey::default();
    for (cell, zone, holds) in cells {
        survey.cells.push(cell_state(cell, zone, holds).into());
        survey.movable.extend(holds.iter().map(|(app, index, memory)| Movable {
            key: crate::testing::key(app, *index),
            instance: instance(&format!("{app}-{index}"), cell),
            lrp: Arc::new(lrp(app, 10, *memory)),
        }));
    }
    survey.movable.sort_by(|a, b| a.key.cmp(&b.key));
    survey
}

fn shown(planned: &[Planned]) -> Vec<String> {
    let one = |one: &Planned| {
        let LrpKey { process_guid, index, .. } = &one.movable.key;
        let from = &one.movable.instance.cell_id;
        match &one.to {
            Ok(to) => format!("{process_guid}/{index} {from} -> {to}"),
            Err(error) => format!("{process_guid}/{index} {from}: {}", error.reason),
        }
    };
    planned.iter().map(one).collect()
}

fn rebalanced(survey: Survey, max: usize) -> Vec<String> {
    shown(&plan_rebalance(survey, &Policy::default(), max))
}

#[test]
fn a_drain_says_where_each_instance_would_go_or_why_nowhere() {
    let survey = survey(&[
        ("a", "z", &[("big", 0, 90), ("web", 0, 10)]),
        ("b", "z", &[("web", 1, 10)]),
        ("c", "z", &[("db", 0, 30)]),
    ]);
    let planned = plan_drain(survey, &cell_id("a"), &Policy::default());
    assert_eq!(shown(&planned), ["big/0 a -> b", "web/0 a -> c"]);
    let planned = plan_drain(
        Survey {
            movable: planned.iter().map(|p| p.movable.clone()).collect(),
            cells: vec![
                cell_state("a", "z", &[("big", 0, 90)]).into(),
                cell_state("b", "z", &[("x", 0, 50)]).into(),
            ],
        },
        &cell_id("a"),
        &Policy::default(),
    );
    assert_eq!(shown(&planned), ["big/0 a: insufficient resources: disk, memory", "web/0 a -> b"]);
}

#[test]
fn zones_are_evened_out_first() {
    let survey = survey(&[
        ("a", "z1", &[("web", 0, 1), ("web", 1, 1)]),
        ("b", "z1", &[("web", 2, 1), ("web", 3, 1)]),
        ("c", "z2", &[]),
    ]);
    let planned = plan_rebalance(survey, &Policy::default(), 10);
    let to_c = planned.iter().filter(|p| p.to.as_ref().ok() == Some(&cell_id("c"))).count();
    assert_eq!((planned.len(), to_c), (2, 2), "{:?}", shown(&planned));
    let left: BTreeSet<_> = planned.iter().map(|p| p.movable.instance.cell_id.clone()).collect();
    assert_eq!(left.len(), 2, "one leaves each cell, so that no app is twice on one");
}

#[test]
fn then_instances_of_an_app_leave_the_cell_they_share() {
    let cells: &[Held<'_>] = &[
        ("a", "z", &[("web", 0, 1), ("web", 1, 1), ("web", 2, 1)]),
        ("b", "z", &[]),
        ("c", "z", &[]),
    ];
    assert_eq!(rebalanced(survey(cells), 10).len(), 2);
    assert_eq!(rebalanced(survey(cells), 1).len(), 1, "no more than was asked for");
}

#[test]
fn then_memory_is_evened_out_where_that_is_worth_a_restart() {
    let full: &[(&str, u32, u64)] = &[("a", 0, 20), ("b", 0, 20), ("c", 0, 20), ("d", 0, 20)];
    let moves = rebalanced(survey(&[("x", "z", full), ("y", "z", &[])]), 10);
    assert_eq!(moves, ["a/0 x -> y", "b/0 x -> y"]);
    let near: &[(&str, u32, u64)] = &[("a", 0, 2), ("b", 0, 2)];
    assert_eq!(rebalanced(survey(&[("x", "z", near), ("y", "z", &[])]), 10), [""; 0]);
}

#[test]
fn what_is_spread_evenly_stays() {
    let survey = survey(&[
        ("a", "z1", &[("web", 0, 10), ("db", 0, 10)]),
        ("b", "z2", &[("web", 1, 10), ("db", 1, 10)]),
    ]);
    assert_eq!(rebalanced(survey, 10), [""; 0]);
}

#[test]
fn nothing_that_moves_goes_back_to_the_cell_it_leaves() {
    let cells =
        || vec![cell_state("a", "z", &[]).into(), cell_state("b", "z", &[("x", 0, 80)]).into()];
    let auctions = [lrp_auction(&lrp("web", 1, 10), 0), lrp_auction(&lrp("db", 1, 10), 0)];
    let batch = || Batch { lrps: auctions.to_vec(), tasks: Vec::new() };
    let leaving = BTreeMap::from([(auctions[0].key.clone(), cell_id("a"))]);
    let outcome = hold_apart(cells(), &batch(), &leaving, &Policy::default());
    let of = |n: usize| {
        let item = Item::Lrp(auctions[n].key.clone());
        outcome.placed.iter().find(|(placed, _)| **placed == item).map(|(_, cell)| cell.clone())
    };
    assert_eq!((of(0), of(1)), (Some(cell_id("b")), Some(cell_id("a"))));
    let all_leave = auctions.iter().map(|auction| (auction.key.clone(), cell_id("a"))).collect();
    let outcome = hold_apart(cells(), &batch(), &all_leave, &Policy::default());
    assert_eq!(outcome.placed.len(), 2);
    let both = auctions.iter().map(|auction| (auction.key.clone(), cell_id("b"))).collect();
    let outcome =
        hold_apart(vec![cell_state("b", "z", &[]).into()], &batch(), &both, &Policy::default());
    assert_eq!((outcome.placed.len(), outcome.failed.len()), (0, 2));
}

#[test]
fn what_was_placed_before_takes_room_for_what_leaves() {
    let cells =
        vec![cell_state("a", "z", &[]).into(), cell_state("b", "z", &[("x", 0, 60)]).into()];
    let auctions = [lrp_auction(&lrp("first", 1, 90), 0), lrp_auction(&lrp("moves", 1, 30), 0)];
    let leaving = BTreeMap::from([(auctions[1].key.clone(), cell_id("b"))]);
    let batch = Batch { lrps: auctions.to_vec(), tasks: Vec::new() };
    let outcome = hold_apart(cells, &batch, &leaving, &Policy::default());
    assert_eq!((outcome.placed.len(), outcome.failed.len()), (1, 1));
}

proptest! {
    #[test]
    fn a_rebalance_never_overfills_and_ends(
        held in prop::collection::vec((0..5_usize, 0..4_usize, 1..30_u64), 0..30)
    ) {
        let names = ["a", "b", "c", "d", "e"];
        let apps = ["p", "q", "r", "s"];
        let mut next = [0_u32; 4];
        let mut on: Vec<Vec<(&str, u32, u64)>> = vec![Vec::new(); names.len()];
        for (cell, app, memory) in held {
            let used: u64 = on[cell].iter().map(|(_, _, memory)| memory).sum();
            if used + memory <= 100 {
                on[cell].push((apps[app], next[app], memory));
                next[app] += 1;
            }
        }
        let cells: Vec<_> = on.iter().enumerate()
            .map(|(n, holds)| (names[n], ["z1", "z2"][n % 2], holds.as_slice())).collect();
        let survey = survey(&cells);
        let planned = plan_rebalance(survey.clone(), &Policy::default(), 1_000);
        let mut after = survey.cells.clone();
        for one in &planned {
            let to = one.to.clone().unwrap();
            prop_assert_ne!(&to, &one.movable.instance.cell_id);
            for state in &mut after {
                let resources = one.movable.lrp.resources();
                if state.presence.cell_id == one.movable.instance.cell_id {
                    Arc::make_mut(state).available = state.available.plus(&resources);
                } else if state.presence.cell_id == to {
                    prop_assert!(state.available.fits(&resources));
                    Arc::make_mut(state).available = state.available.minus(&resources);
                }
            }
        }
        let moved: BTreeSet<_> = planned.iter().map(|one| one.movable.key.clone()).collect();
        prop_assert_eq!(moved.len(), planned.len(), "each moves once");
    }
}
