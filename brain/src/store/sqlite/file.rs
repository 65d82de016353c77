//! The file itself: who may use it, that it is sound, and which schema it has.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rusqlite::{Connection, ErrorCode};
use rusqlite_migration::{M, Migrations};
use rustix::fs::{FlockOperation, flock};

use super::{StoreError, reading, writing};

/// One entry per schema version; never edited, only added to.
const SCHEMAS: [&str; 7] = [
    include_str!("../schema/0001.sql"),
    include_str!("../schema/0002.sql"),
    include_str!("../schema/0003.sql"),
    include_str!("../schema/0004.sql"),
    include_str!("../schema/0005.sql"),
    include_str!("../schema/0006.sql"),
    include_str!("../schema/0007.sql"),
];
/// The newest schema.
pub(in crate::store) const SCHEMA_KNOWN: usize = SCHEMAS.len();
/// Versions that knew only schemas before this one did not overwrite the passwords that they
/// replaced or removed.
const OVERWRITING_SINCE: usize = 6;

static MIGRATIONS: LazyLock<Migrations<'static>> =
    LazyLock::new(|| Migrations::new(SCHEMAS.into_iter().map(M::up).collect()));

/// The sole right to a store, for as long as it is held. The kernel takes it back from a process
/// that ends in any way.
#[derive(Debug)]
pub(in crate::store) struct Claim {
    _lock: File,
}

// === impl Claim ===

impl Claim {
    /// Claims the store, or says that another process has it.
    pub(in crate::store) fn make(path: &Path) -> Result<Self, StoreError> {
        let opened = |source| StoreError::Open { path: path.to_owned(), source };
        // A file of its own: SQLite loses its locks when the process closes the store's file.
        let lock = private(&with_suffix(path, "-lock")).map_err(opened)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(_) => Err(StoreError::InUse { path: path.to_owned() }),
        }
    }
}

/// Opens the store, or makes it; it is then sound and has the newest schema.
pub(in crate::store) fn open_file(path: &Path) -> Result<Connection, StoreError> {
    let is_new = !path.exists();
    let opened = |source| StoreError::Open { path: path.to_owned(), source };
    drop(private(path).map_err(opened)?);
    if is_new {
        sync_directory_of(path).map_err(opened)?;
    }
    let mut connection = connect(path)?;
    let found = check(&connection, path)?;
    if (1..OVERWRITING_SINCE).contains(&found) {
        // Before the schema says otherwise, so that it is done again if it does not come to its end.
        connection.execute_batch("VACUUM").map_err(writing)?;
    }
    MIGRATIONS.to_latest(&mut connection).map_err(|source| StoreError::Migrate {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    Ok(connection)
}

/// A connection that syncs before each commit returns and never stops a commit for a checkpoint.
pub(in crate::store) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let configured = || {
        let connection = Connection::open(path)?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        Ok(connection)
    };
    configured().map_err(|e| of_opening(path, e))
}

/// Checks that the file is sound and its schema known; which it has.
pub(in crate::store) fn check(connection: &Connection, path: &Path) -> Result<usize, StoreError> {
    let damaged = |what: String| StoreError::Damaged { path: path.to_owned(), what };
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| damaged(e.to_string()))?;
    if verdict != "ok" {
        return Err(damaged(verdict));
    }
    let found: usize = connection
        .query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        .map(|version| usize::try_from(version).unwrap_or_default())
        .map_err(reading)?;
    if found > SCHEMA_KNOWN {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: SCHEMA_KNOWN });
    }
    Ok(found)
}

/// Makes what was made, renamed or removed beside the file survive a power cut.
pub(in crate::store) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// The path of a file that belongs to this one.
pub(in crate::store) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// SQLite gives its own files the mode of this one, so that it counts for all of them.
fn private(path: &Path) -> io::Result<File> {
    let file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

fn of_opening(path: &Path, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path, what: error.to_string() }
        }
        _ => StoreError::Open { path, source: io::Error::other(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_follows_from_the_one_before() {
        assert!(MIGRATIONS.validate().is_ok());
    }
}
