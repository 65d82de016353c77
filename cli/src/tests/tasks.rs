//! Tasks, and documents that pass as they are.

use lattice_model::task::TaskOutcome;
use lattice_model::{CellId, ErrorName, Refusal, TaskState};

use super::fakes::{Fate, Machine, task};

fn machine() -> Machine {
    let machine = Machine::targeted();
    let done = |failed: bool, failure_reason: &str, result: &str| {
        TaskState::Completed(TaskOutcome {
            failed,
            failure_reason: failure_reason.to_owned(),
            result: result.to_owned(),
        })
    };
    for (guid, state) in [
        ("runs", TaskState::Running { cell_id: CellId::new("cell-1").unwrap() }),
        ("waits", TaskState::Pending),
        ("good", done(false, "", "the result")),
        ("bad", done(true, "Exited with status 2", "")),
    ] {
        machine.state().tasks.insert(guid.to_owned(), task(guid, state));
    }
    machine
}

#[tokio::test]
async fn tasks_are_listed_and_shown() {
    let machine = machine();
    let ran = machine.ltc("list").await.succeeds();
    insta::assert_snapshot!(ran.stdout, @r#"
    no apps

    TASK    CELL     STATE       RESULT       FAILURE REASON
    bad     -        COMPLETED   -            Exited with status 2
    good    -        COMPLETED   the result   -
    runs    cell-1   RUNNING     -            -
    waits   -        PENDING     -            -
    "#);
    let mut all = String::new();
    for guid in ["runs", "good", "bad"] {
        all += &machine.ltc(&format!("task {guid}")).await.succeeds().stdout;
    }
    insta::assert_snapshot!(all, @r#"
    Task    runs
    State   RUNNING
    Cell    cell-1
    Task     good
    State    COMPLETED
    Result   the result
    Task             bad
    State            COMPLETED
    Failure reason   Exited with status 2
    "#);
    let json = machine.ltc("tk good -o json").await.succeeds().json();
    assert_eq!((&json["state"], &json["result"]), (&"COMPLETED".into(), &"the result".into()));
    machine.ltc("task nobody").await.fails(14, &["no task named nobody", "ltc list"]);
}

#[tokio::test]
async fn only_tasks_that_have_not_ended_are_cancelled() {
    let machine = machine();
    machine.ltc("cancel-task runs").await.succeeds();
    machine.ltc("ct waits").await.succeeds();
    machine.ltc("ct good").await.fails(14, &["ended already (COMPLETED)", "ltc delete-task good"]);
    machine.ltc("ct nobody").await.fails(14, &["no task named nobody"]);
}

#[tokio::test]
async fn deleting_ends_a_task_first() {
    let machine = machine();
    machine.ltc("delete-task runs").await.succeeds();
    machine.ltc("dt good").await.succeeds();
    let left: Vec<String> = machine.state().tasks.keys().cloned().collect();
    assert_eq!(left, ["bad", "waits"]);
    machine.ltc("dt nobody").await.fails(14, &["no task named nobody"]);
    machine.state().fate = Fate::Stuck;
    machine.ltc("dt waits -t 20ms").await.fails(14, &["not ended within 20ms", "ltc task waits"]);
}

#[tokio::test]
async fn documents_pass_as_they_are() {
    let mut machine = machine();
    let text = r#"{"process_guid":"web","domain":"lattice","unknown":[1]}"#;
    let path = machine.write("lrp.json", text);
    let ran = machine.ltc(&format!("submit-lrp {path}")).await.succeeds();
    assert!(ran.stderr.contains("ltc status web"), "{}", ran.stderr);
    machine.person.stdin = r#"{"task_guid":"t","domain":"other"}"#.to_owned();
    let ran = machine.ltc("su -").await.succeeds();
    assert!(ran.stderr.contains("ltc task t"), "{}", ran.stderr);
    let state = machine.state();
    assert_eq!(state.submitted[0], ("/v1/desired_lrps".to_owned(), text.to_owned()));
    assert_eq!(state.submitted[1].0, "/v1/tasks");
    assert_eq!(state.domains.len(), 1, "the owner of another domain vouches for it");
}

#[tokio::test]
async fn documents_that_cannot_be_are_refused() {
    let machine = machine();
    machine.ltc("submit-lrp /no/such.json").await.fails(12, &["cannot read /no/such.json"]);
    let broken = machine.write("broken.json", "{");
    machine.ltc(&format!("sl {broken}")).await.fails(14, &["not a JSON document", "line 1"]);
    let reserved = machine.write("reserved.json", r#"{"process_guid":"lattice-debug"}"#);
    machine.ltc(&format!("sl {reserved}")).await.fails(14, &["platform's own log"]);
    let words = "Invalid field: domain, invalid action type";
    machine.state().refusal = Some(Refusal::new(ErrorName::InvalidTask, words));
    let empty = machine.write("empty.json", "{}");
    machine.ltc(&format!("submit-task {empty}")).await.fails(14, &[words]);
}
