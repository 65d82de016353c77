//! What of a cell is reserved and what is left; pure. Counted by reservation, never by use.

use lattice_api::cell::{CellState, LrpSlot, LrpSlots};
use lattice_model::{CellPresence, Resources};

use crate::instance::Instance;
use crate::work::Work;

/// A cell's capacity and what is promised of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    capacity: Resources,
    reserved: Resources,
}

impl Inventory {
    /// Nothing is reserved yet.
    pub fn new(capacity: Resources) -> Self {
        Self { capacity, reserved: Resources::default() }
    }

    /// What is not reserved.
    pub fn available(&self) -> Resources {
        self.capacity.minus(&self.reserved)
    }

    /// What the auction is told: what is left, and what the cell holds.
    pub fn state<'a>(
        &self,
        presence: CellPresence,
        held: impl IntoIterator<Item = (&'a Work, &'a Instance)>,
        evacuating: bool,
    ) -> CellState {
        let mut state = CellState {
            presence,
            available: self.available(),
            lrps: LrpSlots::default(),
            tasks: Vec::new(),
            starting_count: 0,
            evacuating,
        };
        for (work, instance) in held {
            state.starting_count += u64::from(instance.is_starting());
            match work {
                Work::Lrp { key, lrp, .. } => state.lrps.push(LrpSlot {
                    key: key.clone(),
                    app: lrp.app.clone(),
                    resources: lrp.resources(),
                }),
                Work::Task(task) => state.tasks.push(task.definition.task_guid.clone()),
            }
        }
        state
    }

    /// Takes `need`, or says in Diego's words, and then with amounts, what is short.
    pub fn reserve(&mut self, need: &Resources) -> Result<(), String> {
        let left = self.available();
        if left.fits(need) {
            self.reserved = self.reserved.plus(need);
            return Ok(());
        }
        Err(shortage(need, &left))
    }

    /// Takes what is in use already, be it more than there is.
    pub fn claim(&mut self, used: &Resources) {
        self.reserved = self.reserved.plus(used);
    }

    /// Gives `had` back.
    pub fn release(&mut self, had: &Resources) {
        self.reserved = self.reserved.minus(had);
    }
}

fn shortage(need: &Resources, left: &Resources) -> String {
    let short: Vec<(&str, String)> = [
        ("containers", need.containers, left.containers, ""),
        ("disk", need.disk_mb, left.disk_mb, " MB"),
        ("memory", need.memory_mb, left.memory_mb, " MB"),
    ]
    .into_iter()
    .filter(|(_, need, left, _)| need > left)
    .map(|(name, need, left, unit)| (name, format!("needs {need}{unit}, {left}{unit} left")))
    .collect();
    let names: Vec<&str> = short.iter().map(|(name, _)| *name).collect();
    let amounts = match short.as_slice() {
        [(_, amounts)] => amounts.clone(),
        several => several
            .iter()
            .map(|(name, amounts)| format!("{name}: {amounts}"))
            .collect::<Vec<_>>()
            .join("; "),
    };
    format!("insufficient resources: {} ({amounts})", names.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amounts(memory_mb: u64, disk_mb: u64, containers: u64) -> Resources {
        Resources { memory_mb, disk_mb, containers }
    }

    #[test]
    fn a_refusal_begins_with_diegos_words_and_has_the_amounts() {
        let check = |capacity: Resources, need: Resources, expected: &str| {
            let refused = Inventory::new(capacity).reserve(&need);
            assert_eq!(refused, Err(expected.to_owned()));
        };
        check(
            amounts(100, 1000, 5),
            amounts(512, 0, 1),
            "insufficient resources: memory (needs 512 MB, 100 MB left)",
        );
        check(
            amounts(100, 1000, 0),
            amounts(0, 0, 1),
            "insufficient resources: containers (needs 1, 0 left)",
        );
        check(
            amounts(100, 10, 1),
            amounts(512, 20, 1),
            "insufficient resources: disk, memory \
             (disk: needs 20 MB, 10 MB left; memory: needs 512 MB, 100 MB left)",
        );
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let mut inventory = Inventory::new(amounts(100, 100, 1));
        assert!(inventory.reserve(&amounts(200, 1, 1)).is_err());
        assert_eq!(inventory.available(), amounts(100, 100, 1));
    }

    #[test]
    fn what_is_in_use_already_counts_even_where_it_is_too_much() {
        let mut inventory = Inventory::new(amounts(100, 100, 2));
        inventory.claim(&amounts(150, 10, 1));
        assert_eq!(inventory.available(), amounts(0, 90, 1));
        inventory.release(&amounts(150, 10, 1));
        assert_eq!(inventory.available(), amounts(100, 100, 2));
    }

    proptest! {
        #[test]
        fn what_is_taken_and_given_back_is_whole_again(
            needs in proptest::collection::vec((0_u64..300, 0_u64..300), 0..20),
        ) {
            let capacity = amounts(1000, 1000, 10);
            let mut inventory = Inventory::new(capacity);
            let mut taken = Vec::new();
            for (memory, disk) in needs {
                let need = amounts(memory, disk, 1);
                let fits = inventory.available().fits(&need);
                prop_assert_eq!(inventory.reserve(&need).is_ok(), fits);
                if fits {
                    taken.push(need);
                }
            }
            for had in &taken {
                inventory.release(had);
            }
            prop_assert_eq!(inventory.available(), capacity);
        }
    }
}
