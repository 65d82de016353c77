//! A cell that holds instances, and may be out of reach while it does.

use std::collections::BTreeMap;

use lattice_api::cell::{CellState, LrpSlot};
use lattice_model::{CellId, CellPresence, InstanceKey, LrpKey, Resources, Time};

/// One cell and what it holds.
#[derive(Debug, Clone)]
pub struct SimulatedCell {
    /// What it says of itself.
    pub presence: CellPresence,
    /// False while nobody can reach it; what it holds goes on.
    pub is_reachable: bool,
    /// What it holds, by instance guid.
    pub held: BTreeMap<InstanceKey, Held>,
}

/// One instance on a cell.
#[derive(Debug, Clone)]
pub struct Held {
    /// Which.
    pub key: LrpKey,
    /// Its app.
    pub app: String,
    /// What it reserves.
    pub resources: Resources,
    /// When it is healthy.
    pub ready_at: Time,
    /// True once that was reported.
    pub is_running: bool,
}

impl SimulatedCell {
    /// A reachable, empty cell.
    pub fn new(id: &str, zone: &str, capacity: Resources) -> Self {
        let presence = CellPresence {
            cell_id: CellId::new(id).expect("the simulation names cells well"),
            rep_url: String::new(),
            zone: zone.to_owned(),
            capacity,
            rootfs_providers: [("docker".to_owned(), Vec::new())].into(),
            placement_tags: Vec::new(),
            optional_placement_tags: Vec::new(),
            volume_drivers: Vec::new(),
            labels: lattice_model::cell::CellLabels::default(),
        };
        Self { presence, is_reachable: true, held: BTreeMap::new() }
    }

    /// What it has left.
    pub fn available(&self) -> Resources {
        let all = self.presence.capacity;
        self.held.values().fold(all, |left, held| left.minus(&held.resources))
    }

    /// As the auction sees it.
    pub fn state(&self) -> CellState {
        let slot = |held: &Held| LrpSlot {
            key: held.key.clone(),
            app: held.app.clone(),
            resources: held.resources,
        };
        CellState {
            presence: self.presence.clone(),
            available: self.available(),
            lrps: self.held.values().map(slot).collect(),
            tasks: Vec::new(),
            starting_count: self.held.values().filter(|held| !held.is_running).count() as u64,
            evacuating: false,
        }
    }
}
