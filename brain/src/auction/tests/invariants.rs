//! What holds of every auction, over any cells, any batch and any policy.

use std::collections::BTreeMap;

use lattice_api::cell::LrpSlot;
use lattice_model::placement::{Placement, Relation, Rule};
use lattice_model::{CellPresence, Resources};
use proptest::prelude::Strategy;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::reference::hold_plainly;
use super::*;
use crate::testing::providers;

/// Three sizes of cells, one of them odd.
const SIZES: [(u64, u64, u64); 3] = [(100, 100, 100), (64, 200, 8), (37, 41, 5)];
const RULES: [&str; 9] = [
    "disk==ssd",
    "disk!=ssd",
    "rack glob r*",
    "rack regex ^r[01]$",
    "disk==none",
    "with app-0",
    "apart app-0",
    "with app-1",
    "apart app-1",
];

fn any_cell(n: usize) -> impl Strategy<Value = CellState> {
    let amounts = (0..SIZES.len(), 0..110_u64, 0..110_u64, 0..100_u64);
    let traits = (0..3_u8, any::<bool>(), any::<bool>(), 0..4_u8, 0..4_u8);
    let held = (prop::collection::vec(0..3_u8, 0..3), 0..3_usize, 0..3_u64, 0..10_u8);
    (amounts, traits, held).prop_map(move |(amounts, traits, held)| {
        let (size, memory, disk, slots) = amounts;
        let (zone, is_bare, is_tagged, disk_kind, rack) = traits;
        let (apps, tasks, starting, evacuating) = held;
        let (total_memory, total_disk, total_slots) = SIZES[size];
        let mut cell = cell_state(&format!("c{n}"), &format!("z{zone}"), &[]);
        cell.presence.capacity = crate::testing::amounts(total_memory, total_disk, total_slots);
        cell.available = crate::testing::amounts(memory, disk, slots);
        if !is_bare {
            cell.presence.rootfs_providers =
                providers(&[("docker", &[]), ("preloaded", &["stack"])]);
        }
        if is_tagged && n.is_multiple_of(3) {
            cell.presence.placement_tags = vec!["tag".into()];
        }
        let labels = [("disk", ["ssd", "hdd", "", ""][usize::from(disk_kind)])];
        let racks = [("rack", ["r0", "r1", "q", ""][usize::from(rack)])];
        let labels = labels.into_iter().chain(racks).filter(|(_, value)| !value.is_empty());
        cell.presence.labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let slot = |(nth, app): (u32, u8)| LrpSlot {
            key: key(&format!("old-{n}"), nth),
            app: format!("app-{app}").into(),
            resources: Resources::default(),
        };
        cell.lrps = (0..).zip(apps).map(slot).collect();
        cell.tasks = (0..tasks).map(|nth| tg(&format!("old-{n}-{nth}"))).collect();
        cell.starting_count = starting;
        cell.evacuating = evacuating == 0;
        cell
    })
}

fn any_cells() -> impl Strategy<Value = Vec<CellState>> {
    (0..14_usize).prop_flat_map(|count| (0..count).map(any_cell).collect::<Vec<_>>())
}

fn any_placement() -> impl Strategy<Value = Placement> {
    let rules = subsequence(RULES.to_vec(), 0..3);
    let affinities = prop::collection::vec((select(RULES.to_vec()), 1..=100_u8), 0..3);
    let strategies = select(vec![None, None, Some("spread"), Some("binpack"), Some("random")]);
    // Half of the work asks nothing.
    let placement = (rules, affinities, strategies).prop_map(|(rules, affinities, strategy)| {
        let affinity = |(rule, weight): (&str, u8)| format!("{weight}:{rule}").parse().unwrap();
        Placement {
            strategy: strategy.map(|name: &str| name.parse().unwrap()),
            constraints: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
            affinities: affinities.into_iter().map(affinity).collect(),
        }
    });
    prop_oneof![Just(Placement::default()), placement]
}

/// Up to five LRPs, two of them of one app, some of whose indices want a place; and tasks.
fn any_batch() -> impl Strategy<Value = Batch> {
    let lrp = (0..30_u64, any_placement(), any::<bool>(), any::<bool>());
    let lrps = prop::collection::vec(lrp, 5);
    let items = prop::collection::vec((0..5_usize, 0..6_u32), 0..30);
    let tasks = prop::collection::vec((0..6_u8, any_placement()), 0..6);
    (lrps, items, tasks).prop_map(|(lrps, items, tasks)| {
        let lrps: Vec<_> = lrps.into_iter().enumerate().map(any_lrp).map(Arc::new).collect();
        let auction = |(lrp, index): (usize, u32)| {
            let lrp: &Arc<DesiredLrp> = &lrps[lrp];
            let key = key(lrp.process_guid.as_str(), index);
            LrpAuction { key, lrp: Arc::clone(lrp) }
        };
        let mut known = BTreeMap::new();
        for (n, placement) in tasks {
            known.entry(n).or_insert(placement);
        }
        let task = |(n, placement): (u8, Placement)| {
            let mut record = task(&format!("t{n}"), u64::from(n)).as_ref().clone();
            record.definition.placement = placement;
            TaskAuction { task: Arc::new(record) }
        };
        Batch {
            lrps: items.into_iter().map(auction).collect(),
            tasks: known.into_iter().map(task).collect(),
        }
    })
}

fn any_lrp((n, of): (usize, (u64, Placement, bool, bool))) -> DesiredLrp {
    let (memory, placement, is_preloaded, is_tagged) = of;
    let mut lrp = lrp(&format!("lrp-{n}"), 9, memory);
    lrp.app = format!("app-{}", n / 2).into();
    lrp.placement = placement;
    if is_preloaded {
        lrp.containers[0].rootfs = "preloaded:stack".into();
    }
    if is_tagged && n == 4 {
        lrp.placement_tags = vec!["tag".into()];
    }
    lrp
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let weights = (select(vec![0.0, 0.25]), select(vec![0.0, 0.0, 0.2, 1.0]));
    let strategies = select(vec!["spread", "spread", "binpack", "random"]);
    (weights, select(vec![0, 0, 12]), strategies, any::<u64>()).prop_map(
        |((starting_weight, first_fit_weight), starting_max, strategy, seed)| Policy {
            starting_weight,
            first_fit_weight,
            starting_max,
            strategy: strategy.parse().unwrap(),
            seed,
        },
    )
}

fn demand(batch: &Batch, item: &Item) -> (Resources, Placement, String, Vec<String>) {
    match item {
        Item::Lrp(key) => {
            let lrp = &batch.lrps.iter().find(|a| a.key == *key).unwrap().lrp;
            let rootfs = lrp.main().rootfs.clone();
            (lrp.resources(), lrp.placement.clone(), rootfs, lrp.placement_tags.clone())
        }
        Item::Task(guid) => {
            let mut all = batch.tasks.iter().map(|auction| &auction.task.definition);
            let task = all.find(|task| task.task_guid == *guid).unwrap();
            let rootfs = task.main().rootfs.clone();
            (task.resources(), task.placement.clone(), rootfs, task.placement_tags.clone())
        }
    }
}

/// What a person would check by eye, without the auction's own filters.
fn suits(cell: &CellPresence, placement: &Placement, rootfs: &str, tags: &[String]) -> bool {
    let scheme = rootfs.split(':').next().unwrap();
    let keeps = |rule: &Rule| match rule {
        Rule::Label(rule) => rule.compile().unwrap().passes(cell.labels.get(&rule.label)),
        Rule::App(_) => true,
    };
    cell.rootfs_providers.get(scheme).is_some()
        && cell.placement_tags == tags
        && placement.constraints.iter().all(keeps)
}

fn hosts(cell: &CellState, placed: &[(String, CellId)], app: &str) -> bool {
    let is_here = |(name, at): &(String, CellId)| name == app && *at == cell.presence.cell_id;
    cell.lrps.iter().any(|slot| *slot.app == *app) || placed.iter().any(is_here)
}

fn app_of(batch: &Batch, item: &Item) -> Option<String> {
    let Item::Lrp(key) = item else { return None };
    batch.lrps.iter().find(|auction| auction.key == *key).map(|auction| auction.lrp.app.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_answer_is_that_of_a_plain_walk_over_all_cells(
        cells in any_cells(), batch in any_batch(), policy in any_policy()
    ) {
        let plain = hold_plainly(&cells, &batch, &policy);
        prop_assert_eq!(hold(&cells, &batch, &policy), plain);
    }

    #[test]
    fn the_order_of_cells_and_of_the_batch_changes_nothing(
        cells in any_cells(), batch in any_batch(), policy in any_policy(), turn in 0..30_usize
    ) {
        let forth = hold(&cells, &batch, &policy);
        let (mut cells, mut batch) = (cells, batch);
        cells.reverse();
        batch.lrps.reverse();
        let turn = turn % batch.lrps.len().max(1);
        batch.lrps.rotate_left(turn);
        batch.tasks.reverse();
        prop_assert_eq!(forth, hold(&cells, &batch, &policy));
    }

    #[test]
    fn every_item_gets_one_answer_and_a_failure_says_why(
        cells in any_cells(), batch in any_batch(), policy in any_policy()
    ) {
        let outcome = hold(&cells, &batch, &policy);
        let mut answers: Vec<Item> = outcome.placed.iter().map(|(item, _)| item.clone()).collect();
        answers.extend(outcome.failed.iter().map(|failure| failure.item.clone()));
        answers.extend(outcome.deferred);
        answers.sort();
        let mut asked: Vec<Item> = batch.lrps.iter().map(|a| Item::Lrp(a.key.clone())).collect();
        let tasks = batch.tasks.iter().map(|a| a.task.definition.task_guid.clone());
        asked.extend(tasks.map(Item::Task));
        asked.sort();
        asked.dedup();
        prop_assert_eq!(&answers, &asked);
        for failure in &outcome.failed {
            prop_assert!(!failure.error.reason.is_empty());
            prop_assert!(!failure.error.detail.is_empty());
        }
    }

    #[test]
    fn no_cell_gets_more_than_it_has_and_every_item_a_cell_that_suits(
        cells in any_cells(), batch in any_batch(), policy in any_policy()
    ) {
        let outcome = hold(&cells, &batch, &policy);
        let mut left: BTreeMap<CellId, Resources> =
            cells.iter().map(|cell| (cell.presence.cell_id.clone(), cell.available)).collect();
        let mut placed: Vec<(String, CellId)> = Vec::new();
        for (item, at) in outcome.placed.iter() {
            let cell = cells.iter().find(|cell| cell.presence.cell_id == *at).unwrap();
            let (need, placement, rootfs, tags) = demand(&batch, item);
            prop_assert!(!cell.evacuating);
            prop_assert!(suits(&cell.presence, &placement, &rootfs, &tags), "{:?} {}", item, at);
            let free = left.get_mut(at).unwrap();
            prop_assert!(free.fits(&need), "{:?} on {}", item, at);
            *free = free.minus(&need);
            for rule in &placement.constraints {
                let Rule::App(rule) = rule else { continue };
                let is_with = rule.relation == Relation::With;
                prop_assert_eq!(hosts(cell, &placed, &rule.app), is_with);
            }
            if let Some(app) = app_of(&batch, item) {
                placed.push((app, at.clone()));
            }
        }
    }

    #[test]
    fn an_instance_goes_where_its_explanation_says(
        cells in any_cells(), batch in any_batch(), policy in any_policy()
    ) {
        for auction in batch.lrps.iter().take(1) {
            let policy = Policy { starting_max: 0, ..policy };
            let alone = Batch { lrps: vec![auction.clone()], tasks: vec![] };
            let outcome = hold(&cells, &alone, &policy);
            let told = explain(&cells, &auction.lrp, auction.key.index, &policy);
            let placed = outcome.placed.iter().next().map(|(_, cell)| cell.clone());
            prop_assert_eq!(&told.chosen, &placed);
            prop_assert_eq!(told.why.is_empty(), placed.is_none());
            let error = outcome.failed.first().map(|failure| failure.error.clone());
            prop_assert_eq!(told.placement_error, error.map(|e| e.reason).unwrap_or_default());
        }
    }
}
