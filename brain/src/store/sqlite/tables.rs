//! The tables of records: what is in them, and how it gets there.

use lattice_model::{Domain, Presence, Time};
use rusqlite::{Connection, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::interner::Interner;
use super::journal::Change;
use super::secrets::{self, Secrets};
use super::{StoreError, reading};
use crate::board::{Records, Write};
use crate::store::seal::Seal;

/// What writing one record costs the log, about: a page.
pub(super) const RECORD_BYTES: usize = 4_096;

/// All that is in the tables; what is journalled must be there already, and without a key nothing is
/// opened that is sealed.
pub(super) fn load(connection: &Connection, seal: Option<&Seal>) -> Result<Records, StoreError> {
    let mut actual = rows(connection, "actual_lrps")?;
    let mut interner = Interner::default();
    actual.iter_mut().for_each(|row| interner.share(row));
    let Secrets { credentials, custom_domains, acme_accounts } =
        seal.map_or(Ok(Secrets::default()), |seal| secrets::load(connection, seal))?;
    Ok(Records {
        desired: rows(connection, "desired_lrps")?,
        actual,
        tasks: rows(connection, "tasks")?,
        domains: domains(connection)?,
        draining: rows(connection, "draining_cells")?,
        credentials,
        custom_domains,
        enrolments: rows(connection, "enrolments")?,
        acme_accounts,
    })
}

/// Does what is written at once; what is journalled is not.
pub(super) fn put(
    transaction: &Transaction<'_>,
    seal: &Seal,
    write: &Write,
) -> rusqlite::Result<()> {
    match write {
        Write::PutDesired(lrp) => run(
            transaction,
            "INSERT OR REPLACE INTO desired_lrps (process_guid, record) VALUES (?1, ?2)",
            params![lrp.process_guid.as_str(), json(lrp.as_ref())?],
        ),
        Write::DeleteDesired(guid) => run(
            transaction,
            "DELETE FROM desired_lrps WHERE process_guid = ?1",
            params![guid.as_str()],
        ),
        Write::PutActual(_) | Write::DeleteActual(_) => Ok(()),
        Write::PutTask(task) => run(
            transaction,
            "INSERT OR REPLACE INTO tasks (task_guid, record) VALUES (?1, ?2)",
            params![task.definition.task_guid.as_str(), json(task.as_ref())?],
        ),
        Write::DeleteTask(guid) => {
            run(transaction, "DELETE FROM tasks WHERE task_guid = ?1", params![guid.as_str()])
        }
        Write::PutDomain(domain, until) => run(
            transaction,
            "INSERT OR REPLACE INTO domains (domain, expires_at) VALUES (?1, ?2)",
            params![domain.as_str(), until.map(|until| until.0)],
        ),
        Write::DeleteDomain(domain) => {
            run(transaction, "DELETE FROM domains WHERE domain = ?1", params![domain.as_str()])
        }
        Write::PutDraining(d) => run(
            transaction,
            "INSERT OR REPLACE INTO draining_cells (cell_id, record) VALUES (?1, ?2)",
            params![d.cell_id.as_str(), json(d)?],
        ),
        Write::DeleteDraining(cell) => run(
            transaction,
            "DELETE FROM draining_cells WHERE cell_id = ?1",
            params![cell.as_str()],
        ),
        Write::PutCredentials(credentials) => {
            secrets::put_credentials(transaction, seal, credentials)
        }
        Write::DeleteCredentials(registry) => run(
            transaction,
            "DELETE FROM sealed_credentials WHERE registry = ?1",
            params![registry],
        ),
        Write::PutCustomDomain(domain) => secrets::put_domain(transaction, seal, domain),
        Write::DeleteCustomDomain(host) => {
            run(transaction, "DELETE FROM sealed_domains WHERE host = ?1", params![host])
        }
        Write::PutEnrolment(enrolment) => run(
            transaction,
            "INSERT OR REPLACE INTO enrolments (host, record) VALUES (?1, ?2)",
            params![enrolment.host, json(enrolment)?],
        ),
        Write::DeleteEnrolment(host) => {
            run(transaction, "DELETE FROM enrolments WHERE host = ?1", params![host])
        }
        Write::PutAcmeAccount(account) => secrets::put_account(transaction, seal, account),
    }
}

/// Does a change of an instance's record.
pub(super) fn put_change(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Put(row) => run(
            transaction,
            "INSERT OR REPLACE INTO actual_lrps (process_guid, instance_index, presence, record)
             VALUES (?1, ?2, ?3, ?4)",
            params![
                row.key.process_guid.as_str(),
                row.key.index,
                number(row.presence),
                json(row.as_ref())?
            ],
        ),
        Change::Delete(id) => run(
            transaction,
            "DELETE FROM actual_lrps
             WHERE process_guid = ?1 AND instance_index = ?2 AND presence = ?3",
            params![id.guid.as_str(), id.index, number(id.presence)],
        ),
    }
}

fn run(
    transaction: &Transaction<'_>,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
) -> rusqlite::Result<()> {
    transaction.prepare_cached(sql)?.execute(params).map(|_| ())
}

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

fn rows<T: DeserializeOwned>(
    connection: &Connection,
    table: &'static str,
) -> Result<Vec<T>, StoreError> {
    // The table's name is a constant of this module.
    let sql = format!("SELECT record FROM {table}");
    let mut statement = connection.prepare(&sql).map_err(reading)?;
    let mut found = statement.query([]).map_err(reading)?;
    let mut records = Vec::new();
    while let Some(row) = found.next().map_err(reading)? {
        let text = row.get_ref(0).map_err(reading)?;
        let text = text.as_str().map_err(|e| reading(e.into()))?;
        let read = |source| StoreError::Record { table, source };
        records.push(serde_json::from_str(text).map_err(read)?);
    }
    Ok(records)
}

fn domains(connection: &Connection) -> Result<Vec<(Domain, Option<Time>)>, StoreError> {
    let mut statement =
        connection.prepare("SELECT domain, expires_at FROM domains").map_err(reading)?;
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
