//! A real log-aggregator on a port of its own, listened to by the real client and by rude ones.
#![allow(clippy::unwrap_used, reason = "clippy knows tests, but not what helps them")]

mod cluster;
mod limits;
mod refusals;

use std::time::Duration;

use cluster::{Cluster, line, metric, text, texts};
use futures_util::StreamExt as _;
use lattice_api::log_aggregator::{LogClient, LogError, LogReader};

/// The same agreement over the network and in one process.
async fn check_reader(cluster: &Cluster, reader: &dyn LogReader) {
    assert_eq!(reader.recent("web").await.unwrap(), []);
    assert_eq!(reader.container_metrics("web").await.unwrap(), []);

    let mut stream = reader.stream("web").await.unwrap();
    let lines = [line("web", "one"), line("web", "two")];
    for envelope in [&lines[0], &line("other", "x"), &lines[1], &metric("web", 1, 7)] {
        cluster.emit(envelope.clone()).await;
    }
    for expected in [lines[0].clone(), lines[1].clone(), metric("web", 1, 7)] {
        assert_eq!(cluster::next(&mut stream).await, expected);
    }
    assert_eq!(reader.recent("web").await.unwrap(), lines);
    assert_eq!(reader.recent("other").await.unwrap(), [line("other", "x")]);

    cluster.emit(metric("web", 0, 5)).await;
    cluster.emit(metric("web", 1, 8)).await;
    for expected in [metric("web", 0, 5), metric("web", 1, 8)] {
        assert_eq!(cluster::next(&mut stream).await, expected);
    }
    let newest = reader.container_metrics("web").await.unwrap();
    assert_eq!(newest, [metric("web", 0, 5), metric("web", 1, 8)]);
}

#[tokio::test]
async fn a_client_streams_and_looks_back() {
    let cluster = Cluster::start().await;
    check_reader(&cluster, &cluster.client()).await;
}

#[tokio::test]
async fn the_handle_streams_and_looks_back_like_a_client() {
    let cluster = Cluster::start().await;
    check_reader(&cluster, &cluster.handle.clone()).await;
}

#[tokio::test]
async fn app_ids_may_be_any_text() {
    let cluster = Cluster::start().await;
    for app_id in ["a b", "a/b", "ü?&#%", "lattice-debug"] {
        let mut stream = cluster.client().stream(app_id).await.unwrap();
        cluster.emit(line(app_id, "here")).await;
        assert_eq!(cluster::next(&mut stream).await, line(app_id, "here"));
        assert_eq!(cluster.client().recent(app_id).await.unwrap(), [line(app_id, "here")]);
    }
}

#[tokio::test]
async fn whoever_asks_is_told_all_that_was_said_before() {
    let cluster = Cluster::start().await;
    cluster.emit(line("web", "taken at once")).await;
    assert!(cluster.try_emit(line("web", "gathers")));
    let recent = cluster.handle.recent("web").await.unwrap();
    assert_eq!(texts(&recent), ["taken at once", "gathers"]);

    assert!(cluster.try_emit(line("web", "too early for the stream")));
    let mut stream = cluster.handle.stream("web").await.unwrap();
    assert!(cluster.try_emit(line("web", "in time")));
    assert_eq!(text(&cluster::next(&mut stream).await), "in time");

    assert!(cluster.try_emit(metric("web", 0, 5)));
    let newest = cluster.handle.container_metrics("web").await.unwrap();
    assert_eq!(newest, [metric("web", 0, 5)]);
}

#[tokio::test]
async fn a_hundred_lines_are_recent_unless_the_request_names_a_number() {
    let cluster = Cluster::start().await;
    let mut stream = cluster.client().stream("web").await.unwrap();
    for i in 0..150 {
        cluster.emit(line("web", &i.to_string())).await;
    }
    for _ in 0..150 {
        cluster::next(&mut stream).await;
    }
    let expected: Vec<String> = (50..150).map(|i| i.to_string()).collect();
    assert_eq!(texts(&cluster.client().recent("web").await.unwrap()), expected);
    for (limit, expected) in [("3", 3), ("1000", 150)] {
        let answer = cluster.get(&format!("/apps/web/recentlogs?limit={limit}"), &[]).await;
        assert_eq!(answer.matches("\r\n\r\n").count() - 1, expected, "{limit}");
    }
}

#[tokio::test]
async fn firehoses_of_one_subscription_share_everything() {
    let cluster = Cluster::start().await;
    let mut alone = cluster.websocket("/firehose/alone").await;
    let mut one = cluster.websocket("/firehose/shared").await;
    let mut two = cluster.websocket("/firehose/shared").await;
    for i in 0..4 {
        cluster.emit(line(&format!("app-{i}"), "x")).await;
    }
    for i in 0..4 {
        assert_eq!(cluster::next_frame(&mut alone).await, line(&format!("app-{i}"), "x"));
    }
    let mut shared = Vec::new();
    for _ in 0..2 {
        shared.push(cluster::next_frame(&mut one).await.source_id);
        shared.push(cluster::next_frame(&mut two).await.source_id);
    }
    shared.sort();
    assert_eq!(shared, ["app-0", "app-1", "app-2", "app-3"].map(Into::into));
}

#[tokio::test]
async fn ten_thousand_lines_at_full_speed_arrive_or_their_loss_is_said() {
    const LINES: usize = 10_000;
    let cluster = Cluster::start().await;
    let mut stream = cluster.client().stream("web").await.unwrap();
    let refused = (0..LINES).filter(|i| !cluster.try_emit(line("web", &i.to_string()))).count();
    let (mut arrived, mut said, mut last) = (0, 0, None);
    while arrived + said < LINES {
        let told = text(&cluster::next(&mut stream).await);
        if let Ok(number) = told.parse::<usize>() {
            assert!(last < Some(number), "{number} came after {last:?}");
            last = Some(number);
            arrived += 1;
        } else {
            said += cluster::loss(&told).unwrap_or_else(|| panic!("{told}"));
        }
    }
    assert_eq!(arrived + said, LINES, "{refused} did not fit the ingress");
    assert!(said >= refused);
}

#[tokio::test]
async fn shutdown_ends_streams_after_the_last_line() {
    let cluster = Cluster::start().await;
    let mut stream = cluster.client().stream("web").await.unwrap();
    let mut socket = cluster.websocket("/apps/web/stream").await;
    cluster.emit(line("web", "taken at once")).await;
    assert!(cluster.try_emit(line("web", "last")));
    assert!(cluster.end().await, "tasks were still running");
    for expected in ["taken at once", "last"] {
        assert_eq!(text(&cluster::next(&mut stream).await), expected);
        assert_eq!(text(&cluster::next_frame(&mut socket).await), expected);
    }
    assert!(stream.next().await.is_none());
    assert_eq!(cluster::close_code(&mut socket).await, 1001);
    let told = cluster.client().recent("web").await.unwrap_err();
    assert!(matches!(told, LogError::Unreachable { .. }), "{told}");
    assert!(cluster.handle.recent("web").await.is_err());
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_said() {
    lattice_daemon::install_crypto();
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://doppler.lattice.localhost:{}", free.local_addr().unwrap().port());
    drop(free);
    let client = LogClient::new(&url, None);
    for told in
        [client.stream("web").await.err().unwrap(), client.recent("web").await.err().unwrap()]
    {
        let told = told.to_string();
        assert!(told.starts_with(&format!("cannot reach the log-aggregator at {url}")), "{told}");
        assert!(told.to_lowercase().contains("connection refused"), "{told}");
    }
}

#[tokio::test]
async fn a_listener_that_does_not_answer_pings_is_closed() {
    let limits = lattice_log_aggregator::Limits {
        ping_every: Duration::from_millis(50),
        ..Default::default()
    };
    let cluster = Cluster::start_with(limits, None).await;
    let mut polite = cluster.client().stream("web").await.unwrap();
    let mut silent = cluster.silent_websocket("/apps/web/stream").await;
    let polite = tokio::spawn(async move { cluster::next(&mut polite).await });
    assert_eq!(cluster::raw_close(&mut silent).await, Some(1008));
    cluster.emit(line("web", "still here")).await;
    assert_eq!(text(&polite.await.unwrap()), "still here");
    assert_eq!(cluster.handle.metrics().listeners_given_up.get(), 1);
}
