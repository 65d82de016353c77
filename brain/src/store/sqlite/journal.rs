//! Changes of instances' records, first appended and later moved to their table.
//!
//! A claim or a start changes one small record out of hundreds of thousands, and so, in the table,
//! one page for itself. Appended to the journal, the changes of a whole commit share a few pages.
//! When enough has gathered, its newest state is sorted by key and moved to the table, a part with
//! each commit, so that none takes long. A change says what its record is from now on; doing it
//! again does no harm, so the journal is done once more over the table when the store is opened.

use std::collections::HashMap;
use std::sync::Arc;

use lattice_model::ActualLrp;
use rusqlite::{Transaction, params};
use serde::{Deserialize, Serialize};

use super::{StoreError, reading, tables, writing};
use crate::board::{RowId, Write};

/// So many records make it worth while to sort them.
const GENERATION: usize = 16_384;
/// Rows of the journal that a commit deletes at most.
const ROWS_DELETED: i64 = 4;

/// What an instance's record is from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// This.
    Put(Arc<ActualLrp>),
    /// It is gone.
    Delete(RowId),
}

/// What the journal holds, and how much of it is in the table already.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The newest row.
    newest: i64,
    /// The oldest row, when there is one.
    oldest: i64,
    /// The newest state of what came after the generation that is being moved.
    gathered: HashMap<RowId, Change>,
    /// The generation that is being moved; its first keys come last.
    moving: Vec<(RowId, Change)>,
    /// The generation's last row.
    moving_to: i64,
    /// Rows up to this one are in the table.
    moved_to: i64,
}

// === impl Change ===

impl Change {
    /// The change that this write is; `None` for what is not journalled.
    pub fn of(write: &Write) -> Option<Self> {
        match write {
            Write::PutActual(row) => Some(Self::Put(Arc::clone(row))),
            Write::DeleteActual(id) => Some(Self::Delete(id.clone())),
            Write::PutDesired(_)
            | Write::DeleteDesired(_)
            | Write::PutTask(_)
            | Write::DeleteTask(_)
            | Write::PutDomain(..)
            | Write::DeleteDomain(_)
            | Write::PutDraining(_)
            | Write::DeleteDraining(_)
            | Write::DeleteCredentials(_)
            | Write::PutCredentials(_)
            | Write::PutCustomDomain(_)
            | Write::DeleteCustomDomain(_)
            | Write::PutEnrolment(_)
            | Write::DeleteEnrolment(_)
            | Write::PutAcmeAccount(_) => None,
        }
    }

    fn id(&self) -> RowId {
        match self {
            Self::Put(row) => RowId::of(row),
            Self::Delete(id) => id.clone(),
        }
    }
}

/// Reads the changes of one row of the journal.
pub fn parse_changes(text: &str) -> Result<Vec<Change>, StoreError> {
    let of_journal = |source| StoreError::Record { table: "journal", source };
    serde_json::from_str(text).map_err(of_journal)
}

// === impl Journal ===

impl Journal {
    /// The journal as the file has it.
    pub(super) fn read(transaction: &Transaction<'_>) -> Result<Self, StoreError> {
        let mut journal = Self::default();
        let sql = "SELECT sequence, changes FROM journal ORDER BY sequence";
        let mut statement = transaction.prepare(sql).map_err(reading)?;
        let mut rows = statement.query([]).map_err(reading)?;
        while let Some(row) = rows.next().map_err(reading)? {
            journal.newest = row.get(0).map_err(reading)?;
            let text: String = row.get(1).map_err(reading)?;
            let changes = parse_changes(&text)?;
            journal.gathered.extend(changes.into_iter().map(|change| (change.id(), change)));
        }
        Ok(journal)
    }

    /// Appends the changes, and moves as many older ones to the table as these are; the bytes that
    /// were written.
    pub(super) fn append(
        &mut self,
        transaction: &Transaction<'_>,
        changes: Vec<Change>,
    ) -> Result<usize, StoreError> {
        if changes.is_empty() {
            return Ok(0);
        }
        let text = serde_json::to_string(&changes)
            .map_err(|source| writing(rusqlite::Error::ToSqlConversionFailure(Box::new(source))))?;
        let sequence = self.newest + 1;
        transaction
            .prepare_cached("INSERT INTO journal (sequence, changes) VALUES (?1, ?2)")
            .and_then(|mut insert| insert.execute(params![sequence, text]))
            .map_err(writing)?;
        self.newest = sequence;
        let moved = self.fold(transaction, changes.len()).map_err(writing)?;
        self.gathered.extend(changes.into_iter().map(|change| (change.id(), change)));
        Ok(text.len() + moved * tables::RECORD_BYTES)
    }

    /// Moves everything to the table and empties the journal.
    pub(super) fn fold_all(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        self.begin_generation();
        self.move_some(transaction, usize::MAX)?;
        transaction.execute("DELETE FROM journal", [])?;
        *self = Self { newest: self.newest, oldest: self.newest + 1, ..Self::default() };
        Ok(())
    }

    /// Moves some records to the table and deletes some rows that are there already; how many
    /// records.
    fn fold(&mut self, transaction: &Transaction<'_>, count: usize) -> rusqlite::Result<usize> {
        if self.moving.is_empty() {
            self.moved_to = self.moving_to;
            if self.gathered.len() >= GENERATION {
                self.begin_generation();
                // The row that is being committed is not in it.
                self.moving_to -= 1;
            }
        }
        let last = self.moved_to.min(self.oldest + ROWS_DELETED - 1);
        if self.oldest <= last {
            transaction
                .prepare_cached("DELETE FROM journal WHERE sequence <= ?1")?
                .execute([last])?;
            self.oldest = last + 1;
        }
        self.move_some(transaction, count)
    }

    fn begin_generation(&mut self) {
        self.moving = self.gathered.drain().collect();
        self.moving.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        self.moving_to = self.newest;
    }

    fn move_some(
        &mut self,
        transaction: &Transaction<'_>,
        count: usize,
    ) -> rusqlite::Result<usize> {
        let rest = self.moving.len().saturating_sub(count);
        let some = self.moving.split_off(rest);
        let moved = some.len();
        for (_, change) in some.into_iter().rev() {
            tables::put_change(transaction, &change)?;
        }
        Ok(moved)
    }
}
