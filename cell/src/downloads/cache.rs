//! Copies of what was fetched, on disk. Blocking; [`Cache::on`] runs it where it may block.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use reqwest::Url;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tracing::warn;

use super::Fetched;

/// A directory of copies, each beside its ETag.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    dir: PathBuf,
    bytes_max: u64,
}

/// A copy, open for reading, and what it is a copy of.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) file: File,
    pub(super) etag: String,
}

// === impl Cache ===

impl Cache {
    pub(super) const fn new(dir: PathBuf, bytes_max: u64) -> Self {
        Self { dir, bytes_max }
    }

    /// Does this where it may block.
    pub(super) async fn on<T, F>(&self, work: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> io::Result<T> + Send + 'static,
    {
        let cache = self.clone();
        let work = tokio::task::spawn_blocking(move || work(&cache));
        work.await.map_err(io::Error::other)?
    }

    /// Where the copy for this key and URL is, or would be.
    pub(super) fn place(&self, cache_key: &str, url: &Url) -> PathBuf {
        let name = Sha256::digest(format!("{cache_key}\n{url}").as_bytes());
        self.dir.join(format!("{}.archive", hex::encode(&name[..16])))
    }

    /// The copy there; `None` when there is none that is whole.
    pub(super) fn open(&self, kept: &Path) -> Option<Copy> {
        let file = File::options().read(true).write(true).open(kept).ok()?;
        Some(Copy { file, etag: fs::read_to_string(etag_path(kept)).ok()? })
    }

    /// A file for what arrives, and an end to write to.
    pub(super) fn begin(&self) -> io::Result<(NamedTempFile, File)> {
        let partial = NamedTempFile::new_in(&self.dir)?;
        let file = partial.reopen()?;
        Ok((partial, file))
    }

    /// Replaces a copy. Its ETag goes first and comes last, so that a crash leaves an archive
    /// without one, never with another's.
    pub(super) fn put(&self, partial: NamedTempFile, kept: &Path, etag: &str) -> io::Result<()> {
        remove(&etag_path(kept))?;
        self.sync()?;
        partial.as_file().sync_all()?;
        partial.persist(kept).map_err(|error| error.error)?;
        self.sync()?;
        let new = NamedTempFile::new_in(&self.dir)?;
        fs::write(new.path(), etag)?;
        new.persist(etag_path(kept)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Removes the least recently used copies until the rest is small enough; never `newest`.
    /// Whatever cannot be removed stays until the next time.
    pub(super) fn make_room(&self, newest: &Path) {
        let mut copies = match self.copies() {
            Ok(copies) => copies,
            Err(error) => {
                warn!(dir = %self.dir.display(), %error, "cannot list the cached downloads");
                return;
            }
        };
        copies.sort();
        let mut total: u64 = copies.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in copies {
            if total > self.bytes_max && path != newest {
                match remove(&etag_path(&path)).and_then(|()| remove(&path)) {
                    Ok(()) => total -= bytes,
                    Err(error) => {
                        warn!(path = %path.display(), %error, "cannot remove a cached download");
                    }
                }
            }
        }
    }

    /// When each was last used, its size and its path.
    fn copies(&self) -> io::Result<Vec<(SystemTime, u64, PathBuf)>> {
        let mut copies = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let (metadata, path) = entry.map(|entry| (entry.metadata(), entry.path()))?;
            let is_copy = path.extension().is_some_and(|extension| extension == "archive");
            if let (true, Ok(metadata)) = (is_copy, metadata) {
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                copies.push((used, metadata.len(), path));
            }
        }
        Ok(copies)
    }

    /// Makes the names in the directory durable.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

/// A copy that is read once more, and therefore stays longer.
pub(super) fn used_now(file: File) -> io::Result<Fetched> {
    file.set_modified(SystemTime::now())?;
    let bytes = file.metadata()?.len();
    Ok(Fetched { file, bytes })
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn etag_path(kept: &Path) -> PathBuf {
    kept.with_extension("etag")
}
