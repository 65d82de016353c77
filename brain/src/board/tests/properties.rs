//! What holds after any sequence of commands.

use std::collections::HashMap;

use lattice_model::DesiredLrpUpdate;
use lattice_model::actual_lrp::Evacuee;
use lattice_model::cell::Draining;
use lattice_model::task::TaskOutcome;
use proptest::prelude::*;

use super::*;
use crate::testing::task_definition;

#[derive(Debug, Clone)]
enum Step {
    Do(Command),
    Pass(u64),
    Reload,
}

fn guid() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["p", "q"][..])
}

fn cell() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["a", "b", "c"][..])
}

fn incarnation() -> impl Strategy<Value = (LrpKeyOf, InstanceKey)> {
    (guid(), 0..3_u32, 0..3_u32, cell())
        .prop_map(|(guid, index, n, cell)| (key(guid, index), instance(&format!("i{n}"), cell)))
}

type LrpKeyOf = lattice_model::LrpKey;

fn command() -> impl Strategy<Value = Command> {
    let lrps = prop_oneof![
        (guid(), 0..4_u32).prop_map(|(g, n)| Command::DesireLrp(Box::new(lrp(g, n, 10)))),
        (guid(), 0..4_u32).prop_map(|(g, n)| {
            let update = DesiredLrpUpdate { instances: Some(n), ..DesiredLrpUpdate::default() };
            Command::UpdateLrp(pg(g), update)
        }),
        guid().prop_map(|g| Command::RemoveLrp(pg(g))),
        (guid(), 0..3_u32).prop_map(|(g, n)| Command::RetireLrp(pg(g), n)),
        (guid(), 0..3_u32, any::<bool>()).prop_map(|(g, n, is_old)| {
            no_room(Item::Lrp(key(g, n)), if is_old { 0 } else { u64::MAX })
        }),
    ];
    let instances = prop_oneof![
        incarnation().prop_map(|(key, instance)| Command::ClaimLrp(key, instance)),
        incarnation().prop_map(|(key, instance)| Command::StartLrp(key, instance, net())),
        incarnation().prop_map(|(key, i)| Command::CrashLrp(key, i, "x".into())),
        incarnation().prop_map(|(key, instance)| Command::RemoveInstance(key, instance)),
        (incarnation(), evacuee()).prop_map(|((key, i), how)| Command::EvacuateLrp(key, i, how)),
    ];
    let t = || tg("t");
    let tasks = prop_oneof![
        Just(Command::DesireTask(Box::new(task_definition("t", 1)))),
        cell().prop_map(move |cell| Command::StartTask(t(), cell_id(cell))),
        cell().prop_map(move |cell| {
            Command::CompleteTask(t(), cell_id(cell), TaskOutcome::default())
        }),
        Just(Command::CancelTask(tg("t"))),
        cell().prop_map(move |cell| Command::RejectTask(tg("t"), cell_id(cell), "x".into())),
        Just(Command::ResolveTask(tg("t"))),
        Just(Command::DeleteTask(tg("t"))),
        Just(no_room(Item::Task(tg("t")), u64::MAX)),
    ];
    let others = prop_oneof![
        4 => cell().prop_map(|cell| Command::Heartbeat(Box::new(presence(cell, "z")))),
        1 => cell().prop_map(|cell| Command::Depart(cell_id(cell))),
        1 => Just(Command::Converge),
        1 => any::<bool>().prop_map(|fresh| {
            Command::UpsertDomain(domain(), (!fresh).then_some(Time(0)))
        }),
    ];
    prop_oneof![3 => lrps, 6 => instances, 2 => tasks, 4 => others, 2 => moves()]
}

fn evacuee() -> impl Strategy<Value = Evacuee> {
    prop_oneof![
        3 => Just(Evacuee::Running(net())),
        1 => Just(Evacuee::Starting),
        1 => Just(Evacuee::Stopped),
        1 => Just(Evacuee::Crashed("x".into())),
    ]
}

fn moves() -> impl Strategy<Value = Command> {
    let drain = |(cell, max_in_flight)| {
        Command::DrainCell(Draining { cell_id: cell_id(cell), max_in_flight })
    };
    prop_oneof![
        (cell(), 1..3_u32).prop_map(drain),
        cell().prop_map(|cell| Command::UndrainCell(cell_id(cell))),
        (prop::collection::vec(incarnation(), 0..4), 1..3_u32)
            .prop_map(|(moves, max)| Command::Rebalance(moves, max)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => command().prop_map(Step::Do),
        2 => (1..40_u64).prop_map(Step::Pass),
        1 => Just(Step::Reload),
    ]
}

/// The durable state, as a store would keep it.
#[derive(Default)]
struct Mirror {
    desired: HashMap<ProcessGuid, Arc<DesiredLrp>>,
    actual: HashMap<RowId, Arc<ActualLrp>>,
    tasks: HashMap<TaskGuid, Arc<Task>>,
    domains: HashMap<Domain, Option<Time>>,
    draining: BTreeMap<CellId, Draining>,
}

impl Mirror {
    fn commit(&mut self, writes: &[Write]) {
        for write in writes.iter().cloned() {
            match write {
                Write::PutDesired(lrp) => drop(self.desired.insert(lrp.process_guid.clone(), lrp)),
                Write::DeleteDesired(guid) => drop(self.desired.remove(&guid)),
                Write::PutActual(row) => drop(self.actual.insert(RowId::of(&row), row)),
                Write::DeleteActual(id) => drop(self.actual.remove(&id)),
                Write::PutTask(task) => {
                    drop(self.tasks.insert(task.definition.task_guid.clone(), task));
                }
                Write::DeleteTask(guid) => drop(self.tasks.remove(&guid)),
                Write::PutDomain(domain, until) => drop(self.domains.insert(domain, until)),
                Write::DeleteDomain(domain) => drop(self.domains.remove(&domain)),
                Write::PutDraining(d) => drop(self.draining.insert(d.cell_id.clone(), d)),
                Write::DeleteDraining(cell) => drop(self.draining.remove(&cell)),
                Write::PutCredentials(_)
                | Write::DeleteCredentials(_)
                | Write::PutCustomDomain(_)
                | Write::DeleteCustomDomain(_)
                | Write::PutEnrolment(_)
                | Write::DeleteEnrolment(_)
                | Write::PutAcmeAccount(_) => panic!("the board has no secrets"),
            }
        }
    }

    fn records(&self) -> Records {
        Records {
            desired: self.desired.values().map(|lrp| lrp.as_ref().clone()).collect(),
            actual: self.actual.values().map(|row| row.as_ref().clone()).collect(),
            tasks: self.tasks.values().map(|task| task.as_ref().clone()).collect(),
            domains: self.domains.clone().into_iter().collect(),
            draining: self.draining.values().cloned().collect(),
            ..Records::default()
        }
    }
}

/// The indexes say what the records say, and what is durable is what is live.
fn check(scene: &Scene, mirror: &Mirror) {
    let board = &scene.board;
    let mut rows_on: BTreeMap<CellId, BTreeSet<RowId>> = BTreeMap::new();
    let mut rows_total = 0;
    for row in board.rows() {
        rows_total += 1;
        let kept = &mirror.actual[&RowId::of(row)];
        assert_eq!(kept.as_ref(), row);
        if let Some(instance) = row.instance() {
            rows_on.entry(instance.cell_id.clone()).or_default().insert(RowId::of(row));
        }
        if row.presence != Presence::Ordinary {
            assert!(row.instance().is_some(), "only what a cell holds stands in: {row:?}");
        }
    }
    assert_eq!(mirror.actual.len(), rows_total);
    assert_eq!(board.rows_total, rows_total);
    assert_eq!(board.rows_on, rows_on);
    assert_eq!(mirror.desired.len(), board.desired_lrps(None).len());
    assert_eq!(mirror.tasks.len(), board.tasks.len());
    let draining: Vec<_> = board.draining().collect();
    assert_eq!(draining, mirror.draining.values().cloned().collect::<Vec<_>>());
    let wanted: usize = board.desired_lrps(None).iter().map(|lrp| lrp.instances as usize).sum();
    assert_eq!(board.instances_total, wanted);
    for (guid, index) in &board.waiting {
        let row = board.row(&RowId::ordinary(guid, *index));
        let is_unclaimed = |row: &Arc<ActualLrp>| row.state.name() == "UNCLAIMED";
        assert!(row.is_some_and(is_unclaimed), "only unclaimed ones wait: {guid}/{index}");
    }
    for guid in &board.waiting_tasks {
        assert!(board.is_pending(guid), "only pending ones wait: {guid}");
    }
    for lrp in board.desired_lrps(None) {
        for index in 0..lrp.instances {
            let place = RowId::ordinary(&lrp.process_guid, index);
            assert!(board.row(&place).is_some(), "every wanted index has a record: {place:?}");
        }
    }
}

/// A board that is read from the store is the live one.
fn check_replay(scene: &Scene, mirror: &Mirror) {
    let live = &scene.board;
    let loaded = Board::load(mirror.records(), Limits::default(), 1, scene.now);
    assert!(loaded.rows().eq(live.rows()));
    assert_eq!(loaded.desired_lrps(None), live.desired_lrps(None));
    assert_eq!(loaded.tasks(None), live.tasks(None));
    assert_eq!(loaded.domains, live.domains);
    assert_eq!(loaded.rows_on, live.rows_on);
    assert_eq!(loaded.tasks_on, live.tasks_on);
    assert!(loaded.draining().eq(live.draining()));
    assert_eq!(loaded.instances_total, live.instances_total);
    assert_eq!(loaded.rows_total, live.rows_total);
    assert!(loaded.processes.keys().eq(live.processes.keys()));
}

/// No incarnation has two records, and no index two of one presence.
fn check_once(scene: &Scene) {
    let mut incarnations = BTreeSet::new();
    for row in scene.board.rows() {
        if let Some(instance) = row.instance() {
            let is_first = incarnations.insert((row.key.clone(), instance.clone()));
            assert!(is_first, "{instance:?} has two records: {row:?}");
        }
    }
}

/// When cells do what they are told and nothing else happens, what is wanted is there and nothing
/// else.
fn settle(scene: &mut Scene) {
    scene.ok(Command::UpsertDomain(domain(), None));
    let drained: Vec<_> = scene.board.draining().collect();
    for Draining { cell_id, .. } in drained {
        scene.ok(Command::UndrainCell(cell_id));
    }
    let mut started = 0;
    for _ in 0..8 {
        scene.later(31);
        let mut effects = Vec::new();
        for cell in ["a", "b", "c", "d"] {
            effects.extend(scene.heartbeat(cell).effects);
        }
        for command in [Command::Expire, Command::Converge] {
            effects.extend(scene.ok(command).effects);
        }
        let claimed = |row: &&ActualLrp| row.net().is_none() && row.instance().is_some();
        for row in scene.board.rows().filter(claimed).cloned().collect::<Vec<_>>() {
            let instance = row.instance().unwrap().clone();
            let _ = scene.apply(Command::StartLrp(row.key, instance, net()));
        }
        // A refusal means that it has come about for another reason already.
        for effect in effects {
            match effect {
                Effect::StopInstance { key, instance } => {
                    let _ = scene.apply(Command::RemoveInstance(key, instance));
                }
                Effect::AuctionLrp { key, .. } => {
                    started += 1;
                    let new = instance(&format!("settled-{started}"), "d");
                    let _ = scene.apply(Command::StartLrp(key, new, net()));
                }
                Effect::AuctionTask { .. } | Effect::CancelTask { .. } | Effect::NotifyOwner(_) => {
                }
            }
        }
    }
    for row in scene.board.rows() {
        let lrp = scene.board.desired_lrp(&row.key.process_guid);
        assert!(lrp.is_ok_and(|lrp| row.key.index < lrp.instances), "not wanted: {row:?}");
        assert_eq!(row.presence, Presence::Ordinary, "{row:?}");
    }
    assert!(scene.board.retiring.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_board_stays_whole_and_durable_under_any_sequence_of_commands(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let now = Time::from_secs(1_000);
        let board = Board::load(Records::default(), Limits::default(), 3, now);
        let mut scene = Scene { board, now };
        let mut mirror = Mirror::default();
        for (n, step) in (10_u64..).zip(steps) {
            match step {
                Step::Do(command) => {
                    if let Ok(applied) = scene.apply(command) {
                        mirror.commit(&applied.writes);
                    }
                }
                Step::Pass(secs) => {
                    scene.later(secs);
                    let applied = scene.ok(Command::Expire);
                    mirror.commit(&applied.writes);
                }
                Step::Reload => {
                    let records = mirror.records();
                    scene.board = Board::load(records, Limits::default(), n, scene.now);
                }
            }
            check(&scene, &mirror);
            check_once(&scene);
            check_replay(&scene, &mirror);
        }
        settle(&mut scene);
    }
}
