use lattice_model::{
    CellId, Domain, InstanceGuid, InstanceKey, LrpKey, ModificationTag, NetInfo, Presence,
    ProcessGuid, Time,
};
use proptest::prelude::*;

use super::*;

fn lrp(index: u32, state: ActualState) -> ActualLrp {
    ActualLrp {
        key: LrpKey {
            process_guid: ProcessGuid::new("web").unwrap(),
            index,
            domain: Domain::new("lattice").unwrap(),
        },
        presence: Presence::Ordinary,
        state,
        since: Time(0),
        crash_count: 0,
        crash_reason: String::new(),
        modification_tag: ModificationTag::default(),
    }
}

fn instance() -> InstanceKey {
    InstanceKey {
        instance_guid: InstanceGuid::new("g").unwrap(),
        cell_id: CellId::new("cell-1").unwrap(),
    }
}

fn unclaimed(index: u32) -> ActualLrp {
    lrp(index, ActualState::Unclaimed { placement_error: None })
}

fn claimed(index: u32) -> ActualLrp {
    lrp(index, ActualState::Claimed { instance: instance() })
}

fn running(index: u32) -> ActualLrp {
    lrp(index, ActualState::Running { instance: instance(), net: NetInfo::default() })
}

fn progress(index: u32, step: ProgressStep) -> InstanceProgress {
    InstanceProgress { index, cell_id: CellId::new("cell-1").unwrap(), step }
}

fn pulling(index: u32, bytes_done: u64) -> InstanceProgress {
    progress(index, ProgressStep::Pulling { bytes_done, bytes_total: 10 })
}

fn placed(index: u32) -> Step {
    Step::Placed { index, cell: "cell-1".to_owned() }
}

#[test]
fn each_step_is_told_once_and_in_order() {
    let mut rollout = Rollout::new(1, &[]);
    let creating = progress(0, ProgressStep::Creating);
    let starting = progress(0, ProgressStep::Starting);
    let looks = [
        (unclaimed(0), None),
        (claimed(0), Some(pulling(0, 1))),
        (claimed(0), Some(pulling(0, 2))),
        (claimed(0), Some(creating)),
        (claimed(0), None),
        (claimed(0), Some(starting)),
        (running(0), None),
        (running(0), None),
    ];
    let mut steps = Vec::new();
    for (actual, progress) in looks {
        let progress: Vec<_> = progress.into_iter().collect();
        steps.extend(rollout.observe(&[actual], &progress).steps);
    }
    let expected = [
        placed(0),
        Step::Creating { index: 0 },
        Step::Starting { index: 0 },
        Step::Healthy { index: 0 },
    ];
    assert_eq!(steps, expected);
}

#[test]
fn an_instance_that_is_suddenly_healthy_was_placed_somewhere() {
    let mut rollout = Rollout::new(1, &[]);
    let steps = rollout.observe(&[running(0)], &[]).steps;
    assert_eq!(steps, [placed(0), Step::Healthy { index: 0 }]);
}

#[test]
fn what_ran_before_is_no_news() {
    let mut rollout = Rollout::new(2, &[running(0)]);
    let observation = rollout.observe(&[running(0), claimed(1)], &[]);
    assert_eq!(observation.steps, [placed(1)]);
    assert_eq!(observation.verdict, Verdict::Waiting);
}

#[test]
fn a_crash_is_told_even_when_the_instance_is_already_on_its_way_again() {
    let mut rollout = Rollout::new(1, &[]);
    rollout.observe(&[claimed(0)], &[]);
    let mut crashed = claimed(0);
    (crashed.crash_count, crashed.crash_reason) = (1, "boom".to_owned());
    let observation = rollout.observe(&[crashed.clone()], &[]);
    let crash = Step::Crashed { index: 0, count: 1, reason: "boom".to_owned() };
    assert_eq!(observation.steps, [crash, placed(0)]);
    assert_eq!(observation.verdict, Verdict::Waiting);
    assert_eq!(rollout.observe(&[crashed], &[]).steps, []);
}

#[test]
fn the_verdict_follows_the_records() {
    let error = PlacementError { reason: "r".into(), detail: "d".into() };
    let no_place = ActualState::Unclaimed { placement_error: Some(error.clone()) };
    let exited = |index, reason: &str| lrp(index, ActualState::Exited { reason: reason.into() });
    let mut crashed = lrp(1, ActualState::Crashed { reason: String::new() });
    (crashed.crash_count, crashed.crash_reason) = (3, "why".to_owned());
    for (wanted, actual, verdict) in [
        (0, vec![], Verdict::Up),
        (1, vec![], Verdict::Waiting),
        (1, vec![unclaimed(0)], Verdict::Waiting),
        (1, vec![running(0)], Verdict::Up),
        (2, vec![running(0)], Verdict::Waiting),
        (1, vec![running(0), running(1)], Verdict::Waiting),
        (1, vec![running(0), claimed(1)], Verdict::Waiting),
        (2, vec![running(0), lrp(1, no_place)], Verdict::NoPlace(error)),
        (
            2,
            vec![running(0), crashed],
            Verdict::CrashLoop { index: 1, count: 3, reason: "why".into() },
        ),
        (1, vec![exited(0, "done")], Verdict::Ended { reason: "done".into() }),
        (2, vec![exited(0, "done"), running(1)], Verdict::Ended { reason: "done".into() }),
        (2, vec![exited(0, "done"), claimed(1)], Verdict::Waiting),
    ] {
        let mut rollout = Rollout::new(wanted, &[]);
        assert_eq!(rollout.observe(&actual, &[]).verdict, verdict, "{wanted} of {actual:?}");
    }
}

#[test]
fn the_slowest_pull_is_the_one_shown() {
    let mut rollout = Rollout::new(2, &[]);
    let progress = [pulling(0, 9), pulling(1, 3)];
    let pull = rollout.observe(&[claimed(0), claimed(1)], &progress).pull.unwrap();
    assert_eq!(pull, Pull { cells: vec!["cell-1".to_owned()], done: 3, total: 10 });
}

proptest! {
    #[test]
    fn healthy_is_told_at_most_once_for_each_start(states in prop::collection::vec(0_u8..3, 0..40)) {
        let mut rollout = Rollout::new(1, &[]);
        let mut healthy = 0;
        let mut starts = 0;
        let mut was_running = false;
        for state in states {
            let actual = match state {
                0 => unclaimed(0),
                1 => claimed(0),
                _ => running(0),
            };
            let is_running = state == 2;
            starts += usize::from(is_running && !was_running);
            was_running = is_running;
            let steps = rollout.observe(&[actual], &[]).steps;
            healthy += steps.iter().filter(|s| **s == Step::Healthy { index: 0 }).count();
        }
        prop_assert_eq!(healthy, starts);
    }
}
