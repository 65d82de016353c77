//! A cell that looks after itself, with one fault after the other.

use std::time::Duration;

use lattice_api::cell::{CellError, Rep as _};
use lattice_shim_protocol::program::PATH_INSIDE;

use super::{app, perform, run, until_told};
use crate::config::SelfCheck;
use crate::rep::Handle;
use crate::testing::{self, Bed, Script, eventually};

/// A cell that looks often, and all is well at first.
fn bed() -> Bed {
    let mut bed = Bed::new();
    let often = Duration::from_millis(20);
    bed.config.self_check = SelfCheck { first_after: often, every: often, again_after: often };
    bed.runtime.program(PATH_INSIDE, Script::exits(0));
    bed
}

async fn fault(cell: &Handle) -> Option<String> {
    match cell.state().await {
        Ok(_) => None,
        Err(CellError::Unhealthy { cause, .. }) => Some(cause),
        Err(other) => panic!("{other}"),
    }
}

async fn until_fault(cell: &Handle, expected: Option<&str>) {
    for _ in 0..1_000 {
        let found = fault(cell).await;
        if found.as_deref() == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never {expected:?}: {:?}", fault(cell).await);
}

#[tokio::test]
async fn a_cell_that_cannot_do_its_work_takes_no_more_says_why_and_recovers() {
    type Turn = fn(&Bed, bool);
    let faults: [(&str, Turn); 5] = [
        ("a test container failed: cannot create container self-check: it is Monday", |bed, on| {
            *bed.runtime.create_error.lock().unwrap() = on.then(|| "it is Monday".into())
        }),
        ("a test container failed: its process exited with status 3", |bed, on| {
            bed.runtime.program(PATH_INSIDE, Script::exits(if on { 3 } else { 0 }));
        }),
        (
            "a test container failed: cannot run /.lattice/init: no such file or directory",
            |bed, on| {
                let mut programs = bed.runtime.programs.lock().unwrap();
                match on {
                    true => drop(programs.remove(PATH_INSIDE)),
                    false => drop(programs.insert(PATH_INSIDE.into(), Script::exits(0))),
                }
            },
        ),
        (
            "a test container failed: cannot delete container self-check: device is busy",
            |bed, on| *bed.runtime.deletions_that_fail.lock().unwrap() = if on { 9_999 } else { 0 },
        ),
        (
            "the disk is low: 7 MB are free and 1024 MB are to stay free, and no image is left that \
             could go; free disk in /data, or give it a larger one",
            |bed, on| *bed.images.is_disk_low.lock().unwrap() = on,
        ),
    ];
    let bed = bed();
    let cell = bed.start().await;
    run(&bed, &cell, &app(&bed)).await;
    for (n, (why, turn)) in faults.into_iter().enumerate() {
        turn(&bed, true);
        until_fault(&cell, Some(why)).await;
        until_told(&bed, &format!("heartbeat cell-1: {why}")).await;
        let name = format!("late-{n}");
        let work = testing::lrp_work(&testing::lrp(&name), &name);
        let refused = cell.perform(work.clone()).await.unwrap();
        assert_eq!(refused[0].reason, format!("cell cell-1 is unhealthy: {why}"));
        turn(&bed, false);
        until_fault(&cell, None).await;
        perform(&cell, work).await;
        until_told(&bed, &format!("start {name}")).await;
    }
    assert!(bed.runtime.signals_of("/app").is_empty(), "what runs runs on");
}

#[tokio::test]
async fn looking_leaves_nothing_and_costs_no_instance_its_place() {
    let bed = bed();
    let cell = bed.start().await;
    eventually("it has looked twice", || bed.runtime.runs_of(PATH_INSIDE) > 1).await;
    assert_eq!(cell.state().await.unwrap().available.containers, 10);
    assert!(cell.stop_all(Duration::from_millis(100)).await);
    assert!(bed.tasks.end(Duration::from_secs(5)).await, "it ends with the cell");
}
