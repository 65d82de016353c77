//! The board as its callers see it: commands in; records, events and effects out.

mod crashes;
mod desired;
mod evacuation;
mod lost_cells;
mod moves;
mod properties;
mod queue;
mod scenarios;
mod tasks;
mod transitions;

use lattice_model::actual_lrp::PlacementError;
use lattice_model::{ActualState, InstanceKey, NetInfo};

use super::*;
use crate::auction::Item;
use crate::testing::{cell_id, domain, instance, key, lrp, pg, presence, tg};

/// A board and its clock.
struct Scene {
    board: Board,
    now: Time,
}

impl Scene {
    /// A fresh domain, and these cells alive.
    fn new(cells: &[&str]) -> Self {
        let now = Time::from_secs(1_000);
        let board = Board::load(Records::default(), Limits::default(), 7, now);
        let mut scene = Self { board, now };
        scene.ok(Command::UpsertDomain(domain(), None));
        for cell in cells {
            scene.heartbeat(cell);
        }
        scene.ok(Command::Expire);
        scene
    }

    fn apply(&mut self, command: Command) -> Result<Applied, Refusal> {
        self.board.apply(command, self.now)
    }

    #[track_caller]
    fn ok(&mut self, command: Command) -> Applied {
        self.apply(command).unwrap()
    }

    #[track_caller]
    fn refused(&mut self, command: Command) -> String {
        let before = format!("{:?}", self.board);
        let refusal = self.apply(command).unwrap_err();
        assert_eq!(format!("{:?}", self.board), before, "a refusal changes nothing");
        refusal.to_string()
    }

    fn heartbeat(&mut self, cell: &str) -> Applied {
        self.ok(Command::Heartbeat(Box::new(presence(cell, "z"))))
    }

    fn later(&mut self, secs: u64) -> &mut Self {
        self.now = self.now + std::time::Duration::from_secs(secs);
        self
    }

    /// Time passes while these cells stay alive; what is due is done.
    fn pass(&mut self, secs: u64, alive: &[&str]) -> Applied {
        let mut out = Applied::default();
        for _ in 0..secs {
            self.later(1);
            for cell in alive {
                out.absorb(self.heartbeat(cell));
            }
            out.absorb(self.ok(Command::Expire));
        }
        out
    }

    fn desire(&mut self, guid: &str, instances: u32) -> Applied {
        self.ok(Command::DesireLrp(Box::new(lrp(guid, instances, 10))))
    }

    fn claim(&mut self, guid: &str, index: u32, ig: &str, cell: &str) {
        self.ok(Command::ClaimLrp(key(guid, index), instance(ig, cell)));
    }

    fn start(&mut self, guid: &str, index: u32, ig: &str, cell: &str) {
        self.ok(Command::StartLrp(key(guid, index), instance(ig, cell), net()));
    }

    fn crash(&mut self, guid: &str, index: u32, ig: &str, cell: &str) -> Applied {
        self.ok(Command::CrashLrp(key(guid, index), instance(ig, cell), "boom".into()))
    }

    /// The records of an LRP, each as `index presence STATE incarnation@cell`.
    fn rows(&self, guid: &str) -> Vec<String> {
        let rows = self.board.rows().filter(|row| row.key.process_guid == pg(guid));
        rows.map(shown).collect()
    }
}

fn net() -> NetInfo {
    NetInfo { address: "10.0.0.1".into(), ..NetInfo::default() }
}

fn shown(row: &ActualLrp) -> String {
    let presence = match row.presence {
        Presence::Ordinary => "",
        Presence::Evacuating => "evacuating ",
        Presence::Suspect => "suspect ",
    };
    let place = row
        .instance()
        .map(|InstanceKey { instance_guid, cell_id }| format!(" {instance_guid}@{cell_id}"));
    format!("{} {presence}{}{}", row.key.index, row.state.name(), place.unwrap_or_default())
}

/// Effects, shortened to what is done to whom.
fn effects(applied: &Applied) -> Vec<String> {
    let shown = |effect: &Effect| match effect {
        Effect::AuctionLrp { key, .. } => format!("auction {}/{}", key.process_guid, key.index),
        Effect::AuctionTask { task, .. } => format!("auction {}", task.definition.task_guid),
        Effect::StopInstance { instance, .. } => {
            format!("stop {}@{}", instance.instance_guid, instance.cell_id)
        }
        Effect::CancelTask { guid, cell_id } => format!("cancel {guid}@{cell_id}"),
        Effect::NotifyOwner(guid) => format!("notify {guid}"),
    };
    applied.effects.iter().map(shown).collect()
}

fn no_room(item: Item, round: u64) -> Command {
    let error = PlacementError {
        reason: "insufficient resources: memory".into(),
        detail: "needs 10 MB; largest free 5 MB on a; 1 cell compatible".into(),
    };
    Command::FailPlacement(FailedPlacement { item, error, is_impossible: false, round })
}

fn round_of(applied: &Applied) -> u64 {
    let mut rounds = applied.effects.iter().filter_map(|effect| match effect {
        Effect::AuctionLrp { round, .. } | Effect::AuctionTask { round, .. } => Some(*round),
        _ => None,
    });
    rounds.next_back().unwrap()
}
