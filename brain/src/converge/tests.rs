use lattice_model::task::TaskOutcome;
use lattice_model::{InstanceKey, ModificationTag, NetInfo};

use super::*;
use crate::testing::{cell_id, instance, key, task_record};

const NOW: Time = Time::from_secs(10_000);

fn on(cell: &str) -> InstanceKey {
    instance("i", cell)
}

/// `U`nclaimed, `C`laimed, `R`unning, `X` crashed twice 29 s ago, `D`ue, `E`xited; the cell is
/// `lost` or `live`.
fn row(state: char, cell: &str) -> ActualLrp {
    let reason = || "x".to_owned();
    let state_now = match state {
        'U' | 'S' => ActualState::Unclaimed { placement_error: None },
        'C' => ActualState::Claimed { instance: on(cell) },
        'R' => ActualState::Running { instance: on(cell), net: NetInfo::default() },
        'X' | 'D' => ActualState::Crashed { reason: reason() },
        'E' => ActualState::Exited { reason: reason() },
        other => panic!("{other}"),
    };
    let age = match state {
        'S' => 31,
        'D' | 'U' => 30,
        _ => 29,
    };
    ActualLrp {
        key: key("web", 0),
        presence: Presence::Ordinary,
        state: state_now,
        since: NOW - Duration::from_secs(age),
        crash_count: 3,
        crash_reason: String::new(),
        modification_tag: ModificationTag::default(),
    }
}

fn check(place: &Index<'_>, expected: &[Fix], what: &str) {
    let fixes = index(place, |cell| *cell == cell_id("lost"), NOW);
    assert_eq!(fixes, expected, "{what}");
}

#[test]
fn the_usual_record_alone() {
    let drop = Fix::Drop(Presence::Ordinary);
    // wanted; not wanted and fresh; not wanted and not vouched for
    for (state, cell, wanted, fresh, stale) in [
        ('-', "", vec![Fix::Create], vec![], vec![]),
        ('U', "", vec![], vec![drop], vec![]),
        ('S', "", vec![Fix::Auction], vec![drop], vec![]),
        ('C', "live", vec![], vec![Fix::Stop], vec![]),
        ('R', "live", vec![], vec![Fix::Stop], vec![]),
        ('C', "lost", vec![Fix::Suspect], vec![drop], vec![drop]),
        ('R', "lost", vec![Fix::Suspect], vec![drop], vec![drop]),
        ('X', "", vec![], vec![drop], vec![]),
        ('D', "", vec![Fix::Restart], vec![drop], vec![]),
        ('E', "", vec![], vec![drop], vec![]),
    ] {
        let ordinary = (state != '-').then(|| row(state, cell));
        let ordinary = ordinary.as_ref();
        let place = Index { ordinary, ..Index::default() };
        let what = format!("{state} {cell}");
        check(&Index { is_wanted: true, is_fresh: true, ..place }, &wanted, &what);
        check(&Index { is_wanted: true, is_fresh: false, ..place }, &wanted, &what);
        check(&Index { is_wanted: false, is_fresh: true, ..place }, &fresh, &what);
        check(&Index { is_wanted: false, is_fresh: false, ..place }, &stale, &what);
    }
}

#[test]
fn a_suspect_beside_its_replacement() {
    let drop = Fix::Drop(Presence::Suspect);
    for (replacement, cell, suspect_on, expected) in [
        ('U', "", "lost", vec![]),
        ('C', "live", "lost", vec![]),
        ('R', "live", "lost", vec![drop]),
        ('C', "lost", "lost", vec![Fix::Unclaim]),
        ('X', "", "lost", vec![]),
        ('D', "", "lost", vec![Fix::Restart]),
        ('U', "", "live", vec![Fix::Promote]),
        ('C', "live", "live", vec![Fix::Promote]),
        ('X', "", "live", vec![Fix::Promote]),
        ('R', "live", "live", vec![drop]),
        ('-', "", "live", vec![Fix::Promote]),
        ('-', "", "lost", vec![Fix::Create]),
    ] {
        let ordinary = (replacement != '-').then(|| row(replacement, cell));
        let suspect = row('R', suspect_on);
        let place = Index {
            is_wanted: true,
            is_fresh: true,
            ordinary: ordinary.as_ref(),
            suspect: Some(&suspect),
            evacuating: None,
        };
        check(&place, &expected, &format!("{replacement} {cell}, suspect on {suspect_on}"));
    }
}

#[test]
fn a_suspect_that_nobody_wants() {
    let drop = Fix::Drop(Presence::Suspect);
    for (is_fresh, suspect_on, expected) in [
        (true, "live", vec![drop]),
        (true, "lost", vec![drop]),
        (false, "lost", vec![drop]),
        (false, "live", vec![Fix::Promote]),
    ] {
        let suspect = row('R', suspect_on);
        let place = Index { is_fresh, suspect: Some(&suspect), ..Index::default() };
        check(&place, &expected, &format!("fresh {is_fresh}, on {suspect_on}"));
    }
}

#[test]
fn an_evacuating_record_goes_with_its_cell() {
    let ordinary = row('R', "live");
    for (cell, expected) in [("lost", vec![Fix::Drop(Presence::Evacuating)]), ("live", vec![])] {
        let evacuating = row('R', cell);
        let place = Index {
            is_wanted: true,
            is_fresh: true,
            ordinary: Some(&ordinary),
            evacuating: Some(&evacuating),
            suspect: None,
        };
        check(&place, &expected, cell);
    }
}

#[test]
fn a_task_by_state_and_age() {
    let outcome = TaskOutcome::default;
    let running = |cell| TaskState::Running { cell_id: cell_id(cell) };
    for (state, created, updated, expected) in [
        (TaskState::Pending, 10, 10, None),
        (TaskState::Pending, 30, 30, None),
        (TaskState::Pending, 31, 31, Some(TaskFix::Auction)),
        (TaskState::Pending, 1_800, 10, None),
        (TaskState::Pending, 1_801, 10, Some(TaskFix::Fail(NOT_STARTED_IN_TIME))),
        (running("live"), 9_000, 9_000, None),
        (running("lost"), 1, 1, Some(TaskFix::Fail(CELL_DISAPPEARED))),
        (TaskState::Completed(outcome()), 9_000, 30, None),
        (TaskState::Completed(outcome()), 9_000, 31, Some(TaskFix::Notify)),
        (TaskState::Completed(outcome()), 9_000, 120, Some(TaskFix::Notify)),
        (TaskState::Completed(outcome()), 9_000, 121, Some(TaskFix::Delete)),
        (TaskState::Resolving(outcome()), 9_000, 30, None),
        (TaskState::Resolving(outcome()), 9_000, 31, Some(TaskFix::Unresolve)),
    ] {
        let ago = |secs| NOW - Duration::from_secs(secs);
        let what = format!("{state:?} {created} {updated}");
        let (created_at, updated_at) = (ago(created), ago(updated));
        let record = Task { state, created_at, updated_at, ..task_record("t") };
        assert_eq!(task(&record, |cell| *cell == cell_id("lost"), NOW), expected, "{what}");
    }
}
