//! Following logs.

use lattice_api::log_aggregator::LogError;

use super::fakes::{Machine, line};

fn unreachable() -> LogError {
    LogError::Unreachable { url: "ws://doppler.lattice.localhost".into(), cause: "refused".into() }
}

#[tokio::test]
async fn a_lost_connection_is_told_once_and_made_again() {
    let machine = Machine::targeted();
    machine.state().streams = vec![
        Ok(vec![line("one"), line("two")]),
        Err(unreachable()),
        Err(unreachable()),
        Ok(vec![line("three")]),
    ];
    let ran = machine.ltc("logs web").await;
    ran.fails(1, &["no app or task named web; waiting", "connected again"]);
    assert_eq!(ran.stderr.matches("lines may be missing").count(), 2, "{}", ran.stderr);
    let expected = "01/01 00:00:00.00 [APP|0] one\n01/01 00:00:00.00 [APP|0] two\n\
                    01/01 00:00:00.00 [APP|0] three\n";
    assert_eq!(ran.stdout, expected);
}

#[tokio::test]
async fn recent_lines_are_shown_and_that_is_that() {
    let machine = Machine::targeted();
    machine.state().recent = vec![line("old")];
    let ran = machine.ltc("logs web --recent").await.succeeds();
    assert!(ran.stdout.ends_with("old\n"));
    machine.state().streams = vec![Ok(vec![line("new")])];
    let ran = machine.ltc("logs web --recent --follow").await;
    assert!(ran.stdout.ends_with("[APP|0] old\n01/01 00:00:00.00 [APP|0] new\n"), "{ran:?}");
}

#[tokio::test]
async fn nothing_to_look_back_at_is_a_failure() {
    let machine = Machine::targeted();
    machine.ltc("logs nosuch --recent").await.fails(14, &["no app or task named nosuch"]);
}

#[tokio::test]
async fn programs_get_a_document_a_line() {
    let machine = Machine::targeted();
    machine.state().recent = vec![line("a"), line("b")];
    let ran = machine.ltc("logs web --recent -o json").await.succeeds();
    let messages: Vec<serde_json::Value> =
        ran.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((&messages[0]["message"], &messages[1]["message"]), (&"a".into(), &"b".into()));
}

#[tokio::test]
async fn a_log_aggregator_that_was_never_there_is_an_error() {
    let machine = Machine::targeted();
    machine.state().streams = vec![Err(unreachable())];
    machine.ltc("logs web").await.fails(1, &["cannot reach ws://doppler.lattice.localhost"]);
}

#[tokio::test]
async fn the_platforms_own_log_is_pretty_or_raw() {
    let machine = Machine::targeted();
    machine.state().recent = vec![line("INFO up port=1")];
    let pretty = machine.ltc("debug-logs --recent").await.succeeds();
    assert!(pretty.stdout.ends_with("INFO  up port=1\n"), "{}", pretty.stdout);
    let raw = machine.ltc("dl -r --recent").await.succeeds();
    assert!(raw.stdout.ends_with("[APP|0] INFO up port=1\n"), "{}", raw.stdout);
}
