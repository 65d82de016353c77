use lattice_api::cell::Rep as _;
use lattice_model::Action;
use lattice_model::action::Download;
use lattice_model::task::RESULT_BYTES_MAX;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::{perform, until_told};
use crate::testing::{self, Bed, Script, eventually};

fn bed() -> Bed {
    let bed = Bed::new();
    bed.runtime.program("/ok", Script::exits(0));
    bed.runtime.program("/bad", Script::exits(5));
    bed.runtime.program("/forever", Script::forever());
    bed
}

#[tokio::test]
async fn a_task_that_succeeds_gives_its_result_file() {
    let bed = bed();
    let cell = bed.start().await;
    let mut task = testing::task("t", testing::run("/ok"));
    task.definition.result_file = "/result".into();
    bed.files.files.lock().unwrap().insert("/result".into(), b"42".to_vec());
    perform(&cell, testing::task_work(&task)).await;
    until_told(&bed, "complete t result: 42").await;
    assert_eq!(cell.state().await.unwrap().available.memory_mb, 1024);
}

#[tokio::test]
async fn failures_have_their_own_words() {
    let long = vec![b'x'; RESULT_BYTES_MAX + 1];
    for (program, result_file, told) in [
        ("/bad", "", "complete t failed: APP: Exited with status 5"),
        ("/ok", "/missing", "complete t failed: failed to fetch result"),
        ("/ok", "/long", "complete t failed: failed to fetch result"),
        ("/none", "", "complete t failed: cannot run /none: no such file or directory"),
    ] {
        let bed = bed();
        bed.files.files.lock().unwrap().insert("/long".into(), long.clone());
        let cell = bed.start().await;
        let mut task = testing::task("t", testing::run(program));
        task.definition.result_file = result_file.into();
        perform(&cell, testing::task_work(&task)).await;
        until_told(&bed, told).await;
    }
}

#[tokio::test]
async fn a_result_of_just_the_greatest_size_arrives() {
    let bed = bed();
    let cell = bed.start().await;
    let mut task = testing::task("t", testing::run("/ok"));
    task.definition.result_file = "/result".into();
    let result = "x".repeat(RESULT_BYTES_MAX);
    bed.files.files.lock().unwrap().insert("/result".into(), result.clone().into_bytes());
    perform(&cell, testing::task_work(&task)).await;
    until_told(&bed, &format!("complete t result: {result}")).await;
}

#[tokio::test]
async fn a_task_that_could_not_begin_is_rejected_for_another_try() {
    let bed = bed();
    let cell = bed.start().await;
    *bed.images.pull_error.lock().unwrap() = Some("gone".into());
    let task = testing::task("t", testing::run("/ok"));
    perform(&cell, testing::task_work(&task)).await;
    let why = "failed to create container: reg.test/app:v1 was not found: gone";
    until_told(&bed, &format!("reject t: {why}")).await;
}

#[tokio::test]
async fn a_task_the_brain_does_not_grant_is_never_run() {
    let bed = bed();
    let cell = bed.start().await;
    bed.bbs.refuses.lock().unwrap().insert("start-task");
    let task = testing::task("t", testing::run("/ok"));
    perform(&cell, testing::task_work(&task)).await;
    until_told(&bed, "start-task t").await;
    let mut is_forgotten = false;
    for _ in 0..1_000 {
        is_forgotten = cell.state().await.unwrap().tasks.is_empty();
        if is_forgotten {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(is_forgotten);
    assert_eq!(cell.state().await.unwrap().available.memory_mb, 1024);
    assert_eq!(bed.runtime.runs_of("/ok"), 0);
}

#[tokio::test]
async fn a_cancelled_task_ends() {
    let bed = bed();
    let cell = bed.start().await;
    let task = testing::task("t", testing::run("/forever"));
    perform(&cell, testing::task_work(&task)).await;
    eventually("it runs", || bed.runtime.runs_of("/forever") == 1).await;
    cell.cancel_task(&task.definition.task_guid).await.unwrap();
    until_told(&bed, "complete t failed: task was cancelled").await;
    assert!(bed.runtime.containers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_rules_of_a_task_come_to_the_network() {
    let bed = bed();
    let cell = bed.start().await;
    let mut task = testing::task("t", testing::run("/ok"));
    task.definition.egress_rules = testing::egress_rules();
    perform(&cell, testing::task_work(&task)).await;
    until_told(&bed, "complete t result: ").await;
    let egress = bed.network.egress.lock().unwrap();
    assert_eq!(egress.values().collect::<Vec<_>>(), [&task.definition.egress_rules]);
}

#[tokio::test]
async fn a_task_is_cancelled_in_the_middle_of_a_download_that_never_ends() {
    let bed = bed();
    let cell = bed.start().await;
    let server = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let from = format!("http://{}/endless", server.local_addr().unwrap());
    let to = "/tmp".to_owned();
    let download = Download { from, to, user: "root".to_owned(), ..Download::default() };
    let task = testing::task("t", Action::Download(download));
    perform(&cell, testing::task_work(&task)).await;
    let (mut asking, _) = server.accept().await.unwrap();
    asking.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegins").await.unwrap();
    cell.cancel_task(&task.definition.task_guid).await.unwrap();
    until_told(&bed, "complete t failed: task was cancelled").await;
    assert_eq!(cell.state().await.unwrap().available.memory_mb, 1024);
    drop(asking);
}
