use proptest::prelude::*;

use super::*;

fn net() -> NetInfo {
    NetInfo {
        address: "192.0.2.1".into(),
        instance_address: "10.0.0.2".into(),
        ..NetInfo::default()
    }
}

fn crash(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.into(), is_retryable: false }
}

fn told(telling: Telling, answer: Answer) -> Input {
    Input::Told(telling, answer)
}

fn at(kind: Kind, inputs: &[Input]) -> Instance {
    let mut instance = Instance::reserved(kind, Time::from_secs(0));
    for input in inputs {
        instance.on(input.clone(), Time::from_secs(1));
    }
    instance
}

fn initializing() -> Vec<Input> {
    vec![Input::Begin, told(Telling::Claim, Answer::Done)]
}

fn running() -> Vec<Input> {
    let mut inputs = initializing();
    inputs.extend([Input::ContainerCreated, Input::Healthy(net())]);
    inputs.push(told(Telling::Start(net()), Answer::Done));
    inputs
}

fn after(mut inputs: Vec<Input>, more: impl IntoIterator<Item = Input>) -> Vec<Input> {
    inputs.extend(more);
    inputs
}

fn check(before: Vec<Input>, input: Input, expected: &[Effect]) {
    let mut instance = at(Kind::Lrp, &before);
    assert_eq!(instance.on(input.clone(), Time::from_secs(2)), expected, "{before:?} + {input:?}");
}

#[test]
fn a_life_goes_from_reservation_to_oblivion() {
    use Effect as E;
    let removed = Input::Removed { is_whole: true };
    let crashed = Telling::Crash("r".into());
    check(vec![], Input::Begin, &[E::Tell(Telling::Claim)]);
    check(vec![Input::Begin], told(Telling::Claim, Answer::Done), &[E::Run]);
    check(initializing(), Input::ContainerCreated, &[]);
    check(initializing(), Input::Healthy(net()), &[E::Tell(Telling::Start(net()))]);
    check(running(), told(Telling::Start(net()), Answer::Done), &[E::Announce]);
    check(running(), Input::Ended(crash("r")), &[E::Withdraw, E::Remove]);
    let ended = after(running(), [Input::Ended(crash("r"))]);
    check(ended.clone(), removed.clone(), &[E::Release, E::Tell(crashed.clone())]);
    let over = after(ended, [removed]);
    check(over, told(crashed, Answer::Done), &[E::Forget]);
}

#[test]
fn a_stop_withdraws_before_it_ends_and_is_told_as_a_removal() {
    use Effect as E;
    check(running(), Input::StopAsked, &[E::Withdraw, E::Stop]);
    check(after(running(), [Input::StopAsked]), Input::StopAsked, &[]);
    let stopped = after(running(), [Input::StopAsked, Input::Ended(crash("exit 143"))]);
    check(stopped, Input::Removed { is_whole: true }, &[E::Release, E::Tell(Telling::Remove)]);
    check(vec![Input::Begin], Input::StopAsked, &[E::Release, E::Tell(Telling::Remove)]);
}

#[test]
fn an_instance_that_is_not_ready_loses_its_routes_and_nothing_else() {
    use Effect as E;
    let unready = NetInfo { unready: true, ..net() };
    let told_unready = E::Tell(Telling::Start(unready.clone()));
    let started = after(initializing(), [Input::Healthy(unready.clone())]);
    check(started.clone(), told(Telling::Start(unready.clone()), Answer::Done), &[]);
    check(started.clone(), Input::Ready(true), &[E::Tell(Telling::Start(net()))]);
    check(started.clone(), Input::Ready(false), &[]);
    let ready = after(started, [Input::Ready(true)]);
    check(ready.clone(), told(Telling::Start(net()), Answer::Done), &[E::Announce]);
    check(ready.clone(), told(Telling::Start(net()), Answer::Silence), &[E::Announce]);
    check(running(), Input::Ready(false), &[E::Withdraw, told_unready]);
    check(running(), Input::Ready(true), &[]);
    let gone = after(running(), [Input::Ready(false)]);
    check(gone.clone(), told(Telling::Start(unready), Answer::Done), &[]);
    check(gone, Input::Ended(crash("r")), &[E::Withdraw, E::Remove]);
    check(after(running(), [Input::StopAsked]), Input::Ready(false), &[]);
    check(initializing(), Input::Ready(true), &[]);
}

#[test]
fn a_refused_claim_gives_the_reservation_back_and_a_silent_brain_does_not() {
    check(
        vec![Input::Begin],
        told(Telling::Claim, Answer::Refused),
        &[Effect::Release, Effect::Forget],
    );
    check(vec![Input::Begin], told(Telling::Claim, Answer::Silence), &[]);
}

#[test]
fn a_refused_start_stops_and_silence_stops_nothing() {
    let start = Telling::Start(net());
    check(running(), told(start.clone(), Answer::Refused), &[Effect::Withdraw, Effect::Stop]);
    check(running(), told(start, Answer::Silence), &[Effect::Announce]);
    for cure in [Cure::Wait, Cure::Start, Cure::Ask, Cure::Claim] {
        let mut instance = at(Kind::Lrp, &running());
        let effects = instance.on(Input::Cure(cure), Time::from_secs(9999));
        assert!(!effects.contains(&Effect::Stop), "{cure:?}");
    }
}

#[test]
fn resources_are_given_back_only_after_removal_and_once() {
    let ended = after(running(), [Input::Ended(crash("r"))]);
    let failed = Input::Removed { is_whole: false };
    let crashed = Telling::Crash("r".into());
    check(ended.clone(), failed.clone(), &[Effect::Tell(crashed.clone())]);
    let told_but_there = after(ended, [failed, told(crashed, Answer::Done)]);
    check(told_but_there.clone(), Input::Cure(Cure::Tell), &[Effect::Remove]);
    check(told_but_there, Input::Removed { is_whole: true }, &[Effect::Release, Effect::Forget]);
}

#[test]
fn an_end_the_brain_did_not_hear_is_told_again() {
    let crashed = Telling::Crash("r".into());
    let unheard = after(
        running(),
        [
            Input::Ended(crash("r")),
            Input::Removed { is_whole: true },
            told(crashed.clone(), Answer::Silence),
        ],
    );
    check(unheard.clone(), Input::Cure(Cure::Tell), &[Effect::Tell(crashed)]);
    check(unheard, Input::Cure(Cure::Discard), &[Effect::Forget]);
}

#[test]
fn a_reservation_expires_when_nobody_answers() {
    let mut instance = at(Kind::Lrp, &[Input::Begin]);
    let claim = vec![Effect::Tell(Telling::Claim)];
    assert_eq!(instance.on(Input::Cure(Cure::Claim), Time::from_secs(30)), claim);
    let gone = instance.on(Input::Cure(Cure::Claim), Time::from_secs(60));
    assert_eq!(gone, [Effect::Release, Effect::Forget]);
}

#[test]
fn a_task_is_gated_completed_rejected_or_cancelled() {
    let begun = [Input::Begin, told(Telling::StartTask, Answer::Done)];
    let end = |outcome: Outcome| {
        let mut task = at(Kind::Task, &begun);
        task.on(Input::Ended(outcome), Time::from_secs(2));
        task.on(Input::Removed { is_whole: true }, Time::from_secs(3))
    };
    let completed = |failed: bool, failure_reason: &str, result: &str| {
        Effect::Tell(Telling::CompleteTask(TaskOutcome {
            failed,
            failure_reason: failure_reason.into(),
            result: result.into(),
        }))
    };
    let success = end(Outcome::Succeeded { result: "42".into() });
    assert_eq!(success, [Effect::Release, completed(false, "", "42")]);
    assert_eq!(end(crash("why")), [Effect::Release, completed(true, "why", "")]);
    let retryable = Outcome::Failed { reason: "no image".into(), is_retryable: true };
    let rejected = Effect::Tell(Telling::RejectTask { reason: "no image".into() });
    assert_eq!(end(retryable), [Effect::Release, rejected]);
    let cancelled = end(Outcome::Stopped);
    assert_eq!(cancelled, [Effect::Release, completed(true, "task was cancelled", "")]);
    let mut gate = at(Kind::Task, &[Input::Begin]);
    let declined = gate.on(told(Telling::StartTask, Answer::Declined), Time::from_secs(1));
    assert_eq!(declined, [Effect::Release, Effect::Forget]);
    let mut live = at(Kind::Task, &begun);
    let still_ours = told(Telling::StartTask, Answer::Declined);
    assert_eq!(live.on(still_ours, Time::from_secs(1)), []);
}

fn any_input() -> impl Strategy<Value = Input> {
    let answer = prop_oneof![
        Just(Answer::Done),
        Just(Answer::Declined),
        Just(Answer::Refused),
        Just(Answer::Silence)
    ];
    let telling = prop_oneof![
        Just(Telling::Claim),
        Just(Telling::Start(net())),
        Just(Telling::Crash("r".into())),
        Just(Telling::Remove)
    ];
    let cure = prop_oneof![
        Just(Cure::Wait),
        Just(Cure::Claim),
        Just(Cure::Run),
        Just(Cure::Ask),
        Just(Cure::Start),
        Just(Cure::Discard),
        Just(Cure::Tell)
    ];
    prop_oneof![
        Just(Input::Begin),
        (telling, answer).prop_map(|(telling, answer)| Input::Told(telling, answer)),
        Just(Input::ContainerCreated),
        Just(Input::Healthy(net())),
        Just(Input::Ended(crash("r"))),
        Just(Input::StopAsked),
        any::<bool>().prop_map(|is_whole| Input::Removed { is_whole }),
        cure.prop_map(Input::Cure),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_resources_are_released_once_and_before_oblivion(
        inputs in proptest::collection::vec(any_input(), 0..40),
    ) {
        let mut instance = Instance::reserved(Kind::Lrp, Time::from_secs(0));
        let (mut runs, mut releases, mut is_forgotten) = (0, 0, false);
        for (second, input) in inputs.into_iter().enumerate() {
            if is_forgotten {
                break;
            }
            for effect in instance.on(input, Time::from_secs(second as i64)) {
                runs += u32::from(effect == Effect::Run);
                releases += u32::from(effect == Effect::Release);
                is_forgotten |= effect == Effect::Forget;
                prop_assert!(effect != Effect::Run || releases == 0);
            }
        }
        prop_assert!(runs <= 1 && releases <= 1);
        prop_assert!(!is_forgotten || releases == 1);
    }
}
