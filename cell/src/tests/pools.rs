//! How much a cell does at once.

use std::time::Duration;

use lattice_api::cell::Rep as _;
use lattice_model::Resources;

use super::{app, perform, until_told};
use crate::testing::{self, Bed, eventually};

/// How many instances there are to be made and removed.
const INSTANCES: u32 = 5;

fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.config.capacity = Some(Resources { memory_mb: 4096, disk_mb: 4096, containers: 10 });
    app(&bed);
    bed
}

#[tokio::test]
async fn so_many_instances_are_made_at_once_and_the_others_wait() {
    let mut bed = bed();
    bed.config.limits.starts_at_once = 2;
    let cell = bed.start().await;
    bed.images.gate.shut();
    for n in 0..INSTANCES {
        perform(&cell, testing::lrp_work(&testing::lrp(&format!("web-{n}")), &format!("ig-{n}")))
            .await;
    }
    for n in 0..INSTANCES {
        until_told(&bed, &format!("claim ig-{n}")).await;
    }
    eventually("two are being made", || bed.images.gate.visitors() == 2).await;
    bed.images.gate.open();
    for n in 0..INSTANCES {
        until_told(&bed, &format!("start ig-{n}")).await;
    }
    assert_eq!(bed.images.gate.most(), 2);
}

#[tokio::test]
async fn so_many_containers_are_removed_at_once_and_the_others_wait() {
    let mut bed = bed();
    bed.config.limits.removals_at_once = 2;
    let cell = bed.start().await;
    for n in 0..INSTANCES {
        perform(&cell, testing::lrp_work(&testing::lrp(&format!("web-{n}")), &format!("ig-{n}")))
            .await;
        until_told(&bed, &format!("start ig-{n}")).await;
    }
    bed.runtime.deletions.shut();
    for n in 0..INSTANCES {
        let (key, instance) = (format!("web-{n}"), format!("ig-{n}"));
        cell.stop_lrp(&testing::key(&key, 0), &testing::instance_key(&instance)).await.unwrap();
    }
    eventually("nothing runs any more", || bed.runtime.running().is_empty()).await;
    eventually("two are being removed", || bed.runtime.deletions.visitors() == 2).await;
    assert_eq!(cell.state().await.unwrap().available.memory_mb, 3596, "all keep their room");
    bed.runtime.deletions.open();
    for n in 0..INSTANCES {
        until_told(&bed, &format!("remove ig-{n}")).await;
    }
    assert_eq!(bed.runtime.deletions.most(), 2);
    assert_eq!(cell.state().await.unwrap().available.memory_mb, 4096);
    assert!(cell.stop_all(Duration::from_millis(100)).await);
}
