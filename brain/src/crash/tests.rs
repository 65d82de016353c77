use super::*;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn the_third_crash_in_a_row_backs_off_and_each_further_one_waits_twice_as_long() {
    for (count, expected, wait) in [
        (1, Verdict::Restart, Some(secs(30))),
        (2, Verdict::Restart, Some(secs(30))),
        (3, Verdict::BackOff, Some(secs(30))),
        (4, Verdict::BackOff, Some(secs(60))),
        (5, Verdict::BackOff, Some(secs(120))),
        (6, Verdict::BackOff, Some(secs(240))),
        (7, Verdict::BackOff, Some(secs(480))),
        (8, Verdict::BackOff, Some(secs(960))),
        (9, Verdict::BackOff, Some(secs(960))),
        (199, Verdict::BackOff, Some(secs(960))),
        (200, Verdict::BackOff, None),
        (u32::MAX, Verdict::BackOff, None),
    ] {
        assert_eq!(verdict(RestartPolicy::Always, count, false), expected, "{count}");
        assert_eq!(wait_after(count), wait, "{count}");
    }
}

#[test]
fn a_long_run_starts_the_count_anew() {
    for (count, ran_for, expected) in [
        (0, None, 1),
        (5, None, 6),
        (5, Some(secs(1)), 6),
        (5, Some(secs(300)), 6),
        (5, Some(secs(301)), 1),
        (u32::MAX, None, u32::MAX),
    ] {
        assert_eq!(count_after(count, ran_for), expected, "{count} {ran_for:?}");
    }
}

#[test]
fn restart_policies_say_when_an_instance_stays_as_it_ended() {
    let on_failure = |attempts_max| RestartPolicy::OnFailure { attempts_max };
    for (policy, count, is_success, expected) in [
        (RestartPolicy::Always, 1, true, Verdict::Restart),
        (RestartPolicy::Always, 3, true, Verdict::BackOff),
        (RestartPolicy::Never, 1, false, Verdict::Exit),
        (RestartPolicy::Never, 1, true, Verdict::Exit),
        (on_failure(3), 1, true, Verdict::Exit),
        (on_failure(3), 1, false, Verdict::Restart),
        (on_failure(3), 3, false, Verdict::BackOff),
        (on_failure(3), 4, false, Verdict::Exit),
        (on_failure(0), 1, false, Verdict::Exit),
    ] {
        assert_eq!(verdict(policy, count, is_success), expected, "{policy:?} {count} {is_success}");
    }
}
