//! The content store: documents by digest, layers unpacked once each, and which image a name last
//! meant. What has its final name is whole: everything arrives by one rename.

pub(crate) mod garbage;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use lattice_api::registry::digest_of;
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempDir};

use super::archive::decompressed;
use super::confined::{Root, Trouble};
use super::plan::Dialect;
use super::unpack::{Manner, UnpackLimits, unpack, unreadable};

/// The unpacked files of a layer, in the layer's directory.
const FILES: &str = "fs";
/// Beside them: the directories the layer did not describe, each ended by a zero byte.
const IMPLIED: &str = "implied";
/// Beside them: how much of the disk they take, in decimal digits.
const BYTES: &str = "bytes";

/// The store's directory.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    directory: PathBuf,
    /// Read while a layer is taken into use; written while an unused one is taken away.
    layers: Arc<RwLock<()>>,
}

struct Hashing<R> {
    reader: R,
    hasher: Sha256,
}

// === impl Content ===

impl Content {
    /// Opens or makes the store; what an interrupted pull has left is removed.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let directory = data_dir.join("images");
        let temporary = directory.join("tmp");
        if temporary.exists() {
            fs::remove_dir_all(&temporary)?;
        }
        for part in ["blobs", "layers", "names", "tmp"] {
            fs::create_dir_all(directory.join(part))?;
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        Ok(Self { directory, layers: Arc::default() })
    }

    /// A document, if it is here and still what its digest says.
    pub(crate) fn document(&self, digest: &str) -> Option<Vec<u8>> {
        let bytes = fs::read(self.blob_path(digest)).ok()?;
        (digest_of(&bytes) == digest).then_some(bytes)
    }

    pub(crate) fn keep_document(&self, digest: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(&self.blob_path(digest), bytes)
    }

    /// The digest of the manifest a name last meant.
    pub(crate) fn last_meaning(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.name_path(name)).ok()?;
        Some(text.split(' ').next().unwrap_or_default().to_owned())
    }

    /// The name stands behind the digest, for whoever lists what is here.
    pub(crate) fn keep_meaning(&self, name: &str, digest: &str) -> io::Result<()> {
        self.write(&self.name_path(name), format!("{digest} {name}").as_bytes())
    }

    /// A layer's files, if it is here. It counts as used now.
    pub(crate) fn layer(&self, diff_id: &str) -> Option<PathBuf> {
        let _stays = self.layers.read().unwrap_or_else(PoisonError::into_inner);
        let layer = self.layer_path(diff_id);
        let files = layer.join(FILES);
        (files.is_dir() && used_now(&layer).is_ok()).then_some(files)
    }

    /// A file for what is being fetched; gone when it is dropped.
    pub(crate) fn temporary_file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.directory.join("tmp"))
    }

    /// Unpacks a fetched layer to its final place, if it is what its diff id says.
    pub(crate) fn unpack_layer(
        &self,
        fetched: &Path,
        diff_id: &str,
        limits: UnpackLimits,
    ) -> Result<(), Trouble> {
        let home = TempDir::new_in(self.directory.join("tmp"))?;
        let files = home.path().join(FILES);
        fs::create_dir(&files)?;
        fs::set_permissions(&files, fs::Permissions::from_mode(0o755))?;
        let stream = decompressed(File::open(fetched)?).map_err(unreadable)?;
        let mut stream = Hashing { reader: stream, hasher: Sha256::new() };
        let manner = Manner { dialect: Dialect::Layer, owner: None, limits };
        let unpacked = unpack(Root::strict(&files)?, &mut stream, manner)?;
        let got = format!("sha256:{}", hex::encode(stream.hasher.finalize()));
        if got != diff_id {
            let why = format!("unpacked, its layer should be {diff_id}, but is {got}");
            return Err(Trouble::Refused(why));
        }
        fs::write(home.path().join(BYTES), unpacked.bytes.to_string())?;
        let implied = unpacked.implied.iter().flat_map(|p| [p.as_bytes(), b"\0"].concat());
        fs::write(home.path().join(IMPLIED), implied.collect::<Vec<u8>>())?;
        self.settle(home, diff_id)
    }

    /// Gives an unpacked layer its name once it would survive a power cut.
    fn settle(&self, home: TempDir, diff_id: &str) -> Result<(), Trouble> {
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        rustix::fs::syncfs(File::open(home.path())?)?;
        match fs::rename(home.path(), self.layer_path(diff_id)) {
            Ok(()) => {
                // Its old name is free; nothing is left to remove.
                let _ = home.keep();
                Ok(())
            }
            Err(_) if self.layer(diff_id).is_some() => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.temporary_file()?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Where a layer's files are, or will be.
    pub(crate) fn files_path(&self, diff_id: &str) -> PathBuf {
        self.layer_path(diff_id).join(FILES)
    }

    fn blob_path(&self, digest: &str) -> PathBuf {
        self.directory.join("blobs").join(file_name(digest))
    }

    fn layer_path(&self, diff_id: &str) -> PathBuf {
        self.directory.join("layers").join(file_name(diff_id))
    }

    fn name_path(&self, name: &str) -> PathBuf {
        self.directory.join("names").join(file_name(&digest_of(name.as_bytes())))
    }
}

// === impl Hashing ===

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

fn used_now(layer: &Path) -> io::Result<()> {
    set_used(layer, SystemTime::now())
}

fn set_used(layer: &Path, at: SystemTime) -> io::Result<()> {
    File::open(layer)?.set_modified(at)
}

/// The directories that the layer with these files did not describe.
pub(crate) fn implied_directories(files: &Path) -> io::Result<HashSet<PathBuf>> {
    let bytes = match fs::read(files.with_file_name(IMPLIED)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
        bytes => bytes?,
    };
    let names = bytes.split(|b| *b == 0).filter(|n| !n.is_empty());
    Ok(names.map(|n| PathBuf::from(std::ffi::OsStr::from_bytes(n))).collect())
}

/// Digests are checked before they come here; this only takes the colon away.
fn file_name(digest: &str) -> String {
    digest.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
