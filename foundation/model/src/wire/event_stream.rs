//! The frames of an event stream (`text/event-stream`), out of bytes however they arrive.

/// Splits bytes into frames.
#[derive(Debug)]
pub struct Frames {
    pending: Vec<u8>,
    frame: Frame,
    scanned: usize,
    bytes_max: usize,
}

/// The fields of one frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Its place in the stream.
    pub id: String,
    /// What kind of event it is.
    pub name: String,
    /// What it says; of several lines, each is one.
    pub data: String,
}

/// A frame is longer than its reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {bytes_max} bytes")]
pub struct TooLong {
    /// The most that is taken.
    pub bytes_max: usize,
}

// === impl Frames ===

impl Frames {
    /// Takes frames of at most so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { pending: Vec::new(), frame: Frame::default(), scanned: 0, bytes_max }
    }

    /// The frames that end in these bytes. After an error the stream is of no more use.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Frame>, TooLong> {
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
        if self.pending.len() + self.frame.data.len() > self.bytes_max {
            return Err(TooLong { bytes_max: self.bytes_max });
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
            let mut frames = Frames::new(1024);
            let mut done = Vec::new();
            for chunk in text.chunks(size) {
                done.extend(frames.push(chunk).unwrap());
            }
            assert_eq!(done, expected, "in chunks of {size}");
        }
    }

    #[test]
    fn a_frame_without_end_is_given_up() {
        for line in [&b"x"[..], b"data: x\n", b"data: x"] {
            let mut frames = Frames::new(1024);
            let refused = (0..2048).find_map(|_| frames.push(line).err());
            assert_eq!(refused, Some(TooLong { bytes_max: 1024 }));
        }
    }
}
