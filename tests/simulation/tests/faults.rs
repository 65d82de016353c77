//! Cells come and go, apps crash, owners ask for other things: in the end all is as desired.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture is a failed test")]

use std::time::Duration;

use lattice_brain::board::Command;
use lattice_model::action::Run;
use lattice_model::desired_lrp::{ContainerLimits, LogTarget, RestartPolicy};
use lattice_model::{
    Action, ContainerSpec, DesiredLrp, DesiredLrpUpdate, Domain, Limit, ModificationTag,
    ProcessGuid, Resources, Routes,
};
use lattice_simulation::{Dice, SimulatedCell, World};

const CELLS: u64 = 5;
const APPS: u64 = 8;
const SEEDS: u64 = 200;

#[test]
fn after_any_faults_the_cluster_is_as_desired() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let mut world = cluster(seed);
        for _ in 0..40 {
            trouble(&mut world, &mut dice);
            world.run_for(Duration::from_millis(100 * dice.below(200)));
        }
        for cell in 0..world.cells.len() {
            world.reconnect(cell);
        }
        // The longest back-off that so few crashes can earn has passed by then.
        world.run_for(Duration::from_secs(3600));
        assert_eq!(world.differences(), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn a_lost_cell_is_replaced_as_soon_as_its_presence_ends() {
    let mut world = cluster(1);
    world.apply(Command::DesireLrp(Box::new(lrp(0, 5)))).unwrap();
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.differences(), Vec::<String>::new());
    world.cells[0].is_reachable = false;
    world.run_for(Duration::from_secs(12));
    assert!(!world.differences().is_empty(), "one of five is out of reach");
    world.run_for(Duration::from_secs(7));
    let rows: Vec<_> = world.board.actual_lrps_of(&guid(0));
    assert!(rows.iter().all(|row| row.state.name() == "RUNNING"), "{rows:?}");
}

#[test]
fn the_same_seed_makes_the_same_history() {
    let history = || {
        let (mut dice, mut world) = (Dice::new(7), cluster(7));
        for _ in 0..60 {
            trouble(&mut world, &mut dice);
            world.run_for(Duration::from_millis(700));
        }
        format!("{:?}", world.board.rows().collect::<Vec<_>>())
    };
    assert_eq!(history(), history());
}

/// One thing that may happen to a cluster.
fn trouble(world: &mut World, dice: &mut Dice) {
    let app = dice.below(APPS);
    let cell = usize::try_from(dice.below(CELLS)).unwrap();
    let instances = u32::try_from(dice.below(6)).unwrap();
    match dice.below(7) {
        // A refusal (it exists, it does not) is a fine answer here.
        0 | 1 => drop(world.apply(Command::DesireLrp(Box::new(lrp(app, instances))))),
        2 => {
            let update =
                DesiredLrpUpdate { instances: Some(instances), ..DesiredLrpUpdate::default() };
            let _ = world.apply(Command::UpdateLrp(guid(app), update));
        }
        3 => drop(world.apply(Command::RemoveLrp(guid(app)))),
        4 => world.cells[cell].is_reachable = false,
        5 => world.reconnect(cell),
        _ => drop(world.crash(cell, usize::try_from(dice.below(4)).unwrap())),
    }
}

fn cluster(seed: u64) -> World {
    let capacity = Resources { memory_mb: 4096, disk_mb: 10_000, containers: 50 };
    let cell = |n| SimulatedCell::new(&format!("cell-{n}"), &format!("z{}", n % 2), capacity);
    let mut world = World::new(seed, (0..CELLS).map(cell).collect());
    world.apply(Command::UpsertDomain(Domain::new("d").unwrap(), None)).unwrap();
    world
}

fn guid(app: u64) -> ProcessGuid {
    ProcessGuid::new(format!("app-{app}")).unwrap()
}

fn lrp(app: u64, instances: u32) -> DesiredLrp {
    let main = ContainerSpec {
        name: "main".to_owned(),
        rootfs: "docker:///x".to_owned(),
        env: Vec::new(),
        setup: None,
        action: Action::Run(Run { path: "/x".to_owned(), ..Run::default() }),
        monitor: None,
        limits: ContainerLimits { memory_mb: Limit::AtMost(128), ..ContainerLimits::default() },
        ports: vec![8080],
        privileged: false,
    };
    DesiredLrp {
        process_guid: guid(app),
        app: format!("app-{app}"),
        domain: Domain::new("d").unwrap(),
        instances,
        containers: vec![main],
        restart_policy: RestartPolicy::Always,
        start_timeout_s: 0,
        routes: Routes::default(),
        log: LogTarget::default(),
        annotation: String::new(),
        placement_tags: Vec::new(),
        volume_drivers: Vec::new(),
        placement: lattice_model::Placement::default(),
        egress_rules: Vec::new(),
        modification_tag: ModificationTag::default(),
    }
}
