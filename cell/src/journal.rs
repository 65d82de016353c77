//! What an instance has behind it, in a file that outlives this process: the process after it goes
//! on from there instead of doing everything again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The note of an instance that became healthy.
pub const HEALTHY: &str = "healthy";

/// The note of a healthy one that may not get requests now.
pub const UNREADY: &str = "unready";

const FILE: &str = "journal";
/// Stands before a note that holds no more.
const NO_MORE: char = '!';

/// Notes, one a line; each is there once or not.
#[derive(Debug, Default)]
pub struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    notes: BTreeSet<String>,
    /// `None` remembers only as long as this process lives.
    file: Option<File>,
}

// === impl Journal ===

impl Journal {
    /// An instance's, in its directory; with what an earlier process noted. A line that a crash cut
    /// off is none.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let file = File::options().create(true).append(true).open(&path)?;
        file.set_len(whole.len() as u64)?;
        let mut notes = BTreeSet::new();
        for line in whole.lines() {
            match line.strip_prefix(NO_MORE) {
                None => notes.insert(line.to_owned()),
                Some(note) => notes.remove(note),
            };
        }
        Ok(Self { inner: Mutex::new(Inner { notes, file: Some(file) }) })
    }

    /// True when it was noted.
    pub fn has(&self, note: &str) -> bool {
        self.inner().notes.contains(note)
    }

    /// Notes one line.
    pub fn note(&self, note: &str) {
        let mut inner = self.inner();
        if inner.notes.insert(note.to_owned()) {
            inner.write(note);
        }
    }

    /// Notes that what was noted holds no more.
    pub fn take_back(&self, note: &str) {
        let mut inner = self.inner();
        if inner.notes.remove(note) {
            inner.write(&format!("{NO_MORE}{note}"));
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    fn write(&mut self, line: &str) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(format!("{line}\n").as_bytes())
        {
            // At worst the process after this one does it again.
            tracing::warn!(%error, line, "an instance's progress is not written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_outlive_the_process_and_a_cut_off_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.note("setup.0");
        journal.note("setup.0");
        journal.note(HEALTHY);
        drop(journal);
        let path = dir.path().join(FILE);
        assert_eq!(fs::read_to_string(&path).unwrap(), "setup.0\nhealthy\n");
        fs::write(&path, "setup.0\nhealthy\nactio").unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        assert!(journal.has("setup.0") && journal.has(HEALTHY) && !journal.has("actio"));
        journal.note("action");
        assert_eq!(fs::read_to_string(&path).unwrap(), "setup.0\nhealthy\naction\n");
    }

    #[test]
    fn a_note_that_is_taken_back_holds_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.take_back(UNREADY);
        journal.note(UNREADY);
        journal.take_back(UNREADY);
        assert!(!journal.has(UNREADY));
        let path = dir.path().join(FILE);
        assert_eq!(fs::read_to_string(&path).unwrap(), "unready\n!unready\n");
        assert!(!Journal::open(dir.path()).unwrap().has(UNREADY));
        journal.note(UNREADY);
        assert!(Journal::open(dir.path()).unwrap().has(UNREADY));
    }

    #[test]
    fn one_without_a_file_remembers_as_well() {
        let journal = Journal::default();
        assert!(!journal.has("x"));
        journal.note("x");
        assert!(journal.has("x"));
    }
}
