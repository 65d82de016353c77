//! What the processes that hold containers take, and how soon the runtime finds them again.

use std::time::Instant;

use lattice_cell::runtime::{ContainerId, ProcessSpec, Runtime as _};
use lattice_tests::machine::holders;

use super::place::{Place, spec};
use crate::effort::Effort;
use crate::figure::Figure;
use crate::machine::{memory_mb, undisturbed};

/// Containers that are held and found again, for each second of a round's load.
const HELD_A_SECOND: u64 = 20;

/// What the processes that hold containers take, and how long they take to be found again.
pub(super) fn run(place: &Place, tokio: &tokio::runtime::Runtime, effort: Effort) {
    let count = HELD_A_SECOND * effort.seconds.as_secs();
    eprintln!("{count} containers are held");
    let ids: Vec<ContainerId> =
        (0..count).map(|n| ContainerId::new(&format!("held-{n}"))).collect();
    tokio.block_on(async {
        let runtime = place.runtime();
        for id in &ids {
            runtime.create(place.blueprint(id)).await.unwrap();
            let spec = ProcessSpec { keep_as: Some("app".to_owned()), ..spec(&["sleep", "9999"]) };
            drop(runtime.exec(id, spec).await.unwrap());
        }
    });
    let holders = holders(&place.dir);
    assert_eq!(holders.len() as u64, count);
    let private: Vec<f64> =
        holders.iter().map(|pid| memory_mb(pid.as_raw_nonzero().get(), "Private_")).collect();
    let figure = |case, metric, unit| Figure { bench: "cell", case, metric, unit };
    figure("holding-one", "private_memory", "MB").print(&private);

    let mut rounds = Vec::new();
    for _ in 0..effort.rounds {
        rounds.push(undisturbed(|| {
            let begin = Instant::now();
            tokio.block_on(async {
                let runtime = place.runtime();
                let adopting = ids.iter().map(|id| async {
                    runtime.adopt(id, false).await.unwrap();
                    let spec = ProcessSpec { keep_as: Some("app".to_owned()), ..spec(&["sleep"]) };
                    drop(runtime.exec(id, spec).await.unwrap());
                });
                futures_util::future::join_all(adopting).await;
            });
            begin.elapsed().as_secs_f64() * 250.0 / count as f64
        }));
    }
    figure("found-again", "seconds_for_250", "s").print(&rounds);
    tokio.block_on(async {
        let runtime = place.runtime();
        for id in &ids {
            runtime.delete(id).await.unwrap();
        }
    });
}
