//! The files of an image on disk: in a directory, or in a tar that is read where it lies.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use lattice_api::registry::Blob;
use tempfile::NamedTempFile;

use super::PushError;
use super::source::machine;

/// The most bytes of a JSON document.
const DOCUMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;
const LINKS_MAX: usize = 8;

/// Named files of an image.
pub(crate) struct Files {
    /// What the person named.
    pub(crate) path: PathBuf,
    place: Place,
}

enum Place {
    Directory,
    Archive {
        /// The uncompressed tar.
        tar: PathBuf,
        entries: BTreeMap<String, Entry>,
        unpacked: Option<NamedTempFile>,
    },
}

enum Entry {
    File { offset: u64, size: u64 },
    Link(String),
}

// === impl Files ===

impl Files {
    pub(crate) fn directory(path: &Path) -> Self {
        Self { path: path.to_owned(), place: Place::Directory }
    }

    /// Indexes a tar; one that is compressed by gzip is decompressed to a temporary file first.
    pub(crate) fn archive(path: &Path) -> Result<Self, PushError> {
        let cannot = |e| machine(&format!("read {}", path.display()), e);
        let mut file = File::open(path).map_err(cannot)?;
        let mut magic = [0; 4];
        let read = read_start(&mut file, &mut magic).map_err(cannot)?;
        let (tar, unpacked) = match &magic[..read] {
            [0x1f, 0x8b, ..] => {
                let mut unpacked = NamedTempFile::new().map_err(cannot)?;
                let mut decoder = flate2::read::MultiGzDecoder::new(io::BufReader::new(file));
                io::copy(&mut decoder, &mut unpacked).map_err(|e| not_tar(path, &e))?;
                (unpacked.path().to_owned(), Some(unpacked))
            }
            _ => (path.to_owned(), None),
        };
        let entries = index(&tar).map_err(|e| not_tar(path, &e))?;
        Ok(Self { path: path.to_owned(), place: Place::Archive { tar, entries, unpacked } })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Where a file's bytes are, and how many.
    pub(crate) fn find(&self, name: &str) -> Option<(Blob, u64)> {
        match &self.place {
            Place::Directory => {
                let path = self.path.join(name);
                let size = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
                Some((Blob::File { path, offset: 0 }, size))
            }
            Place::Archive { tar, entries, .. } => {
                let mut name = name.to_owned();
                for _ in 0..LINKS_MAX {
                    match entries.get(&name)? {
                        Entry::File { offset, size } => {
                            let blob = Blob::File { path: tar.clone(), offset: *offset };
                            return Some((blob, *size));
                        }
                        Entry::Link(target) => name.clone_from(target),
                    }
                }
                None
            }
        }
    }

    /// A document, in memory.
    pub(crate) fn document(&self, name: &str) -> Result<Vec<u8>, PushError> {
        let (blob, size) =
            self.find(name).ok_or_else(|| self.malformed(format!("it has no {name}")))?;
        if size > DOCUMENT_BYTES_MAX {
            let why = format!("{name} is {size} bytes; at most {DOCUMENT_BYTES_MAX} are taken");
            return Err(self.malformed(why));
        }
        let mut bytes = Vec::new();
        reader(&blob, size)
            .and_then(|mut r| r.read_to_end(&mut bytes))
            .map_err(|e| machine(&format!("read {name} in {}", self.path.display()), e))?;
        Ok(bytes)
    }

    pub(crate) fn parsed<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<T, PushError> {
        serde_json::from_slice(&self.document(name)?)
            .map_err(|e| self.malformed(format!("{name} does not parse: {e}")))
    }

    pub(crate) fn malformed(&self, why: impl Into<String>) -> PushError {
        PushError::Malformed { path: self.path.clone(), why: why.into() }
    }

    /// What must live as long as blobs found here are used.
    pub(crate) fn into_temporary(self) -> Vec<NamedTempFile> {
        match self.place {
            Place::Directory => Vec::new(),
            Place::Archive { unpacked, .. } => unpacked.into_iter().collect(),
        }
    }
}

/// Reads a blob from disk.
pub(crate) fn reader(blob: &Blob, size: u64) -> io::Result<Box<dyn Read>> {
    match blob {
        Blob::Bytes(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
        Blob::File { path, offset } => {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(*offset))?;
            Ok(Box::new(io::BufReader::new(file).take(size)))
        }
    }
}

fn index(tar: &Path) -> io::Result<BTreeMap<String, Entry>> {
    let mut archive = tar::Archive::new(File::open(tar)?);
    let mut entries = BTreeMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let name = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        let kind = entry.header().entry_type();
        if kind.is_file() {
            let (offset, size) = (entry.raw_file_position(), entry.size());
            entries.insert(name, Entry::File { offset, size });
        } else if (kind.is_symlink() || kind.is_hard_link())
            && let Some(target) = entry.link_name()?
        {
            let base = if kind.is_symlink() { parent(&name) } else { "" };
            let target = joined(base, &target.to_string_lossy());
            entries.insert(name, Entry::Link(target));
        }
    }
    Ok(entries)
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A link's target as a name of the archive.
fn joined(base: &str, target: &str) -> String {
    let mut parts: Vec<&str> = base.split('/').filter(|p| !p.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn read_start(file: &mut File, start: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < start.len() {
        match file.read(&mut start[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(filled)
}

/// The reader's own words quote what it found, which may be anything.
fn not_tar(path: &Path, error: &io::Error) -> PushError {
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends in the middle of an archive".to_owned(),
        io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            "it is neither a tar nor a tar.gz archive".to_owned()
        }
        _ => format!("it does not read as a tar or tar.gz archive ({error})"),
    };
    PushError::NotAnImage {
        path: path.to_owned(),
        why,
        next: "make one with: docker save -o app.tar IMAGE".to_owned(),
    }
}
