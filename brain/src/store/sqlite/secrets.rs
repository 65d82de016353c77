//! The tables of what is secret, sealed: what registries demand, the keys of custom domains'
//! certificates, and those of the accounts with authorities.

use lattice_model::{CustomDomain, RegistryCredentials};
use rusqlite::{Connection, Row, Transaction, params};

use super::{StoreError, reading, writing};
use crate::custom_domains::AcmeAccount;
use crate::store::seal::Seal;

/// All of it, opened.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    pub(super) credentials: Vec<RegistryCredentials>,
    pub(super) custom_domains: Vec<CustomDomain>,
    pub(super) acme_accounts: Vec<AcmeAccount>,
}

/// Keeps a registry's, in the place of those before.
pub(super) fn put_credentials(
    transaction: &Transaction<'_>,
    seal: &Seal,
    credentials: &RegistryCredentials,
) -> rusqlite::Result<()> {
    let RegistryCredentials { registry, username, password } = credentials;
    let text = serde_json::to_string(&[username, password]).expect("two strings are JSON");
    let sealed = seal.close(&of_registry(registry), &text);
    let sql = "INSERT OR REPLACE INTO sealed_credentials (registry, sealed) VALUES (?1, ?2)";
    transaction.prepare_cached(sql)?.execute(params![registry, sealed]).map(drop)
}

/// Keeps a host's certificate and key, in the place of those before.
pub(super) fn put_domain(
    transaction: &Transaction<'_>,
    seal: &Seal,
    domain: &CustomDomain,
) -> rusqlite::Result<()> {
    let CustomDomain { host, certificate, key } = domain;
    let sealed = seal.close(&of_host(host), key);
    let sql = "INSERT OR REPLACE INTO sealed_domains (host, certificate, sealed_key)
               VALUES (?1, ?2, ?3)";
    transaction.prepare_cached(sql)?.execute(params![host, certificate, sealed]).map(drop)
}

/// Keeps an account, in the place of the one before.
pub(super) fn put_account(
    transaction: &Transaction<'_>,
    seal: &Seal,
    account: &AcmeAccount,
) -> rusqlite::Result<()> {
    let AcmeAccount { directory, credentials } = account;
    let sealed = seal.close(&of_directory(directory), credentials);
    let sql = "INSERT OR REPLACE INTO sealed_accounts (directory, sealed) VALUES (?1, ?2)";
    transaction.prepare_cached(sql)?.execute(params![directory, sealed]).map(drop)
}

/// All that this key opens. What it does not open stays as it is, and is named in the log.
pub(super) fn load(connection: &Connection, seal: &Seal) -> Result<Secrets, StoreError> {
    let pair =
        |row: &Row<'_>| -> rusqlite::Result<(String, Vec<u8>)> { Ok((row.get(0)?, row.get(1)?)) };
    let credentials = rows(connection, "SELECT registry, sealed FROM sealed_credentials", pair)?;
    let accounts = rows(connection, "SELECT directory, sealed FROM sealed_accounts", pair)?;
    let sql = "SELECT host, certificate, sealed_key FROM sealed_domains";
    let domains = rows(connection, sql, |row| -> rusqlite::Result<(String, String, Vec<u8>)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let credentials = credentials.into_iter().filter_map(|(registry, sealed)| {
        let opened = seal.open(&of_registry(&registry), &sealed);
        let pair = opened.and_then(|text| serde_json::from_str::<[String; 2]>(&text).ok());
        let [username, password] = or_told(pair, seal, format!("ltc registry login {registry}"))?;
        Some(RegistryCredentials { registry, username, password })
    });
    let custom_domains = domains.into_iter().filter_map(|(host, certificate, sealed)| {
        let opened = seal.open(&of_host(&host), &sealed);
        let key = or_told(opened, seal, format!("ltc domain add {host}"))?;
        Some(CustomDomain { host, certificate, key })
    });
    let acme_accounts = accounts.into_iter().filter_map(|(directory, sealed)| {
        let opened = seal.open(&of_directory(&directory), &sealed);
        let fix = format!("nothing; the next order makes another account with {directory}");
        let credentials = or_told(opened, seal, fix)?;
        Some(AcmeAccount { directory, credentials })
    });
    Ok(Secrets {
        credentials: credentials.collect(),
        custom_domains: custom_domains.collect(),
        acme_accounts: acme_accounts.collect(),
    })
}

/// Seals what versions before this one kept in clear, and leaves nothing of it but in the log, which
/// is emptied next.
pub(super) fn move_plain(connection: &Connection, seal: &Seal) -> Result<(), StoreError> {
    let plain = plain(connection)?;
    if plain.is_empty() {
        return Ok(());
    }
    // What is deleted is overwritten.
    let pragma = |name, value| connection.pragma_update_and_check(None, name, value, |_| Ok(()));
    pragma("secure_delete", true).map_err(writing)?;
    let transaction = connection.unchecked_transaction().map_err(writing)?;
    plain.put(&transaction, seal).map_err(writing)?;
    let tables = ["registry_credentials", "custom_domains", "acme_accounts"];
    for table in tables {
        transaction.execute(&format!("DELETE FROM {table}"), []).map_err(writing)?;
    }
    transaction.commit().map_err(writing)?;
    pragma("secure_delete", false).map_err(writing)
}

fn plain(connection: &Connection) -> Result<Secrets, StoreError> {
    let sql = "SELECT registry, username, password FROM registry_credentials";
    let credentials = rows(connection, sql, |row| {
        let (registry, username, password) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(RegistryCredentials { registry, username, password })
    })?;
    let sql = "SELECT host, certificate, key FROM custom_domains";
    let custom_domains = rows(connection, sql, |row| {
        let (host, certificate, key) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(CustomDomain { host, certificate, key })
    })?;
    let sql = "SELECT directory, credentials FROM acme_accounts";
    let acme_accounts = rows(connection, sql, |row| {
        let (directory, credentials) = (row.get(0)?, row.get(1)?);
        Ok(AcmeAccount { directory, credentials })
    })?;
    Ok(Secrets { credentials, custom_domains, acme_accounts })
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare(sql).map_err(reading)?;
    let rows = statement.query_map([], read).map_err(reading)?;
    rows.collect::<Result<_, _>>().map_err(reading)
}

/// What was opened; of what was not the log tells, and what to do.
fn or_told<T>(opened: Option<T>, seal: &Seal, fix: String) -> Option<T> {
    if opened.is_none() {
        let key = seal.path().display();
        tracing::warn!(%key, fix, "a secret was sealed with another key, and is not used");
    }
    opened
}

// What is sealed for one name opens for no other, and for nothing of another kind.

fn of_registry(registry: &str) -> String {
    format!("registry_credentials {registry}")
}

fn of_host(host: &str) -> String {
    format!("custom_domain {host}")
}

fn of_directory(directory: &str) -> String {
    format!("acme_account {directory}")
}

// === impl Secrets ===

impl Secrets {
    fn is_empty(&self) -> bool {
        let Self { credentials, custom_domains, acme_accounts } = self;
        credentials.is_empty() && custom_domains.is_empty() && acme_accounts.is_empty()
    }

    fn put(&self, transaction: &Transaction<'_>, seal: &Seal) -> rusqlite::Result<()> {
        let Self { credentials, custom_domains, acme_accounts } = self;
        credentials.iter().try_for_each(|one| put_credentials(transaction, seal, one))?;
        custom_domains.iter().try_for_each(|one| put_domain(transaction, seal, one))?;
        acme_accounts.iter().try_for_each(|one| put_account(transaction, seal, one))
    }
}
