//! The owner does what an instance's state machine says.

use std::sync::Arc;
use std::time::Duration;

use super::telling::tell;
use super::{Message, Owner, ToOwner};
use crate::instance::{Answer, Effect, Input, Outcome, State, Telling};
use crate::lifecycle::{Lifecycle, Made, Report, Reports as _, removal};
use crate::logs::SOURCE_CELL;
use crate::routes::{self, Change};
use crate::work::{Order, Work, WorkId};

/// How long an instance goes on serving after its routes were withdrawn, for the requests that
/// were on their way.
const DRAIN: Duration = Duration::from_millis(100);

impl Owner {
    /// Gives an instance its input and does what follows.
    pub(super) fn step(&mut self, id: &WorkId, input: Input) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let before = state_name(slot.instance.state());
        let effects = slot.instance.on(input, self.tools.now());
        let after = state_name(slot.instance.state());
        if before != after {
            tracing::info!(work = %id, from = before, to = after, "state changed");
        }
        for effect in effects {
            self.apply(id, effect);
        }
    }

    fn apply(&mut self, id: &WorkId, effect: Effect) {
        match effect {
            Effect::Tell(telling) => self.queue(id, telling),
            Effect::Run => self.run_work(id),
            Effect::Announce => self.announce(id),
            Effect::Withdraw => self.withdraw(id),
            Effect::Stop => self.stop_work(id),
            Effect::Remove => self.remove(id),
            Effect::Release => {
                if let Some(slot) = self.slots.get(id) {
                    self.inventory.release(&slot.work.resources());
                }
            }
            Effect::Forget => {
                self.slots.remove(id);
            }
        }
    }

    fn run_work(&mut self, id: &WorkId) {
        if let Some(lifecycle) = self.lifecycle(id) {
            self.spawn_worker(id, lifecycle.run());
        }
    }

    /// Goes on with what an earlier process began.
    pub(super) fn resume_work(&mut self, id: &WorkId, made: Made) {
        if let Some(lifecycle) = self.lifecycle(id) {
            self.spawn_worker(id, lifecycle.resume(made));
        }
    }

    fn lifecycle(&mut self, id: &WorkId) -> Option<Lifecycle<ToOwner>> {
        let slot = self.slots.get_mut(id)?;
        let credentials = std::mem::take(&mut slot.credentials);
        Some(Lifecycle {
            order: Order { work: slot.work.clone(), credentials },
            tools: Arc::clone(&self.tools),
            cancel: slot.cancel.clone(),
            reports: ToOwner { id: id.clone(), inbox: self.inbox.clone() },
        })
    }

    fn spawn_worker(&self, id: &WorkId, work: impl Future<Output = ()> + Send + 'static) {
        let reports = ToOwner { id: id.clone(), inbox: self.inbox.clone() };
        let shutdown = self.tasks.shutdown().clone();
        self.tasks.spawn("instance", async move {
            let mut worker = tokio::spawn(work);
            let outcome = tokio::select! {
                outcome = &mut worker => outcome,
                () = shutdown.cancelled() => {
                    worker.abort();
                    return;
                }
            };
            if let Err(error) = outcome {
                tracing::error!(%error, "an instance's worker failed");
                let reason = "the cell failed while it ran this".to_owned();
                let outcome = Outcome::Failed { reason, is_retryable: false };
                reports.report(Report::Ended(outcome)).await;
            }
        });
    }

    /// Ends the work, after a pause in which the last requests are served.
    fn stop_work(&mut self, id: &WorkId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let cancel = slot.cancel.clone();
        if !std::mem::take(&mut slot.needs_drain) {
            cancel.cancel();
            return;
        }
        self.tasks.spawn("drain", async move {
            tokio::time::sleep(DRAIN).await;
            cancel.cancel();
        });
    }

    pub(super) fn remove(&mut self, id: &WorkId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if std::mem::replace(&mut slot.is_removing, true) {
            return;
        }
        let (container, count) = (slot.work.container_id(), slot.work.pod().containers.len());
        let (tools, inbox, id) = (Arc::clone(&self.tools), self.inbox.clone(), id.clone());
        self.tasks.spawn("removal", async move {
            let outcome = removal::remove(&tools, &container, count).await;
            let _ = inbox.send(Message::Removed(id, outcome)).await;
        });
    }

    /// Queues something to tell the brain; calls about one instance never overtake each other.
    fn queue(&mut self, id: &WorkId, telling: Telling) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.tellings.contains(&telling) {
            return;
        }
        slot.tellings.push_back(telling);
        if slot.tellings.len() == 1 {
            self.tell_next(id);
        }
    }

    fn tell_next(&mut self, id: &WorkId) {
        let Some(slot) = self.slots.get(id) else { return };
        let Some(telling) = slot.tellings.front().cloned() else { return };
        let (tools, work) = (Arc::clone(&self.tools), slot.work.clone());
        let (inbox, id) = (self.inbox.clone(), id.clone());
        self.tasks.spawn("telling", async move {
            let answer = tell(&tools, &work, &telling).await;
            let _ = inbox.send(Message::Told(id, telling, answer)).await;
        });
    }

    pub(super) fn on_told(&mut self, id: &WorkId, telling: Telling, answer: Answer) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.tellings.pop_front();
        }
        self.tell_next(id);
        self.step(id, Input::Told(telling, answer));
    }

    pub(super) fn announce(&mut self, id: &WorkId) {
        let Some(slot) = self.slots.get(id) else { return };
        let (Work::Lrp { key, instance, lrp }, State::Running { net }) =
            (&slot.work, slot.instance.state())
        else {
            return;
        };
        if net.unready {
            return;
        }
        for fault in lrp.routes.faults() {
            let log = self.tools.log_of(&slot.work).as_source(SOURCE_CELL);
            log.err(&format!("a route leads nowhere: {fault}; `ltc update` sets routes anew"));
        }
        let announce = self.tools.config.announce;
        let guid = instance.instance_guid.as_str();
        let wanted = routes::registrations(lrp, key, guid, net, announce);
        let changes = self.routes.announce(id, wanted);
        self.publish(&changes);
    }

    /// Announces anew what is announced already, after its LRP changed.
    pub(super) fn reannounce(&mut self, id: &WorkId) {
        if self.routes.has(id) {
            self.announce(id);
        }
    }

    fn withdraw(&mut self, id: &WorkId) {
        let changes = self.routes.withdraw(id);
        if let Some(slot) = self.slots.get_mut(id) {
            slot.needs_drain |= !changes.is_empty();
        }
        self.publish(&changes);
    }

    pub(super) fn announce_all(&self) {
        let all: Vec<Change> = self.routes.all().cloned().map(Change::Register).collect();
        self.publish(&all);
    }

    fn publish(&self, changes: &[Change]) {
        for change in changes {
            let (subject, json) = change.message();
            self.tools.seams.bus.publish(subject, &json);
        }
    }
}

const fn state_name(state: &State) -> &'static str {
    match state {
        State::Reserved => "reserved",
        State::Initializing => "initializing",
        State::Created => "created",
        State::Running { .. } => "running",
        State::Completed { .. } => "completed",
    }
}
