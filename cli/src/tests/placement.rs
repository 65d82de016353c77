//! Which cells are asked for, and what the auction makes of it.

use lattice_api::brain::Explanation;
use lattice_api::brain::explanation::{CellOpinion, Filters, Scores};
use lattice_model::{CellId, ProcessGuid, Resources, Strategy};

use super::fakes::{Machine, metadata};

fn machine() -> Machine {
    let machine = Machine::targeted();
    machine.state().images.insert("docker.io/me/app:latest".to_owned(), Ok(metadata()));
    machine
}

#[tokio::test]
async fn create_takes_a_strategy_constraints_and_affinities() {
    let machine = machine();
    let line = "create web me/app --strategy binpack --constraint disk==ssd \
                --constraint rack!=r1 --affinity 80:zone==a --affinity os==linux";
    machine.ltc(line).await.succeeds();
    let placement = machine.state().desired["web"].placement.clone();
    assert_eq!(placement.strategy, Some(Strategy::Binpack));
    let constraints: Vec<String> = placement.constraints.iter().map(ToString::to_string).collect();
    assert_eq!(constraints, ["disk==ssd", "rack!=r1"]);
    let weights: Vec<u8> = placement.affinities.iter().map(|affinity| affinity.weight).collect();
    assert_eq!(weights, [80, 50]);
}

#[tokio::test]
async fn create_refuses_rules_that_could_not_be_used() {
    let machine = machine();
    for (flags, why) in [
        ("--strategy pack", "spread, binpack or random"),
        ("--constraint disk=ssd", "write LABEL==VALUE"),
        ("--constraint ==ssd", "a label is letters"),
        ("--affinity 101:a==b", "not within 1 to 100"),
    ] {
        let ran = machine.ltc(&format!("create web me/app {flags}")).await;
        ran.fails(13, &[why]);
    }
    assert!(machine.state().desired.is_empty());
}

fn cell(id: &str, is_roomy: bool) -> CellOpinion {
    let score = Scores {
        total: 1_000.5,
        same_app: 1_000.0,
        starting: 0.25,
        first_fit: 0.0,
        resources: 0.25,
        affinity: 0.0,
    };
    CellOpinion {
        cell_id: CellId::new(id).unwrap(),
        zone: "z1".into(),
        free: Resources { memory_mb: 64, disk_mb: 100, containers: 5 },
        instances_in_zone: 1,
        instances_on_cell: 1,
        filters: Filters {
            accepting: true,
            rootfs: true,
            volume_drivers: true,
            placement_tags: is_roomy,
            constraints: true,
            resources: is_roomy,
        },
        score: is_roomy.then_some(score),
    }
}

fn explanation() -> Explanation {
    let cells = vec![cell("cell-1", true), cell("cell-2", false)];
    Explanation {
        process_guid: ProcessGuid::new("web").unwrap(),
        index: 0,
        app: "web".into(),
        strategy: Strategy::Spread,
        need: Resources { memory_mb: 32, disk_mb: 10, containers: 1 },
        runs_on: Some(CellId::new("cell-2").unwrap()),
        chosen: Some(CellId::new("cell-1").unwrap()),
        why: "1 cell can take it".into(),
        placement_error: String::new(),
        placement_detail: String::new(),
        cells,
    }
}

#[tokio::test]
async fn explain_shows_every_cell_with_its_score_or_what_keeps_the_instance_away() {
    let machine = machine();
    machine.ltc("create web me/app").await.succeeds();
    machine.state().explanation = Some(explanation());
    let ran = machine.ltc("explain web").await.succeeds();
    for expected in [
        "web/0",
        "32M memory, 10M disk",
        "1 cell can take it",
        "cell-1   z1     64M/100M   1         1000.500",
        "same app 1000.000, starting 0.250, resources 0.250",
        "no: placement tags, resources",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    let json = machine.ltc("explain web 0 -o json").await.succeeds().json();
    assert_eq!(json["chosen"], "cell-1");
    assert_eq!(json["cells"][0]["score"]["same_app"], 1_000.0);
    assert_eq!(json["cells"][1]["filters"]["resources"], false);
}

#[tokio::test]
async fn explain_says_why_there_is_no_cell() {
    let machine = machine();
    machine.ltc("create web me/app").await.succeeds();
    machine.state().explanation = Some(Explanation {
        chosen: None,
        why: String::new(),
        placement_error: "insufficient resources: memory".into(),
        placement_detail: "needs 32 MB; largest free 16 MB on cell-2; 1 cell compatible".into(),
        ..explanation()
    });
    let ran = machine.ltc("explain web").await.succeeds();
    let expected = "insufficient resources: memory (needs 32 MB; largest free 16 MB on cell-2; \
                    1 cell compatible)";
    assert!(ran.stdout.contains(expected), "{}", ran.stdout);
    machine.ltc("explain web 7").await.fails(14, &["web has no instance 7", "ltc status web"]);
    machine.ltc("explain nobody").await.fails(14, &["no app named nobody"]);
}
