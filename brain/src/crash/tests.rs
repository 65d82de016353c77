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
        assert_eq!(verdict(RestartPolicy::Always, count, "x"), expected, "{count}");
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
    for (policy, count, reason, expected) in [
        (RestartPolicy::Always, 1, "Exited with status 0", Verdict::Restart),
        (RestartPolicy::Never, 1, "Exited with status 1", Verdict::Exit),
        (RestartPolicy::Never, 1, "Exited with status 0", Verdict::Exit),
        (on_failure(3), 1, "Exited with status 0", Verdict::Exit),
        (on_failure(3), 1, "APP: exited with status 0 (done)", Verdict::Exit),
        (on_failure(3), 1, "Exited with status 1", Verdict::Restart),
        (on_failure(3), 3, "Exited with status 1", Verdict::BackOff),
        (on_failure(3), 4, "Exited with status 1", Verdict::Exit),
        (on_failure(0), 1, "out of memory", Verdict::Exit),
    ] {
        assert_eq!(verdict(policy, count, reason), expected, "{policy:?} {count} {reason}");
    }
}

#[test]
fn only_status_zero_is_a_success() {
    for (reason, expected) in [
        ("Exited with status 0", true),
        ("APP/PROC: Exited with status 0", true),
        ("Exited with status 01", false),
        ("Exited with status 10", false),
        ("Exited with status 137", false),
        ("", false),
    ] {
        assert_eq!(is_success(reason), expected, "{reason}");
    }
}
