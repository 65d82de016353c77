//! The event stream.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lattice_api::brain::{EventStream, Receptor as _, SequencedEvent};
use lattice_model::Event;

use super::fake::HISTORY_START;
use super::samples::{self, guid};
use super::{Served, answer, eventually};

async fn next(events: &mut EventStream) -> SequencedEvent {
    let next = tokio::time::timeout(Duration::from_secs(10), events.next());
    next.await.expect("an event in time").expect("an event").expect("a good one")
}

fn all_kinds() -> Vec<Event> {
    let lrp = || Box::new(samples::lrp("web"));
    let instance = |index: usize| Box::new(samples::instances("web").swap_remove(index));
    let task = || Box::new(samples::running_task("one"));
    vec![
        Event::DesiredLrpCreated(lrp()),
        Event::DesiredLrpChanged { before: lrp(), after: Box::new(samples::lrp("web2")) },
        Event::DesiredLrpRemoved(lrp()),
        Event::ActualLrpCreated(instance(0)),
        Event::ActualLrpChanged { before: instance(1), after: instance(2) },
        Event::ActualLrpRemoved(instance(3)),
        Event::TaskCreated(task()),
        Event::TaskChanged { before: task(), after: task() },
        Event::TaskRemoved(task()),
    ]
}

#[tokio::test]
async fn every_kind_of_event_comes_through_whole_and_in_order() {
    let served = Served::start().await;
    let mut events = served.client().events(None).await.unwrap();
    for (number, event) in all_kinds().into_iter().enumerate() {
        served.receptor.tell(event.clone());
        let sequence = HISTORY_START + number as u64;
        let expected = SequencedEvent::Event { sequence, event: Arc::new(event) };
        assert_eq!(next(&mut events).await, expected);
    }
}

#[tokio::test]
async fn a_reader_resumes_where_it_stopped_or_is_told_to_list_again() {
    let served = Served::start().await;
    let kinds = all_kinds();
    kinds.iter().for_each(|event| served.receptor.tell(event.clone()));
    let client = served.client();
    let mut resumed = client.events(Some(HISTORY_START)).await.unwrap();
    let SequencedEvent::Event { sequence, event } = next(&mut resumed).await else {
        panic!("history reaches that far")
    };
    assert_eq!((sequence, event.as_ref()), (HISTORY_START + 1, &kinds[1]));
    let mut late = client.events(Some(3)).await.unwrap();
    assert_eq!(next(&mut late).await, SequencedEvent::Resync);
}

/// Reads until the text has so many frames, comments aside.
async fn frames(response: &mut reqwest::Response, count: usize) -> Vec<String> {
    let mut text = String::new();
    loop {
        let whole = text.split_inclusive("\n\n").filter(|frame| frame.ends_with("\n\n"));
        let whole: Vec<_> = whole.filter(|frame| !frame.starts_with(':')).collect();
        if whole.len() >= count {
            return whole.into_iter().map(str::to_owned).collect();
        }
        let chunk = tokio::time::timeout(Duration::from_secs(10), response.chunk());
        let chunk = chunk.await.expect("frames in time").unwrap().expect("more frames");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test]
async fn the_stream_is_written_as_the_receptor_writes_it() {
    let served = Served::start().await;
    let mut response = served.request("GET", "/v1/events").send().await.unwrap();
    for (name, expected) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache, no-store, must-revalidate"),
        ("connection", "keep-alive"),
    ] {
        assert_eq!(response.headers()[name], expected, "{name}");
    }
    let mut kinds = all_kinds();
    kinds.rotate_right(3);
    kinds.into_iter().for_each(|event| served.receptor.tell(event));
    let frames = frames(&mut response, 6).await;
    let names: Vec<_> = frames.iter().map(|frame| frame.lines().nth(1).unwrap()).collect();
    let expected = [
        "event: desired_lrp_created",
        "event: desired_lrp_changed",
        "event: desired_lrp_removed",
        "event: actual_lrp_created",
        "event: actual_lrp_changed",
        "event: actual_lrp_removed",
    ];
    assert_eq!(names, expected, "and none of tasks, which nobody asked for");
    assert!(frames[0].starts_with("id: 103\n"), "{}", frames[0]);
    for (frame, start) in frames.iter().zip([
        "data: {\"desired_lrp\":{\"process_guid\":\"web\"",
        "data: {\"desired_lrp_before\":{\"process_guid\":\"web\"",
        "data: {\"desired_lrp\":{\"process_guid\":\"web\"",
        "data: {\"actual_lrp\":{\"process_guid\":\"web\"",
        "data: {\"actual_lrp_before\":{\"process_guid\":\"web\"",
        "data: {\"actual_lrp\":{\"process_guid\":\"web\"",
    ]) {
        assert!(frame.lines().nth(2).unwrap().starts_with(start), "{frame}");
    }
}

#[tokio::test]
async fn streams_have_a_limit_and_give_their_place_back() {
    let served = Served::start_with(|config| config.limits.streams_max = 1).await;
    let first = served.request("GET", "/v1/events").send().await.unwrap();
    let (status, text) = answer(served.request("GET", "/v1/events")).await;
    assert_eq!(status, 429, "{text}");
    assert!(text.contains("TooManyRequests"), "{text}");
    drop(first);
    eventually("the reader is gone", || {
        // Telling something is what makes the server notice.
        served.receptor.tell(Event::DesiredLrpCreated(Box::new(samples::lrp("web"))));
        served.receptor.readers() == 0
    })
    .await;
    let again = served.request("GET", "/v1/events").send().await.unwrap();
    assert_eq!(again.status(), 200);
}

#[tokio::test]
async fn shutdown_ends_streams_and_refuses_no_running_request() {
    let served = Served::start().await;
    let mut events = served.client().events(None).await.unwrap();
    assert!(served.tasks.end(Duration::from_secs(10)).await, "all tasks have ended");
    let end = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
    assert!(end.expect("an end in time").is_none(), "a clean end of the stream");
    assert!(served.client().desired_lrp(&guid("web")).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn an_odd_resume_point_is_refused() {
    let served = Served::start().await;
    let request = served.request("GET", "/v1/events").header("last-event-id", "x");
    let (status, text) = answer(request).await;
    assert_eq!(status, 400, "{text}");
}
