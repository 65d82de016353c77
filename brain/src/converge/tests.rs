use lattice_model::task::TaskOutcome;
use lattice_model::{InstanceKey, ModificationTag, NetInfo};

use super::*;
use crate::testing::{cell_id, instance, key, task_record};

const NOW: Time = Time::from_secs(10_000);
const STOP: Fix = Fix::Stop(Presence::Ordinary);
const DROP: Fix = Fix::Drop(Presence::Ordinary);

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

fn standing(cell: &CellId) -> Standing {
    match cell.as_str() {
        "lost" => Standing::Lost,
        "new" => Standing::Expected,
        "drained" => Standing::Draining,
        _ => Standing::Live,
    }
}

fn check(place: &Index<'_>, expected: &[Fix], what: &str) {
    let fixes = index(place, standing, NOW);
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
        ('C', "live", vec![], vec![STOP], vec![]),
        ('R', "live", vec![], vec![STOP], vec![]),
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
    let (drop, promote) = (Fix::Drop(Presence::Suspect), Fix::Promote(Presence::Suspect));
    for (replacement, cell, suspect_on, expected) in [
        ('U', "", "lost", vec![]),
        ('C', "live", "lost", vec![]),
        ('R', "live", "lost", vec![drop]),
        ('C', "lost", "lost", vec![Fix::Unclaim]),
        ('X', "", "lost", vec![]),
        ('D', "", "lost", vec![Fix::Restart]),
        ('U', "", "live", vec![promote]),
        ('C', "live", "live", vec![promote]),
        ('X', "", "live", vec![promote]),
        ('R', "live", "live", vec![drop]),
        ('-', "", "live", vec![promote]),
        ('U', "", "new", vec![]),
        ('C', "live", "new", vec![]),
        ('R', "live", "new", vec![drop]),
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
fn a_suspect_whose_cell_is_back_to_be_emptied_stands_in_and_leaves() {
    let drop = Fix::Drop(Presence::Suspect);
    for (replacement, suspect, evacuating_on, expected) in [
        ('U', 'R', None, vec![Fix::Evacuate]),
        ('C', 'R', None, vec![Fix::Evacuate]),
        ('X', 'R', None, vec![Fix::Evacuate]),
        ('R', 'R', None, vec![drop]),
        ('U', 'C', None, vec![drop]),
        ('U', 'R', Some("live"), vec![drop]),
        ('U', 'R', Some("lost"), vec![Fix::Drop(Presence::Evacuating), Fix::Evacuate]),
    ] {
        let (ordinary, suspect) = (row(replacement, "live"), row(suspect, "drained"));
        let evacuating = evacuating_on.map(|cell| row('R', cell));
        let place = Index {
            is_wanted: true,
            is_fresh: true,
            ordinary: Some(&ordinary),
            suspect: Some(&suspect),
            evacuating: evacuating.as_ref(),
        };
        check(&place, &expected, &format!("{replacement}, evacuating on {evacuating_on:?}"));
    }
}

#[test]
fn a_suspect_that_nobody_wants() {
    let (drop, promote) = (Fix::Drop(Presence::Suspect), Fix::Promote(Presence::Suspect));
    for (is_fresh, suspect_on, expected) in [
        (true, "live", vec![drop]),
        (true, "lost", vec![drop]),
        (false, "lost", vec![drop]),
        (false, "live", vec![promote]),
    ] {
        let suspect = row('R', suspect_on);
        let place = Index { is_fresh, suspect: Some(&suspect), ..Index::default() };
        check(&place, &expected, &format!("fresh {is_fresh}, on {suspect_on}"));
    }
}

#[test]
fn an_evacuating_record_goes_with_its_cell_and_when_it_has_done_its_service() {
    let drop = Fix::Drop(Presence::Evacuating);
    let stop = Fix::Stop(Presence::Evacuating);
    // wanted; not wanted and fresh; not wanted and not vouched for
    for (replacement, cell, evacuating_on, wanted, fresh, stale) in [
        ('U', "", "live", vec![], vec![stop, DROP], vec![]),
        ('U', "", "lost", vec![drop], vec![drop, DROP], vec![drop]),
        ('U', "", "new", vec![], vec![stop, DROP], vec![]),
        ('C', "live", "live", vec![], vec![stop, STOP], vec![]),
        ('C', "lost", "live", vec![Fix::Unclaim], vec![stop, DROP], vec![DROP]),
        ('R', "live", "live", vec![drop], vec![drop, STOP], vec![drop]),
        ('X', "", "live", vec![], vec![stop, DROP], vec![]),
        ('D', "", "live", vec![Fix::Restart], vec![stop, DROP], vec![]),
        ('E', "", "live", vec![drop], vec![drop, DROP], vec![drop]),
        ('-', "", "live", vec![Fix::Create], vec![stop], vec![]),
    ] {
        let ordinary = (replacement != '-').then(|| row(replacement, cell));
        let evacuating = row('R', evacuating_on);
        let (ordinary, evacuating) = (ordinary.as_ref(), Some(&evacuating));
        let place = Index { ordinary, evacuating, ..Index::default() };
        let what = format!("{replacement} {cell}, evacuating on {evacuating_on}");
        check(&Index { is_wanted: true, is_fresh: true, ..place }, &wanted, &what);
        check(&Index { is_wanted: true, is_fresh: false, ..place }, &wanted, &what);
        check(&Index { is_wanted: false, is_fresh: true, ..place }, &fresh, &what);
        check(&Index { is_wanted: false, is_fresh: false, ..place }, &stale, &what);
    }
}

#[test]
fn a_task_by_state_and_age() {
    let outcome = TaskOutcome::default;
    let running = |cell| TaskState::Running { cell_id: cell_id(cell) };
    for (state, created, updated, expected) in [
        (TaskState::Pending, 10, 10, None),
        (TaskState::Pending, 29, 29, None),
        (TaskState::Pending, 30, 30, Some(TaskFix::Auction)),
        (TaskState::Pending, 1_799, 10, None),
        (TaskState::Pending, 1_800, 10, Some(TaskFix::Fail(NOT_STARTED_IN_TIME))),
        (running("live"), 9_000, 9_000, None),
        (running("lost"), 1, 1, Some(TaskFix::Fail(CELL_DISAPPEARED))),
        (TaskState::Completed(outcome()), 9_000, 29, None),
        (TaskState::Completed(outcome()), 9_000, 30, Some(TaskFix::Notify)),
        (TaskState::Completed(outcome()), 9_000, 119, Some(TaskFix::Notify)),
        (TaskState::Completed(outcome()), 9_000, 120, Some(TaskFix::Delete)),
        (TaskState::Resolving(outcome()), 9_000, 29, None),
        (TaskState::Resolving(outcome()), 9_000, 30, Some(TaskFix::Unresolve)),
    ] {
        let ago = |secs| NOW - Duration::from_secs(secs);
        let what = format!("{state:?} {created} {updated}");
        let (created_at, updated_at) = (ago(created), ago(updated));
        let record = Task { state, created_at, updated_at, ..task_record("t") };
        assert_eq!(task(&record, standing, NOW), expected, "{what}");
    }
}
