//! What is wanted and what is: desired LRPs, instances' records, tasks, domains, cells.
//! Pure: commands and the time go in; records, events and effects come out.
//!
//! A command either applies in whole or is refused and has changed nothing.

mod cells;
mod command;
mod desired;
mod evacuation;
mod instances;
mod moves;
mod rows;
mod tasks;
mod upkeep;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lattice_api::brain::{InstanceProgress, PRESENCE_TTL_S};
use lattice_model::{
    ActualLrp, CellId, CellPresence, DesiredLrp, Domain, ErrorName, InstanceKey, LrpKey, Presence,
    ProcessGuid, Refusal, Task, TaskGuid, Time,
};
use uuid::Builder;

pub use command::{Answer, Applied, Command, Effect, FailedPlacement, Records, RowId, Write};

use crate::config::Limits;
use moves::Moves;

/// The failure of a task that was cancelled.
pub const TASK_CANCELLED: &str = "task was cancelled";
/// How often a task is given to a cell anew after it was rejected.
pub const TASK_RETRIES_MAX: u32 = 3;

/// The state. One task owns it; see [`crate::actor`].
#[derive(Debug)]
pub struct Board {
    limits: Limits,
    processes: BTreeMap<ProcessGuid, Process>,
    tasks: BTreeMap<TaskGuid, Arc<Task>>,
    domains: BTreeMap<Domain, Option<Time>>,
    cells: BTreeMap<CellId, Seen>,
    /// Records that name a cell.
    rows_on: BTreeMap<CellId, BTreeSet<RowId>>,
    /// Tasks that run on a cell.
    tasks_on: BTreeMap<CellId, BTreeSet<TaskGuid>>,
    /// Found no place at the last try; tried again when capacity appears.
    waiting: BTreeSet<(ProcessGuid, u32)>,
    waiting_tasks: BTreeSet<TaskGuid>,
    /// Asked to stop, and not stopped yet; asked again at each full convergence.
    retiring: BTreeMap<RowId, lattice_model::InstanceGuid>,
    progress: BTreeMap<(ProcessGuid, u32), InstanceProgress>,
    /// What is to be looked at when; entries may be out of date and are checked when they fire.
    due: BTreeSet<(Time, Due)>,
    moves: Moves,
    capacity_round: u64,
    instances_total: usize,
    rows_total: usize,
    tags: TagSource,
}

/// A desired LRP and its instances' records; either may be missing.
#[derive(Debug, Default)]
struct Process {
    desired: Option<Arc<DesiredLrp>>,
    rows: BTreeMap<(u32, Presence), Arc<ActualLrp>>,
}

/// A cell, or one that the records name and that has not been heard of since the start.
#[derive(Debug)]
struct Seen {
    presence: Option<CellPresence>,
    expires: Time,
    /// True when it has said that it empties itself.
    is_emptying: bool,
}

/// Something to look at in time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A cell's presence may have expired.
    Cell(CellId),
    /// A crashed instance may have waited long enough.
    Index(ProcessGuid, u32),
    /// A task may have waited long enough.
    Task(TaskGuid),
    /// An instance that was replaced has been up beside its replacement for long enough.
    Stop(LrpKey, InstanceKey),
    /// Capacity that was announced may have become free.
    Capacity,
}

/// Makes epochs of modification tags, in a sequence that its seed determines.
#[derive(Debug)]
struct TagSource {
    seed: u64,
    count: u64,
}

// === impl Board ===

impl Board {
    /// Takes over what the store kept. Every cell that the records name has until one presence TTL
    /// from `now` to report before it counts as lost. `seed` makes the modification tags' epochs
    /// differ from those of other lives.
    pub fn load(records: Records, limits: Limits, seed: u64, now: Time) -> Self {
        let mut board = Self {
            limits,
            processes: BTreeMap::new(),
            tasks: BTreeMap::new(),
            domains: records.domains.into_iter().collect(),
            cells: BTreeMap::new(),
            rows_on: BTreeMap::new(),
            tasks_on: BTreeMap::new(),
            waiting: BTreeSet::new(),
            waiting_tasks: BTreeSet::new(),
            retiring: BTreeMap::new(),
            progress: BTreeMap::new(),
            due: BTreeSet::new(),
            moves: Moves::default(),
            capacity_round: 0,
            instances_total: 0,
            rows_total: 0,
            tags: TagSource { seed, count: 0 },
        };
        for lrp in records.desired {
            board.instances_total += lrp.instances as usize;
            let process = board.processes.entry(lrp.process_guid.clone()).or_default();
            process.desired = Some(Arc::new(lrp));
        }
        for row in records.actual {
            board.adopt_row(Arc::new(row));
        }
        for task in records.tasks {
            board.adopt_task(Arc::new(task), now);
        }
        records.draining.into_iter().for_each(|draining| board.adopt_draining(draining));
        board.expect_named_cells(now);
        board.queue_unplaced();
        board
    }

    /// Does what the command says, or refuses and changes nothing.
    pub fn apply(&mut self, command: Command, now: Time) -> Result<Applied, Refusal> {
        let mut out = Applied { at: now, ..Applied::default() };
        self.dispatch(command, &mut out)?;
        self.advance_moves(&mut out);
        Ok(out)
    }

    /// The next moment at which [`Command::Expire`] has something to do.
    pub fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(time, _)| *time)
    }

    fn dispatch(&mut self, cmd: Command, out: &mut Applied) -> Result<(), Refusal> {
        let now = out.at;
        match cmd {
            Command::DesireLrp(lrp) => self.desire_lrp(*lrp, out),
            Command::UpdateLrp(guid, update) => self.update_lrp(&guid, update, out),
            Command::RemoveLrp(guid) => self.remove_lrp(&guid, out),
            Command::RetireLrp(guid, index) => self.retire_lrp(&guid, index, out),
            Command::ClaimLrp(key, instance) => self.claim_lrp(&key, instance, out),
            Command::StartLrp(key, instance, net) => self.start_lrp(&key, instance, net, out),
            Command::CrashLrp(key, instance, end) => self.crash_lrp(&key, &instance, end, out),
            Command::EvacuateLrp(key, instance, evacuee) => {
                self.evacuate_lrp(&key, &instance, evacuee, out)
            }
            Command::RemoveInstance(key, instance) => self.remove_instance(&key, &instance, out),
            Command::FailPlacement(failed) => self.fail_placement(failed, out),
            Command::DeferPlacement(items) => {
                self.defer_placement(items, now);
                Ok(())
            }
            Command::DesireTask(definition) => self.desire_task(*definition, out),
            Command::StartTask(guid, cell) => self.start_task(&guid, cell, out),
            Command::CancelTask(guid) => self.cancel_task(&guid, out),
            Command::CompleteTask(guid, cell, how) => self.complete_task(&guid, &cell, how, out),
            Command::RejectTask(guid, cell, why) => self.reject_task(&guid, &cell, why, out),
            Command::ResolveTask(guid) => self.resolve_task(&guid, out),
            Command::DeleteTask(guid) => self.delete_task(&guid, out),
            Command::UpsertDomain(domain, until) => self.upsert_domain(domain, until, out),
            Command::Heartbeat(presence) => {
                self.heartbeat(*presence, out);
                Ok(())
            }
            Command::Depart(cell) => {
                self.lose_cell(&cell, out);
                Ok(())
            }
            Command::DrainCell(draining) => self.drain_cell(draining, out),
            Command::UndrainCell(cell) => self.undrain_cell(&cell, out),
            Command::Rebalance(moves, in_flight_max) => {
                self.rebalance(moves, in_flight_max);
                Ok(())
            }
            Command::ReportProgress(key, progress) => {
                self.note_progress(&key, progress);
                Ok(())
            }
            Command::Expire => {
                self.expire(out);
                Ok(())
            }
            Command::Converge => {
                self.converge(out);
                Ok(())
            }
        }
    }
}

// === impl Process ===

impl Process {
    fn wants(&self, index: u32) -> bool {
        self.desired.as_ref().is_some_and(|lrp| index < lrp.instances)
    }

    fn row(&self, index: u32, presence: Presence) -> Option<&Arc<ActualLrp>> {
        self.rows.get(&(index, presence))
    }

    /// The indices that have a record or should have one.
    fn indices(&self) -> BTreeSet<u32> {
        let wanted = self.desired.as_ref().map_or(0, |lrp| lrp.instances);
        self.rows.keys().map(|(index, _)| *index).chain(0..wanted).collect()
    }
}

// === impl TagSource ===

impl TagSource {
    fn epoch(&mut self) -> String {
        self.count += 1;
        let high = scramble(self.seed ^ scramble(self.count));
        let low = scramble(high ^ self.count);
        let bytes = ((u128::from(high) << 64) | u128::from(low)).to_be_bytes();
        Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

/// The finalizer of splitmix64.
const fn scramble(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn presence_ttl() -> std::time::Duration {
    std::time::Duration::from_secs(PRESENCE_TTL_S)
}

fn conflict(message: &str) -> Refusal {
    Refusal::new(ErrorName::ResourceConflict, message)
}

#[cfg(test)]
mod tests;
