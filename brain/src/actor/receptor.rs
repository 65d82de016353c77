//! The handle as people and tools see it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lattice_api::brain::images::{CellImages, CellPruned};
use lattice_api::brain::moves::{DrainRequest, MovePlan, Moves, PlannedMove, RebalanceRequest};
use lattice_api::brain::usage::CellUsage;
use lattice_api::brain::{
    BrainError, EventId, EventStream, Explanation, InstanceProgress, Receptor, Version,
};
use lattice_api::cell::CellError;
use lattice_api::cell::images::{ImageStock, PrunedImages};
use lattice_api::cell::usage::InstanceUsage;
use lattice_model::actual_lrp::PlacementError;
use lattice_model::cell::Draining;
use lattice_model::{
    ActualLrp, CellId, CellPresence, CustomDomain, CustomDomainStatus, DesiredLrp,
    DesiredLrpUpdate, Domain, ErrorName, ProcessGuid, Refusal, RegistryAccount,
    RegistryCredentials, Task, TaskDefinition, TaskGuid, Time,
};

use super::Secret;
use super::handle::{Handle, Patience};
use crate::auction;
use crate::board::{Board, Command};
use crate::custom_domains::{self, Change};
use crate::moves::{self, Movable, Planned};

impl Handle {
    async fn order(&self, command: Command) -> Result<(), BrainError> {
        self.apply(command, Patience::Refuse).await.map(|_| ())
    }

    /// Refuses a host that is nobody's own, or whose certificate nobody would be shown.
    fn check_custom_host(&self, host: &str) -> Result<(), Refusal> {
        custom_domains::check_host(host)?;
        let refused = |message: String| Err(Refusal::new(ErrorName::InvalidRequest, message));
        let is_shown_at = |own: &String| custom_domains::covers(host, own);
        if self.standing.platform_hosts.iter().any(is_shown_at) {
            return refused(format!(
                "{host} belongs to the platform, which shows a certificate of its own there"
            ));
        }
        if !self.standing.serves_https {
            return refused(
                "the platform serves no https, so that nobody would be shown a certificate; its \
                 operator can start it without --https-port 0"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Changes what is kept of hosts of people's own.
    async fn keep_host(&self, change: Change) -> Result<(), BrainError> {
        self.keep(Secret::Host(change), Patience::Refuse).await
    }

    async fn now(&self) -> Result<Time, BrainError> {
        self.read(|_, now| now, Patience::Refuse).await
    }

    async fn status_of(&self, host: &str) -> Result<CustomDomainStatus, BrainError> {
        let status = self.shelf.holdings().status(host, self.now().await?);
        status.map(|status| self.told(status)).ok_or_else(|| {
            let message = format!("'{host}' was removed meanwhile");
            Refusal::new(ErrorName::CustomDomainNotFound, message).into()
        })
    }

    fn told(&self, status: CustomDomainStatus) -> CustomDomainStatus {
        if self.standing.orders_certificates {
            return status;
        }
        custom_domains::without_orders(status)
    }

    /// Plans aside, since many auctions may be held for it.
    async fn plan(
        &self,
        plan: impl FnOnce() -> Vec<Planned> + Send + 'static,
    ) -> Result<Vec<Planned>, BrainError> {
        let ended = |e: tokio::task::JoinError| {
            let message = format!("the moves could not be planned: {e}");
            BrainError::Refused(Refusal::new(ErrorName::UnknownError, message))
        };
        tokio::task::spawn_blocking(plan).await.map_err(ended)
    }
}

fn told(plan: &[Planned]) -> MovePlan {
    let one = |Planned { movable: Movable { key, instance, lrp }, to }: &Planned| PlannedMove {
        process_guid: key.process_guid.clone(),
        index: key.index,
        memory_mb: lrp.resources().memory_mb,
        from: instance.cell_id.clone(),
        to: to.as_ref().ok().cloned(),
        placement_error: to.as_ref().err().map(PlacementError::sentence).unwrap_or_default(),
    };
    MovePlan { moves: plan.iter().map(one).collect() }
}

#[async_trait]
impl Receptor for Handle {
    async fn desire_lrp(&self, lrp: DesiredLrp) -> Result<(), BrainError> {
        self.order(Command::DesireLrp(Box::new(lrp))).await
    }

    async fn update_lrp(
        &self,
        guid: &ProcessGuid,
        update: DesiredLrpUpdate,
    ) -> Result<(), BrainError> {
        self.order(Command::UpdateLrp(guid.clone(), update)).await
    }

    async fn remove_lrp(&self, guid: &ProcessGuid) -> Result<(), BrainError> {
        self.order(Command::RemoveLrp(guid.clone())).await
    }

    async fn desired_lrp(&self, guid: &ProcessGuid) -> Result<Arc<DesiredLrp>, BrainError> {
        let guid = guid.clone();
        Ok(self.read(move |board, _| board.desired_lrp(&guid), Patience::Refuse).await??)
    }

    async fn desired_lrps(
        &self,
        domain: Option<&Domain>,
    ) -> Result<Vec<Arc<DesiredLrp>>, BrainError> {
        let domain = domain.cloned();
        self.read(move |board, _| board.desired_lrps(domain.as_ref()), Patience::Refuse).await
    }

    async fn actual_lrps(&self, domain: Option<&Domain>) -> Result<Vec<ActualLrp>, BrainError> {
        let domain = domain.cloned();
        let look = move |board: &Board, _| board.shared_actual_lrps(domain.as_ref());
        let rows = self.read(look, Patience::Refuse).await?;
        Ok(rows.iter().map(|row| row.as_ref().clone()).collect())
    }

    async fn actual_lrps_of(&self, guid: &ProcessGuid) -> Result<Vec<ActualLrp>, BrainError> {
        let guid = guid.clone();
        self.read(move |board, _| board.actual_lrps_of(&guid), Patience::Refuse).await
    }

    async fn retire(&self, guid: &ProcessGuid, index: u32) -> Result<(), BrainError> {
        self.order(Command::RetireLrp(guid.clone(), index)).await
    }

    async fn progress_of(&self, guid: &ProcessGuid) -> Result<Vec<InstanceProgress>, BrainError> {
        let guid = guid.clone();
        self.read(move |board, _| board.progress_of(&guid), Patience::Refuse).await
    }

    async fn usage_of(&self, guid: &ProcessGuid) -> Result<Vec<CellUsage>, BrainError> {
        let of = guid.clone();
        let look = move |board: &Board, _| (board.actual_lrps_of(&of), board.cells());
        let (instances, mut cells) = self.read(look, Patience::Refuse).await?;
        let holders: BTreeSet<&CellId> =
            instances.iter().filter_map(|lrp| Some(&lrp.instance()?.cell_id)).collect();
        cells.retain(|cell| holders.contains(&cell.cell_id));
        let told = self.scout.of_each(cells, |rep| async move { rep.usage(guid).await });
        let one = |(cell_id, told): (CellId, Result<Vec<InstanceUsage>, CellError>)| match told {
            Ok(instances) => CellUsage { cell_id, instances, error: String::new() },
            Err(e) => CellUsage { cell_id, instances: Vec::new(), error: e.to_string() },
        };
        Ok(told.await.into_iter().map(one).collect())
    }

    async fn explain(&self, guid: &ProcessGuid, index: u32) -> Result<Explanation, BrainError> {
        let lrp = self.desired_lrp(guid).await?;
        if index >= lrp.instances {
            let message =
                format!("process-guid '{guid}' does not exist or has no instance at index {index}");
            return Err(Refusal::new(ErrorName::ActualLRPIndexNotFound, message).into());
        }
        let states = self.scout.states(self.cells().await?).await;
        Ok(auction::explain(&states, &lrp, index, &self.scout.policy))
    }

    async fn desire_task(&self, task: TaskDefinition) -> Result<(), BrainError> {
        self.order(Command::DesireTask(Box::new(task))).await
    }

    async fn task(&self, guid: &TaskGuid) -> Result<Task, BrainError> {
        let guid = guid.clone();
        Ok(self.read(move |board, _| board.task(&guid), Patience::Refuse).await??)
    }

    async fn tasks(&self, domain: Option<&Domain>) -> Result<Vec<Task>, BrainError> {
        let domain = domain.cloned();
        self.read(move |board, _| board.tasks(domain.as_ref()), Patience::Refuse).await
    }

    async fn cancel_task(&self, guid: &TaskGuid) -> Result<(), BrainError> {
        self.order(Command::CancelTask(guid.clone())).await
    }

    async fn delete_task(&self, guid: &TaskGuid) -> Result<(), BrainError> {
        self.order(Command::DeleteTask(guid.clone())).await
    }

    async fn cells(&self) -> Result<Vec<CellPresence>, BrainError> {
        self.read(|board, _| board.cells(), Patience::Refuse).await
    }

    async fn drain_cell(&self, cell: &CellId, how: DrainRequest) -> Result<MovePlan, BrainError> {
        let id = cell.clone();
        let look = move |board: &Board, _| board.known_cell(&id).map(|()| board.survey());
        let survey = self.read(look, Patience::Refuse).await??;
        let (policy, id) = (self.scout.policy, cell.clone());
        let plan = self.plan(move || moves::plan_drain(survey, &id, &policy)).await?;
        if !how.dry_run {
            let DrainRequest { max_in_flight, .. } = how;
            let draining = Draining { cell_id: cell.clone(), max_in_flight };
            self.order(Command::DrainCell(draining)).await?;
        }
        Ok(told(&plan))
    }

    async fn undrain_cell(&self, cell: &CellId) -> Result<(), BrainError> {
        self.order(Command::UndrainCell(cell.clone())).await
    }

    async fn rebalance(&self, how: RebalanceRequest) -> Result<MovePlan, BrainError> {
        let survey = self.read(|board, _| board.survey(), Patience::Refuse).await?;
        let (policy, max) = (self.scout.policy, how.max_moves as usize);
        let plan = self.plan(move || moves::plan_rebalance(survey, &policy, max)).await?;
        if !how.dry_run {
            let which = |one: &Planned| (one.movable.key.clone(), one.movable.instance.clone());
            let which = plan.iter().map(which).collect();
            self.order(Command::Rebalance(which, how.max_in_flight)).await?;
        }
        Ok(told(&plan))
    }

    async fn moves(&self) -> Result<Moves, BrainError> {
        self.read(|board, _| board.moves_under_way(), Patience::Refuse).await
    }

    async fn images(&self) -> Result<Vec<CellImages>, BrainError> {
        let told = self.scout.of_each(self.cells().await?, |rep| async move { rep.images().await });
        let one = |(cell_id, told): (CellId, Result<ImageStock, CellError>)| match told {
            Ok(stock) => CellImages { cell_id, stock, error: String::new() },
            Err(e) => CellImages { cell_id, stock: ImageStock::default(), error: e.to_string() },
        };
        Ok(told.await.into_iter().map(one).collect())
    }

    async fn prune_images(&self) -> Result<Vec<CellPruned>, BrainError> {
        let cells = self.cells().await?;
        let told = self.scout.of_each(cells, |rep| async move { rep.prune_images().await });
        let one = |(cell_id, told): (CellId, Result<PrunedImages, CellError>)| match told {
            Ok(pruned) => CellPruned { cell_id, pruned, error: String::new() },
            Err(e) => CellPruned { cell_id, pruned: PrunedImages::default(), error: e.to_string() },
        };
        Ok(told.await.into_iter().map(one).collect())
    }

    async fn upsert_domain(&self, domain: Domain, ttl_s: Option<u64>) -> Result<(), BrainError> {
        // Section 2.8: a TTL of 0 is for ever, as none is.
        let ttl = ttl_s.filter(|ttl| *ttl > 0).map(Duration::from_secs);
        let now = self.now().await?;
        self.order(Command::UpsertDomain(domain, ttl.map(|ttl| now + ttl))).await
    }

    async fn domains(&self) -> Result<Vec<Domain>, BrainError> {
        self.read(|board, now| board.domains(now), Patience::Refuse).await
    }

    async fn version(&self) -> Result<Version, BrainError> {
        Ok(self.standing.version.clone())
    }

    async fn put_registry_credentials(&self, c: RegistryCredentials) -> Result<(), BrainError> {
        if c.registry.is_empty() {
            let message = "Invalid field: registry";
            return Err(Refusal::new(ErrorName::InvalidRequest, message).into());
        }
        self.keep(Secret::Credentials(c), Patience::Refuse).await
    }

    async fn registry_accounts(&self) -> Result<Vec<RegistryAccount>, BrainError> {
        let account = |one: &RegistryCredentials| RegistryAccount {
            registry: one.registry.clone(),
            username: one.username.clone(),
        };
        Ok(self.keyring.kept().values().map(account).collect())
    }

    async fn remove_registry_credentials(&self, registry: &str) -> Result<(), BrainError> {
        self.keep(Secret::NoCredentials(registry.to_owned()), Patience::Refuse).await
    }

    async fn put_custom_domain(
        &self,
        domain: CustomDomain,
    ) -> Result<CustomDomainStatus, BrainError> {
        let host = domain.host.clone();
        let examined = custom_domains::examine(domain, self.now().await?)?;
        self.check_custom_host(&host)?;
        self.keep_host(Change::Give(examined)).await?;
        self.status_of(&host).await
    }

    async fn order_certificate(&self, host: &str) -> Result<CustomDomainStatus, BrainError> {
        let host = host.to_ascii_lowercase();
        self.check_custom_host(&host)?;
        let refused = |message: String| Refusal::new(ErrorName::InvalidRequest, message);
        if !self.standing.orders_certificates {
            let message = "the platform orders no certificates, because its operator has not \
                           agreed to an authority's terms (lattice up --acme-accept-terms); \
                           give a certificate of your own";
            return Err(refused(message.to_owned()).into());
        }
        if host.starts_with("*.") {
            let message = format!(
                "no certificate can be ordered for {host}: authorities prove such hosts by DNS \
                 only; give a certificate of your own, or order one for each host"
            );
            return Err(refused(message).into());
        }
        self.keep_host(Change::Enrol(host.clone())).await?;
        self.status_of(&host).await
    }

    async fn custom_domains(&self) -> Result<Vec<CustomDomainStatus>, BrainError> {
        let now = self.now().await?;
        let statuses = self.shelf.holdings().statuses(now).into_iter();
        Ok(statuses.map(|status| self.told(status)).collect())
    }

    async fn remove_custom_domain(&self, host: &str) -> Result<(), BrainError> {
        self.keep_host(Change::Forget(host.to_ascii_lowercase())).await
    }

    async fn events(&self, after: Option<EventId>) -> Result<EventStream, BrainError> {
        Ok(self.hub.subscribe(after))
    }
}
