//! Makes the script's lines come true.

use std::time::Duration;

use lattice_brain::auction::Policy;
use lattice_brain::board::Command;
use lattice_brain::moves;
use lattice_model::cell::Draining;
use lattice_model::{DesiredLrpUpdate, LrpKey};

use super::{BEGINNING, World};
use crate::agenda::{Event, Weather};
use crate::brain::Surroundings;
use crate::ledger::About;
use crate::script::What;
use crate::work::{app_guid, task_guid};

/// A cell that leaves stops everything within that time.
const GOODBYE_MS_MAX: u64 = 15_000;

impl World {
    pub(super) fn plan_happening(&mut self, line: usize) {
        if let Some(happening) = self.script.happenings.get(line) {
            let time = BEGINNING + Duration::from_millis(happening.at_ms);
            self.agenda.at(time, Event::Happen(line));
        }
    }

    pub(super) fn happen(&mut self, line: usize) {
        let what = self.script.happenings[line].what.clone();
        if what.is_wish() {
            self.wish(what);
        } else {
            self.fault(what);
        }
        self.plan_happening(line + 1);
    }

    fn wish(&mut self, what: What) {
        match what {
            What::Domain { ttl_ms } => {
                let until = self.agenda.now + Duration::from_millis(ttl_ms);
                let until = (ttl_ms > 0).then_some(until);
                let domain = self.templates.domain().clone();
                self.ask(About::Other, Command::UpsertDomain(domain, until));
            }
            What::Desire { app, instances, memory_mb, restarts } => {
                let mut lrp = self.templates.lrp(app, instances, memory_mb);
                if !restarts {
                    lrp = self.templates.left_as_it_ended(lrp);
                }
                self.ask(About::Lrp(app_guid(app)), Command::DesireLrp(Box::new(lrp)));
            }
            What::Scale { app, instances } => {
                let update =
                    DesiredLrpUpdate { instances: Some(instances), ..DesiredLrpUpdate::default() };
                self.ask(About::Lrp(app_guid(app)), Command::UpdateLrp(app_guid(app), update));
            }
            What::Remove { app } => {
                self.ask(About::Lrp(app_guid(app)), Command::RemoveLrp(app_guid(app)));
            }
            What::Retire { app, index } => {
                self.ask(About::Other, Command::RetireLrp(app_guid(app), index));
            }
            What::Task { task, memory_mb, runs_ms, ends, has_owner } => {
                let mut definition = self.templates.task(task, memory_mb, runs_ms, ends);
                if has_owner {
                    definition.completion_callback_url = "http://owner/done".to_owned();
                }
                let desire = Command::DesireTask(Box::new(definition));
                self.ask(About::Task(task_guid(task)), desire);
            }
            What::Drain { cell, for_ms, at_once } => {
                if let Some(cell) = self.cell_number(cell) {
                    let cell_id = self.cells[cell].id().clone();
                    let draining = Draining { cell_id, max_in_flight: at_once };
                    self.ask(About::Other, Command::DrainCell(draining));
                    self.agenda.after_ms(for_ms, Event::Undrain(cell));
                }
            }
            What::Rebalance { moves } => {
                let survey = self.brain.board.survey();
                let count = usize::try_from(moves).unwrap_or(usize::MAX);
                let planned = moves::plan_rebalance(survey, &Policy::default(), count);
                let movable = planned.into_iter().map(|one| one.movable);
                let planned = movable.map(|one| (one.key, one.instance)).collect();
                self.ask(About::Other, Command::Rebalance(planned, moves));
            }
            What::Cancel { task } => {
                self.ask(About::Other, Command::CancelTask(task_guid(task)));
            }
            What::Crash { .. }
            | What::Weather { .. }
            | What::Cut { .. }
            | What::KillBrain { .. }
            | What::FailStore { .. }
            | What::KillCell { .. }
            | What::Leave { .. } => {}
        }
    }

    fn fault(&mut self, what: What) {
        let at = &mut Surroundings { agenda: &mut self.agenda, ledger: &mut self.ledger };
        at.ledger.has_faults |= !matches!(what, What::Crash { .. });
        match what {
            What::Crash { app, index } => {
                let domain = self.templates.domain().clone();
                let key = LrpKey { process_guid: app_guid(app), index, domain };
                self.cells.iter_mut().for_each(|cell| cell.crash(&key, at));
            }
            What::Weather { for_ms, lost, doubled, late, late_ms } => {
                let weather = Weather { lost, doubled, late, late_ms };
                let change = at.agenda.network.set_weather(weather);
                at.agenda.after_ms(for_ms, Event::WeatherEnds(change));
            }
            What::Cut { cell, for_ms, way } => {
                if let Some(cell) = self.cell_number(cell) {
                    let until = self.agenda.now + Duration::from_millis(for_ms);
                    self.agenda.network.cut(cell, way, until);
                }
            }
            What::KillBrain { for_ms, keeps_commit } => {
                if self.brain.is_up {
                    self.brain.kill(keeps_commit, at);
                    at.agenda.after_ms(for_ms, Event::BrainStarts);
                }
            }
            What::FailStore { commits } => self.brain.failures += commits,
            What::KillCell { cell, for_ms, keeps_containers } => {
                if let Some(cell) = self.cell_number(cell)
                    && self.cells[cell].is_up
                {
                    self.cells[cell].kill(keeps_containers);
                    self.agenda.after_ms(for_ms, Event::CellStarts(cell));
                }
            }
            What::Leave { cell, for_ms } => self.leave(cell, for_ms),
            What::Domain { .. }
            | What::Desire { .. }
            | What::Scale { .. }
            | What::Remove { .. }
            | What::Retire { .. }
            | What::Task { .. }
            | What::Drain { .. }
            | What::Rebalance { .. }
            | What::Cancel { .. } => {}
        }
    }

    pub(super) fn undrain(&mut self, cell: usize) {
        let cell_id = self.cells[cell].id().clone();
        self.ask(About::Other, Command::UndrainCell(cell_id));
    }

    fn leave(&mut self, cell: u64, for_ms: u64) {
        let Some(cell) = self.cell_number(cell).filter(|cell| self.cells[*cell].is_up) else {
            return;
        };
        let at = &mut Surroundings { agenda: &mut self.agenda, ledger: &mut self.ledger };
        self.cells[cell].leave(at);
        let departs = Event::CellDeparts(cell, self.cells[cell].life);
        self.agenda.after_ms((for_ms / 2).min(GOODBYE_MS_MAX), departs);
        self.agenda.after_ms(for_ms, Event::CellStarts(cell));
    }

    /// A line may name a cell that a shorter script does not have.
    fn cell_number(&self, cell: u64) -> Option<usize> {
        usize::try_from(cell).ok().filter(|cell| *cell < self.cells.len())
    }
}
