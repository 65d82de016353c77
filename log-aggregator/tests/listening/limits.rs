//! What happens where a limit is met: it is said.

use lattice_api::log_aggregator::LogReader as _;
use lattice_log_aggregator::{Config, Limits, StartError, gate, start};
use tokio::io::AsyncReadExt as _;

use crate::cluster::{self, Cluster, eventually, line, text};

#[tokio::test]
async fn a_slow_listener_loses_its_own_lines_and_is_told_how_many() {
    let limits = Limits { listener_envelopes: 16, ..Limits::default() };
    let cluster = Cluster::start_with(limits, None).await;
    let mut slow = cluster.websocket("/apps/web/stream").await;
    let mut other = cluster.client().stream("other").await.unwrap();
    // Long lines fill the connection's own buffers while nobody reads.
    let long = "x".repeat(60_000);
    let lost = || cluster.handle.metrics().listener_lost.get();
    let mut emitted = 0;
    while lost() < 10 {
        cluster.emit(line("web", &long)).await;
        emitted += 1;
        assert!(emitted < 10_000, "the slow listener loses nothing");
    }
    cluster.emit(line("other", "quick")).await;
    assert_eq!(text(&cluster::next(&mut other).await), "quick");

    let (mut arrived, mut said) = (0, 0);
    while arrived + said < emitted {
        let told = text(&cluster::next_frame(&mut slow).await);
        match cluster::loss(&told) {
            Some(count) => said += count,
            None => arrived += 1,
        }
    }
    assert_eq!((arrived + said, said as u64), (emitted, lost()));
    cluster.emit(line("web", "after")).await;
    assert_eq!(text(&cluster::next_frame(&mut slow).await), "after");
}

#[tokio::test]
async fn a_listener_that_takes_nothing_is_given_up() {
    let limits = Limits {
        listener_envelopes: 16,
        write_patience: std::time::Duration::from_millis(200),
        ..Limits::default()
    };
    let cluster = Cluster::start_with(limits, None).await;
    let _stuck = cluster.websocket("/apps/web/stream").await;
    let long = "x".repeat(60_000);
    let given_up = || cluster.handle.metrics().listeners_given_up.get();
    while given_up() == 0 {
        cluster.emit(line("web", &long)).await;
    }
    eventually(|| cluster.handle.metrics().listeners.get() == 0).await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_stuck_listener() {
    let limits = Limits { listener_envelopes: 16, ..Limits::default() };
    let cluster = Cluster::start_with(limits, None).await;
    let _stuck = cluster.websocket("/apps/web/stream").await;
    let long = "x".repeat(60_000);
    while cluster.handle.metrics().listener_lost.get() == 0 {
        cluster.emit(line("web", &long)).await;
    }
    assert!(cluster.end().await, "tasks were still running");
}

#[tokio::test]
async fn a_full_ingress_is_said_to_every_listener() {
    let cluster = Cluster::start().await;
    let mut stream = cluster.client().stream("web").await.unwrap();
    // Nothing yields to the owner in between, so that the channel must overflow.
    let refused = (0..20_000).filter(|_| !cluster.try_emit(line("busy", "x"))).count();
    assert!(refused > 0);
    assert_eq!(cluster::loss(&text(&cluster::next(&mut stream).await)), Some(refused));
    assert_eq!(cluster.handle.metrics().ingress_lost.get(), refused as u64);
    let platform = cluster.client().recent("lattice-debug").await.unwrap();
    assert_eq!(cluster::loss(&text(&platform[0])), Some(refused));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_until_another_leaves() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let cluster = Cluster::start_with(limits, None).await;
    let socket = cluster.websocket("/apps/web/stream").await;
    let _second = cluster.websocket("/apps/web/stream").await;
    let mut third = cluster.connect().await;
    let mut answer = String::new();
    third.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(cluster.handle.metrics().connections_refused.get(), 1);
    drop(socket);
    eventually(|| cluster.handle.metrics().listeners.get() == 1).await;
    let answer = cluster.get("/apps/web/recentlogs", &[]).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_start_that_cannot_work_says_why() {
    let cluster = Cluster::start().await;
    let attempt = async |listen, limits| {
        let (_ingress, egress) = lattice_daemon::log_ingress::channel();
        let config = Config { listen, gate: gate(None), limits };
        start(config, egress, &Default::default()).await.err()
    };
    let taken = cluster.handle.address();
    let told = attempt(taken, Limits::default()).await.unwrap();
    assert_eq!(told.to_string(), format!("the log-aggregator cannot listen on {taken}"));
    let zero = Limits { listener_envelopes: 0, ..Limits::default() };
    let told = attempt("127.0.0.1:0".parse().unwrap(), zero).await.unwrap();
    assert!(matches!(told, StartError::Limit("listener_envelopes")), "{told}");
}
