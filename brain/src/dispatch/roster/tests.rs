use lattice_api::cell::{Refused, WorkItem};

use super::*;
use crate::testing::{cell_id, cell_state, key, lrp};

const BEGIN: Time = Time::from_secs(1_000);

/// Two cells that were asked.
fn asked() -> Roster {
    let mut roster = Roster::default();
    roster.keep(&[cell_id("a"), cell_id("b")].into());
    assert_eq!(roster.idle(), [cell_id("a"), cell_id("b")]);
    roster.ask(&cell_id("a"));
    roster.ask(&cell_id("b"));
    roster
}

fn says(roster: &mut Roster, cell: &str, now: Time) -> News {
    let state = cell_state(cell, "z", &[]);
    roster.hear(Heard::State(cell_id(cell), Some(Box::new(state))), now)
}

/// The cells of the next auction; those that get nothing in brackets.
fn seen(roster: &mut Roster, now: Time) -> (Vec<String>, bool) {
    let Seen { states, is_complete } = roster.seen(&BTreeSet::new(), now);
    let shown = |state: &Arc<CellState>| match state.evacuating {
        true => format!("({})", state.presence.cell_id),
        false => state.presence.cell_id.to_string(),
    };
    (states.iter().map(shown).collect(), is_complete)
}

fn work() -> Work {
    let lrp = Arc::new(lrp("web", 1, 30));
    let instance_guid = lattice_model::InstanceGuid::new("i").unwrap();
    let web = LrpWork { key: key("web", 0), instance_guid, lrp, credentials: Vec::new() };
    Work { lrps: vec![web], tasks: Vec::new() }
}

#[test]
fn a_cell_that_owes_an_answer_gets_nothing_and_its_answer_is_capacity() {
    let mut roster = asked();
    assert!(roster.is_all_busy());
    assert!(!says(&mut roster, "a", BEGIN).is_capacity_back);
    assert!(!roster.is_all_busy());
    assert_eq!(seen(&mut roster, BEGIN), (vec!["a".to_owned()], false));
    assert!(says(&mut roster, "b", BEGIN).is_capacity_back, "an auction was held without it");
    assert_eq!(seen(&mut roster, BEGIN), (vec!["a".to_owned(), "b".to_owned()], true));
}

#[test]
fn a_slow_cell_is_trusted_for_a_while_and_one_that_falls_silent_is_not() {
    let mut roster = asked();
    says(&mut roster, "a", BEGIN);
    seen(&mut roster, BEGIN);
    says(&mut roster, "b", BEGIN);
    roster.ask(&cell_id("a"));
    roster.ask(&cell_id("b"));
    let at = |millis| BEGIN + Duration::from_millis(millis);
    let of = |names: [&str; 2]| (names.map(str::to_owned).to_vec(), false);
    assert_eq!(seen(&mut roster, at(2_000)), of(["(a)", "b"]), "b was slow before");
    assert_eq!(seen(&mut roster, at(2_001)), of(["(a)", "(b)"]));
}

#[test]
fn a_cell_that_could_not_be_asked_is_idle_and_gets_nothing() {
    let mut roster = asked();
    says(&mut roster, "a", BEGIN);
    roster.hear(Heard::State(cell_id("b"), None), BEGIN);
    assert_eq!(roster.idle(), [cell_id("a"), cell_id("b")]);
    assert_eq!(seen(&mut roster, BEGIN), (vec!["a".to_owned()], false));
}

#[test]
fn what_a_cell_is_given_counts_at_once_and_until_it_answers_it_gets_no_more() {
    let mut roster = asked();
    says(&mut roster, "a", BEGIN);
    says(&mut roster, "b", BEGIN);
    let free = cell_state("a", "z", &[]).available;
    roster.give(&cell_id("a"), &work());
    let Seen { states, is_complete } = roster.seen(&BTreeSet::new(), BEGIN);
    assert!(states[0].evacuating && !is_complete);
    assert_eq!(states[0].available.memory_mb, free.memory_mb - 30);
    assert_eq!((states[0].lrps.len(), states[0].starting_count), (1, 1));
    let refused = Refused { item: WorkItem::Lrp(key("web", 0)), reason: "full".to_owned() };
    let news = roster.hear(Heard::Performed(cell_id("a"), vec![(refused, 3)]), BEGIN);
    assert_eq!((news.refused.len(), news.is_capacity_back), (1, true));
    assert!(!roster.seen(&BTreeSet::new(), BEGIN).states[0].evacuating);
}

#[test]
fn what_a_forgotten_cell_refused_is_not_forgotten() {
    let mut roster = asked();
    roster.keep(&[cell_id("a")].into());
    let refused = Refused { item: WorkItem::Lrp(key("web", 0)), reason: "full".to_owned() };
    let news = roster.hear(Heard::Performed(cell_id("b"), vec![(refused, 3)]), BEGIN);
    assert_eq!(news.refused.len(), 1);
    assert!(roster.idle().is_empty(), "a still owes its answer");
}

#[test]
fn a_drained_cell_gets_nothing_and_counts_as_asked() {
    let mut roster = asked();
    says(&mut roster, "a", BEGIN);
    says(&mut roster, "b", BEGIN);
    let Seen { states, is_complete } = roster.seen(&[cell_id("b")].into(), BEGIN);
    assert_eq!(states.iter().map(|state| state.evacuating).collect::<Vec<_>>(), [false, true]);
    assert!(is_complete);
}

#[test]
fn grace_begins_with_the_first_answer_or_at_once() {
    let at = |millis| BEGIN + Duration::from_millis(millis);
    let both = || [cell_id("a"), cell_id("b")];
    let mut wait = Wait::new(both(), Grace::AfterTheFirst, BEGIN);
    assert!(!wait.is_over(at(60_000)), "nobody has answered");
    wait.note(&cell_id("c"), at(60_000));
    assert_eq!(wait.until(), None, "that one was not asked");
    wait.note(&cell_id("a"), at(60_000));
    assert!(!wait.is_over(at(60_499)));
    assert!(wait.is_over(at(60_500)));
    wait.note(&cell_id("b"), at(60_001));
    assert!(wait.is_over(at(60_001)), "all have answered");
    assert!(Wait::new(both(), Grace::Now, BEGIN).is_over(at(500)));
    assert!(Wait::new([], Grace::AfterTheFirst, BEGIN).is_over(BEGIN));
}
