//! docs/states.md is what the code does: the tables are printed by asking the code, row by row.
//! `LATTICE_UPDATE_GOLDEN=1` writes the file anew.

use std::fmt::Write as _;
use std::path::Path;

use lattice_api::brain::bodies::{desired_lrp, parse_json, task};
use lattice_brain::auction::Item;
use lattice_brain::board::{Answer, Applied, Board, Command, Effect, FailedPlacement, Records};
use lattice_brain::config::Limits;
use lattice_model::actual_lrp::{Evacuee, PlacementError};
use lattice_model::cell::{CellLabels, RootfsProviders};
use lattice_model::task::{TaskOutcome, TaskState};
use lattice_model::{
    ActualLrp, ActualState, CellId, CellPresence, Domain, InstanceGuid, InstanceKey, LrpKey,
    ModificationTag, NetInfo, Presence, ProcessGuid, Refusal, Resources, Task, TaskGuid, Time,
};

const INTRODUCTION: &str = "\
# States

Printed from the code by tests/simulation/tests/states.rs, which fails when this file and the code
differ; `LATTICE_UPDATE_GOLDEN=1 cargo nextest run -p lattice-simulation` writes it anew.

## The brain's records

What becomes of a record (row) when somebody says something of it (column). `-` is agreement without
a change, *refused* an answer that changes nothing, *gone* the end of the record; what follows a
semicolon is done elsewhere, after the change is durable. The wish is still there and wants the
instance; a task has an owner who wants to be told.
";

const SUSPECT: &str = "
### Instances whose cell is lost

A suspect record is of an instance whose cell is not heard of; an ordinary one stands beside it (row)
for its replacement. Shown is what becomes of both, the suspect behind the `+`.

";

const EVACUATION: &str = "
### Instances whose cell is being emptied

An evacuating record is of an instance that stays up while its replacement (row, and the evacuating
record beside it) is placed and started. The cell says in which state the instance is (column), and
is told whether to keep it up. An instance on a cell that is drained is treated as a healthy one.

";

const REASON: &str = "boom";

/// A record that stands somewhere, and what comes of it.
struct Scene {
    board: Board,
    now: Time,
}

#[test]
fn the_page_about_states_is_what_the_code_does() {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n### Instances of LRPs\n\n");
    instances(&mut page);
    page.push_str(SUSPECT);
    beside_a_suspect(&mut page);
    page.push_str(EVACUATION);
    evacuation(&mut page);
    page.push_str("\n### Tasks\n\n");
    tasks(&mut page);
    page.push_str(
        "\n## The cell's harmonisation\n\nWhat a cell does about what it holds (row), given the \
         brain's record (column). A view names only\nthe records of this cell: what it does not \
         name is unseen, and never thrown away for that.\n\n",
    );
    page.push_str(&lattice_cell::states_markdown());
    // Asked for when the test runs: clones that share a target directory share this program.
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo tells tests their folder");
    let path = Path::new(&folder).join("../../docs/states.md");
    if std::env::var_os("LATTICE_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/states.md is not what the code does; it would be\n\n{page}");
}

fn instances(page: &mut String) {
    let (here, elsewhere) = (instance("here"), instance("elsewhere"));
    let rows = [
        ("none", None, 0),
        ("UNCLAIMED", Some(ActualState::Unclaimed { placement_error: None }), 0),
        ("CLAIMED by it", Some(claimed(&here)), 0),
        ("CLAIMED by another", Some(claimed(&elsewhere)), 0),
        ("RUNNING, it", Some(running(&here)), 0),
        ("RUNNING, another", Some(running(&elsewhere)), 0),
        ("CRASHED", Some(ActualState::Crashed { reason: REASON.to_owned() }), 3),
        ("EXITED", Some(ActualState::Exited { reason: REASON.to_owned() }), 1),
    ];
    let key = key();
    let crash = || Command::CrashLrp(key.clone(), here.clone(), REASON.into());
    let columns = [
        ("claims", 0, Command::ClaimLrp(key.clone(), here.clone())),
        ("starts", 0, Command::StartLrp(key.clone(), here.clone(), NetInfo::default())),
        ("crashes", 0, crash()),
        ("crashes the 3rd time", 2, crash()),
        ("was stopped", 0, Command::RemoveInstance(key.clone(), here.clone())),
        ("no cell has room", 0, no_room(Item::Lrp(key.clone()))),
        ("is retired", 0, Command::RetireLrp(guid(), 0)),
    ];
    head(page, "record \\ the instance", columns.iter().map(|(name, ..)| *name));
    for (name, state, crash_count) in rows {
        let cells = columns.iter().map(|(_, crashes, command)| {
            let row = state.clone().map(|state| record(state, crash_count.max(*crashes)));
            let mut scene = Scene::new(row, None);
            let applied = scene.apply(command.clone());
            let after = scene.board.actual_lrps_of(&guid());
            shown(applied, after.first().map(|row| row.state.name()))
        });
        line(page, name, cells);
    }
}

fn beside_a_suspect(page: &mut String) {
    let (back, other) = (instance("back"), instance("other"));
    let suspect = || ActualLrp { presence: Presence::Suspect, ..record(running(&back), 0) };
    let rows = [
        ("none", None),
        ("UNCLAIMED", Some(ActualState::Unclaimed { placement_error: None })),
        ("CLAIMED", Some(claimed(&other))),
        ("RUNNING", Some(running(&other))),
        ("CRASHED", Some(ActualState::Crashed { reason: REASON.to_owned() })),
    ];
    let key = key();
    let columns = [
        ("its cell reports", heartbeat("back")),
        ("it starts", Command::StartLrp(key.clone(), back.clone(), NetInfo::default())),
        ("it crashes", Command::CrashLrp(key.clone(), back.clone(), REASON.into())),
        ("it was stopped", Command::RemoveInstance(key.clone(), back.clone())),
        ("the other starts", Command::StartLrp(key.clone(), other.clone(), NetInfo::default())),
        ("the other crashes", Command::CrashLrp(key, other.clone(), REASON.into())),
        ("the other's cell is lost", Command::Depart(other.cell_id.clone())),
    ];
    head(page, "replacement \\ the suspect", columns.iter().map(|(name, _)| *name));
    for (name, state) in rows {
        let cells = columns.iter().map(|(_, command)| {
            let records = state.clone().map(|state| record(state, 3)).into_iter();
            let mut scene = Scene::with(records.chain([suspect()]).collect());
            scene.apply(heartbeat("other")).expect("cells may report");
            let applied = scene.apply(command.clone());
            let after = scene.both(Presence::Suspect);
            shown(applied, Some(&after))
        });
        line(page, name, cells);
    }
}

fn evacuation(page: &mut String) {
    let (here, elsewhere) = (instance("here"), instance("elsewhere"));
    let unclaimed = |is_failed: bool| {
        let error = || PlacementError { reason: REASON.to_owned(), detail: String::new() };
        Some(ActualState::Unclaimed { placement_error: is_failed.then(error) })
    };
    let rows = [
        ("UNCLAIMED", unclaimed(false)),
        ("UNCLAIMED with an error", unclaimed(true)),
        ("CLAIMED here", Some(claimed(&here))),
        ("RUNNING here", Some(running(&here))),
        ("CLAIMED elsewhere", Some(claimed(&elsewhere))),
        ("RUNNING elsewhere", Some(running(&elsewhere))),
        ("CRASHED", Some(ActualState::Crashed { reason: REASON.to_owned() })),
        ("none", None),
    ];
    let columns = [
        ("not healthy yet", Evacuee::Starting),
        ("healthy", Evacuee::Running(NetInfo::default())),
        ("stopped", Evacuee::Stopped),
        ("crashed", Evacuee::Crashed(REASON.into())),
    ];
    let evacuating = [("none", None), ("of this", Some(&here)), ("of another", Some(&elsewhere))];
    head(page, "replacement, evacuating \\ the instance", columns.iter().map(|(name, _)| *name));
    for (name, state) in &rows {
        for (beside, other) in evacuating {
            let cells = columns.iter().map(|(_, evacuee)| {
                let moving = other.map(|instance| ActualLrp {
                    presence: Presence::Evacuating,
                    ..record(running(instance), 0)
                });
                let ordinary = state.clone().map(|state| record(state, 0));
                let mut scene = Scene::with(ordinary.into_iter().chain(moving).collect());
                let command = Command::EvacuateLrp(key(), here.clone(), evacuee.clone());
                let applied = scene.apply(command).expect("it is not refused");
                let is_kept = applied.answer == Answer::Keep(true);
                let after = scene.both(Presence::Evacuating);
                format!(
                    "{}{}",
                    shown(Ok(applied), Some(&after)),
                    if is_kept { "; keep" } else { "" }
                )
            });
            line(page, &format!("{name}, {beside}"), cells);
        }
    }
}

fn claimed(instance: &InstanceKey) -> ActualState {
    ActualState::Claimed { instance: instance.clone() }
}

fn running(instance: &InstanceKey) -> ActualState {
    ActualState::Running { instance: instance.clone(), net: NetInfo::default() }
}

fn heartbeat(cell: &str) -> Command {
    Command::Heartbeat(Box::new(CellPresence {
        cell_id: cell_id(cell),
        rep_url: String::new(),
        zone: "z".to_owned(),
        capacity: Resources { memory_mb: 1, disk_mb: 1, containers: 1 },
        rootfs_providers: RootfsProviders::default(),
        placement_tags: Vec::new(),
        optional_placement_tags: Vec::new(),
        volume_drivers: Vec::new(),
        labels: CellLabels::default(),
        fault: String::new(),
        warnings: Vec::new(),
    }))
}

fn tasks(page: &mut String) {
    let outcome = || TaskOutcome { result: "42".to_owned(), ..TaskOutcome::default() };
    let running = |cell: &str| Some(TaskState::Running { cell_id: cell_id(cell) });
    let rows = [
        ("none", None),
        ("PENDING", Some(TaskState::Pending)),
        ("RUNNING here", running("here")),
        ("RUNNING elsewhere", running("elsewhere")),
        ("COMPLETED", Some(TaskState::Completed(outcome()))),
        ("RESOLVING", Some(TaskState::Resolving(outcome()))),
    ];
    let (guid, here) = (task_guid(), cell_id("here"));
    let columns = [
        ("may it start here?", Command::StartTask(guid.clone(), here.clone())),
        ("it ended here", Command::CompleteTask(guid.clone(), here.clone(), outcome())),
        ("it is rejected here", Command::RejectTask(guid.clone(), here, REASON.to_owned())),
        ("no cell has room", no_room(Item::Task(guid.clone()))),
        ("is cancelled", Command::CancelTask(guid.clone())),
        ("its owner is being told", Command::ResolveTask(guid.clone())),
        ("is deleted", Command::DeleteTask(guid.clone())),
    ];
    head(page, "record \\ the task", columns.iter().map(|(name, _)| *name));
    for (name, state) in rows {
        let cells = columns.iter().map(|(_, command)| {
            let mut scene = Scene::new(None, state.clone().map(task_record));
            let applied = scene.apply(command.clone());
            shown(applied, scene.board.task(&guid).ok().map(|task| task.state.name()))
        });
        line(page, name, cells);
    }
}

// === impl Scene ===

impl Scene {
    fn new(row: Option<ActualLrp>, task: Option<Task>) -> Self {
        Self::on(row.into_iter().collect(), task.into_iter().collect())
    }

    fn with(rows: Vec<ActualLrp>) -> Self {
        Self::on(rows, Vec::new())
    }

    fn on(actual: Vec<ActualLrp>, tasks: Vec<Task>) -> Self {
        let now = Time::from_secs(1_000);
        let records = Records {
            desired: vec![lrp()],
            actual,
            tasks,
            domains: vec![(domain(), None)],
            ..Records::default()
        };
        Self { board: Board::load(records, Limits::default(), 7, now), now }
    }

    /// The state of the ordinary record and, where there is one, of the other.
    fn both(&self, presence: Presence) -> String {
        let of = |presence| self.board.rows().find(|row| row.presence == presence);
        let name = |row: &ActualLrp| match row.instance() {
            Some(instance) => format!("{} {}", row.state.name(), instance.cell_id),
            None => row.state.name().to_owned(),
        };
        let ordinary = of(Presence::Ordinary).map_or("none".to_owned(), name);
        match of(presence) {
            Some(row) => format!("{ordinary} + {}", name(row)),
            None => ordinary,
        }
    }

    fn apply(&mut self, command: Command) -> Result<Applied, Refusal> {
        self.board.apply(command, self.now)
    }
}

fn shown(applied: Result<Applied, Refusal>, after: Option<&str>) -> String {
    let applied = match applied {
        Ok(applied) => applied,
        Err(refusal) => return format!("*refused: {:?}*", refusal.name),
    };
    let state = match after {
        _ if applied.writes.is_empty() => "-",
        None => "*gone*",
        Some(state) => state,
    };
    let effects = applied.effects.iter().map(|effect| match effect {
        Effect::AuctionLrp { .. } | Effect::AuctionTask { .. } => "auction",
        Effect::StopInstance { .. } => "stop it",
        Effect::CancelTask { .. } => "cancel it",
        Effect::NotifyOwner(_) => "tell its owner",
    });
    std::iter::once(state).chain(effects).collect::<Vec<_>>().join("; ")
}

fn head<'a>(page: &mut String, corner: &str, names: impl Iterator<Item = &'a str>) {
    let names: Vec<_> = names.collect();
    let _ = writeln!(page, "| {corner} | {} |", names.join(" | "));
    let _ = writeln!(page, "|---|{}", "---|".repeat(names.len()));
}

fn line(page: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let _ = writeln!(page, "| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
}

fn lrp() -> lattice_model::DesiredLrp {
    let json = br#"{"process_guid": "web", "domain": "lattice", "instances": 1,
        "rootfs": "docker:///web", "action": {"run": {"path": "/web", "user": "root"}}}"#;
    desired_lrp::parse_create(&parse_json(json).expect("it is JSON")).expect("it is valid")
}

fn record(state: ActualState, crash_count: u32) -> ActualLrp {
    ActualLrp {
        key: key(),
        presence: Presence::Ordinary,
        state,
        since: Time::from_secs(990),
        crash_count,
        crash_reason: String::new(),
        modification_tag: ModificationTag::default(),
    }
}

fn task_record(state: TaskState) -> Task {
    let json = br#"{"task_guid": "job", "domain": "lattice", "rootfs": "docker:///job",
        "action": {"run": {"path": "/job", "user": "root"}},
        "completion_callback_url": "http://owner/done"}"#;
    Task {
        definition: task::parse_create(&parse_json(json).expect("it is JSON"))
            .expect("it is valid"),
        state,
        created_at: Time::from_secs(990),
        updated_at: Time::from_secs(990),
        rejections: 0,
        rejection_reason: String::new(),
        placement_detail: String::new(),
    }
}

fn no_room(item: Item) -> Command {
    let reason = "insufficient resources: memory".to_owned();
    let error = PlacementError { reason, detail: String::new() };
    let round = u64::MAX;
    Command::FailPlacement(FailedPlacement { item, error, is_impossible: false, round })
}

fn instance(cell: &str) -> InstanceKey {
    InstanceKey {
        instance_guid: InstanceGuid::new(cell).expect("it is valid"),
        cell_id: cell_id(cell),
    }
}

fn key() -> LrpKey {
    LrpKey { process_guid: guid(), index: 0, domain: domain() }
}

fn guid() -> ProcessGuid {
    ProcessGuid::new("web").expect("it is valid")
}

fn task_guid() -> TaskGuid {
    TaskGuid::new("job").expect("it is valid")
}

fn cell_id(name: &str) -> CellId {
    CellId::new(name).expect("it is valid")
}

fn domain() -> Domain {
    Domain::new("lattice").expect("it is valid")
}
