//! The table of what registries demand, all of it sealed.

use lattice_model::RegistryCredentials;
use rusqlite::{Connection, Transaction, params};

use super::{StoreError, reading, writing};
use crate::store::seal::Seal;

/// Keeps a registry's, in the place of those before.
pub(super) fn put(
    transaction: &Transaction<'_>,
    seal: &Seal,
    credentials: &RegistryCredentials,
) -> rusqlite::Result<()> {
    let RegistryCredentials { registry, username, password } = credentials;
    let text = serde_json::to_string(&[username, password]).expect("two strings are JSON");
    let sql = "INSERT OR REPLACE INTO sealed_credentials (registry, sealed) VALUES (?1, ?2)";
    let mut statement = transaction.prepare_cached(sql)?;
    statement.execute(params![registry, seal.close(&name(registry), &text)]).map(drop)
}

/// All that this key opens. What it does not open stays as it is, and is named in the log.
pub(super) fn load(
    connection: &Connection,
    seal: &Seal,
) -> Result<Vec<RegistryCredentials>, StoreError> {
    let sql = "SELECT registry, sealed FROM sealed_credentials";
    let mut statement = connection.prepare(sql).map_err(reading)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(reading)?;
    let rows: Vec<(String, Vec<u8>)> = rows.collect::<Result<_, _>>().map_err(reading)?;
    Ok(rows.into_iter().filter_map(|(registry, sealed)| open(seal, registry, &sealed)).collect())
}

/// Seals what a version before this one kept in clear, and leaves nothing of it but in the log,
/// which is emptied next.
pub(super) fn move_plain(connection: &Connection, seal: &Seal) -> Result<(), StoreError> {
    let plain = plain(connection).map_err(reading)?;
    if plain.is_empty() {
        return Ok(());
    }
    // What is deleted is overwritten.
    let pragma = |name, value| connection.pragma_update_and_check(None, name, value, |_| Ok(()));
    pragma("secure_delete", true).map_err(writing)?;
    let transaction = connection.unchecked_transaction().map_err(writing)?;
    for credentials in &plain {
        put(&transaction, seal, credentials).map_err(writing)?;
    }
    transaction.execute("DELETE FROM registry_credentials", []).map_err(writing)?;
    transaction.commit().map_err(writing)?;
    pragma("secure_delete", false).map_err(writing)
}

fn plain(connection: &Connection) -> rusqlite::Result<Vec<RegistryCredentials>> {
    let sql = "SELECT registry, username, password FROM registry_credentials";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let (registry, username, password) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(RegistryCredentials { registry, username, password })
    });
    rows?.collect()
}

fn open(seal: &Seal, registry: String, sealed: &[u8]) -> Option<RegistryCredentials> {
    let text = seal.open(&name(&registry), sealed);
    let pair = text.and_then(|text| serde_json::from_str::<[String; 2]>(&text).ok());
    if pair.is_none() {
        let (key, fix) = (seal.path().display(), format!("ltc registry login {registry}"));
        tracing::warn!(registry, %key, fix, "credentials were sealed with another key");
    }
    let [username, password] = pair?;
    Some(RegistryCredentials { registry, username, password })
}

/// What is sealed for a registry opens for no other, and for nothing else that may come.
fn name(registry: &str) -> String {
    format!("registry_credentials {registry}")
}
