//! A whole cell between scripted seams.

mod adoption;
mod checks;
mod harmonisation;
mod health;
mod lifecycle;
mod pods;
mod pools;
mod removal;
mod self_check;
mod tasks;

use lattice_api::cell::{Rep as _, Work};
use lattice_model::DesiredLrp;

use crate::rep::Handle;
use crate::testing::{self, Bed, Script, eventually};

/// An LRP whose app runs until it is stopped.
fn app(bed: &Bed) -> DesiredLrp {
    bed.runtime.program("/app", Script { stdout: "up\n".into(), ..Script::forever() });
    testing::lrp("web")
}

async fn perform(cell: &Handle, work: Work) {
    assert_eq!(cell.perform(work).await.unwrap(), []);
}

/// Runs it and waits until the brain knows.
async fn run(bed: &Bed, cell: &Handle, lrp: &DesiredLrp) {
    perform(cell, testing::lrp_work(lrp, "ig")).await;
    eventually("it runs", || bed.bbs.has("start ig")).await;
}

async fn until_told(bed: &Bed, call: &str) {
    let what = format!("the brain hears '{call}'");
    eventually(&what, || bed.bbs.has(call)).await;
}
