//! A receptor in memory: it keeps what it is told, and knows the original's refusals.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use lattice_api::brain::images::{CellImages, CellPruned};
use lattice_api::brain::moves::{
    DrainRequest, DrainingCell, MovePlan, Moves, PlannedMove, RebalanceRequest,
};
use lattice_api::brain::usage::CellUsage;
use lattice_api::brain::{
    BrainError, EventId, EventStream, Explanation, InstanceProgress, ProgressStep, Receptor,
    Version,
};
use lattice_brain::events::{HistoryLimits, Hub};
use lattice_model::task::TaskOutcome;
use lattice_model::{
    ActualLrp, CellId, CellPresence, CustomDomain, CustomDomainStatus, DesiredLrp,
    DesiredLrpUpdate, Domain, ErrorName, Event, ModificationTag, ProcessGuid, Refusal,
    RegistryAccount, RegistryCredentials, Resources, Task, TaskDefinition, TaskGuid, TaskState,
    Time,
};

use super::samples;

/// The life that its events are of.
pub(crate) const LIFE: u64 = 0xfeed;
/// What it keeps of them.
const HISTORY: HistoryLimits = HistoryLimits { events_max: 64, bytes_max: 1024 * 1024 };

pub(crate) struct FakeReceptor {
    state: Mutex<State>,
    hub: Hub,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) lrps: BTreeMap<ProcessGuid, Arc<DesiredLrp>>,
    pub(crate) instances: Vec<ActualLrp>,
    pub(crate) tasks: BTreeMap<TaskGuid, Task>,
    pub(crate) domains: BTreeMap<Domain, Option<u64>>,
    pub(crate) credentials: Vec<RegistryCredentials>,
    pub(crate) custom_domains: BTreeMap<String, CustomDomain>,
    pub(crate) ordered: Option<String>,
    pub(crate) draining: Option<DrainRequest>,
}

impl Default for FakeReceptor {
    fn default() -> Self {
        Self { state: Mutex::default(), hub: Hub::new(LIFE, HISTORY) }
    }
}

impl FakeReceptor {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Readers of events at this moment.
    pub(crate) fn readers(&self) -> usize {
        self.hub.readers()
    }

    pub(crate) fn tell(&self, event: Event) {
        self.hub.publish([event]);
    }
}

fn refused<T>(name: ErrorName, message: String) -> Result<T, BrainError> {
    Err(Refusal::new(name, message).into())
}

pub(crate) fn plan() -> MovePlan {
    let one = |index, to: Option<&str>, why: &str| PlannedMove {
        process_guid: ProcessGuid::new("web").unwrap(),
        index,
        memory_mb: 64,
        from: CellId::new("cell-1").unwrap(),
        to: to.map(|to| CellId::new(to).unwrap()),
        placement_error: why.to_owned(),
    };
    MovePlan { moves: vec![one(0, Some("cell-2"), ""), one(1, None, "no room")] }
}

fn no_lrp(guid: &ProcessGuid) -> BrainError {
    let message = format!("Desired LRP with guid '{guid}' not found");
    Refusal::new(ErrorName::DesiredLRPNotFound, message).into()
}

fn no_task(guid: &TaskGuid) -> BrainError {
    let message = format!("task with guid '{guid}' not found");
    Refusal::new(ErrorName::TaskNotFound, message).into()
}

#[async_trait]
impl Receptor for FakeReceptor {
    async fn desire_lrp(&self, mut lrp: DesiredLrp) -> Result<(), BrainError> {
        assert!(lrp.annotation != "panic", "asked to");
        let guid = lrp.process_guid.clone();
        if self.state().lrps.contains_key(&guid) {
            let message = format!("Desired LRP with guid '{guid}' already exists");
            return refused(ErrorName::DesiredLRPAlreadyExists, message);
        }
        lrp.modification_tag = ModificationTag { epoch: "epoch".into(), index: 0 };
        self.state().lrps.insert(guid, Arc::new(lrp.clone()));
        self.tell(Event::DesiredLrpCreated(Arc::new(lrp)));
        Ok(())
    }

    async fn update_lrp(
        &self,
        guid: &ProcessGuid,
        update: DesiredLrpUpdate,
    ) -> Result<(), BrainError> {
        let before = self.desired_lrp(guid).await?;
        let mut after = before.as_ref().clone();
        after.instances = update.instances.unwrap_or(after.instances);
        after.routes = update.routes.unwrap_or(after.routes);
        after.annotation = update.annotation.unwrap_or(after.annotation);
        after.modification_tag = after.modification_tag.next();
        let after = Arc::new(after);
        self.state().lrps.insert(guid.clone(), Arc::clone(&after));
        self.tell(Event::DesiredLrpChanged { before, after });
        Ok(())
    }

    async fn remove_lrp(&self, guid: &ProcessGuid) -> Result<(), BrainError> {
        let removed = self.state().lrps.remove(guid).ok_or_else(|| no_lrp(guid))?;
        self.tell(Event::DesiredLrpRemoved(Arc::new(removed.as_ref().clone())));
        Ok(())
    }

    async fn desired_lrp(&self, guid: &ProcessGuid) -> Result<Arc<DesiredLrp>, BrainError> {
        self.state().lrps.get(guid).cloned().ok_or_else(|| no_lrp(guid))
    }

    async fn desired_lrps(
        &self,
        domain: Option<&Domain>,
    ) -> Result<Vec<Arc<DesiredLrp>>, BrainError> {
        let state = self.state();
        let of = |lrp: &&Arc<DesiredLrp>| domain.is_none_or(|domain| lrp.domain == *domain);
        Ok(state.lrps.values().filter(of).cloned().collect())
    }

    async fn actual_lrps(&self, domain: Option<&Domain>) -> Result<Vec<ActualLrp>, BrainError> {
        let state = self.state();
        let of = |lrp: &&ActualLrp| domain.is_none_or(|domain| lrp.key.domain == *domain);
        Ok(state.instances.iter().filter(of).cloned().collect())
    }

    async fn actual_lrps_of(&self, guid: &ProcessGuid) -> Result<Vec<ActualLrp>, BrainError> {
        let state = self.state();
        let of = |lrp: &&ActualLrp| lrp.key.process_guid == *guid;
        Ok(state.instances.iter().filter(of).cloned().collect())
    }

    async fn retire(&self, guid: &ProcessGuid, index: u32) -> Result<(), BrainError> {
        let instances = self.actual_lrps_of(guid).await?;
        if instances.iter().any(|lrp| lrp.key.index == index) {
            return Ok(());
        }
        let message =
            format!("process-guid '{guid}' does not exist or has no instance at index {index}");
        refused(ErrorName::ActualLRPIndexNotFound, message)
    }

    async fn progress_of(&self, _: &ProcessGuid) -> Result<Vec<InstanceProgress>, BrainError> {
        Ok(vec![InstanceProgress {
            index: 1,
            cell_id: CellId::new("cell-1").unwrap(),
            step: ProgressStep::Pulling { bytes_done: 5, bytes_total: 10 },
        }])
    }

    async fn explain(&self, guid: &ProcessGuid, index: u32) -> Result<Explanation, BrainError> {
        let lrp = self.desired_lrp(guid).await?;
        if index < lrp.instances {
            return Ok(samples::explanation(&lrp, index));
        }
        let message =
            format!("process-guid '{guid}' does not exist or has no instance at index {index}");
        refused(ErrorName::ActualLRPIndexNotFound, message)
    }

    async fn desire_task(&self, task: TaskDefinition) -> Result<(), BrainError> {
        let guid = task.task_guid.clone();
        if self.state().tasks.contains_key(&guid) {
            return refused(ErrorName::TaskGuidAlreadyExists, "task already exists".into());
        }
        let task = Task {
            definition: task,
            state: TaskState::Pending,
            created_at: Time(5),
            updated_at: Time(5),
            rejections: 0,
            rejection_reason: String::new(),
            placement_detail: String::new(),
        };
        self.state().tasks.insert(guid, task.clone());
        self.tell(Event::TaskCreated(Arc::new(task)));
        Ok(())
    }

    async fn task(&self, guid: &TaskGuid) -> Result<Task, BrainError> {
        self.state().tasks.get(guid).cloned().ok_or_else(|| no_task(guid))
    }

    async fn tasks(&self, domain: Option<&Domain>) -> Result<Vec<Task>, BrainError> {
        let state = self.state();
        let of = |task: &&Task| domain.is_none_or(|domain| task.definition.domain == *domain);
        Ok(state.tasks.values().filter(of).cloned().collect())
    }

    async fn cancel_task(&self, guid: &TaskGuid) -> Result<(), BrainError> {
        let mut state = self.state();
        let task = state.tasks.get_mut(guid).ok_or_else(|| no_task(guid))?;
        if let TaskState::Completed(_) = task.state {
            let message = "Cannot transition from Completed to Completed".to_owned();
            return refused(ErrorName::UnknownError, message);
        }
        task.state = TaskState::Completed(TaskOutcome {
            failed: true,
            failure_reason: "task was cancelled".into(),
            result: String::new(),
        });
        Ok(())
    }

    async fn delete_task(&self, guid: &TaskGuid) -> Result<(), BrainError> {
        let TaskState::Completed(_) = self.task(guid).await?.state else {
            let message = "This task has not been completed. Please retry when it is completed.";
            return refused(ErrorName::TaskNotDeletable, message.into());
        };
        self.state().tasks.remove(guid);
        Ok(())
    }

    async fn cells(&self) -> Result<Vec<CellPresence>, BrainError> {
        Ok(vec![CellPresence {
            cell_id: CellId::new("cell-1").unwrap(),
            rep_url: String::new(),
            zone: "z1".into(),
            capacity: Resources { memory_mb: 4096, disk_mb: 10_240, containers: 256 },
            rootfs_providers: [("docker".to_owned(), vec![])].into_iter().collect(),
            placement_tags: vec!["gpu".into()],
            optional_placement_tags: vec![],
            volume_drivers: vec![],
            labels: lattice_model::cell::CellLabels::default(),
            fault: String::new(),
            warnings: Vec::new(),
        }])
    }

    async fn drain_cell(&self, cell: &CellId, how: DrainRequest) -> Result<MovePlan, BrainError> {
        if cell.as_str() != "cell-1" {
            return refused(ErrorName::CellNotFound, format!("there is no cell '{cell}'"));
        }
        if !how.dry_run {
            self.state().draining = Some(how);
        }
        Ok(plan())
    }

    async fn undrain_cell(&self, _: &CellId) -> Result<(), BrainError> {
        self.state().draining = None;
        Ok(())
    }

    async fn rebalance(&self, how: RebalanceRequest) -> Result<MovePlan, BrainError> {
        let moves = plan().moves.into_iter().take(how.max_moves as usize).collect();
        Ok(MovePlan { moves })
    }

    async fn moves(&self) -> Result<Moves, BrainError> {
        let draining = self.state().draining.map(|how| DrainingCell {
            cell_id: CellId::new("cell-1").unwrap(),
            max_in_flight: how.max_in_flight,
            instances_left: 2,
            tasks_left: 1,
        });
        Ok(Moves { draining: draining.into_iter().collect(), moves: Vec::new(), planned: 3 })
    }

    async fn images(&self) -> Result<Vec<CellImages>, BrainError> {
        Ok(samples::images())
    }

    async fn usage_of(&self, _: &ProcessGuid) -> Result<Vec<CellUsage>, BrainError> {
        Ok(samples::usage())
    }

    async fn prune_images(&self) -> Result<Vec<CellPruned>, BrainError> {
        Ok(samples::pruned())
    }

    async fn upsert_domain(&self, domain: Domain, ttl_s: Option<u64>) -> Result<(), BrainError> {
        self.state().domains.insert(domain, ttl_s);
        Ok(())
    }

    async fn domains(&self) -> Result<Vec<Domain>, BrainError> {
        Ok(self.state().domains.keys().cloned().collect())
    }

    async fn version(&self) -> Result<Version, BrainError> {
        Ok(Version { lattice_release: "1".into(), receptor: "1".into(), ltc: String::new() })
    }

    async fn put_custom_domain(
        &self,
        domain: CustomDomain,
    ) -> Result<CustomDomainStatus, BrainError> {
        let status = samples::custom_domain(&domain.host);
        self.state().custom_domains.insert(domain.host.clone(), domain);
        Ok(status)
    }

    async fn order_certificate(&self, host: &str) -> Result<CustomDomainStatus, BrainError> {
        self.state().ordered = Some(host.to_owned());
        Ok(samples::ordered(host))
    }

    async fn custom_domains(&self) -> Result<Vec<CustomDomainStatus>, BrainError> {
        let state = self.state();
        let given = state.custom_domains.keys().map(|host| samples::custom_domain(host));
        Ok(given.chain(state.ordered.iter().map(|host| samples::ordered(host))).collect())
    }

    async fn remove_custom_domain(&self, host: &str) -> Result<(), BrainError> {
        match self.state().custom_domains.remove(host) {
            Some(_) => Ok(()),
            None => refused(ErrorName::CustomDomainNotFound, format!("no '{host}'")),
        }
    }

    async fn put_registry_credentials(&self, c: RegistryCredentials) -> Result<(), BrainError> {
        self.state().credentials.push(c);
        Ok(())
    }

    async fn registry_accounts(&self) -> Result<Vec<RegistryAccount>, BrainError> {
        let state = self.state();
        let account = |c: &RegistryCredentials| RegistryAccount {
            registry: c.registry.clone(),
            username: c.username.clone(),
        };
        Ok(state.credentials.iter().map(account).collect())
    }

    async fn remove_registry_credentials(&self, registry: &str) -> Result<(), BrainError> {
        let mut state = self.state();
        let count = state.credentials.len();
        state.credentials.retain(|c| c.registry != registry);
        if state.credentials.len() < count {
            return Ok(());
        }
        refused(ErrorName::RegistryNotFound, format!("no '{registry}'"))
    }

    async fn events(&self, after: Option<EventId>) -> Result<EventStream, BrainError> {
        Ok(self.hub.subscribe(after))
    }
}
