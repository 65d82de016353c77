//! Reads an event stream (`text/event-stream`).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use lattice_model::wire::event_stream::{Frame, Frames};
use serde_json::Value;

use super::super::bodies::event;
use super::super::{BrainError, Lost, SequencedEvent};

/// The longest frame accepted, in bytes; two desired LRPs of the largest size fit.
const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Events out of the bytes of an answer. Ends with the first error.
pub(super) fn events(
    bytes: impl Stream<Item = Result<Bytes, BrainError>> + Send + 'static,
    url: String,
) -> impl Stream<Item = Result<SequencedEvent, BrainError>> + Send {
    struct State<S> {
        bytes: Pin<Box<S>>,
        frames: Frames,
        ready: VecDeque<Frame>,
        url: String,
        is_over: bool,
    }
    let bytes = Box::pin(bytes);
    let frames = Frames::new(FRAME_BYTES_MAX);
    let start = State { bytes, frames, ready: VecDeque::new(), url, is_over: false };
    stream::unfold(start, |mut state| async move {
        loop {
            if state.is_over {
                return None;
            }
            while let Some(frame) = state.ready.pop_front() {
                if let Some(item) = read(&frame, &state.url).transpose() {
                    state.is_over = item.is_err();
                    return Some((item, state));
                }
            }
            let pushed = match state.bytes.next().await? {
                Ok(chunk) => state.frames.push(&chunk).map_err(|error| BrainError::BadAnswer {
                    url: state.url.clone(),
                    what: error.to_string(),
                }),
                Err(error) => Err(error),
            };
            match pushed {
                Ok(frames) => state.ready.extend(frames),
                Err(error) => {
                    state.is_over = true;
                    return Some((Err(error), state));
                }
            }
        }
    })
}

/// The event; `None` for a kind that is not known.
fn read(frame: &Frame, url: &str) -> Result<Option<SequencedEvent>, BrainError> {
    let odd = |what: String| BrainError::BadAnswer { url: url.to_owned(), what };
    let id = || frame.id.parse().map_err(|_| odd(format!("event id '{}'", frame.id)));
    if frame.name.is_empty() && frame.data.is_empty() {
        return Ok(Some(SequencedEvent::Mark(id()?)));
    }
    let body: Value = serde_json::from_str(&frame.data).map_err(|e| odd(e.to_string()))?;
    if frame.name == event::RESYNC {
        let why = Lost::ALL.into_iter().find(|why| body["reason"] == why.name());
        let why = why.unwrap_or(Lost::HistoryGone);
        return Ok(Some(SequencedEvent::Resync { id: id()?, why }));
    }
    let event = event::parse(&frame.name, &body).map_err(|refusal| odd(refusal.message))?;
    let Some(event) = event else { return Ok(None) };
    Ok(Some(SequencedEvent::Event { id: id()?, event: Arc::new(event) }))
}
