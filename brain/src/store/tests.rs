//! What every store does, and what only the one on disk can show.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;

use lattice_model::cell::Draining;
use lattice_model::{Domain, Presence, RegistryCredentials, Task, TaskState, Time};

use super::fake::InMemory;
use super::*;
use crate::board::RowId;
use crate::config::STORE_FILE;
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

#[test]
fn secrets_are_in_their_own_table_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(&dir.path().join(STORE_FILE)).unwrap();
    let write = Write::PutCredentials(credentials("hunter2"));
    store.commit(std::slice::from_ref(&write)).unwrap();
    assert!(!format!("{write:?}").contains("hunter2"));
    assert!(!format!("{:?}", store.load().unwrap()).contains("hunter2"));
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
fn a_store_of_a_later_version_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let store = Sqlite::open(&path).unwrap();
    store.connection().pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let message = Sqlite::open(&path).unwrap_err().to_string();
    let expected = format!(
        "the store {} has schema 99, and this version knows only up to 2; start a version that \
         knows it, or restore a backup made before the upgrade",
        path.display()
    );
    assert_eq!(message, expected);
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

const CHILD: &str = "LATTICE_TEST_STORE_CHILD";

/// Not a test of its own: the child of the next one, which writes until it is killed and says what
/// was acknowledged.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let mut store = Sqlite::open(path.as_ref()).unwrap();
    let next = store.load().unwrap().tasks.len();
    let mut out = std::io::stdout();
    for n in next.. {
        // Two records per commit: neither may ever be there without the other.
        let pair = [task(&format!("t{n}"), 1), task(&format!("pair{n}"), 1)].map(Write::PutTask);
        store.commit(&pair).unwrap();
        writeln!(out, "\nkept {n}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn killing_the_process_amid_its_writes_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(STORE_FILE);
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..20_usize {
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["store::tests::child_that_writes_until_it_is_killed", "--exact", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = 1 + round * 7 % 13;
        let mut seen = 0;
        while seen < wanted {
            let line = lines.next().expect("the child goes on writing").unwrap();
            if let Some(n) = line.strip_prefix("kept ") {
                acknowledged.push(format!("t{n}"));
                seen += 1;
            }
        }
        child.kill().unwrap();
        let rest = lines.map_while(Result::ok);
        let kept = rest.filter_map(|line| line.strip_prefix("kept ").map(|n| format!("t{n}")));
        acknowledged.extend(kept);
        child.wait().unwrap();
        let records = Sqlite::open(&path).unwrap().load().unwrap();
        let kept: std::collections::BTreeSet<String> =
            records.tasks.iter().map(|task| task.definition.task_guid.to_string()).collect();
        for guid in &acknowledged {
            assert!(kept.contains(guid), "{guid} was acknowledged, in round {round}");
        }
        for guid in &kept {
            if let Some(n) = guid.strip_prefix('t') {
                assert!(kept.contains(&format!("pair{n}")), "half a commit: {guid}");
            }
        }
    }
    assert!(acknowledged.len() >= 20);
}
