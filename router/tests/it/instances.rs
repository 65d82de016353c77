//! Which instance gets a request (families S7, S16 and S17): by turns, by load, by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lattice_model::wire::registration::Registration;
use lattice_router::Balance;
use tokio::sync::Notify;

use crate::support::{Endpoint, World, eventually, registration};

const APP: &str = "01234567-89ab-cdef-0123-456789abcdef";
const PROCESS: &str = "76543210-89ab-cdef-0123-456789abcdef";

/// A registration of the app's instance `index`.
fn instance(endpoint: &Endpoint, index: &str) -> Registration {
    let mut told = registration("web.test", endpoint.addr);
    told.app = APP.to_owned();
    told.private_instance_id = format!("guid-{index}");
    told.private_instance_index = index.to_owned();
    told.tags = [("process_id".to_owned(), PROCESS.to_owned())].into();
    told
}

#[tokio::test]
async fn a_request_for_one_instance_goes_there_or_nowhere() {
    let world = World::start().await;
    let (zero, one) = (Endpoint::saying("zero").await, Endpoint::saying("one").await);
    world.register(&instance(&zero, "0")).await;
    world.register(&instance(&one, "1")).await;
    let app = "X-CF-App-Instance";
    let process = "X-CF-Process-Instance";
    for (name, value, status, error, body) in [
        (app, format!("{APP}:0"), 200, None, "zero"),
        (app, format!("{APP}:1"), 200, None, "one"),
        (process, format!("{PROCESS}:1"), 200, None, "one"),
        (
            app,
            format!("{APP}:2"),
            400,
            Some("unknown_route"),
            "400 Bad Request: Requested instance ('2') with guid \
             ('01234567-89ab-cdef-0123-456789abcdef') does not exist for route ('web.test')\n",
        ),
        (
            process,
            APP.to_owned(),
            400,
            Some("unknown_route"),
            "400 Bad Request: Requested instance ('') with process guid \
             ('01234567-89ab-cdef-0123-456789abcdef') does not exist for route ('web.test')\n",
        ),
        (
            app,
            "web:1".to_owned(),
            400,
            Some("invalid_cf_app_instance_header"),
            "400 Bad Request: Invalid X-CF-App-Instance Header\n",
        ),
        (
            process,
            "x".to_owned(),
            400,
            Some("invalid_cf_process_instance_header"),
            "400 Bad Request: Invalid X-CF-Process-Instance Header\n",
        ),
    ] {
        for _ in 0..2 {
            let request = format!("GET / HTTP/1.1\r\nHost: web.test\r\n{name}: {value}\r\n\r\n");
            let answer = world.ask(&request).await;
            assert_eq!((answer.status, answer.text()), (status, body), "{name}: {value}");
            assert_eq!(answer.header("x-cf-routererror").as_deref(), error);
        }
    }
}

#[tokio::test]
async fn the_wish_for_an_app_instance_is_for_the_router_alone() {
    let world = World::start().await;
    let endpoint = Endpoint::echoing_heads().await;
    world.register(&instance(&endpoint, "0")).await;
    let wishes = format!("X-CF-App-Instance: {APP}:0\r\nX-CF-Process-Instance: {PROCESS}\r\n");
    let answer = world.ask(&format!("GET / HTTP/1.1\r\nHost: web.test\r\n{wishes}\r\n")).await;
    assert!(!answer.text().contains("X-CF-App-Instance"), "{}", answer.text());
    assert!(answer.text().contains("X-CF-Process-Instance"), "{}", answer.text());
}

/// An endpoint that holds its answers back until it is told to give them.
async fn holding(name: &'static str, go: Arc<Notify>, is_free: Arc<AtomicBool>) -> Endpoint {
    Endpoint::new(move |mut wire| {
        let (go, is_free) = (go.clone(), is_free.clone());
        async move {
            while wire.request().await.is_some() {
                if !is_free.load(Ordering::Relaxed) {
                    go.notified().await;
                }
                wire.answer(name).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn requests_go_where_the_fewest_are_under_way() {
    let world = World::start().await;
    let go = Arc::new(Notify::new());
    let busy = holding("busy", go.clone(), Arc::default()).await;
    let mut told = instance(&busy, "0");
    told.options.loadbalancing = "least-connection".to_owned();
    world.register(&told).await;
    let mut waiting = world.client().await;
    waiting.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    eventually("it is busy", || busy.connections() == 1).await;
    let idle = Endpoint::saying("idle").await;
    world.register(&instance(&idle, "1")).await;
    for _ in 0..5 {
        assert_eq!(world.get("web.test", "/").await.text(), "idle");
    }
    go.notify_one();
    assert_eq!(waiting.response().await.text(), "busy");
}

#[tokio::test]
async fn when_every_instance_has_enough_to_do_clients_are_told() {
    let world = World::with(|config| config.limits.in_flight_per_endpoint_max = 1).await;
    let (go, is_free) = (Arc::new(Notify::new()), Arc::new(AtomicBool::default()));
    let endpoint = holding("done", go.clone(), is_free.clone()).await;
    world.register(&instance(&endpoint, "0")).await;
    let mut waiting = world.client().await;
    waiting.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    eventually("it is busy", || endpoint.connections() == 1).await;
    let answer = world.get("web.test", "/").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-cf-routererror").as_deref(), Some("Connection Limit Reached"));
    let said = "503 Service Unavailable: Requested route ('web.test') has reached the connection \
                limit.\n";
    assert_eq!(answer.text(), said);
    is_free.store(true, Ordering::Relaxed);
    go.notify_one();
    assert_eq!(waiting.response().await.text(), "done");
    assert_eq!(world.get("web.test", "/").await.text(), "done");
}

#[tokio::test]
async fn a_header_may_decide_which_instance_it_is() {
    let world = World::start().await;
    let endpoints =
        [Endpoint::saying("0").await, Endpoint::saying("1").await, Endpoint::saying("2").await];
    for (endpoint, index) in endpoints.iter().zip(["0", "1", "2"]) {
        let mut told = instance(endpoint, index);
        told.options.loadbalancing = "hash".to_owned();
        told.options.hash_header = "X-Tenant".to_owned();
        world.register(&told).await;
    }
    let mut answered = std::collections::BTreeSet::new();
    for tenant in 0..20 {
        let ask = || world.ask_for(tenant);
        let first = ask().await;
        assert_eq!(ask().await, first, "tenant {tenant} moved");
        answered.insert(first);
    }
    assert_eq!(answered.len(), 3, "everyone gets some");
}

#[tokio::test]
async fn without_the_header_that_decides_the_platforms_way_does() {
    let world = World::with(|config| config.balance = Balance::LeastConnection).await;
    let go = Arc::new(Notify::new());
    let hashed = |endpoint: &Endpoint, index: &str| {
        let mut told = instance(endpoint, index);
        told.options.loadbalancing = "hash".to_owned();
        told.options.hash_header = "X-Tenant".to_owned();
        told
    };
    let busy = holding("busy", go.clone(), Arc::default()).await;
    world.register(&hashed(&busy, "0")).await;
    let mut waiting = world.client().await;
    waiting.send("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").await;
    eventually("it is busy", || busy.connections() == 1).await;
    let idle = Endpoint::saying("idle").await;
    world.register(&hashed(&idle, "1")).await;
    for _ in 0..5 {
        assert_eq!(world.get("web.test", "/").await.text(), "idle");
    }
    go.notify_one();
    assert_eq!(waiting.response().await.text(), "busy");
}
