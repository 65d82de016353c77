//! `/v1/events`: what changes, as server-sent events (B.8).
//!
//! Ids tell lives of the brain apart and count within one, so that `Last-Event-ID` resumes where a
//! reader stopped, or the reader is told to list everything (`resync`). The stream begins with the
//! id of the place where it begins.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use lattice_api::brain::bodies::{EventBody, event};
use lattice_api::brain::{BrainError, EventId, EventStream, SequencedEvent};
use lattice_daemon::gate::Authorized;
use lattice_model::{ErrorName, Refusal};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

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
    let permit = api.streams.enter();
    let permit = permit.map_err(|words| Refusal::new(ErrorName::TooManyRequests, words))?;
    let events = api.receptor.events(resumes_after(&headers)).await?;
    let told = Told { events, with_tasks: asked.tasks == "true", at: None, _permit: permit };
    let frames = stream::unfold(told, Told::next);
    let frames = frames.take_until(api.shutdown.clone().cancelled_owned());
    Ok(respond(Body::from_stream(frames)))
}

/// Where a reader stopped. What no brain wrote is as good as another life's: the reader is told to
/// list everything, rather than turned away for what it cannot mend.
fn resumes_after(headers: &HeaderMap) -> Option<EventId> {
    let text = headers.get("last-event-id")?.to_str().unwrap_or("?").trim();
    (!text.is_empty()).then(|| text.parse().unwrap_or(EventId::FOREIGN))
}

/// One reader's stream, which ends with the brain's.
struct Told {
    events: EventStream,
    with_tasks: bool,
    /// The newest event that the reader has passed, also where it was not for it.
    at: Option<EventId>,
    _permit: OwnedSemaphorePermit,
}

impl Told {
    async fn next(mut self) -> Option<(Result<Bytes, BrainError>, Self)> {
        let silent_until = Instant::now() + SILENCE;
        loop {
            let bytes = match timeout_at(silent_until, self.events.next()).await {
                Err(_) => self.keep_alive(),
                Ok(None) => return None,
                Ok(Some(Err(error))) => return Some((Err(error), self)),
                Ok(Some(Ok(event))) => {
                    self.at = Some(event.id());
                    if !self.is_wanted(&event) {
                        continue;
                    }
                    frame(&event)
                }
            };
            return Some((Ok(bytes), self));
        }
    }

    fn is_wanted(&self, event: &SequencedEvent) -> bool {
        match event {
            SequencedEvent::Event { event, .. } => self.with_tasks || !event::is_of_task(event),
            SequencedEvent::Mark(_) | SequencedEvent::Resync { .. } => true,
        }
    }

    /// A comment, and where the reader is: it may have passed much that was not for it.
    fn keep_alive(&self) -> Bytes {
        self.at.map_or_else(|| ":\n\n".to_owned(), |id| format!(":\nid: {id}\n\n")).into()
    }
}

fn frame(event: &SequencedEvent) -> Bytes {
    let text = match event {
        SequencedEvent::Mark(id) => format!("id: {id}\n\n"),
        SequencedEvent::Resync { id, why } => {
            let (reason, message) = (why.name(), why.message());
            let json = json!({"reason": reason, "message": message});
            format!("id: {id}\nevent: {}\ndata: {json}\n\n", event::RESYNC)
        }
        SequencedEvent::Event { id, event } => {
            let body = EventBody::from(event.as_ref());
            let json = serde_json::to_string(&body).expect("bodies have text keys");
            format!("id: {id}\nevent: {}\ndata: {json}\n\n", event::name(event))
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
