//! A router that fails itself at a request goes on with all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use h2::Reason;
use http::Method;
use lattice_daemon::clock::{Clock, SystemClock};
use lattice_model::Time;
use lattice_router::{AccessLines, Config};
use tokio::sync::Semaphore;

use crate::http2::client::{Client, request, whole};
use crate::http2::speaks_http2;
use crate::support::{Endpoint, World};
use crate::tls::Authority;

/// A clock that panics once when it is told to: every request asks it when it begins, and when its
/// line is written.
#[derive(Debug, Default)]
struct Bomb {
    is_armed: AtomicBool,
}

impl Clock for Bomb {
    fn now(&self) -> Time {
        let is_worker =
            std::thread::current().name().is_some_and(|name| name.starts_with("router-"));
        assert!(!(is_worker && self.is_armed.swap(false, Ordering::Relaxed)), "the test wants it");
        SystemClock.now()
    }
}

impl Bomb {
    fn arm(&self) {
        self.is_armed.store(true, Ordering::Relaxed);
    }

    fn has_gone_off(&self) -> bool {
        !self.is_armed.load(Ordering::Relaxed)
    }
}

fn config(config: &mut Config) {
    config.workers = 1;
    config.lines = AccessLines::All;
}

/// An endpoint whose answer ends half way, and has the bomb go off then; as soon as there is a permit.
async fn breaking_off(bomb: &Arc<Bomb>, is_read: &Arc<Semaphore>) -> Endpoint {
    let (bomb, is_read) = (bomb.clone(), is_read.clone());
    Endpoint::new(move |mut wire| {
        let (bomb, is_read) = (bomb.clone(), is_read.clone());
        async move {
            let _ = wire.request().await;
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await;
            let _ = is_read.acquire().await;
            bomb.arm();
        }
    })
    .await
}

const GET: &str = "GET / HTTP/1.1\r\nHost: web.test\r\n\r\n";

#[tokio::test]
async fn a_request_at_which_the_router_panics_is_answered_and_the_next_is_served() {
    let bomb = Arc::new(Bomb::default());
    let world = World::by(bomb.clone(), config).await;
    let mut client = world.client().await;
    bomb.arm();
    client.send(GET).await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.text()), (502, ""));
    assert_eq!(answer.header("x-cf-routererror").as_deref(), Some("unknown_failure"));
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    assert!(client.is_closed().await);
    assert_eq!(world.get("web.test", "/").await.status, 404);
}

#[tokio::test]
async fn an_answer_in_whose_middle_the_router_panics_is_cut_and_nothing_is_put_in_its_place() {
    let (bomb, is_read) = (Arc::new(Bomb::default()), Arc::new(Semaphore::new(0)));
    let world = World::by(bomb.clone(), config).await;
    let endpoint = breaking_off(&bomb, &is_read).await;
    world.route("web.test", endpoint.addr).await;
    let mut client = world.client().await;
    client.send(GET).await;
    let head = client.head().await.unwrap();
    assert!(head.contains("Content-Length: 8\r\n"), "{head}");
    assert_eq!(client.take(4).await, b"half");
    is_read.add_permits(1);
    assert_eq!(client.rest().await, b"");
    assert!(bomb.has_gone_off());
    assert_eq!(world.get("nobody.test", "/").await.status, 404);
}

#[tokio::test]
async fn in_http_2_only_the_stream_is_cut_and_the_connection_goes_on() {
    let (bomb, is_read) = (Arc::new(Bomb::default()), Arc::new(Semaphore::new(0)));
    let authority = Authority::new("one");
    let world = World::by(bomb.clone(), |router| {
        config(router);
        speaks_http2(router, &authority);
    })
    .await;
    let endpoint = breaking_off(&bomb, &is_read).await;
    world.route("web.test", endpoint.addr).await;
    let mut client = Client::connect(&world, &authority).await;
    let url = request(Method::GET, "https://web.test/");
    let (answer, _) = client.begin(url, true).await.unwrap();
    let mut body = answer.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "half");
    is_read.add_permits(1);
    let error = whole(body).await.unwrap_err();
    assert_eq!((error.is_remote(), error.reason()), (true, Some(Reason::INTERNAL_ERROR)));
    assert!(bomb.has_gone_off());
    assert_eq!(client.get("https://nobody.test/").await.status(), 404);
}
