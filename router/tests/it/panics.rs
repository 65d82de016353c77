//! A router that fails itself at a request goes on with all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lattice_daemon::bus::InProcessBus;
use lattice_daemon::clock::{Clock, SystemClock};
use lattice_daemon::log_ingress;
use lattice_daemon::tasks::Tasks;
use lattice_model::Time;
use lattice_router::{Config, Listener, Side};

use crate::support::{Wire, anywhere};

/// A clock that panics once when it is told to: every request asks it.
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

#[tokio::test]
async fn a_request_at_which_the_router_panics_is_answered_and_the_next_is_served() {
    let mut config = Config::new("test");
    config.workers = 1;
    config.listeners = vec![Listener { addr: anywhere(), side: Side::Public, is_tls: false }];
    let clock = Arc::new(Bomb::default());
    let (tasks, bus) = (Tasks::default(), Arc::new(InProcessBus::default()));
    let ingress = Arc::new(log_ingress::channel().0);
    let router = lattice_router::start(config, bus, ingress, clock.clone(), &tasks).await.unwrap();
    let addr = router.listeners()[0].addr;
    let request = "GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n";
    let mut client = Wire::connect(addr).await;
    clock.is_armed.store(true, Ordering::Relaxed);
    client.send(request).await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.text()), (502, ""));
    assert_eq!(answer.header("x-cf-routererror").as_deref(), Some("unknown_failure"));
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    assert!(client.is_closed().await);
    let mut client = Wire::connect(addr).await;
    client.send(request).await;
    assert_eq!(client.response().await.status, 404);
}
