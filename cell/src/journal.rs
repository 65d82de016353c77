//! What an instance has behind it, in a file that outlives this process: the process after it goes
//! on from there instead of doing everything again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The note of an instance that became healthy.
pub const HEALTHY: &str = "healthy";

const FILE: &str = "journal";

/// Notes, one a line, each made once.
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
        let notes = whole.lines().map(str::to_owned).collect();
        Ok(Self { inner: Mutex::new(Inner { notes, file: Some(file) }) })
    }

    /// True when it was noted.
    pub fn has(&self, note: &str) -> bool {
        self.inner().notes.contains(note)
    }

    /// Notes one line.
    pub fn note(&self, note: &str) {
        let mut inner = self.inner();
        if !inner.notes.insert(note.to_owned()) {
            return;
        }
        if let Some(file) = &mut inner.file
            && let Err(error) = file.write_all(format!("{note}\n").as_bytes())
        {
            // At worst the process after this one does it again.
            tracing::warn!(%error, note, "an instance's progress is not written down");
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn one_without_a_file_remembers_as_well() {
        let journal = Journal::default();
        assert!(!journal.has("x"));
        journal.note("x");
        assert!(journal.has("x"));
    }
}
