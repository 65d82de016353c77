//! The event stream.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lattice_api::brain::{EventId, EventStream, Lost, Receptor as _, SequencedEvent};
use lattice_model::{Event, Routes};
use reqwest::Response;

use super::fake::LIFE;
use super::samples::{self, guid};
use super::{Served, answer, eventually, schema};

async fn next(events: &mut EventStream) -> SequencedEvent {
    let next = tokio::time::timeout(Duration::from_secs(10), events.next());
    next.await.expect("an event in time").expect("an event").expect("a good one")
}

/// Events from here on; the stream's start is as it should be.
async fn listen(served: &Served) -> EventStream {
    let mut events = served.client().events(None).await.unwrap();
    assert!(matches!(next(&mut events).await, SequencedEvent::Mark(_)));
    events
}

const fn id(sequence: u64) -> EventId {
    EventId { life: LIFE, sequence }
}

fn all_kinds() -> Vec<Event> {
    let lrp = || Arc::new(samples::lrp("web"));
    let instance = |index: usize| Arc::new(samples::instances("web").swap_remove(index));
    let task = || Arc::new(samples::running_task("one"));
    vec![
        Event::DesiredLrpCreated(lrp()),
        Event::DesiredLrpChanged { before: lrp(), after: Arc::new(samples::lrp("web2")) },
        Event::DesiredLrpRemoved(lrp()),
        Event::ActualLrpCreated(instance(0)),
        Event::ActualLrpChanged { before: instance(1), after: instance(2) },
        Event::ActualLrpRemoved(instance(3)),
        Event::ActualLrpCrashed(Box::new(samples::crash("web"))),
        Event::TaskCreated(task()),
        Event::TaskChanged { before: task(), after: task() },
        Event::TaskRemoved(task()),
    ]
}

#[tokio::test]
async fn every_kind_of_event_comes_through_whole_and_in_order() {
    let served = Served::start().await;
    let mut events = listen(&served).await;
    for (sequence, event) in (1..).zip(all_kinds()) {
        served.receptor.tell(event.clone());
        let expected = SequencedEvent::Event { id: id(sequence), event: Arc::new(event) };
        assert_eq!(next(&mut events).await, expected);
    }
}

#[tokio::test]
async fn a_reader_resumes_exactly_where_it_stopped() {
    let served = Served::start().await;
    let kinds = all_kinds();
    let mut first = listen(&served).await;
    kinds[..4].iter().for_each(|event| served.receptor.tell(event.clone()));
    for _ in 0..3 {
        next(&mut first).await;
    }
    drop(first);
    kinds[4..].iter().for_each(|event| served.receptor.tell(event.clone()));
    let mut resumed = served.client().events(Some(id(3))).await.unwrap();
    assert_eq!(next(&mut resumed).await, SequencedEvent::Mark(id(3)));
    for (sequence, event) in (4..).zip(&kinds[3..]) {
        let expected = SequencedEvent::Event { id: id(sequence), event: Arc::new(event.clone()) };
        assert_eq!(next(&mut resumed).await, expected);
    }
}

#[tokio::test]
async fn a_reader_that_cannot_resume_is_told_to_list_again_and_goes_on() {
    let served = Served::start().await;
    let event = &all_kinds()[0];
    (0..100).for_each(|_| served.receptor.tell(event.clone()));
    let other_life = EventId { life: LIFE + 1, sequence: 99 };
    for (after, why) in [
        (id(3), Lost::HistoryGone),
        (other_life, Lost::OtherLife),
        (id(9_999), Lost::OtherLife),
        (EventId::FOREIGN, Lost::OtherLife),
    ] {
        let mut late = served.client().events(Some(after)).await.unwrap();
        let SequencedEvent::Resync { id: from, why: said } = next(&mut late).await else {
            panic!("nothing can be resumed after {after}")
        };
        assert_eq!(said, why, "{after}");
        served.receptor.tell(event.clone());
        let expected = EventId { sequence: from.sequence + 1, ..from };
        assert_eq!(next(&mut late).await.id(), expected, "nothing is lost after the resync");
    }
}

#[tokio::test]
async fn whatever_the_resume_header_says_the_stream_is_a_good_one() {
    let served = Served::start().await;
    served.receptor.tell(all_kinds().swap_remove(0));
    let lost = "event: resync\ndata: {\"message\":\"that id is of another life of the brain, or of \
                none; list everything again\",\"reason\":\"other_life\"}\n\n";
    let long = "7".repeat(4000);
    for (header, expected) in [
        (&b""[..], ""),
        (b"  ", ""),
        (b"x", lost),
        (b"7", lost),
        (b"-1", lost),
        (b"000000000000feed-1x", lost),
        (b"000000000000FEED-1", lost),
        (b"\xff\xfe", lost),
        (long.as_bytes(), lost),
        (b"000000000000feed-1", ""),
    ] {
        let value = reqwest::header::HeaderValue::from_bytes(header).unwrap();
        let request = served.request("GET", "/v1/events").header("last-event-id", value);
        let mut response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let first = frames(&mut response, 1).await.remove(0);
        assert_eq!(
            first,
            format!(
                "id: 000000000000feed-1\n{}",
                if expected.is_empty() { "\n" } else { expected }
            )
        );
    }
}

#[tokio::test]
async fn a_slow_reader_loses_its_own_place_is_told_so_and_harms_nobody() {
    let served = Served::start().await;
    let mut slow = served.request("GET", "/v1/events").send().await.unwrap();
    let mut quick = served.request("GET", "/v1/events").send().await.unwrap();
    frame(&mut quick).await;
    let mut lrp = samples::lrp("web");
    lrp.routes = Routes([("x".to_owned(), "y".repeat(100_000).into())].into());
    // More than all buffers between the server and the reader hold.
    const COUNT: u64 = 160;
    for sequence in 1..=COUNT {
        served.receptor.tell(Event::DesiredLrpCreated(Arc::new(lrp.clone())));
        let told = frame(&mut quick).await;
        let expected = format!("id: {}\n", id(sequence));
        assert!(told.starts_with(&expected), "the quick one waits for nobody");
    }
    let mut seen = 0;
    let told = loop {
        let frame = frame(&mut slow).await;
        let (first, rest) = frame.split_once('\n').unwrap();
        let at: EventId = first.strip_prefix("id: ").unwrap().parse().unwrap();
        if rest.starts_with("event: resync") {
            assert!(rest.contains("\"reason\":\"too_slow\""), "{rest}");
            break at;
        }
        assert_eq!(at, id(seen), "in order, from the mark on");
        seen += 1;
    };
    assert_eq!(told, id(COUNT));
    served.receptor.tell(Event::DesiredLrpRemoved(Arc::new(samples::lrp("web"))));
    let next = frame(&mut slow).await;
    assert!(next.starts_with(&format!("id: {}\nevent: desired_lrp_removed", id(COUNT + 1))));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_at_all_is_cut_off() {
    let short = Duration::from_millis(300);
    let served = Served::start_with(|config| config.limits.listener.stall_timeout = short).await;
    let stuck = served.request("GET", "/v1/events").send().await.unwrap();
    let mut lrp = samples::lrp("web");
    lrp.routes = Routes([("x".to_owned(), "y".repeat(100_000).into())].into());
    eventually("the reader is gone", || {
        served.receptor.tell(Event::DesiredLrpCreated(Arc::new(lrp.clone())));
        served.receptor.readers() == 0
    })
    .await;
    drop(stuck);
}

/// The next frame, comments aside; what was read beyond it waits in the response's extensions.
async fn frame(response: &mut Response) -> String {
    #[derive(Clone, Default)]
    struct Rest(String);
    let mut text = response.extensions_mut().remove::<Rest>().unwrap_or_default().0;
    loop {
        if let Some((frame, rest)) = text.split_once("\n\n") {
            let (frame, rest) = (format!("{frame}\n\n"), rest.to_owned());
            if !frame.starts_with(':') {
                response.extensions_mut().insert(Rest(rest));
                return frame;
            }
            text = rest;
            continue;
        }
        let chunk = tokio::time::timeout(Duration::from_secs(10), response.chunk());
        let chunk = chunk.await.expect("frames in time").unwrap().expect("more frames");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

async fn frames(response: &mut Response, count: usize) -> Vec<String> {
    let mut frames = Vec::new();
    while frames.len() < count {
        frames.push(frame(response).await);
    }
    frames
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
    assert_eq!(frame(&mut response).await, "id: 000000000000feed-0\n\n", "where it begins");
    let frames = frames(&mut response, 7).await;
    let names: Vec<_> = frames.iter().map(|frame| frame.lines().nth(1).unwrap()).collect();
    let expected = [
        "event: desired_lrp_created",
        "event: desired_lrp_changed",
        "event: desired_lrp_removed",
        "event: actual_lrp_created",
        "event: actual_lrp_changed",
        "event: actual_lrp_removed",
        "event: actual_lrp_crashed",
    ];
    assert_eq!(names, expected, "and none of tasks, which nobody asked for");
    assert!(frames[0].starts_with("id: 000000000000feed-4\n"), "{}", frames[0]);
    let schemas = &schema::operation("GET", "/v1/events").unwrap()["responses"]["200"]["content"]["text/event-stream"]
        ["x-event-data"];
    for (frame, name) in frames.iter().zip(names) {
        let data = frame.lines().nth(2).unwrap().strip_prefix("data: ").unwrap();
        let schema = &schemas[name.strip_prefix("event: ").unwrap()];
        let data = serde_json::from_str(data).unwrap();
        assert_eq!(schema::faults(&data, schema), [""; 0], "{name}");
    }
    for (frame, start) in frames.iter().zip([
        "data: {\"desired_lrp\":{\"process_guid\":\"web\"",
        "data: {\"desired_lrp_before\":{\"process_guid\":\"web\"",
        "data: {\"desired_lrp\":{\"process_guid\":\"web\"",
        "data: {\"actual_lrp\":{\"process_guid\":\"web\"",
        "data: {\"actual_lrp_before\":{\"process_guid\":\"web\"",
        "data: {\"actual_lrp\":{\"process_guid\":\"web\"",
        "data: {\"process_guid\":\"web\",\"index\":3,\"domain\":\"lattice\",\
         \"instance_guid\":\"i-1\",\"cell_id\":\"cell-1\",\"crash_count\":3,\
         \"crash_reason\":\"Exited with status 1\",\"since\":7}",
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
        served.receptor.tell(Event::DesiredLrpCreated(Arc::new(samples::lrp("web"))));
        served.receptor.readers() == 0
    })
    .await;
    let again = served.request("GET", "/v1/events").send().await.unwrap();
    assert_eq!(again.status(), 200);
}

#[tokio::test]
async fn shutdown_ends_streams_and_refuses_no_running_request() {
    let served = Served::start().await;
    let mut events = listen(&served).await;
    assert!(served.tasks.end(Duration::from_secs(10)).await, "all tasks have ended");
    let end = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
    assert!(end.expect("an end in time").is_none(), "a clean end of the stream");
    assert!(served.client().desired_lrp(&guid("web")).await.is_err(), "nobody listens any more");
}
