//! Containers that cannot be removed for a while.

use std::time::Duration;

use lattice_api::cell::Rep as _;

use super::{app, perform, run, until_told};
use crate::rep::Handle;
use crate::runtime::ContainerId;
use crate::testing::{self, Bed, Script, eventually};

/// More than any test waits for.
const LASTING: u32 = u32::MAX;

fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.config.limits.removal_again_after = Duration::from_millis(5);
    bed
}

async fn available_mb(cell: &Handle) -> u64 {
    cell.state().await.unwrap().available.memory_mb
}

async fn until_warned(bed: &Bed, container: &ContainerId) {
    let warning = format!(
        "container {container} cannot be removed: cannot delete container {container}: device is \
         busy; that is tried again by itself"
    );
    eventually("people are told", || bed.bbs.warnings() == [warning.clone()]).await;
}

#[tokio::test]
async fn a_container_that_cannot_be_deleted_keeps_its_room_and_is_tried_until_it_is() {
    for (is_stopped, told) in [(false, "crash ig: APP: Exited with status 1"), (true, "remove ig")]
    {
        let bed = bed();
        let cell = bed.start().await;
        let lrp = app(&bed);
        let id = testing::container_of(&lrp, "ig");
        *bed.runtime.deletions_that_fail.lock().unwrap() = LASTING;
        if is_stopped {
            run(&bed, &cell, &lrp).await;
            cell.stop_lrp(&testing::key("web", 0), &testing::instance_key("ig")).await.unwrap();
        } else {
            bed.runtime.program("/app", Script::exits(1));
            perform(&cell, testing::lrp_work(&lrp, "ig")).await;
        }
        until_told(&bed, told).await;
        until_warned(&bed, &id).await;
        let left = || LASTING - *bed.runtime.deletions_that_fail.lock().unwrap();
        eventually("it is tried again and again", || left() > 3).await;
        assert_eq!(available_mb(&cell).await, 924, "what it has stays reserved");
        let again = cell.perform(testing::lrp_work(&lrp, "ig")).await.unwrap();
        let reason = "an earlier try of instance ig is still being removed";
        assert_eq!(again[0].reason, reason);

        *bed.runtime.deletions_that_fail.lock().unwrap() = 0;
        eventually("it is gone", || !bed.runtime.has(&id)).await;
        eventually("nobody is told of it any more", || bed.bbs.warnings().is_empty()).await;
        assert_eq!(available_mb(&cell).await, 1024);
    }
}

#[tokio::test]
async fn what_an_earlier_process_left_is_tried_until_it_is_gone_though_the_brain_is_silent() {
    let bed = bed();
    let stubborn = ContainerId::new("stubborn");
    bed.runtime.leave(&stubborn);
    *bed.runtime.deletions_that_fail.lock().unwrap() = LASTING;
    let _cell = bed.start().await;
    until_warned(&bed, &stubborn).await;
    *bed.bbs.is_silent.lock().unwrap() = true;
    *bed.runtime.deletions_that_fail.lock().unwrap() = 0;
    eventually("it is gone", || !bed.runtime.has(&stubborn)).await;
    eventually("nobody is told of it any more", || bed.bbs.warnings().is_empty()).await;
}

#[tokio::test]
async fn a_cell_ends_while_something_cannot_be_removed() {
    let mut bed = bed();
    bed.config.limits.removal_again_after = Duration::from_secs(3600);
    let stubborn = ContainerId::new("stubborn");
    bed.runtime.leave(&stubborn);
    *bed.runtime.deletions_that_fail.lock().unwrap() = LASTING;
    let _cell = bed.start().await;
    until_warned(&bed, &stubborn).await;
    bed.succeed().await;
    assert!(bed.runtime.has(&stubborn));
}
