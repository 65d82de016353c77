//! Stores that other versions wrote.

use rusqlite::Connection;

use super::*;

/// What a store of the first schema holds, as its version wrote it. Never changed.
const FIRST: &str = include_str!("schema-0001.sql");

fn first_store(path: &std::path::Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(include_str!("../schema/0001.sql")).unwrap();
    connection.execute_batch(FIRST).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
}

#[test]
fn a_store_of_the_first_schema_is_opened_and_all_of_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    first_store(&path);
    let mut store = Sqlite::open(&path).unwrap();
    let mut records = store.load().unwrap();
    records.actual.sort_by_key(|row| (row.key.index, row.presence));
    let mut tagged = lattice_model::DesiredLrp {
        modification_tag: lattice_model::ModificationTag { epoch: "e".into(), index: 1 },
        ..lrp("web", 2, 10)
    };
    let mut task = running();
    // Nothing was said then of how many processes there may be, and so it stays.
    tagged.containers[0].limits.pids = lattice_model::Limit::Unlimited;
    task.definition.containers[0].limits.pids = lattice_model::Limit::Unlimited;
    let expected = Records {
        desired: vec![tagged],
        actual: vec![row(0, Presence::Ordinary), row(0, Presence::Suspect)],
        tasks: vec![task],
        domains: vec![(domain("d"), None), (domain("e"), Some(Time(9)))],
        draining: Vec::new(),
        credentials: vec![credentials("secret")],
        ..Records::default()
    };
    assert_eq!(records, expected);
    store.commit(&[Write::PutActual(Arc::new(row(1, Presence::Ordinary)))]).unwrap();
    drop(store);
    assert_eq!(Sqlite::open(&path).unwrap().load().unwrap().actual.len(), 3);
}

#[test]
fn passwords_that_an_earlier_version_kept_in_clear_are_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    first_store(&path);
    let password = "a password that is nowhere else";
    let connection = Connection::open(&path).unwrap();
    let sql = "INSERT INTO registry_credentials VALUES (?1, 'someone', ?2)";
    for n in 0..200 {
        let registry = format!("registry-{n}.test");
        connection.execute(sql, [registry.as_str(), password]).unwrap();
    }
    drop(connection);
    assert_eq!(files_with(dir.path(), password.as_bytes()).len(), 1);
    let mut store = Sqlite::open(&path).unwrap();
    assert_eq!(files_with(dir.path(), password.as_bytes()), [] as [PathBuf; 0]);
    assert_eq!(store.load().unwrap().credentials.len(), 201);
}

#[test]
fn keys_that_an_earlier_version_kept_in_clear_are_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    first_store(&path);
    let key = "a key that is nowhere else";
    let connection = Connection::open(&path).unwrap();
    for schema in [
        include_str!("../schema/0002.sql"),
        include_str!("../schema/0003.sql"),
        include_str!("../schema/0004.sql"),
        include_str!("../schema/0005.sql"),
        include_str!("../schema/0006.sql"),
    ] {
        connection.execute_batch(schema).unwrap();
    }
    connection.pragma_update(None, "user_version", 6).unwrap();
    for n in 0..200 {
        let host = format!("host-{n}.test");
        let sql = "INSERT INTO custom_domains VALUES (?1, 'PEM', ?2)";
        connection.execute(sql, [host.as_str(), key]).unwrap();
    }
    let sql = "INSERT INTO acme_accounts VALUES ('https://ca.test/dir', ?1)";
    connection.execute(sql, [key]).unwrap();
    drop(connection);
    assert_eq!(files_with(dir.path(), key.as_bytes()).len(), 1);

    let mut store = Sqlite::open(&path).unwrap();
    assert_eq!(files_with(dir.path(), key.as_bytes()), [] as [PathBuf; 0]);
    let records = store.load().unwrap();
    assert_eq!(records.custom_domains.len(), 200);
    assert!(records.custom_domains.iter().all(|domain| domain.key == key));
    assert_eq!(records.acme_accounts, [acme_account(key)]);
}

#[test]
fn passwords_that_an_earlier_version_replaced_or_removed_are_in_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    first_store(&path);
    let password = "a password that is nowhere else";
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update_and_check(None, "secure_delete", "OFF", |_| Ok(())).unwrap();
    let sql = "INSERT OR REPLACE INTO registry_credentials VALUES (?1, 'someone', ?2)";
    for n in 0..200 {
        let registry = format!("registry-{n}.test");
        connection.execute(sql, [registry.as_str(), password]).unwrap();
    }
    connection.execute(sql, ["registry-0.test", "another"]).unwrap();
    let removed = "DELETE FROM registry_credentials WHERE password = ?1";
    assert_eq!(connection.execute(removed, [password]).unwrap(), 199);
    drop(connection);
    assert_eq!(files_with(dir.path(), password.as_bytes()).len(), 1, "not overwritten");
    let mut store = Sqlite::open(&path).unwrap();
    assert_eq!(files_with(dir.path(), password.as_bytes()), [] as [PathBuf; 0]);
    assert_eq!(store.load().unwrap().credentials.len(), 2);
}

#[test]
fn records_from_before_placement_rules_ask_nothing_of_their_cells() {
    assert!(!FIRST.contains("\"placement\":"), "it is from before");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    first_store(&path);
    let records = Sqlite::open(&path).unwrap().load().unwrap();
    assert!(records.desired.iter().all(|lrp| lrp.placement.is_default()));
    assert!(records.tasks.iter().all(|task| task.definition.placement.is_default()));
}

#[test]
fn a_store_of_a_later_version_is_refused_with_what_to_do_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let store = Sqlite::open(&path).unwrap();
    store.connection().pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let before = std::fs::read(&path).unwrap();
    let message = Sqlite::open(&path).unwrap_err().to_string();
    let expected = format!(
        "the store {} has schema 99, and this version knows only up to 7; start a version that \
         knows it, or put a backup from before the upgrade in its place with `lattice restore \
         FILE`",
        path.display()
    );
    assert_eq!(message, expected);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_store_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let mut store = Sqlite::open(&path).unwrap();
    let tasks = (0..200).map(|n| Write::PutTask(task(&format!("t{n}"), 1)));
    store.commit(&tasks.collect::<Vec<_>>()).unwrap();
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let message = Sqlite::open(&path).unwrap_err().to_string();
    assert!(message.contains("is damaged ("), "{message}");
    assert!(message.contains("put a backup in its place with `lattice restore FILE`"), "{message}");
}
