//! The store in one SQLite file: records as JSON by guid, write-ahead log, a sync per commit.

mod checkpoint;
mod file;
mod interner;
mod journal;
mod secrets;
mod tables;

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::seal::{KEY_FILE, Seal};
use super::{Store, StoreError};
use crate::board::{Records, Write};
use checkpoint::Checkpointer;
use journal::Journal;

pub(super) use file::{Claim, check, sync_directory_of, with_suffix};
pub use journal::{Change, parse_changes};

/// An open store. Nobody else may write to the file while a brain decides by what it has in memory.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    journal: Journal,
    seal: Seal,
    /// A commit has failed, so that only the file knows what is in it.
    is_unsure: bool,
    /// What is replaced or removed is overwritten.
    overwrites: bool,
    checkpointer: Checkpointer,
    _claim: Claim,
}

// === impl Sqlite ===

impl Sqlite {
    /// Opens the file, or makes it, readable by its owner only; checks it and brings its schema up
    /// to date. The key that what is secret is sealed with is beside it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let claim = Claim::make(path)?;
        let connection = file::open_file(path)?;
        let seal = Seal::load_or_create(&path.with_file_name(KEY_FILE))?;
        secrets::move_plain(&connection, &seal)?;
        let checkpointer = Checkpointer::spawn(path)?;
        let journal = Journal::default();
        let (is_unsure, overwrites, _claim) = (true, false, claim);
        let mut store =
            Self { connection, journal, seal, is_unsure, overwrites, checkpointer, _claim };
        store.settle()?;
        store.checkpointer.finish(&store.connection, true);
        Ok(store)
    }

    #[cfg(test)]
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        self.journal = settle(&mut self.connection)?;
        self.is_unsure = false;
        Ok(())
    }

    fn write(&mut self, writes: &[Write], changes: Vec<Change>) -> Result<(), StoreError> {
        self.overwrite(writes.iter().any(Write::is_secret)).map_err(writing)?;
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior).map_err(writing)?;
        for write in writes {
            tables::put(&transaction, &self.seal, write).map_err(writing)?;
        }
        let at_once = (writes.len() - changes.len()) * tables::RECORD_BYTES;
        let journalled = self.journal.append(&transaction, changes)?;
        transaction.commit().map_err(writing)?;
        self.checkpointer.written(at_once + journalled);
        Ok(())
    }

    /// Says whether what is replaced or removed is overwritten, and not only forgotten: keys are;
    /// for all else that would be twice the writing.
    fn overwrite(&mut self, overwrites: bool) -> rusqlite::Result<()> {
        if self.overwrites != overwrites {
            let pragma = if overwrites { "ON" } else { "OFF" };
            self.connection.pragma_update_and_check(None, "secure_delete", pragma, |_| Ok(()))?;
            self.overwrites = overwrites;
        }
        Ok(())
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Records, StoreError> {
        self.settle()?;
        tables::load(&self.connection, Some(&self.seal))
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        if self.is_unsure {
            self.settle()?;
        }
        let changes: Vec<Change> = writes.iter().filter_map(Change::of).collect();
        self.is_unsure = true;
        self.write(writes, changes)?;
        self.is_unsure = false;
        let wrote_secrets = writes.iter().any(Write::is_secret);
        self.checkpointer.finish(&self.connection, wrote_secrets);
        Ok(())
    }
}

/// All that is in the file but what is sealed, and which nobody else uses; it has the newest schema
/// afterwards and is one file without a log.
pub(super) fn load_and_close(path: &Path) -> Result<Records, StoreError> {
    let mut connection = file::open_file(path)?;
    settle(&mut connection)?;
    let records = tables::load(&connection, None)?;
    connection
        .pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        .map_err(writing)?;
    Ok(records)
}

/// Moves the whole journal to its table, as the file has it.
fn settle(connection: &mut Connection) -> Result<Journal, StoreError> {
    let transaction = connection.transaction().map_err(writing)?;
    let mut journal = Journal::read(&transaction)?;
    journal.fold_all(&transaction).map_err(writing)?;
    transaction.commit().map_err(writing)?;
    Ok(journal)
}

fn reading(source: rusqlite::Error) -> StoreError {
    StoreError::Sql { what: "read", source }
}

fn writing(source: rusqlite::Error) -> StoreError {
    StoreError::Sql { what: "write to", source }
}
