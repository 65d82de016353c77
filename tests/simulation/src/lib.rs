//! A cluster on a virtual clock: the real board, convergence, auction, instance state machines and
//! harmonisation tables, and models of what lies between them: the actor, the dispatcher, the
//! store, the network, the containers. Time is a number and dice have a seed, so every run can be
//! had again.
//!
//! | Part | Is |
//! |---|---|
//! | [`script`] | what happens to a cluster, and its text |
//! | [`plan`] | the script of a seed |
//! | [`World`] | one run of a script |
//! | [`scenario`] | clusters without faults, as Diego simulated them |
//! | [`sabotage`] | deliberate faults, which show that a run can fail |
//! | [`shrink`] | the shortest script that still fails |

mod agenda;
mod brain;
mod cell;
pub mod dice;
mod ledger;
pub mod plan;
pub mod sabotage;
pub mod scenario;
pub mod script;
pub mod shrink;
mod store;
mod work;
mod world;

pub use dice::Dice;
pub use sabotage::Sabotage;
pub use script::Script;
pub use world::{Summary, Violation, World};

use lattice_brain::auction::Policy;

/// Runs a script once. A panic is a violation as well.
pub fn run(script: &Script, sabotage: Sabotage) -> Result<Summary, Violation> {
    let run = || World::new(script.clone(), Policy::default(), sabotage).run();
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = format!("panicked: {}", text.unwrap_or_default());
        Err(Violation { at_ms: 0, steps: 0, what })
    })
}
