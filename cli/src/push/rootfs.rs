//! Makes an image of a directory that is a root filesystem, or holds a program.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _};
use std::path::{Path, PathBuf};

use lattice_api::registry::document::{Descriptor, OCI_CONFIG, RootfsDocument, RunDocument};
use lattice_api::registry::{Blob, ImageDocument, digest_of, host_architecture};
use tempfile::NamedTempFile;

use super::PushError;
use super::docker_archive::manifest_of;
use super::layer::{LayerWriter, WrittenLayer};
use super::source::{ImageSource, SourceKind, machine};

/// The programs at the top of a directory: files that may be executed, or where the system does
/// not know that, files in the format of Linux programs.
pub(crate) fn programs(directory: &Path) -> Result<Vec<PathBuf>, PushError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_file() && is_program(&entry.path(), &entry.metadata()?) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    };
    list().map_err(|e| machine(&format!("list {}", directory.display()), e))
}

pub(crate) fn read(directory: &Path, programs: &[PathBuf]) -> Result<ImageSource, PushError> {
    let cannot = |e| machine(&format!("make a layer of {}", directory.display()), e);
    let file = NamedTempFile::new().map_err(cannot)?;
    let mut notes = Vec::new();
    let mut writer = LayerWriter::new(BufWriter::new(file));
    add(&mut writer, directory, "", &mut notes).map_err(cannot)?;
    let WrittenLayer { descriptor, diff_id, sink } = writer.finish().map_err(cannot)?;
    let file = sink.into_inner().map_err(|e| cannot(e.into_error()))?;
    let entrypoint = match programs {
        [only] => only.file_name().map(|n| format!("/{}", n.to_string_lossy())),
        _ => None,
    };
    let document = ImageDocument {
        architecture: architecture(programs).to_owned(),
        os: "linux".to_owned(),
        config: RunDocument { entrypoint: entrypoint.into_iter().collect(), ..Default::default() },
        rootfs: RootfsDocument { kind: "layers".to_owned(), diff_ids: vec![diff_id] },
    };
    let blob = Blob::File { path: file.path().to_owned(), offset: 0 };
    Ok(assembled(document, vec![(descriptor, blob)], notes, vec![file]))
}

/// An image of finished parts.
fn assembled(
    document: ImageDocument,
    layers: Vec<(Descriptor, Blob)>,
    notes: Vec<String>,
    temporary: Vec<NamedTempFile>,
) -> ImageSource {
    let bytes = serde_json::to_vec(&document).expect("a configuration is JSON");
    let config = Descriptor {
        media_type: OCI_CONFIG.to_owned(),
        digest: digest_of(&bytes),
        size: bytes.len() as u64,
        ..Descriptor::default()
    };
    let manifest = manifest_of(&config, layers.iter().map(|(d, _)| d.clone()).collect());
    let mut blobs = layers;
    blobs.push((config, Blob::Bytes(bytes.into())));
    let kind = SourceKind::RootfsDirectory;
    ImageSource { kind, manifests: vec![manifest], blobs, document, notes, _temporary: temporary }
}

/// Everything in a directory, in the order of names.
fn add<W: io::Write>(
    writer: &mut LayerWriter<W>,
    directory: &Path,
    prefix: &str,
    notes: &mut Vec<String>,
) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(base) = entry.file_name().into_string() else {
            notes.push(format!("left out {}: its name is not UTF-8", entry.path().display()));
            continue;
        };
        let name = format!("{prefix}{base}");
        let found = entry.metadata()?;
        if found.is_symlink() {
            writer.symlink(&name, &fs::read_link(entry.path())?)?;
        } else if found.is_dir() {
            writer.directory(&name, mode(&entry.path(), &found))?;
            add(writer, &entry.path(), &format!("{name}/"), notes)?;
        } else if found.is_file() {
            let content = File::open(entry.path())?;
            // A file that grows meanwhile must not push what follows out of place.
            let size = found.len();
            writer.file(&name, mode(&entry.path(), &found), size, content.take(size))?;
        } else {
            notes.push(format!("left out /{name}: it is no file, directory or link"));
        }
    }
    Ok(())
}

#[cfg(unix)]
fn mode(_path: &Path, of: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    of.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode(path: &Path, of: &fs::Metadata) -> u32 {
    if of.is_dir() || is_elf(path) { 0o755 } else { 0o644 }
}

#[cfg(unix)]
fn is_program(path: &Path, of: &fs::Metadata) -> bool {
    mode(path, of) & 0o111 != 0
}

#[cfg(not(unix))]
fn is_program(path: &Path, _of: &fs::Metadata) -> bool {
    is_elf(path)
}

#[cfg(not(unix))]
fn is_elf(path: &Path) -> bool {
    elf_machine(path).is_some()
}

/// What the first program with a Linux header is built for; else this machine.
fn architecture(programs: &[PathBuf]) -> &'static str {
    match programs.iter().find_map(|p| elf_machine(p)) {
        Some(62) => "amd64",
        Some(183) => "arm64",
        Some(243) => "riscv64",
        _ => host_architecture(),
    }
}

/// The machine number of an ELF header.
fn elf_machine(path: &Path) -> Option<u16> {
    let mut start = [0; 20];
    File::open(path).ok()?.read_exact(&mut start).ok()?;
    (start[..4] == *b"\x7fELF").then(|| u16::from_le_bytes([start[18], start[19]]))
}
