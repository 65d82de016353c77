//! Copies of a store, and their way back.

use super::*;
use crate::store::seal::KEY_FILE;
use crate::store::{BackupError, back_up, restore};

fn filled(path: &std::path::Path) -> Sqlite {
    let mut store = Sqlite::open(path).unwrap();
    let writes = [
        Write::PutDesired(Arc::new(lrp("web", 2, 10))),
        Write::PutActual(Arc::new(row(0, Presence::Ordinary))),
        Write::PutTask(task("t", 10)),
        Write::PutDomain(domain("d"), None),
        Write::PutCredentials(credentials("secret")),
        Write::PutCustomDomain(custom_domain("a.test", "secret")),
        Write::PutAcmeAccount(acme_account("secret")),
    ];
    store.commit(&writes).unwrap();
    store
}

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(dir: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_backed_up_while_the_store_was_in_use_is_restored_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let copy = dir.path().join("copy");
    let mut store = filled(&path);
    let expected = store.load().unwrap();
    store.commit(&[Write::PutTask(task("journalled", 1))]).unwrap();
    let expected = Records { tasks: store.load().unwrap().tasks, ..expected };
    let made = back_up(dir.path(), &copy, false).unwrap();
    assert_eq!((made.desired_lrps, made.tasks), (1, 2));
    assert_eq!(mode(&copy), 0o600);
    store.commit(&[Write::DeleteDesired(pg("web"))]).unwrap();
    let later = store.load().unwrap();
    drop(store);

    assert_eq!(restore(&copy, dir.path()).unwrap(), made);
    assert_eq!(mode(&path), 0o600);
    let mut store = Sqlite::open(&path).unwrap();
    assert_eq!(store.load().unwrap(), expected);
    drop(store);
    let kept = dir.path().join("brain.db.before-restore");
    assert_eq!(Sqlite::open(&kept).unwrap().load().unwrap(), later);
}

#[test]
fn a_backup_is_restored_where_there_was_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let expected = filled(&dir.path().join(STORE_FILE)).load().unwrap();
    let copy = dir.path().join("copy");
    back_up(dir.path(), &copy, false).unwrap();
    restore(&copy, elsewhere.path()).unwrap();
    assert_eq!(names(elsewhere.path()), ["brain.db", "brain.db-lock"]);
    let load = || Sqlite::open(&elsewhere.path().join(STORE_FILE)).unwrap().load().unwrap();
    let mut without_key = expected.clone();
    without_key.credentials.clear();
    without_key.custom_domains.clear();
    without_key.acme_accounts.clear();
    assert_eq!(load(), without_key, "what is sealed needs the key");
    let [from, to] = [dir.path(), elsewhere.path()].map(|dir| dir.join(KEY_FILE));
    std::fs::copy(from, to).unwrap();
    assert_eq!(load(), expected);
}

#[test]
fn a_backup_overwrites_only_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(&dir.path().join(STORE_FILE)));
    let copy = dir.path().join("copy");
    std::fs::write(&copy, "precious").unwrap();
    let error = back_up(dir.path(), &copy, false).unwrap_err();
    assert!(error.to_string().ends_with("or overwrite it with --force"), "{error}");
    assert_eq!(std::fs::read(&copy).unwrap(), b"precious");
    back_up(dir.path(), &copy, true).unwrap();
    assert_eq!(mode(&copy), 0o600);
    assert_eq!(names(dir.path()), ["brain.db", "brain.db-lock", "copy", KEY_FILE]);
    let nowhere = back_up(dir.path(), &dir.path().join("no/such/copy"), false).unwrap_err();
    assert!(matches!(nowhere, BackupError::File { what: "make", .. }), "{nowhere}");
    let nothing = back_up(&dir.path().join("other"), &copy, true).unwrap_err();
    assert!(nothing.to_string().starts_with("there is no store in"), "{nothing}");
}

#[test]
fn what_is_no_sound_backup_is_refused_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let mut store = filled(&path);
    let expected = store.load().unwrap();
    let at = |name: &str| dir.path().join(name);
    back_up(dir.path(), &at("later"), false).unwrap();
    back_up(dir.path(), &at("unreadable"), false).unwrap();
    drop(store);
    let change = |name: &str, sql: &str| {
        rusqlite::Connection::open(at(name)).unwrap().execute_batch(sql).unwrap();
    };
    change("later", "PRAGMA user_version = 99");
    change("unreadable", "UPDATE tasks SET record = '{}'");
    change("foreign", "CREATE TABLE t (x)");
    std::fs::write(at("text"), "x".repeat(8_192)).unwrap();
    for (name, expected) in [
        ("later", "has schema 99, and this version knows only up to 7"),
        ("unreadable", "not a sound backup (a record in tasks cannot be read)"),
        ("foreign", "not a sound backup (no such table: desired_lrps"),
        ("text", "not a sound backup (file is not a database"),
        ("missing", "cannot read"),
    ] {
        let error = restore(&at(name), dir.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    assert!(!names(dir.path()).iter().any(|name| name.contains("before") || name.contains("new")));
    assert_eq!(Sqlite::open(&path).unwrap().load().unwrap(), expected);
}

#[test]
fn a_store_in_use_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let mut store = filled(&path);
    let copy = dir.path().join("copy");
    back_up(dir.path(), &copy, false).unwrap();
    let error = restore(&copy, dir.path()).unwrap_err();
    assert!(error.to_string().contains("is in use by another process"), "{error}");
    store.commit(&[Write::PutTask(task("more", 1))]).unwrap();
}

#[test]
fn a_damaged_store_is_replaced_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let copy = dir.path().join("copy");
    let expected = filled(&path).load().unwrap();
    back_up(dir.path(), &copy, false).unwrap();
    std::fs::write(&path, "x".repeat(8_192)).unwrap();
    restore(&copy, dir.path()).unwrap();
    assert_eq!(Sqlite::open(&path).unwrap().load().unwrap(), expected);
    let kept = std::fs::read_to_string(dir.path().join("brain.db.before-restore")).unwrap();
    assert!(kept.starts_with("xxx"));
}
