//! Copies of a store that is in use, and their way back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use tempfile::NamedTempFile;

use super::StoreError;
use super::sqlite::{Claim, check, load_and_close, sync_directory_of, with_suffix};
use crate::config::STORE_FILE;

/// What a restore keeps of what was there.
const BEFORE: &str = ".before-restore";

/// Why a store was not copied, or a copy not brought back. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("there is no store in {data_dir}; name the data directory with --data-dir")]
    NoStore {
        /// Where it was looked for.
        data_dir: PathBuf,
    },
    /// The copy would overwrite something.
    #[error("{path} is there already; name another file, or overwrite it with --force")]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// The file is no store, or a damaged one.
    #[error("{path} is not a sound backup ({what}); nothing was restored")]
    Unfit {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A later version made it.
    #[error(
        "the backup {path} has schema {found}, and this version knows only up to {known}; restore \
         it with a version that knows it"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// What it has.
        found: usize,
        /// What is known here.
        known: usize,
    },
    /// A file cannot be read or made.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store itself is at fault.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Desired LRPs.
    pub desired_lrps: u32,
    /// Tasks.
    pub tasks: u32,
    /// The file's length.
    pub bytes: u64,
}

/// Copies the store in `data_dir`, as it is at one moment, to one file that only its owner can
/// read and that survives a power cut. Whoever uses the store goes on meanwhile.
pub fn back_up(data_dir: &Path, to: &Path, overwrite: bool) -> Result<Contents, BackupError> {
    let store = data_dir.join(STORE_FILE);
    if !store.exists() {
        return Err(BackupError::NoStore { data_dir: data_dir.to_owned() });
    }
    if to.exists() && !overwrite {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    let making = |source| BackupError::File { what: "make", path: to.to_owned(), source };
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let copy = NamedTempFile::new_in(parent.unwrap_or_else(|| Path::new("."))).map_err(making)?;
    copy_into(&store, copy.path())?;
    let contents = contents(copy.path())?;
    copy.as_file().sync_all().map_err(making)?;
    let kept = if overwrite { copy.persist(to) } else { copy.persist_noclobber(to) };
    kept.map_err(|e| making(e.error))?;
    sync_directory_of(to).map_err(making)?;
    Ok(contents)
}

/// Puts a copy in the place of the store in `data_dir`, which nobody may be using, after it was
/// read in whole. What was there is kept beside it.
pub fn restore(from: &Path, data_dir: &Path) -> Result<Contents, BackupError> {
    let store = data_dir.join(STORE_FILE);
    let _claim = Claim::make(&store)?;
    let contents = contents(from)?;
    let new = with_suffix(&store, ".new");
    let copied = copy_private(from, &new).and_then(|()| {
        let unfit = |cause: StoreError| unfit(from, cause);
        load_and_close(&new).map(drop).map_err(unfit)
    });
    copied.inspect_err(|_| drop(fs::remove_file(&new)))?;
    put_aside(&store)?;
    let placed = fs::File::open(&new)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&new, &store))
        .and_then(|()| sync_directory_of(&store));
    placed.map_err(|source| BackupError::File { what: "replace", path: store, source })?;
    Ok(contents)
}

fn copy_into(store: &Path, copy: &Path) -> Result<(), BackupError> {
    let reading = |source| StoreError::Sql { what: "copy", source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(store, flags).map_err(reading)?;
    check(&connection, store)?;
    let name = copy.as_os_str().to_string_lossy();
    connection.execute("VACUUM INTO ?1", [name]).map_err(reading)?;
    Ok(())
}

/// What is in a backup, if it is one.
fn contents(path: &Path) -> Result<Contents, BackupError> {
    let bytes = fs::metadata(path)
        .map_err(|source| BackupError::File { what: "read", path: path.to_owned(), source })?
        .len();
    let no_store =
        |e: rusqlite::Error| BackupError::Unfit { path: path.to_owned(), what: e.to_string() };
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(no_store)?;
    check(&connection, path).map_err(|cause| unfit(path, cause))?;
    let count = |table: &str| {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
    };
    let desired_lrps = count("desired_lrps").map_err(no_store)?;
    Ok(Contents { desired_lrps, tasks: count("tasks").map_err(no_store)?, bytes })
}

fn unfit(from: &Path, cause: StoreError) -> BackupError {
    let path = from.to_owned();
    match cause {
        StoreError::Newer { found, known, .. } => BackupError::Newer { path, found, known },
        StoreError::Damaged { what, .. } => BackupError::Unfit { path, what },
        other => BackupError::Unfit { path, what: other.to_string() },
    }
}

fn copy_private(from: &Path, to: &Path) -> Result<(), BackupError> {
    let copy = || {
        let mut source = fs::File::open(from)?;
        let mut copy = NamedTempFile::new_in(to.parent().unwrap_or_else(|| Path::new(".")))?;
        io::copy(&mut source, &mut copy)?;
        copy.persist(to).map_err(|e| e.error)?;
        Ok(())
    };
    copy().map_err(|source| BackupError::File { what: "make", path: to.to_owned(), source })
}

/// Keeps the store that is about to be replaced; at each moment there is one in its place.
fn put_aside(store: &Path) -> Result<(), BackupError> {
    if !store.exists() {
        return Ok(());
    }
    // Closing the last connection moves a sound store's log into it.
    drop(Connection::open(store).and_then(|c| c.query_row("PRAGMA user_version", [], |_| Ok(()))));
    let aside = with_suffix(store, BEFORE);
    let [log, index] = ["-wal", "-shm"].map(|suffix| with_suffix(store, suffix));
    let [old_log, _] = ["-wal", "-shm"].map(|suffix| with_suffix(&aside, suffix));
    let gone = |removed: io::Result<()>| match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    };
    let keep = || {
        gone(fs::remove_file(&aside))?;
        gone(fs::remove_file(&old_log))?;
        fs::hard_link(store, &aside)?;
        gone(fs::rename(&log, &old_log))?;
        gone(fs::remove_file(&index))
    };
    keep().map_err(|source| BackupError::File { what: "put aside", path: store.to_owned(), source })
}
