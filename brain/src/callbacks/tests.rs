use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use lattice_api::brain::{Bbs as _, Receptor as _};
use lattice_api::cell::{Rep, RepConnector};
use lattice_daemon::clock::Clock;
use lattice_daemon::tasks::Tasks;
use lattice_model::actual_lrp::PlacementError;
use lattice_model::task::TaskOutcome;
use lattice_model::{CellPresence, TaskDefinition, Time};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::*;
use crate::auction::Item;
use crate::board::FailedPlacement;
use crate::config::{Config, Timeouts};
use crate::store::fake::InMemory;
use crate::testing::{cell_id, task_definition, tg};

struct NoCells;

impl RepConnector for NoCells {
    fn connect(&self, _: &CellPresence) -> Option<Arc<dyn Rep>> {
        None
    }
}

/// A clock that a test moves.
struct ManualClock(AtomicI64);

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

/// An owner that answers with these statuses, the last for ever; 0 is silence.
#[derive(Clone, Default)]
struct Owner {
    answers: Arc<Mutex<VecDeque<u16>>>,
    heard: Arc<Mutex<Vec<Value>>>,
    listening: Arc<AtomicUsize>,
    listening_max: Arc<AtomicUsize>,
    redirect_to: Arc<Mutex<String>>,
}

impl Owner {
    /// Listens on a port of its own.
    async fn listen(answers: &[u16]) -> (Self, SocketAddr) {
        let owner = Self::default();
        owner.answers.lock().unwrap().extend(answers);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/done", post(answer)).with_state(owner.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (owner, address)
    }

    fn heard(&self) -> Vec<Value> {
        self.heard.lock().unwrap().clone()
    }
}

async fn answer(State(owner): State<Owner>, body: axum::Json<Value>) -> Response {
    owner.heard.lock().unwrap().push(body.0);
    let now = owner.listening.fetch_add(1, Ordering::SeqCst) + 1;
    owner.listening_max.fetch_max(now, Ordering::SeqCst);
    let status = {
        let mut answers = owner.answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0] }
    };
    // Time for others to come while this one is being told.
    sleep(Duration::from_millis(5)).await;
    if status == 0 {
        std::future::pending::<()>().await;
    }
    owner.listening.fetch_sub(1, Ordering::SeqCst);
    let location = owner.redirect_to.lock().unwrap().clone();
    let endless = futures_util::stream::repeat(Ok::<_, Infallible>("x".repeat(65_536)));
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::LOCATION, location)], Body::from_stream(endless)).into_response()
}

/// A brain without cells, whose owners have a moment to answer.
struct World {
    brain: Handle,
    clock: Arc<ManualClock>,
    tasks: Tasks,
}

impl World {
    async fn new(callback: Duration) -> Self {
        let tasks = Tasks::default();
        let timeouts = Timeouts { callback, ..Timeouts::default() };
        let config = Config { timeouts, ..Config::new("/nonexistent") };
        let clock = Arc::new(ManualClock(AtomicI64::new(Time::from_secs(1_000).0)));
        let (store, time) = (InMemory::default(), Arc::clone(&clock));
        let brain =
            crate::start_with(config, store, Arc::new(NoCells), time, &tasks).await.unwrap();
        Self { brain, clock, tasks }
    }

    async fn desire(&self, guid: &str, url: &str) {
        let definition = TaskDefinition {
            completion_callback_url: url.to_owned(),
            annotation: "mine".into(),
            ..task_definition(guid, 1)
        };
        self.brain.desire_task(definition).await.unwrap();
    }

    /// Runs the task to its good end.
    async fn complete(&self, guid: &str) {
        assert!(self.brain.start_task(&tg(guid), &cell_id("a")).await.unwrap());
        let outcome = TaskOutcome { result: "42".into(), ..TaskOutcome::default() };
        self.brain.complete_task(&tg(guid), &cell_id("a"), outcome).await.unwrap();
    }

    /// Time passes, and everything is looked at.
    async fn pass(&self, secs: i64) {
        self.clock.0.fetch_add(Time::from_secs(secs).0, Ordering::SeqCst);
        self.brain.apply(Command::Converge, Patience::Wait).await.unwrap();
    }

    async fn state(&self, guid: &str) -> Option<&'static str> {
        self.brain.task(&tg(guid)).await.ok().map(|task| task.state.name())
    }

    async fn until(&self, what: &str, owner: &Owner, heard: usize, state: Option<&str>) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (count, found) = (owner.heard().len(), self.state("t").await);
            if count == heard && found == state {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: heard {count}, {found:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Completes a task whose owner answers so; returns what the owner heard by the time that the task
/// is as it should be.
async fn check(answers: &[u16], heard: usize, state: Option<&str>) -> Vec<Value> {
    let (owner, address) = Owner::listen(answers).await;
    let world = World::new(Duration::from_millis(200)).await;
    // A name under `localhost`, as apps of the usual domain have: the resolver must know it.
    world.desire("t", &format!("http://owner.localhost:{}/done", address.port())).await;
    world.complete("t").await;
    world.until(&format!("{answers:?}"), &owner, heard, state).await;
    assert!(world.tasks.end(Duration::from_secs(10)).await);
    owner.heard()
}

#[tokio::test]
async fn an_owner_is_told_how_the_task_ended_and_the_task_is_forgotten() {
    let heard = check(&[200], 1, None).await;
    let notice = &heard[0];
    assert!(notice["created_at"].as_i64().unwrap() > 0);
    for (field, expected) in [
        ("task_guid", json!("t")),
        ("failed", json!(false)),
        ("failure_reason", json!("")),
        ("result", json!("42")),
        ("annotation", json!("mine")),
        ("state", json!("RESOLVING")),
        ("cell_id", json!("")),
        ("rootfs", json!(task_definition("t", 1).main().rootfs)),
    ] {
        assert_eq!(notice[field], expected, "{field} in {notice}");
    }
    let task = lattice_api::brain::bodies::task::parse_response(notice).unwrap();
    assert_eq!(task.definition.main().action, task_definition("t", 1).main().action);
}

#[tokio::test]
async fn any_answer_counts_as_told_but_unavailable_which_is_tried_three_times() {
    for status in [201, 204, 302, 400, 404, 429, 500, 502] {
        check(&[status], 1, None).await;
    }
    check(&[503, 200], 2, None).await;
    check(&[503, 504, 200], 3, None).await;
    check(&[503], 3, Some("RESOLVING")).await;
}

#[tokio::test]
async fn a_silent_owner_is_tried_three_times_too() {
    check(&[0, 0, 200], 3, None).await;
}

#[tokio::test]
async fn a_redirect_counts_as_told_and_is_not_followed() {
    let (surprised, elsewhere) = Owner::listen(&[200]).await;
    let (owner, address) = Owner::listen(&[307]).await;
    *owner.redirect_to.lock().unwrap() = format!("http://{elsewhere}/done");
    let world = World::new(Duration::from_secs(5)).await;
    world.desire("t", &format!("http://{address}/done")).await;
    world.complete("t").await;
    world.until("told", &owner, 1, None).await;
    assert_eq!(surprised.heard().len(), 0);
}

#[tokio::test]
async fn an_owner_that_is_not_there_is_tried_again_after_thirty_seconds() {
    let world = World::new(Duration::from_secs(5)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    world.desire("t", &format!("http://{address}/done")).await;
    world.complete("t").await;
    let (owner, nobody) = (Owner::default(), Owner::default());
    world.until("one try", &nobody, 0, Some("RESOLVING")).await;
    owner.answers.lock().unwrap().push_back(200);
    let app = Router::new().route("/done", post(answer)).with_state(owner.clone());
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    // Not before its time, however often convergence looks.
    world.pass(29).await;
    assert_eq!((owner.heard().len(), world.state("t").await), (0, Some("RESOLVING")));
    world.pass(2).await;
    world.until("told at last", &owner, 1, None).await;
}

#[tokio::test]
async fn a_task_whose_owner_is_never_there_is_forgotten_after_two_minutes() {
    let (owner, address) = Owner::listen(&[503]).await;
    let world = World::new(Duration::from_secs(5)).await;
    world.desire("t", &format!("http://{address}/done")).await;
    world.complete("t").await;
    world.until("three tries", &owner, 3, Some("RESOLVING")).await;
    world.pass(119).await;
    assert!(world.state("t").await.is_some(), "there is still time");
    world.pass(2).await;
    world.pass(0).await;
    assert_eq!(world.state("t").await, None);
}

#[tokio::test]
async fn an_owner_hears_of_a_cancelled_and_of_an_unplaceable_task() {
    let (owner, address) = Owner::listen(&[200]).await;
    let world = World::new(Duration::from_secs(5)).await;
    let url = format!("http://{address}/done");
    world.desire("t", &url).await;
    world.brain.cancel_task(&tg("t")).await.unwrap();
    world.until("cancelled", &owner, 1, None).await;
    world.desire("t", &url).await;
    let reason = "found no compatible cell for required rootfs";
    let failed = FailedPlacement {
        item: Item::Task(tg("t")),
        error: PlacementError { reason: reason.to_owned(), detail: String::new() },
        is_impossible: true,
        round: 0,
    };
    world.brain.apply(Command::FailPlacement(failed), Patience::Wait).await.unwrap();
    world.until("unplaceable", &owner, 2, None).await;
    let heard = owner.heard();
    for (notice, reason) in heard.iter().zip(["task was cancelled", reason]) {
        assert_eq!((&notice["failed"], &notice["failure_reason"]), (&json!(true), &json!(reason)));
    }
}

#[tokio::test]
async fn many_owners_are_told_few_at_once_and_a_silent_host_holds_up_its_own_only() {
    let (silent, silent_at) = Owner::listen(&[0]).await;
    let (busy, busy_at) = Owner::listen(&[200]).await;
    let world = World::new(Duration::from_secs(30)).await;
    for n in 0..40 {
        world.desire(&format!("s{n}"), &format!("http://{silent_at}/done")).await;
        world.complete(&format!("s{n}")).await;
    }
    for n in 0..40 {
        world.desire(&format!("b{n}"), &format!("http://{busy_at}/done")).await;
        world.complete(&format!("b{n}")).await;
    }
    world.until("the busy one has heard all", &busy, 40, None).await;
    let most = |owner: &Owner| owner.listening_max.load(Ordering::SeqCst);
    assert_eq!(most(&silent), 8);
    assert!((1..=8).contains(&most(&busy)), "{}", most(&busy));
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.brain.tasks(None).await.unwrap().len() > 40 {
        assert!(Instant::now() < deadline, "those who were told are forgotten");
        sleep(Duration::from_millis(5)).await;
    }
    assert!(world.state("s0").await.is_some(), "those who were not are kept");
    assert!(world.tasks.end(Duration::from_secs(10)).await, "the silent do not hold up the end");
}
