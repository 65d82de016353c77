//! The board and its cells, moved from one moment to the next.

use std::time::Duration;

use lattice_brain::auction::{self, Batch, Item, LrpAuction, Policy};
use lattice_brain::board::{Applied, Board, Command, Effect, FailedPlacement, Records};
use lattice_brain::config::Limits;
use lattice_model::{
    ActualLrp, CellId, DesiredLrp, InstanceGuid, InstanceKey, LrpKey, NetInfo, Presence, Refusal,
    Time,
};

use crate::cell::{Held, SimulatedCell};

const HEARTBEAT: Duration = Duration::from_secs(5);
const CONVERGENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(100);
/// How long an instance takes to be healthy.
const START: Duration = Duration::from_millis(300);

/// A cluster.
pub struct World {
    /// Now.
    pub now: Time,
    /// The brain's board.
    pub board: Board,
    /// The cells.
    pub cells: Vec<SimulatedCell>,
    auctions: Vec<(LrpAuction, u64)>,
    stops: Vec<(LrpKey, InstanceKey)>,
    instances_made: u64,
}

impl World {
    /// A cluster of these cells, each of which has just said that it is alive.
    pub fn new(seed: u64, cells: Vec<SimulatedCell>) -> Self {
        let now = Time::from_secs(1_000_000);
        let board = Board::load(Records::default(), Limits::default(), seed, now);
        let mut world =
            Self { now, board, cells, auctions: Vec::new(), stops: Vec::new(), instances_made: 0 };
        world.heartbeats();
        world
    }

    /// Gives the board a command and takes what comes of it.
    pub fn apply(&mut self, command: Command) -> Result<(), Refusal> {
        let applied = self.board.apply(command, self.now)?;
        self.take(applied);
        Ok(())
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let before = self.now;
            self.now = self.now + STEP;
            if self.passes(before, HEARTBEAT) {
                self.heartbeats();
            }
            if self.passes(before, CONVERGENCE) {
                self.tell(Command::Converge);
            }
            if self.board.next_due().is_some_and(|due| due <= self.now) {
                self.tell(Command::Expire);
            }
            self.deliver_stops();
            self.hold_auction();
            self.report_healthy();
        }
    }

    /// Ends an instance on its cell as a crash of the app would; false when there is none.
    pub fn crash(&mut self, cell: usize, nth: usize) -> bool {
        let cell = &mut self.cells[cell];
        let Some(instance) = cell.held.keys().nth(nth).cloned() else { return false };
        let held = cell.held.remove(&instance).expect("its key was just found");
        if cell.is_reachable {
            let why = "APP/PROC/WEB: Exited with status 1".to_owned();
            self.tell(Command::CrashLrp(held.key, instance, why));
        }
        true
    }

    /// Brings a cell back: it says that it is alive and tells what it still holds.
    pub fn reconnect(&mut self, cell: usize) {
        self.cells[cell].is_reachable = true;
        let presence = self.cells[cell].presence.clone();
        self.tell(Command::Heartbeat(Box::new(presence.clone())));
        let held: Vec<_> =
            self.cells[cell].held.iter().map(|(key, held)| (key.clone(), held.clone())).collect();
        for (instance, held) in held.into_iter().filter(|(_, held)| held.is_running) {
            let start = Command::StartLrp(held.key, instance.clone(), NetInfo::default());
            if self.apply(start).is_err() {
                self.cells[cell].held.remove(&instance);
            }
        }
        // What the board believes to be here and is not.
        let named = |row: &&ActualLrp| {
            row.instance().is_some_and(|instance| instance.cell_id == presence.cell_id)
        };
        let rows: Vec<ActualLrp> = self.board.rows().filter(named).cloned().collect();
        for row in rows {
            let instance = row.instance().expect("filtered for it").clone();
            if !self.cells[cell].held.contains_key(&instance) {
                let _ = self.apply(Command::RemoveInstance(row.key, instance));
            }
        }
    }

    /// Every difference between what is desired, what the board believes and what cells hold;
    /// empty when the cluster is as it should be.
    pub fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        for lrp in self.board.desired_lrps(None) {
            for index in 0..lrp.instances {
                let places = self.places(&lrp, index);
                if places.len() != 1 {
                    found.push(format!("{}/{index} is held by {places:?}", lrp.process_guid));
                }
            }
        }
        for row in self.board.rows() {
            let desired = self.board.desired_lrp(&row.key.process_guid);
            let is_wanted = desired.is_ok_and(|lrp| row.key.index < lrp.instances);
            if !is_wanted || row.state.name() != "RUNNING" || row.presence != Presence::Ordinary {
                found.push(format!("{:?} {:?} {}", row.key, row.presence, row.state.name()));
            }
        }
        for cell in &self.cells {
            let wanted = |held: &Held| {
                let desired = self.board.desired_lrp(&held.key.process_guid);
                desired.is_ok_and(|lrp| held.key.index < lrp.instances)
            };
            let unwanted = cell.held.values().filter(|held| !wanted(held));
            found.extend(
                unwanted
                    .map(|held| format!("{} still holds {:?}", cell.presence.cell_id, held.key)),
            );
        }
        found
    }

    fn places(&self, lrp: &DesiredLrp, index: u32) -> Vec<&CellId> {
        let holds =
            |held: &Held| held.key.process_guid == lrp.process_guid && held.key.index == index;
        let cells = self.cells.iter().filter(|cell| cell.is_reachable);
        let places = cells.flat_map(|cell| {
            cell.held.values().filter(|held| holds(held)).map(|_| &cell.presence.cell_id)
        });
        places.collect()
    }

    /// True when a multiple of `interval` lies between `before` and now.
    fn passes(&self, before: Time, interval: Duration) -> bool {
        let interval = i64::try_from(interval.as_nanos()).expect("intervals are short");
        before.0 / interval != self.now.0 / interval
    }

    /// A command that the board may refuse, since the world has moved on.
    fn tell(&mut self, command: Command) {
        let _ = self.apply(command);
    }

    fn take(&mut self, applied: Applied) {
        for effect in applied.effects {
            match effect {
                Effect::AuctionLrp { key, lrp, round } => {
                    self.auctions.push((LrpAuction { key, lrp }, round));
                }
                Effect::StopInstance { key, instance } => self.stops.push((key, instance)),
                Effect::AuctionTask { .. } | Effect::CancelTask { .. } | Effect::NotifyOwner(_) => {
                }
            }
        }
    }

    fn heartbeats(&mut self) {
        let reachable = self.cells.iter().filter(|cell| cell.is_reachable);
        let presences: Vec<_> = reachable.map(|cell| cell.presence.clone()).collect();
        for presence in presences {
            self.tell(Command::Heartbeat(Box::new(presence)));
        }
    }

    fn deliver_stops(&mut self) {
        for (key, instance) in std::mem::take(&mut self.stops) {
            let on_it = |cell: &&mut SimulatedCell| {
                cell.is_reachable && cell.presence.cell_id == instance.cell_id
            };
            let Some(cell) = self.cells.iter_mut().find(on_it) else { continue };
            cell.held.remove(&instance);
            self.tell(Command::RemoveInstance(key, instance));
        }
    }

    fn hold_auction(&mut self) {
        let mut lots = std::mem::take(&mut self.auctions);
        lots.retain(|(lot, _)| self.board.is_unclaimed(&lot.key));
        if lots.is_empty() {
            return;
        }
        let reachable = self.cells.iter().filter(|cell| cell.is_reachable);
        let states: Vec<_> = reachable.map(SimulatedCell::state).collect();
        let batch =
            Batch { lrps: lots.iter().map(|(lot, _)| lot.clone()).collect(), tasks: vec![] };
        let outcome = auction::hold(&states, &batch, &Policy::default());
        for (item, cell_id) in outcome.placed {
            self.place(&lots, item, cell_id);
        }
        for failure in outcome.failed {
            let Item::Lrp(key) = failure.item else { continue };
            let round = lots.iter().find(|(lot, _)| lot.key == key).map_or(0, |(_, round)| *round);
            self.tell(Command::FailPlacement(FailedPlacement {
                item: Item::Lrp(key),
                error: failure.error,
                is_impossible: failure.is_impossible,
                round,
            }));
        }
    }

    fn place(&mut self, lots: &[(LrpAuction, u64)], item: Item, cell_id: CellId) {
        let Item::Lrp(key) = item else { return };
        let Some((lot, _)) = lots.iter().find(|(lot, _)| lot.key == key) else { return };
        self.instances_made += 1;
        let guid = InstanceGuid::new(format!("instance-{}", self.instances_made));
        let instance = InstanceKey {
            instance_guid: guid.expect("a number is a guid"),
            cell_id: cell_id.clone(),
        };
        let held = Held {
            key: key.clone(),
            app: lot.lrp.app.clone(),
            resources: lot.lrp.resources(),
            ready_at: self.now + START,
            is_running: false,
        };
        let cell = self.cells.iter_mut().find(|cell| cell.presence.cell_id == cell_id);
        let cell = cell.expect("the auction places on cells it was shown");
        assert!(cell.available().fits(&held.resources), "the auction overbooked {cell_id}");
        cell.held.insert(instance.clone(), held);
        if self.apply(Command::ClaimLrp(key, instance.clone())).is_err() {
            let cell = self.cells.iter_mut().find(|cell| cell.presence.cell_id == cell_id);
            cell.expect("it was there").held.remove(&instance);
        }
    }

    fn report_healthy(&mut self) {
        let mut healthy = Vec::new();
        for cell in self.cells.iter_mut().filter(|cell| cell.is_reachable) {
            for (instance, held) in &mut cell.held {
                if !held.is_running && held.ready_at <= self.now {
                    held.is_running = true;
                    healthy.push((held.key.clone(), instance.clone()));
                }
            }
        }
        for (key, instance) in healthy {
            let start = Command::StartLrp(key, instance.clone(), NetInfo::default());
            if self.apply(start).is_err() {
                self.cells.iter_mut().for_each(|cell| {
                    cell.held.remove(&instance);
                });
            }
        }
    }
}
