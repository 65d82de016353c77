//! The owner task: it alone holds the instances, their reservations and routes. It never waits
//! for anything but its inbox; what takes time is done by tasks that report back.

mod effects;
mod harmonise;
mod removals;
pub(crate) mod sync;
mod telling;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lattice_api::brain::CellView;
use lattice_api::cell::{CellState, Refused};
use lattice_daemon::bus::Subscription;
use lattice_daemon::tasks::Tasks;
use lattice_model::{CellPresence, DesiredLrp, ProcessGuid, Time};
use tokio::sync::{mpsc, oneshot, watch};

use crate::cancel::Cancel;
use crate::instance::{Answer, Input, Instance, State, Telling};
use crate::inventory::Inventory;
use crate::lifecycle::adoption::Adopted;
use crate::lifecycle::removal::Tried;
use crate::lifecycle::{Report, Reports};
use crate::routes;
use crate::runtime::ContainerId;
use crate::ssh::wanted::WantedInstance;
use crate::stuck::Stuck;
use crate::tools::Tools;
use crate::work::{Order, Work, WorkId};

/// How many messages may wait for the owner; senders wait beyond that.
pub(crate) const INBOX_MAX: usize = 4_096;
/// How often every route is announced again.
const ROUTES_INTERVAL: Duration = Duration::from_secs(20);

/// What the owner is told and asked.
pub(crate) enum Message {
    /// Take work.
    Perform(Vec<Order>, oneshot::Sender<Vec<Refused>>),
    /// How do you stand? An error is what is wrong with the cell.
    State(oneshot::Sender<Result<CellState, String>>),
    /// The cell looked after itself; what was wrong, if anything.
    Checked(Option<String>),
    /// Which instance is this? `None` where it is not here, or has no container yet.
    Find(WantedInstance, oneshot::Sender<Option<Work>>),
    /// Which instances of this LRP have a container here?
    InstancesOf(ProcessGuid, oneshot::Sender<Vec<Work>>),
    /// End this in good order.
    Stop(WorkId),
    /// End everything, within this grace, and take nothing more.
    StopAll(Duration, oneshot::Sender<()>),
    /// A worker reports.
    Reported(WorkId, Report),
    /// The brain has answered.
    Told(WorkId, Telling, Answer),
    /// A container's removal has ended.
    Removed(WorkId, Result<(), String>),
    /// What the brain held about this cell at that time.
    Viewed(Time, CellView, oneshot::Sender<()>),
    /// An LRP is not what it was; its routes may have changed.
    LrpChanged(Arc<DesiredLrp>),
    /// An instance's record was rewritten, or could not be.
    Recorded(WorkId),
    /// It could not be removed a while ago; try again.
    RemoveAgain(WorkId),
    /// What became of leftovers.
    LeftoversTried(Tried),
    /// These could not be removed a while ago; try again.
    LeftoversAgain(Vec<ContainerId>),
}

/// What an earlier process has left.
pub(crate) struct Inherited {
    /// Instances that were taken over.
    pub(crate) adopted: Vec<Adopted>,
    /// What became of the rest.
    pub(crate) leftovers: Tried,
}

/// What a cell says of itself that changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// What is wrong with it; then it takes no new work.
    pub(crate) fault: Option<String>,
    /// What people should know.
    pub(crate) warnings: Vec<String>,
}

/// The owner.
pub(crate) struct Owner {
    tools: Arc<Tools>,
    tasks: Tasks,
    presence: CellPresence,
    started: Time,
    /// Handed to those who report back.
    inbox: mpsc::Sender<Message>,
    slots: BTreeMap<WorkId, Slot>,
    inventory: Inventory,
    routes: routes::Table<WorkId>,
    stuck: Stuck,
    condition: watch::Sender<Condition>,
    /// Set when all is to end; told when all has.
    ending: Option<Vec<oneshot::Sender<()>>>,
}

/// One piece of work.
struct Slot {
    work: Work,
    credentials: Vec<lattice_model::RegistryCredentials>,
    instance: Instance,
    cancel: Cancel,
    /// What is to be told to the brain, one after the other; the first is being told.
    tellings: VecDeque<Telling>,
    is_removing: bool,
    /// True while the next try at removing it is waited for.
    awaits_retry: bool,
    /// True when routers may still send requests that were on their way.
    needs_drain: bool,
    recording: Recording,
}

/// Whether what is known of an instance is being written beside its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recording {
    Still,
    /// It is, as it is known.
    Current,
    /// It is, and more is known since.
    Outdated,
}

/// A worker's way to the owner.
pub(crate) struct ToOwner {
    id: WorkId,
    inbox: mpsc::Sender<Message>,
}

impl Reports for ToOwner {
    async fn report(&self, report: Report) {
        // An owner that is gone needs no reports: the process ends.
        let _ = self.inbox.send(Message::Reported(self.id.clone(), report)).await;
    }
}

// === impl Owner ===

impl Owner {
    pub(crate) fn new(
        (tools, presence): (Arc<Tools>, CellPresence),
        tasks: Tasks,
        inbox: mpsc::Sender<Message>,
        condition: watch::Sender<Condition>,
    ) -> Self {
        Self {
            started: tools.now(),
            inventory: Inventory::new(presence.capacity),
            stuck: Stuck::new(tools.config.limits.removal_again_after),
            tools,
            tasks,
            presence,
            inbox,
            slots: BTreeMap::new(),
            routes: routes::Table::default(),
            condition,
            ending: None,
        }
    }

    /// Owns until shutdown, beginning with what there is.
    pub(crate) async fn run(
        mut self,
        inherited: Inherited,
        mut messages: mpsc::Receiver<Message>,
        mut router_starts: Subscription,
    ) {
        self.inherit(inherited);
        let shutdown = self.tasks.shutdown().clone();
        let first = tokio::time::Instant::now() + ROUTES_INTERVAL;
        let mut heartbeat = tokio::time::interval_at(first, ROUTES_INTERVAL);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(message) = messages.recv() => self.on(message),
                _ = heartbeat.tick() => self.announce_all(),
                Some(_) = router_starts.next() => self.announce_all(),
            }
        }
    }

    fn on(&mut self, message: Message) {
        match message {
            Message::Perform(orders, answer) => {
                let _ = answer.send(self.perform(orders));
            }
            Message::Checked(fault) => self.on_checked(fault),
            Message::State(answer) => {
                let _ = answer.send(self.state());
            }
            Message::Find(wanted, answer) => {
                let _ = answer.send(self.find(&wanted));
            }
            Message::InstancesOf(guid, answer) => {
                let _ = answer.send(self.instances_of(&guid));
            }
            Message::Stop(id) => self.step(&id, Input::StopAsked),
            Message::StopAll(grace, done) => self.stop_all(grace, done),
            Message::Reported(id, report) => self.step(&id, input(report)),
            Message::Told(id, telling, answer) => self.on_told(&id, telling, answer),
            Message::Removed(id, outcome) => self.on_removed(&id, outcome),
            Message::Viewed(asked_at, view, done) => {
                self.harmonise(asked_at, view);
                let _ = done.send(());
            }
            Message::LrpChanged(lrp) => self.on_lrp_changed(&lrp),
            Message::Recorded(id) => self.on_recorded(&id),
            Message::RemoveAgain(id) => self.remove_again(&id),
            Message::LeftoversTried(tried) => self.on_leftovers(tried),
            Message::LeftoversAgain(ids) => self.retry_leftovers(ids),
        }
        self.tell_when_all_ended();
    }

    /// What is ready is announced at once; whether it is still wanted the first view tells.
    fn inherit(&mut self, inherited: Inherited) {
        self.on_leftovers(inherited.leftovers);
        for Adopted { work, made, healthy } in inherited.adopted {
            let id = work.id();
            self.inventory.claim(&work.resources());
            let instance = Instance::adopted(work.kind(), healthy, self.tools.now());
            let order = Order { work, credentials: Vec::new() };
            let grace = self.tools.config.stop_grace;
            self.slots.insert(id.clone(), Slot::new(order, instance, grace));
            self.announce(&id);
            self.resume_work(&id, made);
        }
    }

    fn perform(&mut self, orders: Vec<Order>) -> Vec<Refused> {
        let mut refused = Vec::new();
        for order in orders {
            let item = order.work.item();
            if let Err(reason) = self.take(order) {
                tracing::info!(?item, %reason, "work refused");
                refused.push(Refused { item, reason });
            }
        }
        refused
    }

    fn take(&mut self, order: Order) -> Result<(), String> {
        let id = order.work.id();
        match self.slots.get(&id) {
            Some(slot) if slot.instance.is_completed() => {
                return Err(format!("an earlier try of {id} is still being removed"));
            }
            // The answer to the same order was lost; the work is here.
            Some(_) => return Ok(()),
            None => {}
        }
        if self.ending.is_some() {
            return Err(format!("cell {} is shutting down", self.presence.cell_id));
        }
        if let Some(fault) = &self.condition.borrow().fault {
            return Err(format!("cell {} is unhealthy: {fault}", self.presence.cell_id));
        }
        self.inventory.reserve(&order.work.resources())?;
        let grace = self.tools.config.stop_grace;
        let instance = Instance::reserved(order.work.kind(), self.tools.now());
        tracing::info!(work = %id, "work taken");
        self.slots.insert(id.clone(), Slot::new(order, instance, grace));
        self.step(&id, Input::Begin);
        Ok(())
    }

    fn state(&self) -> Result<CellState, String> {
        if let Some(fault) = &self.condition.borrow().fault {
            return Err(fault.clone());
        }
        let held = self.slots.values().map(|slot| (&slot.work, &slot.instance));
        Ok(self.inventory.state(self.presence.clone(), held, self.ending.is_some()))
    }

    /// What runs goes on in either case.
    fn on_checked(&mut self, fault: Option<String>) {
        let is_news = self.condition.send_if_modified(|known| {
            let is_other = known.fault != fault;
            known.fault.clone_from(&fault);
            is_other
        });
        match &fault {
            _ if !is_news => {}
            Some(why) => tracing::error!(%why, "this cell is unhealthy, and takes no new work"),
            None => tracing::info!("this cell is healthy again, and takes new work"),
        }
    }

    fn find(&self, wanted: &WantedInstance) -> Option<Work> {
        let is_wanted = |work: &&Work| match work {
            Work::Lrp { key, instance, .. } => wanted.is(key, instance),
            Work::Task(_) => false,
        };
        self.with_container().find(is_wanted).cloned()
    }

    fn instances_of(&self, guid: &ProcessGuid) -> Vec<Work> {
        let is_of = |work: &&Work| match work {
            Work::Lrp { key, .. } => key.process_guid == *guid,
            Work::Task(_) => false,
        };
        self.with_container().filter(is_of).cloned().collect()
    }

    fn with_container(&self) -> impl Iterator<Item = &Work> {
        let has_container =
            |slot: &&Slot| matches!(slot.instance.state(), State::Created | State::Running { .. });
        self.slots.values().filter(has_container).map(|slot| &slot.work)
    }

    fn stop_all(&mut self, grace: Duration, done: oneshot::Sender<()>) {
        self.ending.get_or_insert_default().push(done);
        let ids: Vec<WorkId> = self.slots.keys().cloned().collect();
        for id in ids {
            if let Some(slot) = self.slots.get(&id) {
                slot.cancel.set_grace(slot.cancel.grace().min(grace));
            }
            self.step(&id, Input::StopAsked);
        }
    }

    fn tell_when_all_ended(&mut self) {
        let is_over = |slot: &Slot| slot.instance.is_removed() && slot.tellings.is_empty();
        if self.slots.values().all(is_over) {
            for done in self.ending.iter_mut().flat_map(std::mem::take) {
                let _ = done.send(());
            }
        }
    }
}

// === impl Slot ===

impl Slot {
    /// With that grace, unless the work has one of its own.
    fn new(order: Order, instance: Instance, grace: Duration) -> Self {
        let grace = order.work.stop_grace().unwrap_or(grace);
        Self {
            work: order.work,
            credentials: order.credentials,
            instance,
            cancel: Cancel::new(grace),
            tellings: VecDeque::new(),
            is_removing: false,
            awaits_retry: false,
            needs_drain: false,
            recording: Recording::Still,
        }
    }
}

fn input(report: Report) -> Input {
    match report {
        Report::ContainerCreated => Input::ContainerCreated,
        Report::Healthy(net) => Input::Healthy(net),
        Report::Ready(is_ready) => Input::Ready(is_ready),
        Report::Ended(outcome) => Input::Ended(outcome),
    }
}
