//! Orders about desired LRPs, by people.

use std::sync::Arc;

use lattice_model::desired_lrp::{ANNOTATION_BYTES_MAX, ROUTES_BYTES_MAX};
use lattice_model::{
    DesiredLrp, DesiredLrpUpdate, ErrorName, Event, LrpKey, ModificationTag, ProcessGuid, Refusal,
    Routes,
};

use super::Board;
use super::command::{Applied, Write};

impl Board {
    pub(super) fn desire_lrp(
        &mut self,
        mut lrp: DesiredLrp,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let guid = lrp.process_guid.clone();
        if self.desired(&guid).is_some() {
            let message = format!("Desired LRP with guid '{guid}' already exists");
            return Err(Refusal::new(ErrorName::DesiredLRPAlreadyExists, message));
        }
        if lrp.containers.is_empty() {
            return Err(Refusal::new(ErrorName::InvalidLRP, "Invalid field: containers"));
        }
        let fields = DesiredLrpUpdate {
            instances: Some(lrp.instances),
            routes: Some(lrp.routes.clone()),
            annotation: Some(lrp.annotation.clone()),
        };
        self.check(&fields, ErrorName::InvalidLRP)?;
        self.check_room_for_lrp(lrp.instances)?;
        lrp.modification_tag = ModificationTag { epoch: self.tags.epoch(), index: 0 };
        self.instances_total += lrp.instances as usize;
        let lrp = Arc::new(lrp);
        self.processes.entry(guid).or_default().desired = Some(Arc::clone(&lrp));
        out.writes.push(Write::PutDesired(Arc::clone(&lrp)));
        out.events.push(Event::DesiredLrpCreated(Arc::clone(&lrp)));
        self.fill_indices(&lrp, 0..lrp.instances, out);
        Ok(())
    }

    pub(super) fn update_lrp(
        &mut self,
        guid: &ProcessGuid,
        update: DesiredLrpUpdate,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let before = Arc::clone(self.desired(guid).ok_or_else(|| no_such_lrp(guid))?);
        self.check(&update, ErrorName::UnknownError)?;
        let instances = update.instances.unwrap_or(before.instances);
        self.check_room_for_instances(instances.saturating_sub(before.instances))?;
        let mut after = before.as_ref().clone();
        after.instances = instances;
        after.routes = update.routes.unwrap_or(after.routes);
        after.annotation = update.annotation.unwrap_or(after.annotation);
        after.modification_tag = before.modification_tag.next();
        let after = Arc::new(after);
        self.instances_total += after.instances as usize;
        self.instances_total -= before.instances as usize;
        self.processes.entry(guid.clone()).or_default().desired = Some(Arc::clone(&after));
        out.writes.push(Write::PutDesired(Arc::clone(&after)));
        let (old, new) = (Arc::clone(&before), Arc::clone(&after));
        out.events.push(Event::DesiredLrpChanged { before: old, after: new });
        self.fill_indices(&after, before.instances..after.instances, out);
        for index in after.instances..before.instances {
            self.retire_index(guid, index, out);
        }
        Ok(())
    }

    pub(super) fn remove_lrp(
        &mut self,
        guid: &ProcessGuid,
        out: &mut Applied,
    ) -> Result<(), Refusal> {
        let process = self.processes.get_mut(guid).ok_or_else(|| no_such_lrp(guid))?;
        let lrp = process.desired.take().ok_or_else(|| no_such_lrp(guid))?;
        let indices = process.indices();
        self.instances_total -= lrp.instances as usize;
        out.writes.push(Write::DeleteDesired(guid.clone()));
        out.events.push(Event::DesiredLrpRemoved(lrp));
        for index in indices {
            self.retire_index(guid, index, out);
        }
        self.forget_if_empty(guid);
        Ok(())
    }

    fn fill_indices(&mut self, lrp: &DesiredLrp, indices: std::ops::Range<u32>, out: &mut Applied) {
        for index in indices {
            let key = LrpKey {
                process_guid: lrp.process_guid.clone(),
                index,
                domain: lrp.domain.clone(),
            };
            self.settle_index(&key, out);
        }
    }

    fn check(&self, fields: &DesiredLrpUpdate, name: ErrorName) -> Result<(), Refusal> {
        let invalid = |field: &str| Err(Refusal::new(name, format!("Invalid field: {field}")));
        if fields.instances.is_some_and(|n| n > self.limits.instances_per_lrp_max) {
            return invalid("instances");
        }
        if fields.annotation.as_ref().is_some_and(|text| text.len() > ANNOTATION_BYTES_MAX) {
            return invalid("annotation");
        }
        if fields.routes.as_ref().is_some_and(|routes| bytes_of(routes) > ROUTES_BYTES_MAX) {
            return invalid("routes");
        }
        Ok(())
    }

    fn check_room_for_lrp(&self, instances: u32) -> Result<(), Refusal> {
        let max = self.limits.desired_lrps_max;
        if self.processes.len() >= max {
            return Err(too_many(format!("there are {max} LRPs, which is the most")));
        }
        self.check_room_for_instances(instances)
    }

    fn check_room_for_instances(&self, more: u32) -> Result<(), Refusal> {
        let max = self.limits.instances_total_max;
        let total = self.instances_total + more as usize;
        if more > 0 && total > max {
            return Err(too_many(format!(
                "{more} more instances would make {total}; {max} are the most"
            )));
        }
        Ok(())
    }
}

pub(super) fn no_such_lrp(guid: &ProcessGuid) -> Refusal {
    let message = format!("Desired LRP with guid '{guid}' not found");
    Refusal::new(ErrorName::DesiredLRPNotFound, message)
}

pub(super) fn too_many(message: String) -> Refusal {
    Refusal::new(ErrorName::TooManyRequests, message)
}

fn bytes_of(routes: &Routes) -> usize {
    routes.0.values().map(|value| value.to_string().len()).sum()
}
