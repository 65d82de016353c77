//! Containers that could not be removed: each is tried again by itself, and people are told of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Message, Owner};
use crate::instance::Input;
use crate::lifecycle::removal::{self, Tried};
use crate::runtime::ContainerId;
use crate::work::WorkId;

impl Owner {
    pub(super) fn on_removed(&mut self, id: &WorkId, outcome: Result<(), String>) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.is_removing = false;
        let container = slot.work.container_id();
        let (is_whole, awaits_retry) = (outcome.is_ok(), slot.awaits_retry);
        slot.awaits_retry |= !is_whole;
        // Its resources stay reserved. The next try may be waited for already, where harmonising
        // has led to this one.
        if let Some(pause) = self.note(&container, outcome).filter(|_| !awaits_retry) {
            self.later(pause, Message::RemoveAgain(id.clone()));
        }
        self.step(id, Input::Removed { is_whole });
    }

    /// Nothing to do where something else has led to it meanwhile.
    pub(super) fn remove_again(&mut self, id: &WorkId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.awaits_retry = false;
        if slot.instance.is_completed() && !slot.instance.is_removed() {
            self.remove(id);
        }
    }

    /// Takes in what became of leftovers of an earlier process.
    pub(super) fn on_leftovers(&mut self, tried: Tried) {
        let mut stay = Vec::new();
        let mut soonest: Option<Duration> = None;
        for (id, outcome) in tried {
            if let Some(pause) = self.note(&id, outcome) {
                soonest = Some(soonest.map_or(pause, |known| known.min(pause)));
                stay.push(id);
            }
        }
        if let Some(pause) = soonest {
            self.later(pause, Message::LeftoversAgain(stay));
        }
    }

    pub(super) fn retry_leftovers(&mut self, left: Vec<ContainerId>) {
        let (tools, inbox) = (Arc::clone(&self.tools), self.inbox.clone());
        self.tasks.spawn("leftovers", async move {
            let tried = removal::remove_leftovers(&tools, left.into_iter().collect()).await;
            let _ = inbox.send(Message::LeftoversTried(tried)).await;
        });
    }

    /// Tells people what stays; returns when to try that again.
    fn note(&mut self, id: &ContainerId, outcome: Result<(), String>) -> Option<Duration> {
        let pause = match outcome {
            Ok(()) => {
                self.stuck.removed(id);
                None
            }
            Err(why) => {
                let pause = self.stuck.failed(id, &why);
                tracing::warn!(container = %id, %why, ?pause, "container stays; it is tried again");
                Some(pause)
            }
        };
        let warnings = self.stuck.warnings();
        self.condition.send_if_modified(|known| {
            let is_news = known.warnings != warnings;
            known.warnings = warnings;
            is_news
        });
        pause
    }

    /// The owner hears this after a pause.
    fn later(&self, pause: Duration, message: Message) {
        let (inbox, shutdown) = (self.inbox.clone(), self.tasks.shutdown().clone());
        self.tasks.spawn("removal pause", async move {
            let told = async {
                tokio::time::sleep(pause).await;
                let _ = inbox.send(message).await;
            };
            shutdown.run_until_cancelled(told).await;
        });
    }
}
