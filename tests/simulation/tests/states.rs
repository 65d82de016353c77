//! docs/states.md is what the code does: the tables are printed by asking the code, row by row.
//! `LATTICE_UPDATE_GOLDEN=1` writes the file anew.

use std::fmt::Write as _;
use std::path::Path;

use lattice_api::brain::bodies::{desired_lrp, parse_json, task};
use lattice_brain::auction::Item;
use lattice_brain::board::{Applied, Board, Command, Effect, FailedPlacement, Records};
use lattice_brain::config::Limits;
use lattice_model::actual_lrp::PlacementError;
use lattice_model::task::{TaskOutcome, TaskState};
use lattice_model::{
    ActualLrp, ActualState, CellId, Domain, InstanceGuid, InstanceKey, LrpKey, ModificationTag,
    NetInfo, Presence, ProcessGuid, Refusal, Task, TaskGuid, Time,
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
    let claimed = |instance: &InstanceKey| ActualState::Claimed { instance: instance.clone() };
    let running = |instance: &InstanceKey| ActualState::Running {
        instance: instance.clone(),
        net: NetInfo::default(),
    };
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
    let crash = || Command::CrashLrp(key.clone(), here.clone(), REASON.to_owned());
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
        let now = Time::from_secs(1_000);
        let records = Records {
            desired: vec![lrp()],
            actual: row.into_iter().collect(),
            tasks: task.into_iter().collect(),
            domains: vec![(domain(), None)],
            ..Records::default()
        };
        Self { board: Board::load(records, Limits::default(), 7, now), now }
    }

    fn apply(&mut self, command: Command) -> Result<Applied, Refusal> {
        self.board.apply(command, self.now)
    }
}

fn shown(applied: Result<Applied, Refusal>, after: Option<&'static str>) -> String {
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
