//! Who goes first (section 1.3): the first instance of every app, then tasks, then the others;
//! boulders before pebbles.

use std::cmp::Reverse;
use std::ptr;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use lattice_model::placement::Rule;
use lattice_model::{
    DesiredLrp, Domain, LrpKey, Placement, ProcessGuid, Resources, TaskDefinition, TaskGuid,
};

use super::apps::Apps;
use super::filter::{Constraint, Judge};
use super::score::Ranking;
use super::{Batch, Item, LrpAuction, Policy};

/// The batch in the order in which it is served, without duplicates.
#[derive(Debug)]
pub(super) struct Queue<'a> {
    /// What is wanted; the instances of an LRP want the same.
    pub(super) wants: Vec<Want>,
    /// The order.
    pub(super) turns: Vec<Turn>,
    /// What is asked of cells, each once.
    pub(super) judges: Vec<Judge>,
    /// The apps this batch is about, by number.
    pub(super) apps: Apps<'a>,
}

/// What the instances of an LRP, or a task, ask for.
#[derive(Debug, Clone)]
pub(super) struct Want {
    name: Name,
    pub(super) need: Resources,
    /// How cells are ordered for it.
    pub(super) ranking: Ranking,
    /// Which of the judges.
    pub(super) judge: usize,
    /// The app whose instances are to be apart; tasks have none.
    pub(super) app: Option<usize>,
}

/// Whose want it is.
#[derive(Debug, Clone)]
enum Name {
    Lrp(ProcessGuid, Domain),
    Task(TaskGuid),
}

/// One item: the index, and what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    index: u32,
    pub(super) want: u32,
}

/// What is gathered on the way to a queue.
struct Gathering<'a> {
    policy: &'a Policy,
    wants: Vec<Want>,
    constraints: HashMap<Constraint, usize>,
    apps: Apps<'a>,
    /// Domains are few: the answer's names share them.
    domains: HashSet<&'a Domain>,
}

// === impl Queue ===

impl<'a> Queue<'a> {
    pub(super) fn new(batch: &'a Batch, policy: &'a Policy) -> Self {
        let mut gathering = Gathering {
            policy,
            wants: Vec::new(),
            constraints: HashMap::new(),
            apps: Apps::default(),
            domains: HashSet::new(),
        };
        let mut turns = gathering.lrps(batch);
        let others = turns.split_off(turns.partition_point(|turn| turn.index == 0));
        turns.extend(gathering.tasks(batch));
        turns.extend(others);
        let Gathering { wants, constraints, apps, .. } = gathering;
        let mut constraints: Vec<_> = constraints.into_iter().collect();
        constraints.sort_unstable_by_key(|(_, number)| *number);
        let judges = constraints.into_iter().map(|(it, _)| Judge::new(it, &apps)).collect();
        Self { wants, turns, judges, apps }
    }

    pub(super) fn want(&self, turn: Turn) -> &Want {
        &self.wants[turn.want as usize]
    }

    /// The item's name.
    pub(super) fn item(&self, turn: Turn) -> Item {
        match &self.want(turn).name {
            Name::Task(guid) => Item::Task(guid.clone()),
            Name::Lrp(guid, domain) => {
                let (process_guid, domain) = (guid.clone(), domain.clone());
                Item::Lrp(LrpKey { process_guid, index: turn.index, domain })
            }
        }
    }
}

// === impl Gathering ===

impl<'a> Gathering<'a> {
    /// By index, then the most memory first, then by name.
    fn lrps(&mut self, batch: &'a Batch) -> Vec<Turn> {
        let (numbers, mut lrps) = distinct(batch);
        lrps.sort_unstable_by_key(|lrp| (Reverse(lrp.need.memory_mb), &lrp.lrp.process_guid));
        let mut wants = vec![0; lrps.len()];
        for Distinct { number, lrp, need } in &lrps {
            self.domains.insert(&lrp.domain);
            let domain = self.domains.get(&lrp.domain).map_or(&lrp.domain, |known| known);
            // Answers name it again and again; copies lie side by side.
            let guid = ProcessGuid::new(&lrp.process_guid).expect("it is one already");
            let name = Name::Lrp(guid, domain.clone());
            let mut want = self.want(name, *need, &lrp.placement);
            want.judge = self.judge(lrp_constraint(lrp), &lrp.placement);
            want.app = Some(self.apps.number(&lrp.app));
            wants[*number as usize] = self.add(want);
        }
        let items = batch.lrps.iter().zip(numbers);
        let turn = |(item, number): (&LrpAuction, u32)| Turn {
            index: item.key.index,
            want: wants[number as usize],
        };
        let mut turns: Vec<Turn> = if are_names_shared(&lrps) {
            let mut seen = HashSet::new();
            items.filter(|(item, _)| seen.insert(&item.key)).map(turn).collect()
        } else {
            items.map(turn).collect()
        };
        turns.sort_unstable();
        turns.dedup();
        turns
    }

    /// The most memory first, then by name.
    fn tasks(&mut self, batch: &'a Batch) -> Vec<Turn> {
        let mut seen: HashSet<&TaskGuid> = HashSet::new();
        let tasks = batch.tasks.iter().map(|auction| &auction.task.definition);
        let mut tasks: Vec<_> = tasks.filter(|task| seen.insert(&task.task_guid)).collect();
        tasks.sort_by_cached_key(|task| {
            (Reverse(task.resources().memory_mb), task.task_guid.clone())
        });
        let turn = |task: &'a TaskDefinition| {
            let name = Name::Task(task.task_guid.clone());
            let mut want = self.want(name, task.resources(), &task.placement);
            want.judge = self.judge(task_constraint(task), &task.placement);
            Turn { index: 0, want: self.add(want) }
        };
        tasks.into_iter().map(turn).collect()
    }

    /// A want without judge and app.
    fn want(&self, name: Name, need: Resources, placement: &Placement) -> Want {
        let strategy = placement.strategy.unwrap_or(self.policy.strategy);
        let is_task = matches!(name, Name::Task(_));
        let ranking = Ranking { strategy, is_task };
        Want { name, need, ranking, judge: 0, app: None }
    }

    fn add(&mut self, want: Want) -> u32 {
        self.wants.push(want);
        number(self.wants.len() - 1)
    }

    fn judge(&mut self, constraint: Constraint, placement: &'a Placement) -> usize {
        let affinities = placement.affinities.iter().map(|affinity| &affinity.rule);
        for rule in placement.constraints.iter().chain(affinities) {
            if let Rule::App(rule) = rule {
                self.apps.number(&rule.app);
            }
        }
        let next = self.constraints.len();
        *self.constraints.entry(constraint).or_insert(next)
    }
}

/// An LRP of the batch, and its number in the order of appearance.
struct Distinct<'a> {
    number: u32,
    lrp: &'a DesiredLrp,
    need: Resources,
}

/// The LRPs that items share, and for each item the number of its own.
fn distinct(batch: &Batch) -> (Vec<u32>, Vec<Distinct<'_>>) {
    let mut lrps: Vec<Distinct<'_>> = Vec::new();
    let mut known: HashMap<*const DesiredLrp, u32> = HashMap::new();
    let mut last = (ptr::null(), 0);
    let numbers = batch.lrps.iter().map(|item| {
        let at = Arc::as_ptr(&item.lrp);
        if at != last.0 {
            let number = *known.entry(at).or_insert_with(|| {
                let number = number(lrps.len());
                lrps.push(Distinct { number, lrp: &item.lrp, need: item.lrp.resources() });
                number
            });
            last = (at, number);
        }
        last.1
    });
    (numbers.collect(), lrps)
}

/// True where one name has two LRPs: then items may be the same though their LRPs are not.
fn are_names_shared(lrps: &[Distinct<'_>]) -> bool {
    let mut names = HashSet::with_capacity(lrps.len());
    !lrps.iter().all(|of| names.insert(&of.lrp.process_guid))
}

fn lrp_constraint(lrp: &DesiredLrp) -> Constraint {
    Constraint::new(&lrp.containers, &lrp.volume_drivers, &lrp.placement_tags, &lrp.placement)
}

fn task_constraint(task: &TaskDefinition) -> Constraint {
    Constraint::new(&task.containers, &task.volume_drivers, &task.placement_tags, &task.placement)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("memory holds fewer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auction::TaskAuction;
    use crate::testing::{lrp, task};

    fn names(batch: Batch) -> Vec<String> {
        let policy = Policy::default();
        let queue = Queue::new(&batch, &policy);
        let name = |turn: &Turn| match queue.item(*turn) {
            Item::Lrp(key) => format!("{}/{}", key.process_guid, key.index),
            Item::Task(guid) => guid.to_string(),
        };
        queue.turns.iter().map(name).collect()
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
