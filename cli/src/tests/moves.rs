//! Cells that are drained, and instances that are spread anew.

use lattice_api::brain::moves::{MovePlan, PlannedMove};
use lattice_model::{CellId, ProcessGuid};

use super::fakes::{Machine, cell};

/// Two cells, and a plan that moves what has a place.
fn machine(places: &[Option<&str>]) -> Machine {
    let machine = Machine::targeted();
    machine.state().cells = vec![cell("cell-1"), cell("cell-2")];
    let one = |(index, to): (usize, &Option<&str>)| PlannedMove {
        process_guid: ProcessGuid::new("web").unwrap(),
        index: u32::try_from(index).unwrap(),
        memory_mb: if index == 2 { 0 } else { 4_096 },
        from: CellId::new("cell-1").unwrap(),
        to: to.map(|to| CellId::new(to).unwrap()),
        placement_error: match to {
            Some(_) => String::new(),
            None => "insufficient resources: memory (needs 4096 MB memory)".to_owned(),
        },
    };
    let moves = places.iter().enumerate().map(one).collect();
    machine.state().moves.plan = MovePlan { moves };
    machine
}

#[tokio::test]
async fn a_dry_run_prints_what_would_move_and_moves_nothing() {
    let machine = machine(&[Some("cell-2"), None, Some("cell-2")]);
    for line in ["drain cell-1 --dry-run", "rebalance --dry-run"] {
        let ran = machine.ltc(line).await.succeeds();
        insta::allow_duplicates! {
            insta::assert_snapshot!(ran.stdout, @r"
            web/0 4096 MB cell-1 -> cell-2
            web/1 4096 MB stays up on cell-1: insufficient resources: memory (needs 4096 MB memory)
            web/2 no limit cell-1 -> cell-2
            ");
        }
    }
    let json = machine.ltc("drain cell-1 --dry-run -o json").await.succeeds().json();
    assert_eq!(
        (&json["moves"][0]["to"], &json["moves"][0]["memory_mb"]),
        (&"cell-2".into(), &4_096.into())
    );
    assert_eq!(machine.state().moves.draining, None);
    let nothing = self::machine(&[]).ltc("rebalance --dry-run").await.succeeds();
    assert_eq!(nothing.stdout, "nothing would move\n");
}

#[tokio::test]
async fn a_drain_can_be_waited_for_and_undone() {
    let machine = machine(&[Some("cell-2"), Some("cell-2")]);
    let ran = machine.ltc("drain cell-1 --max-in-flight 1 --wait").await.succeeds();
    assert!(ran.stderr.contains("draining cell-1: 2 to move"), "{}", ran.stderr);
    assert!(ran.stderr.contains("cell-1 runs no instance any more"), "{}", ran.stderr);
    let cells = machine.ltc("cells").await.succeeds();
    assert!(cells.stdout.contains("cell-1 (draining)"), "{}", cells.stdout);
    assert_eq!(machine.ltc("cells -o json").await.succeeds().json()[0]["draining"], true);
    let ran = machine.ltc("undrain cell-1").await.succeeds();
    assert!(ran.stderr.contains("cell-1 takes work again"), "{}", ran.stderr);
    machine.ltc("undrain cell-1").await.fails(14, &["cell is not draining"]);
}

#[tokio::test]
async fn a_drain_that_does_not_end_says_what_stays_up_and_why() {
    let machine = machine(&[None]);
    let why = "web/0 stays up: insufficient resources: memory (needs 4096 MB memory)";
    let left = "cell-1 is not empty yet: 1 instance is left on cell-1";
    let ran = machine.ltc("drain cell-1 --wait -t 50ms").await;
    ran.fails(14, &[left, why, "ltc undrain cell-1"]);
}

#[tokio::test]
async fn a_rebalance_says_how_much_it_moves() {
    let ran = machine(&[Some("cell-2")]).ltc("rebalance --wait").await.succeeds();
    assert!(ran.stderr.contains("moving 1 instance"), "{}", ran.stderr);
    let ran = machine(&[]).ltc("rebalance").await.succeeds();
    assert!(ran.stderr.contains("nothing to move"), "{}", ran.stderr);
}

#[tokio::test]
async fn cells_that_are_none_and_amounts_out_of_bounds_are_refused() {
    let machine = machine(&[]);
    machine.ltc("drain cell-9").await.fails(14, &["there is no cell 'cell-9'", "ltc cells"]);
    for line in ["drain cell-1 --max-in-flight 0", "rebalance --max-moves 0", "drain"] {
        machine.ltc(line).await.fails(13, &["ltc help"]);
    }
}
