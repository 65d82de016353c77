//! `/v1/events`: what changes, as server-sent events (B.8).
//!
//! Ids are the brain's own sequence, so that `Last-Event-ID` resumes where a reader stopped.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, StreamExt as _, future, stream};
use lattice_api::brain::bodies::{EventBody, event};
use lattice_api::brain::{BrainError, EventStream, SequencedEvent};
use lattice_daemon::gate::Authorized;
use lattice_model::{ErrorName, Refusal};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::Api;
use super::answer::Answer;
use super::parts::Query;

/// A comment is sent when nothing else was for so long: proxies cut silent connections.
const SILENCE: Duration = Duration::from_secs(20);

/// `?tasks=true` also tells of tasks, which the original did not.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    tasks: String,
}

pub(super) async fn stream(
    _: Authorized,
    State(api): State<Api>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Answer {
    let Ok(permit) = api.streams.clone().try_acquire_owned() else {
        let most = api.limits.streams_max;
        let message = format!("{most} event streams are open already; close one");
        return Err(Refusal::new(ErrorName::TooManyRequests, message).into());
    };
    let events = api.receptor.events(last_event_id(&headers)?).await?;
    let frames = frames(events, asked.tasks == "true", permit);
    let frames = frames.take_until(api.shutdown.clone().cancelled_owned());
    Ok(respond(Body::from_stream(frames)))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let message = "Last-Event-ID is not a number";
    id.map(Some).ok_or_else(|| Refusal::new(ErrorName::InvalidRequest, message))
}

/// The events as bytes. The stream ends with the brain's; the permit goes with it.
fn frames(
    events: EventStream,
    with_tasks: bool,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, BrainError>> {
    let wanted = events.filter(move |event| {
        let is_of_task = match event {
            Ok(SequencedEvent::Event { event, .. }) => event::is_of_task(event),
            Ok(SequencedEvent::Resync) | Err(_) => false,
        };
        future::ready(with_tasks || !is_of_task)
    });
    stream::unfold((wanted, permit), |(mut events, permit)| async move {
        let bytes = match tokio::time::timeout(SILENCE, events.next()).await {
            Err(_) => Bytes::from_static(b":\n\n"),
            Ok(None) => return None,
            Ok(Some(Ok(event))) => frame(&event),
            Ok(Some(Err(error))) => return Some((Err(error), (events, permit))),
        };
        Some((Ok(bytes), (events, permit)))
    })
}

fn frame(event: &SequencedEvent) -> Bytes {
    let text = match event {
        SequencedEvent::Resync => format!("event: {}\ndata: {{}}\n\n", event::RESYNC),
        SequencedEvent::Event { sequence, event } => {
            let body = EventBody::from(event.as_ref());
            let json = serde_json::to_string(&body).expect("bodies have text keys");
            format!("id: {sequence}\nevent: {}\ndata: {json}\n\n", event::name(event))
        }
    };
    text.into()
}

fn respond(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::CONNECTION, "keep-alive"),
    ];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), body).into_response()
}
