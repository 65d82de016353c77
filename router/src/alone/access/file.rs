//! A file that lines are appended to, each of them whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lattice_model::envelope::Message;
use tracing::warn;

use super::AccessError;
use crate::records::Record;

/// How much text is written at once, or a line's if that is more.
const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// How often it is said that lines are lost.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// A file that lines are appended to.
pub(super) struct Appended {
    file: File,
    /// Whether it ends with a part of a line.
    is_torn: bool,
    /// What is to be written next.
    text: Vec<u8>,
    said_at: Option<Instant>,
}

impl Appended {
    pub(super) fn new(path: PathBuf) -> Result<Self, AccessError> {
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let is_torn = ends_within_a_line(&path).unwrap_or(false);
        let file = opened.map_err(|source| AccessError::File { path, source })?;
        Ok(Self { file, is_torn, text: Vec::new(), said_at: None })
    }

    /// Appends lines; how many of them are there then.
    pub(super) fn append(&mut self, records: &[Record]) -> usize {
        let (mut there, mut ends) = (0, Vec::with_capacity(records.len()));
        for record in records {
            self.text.extend((self.is_torn && ends.is_empty()).then_some(b'\n'));
            if let Message::Log(log) = &record.envelope.message {
                self.text.extend_from_slice(&log.payload);
                self.text.push(b'\n');
            }
            ends.push(self.text.len());
            if self.text.len() >= TEXT_BYTES_MAX {
                let written = self.write_text(&ends);
                there += written;
                if written < ends.len() {
                    return there;
                }
                ends.clear();
            }
        }
        there + self.write_text(&ends)
    }

    /// Writes the text, whose lines end there; how many of them are in the file then.
    fn write_text(&mut self, ends: &[usize]) -> usize {
        let mut text = std::mem::take(&mut self.text);
        let written = self.write(&text);
        text.clear();
        text.shrink_to(TEXT_BYTES_MAX);
        self.text = text;
        // The next text ends a line of which only the end is missing.
        ends.partition_point(|end| *end <= written + 1)
    }

    /// Writes as much of it as there is space for.
    fn write(&mut self, text: &[u8]) -> usize {
        let mut written = 0;
        while written < text.len() {
            match self.file.write(&text[written..]) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.say(&error);
                    break;
                }
            }
        }
        if let Some(last) = text[..written].last() {
            self.is_torn = *last != b'\n';
        }
        written
    }

    fn say(&mut self, error: &io::Error) {
        if self.said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            warn!(%error, "access lines are lost: they cannot be appended to their file");
            self.said_at = Some(Instant::now());
        }
    }
}

/// Whether the last line of a file has no end, as when the disk was full or the machine failed.
fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() || about.len() == 0 {
        return Ok(false);
    }
    let (mut file, mut last) = (File::open(path)?, [0]);
    file.seek(io::SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use lattice_model::envelope::Log;
    use lattice_model::{Envelope, Time};

    use super::*;

    fn records(lines: impl IntoIterator<Item = String>) -> Vec<Record> {
        let envelope =
            |log| Envelope::log("web".into(), "0".into(), Time(0), Log::out("RTR".into(), log));
        lines.into_iter().map(|text| envelope(text).into()).collect()
    }

    #[test]
    fn after_a_part_of_a_line_the_next_one_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        std::fs::write(&path, "zero\nha").unwrap();
        for _ in 0..2 {
            let mut file = Appended::new(path.clone()).unwrap();
            for text in ["one", "two"] {
                assert_eq!(file.append(&records([text.to_owned()])), 1);
            }
        }
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, "zero\nha\none\ntwo\none\ntwo\n");
    }

    #[test]
    fn of_lines_for_which_there_is_no_space_those_are_counted_that_are_there() {
        let (full, mut reader) = UnixStream::pair().unwrap();
        full.set_nonblocking(true).unwrap();
        let mut file = Appended {
            file: File::from(OwnedFd::from(full)),
            is_torn: false,
            text: Vec::new(),
            said_at: None,
        };
        // More than is written at once, and more than a socket takes.
        let many = 3 * TEXT_BYTES_MAX / 1000;
        let there = file.append(&records((0..many).map(|n| format!("{n:01000}"))));
        assert!(there > 0 && there < many, "{there}");
        let mut text = vec![0; there * 1001];
        reader.read_exact(&mut text).unwrap();
        reader.set_nonblocking(true).unwrap();
        let mut part = Vec::new();
        let _would_block = reader.read_to_end(&mut part);
        assert!(part.len() < 1001, "{}", part.len());
        assert_eq!(file.append(&records(["next".to_owned()])), 1);
        drop(file);
        text.extend(part);
        reader.read_to_end(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let whole = text.lines().filter(|line| line.len() == 1000).count();
        assert_eq!((whole, text.lines().last()), (there, Some("next")));
    }
}
