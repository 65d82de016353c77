use std::collections::VecDeque;
use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use lattice_api::brain::{Bbs as _, Receptor as _};
use lattice_api::cell::{Rep, RepConnector};
use lattice_daemon::clock::SystemClock;
use lattice_model::task::TaskOutcome;
use lattice_model::{CellPresence, TaskDefinition};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::*;
use crate::config::{Config, Timeouts};
use crate::store::fake::InMemory;
use crate::testing::{cell_id, task_definition, tg};

struct NoCells;

impl RepConnector for NoCells {
    fn connect(&self, _: &CellPresence) -> Option<Arc<dyn Rep>> {
        None
    }
}

/// An owner that answers with these statuses, the last for ever; 0 is silence.
#[derive(Clone)]
struct Owner {
    answers: Arc<Mutex<VecDeque<u16>>>,
    heard: Arc<Mutex<Vec<serde_json::Value>>>,
}

async fn answer(State(owner): State<Owner>, body: axum::Json<serde_json::Value>) -> StatusCode {
    owner.heard.lock().unwrap().push(body.0);
    let status = {
        let mut answers = owner.answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0] }
    };
    if status == 0 {
        std::future::pending::<()>().await;
    }
    StatusCode::from_u16(status).unwrap()
}

/// Completes a task whose owner answers so; returns what the owner heard and what became of the
/// task.
async fn check(answers: &[u16], heard: usize, state: Option<&str>) -> Vec<serde_json::Value> {
    let owner = Owner {
        answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
        heard: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // A name under `localhost`, as apps of the usual domain have: the resolver must know it.
    let url = format!("http://owner.localhost:{}/done", listener.local_addr().unwrap().port());
    let app = Router::new().route("/done", post(answer)).with_state(owner.clone());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let tasks = Tasks::default();
    let timeouts = Timeouts { callback: Duration::from_millis(200), ..Timeouts::default() };
    let config = Config { timeouts, ..Config::new("/nonexistent") };
    let (store, clock) = (InMemory::default(), Arc::new(SystemClock));
    let brain = crate::start_with(config, store, Arc::new(NoCells), clock, &tasks).await.unwrap();
    let definition = TaskDefinition {
        completion_callback_url: url,
        annotation: "mine".into(),
        ..task_definition("t", 1)
    };
    brain.desire_task(definition).await.unwrap();
    assert!(brain.start_task(&tg("t"), &cell_id("a")).await.unwrap());
    let outcome = TaskOutcome { result: "42".into(), ..TaskOutcome::default() };
    brain.complete_task(&tg("t"), &cell_id("a"), outcome).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let task = brain.task(&tg("t")).await.ok();
        let count = owner.heard.lock().unwrap().len();
        if count == heard && task.as_ref().map(|task| task.state.name()) == state {
            break;
        }
        assert!(Instant::now() < deadline, "{answers:?}: heard {count}, {task:?}");
        sleep(Duration::from_millis(5)).await;
    }
    assert!(tasks.end(Duration::from_secs(10)).await);
    server.abort();
    let heard = owner.heard.lock().unwrap();
    heard.clone()
}

#[tokio::test]
async fn an_owner_is_told_how_the_task_ended_and_the_task_is_forgotten() {
    let heard = check(&[200], 1, None).await;
    let notice = &heard[0];
    assert!(notice["created_at"].as_i64().unwrap() > 0);
    for (field, expected) in [
        ("task_guid", serde_json::json!("t")),
        ("failed", serde_json::json!(false)),
        ("failure_reason", serde_json::json!("")),
        ("result", serde_json::json!("42")),
        ("annotation", serde_json::json!("mine")),
        ("state", serde_json::json!("RESOLVING")),
        ("cell_id", serde_json::json!("")),
        ("rootfs", serde_json::json!(task_definition("t", 1).main().rootfs)),
    ] {
        assert_eq!(notice[field], expected, "{field} in {notice}");
    }
    let task = lattice_api::brain::bodies::task::parse_response(notice).unwrap();
    assert_eq!(task.definition.main().action, task_definition("t", 1).main().action);
}

#[tokio::test]
async fn any_answer_counts_as_told_but_unavailable_which_is_tried_three_times() {
    check(&[404], 1, None).await;
    check(&[302], 1, None).await;
    check(&[500], 1, None).await;
    check(&[503, 504, 200], 3, None).await;
    check(&[503], 3, Some("RESOLVING")).await;
}

#[tokio::test]
async fn a_silent_owner_is_tried_three_times_too() {
    check(&[0, 0, 200], 3, None).await;
}

#[tokio::test]
async fn an_owner_that_is_not_there_leaves_the_task_to_convergence() {
    let tasks = Tasks::default();
    let config = Config::new("/nonexistent");
    let (store, clock) = (InMemory::default(), Arc::new(SystemClock));
    let brain = crate::start_with(config, store, Arc::new(NoCells), clock, &tasks).await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    let definition = TaskDefinition { completion_callback_url: url, ..task_definition("t", 1) };
    brain.desire_task(definition).await.unwrap();
    brain.cancel_task(&tg("t")).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while brain.task(&tg("t")).await.unwrap().state.name() != "RESOLVING" {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(5)).await;
    }
    assert!(tasks.end(Duration::from_secs(10)).await);
}
