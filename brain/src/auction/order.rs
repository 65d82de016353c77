//! Who goes first (section 1.3): the first instance of every app, then tasks, then the others;
//! boulders before pebbles.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::filter::Constraint;
use super::{Batch, Demand, Item, LrpAuction, TaskAuction};

/// The batch in the order in which it is served, without duplicates.
pub(super) fn queue(batch: Batch) -> Vec<Demand> {
    let mut demands = BTreeMap::new();
    let lrps = batch.lrps.iter().map(of_lrp);
    for demand in lrps.chain(batch.tasks.iter().map(of_task)) {
        demands.entry(demand.item.clone()).or_insert(demand);
    }
    let mut demands: Vec<Demand> = demands.into_values().collect();
    // The items come sorted from the map and the sort is stable, so that ties are settled by name.
    demands.sort_by_key(|demand| (turn(&demand.item), Reverse(demand.need.memory_mb)));
    demands
}

/// Index 0, then tasks, then the other indices, each after the one before it.
const fn turn(item: &Item) -> (u8, u32) {
    match item {
        Item::Lrp(key) if key.index == 0 => (0, 0),
        Item::Task(_) => (1, 0),
        Item::Lrp(key) => (2, key.index),
    }
}

fn of_lrp(auction: &LrpAuction) -> Demand {
    let lrp = &auction.lrp;
    Demand {
        item: Item::Lrp(auction.key.clone()),
        need: lrp.resources(),
        constraint: Constraint::new(&lrp.containers, &lrp.volume_drivers, &lrp.placement_tags),
        app: Some(lrp.app.clone()),
    }
}

fn of_task(auction: &TaskAuction) -> Demand {
    let task = &auction.task.definition;
    Demand {
        item: Item::Task(task.task_guid.clone()),
        need: task.resources(),
        constraint: Constraint::new(&task.containers, &task.volume_drivers, &task.placement_tags),
        app: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{lrp, task};

    fn names(batch: Batch) -> Vec<String> {
        let name = |demand: Demand| match demand.item {
            Item::Lrp(key) => format!("{}/{}", key.process_guid, key.index),
            Item::Task(guid) => guid.to_string(),
        };
        queue(batch).into_iter().map(name).collect()
    }

    fn batch(lrps: &[(&str, u32, u64)], tasks: &[(&str, u64)]) -> Batch {
        let lrps = lrps.iter().map(|(guid, index, memory)| {
            crate::testing::lrp_auction(&lrp(guid, 1, *memory), *index)
        });
        let tasks = tasks.iter().map(|(guid, memory)| TaskAuction { task: task(guid, *memory) });
        Batch { lrps: lrps.collect(), tasks: tasks.collect() }
    }

    #[test]
    fn first_instances_go_before_tasks_and_tasks_before_the_others_big_before_small() {
        let batch = batch(
            &[("a", 1, 10), ("b", 1, 40), ("a", 0, 10), ("b", 0, 40), ("c", 2, 99)],
            &[("t-small", 5), ("t-big", 50)],
        );
        assert_eq!(names(batch), ["b/0", "a/0", "t-big", "t-small", "b/1", "a/1", "c/2"]);
    }

    #[test]
    fn first_instances_go_first_even_when_there_are_no_others() {
        assert_eq!(names(batch(&[("a", 0, 1)], &[("t", 50)])), ["a/0", "t"]);
    }

    #[test]
    fn duplicates_are_served_once_and_ties_are_settled_by_name() {
        let batch = batch(&[("b", 0, 1), ("a", 0, 1), ("b", 0, 1)], &[("t", 1), ("t", 1)]);
        assert_eq!(names(batch), ["a/0", "b/0", "t"]);
    }
}
