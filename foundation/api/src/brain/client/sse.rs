//! Reads an event stream (`text/event-stream`).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::Value;

use super::super::bodies::event;
use super::super::{BrainError, Lost, SequencedEvent};

/// The longest frame accepted, in bytes; two desired LRPs of the largest size fit.
const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Splits bytes into frames.
#[derive(Debug, Default)]
struct Frames {
    pending: Vec<u8>,
    frame: Frame,
    scanned: usize,
}

/// The fields of one frame.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frame {
    id: String,
    name: String,
    data: String,
}

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
    let start =
        State { bytes, frames: Frames::default(), ready: VecDeque::new(), url, is_over: false };
    stream::unfold(start, |mut state| async move {
        loop {
            if state.is_over {
                return None;
            }
            while let Some(frame) = state.ready.pop_front() {
                if let Some(item) = frame.read(&state.url).transpose() {
                    state.is_over = item.is_err();
                    return Some((item, state));
                }
            }
            let pushed = match state.bytes.next().await? {
                Ok(chunk) => state.frames.push(&chunk, &state.url),
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

// === impl Frames ===

impl Frames {
    fn push(&mut self, chunk: &[u8], url: &str) -> Result<Vec<Frame>, BrainError> {
        self.pending.extend_from_slice(chunk);
        let mut done = Vec::new();
        let mut start = 0;
        while let Some(length) = self.pending[self.scanned..].iter().position(|b| *b == b'\n') {
            let end = self.scanned + length;
            let line = String::from_utf8_lossy(&self.pending[start..end]).into_owned();
            self.frame.line(line.trim_end_matches('\r'), &mut done);
            start = end + 1;
            self.scanned = start;
        }
        self.pending.drain(..start);
        self.scanned = self.pending.len();
        if self.pending.len() + self.frame.data.len() > FRAME_BYTES_MAX {
            let what = format!("an event of more than {FRAME_BYTES_MAX} bytes");
            return Err(BrainError::BadAnswer { url: url.to_owned(), what });
        }
        Ok(done)
    }
}

// === impl Frame ===

impl Frame {
    fn line(&mut self, line: &str, done: &mut Vec<Self>) {
        if line.is_empty() {
            let frame = std::mem::take(self);
            if frame != Self::default() {
                done.push(frame);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.id),
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            _ => {}
        }
    }

    /// The event; `None` for a kind that is not known.
    fn read(&self, url: &str) -> Result<Option<SequencedEvent>, BrainError> {
        let odd = |what: String| BrainError::BadAnswer { url: url.to_owned(), what };
        let id = || self.id.parse().map_err(|_| odd(format!("event id '{}'", self.id)));
        if self.name.is_empty() && self.data.is_empty() {
            return Ok(Some(SequencedEvent::Mark(id()?)));
        }
        let body: Value = serde_json::from_str(&self.data).map_err(|e| odd(e.to_string()))?;
        if self.name == event::RESYNC {
            let why = Lost::ALL.into_iter().find(|why| body["reason"] == why.name());
            let why = why.unwrap_or(Lost::HistoryGone);
            return Ok(Some(SequencedEvent::Resync { id: id()?, why }));
        }
        let event = event::parse(&self.name, &body).map_err(|refusal| odd(refusal.message))?;
        let Some(event) = event else { return Ok(None) };
        Ok(Some(SequencedEvent::Event { id: id()?, event: Arc::new(event) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_the_same_however_the_bytes_arrive() {
        let text =
            b": comment\n\nid: 7\r\nevent: a\r\ndata: x\r\n\r\nevent: b\ndata:1\ndata: 2\n\nid: 8\n\n";
        let expected = vec![
            Frame { id: "7".into(), name: "a".into(), data: "x".into() },
            Frame { id: String::new(), name: "b".into(), data: "1\n2".into() },
            Frame { id: "8".into(), ..Frame::default() },
        ];
        for size in 1..=text.len() {
            let mut frames = Frames::default();
            let mut done = Vec::new();
            for chunk in text.chunks(size) {
                done.extend(frames.push(chunk, "u").unwrap());
            }
            assert_eq!(done, expected, "in chunks of {size}");
        }
    }

    #[test]
    fn a_frame_without_end_is_given_up() {
        let mut frames = Frames::default();
        let chunk = vec![b'x'; FRAME_BYTES_MAX / 2 + 1];
        assert!(frames.push(&chunk, "u").is_ok());
        assert!(frames.push(&chunk, "u").is_err());
    }
}
