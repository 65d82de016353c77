//! Clusters that hold something from the beginning.

use std::sync::Arc;

use lattice_brain::board::RowId;
use lattice_cell::work::Work;
use lattice_model::{
    ActualLrp, ActualState, InstanceGuid, InstanceKey, LrpKey, ModificationTag, NetInfo, Presence,
};

use super::World;

/// Numbers of apps that are there from the beginning.
const APPS_FROM: u64 = 1_000_000;

impl World {
    /// Puts an app on a cell, of so many instances of 1 MB, as if it had run there for long.
    pub fn preload(&mut self, cell: usize, instances: u32) {
        if instances == 0 {
            return;
        }
        let lrp = Arc::new(self.templates.lrp(APPS_FROM + cell as u64, instances, 1));
        self.cells[cell].start(&mut self.agenda);
        for index in 0..instances {
            let key = LrpKey {
                process_guid: lrp.process_guid.clone(),
                index,
                domain: lrp.domain.clone(),
            };
            let guid = InstanceGuid::new(format!("preloaded-{cell}-{index}"));
            let instance = InstanceKey {
                instance_guid: guid.expect("a number is a guid"),
                cell_id: self.cells[cell].id().clone(),
            };
            let row = ActualLrp {
                key: key.clone(),
                presence: Presence::Ordinary,
                state: ActualState::Running { instance: instance.clone(), net: NetInfo::default() },
                since: self.agenda.now,
                crash_count: 0,
                crash_reason: String::new(),
                modification_tag: ModificationTag::default(),
            };
            self.brain.kept.rows.insert(RowId::of(&row), Arc::new(row));
            let work = Work::Lrp { key, instance, lrp: Arc::clone(&lrp) };
            self.cells[cell].adopt(work, self.agenda.now);
        }
        self.brain.kept.desired.insert(lrp.process_guid.clone(), lrp);
    }
}
