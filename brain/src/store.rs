//! Where the board's records outlive the process. What is committed survives `kill -9` and power
//! loss.

mod backup;
mod seal;
mod sqlite;
mod writer;

#[cfg(test)]
pub(crate) mod fake;

use std::path::PathBuf;

use crate::board::{Records, Write};

pub use backup::{BackupError, Contents, back_up, restore};
pub use sqlite::{Change, Sqlite, parse_changes};
pub use writer::Writer;

/// Keeps records. Blocking; it lives on a thread of its own, see [`Writer`].
pub trait Store: Send + 'static {
    /// All that is kept.
    fn load(&mut self) -> Result<Records, StoreError>;
    /// Keeps all of this or nothing; durable when it returns.
    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError>;
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made or opened.
    #[error("cannot open the store {path}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("the store {path} is in use by another process; stop that one first")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// A later version wrote it.
    #[error(
        "the store {path} has schema {found}, and this version knows only up to {known}; \
         start a version that knows it, or put a backup from before the upgrade in its place \
         with `lattice restore FILE`"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// What it has.
        found: usize,
        /// What is known here.
        known: usize,
    },
    /// The file is damaged.
    #[error(
        "the store {path} is damaged ({what}); put a backup in its place with `lattice restore FILE`, \
         or move it away to begin with nothing"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What the check says.
        what: String,
    },
    /// The schema cannot be brought up to date.
    #[error("cannot bring the schema of the store {path} up to date")]
    Migrate {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<rusqlite_migration::Error>,
    },
    /// A statement failed.
    #[error("cannot {what} the store")]
    Sql {
        /// Read or write.
        what: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A record is not what it should be.
    #[error("a record in {table} cannot be read")]
    Record {
        /// Which table.
        table: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The key's file cannot be read or made.
    #[error("cannot read or make {path}, the key of what is secret in the store")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is in the key's file is no key.
    #[error(
        "{path} holds {bytes} bytes, and a key has {needed}; put the right one in its place, or move \
         it away, and give the registries' credentials again with `ltc registry login`, and the custom \
         domains with `ltc domain add`"
    )]
    NoKey {
        /// Which file.
        path: PathBuf,
        /// What it holds.
        bytes: usize,
        /// What a key has.
        needed: usize,
    },
    /// The writer is gone.
    #[error("the store's writer has ended")]
    Ended,
}

#[cfg(test)]
mod tests;
