//! What every store does, and what only the one on disk can show.

mod backup;
mod journal;
mod kills;
mod lives;
mod schema;
mod syncs;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use lattice_model::cell::Draining;
use lattice_model::{CustomDomain, Domain, Presence, RegistryCredentials, Task, TaskState, Time};

use super::fake::InMemory;
use super::*;
use crate::board::RowId;
use crate::config::STORE_FILE;
use crate::custom_domains::{AcmeAccount, Enrolment};
use crate::testing::{cell_id, instance, key, lrp, pg, task, tg};

fn row(index: u32, presence: Presence) -> lattice_model::ActualLrp {
    lattice_model::ActualLrp {
        key: key("web", index),
        presence,
        state: lattice_model::ActualState::Claimed { instance: instance("i", "a") },
        since: Time(5),
        crash_count: 2,
        crash_reason: "boom".into(),
        modification_tag: lattice_model::ModificationTag { epoch: "e".into(), index: 3 },
    }
}

fn credentials(password: &str) -> RegistryCredentials {
    let (registry, username) = ("r.io".to_owned(), "u".to_owned());
    RegistryCredentials { registry, username, password: password.to_owned() }
}

fn domain(name: &str) -> Domain {
    Domain::new(name).unwrap()
}

fn running() -> Task {
    let state = TaskState::Running { cell_id: cell_id("a") };
    Task { state, ..task("t", 10).as_ref().clone() }
}

fn draining(cell: &str, max_in_flight: u32) -> Draining {
    Draining { cell_id: cell_id(cell), max_in_flight }
}

fn enrolment(host: &str, failures: u32) -> Enrolment {
    let (problem, next_order_at) = ("no such host".to_owned(), Some(Time(7)));
    let (left_alone_until, asked) = (Some(Time(6)), Some("https://ca.test/dir".to_owned()));
    Enrolment { host: host.to_owned(), failures, problem, next_order_at, left_alone_until, asked }
}

fn acme_account(credentials: &str) -> AcmeAccount {
    let (directory, credentials) = ("https://ca.test/dir".to_owned(), credentials.to_owned());
    AcmeAccount { directory, credentials }
}

fn of_registry(registry: &str) -> RegistryCredentials {
    RegistryCredentials { registry: registry.to_owned(), ..credentials("secret") }
}

fn custom_domain(host: &str, key: &str) -> CustomDomain {
    let (host, key) = (host.to_owned(), key.to_owned());
    CustomDomain { host, certificate: "PEM".to_owned(), key }
}

/// What each store does; `again` opens anew what was kept.
fn contract<S: Store>(mut store: S, again: impl FnOnce(S) -> S) {
    assert_eq!(store.load().unwrap(), Records::default(), "empty at first");
    let changed = lattice_model::DesiredLrp { annotation: "new".into(), ..lrp("web", 2, 10) };
    let all = [
        Write::PutDesired(Arc::new(lrp("web", 2, 10))),
        Write::PutDesired(Arc::new(lrp("gone", 1, 10))),
        Write::PutActual(Arc::new(row(0, Presence::Ordinary))),
        Write::PutActual(Arc::new(row(0, Presence::Suspect))),
        Write::PutActual(Arc::new(row(1, Presence::Ordinary))),
        Write::PutTask(task("t", 10)),
        Write::PutTask(task("gone", 10)),
        Write::PutDomain(domain("d"), None),
        Write::PutDomain(domain("e"), Some(Time(9))),
        Write::PutDomain(domain("gone"), None),
        Write::PutDraining(draining("a", 1)),
        Write::PutDraining(draining("gone", 1)),
        Write::PutCredentials(credentials("old")),
        Write::PutCredentials(of_registry("gone.test")),
        Write::PutCustomDomain(custom_domain("a.test", "old")),
        Write::PutCustomDomain(custom_domain("gone.test", "old")),
        Write::PutEnrolment(enrolment("a.test", 1)),
        Write::PutEnrolment(enrolment("gone.test", 1)),
        Write::PutAcmeAccount(acme_account("old")),
    ];
    store.commit(&all).unwrap();
    let then = [
        Write::PutDesired(Arc::new(changed.clone())),
        Write::DeleteDesired(pg("gone")),
        Write::DeleteActual(RowId::ordinary(&pg("web"), 0)),
        Write::PutTask(Arc::new(running())),
        Write::DeleteTask(tg("gone")),
        Write::DeleteTask(tg("never-was")),
        Write::PutDomain(domain("e"), Some(Time(11))),
        Write::DeleteDomain(domain("gone")),
        Write::PutDraining(draining("a", 4)),
        Write::DeleteDraining(cell_id("gone")),
        Write::PutCredentials(credentials("new")),
        Write::DeleteCredentials("gone.test".to_owned()),
        Write::PutCustomDomain(custom_domain("a.test", "new")),
        Write::DeleteCustomDomain("gone.test".to_owned()),
        Write::PutEnrolment(enrolment("a.test", 2)),
        Write::DeleteEnrolment("gone.test".to_owned()),
        Write::PutAcmeAccount(acme_account("new")),
    ];
    store.commit(&then).unwrap();
    store.commit(&then).unwrap();
    let mut store = again(store);
    let mut records = store.load().unwrap();
    records.actual.sort_by_key(|row| row.key.index);
    let expected = Records {
        desired: vec![changed],
        actual: vec![row(0, Presence::Suspect), row(1, Presence::Ordinary)],
        tasks: vec![running()],
        domains: vec![(domain("d"), None), (domain("e"), Some(Time(11)))],
        draining: vec![draining("a", 4)],
        credentials: vec![credentials("new")],
        custom_domains: vec![custom_domain("a.test", "new")],
        enrolments: vec![enrolment("a.test", 2)],
        acme_accounts: vec![acme_account("new")],
    };
    assert_eq!(records, expected);
}

#[test]
fn the_store_in_memory_keeps_the_contract() {
    contract(InMemory::default(), |store| store);
}

#[test]
fn the_store_on_disk_keeps_the_contract_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    contract(Sqlite::open(&path).unwrap(), |store| {
        drop(store);
        Sqlite::open(&path).unwrap()
    });
}

#[test]
fn only_its_owner_can_read_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let mut store = Sqlite::open(&path).unwrap();
    store.commit(&[Write::PutCredentials(credentials("secret"))]).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        seen += 1;
    }
    assert!(seen >= 2, "the file and its log");
}

fn secrets(text: &str) -> [Write; 3] {
    [
        Write::PutCredentials(credentials(text)),
        Write::PutCustomDomain(custom_domain("a.test", text)),
        Write::PutAcmeAccount(acme_account(text)),
    ]
}

#[test]
fn secrets_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(&dir.path().join(STORE_FILE)).unwrap();
    let writes = secrets("hunter2");
    store.commit(&writes).unwrap();
    assert!(!format!("{writes:?}").contains("hunter2"));
    assert!(!format!("{:?}", store.load().unwrap()).contains("hunter2"));
}

#[test]
fn secrets_are_in_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(&dir.path().join(STORE_FILE)).unwrap();
    store.commit(&secrets("hunter2")).unwrap();
    assert_eq!(files_with(dir.path(), b"hunter2"), [] as [PathBuf; 0]);
    drop(store);
    assert_eq!(files_with(dir.path(), b"hunter2"), [] as [PathBuf; 0]);
}

/// The files of a directory that have these bytes in them.
fn files_with(dir: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let has_it = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(needle.len()).any(|part| part == needle)
    };
    paths.filter(has_it).collect()
}

/// Some of a host's key, as it is sealed.
fn sealed_key(store: &Sqlite, host: &str) -> Vec<u8> {
    let sql = "SELECT sealed_key FROM sealed_domains WHERE host = ?1";
    let sealed: Vec<u8> = store.connection().query_row(sql, [host], |row| row.get(0)).unwrap();
    // From its middle: a long one stands on several pages.
    sealed[100..132].to_vec()
}

#[test]
fn no_key_stays_in_the_file_that_was_replaced_or_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let mut store = Sqlite::open(&path).unwrap();
    let mut sealed = Vec::new();
    for (host, name) in [("a.test", "first"), ("b.test", "second"), ("a.test", "third")] {
        // Longer than a page, so that it stands on pages of its own.
        let key = format!("secret-{name}").repeat(1_000);
        store.commit(&[Write::PutCustomDomain(custom_domain(host, &key))]).unwrap();
        sealed.push(sealed_key(&store, host));
    }
    store.commit(&[Write::DeleteCustomDomain("b.test".to_owned())]).unwrap();
    let is_there = |sealed: &Vec<u8>| !files_with(dir.path(), sealed).is_empty();
    assert_eq!(sealed.iter().map(is_there).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_key_that_somebody_still_reads_goes_with_a_later_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let mut store = Sqlite::open(&path).unwrap();
    let key = "secret".repeat(1_000);
    store.commit(&[Write::PutCustomDomain(custom_domain("a.test", &key))]).unwrap();
    let sealed = sealed_key(&store, "a.test");
    let reader = rusqlite::Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let read = reader.query_row("SELECT count(*) FROM tasks", [], |row| row.get::<_, i64>(0));
    assert_eq!(read.unwrap(), 0);
    store.commit(&[Write::DeleteCustomDomain("a.test".to_owned())]).unwrap();
    assert!(!files_with(dir.path(), &sealed).is_empty(), "it is being read");
    drop(reader);
    store.commit(&[Write::PutTask(task("t", 1))]).unwrap();
    assert_eq!(files_with(dir.path(), &sealed), [] as [PathBuf; 0]);
}

#[test]
fn a_failed_write_keeps_nothing_of_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let mut store = Sqlite::open(&path).unwrap();
    store.commit(&[Write::PutTask(task("before", 1))]).unwrap();
    store.connection().execute_batch("DROP TABLE domains").unwrap();
    let batch = [Write::PutTask(task("half", 1)), Write::PutDomain(domain("d"), None)];
    let error = store.commit(&batch).unwrap_err();
    assert_eq!(error.to_string(), "cannot write to the store");
    let count: u32 =
        store.connection().query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn a_store_that_another_process_has_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let _first = Sqlite::open(&path).unwrap();
    let message = Sqlite::open(&path).unwrap_err().to_string();
    assert!(message.contains("is in use by another process"), "{message}");
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    std::fs::write(&path, "x".repeat(8_192)).unwrap();
    let message = Sqlite::open(&path).unwrap_err().to_string();
    assert!(message.contains("is damaged"), "{message}");
    let missing = dir.path().join("no/such/dir").join(STORE_FILE);
    assert!(matches!(Sqlite::open(&missing), Err(StoreError::Open { .. })));
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(&dir.path().join(STORE_FILE)).unwrap();
    store.connection().execute_batch("INSERT INTO tasks VALUES ('t', '{}')").unwrap();
    assert_eq!(store.load().unwrap_err().to_string(), "a record in tasks cannot be read");
    let nameless = "DELETE FROM tasks; INSERT INTO domains VALUES ('', NULL)";
    store.connection().execute_batch(nameless).unwrap();
    assert_eq!(store.load().unwrap_err().to_string(), "a record in domains cannot be read");
}

#[tokio::test]
async fn orders_are_done_one_after_the_other_and_failures_come_back() {
    let store = InMemory::default();
    let writer = Writer::spawn(store.clone()).unwrap();
    writer.commit(vec![Write::PutTask(task("a", 1))]).await.unwrap();
    store.fail_next(1);
    assert!(writer.commit(vec![Write::PutTask(task("b", 1))]).await.is_err());
    writer.commit(vec![Write::PutTask(task("c", 1))]).await.unwrap();
    assert_eq!(writer.load().await.unwrap().tasks.len(), 2);
    assert_eq!(store.commits(), 2);
}
