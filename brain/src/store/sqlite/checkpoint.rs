//! Moves the write-ahead log into the file, on a thread and a connection of its own, so that
//! commits go on meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tracing::warn;

use super::StoreError;
use super::file::connect;

/// A checkpoint follows when about so many bytes were written.
const EVERY_BYTES: usize = 8 << 20;
/// When the log has so many pages, the commits' own connection moves what came during the last
/// checkpoint, so that the next commit begins the log anew.
const LOG_PAGES: i64 = 32_768;
/// How long a statement waits for others' locks: what connections are opened with.
const PATIENCE: Duration = Duration::from_secs(5);

/// The thread, and what it is told.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    is_long: Arc<AtomicBool>,
    written: usize,
    /// The log may have secrets that were replaced or removed.
    has_old_secrets: bool,
}

// === impl Checkpointer ===

impl Checkpointer {
    /// Starts the thread; it ends with this value.
    pub(super) fn spawn(path: &Path) -> Result<Self, StoreError> {
        let connection = connect(path)?;
        let (wake, woken) = sync_channel(1);
        let is_long = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&is_long);
        let thread = thread::Builder::new()
            .name("brain-checkpoint".to_owned())
            .spawn(move || serve(&connection, &woken, &flag))
            .map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        // A process before this one may have been killed before it emptied the log.
        let (written, has_old_secrets) = (0, true);
        Ok(Self { wake: Some(wake), thread: Some(thread), is_long, written, has_old_secrets })
    }

    /// So many bytes were committed, about.
    pub(super) fn written(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written >= EVERY_BYTES {
            self.written = 0;
            // Full means that it is about to look anyway.
            let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
        }
    }

    /// Ends a log that has become long, or that has what is to be overwritten; `connection` is
    /// between commits.
    pub(super) fn finish(&mut self, connection: &Connection, wrote_secrets: bool) {
        self.has_old_secrets |= wrote_secrets;
        if self.has_old_secrets {
            self.has_old_secrets = !empty(connection);
        } else if self.is_long.swap(false, Ordering::Relaxed) {
            let _ = checkpoint(connection);
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(connection: &Connection, woken: &Receiver<()>, is_long: &AtomicBool) {
    while woken.recv().is_ok() {
        let pages = checkpoint(connection);
        is_long.store(pages > LOG_PAGES, Ordering::Relaxed);
    }
}

/// Moves as much as can be moved without waiting; the log's length in pages.
fn checkpoint(connection: &Connection) -> i64 {
    let pages = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1));
    pages.unwrap_or_else(|cause| {
        // The log only grows: what is committed is safe, and the next try comes soon.
        warn!(%cause, "checkpoint of the store failed");
        0
    })
}

/// Moves all of the log and leaves nothing in it; false when others use it just now.
fn empty(connection: &Connection) -> bool {
    let emptied = || -> rusqlite::Result<bool> {
        // Commits do not wait for who makes a backup: the next one tries again.
        connection.busy_timeout(Duration::ZERO)?;
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        connection.busy_timeout(PATIENCE)?;
        busy.map(|busy| busy == 0)
    };
    emptied().unwrap_or_else(|cause| {
        warn!(%cause, "the log of the store could not be emptied");
        false
    })
}
