//! Scripts are text that can be read, kept and played again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture is a failed test")]

use lattice_simulation::plan::{Scale, plan};
use lattice_simulation::{Sabotage, Script, run};

#[test]
fn every_script_is_read_back_as_it_was_written() {
    for seed in 0..200 {
        let script = plan(seed, &Scale::SMALL);
        assert_eq!(script.to_string().parse::<Script>().unwrap(), script, "seed {seed}");
    }
}

#[test]
fn a_script_that_is_wrong_is_refused_with_the_line_and_what_was_expected() {
    for (text, expected) in [
        ("", "there is no line that begins with `cell`"),
        ("seed x", "line 1: `seed` wants a number, not `x`"),
        ("# talk\n\nroom 1", "line 3: `room` begins no line: seed, cell and at do"),
        ("cell zone=0", "line 1: `memory=` is missing"),
        ("cell zone=0 memory=1 containers=1 x=1", "line 1: `x=` has no meaning here"),
        ("cell zone=0 zone=1", "line 1: `zone` is there twice"),
        ("at 5 fly", "line 1: nothing is called `fly`"),
        ("at 5 desire app", "line 1: `app` is not KEY=VALUE"),
        ("at x remove app=1", "line 1: `at` wants a number, not `x`"),
        ("at 5 cut cell=0 for=1 way=up", "line 1: `way=up` is none of both, to-brain, from-brain"),
        ("at 5 scale app=1 instances=-1", "line 1: `instances` wants a number, not `-1`"),
    ] {
        let error = text.parse::<Script>().unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn a_script_may_name_what_is_not_there() {
    let script = "cell zone=0 memory=100 containers=5\n\
        at 10 kill-cell cell=9 for=100 containers=lost\n\
        at 10 cut cell=9 for=100 way=both\n\
        at 10 leave cell=9 for=100\n\
        at 20 scale app=1 instances=4\n\
        at 30 crash app=7 index=1\n\
        at 40 cancel task=3\n";
    let script: Script = script.parse().unwrap();
    assert!(run(&script, Sabotage::Nothing).is_ok());
}
