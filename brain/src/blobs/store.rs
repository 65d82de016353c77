//! The files. Blocking; handlers call it through [`blocking`].

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::address::{Digest, Name, Tag};

/// The registry's directory in the data directory.
pub(super) const DIRECTORY: &str = "registry";

const BLOBS: &str = "blobs/sha256";
const REPOSITORIES: &str = "repositories";
const UPLOADS: &str = "uploads";
/// Repository names have no part that begins with `_`, so that these cannot clash with one.
const TAGS: &str = "_tags";
const REVISIONS: &str = "_revisions";

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error("cannot {what} in the registry's storage: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A worker died.
    #[error("the registry's storage worker failed")]
    Worker,
}

/// Blobs, manifests, tags and uploads in files.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    /// Uploads that a request is adding to at this moment.
    busy: Mutex<HashSet<Uuid>>,
    /// Read while a manifest checks and takes its blobs; written while garbage is collected.
    pub(super) references: RwLock<()>,
}

/// The right to add to an upload; one request at a time has it.
#[derive(Debug)]
pub(super) struct Claim {
    store: Arc<Store>,
    id: Uuid,
}

// === impl StoreError ===

impl StoreError {
    fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

// === impl Store ===

impl Store {
    /// Opens the store in this data directory, and makes it when there is none.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let root = data_dir.join(DIRECTORY);
        for directory in [BLOBS, REPOSITORIES, UPLOADS] {
            make_directory(&root.join(directory))?;
        }
        Ok(Self { root, busy: Mutex::default(), references: RwLock::default() })
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join(BLOBS).join(&hex[..2]).join(hex)
    }

    pub(super) fn upload_path(&self, id: Uuid) -> PathBuf {
        self.root.join(UPLOADS).join(id.to_string())
    }

    pub(super) fn uploads_dir(&self) -> PathBuf {
        self.root.join(UPLOADS)
    }

    pub(super) fn blobs_dir(&self) -> PathBuf {
        self.root.join(BLOBS)
    }

    /// True when the blob is here; it is then young again for the garbage collector, since who
    /// asks is about to rely on it.
    pub(super) fn touch(&self, digest: &Digest) -> Result<bool, StoreError> {
        match File::options().write(true).open(self.blob_path(digest)) {
            Ok(file) => {
                let touched = file.set_modified(SystemTime::now());
                touched.map_err(StoreError::io("touch a blob")).map(|()| true)
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(StoreError::io("open a blob")(e)),
        }
    }

    /// Begins an upload; `None` when too many are begun already.
    pub(super) fn begin(&self, uploads_max: usize) -> Result<Option<Uuid>, StoreError> {
        let begun = fs::read_dir(self.uploads_dir()).map_err(StoreError::io("list uploads"))?;
        if begun.count() >= uploads_max {
            return Ok(None);
        }
        let id = Uuid::new_v4();
        File::create_new(self.upload_path(id)).map_err(StoreError::io("begin an upload"))?;
        Ok(Some(id))
    }

    /// How much of an upload has arrived; `None` when there is no such upload.
    pub(super) fn arrived(&self, id: Uuid) -> Result<Option<u64>, StoreError> {
        match fs::metadata(self.upload_path(id)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("look at an upload")(e)),
        }
    }

    /// Drops an upload; false when there was none.
    pub(super) fn drop_upload(&self, id: Uuid) -> Result<bool, StoreError> {
        remove(&self.upload_path(id)).map_err(StoreError::io("drop an upload"))
    }

    /// Makes an upload a blob when it is what it is said to be; otherwise tells what it is.
    pub(super) fn finish(
        &self,
        id: Uuid,
        digest: &Digest,
    ) -> Result<Result<(), Digest>, StoreError> {
        let path = self.upload_path(id);
        let found = digest_of(&path).map_err(StoreError::io("read an upload"))?;
        if found != *digest {
            self.drop_upload(id)?;
            return Ok(Err(found));
        }
        self.keep(&path, digest).map_err(StoreError::io("keep a blob")).map(Ok)
    }

    /// Keeps these bytes under their own digest.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of_hex(&hex::encode(Sha256::digest(bytes))).expect("64 hex digits");
        let path = self.upload_path(Uuid::new_v4());
        let write = || -> io::Result<()> {
            File::create_new(&path)?.write_all(bytes)?;
            self.keep(&path, &digest)
        };
        write().map_err(StoreError::io("keep a manifest"))?;
        Ok(digest)
    }

    /// The bytes of a blob that is known to be small.
    pub(super) fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        read(&self.blob_path(digest)).map_err(StoreError::io("read a manifest"))
    }

    /// Lets a repository call a manifest its own.
    pub(super) fn add_revision(
        &self,
        name: &Name,
        digest: &Digest,
        media_type: &str,
    ) -> Result<(), StoreError> {
        let path = self.repository(name).join(REVISIONS).join(digest.hex());
        self.write(&path, media_type.as_bytes()).map_err(StoreError::io("keep a revision"))
    }

    /// The media type of a repository's manifest; `None` when it has no such.
    pub(super) fn revision(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> Result<Option<String>, StoreError> {
        let path = self.repository(name).join(REVISIONS).join(digest.hex());
        let bytes = read(&path).map_err(StoreError::io("read a revision"))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// How long ago a repository was last given a manifest; `None` when it has no such.
    pub(super) fn revision_age(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> Result<Option<Duration>, StoreError> {
        let path = self.repository(name).join(REVISIONS).join(digest.hex());
        age(&path).map_err(StoreError::io("look at a revision"))
    }

    /// The manifests of a repository.
    pub(super) fn revisions(&self, name: &Name) -> Result<Vec<Digest>, StoreError> {
        let directory = self.repository(name).join(REVISIONS);
        let files = names_in(&directory).map_err(StoreError::io("list revisions"))?;
        Ok(files.iter().filter_map(|file| Digest::of_hex(file)).collect())
    }

    /// Drops a manifest and the tags that name it; false when there was none.
    pub(super) fn drop_revision(&self, name: &Name, digest: &Digest) -> Result<bool, StoreError> {
        let failed = StoreError::io("drop a manifest");
        let repository = self.repository(name);
        for tag in names_in(&repository.join(TAGS)).map_err(&failed)? {
            let path = repository.join(TAGS).join(tag);
            if read(&path).map_err(&failed)?.as_deref() == Some(digest.hex().as_bytes()) {
                remove(&path).map_err(&failed)?;
            }
        }
        remove(&repository.join(REVISIONS).join(digest.hex())).map_err(&failed)
    }

    /// Points a tag to a manifest.
    pub(super) fn tag(&self, name: &Name, tag: &Tag, digest: &Digest) -> Result<(), StoreError> {
        let path = self.repository(name).join(TAGS).join(tag.as_str());
        self.write(&path, digest.hex().as_bytes()).map_err(StoreError::io("keep a tag"))
    }

    /// What a tag points to; `None` when there is no such tag.
    pub(super) fn tagged(&self, name: &Name, tag: &Tag) -> Result<Option<Digest>, StoreError> {
        let path = self.repository(name).join(TAGS).join(tag.as_str());
        let bytes = read(&path).map_err(StoreError::io("read a tag"))?;
        Ok(bytes.and_then(|bytes| Digest::of_hex(&String::from_utf8_lossy(&bytes))))
    }

    /// All that tags of a repository point to.
    pub(super) fn tagged_all(&self, name: &Name) -> Result<HashSet<Digest>, StoreError> {
        let failed = StoreError::io("read tags");
        let directory = self.repository(name).join(TAGS);
        let mut found = HashSet::new();
        for tag in names_in(&directory).map_err(&failed)? {
            let bytes = read(&directory.join(tag)).map_err(&failed)?.unwrap_or_default();
            found.extend(Digest::of_hex(&String::from_utf8_lossy(&bytes)));
        }
        Ok(found)
    }

    /// Drops a tag, not what it points to; false when there was none.
    pub(super) fn untag(&self, name: &Name, tag: &Tag) -> Result<bool, StoreError> {
        let path = self.repository(name).join(TAGS).join(tag.as_str());
        remove(&path).map_err(StoreError::io("drop a tag"))
    }

    /// The tags of a repository in order; `None` when there is no such repository.
    pub(super) fn tags(&self, name: &Name) -> Result<Option<Vec<String>>, StoreError> {
        let repository = self.repository(name);
        if !repository.join(REVISIONS).is_dir() {
            return Ok(None);
        }
        names_in(&repository.join(TAGS)).map(Some).map_err(StoreError::io("list tags"))
    }

    /// All repositories in order.
    pub(super) fn repositories(&self) -> Result<Vec<Name>, StoreError> {
        let root = self.root.join(REPOSITORIES);
        let mut found = Vec::new();
        let mut pending = vec![String::new()];
        while let Some(prefix) = pending.pop() {
            let inside =
                names_in(&root.join(&prefix)).map_err(StoreError::io("list repositories"))?;
            if inside.iter().any(|entry| entry == REVISIONS) {
                found.extend(Name::parse(&prefix).ok());
            }
            let parts = inside.iter().filter(|entry| !entry.starts_with('_'));
            pending.extend(parts.map(|part| match prefix.as_str() {
                "" => part.clone(),
                prefix => format!("{prefix}/{part}"),
            }));
        }
        found.sort();
        Ok(found)
    }

    fn repository(&self, name: &Name) -> PathBuf {
        self.root.join(REPOSITORIES).join(name.as_str())
    }

    /// Moves a file to where its digest belongs, so that it survives power loss.
    fn keep(&self, from: &Path, digest: &Digest) -> io::Result<()> {
        let to = self.blob_path(digest);
        File::open(from)?.sync_all()?;
        let directory = to.parent().expect("a blob has a directory");
        make_directory(directory)?;
        fs::rename(from, &to)?;
        File::open(directory)?.sync_all()
    }

    /// Replaces a small file in one step, so that it survives power loss.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let directory = path.parent().expect("files are in directories");
        make_directory(directory)?;
        let from = self.upload_path(Uuid::new_v4());
        let mut file = File::create_new(&from)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&from, path)?;
        File::open(directory)?.sync_all()
    }

    fn busy(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of the disk is free for us.
    pub(super) fn free_bytes(&self) -> Result<u64, StoreError> {
        let failed = StoreError::io("look at the free space");
        let disk = rustix::fs::statvfs(&self.root).map_err(|error| failed(error.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Drops uploads that nothing was added to for so long; returns how many.
    pub(super) fn drop_stale_uploads(&self, age_max: Duration) -> Result<usize, StoreError> {
        let failed = StoreError::io("look for stale uploads");
        let mut dropped = 0;
        for file in names_in(&self.uploads_dir()).map_err(&failed)? {
            let path = self.uploads_dir().join(file);
            let is_stale = age(&path).map_err(&failed)?.is_some_and(|age| age > age_max);
            if is_stale && remove(&path).map_err(&failed)? {
                dropped += 1;
            }
        }
        Ok(dropped)
    }
}

// === impl Claim ===

impl Claim {
    /// Claims an upload; `None` when another request is adding to it.
    pub(super) fn take(store: &Arc<Store>, id: Uuid) -> Option<Self> {
        store.busy().insert(id).then(|| Self { store: store.clone(), id })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.store.busy().remove(&self.id);
    }
}

/// Runs the store's work where it may block.
pub(super) async fn blocking<T, F>(store: &Arc<Store>, work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
{
    let store = store.clone();
    let work = tokio::task::spawn_blocking(move || work(&store));
    work.await.map_err(|_| StoreError::Worker)?
}

/// How long ago a file was written; `None` when it is gone.
pub(super) fn age(path: &Path) -> io::Result<Option<Duration>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.modified()?.elapsed().unwrap_or_default())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Removes a file; false when there was none.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// The names in a directory in order; none when there is no such directory.
pub(super) fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let names: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.file_name())).collect();
    let mut names: Vec<_> = names?.into_iter().filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// Makes a directory and what is missing above it, so that they survive power loss.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().ok_or(ErrorKind::NotFound)?;
    make_directory(parent)?;
    match fs::create_dir(path) {
        // Another request made it at the same moment.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        made => made?,
    }
    File::open(parent)?.sync_all()
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    Ok(Digest::of_hex(&hex::encode(hasher.finalize())).expect("64 hex digits"))
}
