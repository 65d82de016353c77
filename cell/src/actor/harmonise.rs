//! Harmonisation: what the brain holds about this cell, beside what the cell holds. The tables
//! decide; here the rows are found.

use std::sync::Arc;

use lattice_api::brain::{BrainError, CellView};
use lattice_model::{DesiredLrp, InstanceKey, LrpKey, TaskGuid, Time};

use super::{Message, Owner, Recording, Slot};
use crate::instance::harmony::Cure;
use crate::instance::{Input, State};
use crate::lifecycle::adoption::Record;
use crate::work::{Missing, Work, WorkId};

impl Owner {
    /// Compares, and cures what differs. `asked_at` is when the view was asked for: what happened
    /// here since then the view cannot know.
    pub(super) fn harmonise(&mut self, asked_at: Time, view: CellView) {
        for (_, lrp) in &view.lrps {
            if let Some(lrp) = lrp {
                self.on_lrp_changed(lrp);
            }
        }
        let cures: Vec<(WorkId, Cure)> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.is_settled(asked_at))
            .map(|(id, slot)| (id.clone(), slot.cure(&view)))
            .collect();
        for (id, cure) in cures {
            if cure != Cure::Wait {
                tracing::info!(work = %id, ?cure, "harmonising");
            }
            self.step(&id, Input::Cure(cure));
        }
        self.disown(asked_at, &view);
    }

    /// Takes over an LRP's new routes, for each of its instances that is announced.
    pub(super) fn on_lrp_changed(&mut self, new: &Arc<DesiredLrp>) {
        let changed: Vec<WorkId> = self
            .slots
            .iter_mut()
            .filter_map(|(id, slot)| slot.take_over(new).then(|| id.clone()))
            .collect();
        for id in changed {
            self.reannounce(&id);
            self.rewrite_record(&id);
        }
    }

    /// So that the process after this one announces the routes of today at once. What changes while
    /// it is being written is written after that, so that the last word is the newest.
    fn rewrite_record(&mut self, id: &WorkId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if slot.recording != Recording::Still {
            slot.recording = Recording::Outdated;
            return;
        }
        slot.recording = Recording::Current;
        let work = slot.work.clone();
        let dir = self.tools.config.instances_dir().join(work.container_id().as_str());
        let (inbox, id) = (self.inbox.clone(), id.clone());
        self.tasks.spawn("record", async move {
            let rewriting = tokio::task::spawn_blocking(move || Record::rewrite(&dir, work)).await;
            // One that is only being made has none yet; the next view mends that.
            if let Ok(Err(why)) = rewriting {
                tracing::debug!(%why, "an instance's record is not rewritten");
            }
            let _ = inbox.send(Message::Recorded(id)).await;
        });
    }

    pub(super) fn on_recorded(&mut self, id: &WorkId) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        if std::mem::replace(&mut slot.recording, Recording::Still) == Recording::Outdated {
            self.rewrite_record(id);
        }
    }

    /// Tells the brain of every record that names this cell for something that is not here.
    fn disown(&self, asked_at: Time, view: &CellView) {
        let is_here = |id: &WorkId| self.slots.contains_key(id);
        let times = (self.started, asked_at);
        for missing in Missing::of(view, &self.presence.cell_id, times, is_here) {
            match missing {
                Missing::Lrp(key, instance) => self.disown_lrp(key.clone(), instance.clone()),
                Missing::Task(guid) => self.disown_task(guid.clone()),
            }
        }
    }

    fn disown_lrp(&self, key: LrpKey, instance: InstanceKey) {
        tracing::info!(process = %key.process_guid, index = key.index, "record without container");
        let bbs = Arc::clone(&self.tools.seams.bbs);
        self.tell_aside(async move { bbs.remove_instance(&key, &instance).await });
    }

    fn disown_task(&self, guid: TaskGuid) {
        let cell_id = self.presence.cell_id.clone();
        tracing::info!(task = %guid, "task without container");
        let bbs = Arc::clone(&self.tools.seams.bbs);
        self.tell_aside(
            async move { bbs.complete_task(&guid, &cell_id, Missing::outcome()).await },
        );
    }

    fn tell_aside(&self, call: impl Future<Output = Result<(), BrainError>> + Send + 'static) {
        self.tasks.spawn("telling", async move {
            if let Err(error) = call.await {
                tracing::info!(%error, "the brain did not agree");
            }
        });
    }
}

// === impl Slot ===

impl Slot {
    /// True when a view that was asked for at `asked_at` says something about it.
    fn is_settled(&self, asked_at: Time) -> bool {
        self.tellings.is_empty() && !self.is_removing && self.instance.is_settled(asked_at)
    }

    fn cure(&self, view: &CellView) -> Cure {
        match self.work.cure(self.instance.container(), view) {
            Cure::Wait if self.is_reached_otherwise(view) => Cure::Start,
            cure => cure,
        }
    }

    /// True when the brain's record says of the running instance how it was reached before.
    fn is_reached_otherwise(&self, view: &CellView) -> bool {
        let (Work::Lrp { instance, .. }, State::Running { net }) =
            (&self.work, self.instance.state())
        else {
            return false;
        };
        let told =
            view.lrps.iter().map(|(row, _)| row).find(|row| row.instance() == Some(instance));
        told.and_then(|row| row.net()).is_some_and(|told| told != net)
    }

    /// Takes over a newer record of its LRP; true when it is newer.
    fn take_over(&mut self, new: &Arc<DesiredLrp>) -> bool {
        let Work::Lrp { lrp, .. } = &mut self.work else { return false };
        let (old_tag, new_tag) = (&lrp.modification_tag, &new.modification_tag);
        let is_newer = lrp.process_guid == new.process_guid
            && old_tag.epoch == new_tag.epoch
            && old_tag.index < new_tag.index;
        if is_newer {
            *lrp = Arc::clone(new);
        }
        is_newer
    }
}
