//! The store in one SQLite file: records as JSON by guid, write-ahead log, a sync per commit.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use lattice_model::{Domain, Presence, RegistryCredentials, Time};
use rusqlite::{Connection, ErrorCode, Transaction, params};
use rusqlite_migration::{M, Migrations};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Store, StoreError};
use crate::board::{Records, Write};

/// One entry per schema version; never edited, only added to.
static MIGRATIONS: LazyLock<Migrations<'static>> = LazyLock::new(|| {
    Migrations::new(vec![
        M::up(include_str!("schema/0001.sql")),
        M::up(include_str!("schema/0002.sql")),
    ])
});
const SCHEMA_KNOWN: usize = 2;

/// An open store.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
}

// === impl Sqlite ===

impl Sqlite {
    /// Opens the file, or makes it, readable by its owner only; checks it and brings its schema up
    /// to date.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        make_private(path).map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        let mut connection = Connection::open(path).map_err(|e| of_opening(path, e))?;
        configure(&connection).map_err(|e| of_opening(path, e))?;
        check(&connection, path)?;
        MIGRATIONS.to_latest(&mut connection).map_err(|source| StoreError::Migrate {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self { connection })
    }

    #[cfg(test)]
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    fn rows<T: DeserializeOwned>(&self, table: &'static str) -> Result<Vec<T>, StoreError> {
        // The table's name is a constant of this module.
        let sql = format!("SELECT record FROM {table}");
        let mut statement = self.connection.prepare(&sql).map_err(reading)?;
        let texts = statement.query_map([], |row| row.get::<_, String>(0)).map_err(reading)?;
        texts
            .map(|text| {
                let text = text.map_err(reading)?;
                serde_json::from_str(&text).map_err(|source| StoreError::Record { table, source })
            })
            .collect()
    }

    fn domains(&self) -> Result<Vec<(Domain, Option<Time>)>, StoreError> {
        let mut statement =
            self.connection.prepare("SELECT domain, expires_at FROM domains").map_err(reading)?;
        let rows = statement
            .query_map([], |row| {
                let until: Option<i64> = row.get(1)?;
                Ok((row.get::<_, String>(0)?, until.map(Time)))
            })
            .map_err(reading)?;
        let rows: Vec<(String, Option<Time>)> = rows.collect::<Result<_, _>>().map_err(reading)?;
        rows.into_iter()
            .map(|(name, until)| {
                let domain = Domain::new(name).map_err(|why| StoreError::Record {
                    table: "domains",
                    source: serde::de::Error::custom(why),
                })?;
                Ok((domain, until))
            })
            .collect()
    }

    fn credentials(&self) -> Result<Vec<RegistryCredentials>, StoreError> {
        let sql = "SELECT registry, username, password FROM registry_credentials";
        let mut statement = self.connection.prepare(sql).map_err(reading)?;
        let rows = statement.query_map([], |row| {
            let (registry, username, password) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(RegistryCredentials { registry, username, password })
        });
        rows.map_err(reading)?.collect::<Result<_, _>>().map_err(reading)
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Records, StoreError> {
        Ok(Records {
            desired: self.rows("desired_lrps")?,
            actual: self.rows("actual_lrps")?,
            tasks: self.rows("tasks")?,
            domains: self.domains()?,
            draining: self.rows("draining_cells")?,
            credentials: self.credentials()?,
        })
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction().map_err(writing)?;
        for write in writes {
            put(&transaction, write).map_err(writing)?;
        }
        transaction.commit().map_err(writing)
    }
}

fn put(transaction: &Transaction<'_>, write: &Write) -> rusqlite::Result<()> {
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        transaction.prepare_cached(sql)?.execute(params).map(|_| ())
    };
    match write {
        Write::PutDesired(lrp) => run(
            "INSERT OR REPLACE INTO desired_lrps (process_guid, record) VALUES (?1, ?2)",
            params![lrp.process_guid.as_str(), json(lrp.as_ref())?],
        ),
        Write::DeleteDesired(guid) => {
            run("DELETE FROM desired_lrps WHERE process_guid = ?1", params![guid.as_str()])
        }
        Write::PutActual(row) => run(
            "INSERT OR REPLACE INTO actual_lrps (process_guid, instance_index, presence, record)
             VALUES (?1, ?2, ?3, ?4)",
            params![
                row.key.process_guid.as_str(),
                row.key.index,
                number(row.presence),
                json(row.as_ref())?
            ],
        ),
        Write::DeleteActual(id) => run(
            "DELETE FROM actual_lrps
             WHERE process_guid = ?1 AND instance_index = ?2 AND presence = ?3",
            params![id.guid.as_str(), id.index, number(id.presence)],
        ),
        Write::PutTask(task) => run(
            "INSERT OR REPLACE INTO tasks (task_guid, record) VALUES (?1, ?2)",
            params![task.definition.task_guid.as_str(), json(task.as_ref())?],
        ),
        Write::DeleteTask(guid) => {
            run("DELETE FROM tasks WHERE task_guid = ?1", params![guid.as_str()])
        }
        Write::PutDomain(domain, until) => run(
            "INSERT OR REPLACE INTO domains (domain, expires_at) VALUES (?1, ?2)",
            params![domain.as_str(), until.map(|until| until.0)],
        ),
        Write::DeleteDomain(domain) => {
            run("DELETE FROM domains WHERE domain = ?1", params![domain.as_str()])
        }
        Write::PutDraining(d) => run(
            "INSERT OR REPLACE INTO draining_cells (cell_id, record) VALUES (?1, ?2)",
            params![d.cell_id.as_str(), json(d)?],
        ),
        Write::DeleteDraining(cell) => {
            run("DELETE FROM draining_cells WHERE cell_id = ?1", params![cell.as_str()])
        }
        Write::PutCredentials(c) => run(
            "INSERT OR REPLACE INTO registry_credentials (registry, username, password)
             VALUES (?1, ?2, ?3)",
            params![c.registry, c.username, c.password],
        ),
    }
}

/// The numbers of section 2.2.
const fn number(presence: Presence) -> u8 {
    match presence {
        Presence::Ordinary => 0,
        Presence::Evacuating => 1,
        Presence::Suspect => 2,
    }
}

fn json(record: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(record).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

/// SQLite gives its log the mode of the file, so that this one counts for both.
fn make_private(path: &Path) -> io::Result<()> {
    let file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(32);
    // Nobody else may write while a brain decides by what it has in memory.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The first write takes the lock, and so finds out who else has it.
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT;")
}

fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let damaged = |what: String| StoreError::Damaged { path: path.to_owned(), what };
    let verdict: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
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
    Ok(())
}

fn of_opening(path: &Path, error: rusqlite::Error) -> StoreError {
    let path: PathBuf = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path, what: error.to_string() }
        }
        _ => StoreError::Open { path, source: io::Error::other(error) },
    }
}

fn reading(source: rusqlite::Error) -> StoreError {
    StoreError::Sql { what: "read", source }
}

fn writing(source: rusqlite::Error) -> StoreError {
    StoreError::Sql { what: "write to", source }
}
